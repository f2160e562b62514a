"""How well an index run keeps its slower half at work: decoding alone, encoding alone, both together.

Each half has one core: one decode process, one torch thread; the pipeline has both. They run in turn on the same
files, so that other work on the machine disturbs all alike. How long the encoder was at work within the pipeline
is measured there too: other work makes that longer and the whole alike, so this share is the steadier figure.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.grid import Grid, timed
from indexer.build import Progress, index_files
from indexer.catalogue import Catalogue
from indexer.decoders import Decoded, Finished, decode_all
from indexer.discover import find_videos
from indexer.encoder import Encoder
from indexer.plan import make_plan
from indexer.settings import IndexSettings
from indexer.store import Store
from indexer.vectors import Float32, UInt8


@dataclass(frozen=True)
class PipelineSpeed:
    """One round.

    Attributes:
        decode, encode, pipeline: frames/s of the halves alone and of the whole, start-up and tail included.
        free_pipeline: frames/s of the whole with an encoder that costs nothing: what is decoded, handed over
            and written.
        first_picture_seconds: from the pipeline's start to its first picture.
        at_work: the encoder's share of the pipeline's whole time, start-up and tail included.
        at_work_once_fed: its share of the time from the first picture on.
        frames: how many frames. video_seconds: length of the videos they were sampled from.
    """

    decode: float
    encode: float
    pipeline: float
    free_pipeline: float
    first_picture_seconds: float
    at_work: float
    at_work_once_fed: float
    frames: int
    video_seconds: float

    @property
    def share(self) -> float:
        """The pipeline's speed as a share of its slower half's."""
        return self.pipeline / min(self.decode, self.encode)

    @property
    def free_share(self) -> float:
        """The speed of the pipeline with a free encoder as a share of decoding's."""
        return self.free_pipeline / self.decode


def pipeline_speed(
    videos: Path, encoder: Encoder, period_seconds: float = 2.0, rounds: int = 3
) -> list[PipelineSpeed]:
    """Time the halves and the whole on the files below ``videos``, ``rounds`` times in turn."""
    files = find_videos([videos])
    pictures, _ = _decode(files, encoder, period_seconds)
    _encode(encoder, pictures[:64])  # warm
    return [_one_round(files, encoder, period_seconds) for _ in range(rounds)]


def _one_round(files: Sequence[Path], encoder: Encoder, period_seconds: float) -> PipelineSpeed:
    (pictures, video_seconds), decode_seconds = timed(lambda: _decode(files, encoder, period_seconds))
    _, encode_seconds = timed(lambda: _encode(encoder, pictures))
    whole = _Run.of(files, _Watched(encoder), period_seconds)
    free = _Run.of(files, _Free(encoder), period_seconds)
    n = len(pictures)
    if {whole.frames, free.frames} != {n}:
        raise AssertionError(f"stored were {whole.frames} and {free.frames} frames, decoding alone gave {n}")
    return PipelineSpeed(
        decode=n / decode_seconds,
        encode=n / encode_seconds,
        pipeline=n / whole.seconds,
        free_pipeline=n / free.seconds,
        first_picture_seconds=whole.first_picture_seconds,
        at_work=whole.encoding_seconds / whole.seconds,
        at_work_once_fed=whole.encoding_seconds / (whole.seconds - whole.first_picture_seconds),
        frames=n,
        video_seconds=video_seconds,
    )


def _decode(files: Sequence[Path], encoder: Encoder, period_seconds: float) -> tuple[UInt8, float]:
    parts, video_seconds = [], 0.0
    for message in decode_all(files, period_seconds, encoder.picture, 1, 600.0):
        if isinstance(message, Decoded):
            parts.append(message.batch.pictures)
        elif isinstance(message, Finished):
            video_seconds += message.outcome.duration_seconds
    return np.concatenate(parts), video_seconds


def _encode(encoder: Encoder, pictures: UInt8) -> None:
    """In batches of one size, as the pipeline does it."""
    batch = IndexSettings().batch_size_on(encoder.device)
    missing = -len(pictures) % batch
    full = np.concatenate([pictures, np.zeros((missing, *pictures.shape[1:]), np.uint8)])
    for start in range(0, len(full), batch):
        encoder.encode_pictures(full[start : start + batch])


class _Watched:
    """An encoder and how long it was at work; the pipeline calls it in one thread."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.name, self.fingerprint, self.dimension = encoder.name, encoder.fingerprint, encoder.dimension
        self.picture, self.device, self.demo_only = encoder.picture, encoder.device, encoder.demo_only
        self.seconds = 0.0

    def encode_pictures(self, pictures: UInt8) -> Float32:
        """See :class:`indexer.encoder.Encoder`."""
        vectors, seconds = timed(lambda: self._embed(pictures))
        self.seconds += seconds
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """See :class:`indexer.encoder.Encoder`."""
        return self._encoder.encode_texts(texts)

    def _embed(self, pictures: UInt8) -> Float32:
        return self._encoder.encode_pictures(pictures)


class _Free(_Watched):
    """An encoder that gives the same vector for any picture and costs nothing."""

    def _embed(self, pictures: UInt8) -> Float32:
        return np.eye(1, self.dimension, dtype=np.float32).repeat(len(pictures), axis=0)


@dataclass(frozen=True)
class _Run:
    """One index run into a new library."""

    frames: int
    seconds: float
    first_picture_seconds: float
    encoding_seconds: float

    @classmethod
    def of(cls, files: Sequence[Path], encoder: _Watched, period_seconds: float) -> _Run:
        """Index ``files`` with one decode process."""
        first_pictures: list[float] = []

        def on_progress(progress: Progress) -> None:
            if progress.frames and not first_pictures:
                first_pictures.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            store = Store.create(Path(folder), encoder.dimension, period_seconds)
            plan, settings = make_plan(files, Catalogue.of([]), []), IndexSettings(workers=1)
            started = time.perf_counter()
            report, seconds = timed(lambda: index_files(plan, store, lambda: [encoder], settings, on_progress))
        return cls(report.frames, seconds, first_pictures[0] - started, encoder.seconds)


def pipeline_table(rounds: Sequence[PipelineSpeed]) -> Grid:
    """Medians over the rounds, and the range."""
    first = rounds[0]

    def speed(name: str, figures: Sequence[float]) -> tuple[str, ...]:
        middle = statistics.median(figures)
        times = middle * first.video_seconds / first.frames
        return name, f"{middle:.1f}", f"{min(figures):.1f} - {max(figures):.1f}", f"{times:.0f}"

    def figure(name: str, figures: Sequence[float]) -> tuple[str, ...]:
        return name, f"{statistics.median(figures):.2f}", f"{min(figures):.2f} - {max(figures):.2f}", ""

    return Grid(
        f"Indexing {first.frames} frames of {first.video_seconds:.0f} s of video, {len(rounds)} rounds; "
        f"one decode process, one encoder thread",
        ("part", "frames/s", "range", "× real time"),
        (
            speed("decode alone", [r.decode for r in rounds]),
            speed("encode alone (ViT-B-32, random weights)", [r.encode for r in rounds]),
            speed("whole pipeline", [r.pipeline for r in rounds]),
            figure("pipeline / slower half", [r.share for r in rounds]),
            figure("seconds to the first picture", [r.first_picture_seconds for r in rounds]),
            figure("encoder at work, of the whole time", [r.at_work for r in rounds]),
            figure("encoder at work, from the first picture on", [r.at_work_once_fed for r in rounds]),
            speed("pipeline with an encoder that costs nothing", [r.free_pipeline for r in rounds]),
            figure("that / decode alone", [r.free_share for r in rounds]),
        ),
    )
