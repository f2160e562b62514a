"""What an hour of video costs: processor seconds to decode and to embed it, bytes to keep.

Everything runs in this process on one thread, and the processor's seconds count, so that other work on the machine
changes little. Files are decoded as a decode process decodes them, thumbnails included.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import plots
from bench.grid import Grid
from bench.growth import open_store
from bench.speed import SPEED_MODEL
from bench.synthetic import FRAMES_PER_VIDEO, frames_from
from indexer import segments
from indexer.catalogue import VideoRow
from indexer.encoder import OpenClipEncoder
from indexer.frames import PictureSpec
from indexer.probe import probe
from indexer.store import VideoFrames
from indexer.thumbnails import ThumbnailWriter, thumbnail_spec
from indexer.video import decode

HOUR_SECONDS = 3600
_PICTURE = PictureSpec()
#: One segment of the index: what stands beside each segment, whatever its size, is shared by so many.
_ROWS = 64_800


@dataclass(frozen=True)
class HourCost:
    """An hour of video like one file, at one frame every T seconds.

    Attributes:
        name: of the file. codec, width, height: of its picture.
        decode_seconds: of the processor. thumbnail_seconds: more, for making thumbnails.
        thumbnail_bytes: of these.
    """

    name: str
    codec: str
    width: int
    height: int
    decode_seconds: float
    thumbnail_seconds: float
    thumbnail_bytes: float


@dataclass(frozen=True)
class FrameCost:
    """What a sampled frame costs, whatever its video: encoding it, and its row in table and exact index."""

    encode_seconds: float
    table_bytes: float
    index_bytes: float


def hour_cost(path: Path, period_seconds: float = 2.0, rounds: int = 3) -> HourCost:
    """Decode a file ``rounds`` times; the medians count."""
    info = probe(path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "1.part"
        seconds = [_decode(path, period_seconds, target) for _ in range(rounds)]
        size = target.stat().st_size
    hours = (info.duration_seconds or 0.0) / HOUR_SECONDS
    decoding, thumbnails = (statistics.median(some) / hours for some in zip(*seconds, strict=True))
    return HourCost(path.stem, info.codec, info.width, info.height, decoding, thumbnails, size / hours)


def _decode(path: Path, period_seconds: float, target: Path) -> tuple[float, float]:
    """Processor seconds for the pictures that a model sees, and more for thumbnails."""
    started, thumbnails, info = time.process_time(), 0.0, probe(path)
    small = thumbnail_spec(info.width, info.height)
    with ThumbnailWriter(target, 0) as writer:
        for frame in decode(path, info, period_seconds):
            frame.picture.fitted(_PICTURE)
            before = time.process_time()
            writer.add(frame.index, frame.picture.fitted(small))
            thumbnails += time.process_time() - before
    return time.process_time() - started - thumbnails, thumbnails


def _cpu_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def frame_cost(model: str = SPEED_MODEL, pictures: int = 64) -> FrameCost:
    """Encode some pictures on one thread; write a library of synthetic frames and weigh it."""
    import torch

    torch.set_num_threads(1)
    encoder = OpenClipEncoder(model, "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (pictures, 224, 224, 3), dtype=np.uint8)
    encoder.encode_pictures(pixels[:8])  # warm
    seconds = _cpu_seconds(lambda: encoder.encode_pictures(pixels))
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        store = open_store(library)
        store.commit(list(_synthetic_videos()))
        segments.follow(library, store)
        table, index = _size(library / "tables"), _size(library / segments.FOLDER)
    return FrameCost(seconds / pictures, table / _ROWS, index / _ROWS)


def _synthetic_videos() -> Iterator[tuple[VideoRow, VideoFrames]]:
    vectors = frames_from(0, _ROWS)
    for number, start in enumerate(range(0, _ROWS, FRAMES_PER_VIDEO)):
        frames = VideoFrames.of(number, vectors[start : start + FRAMES_PER_VIDEO])
        yield VideoRow(number, f"{number}", (Path(f"/{number}.mp4"),), FRAMES_PER_VIDEO, 1800.0), frames


def _size(folder: Path) -> int:
    return sum((Path(where) / name).stat().st_size for where, _, names in os.walk(folder) for name in names)


def hour_table(costs: Sequence[HourCost]) -> Grid:
    """One line a file."""
    header = ("input", "picture", "decode", "thumbnails", "share", "thumbnails MB")
    lines = tuple(
        (
            one.name,
            f"{one.width} × {one.height}",
            f"{one.decode_seconds:.0f}",
            f"{one.thumbnail_seconds:.0f}",
            f"{one.thumbnail_seconds / (one.decode_seconds + one.thumbnail_seconds):.0%}",
            f"{one.thumbnail_bytes / 1e6:.1f}",
        )
        for one in costs
    )
    return Grid("An hour of video: seconds of one core, and what its thumbnails take", header, lines)


def frame_table(cost: FrameCost, period_seconds: float = 2.0) -> Grid:
    """What does not depend on the video, for an hour of it."""
    frames = HOUR_SECONDS / period_seconds
    lines = (
        ("encode, ViT-B-32 (random weights)", f"{frames * cost.encode_seconds:.0f} s of one core"),
        ("table", f"{frames * cost.table_bytes / 1e6:.2f} MB"),
        ("exact index", f"{frames * cost.index_bytes / 1e6:.2f} MB"),
    )
    return Grid(f"An hour of any video, {frames:.0f} frames", ("what", "cost"), lines)


def draw(costs: Sequence[HourCost], encode_seconds: float, file: Path) -> None:
    """Seconds of one core for an hour against the size of the picture, as SVG; the line is what encoding takes."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    for codec in dict.fromkeys(one.codec for one in costs):
        dearest = {}  # of the inputs of one size
        for one in sorted(costs, key=lambda one: (one.width * one.height, one.decode_seconds)):
            if one.codec == codec:
                dearest[one.width * one.height / 1e6] = one.decode_seconds
        axes.plot(list(dearest), list(dearest.values()), "o-", label=codec)
    axes.axhline(encode_seconds, color="0.5", linestyle="--", label="encoding, ViT-B-32")
    axes.set(xscale="log", yscale="log", xlabel="picture", ylabel="s of one core for an hour of video")
    sizes = {one.width * one.height / 1e6: f"{one.width} × {one.height}" for one in costs}
    axes.set_xticks(list(sizes), list(sizes.values()))
    axes.minorticks_off()
    axes.legend()
    plots.save(figure, file)
    pyplot.close(figure)
