"""What a GPU gives: results checked against the judge, then figures as ratios to what the card can do.

The two limits are measured on the same card in the same run: memory bandwidth by a copy, matrix rate by a product
in float16. A search of one query must read every vector once (bandwidth); many queries at once are a matrix
product (matrix rate).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.speed import SPEED_MODEL, Grid
from bench.synthetic import CHUNK_ROWS, DIMENSION, FRAMES_PER_VIDEO, frames, frames_from, queries
from indexer.frame_index import FlatIndex, FrameHits, GpuIndex, NumpyIndex, Segment
from indexer.store import VideoFrames
from indexer.vectors import Float16

SIZES = (1_000_000, 10_000_000, 100_000_000)
#: Multiply-adds of ViT-B-32 for one picture, doubled.
_FLOPS_PER_PICTURE = 8.8e9
_CHECKED_ROWS = 50 * FRAMES_PER_VIDEO
_K = 100


@dataclass(frozen=True)
class Limits:
    """What the first GPU can do: bytes read or written a second, float16 operations a second."""

    name: str
    bytes_per_second: float
    operations_per_second: float


def check() -> list[str]:
    """Compare every GPU index with the judge; one line each.

    Raises:
        AssertionError: an index is wrong.
    """
    import faiss

    videos = _videos(frames(_CHECKED_ROWS))
    flat = FlatIndex([Segment.build(f"{i}", videos[i : i + 10]) for i in range(0, len(videos), 10)], DIMENSION)
    asked = queries(64, _CHECKED_ROWS)
    exact = NumpyIndex(videos, DIMENSION).search(asked, _K)
    gpus = list(range(faiss.get_num_gpus()))
    lines = []
    for name, index, least in (
        ("flat float16, one GPU", GpuIndex(flat, gpus[:1]), 1.0),
        (f"flat float16, sharded over {len(gpus)}", GpuIndex(flat, gpus), 1.0),
        ("IVF float16", GpuIndex(flat, gpus[:1], lists=64), 0.9),
    ):
        hits = index.search(asked, _K)
        same = [len(_pairs(hits, i) & _pairs(exact, i)) / _K for i in range(len(asked))]
        if np.mean(same) < least or not np.allclose(hits.scores[:, 0], exact.scores[:, 0], atol=1e-4):
            raise AssertionError(f"{name}: recall {np.mean(same):.4f} against the judge")
        lines.append(f"{name}: recall@{_K} {np.mean(same):.4f} against the judge, scores equal")
    return lines


def _pairs(hits: FrameHits, number: int) -> set[tuple[int, int]]:
    return set(zip(hits.video_ids[number].tolist(), hits.frames[number].tolist(), strict=True))


def _videos(vectors: Float16) -> list[VideoFrames]:
    starts = range(0, len(vectors), FRAMES_PER_VIDEO)
    return [VideoFrames.of(s // FRAMES_PER_VIDEO, vectors[s : s + FRAMES_PER_VIDEO]) for s in starts]


def limits() -> Limits:
    """Measure copy and matrix product on the first GPU."""
    import torch

    source = torch.zeros(1 << 29, dtype=torch.float16, device="cuda")
    target = torch.empty_like(source)
    copied = 2 * source.numel() * 2 / _seconds(lambda: target.copy_(source))
    square = torch.randn(8192, 8192, dtype=torch.float16, device="cuda")
    multiplied = 2 * 8192**3 / _seconds(lambda: square @ square)
    return Limits(torch.cuda.get_device_name(0), copied, multiplied)


def _seconds(work: Callable[[], object], repeats: int = 10) -> float:
    """Median seconds of one call, the GPU waited for."""
    import torch

    times = []
    for _ in range(repeats + 2):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def encoder_line(limit: Limits, batch: int = 256) -> tuple[str, ...]:
    """Pictures a second through the encoder as an index run calls it."""
    from indexer.encoder import OpenClipEncoder

    encoder = OpenClipEncoder(SPEED_MODEL, "cuda")
    pictures = np.zeros((batch, encoder.picture.height, encoder.picture.width, 3), np.uint8)
    rate = batch / _seconds(lambda: encoder.encode_pictures(pictures))
    share = rate * _FLOPS_PER_PICTURE / limit.operations_per_second
    return "encoder ViT-B-32", f"{batch}", f"{rate:,.0f} frames/s", "", f"{share:.2f}"


def search_lines(limit: Limits, sizes: Sequence[int] = SIZES) -> list[tuple[str, ...]]:
    """Flat float16 search at each size, of one query and of 256; a size that does not fit says so."""
    lines: list[tuple[str, ...]] = []
    for rows in sizes:
        try:
            index = _flat_on_gpus(rows)
        except RuntimeError:
            lines.append((f"flat, {rows:,} × {DIMENSION}", "", "larger than the memory of the GPUs", "", ""))
            continue
        lines += [_search_line(limit, index, rows, count) for count in (1, 256)]
        del index
    return lines


def _search_line(limit: Limits, index: Any, rows: int, count: int) -> tuple[str, ...]:
    import faiss

    asked = queries(count, rows)
    seconds = _seconds(lambda: index.search(asked, _K))
    gpus = faiss.get_num_gpus()
    read = rows * DIMENSION * 2 / limit.bytes_per_second / gpus
    multiplied = 2 * rows * DIMENSION * count / limit.operations_per_second / gpus
    what = f"flat, {rows:,} × {DIMENSION}"
    return what, f"{count}", f"{1e3 * seconds:.2f} ms", f"{read / seconds:.2f}", f"{multiplied / seconds:.2f}"


def _flat_on_gpus(rows: int) -> Any:
    """A float16 index spread over all GPUs; the same 64,800 synthetic frames again and again, which cost alike."""
    import faiss

    shards: Any = faiss.IndexShards(DIMENSION, True, True)  # type: ignore[call-arg]
    shards.resources = []
    settings = faiss.GpuIndexFlatConfig()
    settings.useFloat16 = True
    for gpu in range(faiss.get_num_gpus()):
        settings.device = gpu
        shards.resources.append(faiss.StandardGpuResources())
        shards.add_shard(faiss.GpuIndexFlatIP(shards.resources[-1], DIMENSION, settings))
    piece = frames_from(0, CHUNK_ROWS).astype(np.float32)
    shard_rows = -(-rows // shards.count())
    for number in range(shards.count()):
        shard = faiss.downcast_index(shards.at(number))
        for start in range(0, shard_rows, CHUNK_ROWS):
            shard.add(piece[: min(CHUNK_ROWS, shard_rows - start)])
    return shards


def table(limit: Limits, lines: Sequence[tuple[str, ...]]) -> Grid:
    """Figures and their ratios to the two limits."""
    title = (
        f"{limit.name}: copies {limit.bytes_per_second / 1e9:.0f} GB/s, "
        f"multiplies {limit.operations_per_second / 1e12:.0f} float16 Tflop/s"
    )
    header = ("what", "at once", "figure", "of the bandwidth", "of the matrix rate")
    return Grid(title, header, tuple(lines))
