"""What a GPU gives: results checked against the judge, then figures as ratios to what the card can do.

The two limits are measured on the same card in the same run: memory bandwidth by a copy, matrix rate by a product
in float16. A search of one query must read every vector once (bandwidth); many queries at once are a matrix
product (matrix rate).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.grid import Grid, timed
from bench.speed import SPEED_MODEL
from bench.synthetic import CHUNK_ROWS, DIMENSION, FRAMES_PER_VIDEO, frames, frames_from, queries
from indexer.decode_torchcodec import why_not
from indexer.encoder import Encoder, OpenClipEncoder
from indexer.encoding import Encoders
from indexer.frame_index import FlatIndex, FrameHits, GpuIndex, NumpyIndex, Segment
from indexer.frames import PictureSpec
from indexer.probe import probe
from indexer.store import VideoFrames
from indexer.vectors import Float16
from indexer.video import decode

SIZES = (1_000_000, 10_000_000, 100_000_000)
#: Multiply-adds of ViT-B-32 for one picture, doubled.
_FLOPS_PER_PICTURE = 8.8e9
_CHECKED_ROWS = 50 * FRAMES_PER_VIDEO
_K = 100
_CLIP_SECONDS = 60
_CLIP_RATE = 30


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
        ("flat float16, one GPU", GpuIndex(flat, gpus[:1]), 0.999),  # equal scores may change places
        (f"flat float16, sharded over {len(gpus)}", GpuIndex(flat, gpus), 0.999),
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


def limits(device: str = "cuda", values: int = 1 << 29, side: int = 8192) -> Limits:
    """Measure a copy of ``values`` float16 and a product of ``side`` × ``side`` on ``device``."""
    import torch

    copied, multiplied = _bytes_per_second(device, values), _operations_per_second(device, side)
    torch.cuda.empty_cache()  # torch would keep the memory from FAISS
    name = torch.cuda.get_device_name(device) if torch.cuda.is_available() else device
    return Limits(name, copied, multiplied)


def _bytes_per_second(device: str, values: int) -> float:
    import torch

    source = torch.zeros(values, dtype=torch.float16, device=device)
    target = torch.empty_like(source)
    return 2 * 2 * values / _seconds(lambda: target.copy_(source))  # float16 has two bytes; one read, one written


def _operations_per_second(device: str, side: int) -> float:
    import torch

    square = torch.randn(side, side, dtype=torch.float16, device=device)
    return 2 * side**3 / _seconds(lambda: square @ square)


def _seconds(work: Callable[[], object], repeats: int = 10) -> float:
    """Median seconds of one call, the GPU waited for."""
    times = []
    for _ in range(repeats + 2):
        _wait()
        started = time.perf_counter()
        work()
        _wait()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def _wait() -> None:
    import torch

    for number in range(torch.cuda.device_count()):
        torch.cuda.synchronize(number)


# ---- indexing


def encoder_lines(
    limit: Limits,
    devices: Sequence[str],
    batch: int = 256,
    load: Callable[[str], Encoder] = lambda device: OpenClipEncoder(SPEED_MODEL, device),
) -> list[tuple[str, ...]]:
    """Pictures a second as an index run encodes them: on the first device, then on all side by side."""
    encoders = [load(device) for device in devices]
    counts = sorted({1, len(encoders)})
    return [_encoder_line(limit, encoders[:count], batch) for count in counts]


def _encoder_line(limit: Limits, encoders: Sequence[Encoder], batch: int) -> tuple[str, ...]:
    rate = _encoding_rate(encoders, batch)
    share = rate * _FLOPS_PER_PICTURE / limit.operations_per_second / len(encoders)
    return f"encoder ViT-B-32, {len(encoders)} GPU", f"{batch}", f"{rate:,.0f} frames/s", "", f"{share:.2f}"


def _encoding_rate(encoders: Sequence[Encoder], batch: int, batches_each: int = 20) -> float:
    picture = encoders[0].picture
    pictures = np.zeros((batch, picture.height, picture.width, 3), np.uint8)
    for encoder in encoders:
        encoder.encode_pictures(pictures)  # warm
    count = batches_each * len(encoders)

    def embed() -> None:
        for future in [side_by_side.encode(pictures) for _ in range(count)]:
            future.result()

    with Encoders(encoders, _no_loss) as side_by_side:
        _, seconds = timed(embed)
    return count * batch / seconds


def _no_loss(text: str) -> None:
    raise AssertionError(text)


def decoder_lines(device: str, seconds: int = _CLIP_SECONDS) -> list[tuple[str, ...]]:
    """Decoding every frame of 1080p H.264: by the GPU's decoder, and by PyAV on one core beside it."""
    if reason := why_not(device):
        return [("NVDEC", "", reason, "", "")]
    with tempfile.TemporaryDirectory() as folder:
        clip = _clip(Path(folder) / "clip.mp4", seconds)
        return [
            (f"{name}, 1080p H.264", "1", f"{_decoding_rate(clip, where):,.0f} frames/s", "", "")
            for name, where in (("NVDEC, one process", device), ("PyAV, one core", None))
        ]


def _decoding_rate(clip: Path, device: str | None) -> float:
    """Frames a second, each made ready for a model."""
    info, spec = probe(clip), PictureSpec(224, 224)

    def read() -> int:
        pictures = (frame.picture.fitted(spec) for frame in decode(clip, info, 1 / _CLIP_RATE, device=device))
        return sum(1 for _ in pictures)

    read()  # warm
    count, seconds = timed(read)
    return count / seconds


def _clip(path: Path, seconds: int) -> Path:
    """A moving pattern, 1920 × 1080, 30 frames a second, a keyframe every 250."""
    import av

    y, x = np.mgrid[:1080, :1920]
    pattern = np.stack([(x + y) % 256, (2 * x - y) % 256, (x * y // 64) % 256], axis=2).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=_CLIP_RATE, options={"preset": "ultrafast", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for number in range(seconds * _CLIP_RATE):
            frame = av.VideoFrame.from_ndarray(np.roll(pattern, 8 * number, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# ---- searching


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
    asked = queries(count, rows)
    seconds = _seconds(lambda: index.search(asked, _K))
    gpus = index.count()
    read = rows * DIMENSION * 2 / limit.bytes_per_second / gpus
    multiplied = 2 * rows * DIMENSION * count / limit.operations_per_second / gpus
    what = f"flat, {rows:,} × {DIMENSION}"
    return what, f"{count}", f"{1e3 * seconds:.2f} ms", f"{read / seconds:.2f}", f"{multiplied / seconds:.2f}"


def _flat_on_gpus(rows: int) -> Any:
    """A float16 index spread over all GPUs; the same synthetic frames again and again, which cost alike."""
    import faiss

    gpus = faiss.get_num_gpus()
    shards: Any = faiss.IndexShards(DIMENSION, True, True)  # type: ignore[call-arg]
    piece = frames_from(0, min(rows, CHUNK_ROWS)).astype(np.float32)
    shard_rows = -(-rows // gpus)
    for number in range(gpus):
        shard = _empty_shard(number)
        for start in range(0, shard_rows, CHUNK_ROWS):
            shard.add(piece[: min(CHUNK_ROWS, shard_rows - start)])
        shards.add_shard(shard)  # once it is full: it is asked then how many rows it holds
    return shards


def _empty_shard(gpu: int) -> Any:
    """An empty float16 index on one GPU."""
    import faiss

    settings = faiss.GpuIndexFlatConfig()
    settings.device, settings.useFloat16 = gpu, True
    resources = faiss.StandardGpuResources()
    shard: Any = faiss.GpuIndexFlatIP(resources, DIMENSION, settings)
    shard.resources = resources  # they must live as long as the index
    return shard


def table(limit: Limits, lines: Sequence[tuple[str, ...]]) -> Grid:
    """Figures and their ratios to the two limits."""
    title = (
        f"{limit.name}: copies {limit.bytes_per_second / 1e9:.0f} GB/s, "
        f"multiplies {limit.operations_per_second / 1e12:.0f} float16 Tflop/s"
    )
    header = ("what", "at once", "figure", "of the bandwidth", "of the matrix rate")
    return Grid(title, header, tuple(lines))
