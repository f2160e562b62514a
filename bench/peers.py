"""Ours beside the steps of other tools, on the same files, one core each, and beside what decoding alone costs.

The other tools' ways are made again from what they publish, with the same model and without what is not
indexing (queues, downloads, writing):

- lighthouse: ``ffprobe`` for the size, ``ffmpeg`` with the filters ``fps``, ``scale`` and ``crop`` into a pipe of
  raw RGB, all frames of a video in one float tensor, normalised, batches of 60.
- clip-video-encode: OpenCV grabs every frame and retrieves each n-th, cubic resize of the shorter side, middle
  crop, BGR to RGB; tensors of batches of 128, normalised.
- an OpenCV loop: ``read`` every frame, keep each n-th, the model's own Pillow transform, one picture at a time.

Each run is a process of its own on one core.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.grid import Grid
from indexer.encoder import OpenClipEncoder
from indexer.errors import InputError
from indexer.frames import PictureSpec
from indexer.video_types import EXACT, Shortcuts

#: Means of blocks of 28 × 28 pixels: so cheap that decoding is all there is.
CHEAP_MODEL = "block-means"
_SIDE = 224
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)

Vectors = NDArray[np.float32]
Embed = Callable[[Any], Vectors]
"""A (b, 3, 224, 224) float32 tensor, normalised, → (b, D)."""


@dataclass(frozen=True)
class Cost:
    """What one approach needed for one file.

    Attributes:
        frames: embedded, or decoded by the limits. cpu_seconds: of the process and its children, without start
            and loading the model. wall_seconds: the same, on the one core that it had.
    """

    frames: int
    cpu_seconds: float
    wall_seconds: float


# ---- the approaches: (file, period in seconds, embed) → number of frames


def ours(path: Path, period_seconds: float, embed: Embed, shortcuts: Shortcuts = EXACT) -> int:
    """What a decode process and the encoder do, in one process: batches of 8."""
    from indexer.probe import probe
    from indexer.video import decode

    spec = PictureSpec(_SIDE, _SIDE)
    frames = decode(path, probe(path), period_seconds, shortcuts=shortcuts)
    pictures = (frame.picture.fitted(spec) for frame in frames)
    return sum(len(embed(_normalised(_tensor(some)))) for some in batches(pictures, 8))


def lighthouse(path: Path, period_seconds: float, embed: Embed) -> int:
    """Through ffmpeg's filters, a video's frames all in memory."""
    width, height = _probed_size(path)
    if height >= width:
        width, height = _SIDE, int(height * _SIDE / width)
    else:
        width, height = int(width * _SIDE / height), _SIDE
    left, top = (width - _SIDE) // 2, (height - _SIDE) // 2
    filters = f"fps={1 / period_seconds},scale={width}:{height},crop={_SIDE}:{_SIDE}:{left}:{top}"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-vf",
        filters,
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, _SIDE, _SIDE, 3)
    tensor = _normalised(_tensor(frames))
    return sum(len(embed(tensor[start : start + 60])) for start in range(0, len(tensor), 60))


def clip_video_encode(path: Path, period_seconds: float, embed: Embed) -> int:
    """OpenCV's grab and retrieve."""
    import cv2

    video = cv2.VideoCapture(str(path))
    every = round(video.get(cv2.CAP_PROP_FPS) * period_seconds)
    kept, number = [], 0
    while video.grab():
        if number % every == 0:
            kept.append(_resized_by_opencv(video.retrieve()[1]))
        number += 1
    frames = np.array(kept)[..., ::-1]
    starts = range(0, len(frames), 128)
    return sum(len(embed(_normalised(_tensor(frames[start : start + 128])))) for start in starts)


def opencv_loop(path: Path, period_seconds: float, embed: Embed) -> int:
    """OpenCV's read, Pillow, one picture at a time."""
    import cv2
    from open_clip.transform import image_transform
    from PIL import Image

    transform = image_transform(_SIDE, is_train=False)
    video = cv2.VideoCapture(str(path))
    every = round(video.get(cv2.CAP_PROP_FPS) * period_seconds)
    frames = number = 0
    while (found := video.read())[0]:
        if number % every == 0:
            picture = Image.fromarray(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB))
            frames += len(embed(transform(picture)[None]))
        number += 1
    return frames


def decode_everything(path: Path, period_seconds: float, embed: Embed) -> int:
    """The limit of whoever decodes every frame: PyAV, one thread, frames dropped."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def ffmpeg_null(path: Path, period_seconds: float, embed: Embed) -> int:
    """The same by the ffmpeg program: ``ffmpeg -threads 1 -i FILE -f null -``."""
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-map", "0:v:0", "-f", "null", "-"]
    subprocess.run(command, check=True)
    return 0


def demux_only(path: Path, period_seconds: float, embed: Embed) -> int:
    """Reading the packets, decoding none."""
    import av

    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def decord_samples(path: Path, period_seconds: float, embed: Embed) -> int:
    """Ours with decord in PyAV's place, as before this was measured."""
    from indexer.decode_decord import decord_samples as samples
    from indexer.probe import probe
    from indexer.video_types import DecodeProgress

    spec = PictureSpec(_SIDE, _SIDE)
    pictures = (f.picture.fitted(spec) for f in samples(path, probe(path), period_seconds, 1, DecodeProgress()))
    return sum(len(embed(_normalised(_tensor(some)))) for some in batches(pictures, 8))


SHORT_WAYS = {
    "ours, up to 0.5 s off": Shortcuts(0.5),
    "ours, up to 1 s off": Shortcuts(1.0),
    "ours, up to 0.5 s off, no loop filter": Shortcuts(0.5, loop_filter=False),
    "ours, up to 1 s off, no loop filter": Shortcuts(1.0, loop_filter=False),
}
"""A quarter and a half of the usual period."""

APPROACHES: Mapping[str, Callable[[Path, float, Embed], int]] = {
    "ours": ours,
    **{name: partial(ours, shortcuts=shortcuts) for name, shortcuts in SHORT_WAYS.items()},
    "ours, by decord": decord_samples,
    "lighthouse's way": lighthouse,
    "clip-video-encode's way": clip_video_encode,
    "OpenCV loop": opencv_loop,
    "decode everything (PyAV)": decode_everything,
    "decode everything (ffmpeg -f null)": ffmpeg_null,
    "read the packets only": demux_only,
}
OURS = ("ours", *SHORT_WAYS)
PEERS = ("lighthouse's way", "clip-video-encode's way", "OpenCV loop")
LIMIT = "decode everything (PyAV)"
_NEEDS_FFMPEG = {"lighthouse's way", "decode everything (ffmpeg -f null)"}


def batches(pictures: Iterator[NDArray[np.uint8]], size: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures stacked, ``size`` at once, the last ones fewer."""
    some: list[NDArray[np.uint8]] = []
    for picture in pictures:
        some.append(picture)
        if len(some) == size:
            yield np.stack(some)
            some = []
    if some:
        yield np.stack(some)


def _tensor(frames: NDArray[np.uint8]) -> Any:
    """(b, H, W, 3) uint8 → (b, 3, H, W) float32 of 0 … 255."""
    import torch

    return torch.from_numpy(frames.astype(np.float32)).permute(0, 3, 1, 2)


def _normalised(pixels: Any) -> Any:
    import torch

    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
    return (pixels / 255.0 - mean) / deviation


def _probed_size(path: Path) -> tuple[int, int]:
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height"]
    shown = subprocess.run([*command, "-of", "json", str(path)], capture_output=True, check=True).stdout
    stream = json.loads(shown)["streams"][0]
    return int(stream["width"]), int(stream["height"])


def _resized_by_opencv(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    height, width = frame.shape[:2]
    ratio = min(height, width) / _SIDE
    size = max(int(width / ratio), _SIDE), max(int(height / ratio), _SIDE)
    resized = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC)
    left, top = (size[0] - _SIDE) // 2, (size[1] - _SIDE) // 2
    cropped: NDArray[np.uint8] = resized[top : top + _SIDE, left : left + _SIDE]
    return cropped


# ---- one run


def _embedder(model: str) -> Embed:
    import torch

    torch.set_num_threads(1)
    if model == CHEAP_MODEL:
        return lambda tensor: np.asarray(torch.nn.functional.avg_pool2d(tensor, 28).flatten(1))
    network = OpenClipEncoder(model, "cpu").network

    def embed(tensor: Any) -> Vectors:
        with torch.inference_mode():
            return np.asarray(network.encode_image(tensor))

    return embed


def run(approach: str, model: str, path: Path, period_seconds: float) -> Cost:
    """One approach on one file, in this process."""
    embed = _embedder(model)
    embed(_normalised(_tensor(np.zeros((1, _SIDE, _SIDE, 3), np.uint8))))  # warm
    cpu, wall = sum(os.times()[:4]), time.perf_counter()
    frames = APPROACHES[approach](path, period_seconds, embed)
    return Cost(frames, sum(os.times()[:4]) - cpu, time.perf_counter() - wall)


def costs(
    path: Path, model: str = CHEAP_MODEL, period_seconds: float = 2.0, rounds: int = 3
) -> dict[str, list[Cost]]:
    """Every approach on one file, ``rounds`` times in turn, each in a process and on a core of its own.

    Raises:
        InputError: OpenCV is not installed.
    """
    if importlib.util.find_spec("cv2") is None:
        raise InputError("OpenCV is not installed", "Install it: pip install 'vclipper[bench]'")
    names = [name for name in APPROACHES if name not in _NEEDS_FFMPEG or shutil.which("ffmpeg")]
    found: dict[str, list[Cost]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(_in_process(name, model, path, period_seconds))
    return found


def _in_process(*arguments: Any) -> Cost:
    context = multiprocessing.get_context("forkserver")  # torch is imported once, nothing else is shared
    context.set_forkserver_preload(["torch", "cv2", "av", "open_clip", "bench.peers"])
    ours_end, theirs = context.Pipe()
    process = context.Process(target=_on_one_core, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        cost: Cost = ours_end.recv()
    except EOFError:
        raise RuntimeError(f"{arguments[0]} failed on {arguments[2]}") from None
    process.join()
    return cost


def _on_one_core(pipe: Connection, *arguments: Any) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # children keep it
    pipe.send(run(*arguments))


def peers_table(found: Mapping[str, Mapping[str, Sequence[Cost]]], title: str) -> Grid:
    """CPU seconds of each approach (lines) on each file (columns), and how many times ours it took."""
    medians = {
        file: {name: statistics.median(c.cpu_seconds for c in costs) for name, costs in by_name.items()}
        for file, by_name in found.items()
    }
    lines = [(name, *(_cell(each, name) for each in medians.values())) for name in APPROACHES]
    best = [min(each[peer] for peer in PEERS if peer in each) for each in medians.values()]
    columns = list(zip(best, medians.values(), strict=True))
    ratios = [
        *(
            (f"best of the others / {name}", *(f"{other / each[name]:.2f}" for other, each in columns))
            for name in OURS
        ),
        ("decoding everything / ours", *(f"{each[LIMIT] / each['ours']:.2f}" for _, each in columns)),
    ]
    return Grid(title, ("CPU seconds (times ours)", *medians), (*lines, *ratios))


def _cell(medians: Mapping[str, float], name: str) -> str:
    if name not in medians:
        return "–"
    return f"{medians[name]:.2f} ({medians[name] / medians['ours']:.2f})"
