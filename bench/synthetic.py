"""Frames and queries without videos, laid out as CLIP lays out real ones.

Frames lie in a narrow cone (all share a mean direction). A video has a topic, its scenes scatter around it,
and a scene is a run of near-duplicates: neighbours have a cosine near 0.95, scenes of one video near 0.7, of
two videos near 0.5. Topics and scenes have a falling spectrum. Text queries lie apart from the frames (the
modality gap) and lean a little towards one scene: about 0.3 there and 0.1 +- 0.03 elsewhere, so that their
best hundred frames are that scene, its video, and strays from everywhere.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np

from indexer.vectors import Float16, Float32, unit

DIMENSION = 512
FRAMES_PER_VIDEO = 900  # 30 minutes at one frame every 2 s
FRAMES_PER_SCENE = 8
CHUNK_ROWS = 72 * FRAMES_PER_VIDEO  # 64,800: made at once, each from its own seed
_SPECTRUM_EXPONENT = 0.7


def frames(rows: int) -> Float16:
    """(rows, 512) float16 unit vectors in memory."""
    chunks = [frames_from(start, min(CHUNK_ROWS, rows - start)) for start in range(0, rows, CHUNK_ROWS)]
    return np.concatenate(chunks) if chunks else np.zeros((0, DIMENSION), np.float16)


def frames_from(start: int, rows: int) -> Float16:
    """Up to one chunk of rows; ``start`` is a multiple of CHUNK_ROWS."""
    centres = np.repeat(_scenes(start // CHUNK_ROWS), FRAMES_PER_SCENE, axis=0)[:rows]
    vectors = centres + np.roll(_noise(), start // CHUNK_ROWS * 7919, axis=0)[:rows]
    vectors /= np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    return vectors.astype(np.float16)


def queries(count: int, rows: int, seed: int = 0) -> Float32:
    """(count, 512) float32 unit vectors, each leaning to a scene of the first ``rows`` frames."""
    rng = np.random.default_rng((2, seed))
    wanted = np.sort(rng.integers(0, rows, count)) // FRAMES_PER_SCENE  # in order: each chunk is made once
    per_chunk = CHUNK_ROWS // FRAMES_PER_SCENE
    scenes = np.stack([_scenes(scene // per_chunk)[scene % per_chunk] for scene in wanted.tolist()])
    mean, gap = _directions()
    lean = unit(scenes - (scenes @ mean)[:, None] * mean)
    own = unit(_drawn(rng, count))
    return unit(np.float32(0.45) * lean + np.float32(0.7) * gap + np.float32(0.55) * own)


@cache
def _noise() -> Float32:
    """What tells the frames of a scene apart, (CHUNK_ROWS, 512); each chunk takes the rows in another order."""
    drawn = np.random.default_rng(1).standard_normal((CHUNK_ROWS, DIMENSION), np.float32)
    drawn *= np.float32(0.22 / DIMENSION**0.5)
    return drawn


@lru_cache(maxsize=4)
def _scenes(chunk: int) -> Float32:
    """The scenes' centres of one chunk, (scenes, 512) float32 unit: mean + topic of the video + scene."""
    rng = np.random.default_rng((3, chunk))
    scenes = CHUNK_ROWS // FRAMES_PER_SCENE
    topics = unit(_drawn(rng, CHUNK_ROWS // FRAMES_PER_VIDEO))
    owner = np.arange(scenes) * FRAMES_PER_SCENE // FRAMES_PER_VIDEO
    own = unit(np.float32(0.65) * topics[owner] + np.float32(0.76) * unit(_drawn(rng, scenes)))
    return unit(np.float32(0.7) * _directions()[0] + np.float32(0.7) * own)


def _drawn(rng: np.random.Generator, count: int) -> Float32:
    """Vectors whose variance along the axes of a fixed rotation falls as a power of the axis' number."""
    spread = np.arange(1, DIMENSION + 1, dtype=np.float32) ** (-_SPECTRUM_EXPONENT / 2)
    return (rng.standard_normal((count, DIMENSION), np.float32) * spread) @ _rotation()


@cache
def _rotation() -> Float32:
    q: Float32 = np.linalg.qr(np.random.default_rng(4).standard_normal((DIMENSION, DIMENSION)))[0].astype(
        np.float32
    )
    return q


@cache
def _directions() -> tuple[Float32, Float32]:
    """Mean direction of the frames and that of the queries, cosine about 0.15."""
    rng = np.random.default_rng(5)
    mean = unit(rng.standard_normal(DIMENSION))
    return mean, unit(0.15 * mean + unit(rng.standard_normal(DIMENSION)))
