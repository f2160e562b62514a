"""How fast: one query; a cold start.

Every figure that is compared was measured side by side in one run: a query beside one NumPy pass and one bare
read of the same memory.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.grid import Grid, timed
from indexer import manifest
from indexer.encoder import OpenClipEncoder
from indexer.frame_index import FlatIndex, Segment
from indexer.manifest import Manifest
from indexer.model_names import LOCAL
from indexer.segments import SEGMENT_ROWS, follow
from indexer.store import Store, VideoFrames
from indexer.vectors import unit

SPEED_MODEL = "ViT-B-32/random"
DIMENSION = 512


# ---- one query


@dataclass(frozen=True)
class QuerySpeed:
    """Median milliseconds at one size of corpus.

    Attributes:
        rows: frames. ours: one query through ``FlatIndex``, best 100. numpy_float32: one matrix-vector
            product of the same rows in float32 and the choice of the best 100. faiss_flat: FAISS
            IndexFlatIP. read: reading the index's bytes once with all cores. recall: of our 100 against
            the exact ones.
    """

    rows: int
    ours: float
    numpy_float32: float
    faiss_flat: float
    read: float
    recall: float


def query_speed(rows: int, repeats: int = 15, k: int = 100) -> QuerySpeed:
    """Time one exact query over ``rows`` × 512 synthetic frames, in turn with its rivals."""
    import faiss

    vectors = synthetic_frames(rows)
    index = FlatIndex(
        [
            Segment.build(f"{start}", [VideoFrames(start, vectors[start : start + SEGMENT_ROWS])])
            for start in range(0, rows, SEGMENT_ROWS)
        ],
        DIMENSION,
    )
    as_float32 = vectors.astype(np.float32)
    flat = faiss.IndexFlatIP(DIMENSION)
    flat.add(as_float32)
    queries = unit(np.random.default_rng(1).standard_normal((repeats, DIMENSION)))
    timings: dict[str, list[float]] = {"ours": [], "numpy": [], "faiss": [], "read": []}
    hits = 0
    for query in queries:
        ours, seconds = timed(partial(index.search, query[None], k))
        timings["ours"].append(seconds)
        exact, seconds = timed(partial(_numpy_best, as_float32, query, k))
        timings["numpy"].append(seconds)
        timings["faiss"].append(timed(partial(flat.search, query[None], k))[1])
        timings["read"].append(timed(lambda: read_once(vectors))[1])
        found = (ours.video_ids + ours.frames)[0]
        hits += len(set(found.tolist()) & set(exact.tolist()))
    median = {name: 1e3 * statistics.median(values) for name, values in timings.items()}
    recall = hits / (repeats * min(k, rows))
    return QuerySpeed(rows, median["ours"], median["numpy"], median["faiss"], median["read"], recall)


def synthetic_frames(rows: int, seed: int = 0) -> NDArray[np.float16]:
    """(rows, 512) float16 unit vectors in scenes of near-duplicates, as frames of real video lie."""
    rng = np.random.default_rng(seed)
    vectors = np.empty((rows, DIMENSION), np.float16)
    for start in range(0, rows, SEGMENT_ROWS):
        end = min(rows, start + SEGMENT_ROWS)
        scenes = rng.standard_normal(((end - start) // 8 + 1, DIMENSION), dtype=np.float32)
        frames = np.repeat(scenes, 8, axis=0)[: end - start]
        noise = rng.standard_normal(frames.shape, dtype=np.float32)
        vectors[start:end] = unit(frames + 0.4 * noise)
    return vectors


def _numpy_best(vectors: NDArray[np.float32], query: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    scores = vectors @ query
    k = min(k, len(scores))
    return np.argpartition(scores, -k)[-k:]


def read_once(vectors: NDArray[np.float16]) -> int:
    """Read every byte once, one share per core: the least that any exact search must do."""
    shares = np.array_split(vectors.reshape(-1).view(np.int64), os.cpu_count() or 1)
    return sum(int(word) for word in _readers().map(np.bitwise_or.reduce, shares))


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1)


# ---- a cold start


def cold_start(rows: int = 10_000, rounds: int = 5) -> list[tuple[str, float]]:
    """Seconds of each step of a search from the shell, and of whole commands, each in a fresh process.

    The library holds ``rows`` synthetic frames; the model is ViT-B-32 with random weights, saved to a folder
    and loaded from there as any ``local-dir:`` model. Whole commands are timed in turn, ``rounds`` times; the
    median counts.
    """
    with tempfile.TemporaryDirectory() as temporary:
        model = save_random_model(Path(temporary) / "model")
        library = make_library(Path(temporary) / "library", rows, model)
        without = Path(temporary) / "without"
        shutil.copytree(library, without)
        export_text(library)
        steps = [sys.executable, "-m", "bench.coldstart", str(library)]
        _seconds_of(steps)  # warms the file cache
        parts = [line.rsplit(" ", 1) for line in _run(steps).splitlines()]
        whole = _in_turn(_shell_searches(library, without), rounds)
    return [*((name, float(seconds)) for name, seconds in parts), *whole.items()]


def _shell_searches(library: Path, without: Path) -> dict[str, Callable[[int], float]]:
    """Whole commands by name, each a function of the round that gives its seconds."""
    vclip = [sys.executable, "-m", "vclipper.cli"]

    bare = [sys.executable, "-c", "import open_clip"]

    def search(words: str, folder: Path) -> float:
        return _seconds_of([*vclip, "search", words, "--library", str(folder)])

    def search_with_torch(number: int) -> float:
        shutil.rmtree(without / "start", ignore_errors=True)
        return search(f"dog {number}", without)

    return {
        "vclip search, new words": lambda number: search(f"dog {number}", library),
        "vclip search, words asked before": lambda _: search("dog 0", library),
        "vclip search, through torch and the tables": search_with_torch,
        "vclip list": lambda _: _seconds_of([*vclip, "list", "--library", str(library)]),
        'for comparison: python -c "import open_clip"': lambda _: _seconds_of(bare),
    }


def _in_turn(works: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, float]:
    """Median of what each of ``works`` gives, called in turn with the number of the round."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name, work in works.items():
            seconds[name].append(work(number))
    return {name: statistics.median(values) for name, values in seconds.items()}


def _run(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _seconds_of(command: Sequence[str]) -> float:
    return timed(partial(_run, command))[1]


def export_text(library: Path) -> None:
    """Write the text half of the library's model beside it, as ``vclip index`` does at its end."""
    from indexer.text_export import export

    made = manifest.load(library)
    if not export(OpenClipEncoder(made.model, "cpu"), library, made.model_key):
        raise AssertionError("the text half was not exported")


def save_random_model(folder: Path, alter: Callable[[Any], None] = lambda network: None) -> str:
    """ViT-B-32 with random weights as a ``local-dir:`` model, ``alter`` changing them first; returns its name."""
    import json

    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    network = open_clip.create_model("ViT-B-32")
    alter(network)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return f"{LOCAL}{folder}"


def make_library(folder: Path, rows: int, model: str) -> Path:
    """A library of synthetic frames, 75 to a video as in QVHighlights."""
    from indexer.catalogue import VideoRow
    from indexer.encoder import weights_fingerprint

    folder.mkdir(parents=True)
    store = Store.create(folder, DIMENSION, 2.0)
    vectors = synthetic_frames(rows)
    videos = []
    for number, start in enumerate(range(0, rows, 75)):
        part = VideoFrames.of(number, vectors[start : start + 75])
        path = Path(f"/films/{number}.mp4")
        videos.append((VideoRow(number, f"{number}", (path,), len(part.vectors), 2.0 * len(part.vectors)), part))
    store.commit(videos)
    manifest.save(Manifest(model, weights_fingerprint(model), DIMENSION, 2.0), folder)
    follow(folder, store)
    return folder


# ---- tables


def query_table(speeds: Sequence[QuerySpeed]) -> Grid:
    """One line a size: milliseconds, and ours over a bare read of the same bytes."""
    return Grid(
        "One exact query, best 100 of n × 512 float16 frames, median milliseconds",
        ("frames", "ours", "one read of it", "ours / read", "NumPy float32", "FAISS IndexFlatIP", "recall@100"),
        tuple(
            (
                f"{s.rows:,}",
                f"{s.ours:.2f}",
                f"{s.read:.2f}",
                f"{s.ours / s.read:.2f}",
                f"{s.numpy_float32:.2f}",
                f"{s.faiss_flat:.2f}",
                f"{s.recall:.4f}",
            )
            for s in speeds
        ),
    )


def start_table(steps: Sequence[tuple[str, float]]) -> Grid:
    """Seconds of each step of a search from the shell."""
    return Grid(
        "`vclip search` from a cold start, 10,000 frames, ViT-B-32",
        ("step", "seconds"),
        tuple((name, f"{seconds:.2f}") for name, seconds in steps),
    )
