"""How well a whole video answers a query, comparable between videos, queries and corpora.

Two things are measured. The *best combination* is the cosine of the query with the sum of a few frames chosen one
after another to come as near to the query as they can (matching pursuit): a query names several things that no
single frame need show together. The *best stretch* is the cosine with the mean vector of the best quarter, half
and whole minute, averaged: what its frames have in common, which single frames show with noise.

A video that shows much comes near to anything by chance. So the same is asked of it with random vectors, and most
of what they get, the *level of chance* of the video, is subtracted.

Both are measured in two spaces: the encoder's own, and the same one *whitened* by the corpus
(:mod:`searcher.whitening`), where there are frames enough to say what is usual. In each they are expressed in
standard deviations of the corpus for this query, and averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from indexer.recent import Recent
from indexer.vectors import Float32
from searcher.structure import Floats, Places, Structure
from searcher.whitening import Whitening, random_vectors

#: Lengths of the stretches that are compared as a whole, the shortest first.
STRETCHES_SECONDS = (18.0, 34.0, 66.0)
#: What a combination counts, a stretch counting 1.
COMBINATION_WEIGHT = 1.5
#: The frames that are combined lie within this much of a video, around its best stretch.
COMBINED_WITHIN_SECONDS = 150.0
#: How much of a video's level of chance is subtracted.
CHANCE_WEIGHT = 0.75
#: A smaller corpus (10 minutes at one frame every 2 s) says too little about what is usual.
MIN_BACKGROUND_FRAMES = 300
#: What a process keeps of the videos that queries came across: about a thousand clips of 150 s.
KEPT_BYTES = 256 * 2**20
#: Where all frames answer alike (one still scene), differences this small are not deviations but noise.
MIN_DEVIATION = 0.01


@dataclass(frozen=True)
class Frames:
    """The frames of one video in one space.

    Attributes:
        vectors: (n, D) float32 unit. structure: how they resemble each other. period_seconds: T.
        random: (r, D) float32, :func:`searcher.whitening.random_vectors` in this space, the same for all videos.
    """

    vectors: Float32
    structure: Structure
    period_seconds: float
    random: Float32

    @cached_property
    def stretches(self) -> list[tuple[Places, Places, Floats]]:
        """Of each length the stretch around each frame: first frames, one past the last, lengths of the sums."""
        return [self._stretches(int(seconds / self.period_seconds / 2)) for seconds in STRETCHES_SECONDS]

    def _stretches(self, half_width: int) -> tuple[Places, Places, Floats]:
        centres = np.arange(len(self.vectors))
        first, end = np.maximum(centres - half_width, 0), np.minimum(centres + half_width + 1, len(centres))
        return first, end, self.structure.lengths(first, end)

    def above_chance(self, query: Float32, best_frames: int) -> float:
        """What it answers to a query, (D,) unit, less most of what it answers to random vectors: cosines."""
        return float(answers(query[None], self, best_frames)[0]) - CHANCE_WEIGHT * self.chance(best_frames)

    def chance(self, best_frames: int) -> float:
        """What the video answers to random vectors on average, a cosine."""
        if best_frames not in self._levels:
            self._levels[best_frames] = float(answers(self.random, self, best_frames).mean())
        return self._levels[best_frames]

    @cached_property
    def _levels(self) -> dict[int, float]:
        return {}

    @property
    def nbytes(self) -> int:
        """Memory they take."""
        return self.vectors.nbytes + self.structure.nbytes


@dataclass(frozen=True)
class Prepared:
    """A video ready for any query: ``whitened`` is None where the corpus is too small for it."""

    plain: Frames
    whitened: Frames | None

    @classmethod
    def of(cls, vectors: Float32, period_seconds: float, whitening: Whitening | None) -> Prepared:
        """Prepare a video with V_E (n, D)."""
        structure = Structure.of(vectors, period_seconds)
        plain = Frames(vectors, structure, period_seconds, random_vectors(vectors.shape[1]))
        if whitening is None:
            return cls(plain, None)
        whitened = whitening.frames(vectors)
        # No stretch reaches further beyond the part it belongs to than half its length.
        structure = Structure.of(whitened, period_seconds, STRETCHES_SECONDS[-1])
        return cls(plain, Frames(whitened, structure, period_seconds, whitening.random))

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self.plain.nbytes + (0 if self.whitened is None else self.whitened.nbytes)


class PreparedVideos:
    """Videos prepared for any query, the last ones used kept in memory; threads may share it.

    Args:
        prepare: video id → the video, prepared.
        most_bytes: what may be kept.
    """

    def __init__(self, prepare: Callable[[int], Prepared], most_bytes: int = KEPT_BYTES) -> None:
        self._prepare = prepare
        self._kept: Recent[Prepared] = Recent(most_bytes)

    def __call__(self, video_id: int) -> Prepared:
        """The video, from memory where it is there; KeyError for a stranger."""
        if (found := self._kept.get(video_id)) is not None:
            return found
        made = self._prepare(video_id)
        self._kept.keep(video_id, made)
        return made


@dataclass(frozen=True)
class Background:
    """Mean and standard deviation of S_c over the ``rows`` frames of a corpus, for one query."""

    mean: float
    deviation: float
    rows: int

    def standard(self, cosine: float) -> float:
        """A cosine in standard deviations above the mean."""
        return (cosine - self.mean) / max(self.deviation, MIN_DEVIATION)


@dataclass(frozen=True)
class Asked:
    """A query as a corpus sees it.

    Attributes:
        vector: (D,) float32 unit.
        background: what the corpus's frames answer to it.
        whitening: of the corpus; None where it is too small. ``whitened``: the query in it, and
            ``whitened_deviation`` that of all frames' cosines with it.
    """

    vector: Float32
    background: Background
    whitening: Whitening | None = None
    whitened: Float32 | None = None
    whitened_deviation: float = 1.0

    @classmethod
    def of(cls, vector: Float32, background: Background, whitening: Whitening | None) -> Asked:
        """Prepare a query."""
        if whitening is None:
            return cls(vector, background)
        whitened = whitening.query(vector)
        return cls(vector, background, whitening, whitened, max(whitening.deviation(whitened), MIN_DEVIATION))


def relevance(asked: Asked, video: Prepared, best_frames: int) -> float:
    """How well a video answers, in standard deviations above the corpus's frames and above chance.

    Args:
        asked: the query.
        video: V_E and how they resemble each other, whitened and not.
        best_frames: how many frames are combined.
    """
    plain = asked.background.standard(video.plain.above_chance(asked.vector, best_frames))
    if asked.whitened is None or video.whitened is None:
        return plain
    return (plain + video.whitened.above_chance(asked.whitened, best_frames) / asked.whitened_deviation) / 2


def answers(queries: Float32, frames: Frames, best_frames: int) -> Float32:
    """What a video answers to each query: the weighted mean of its best stretches and best combination, cosines.

    Args:
        queries: (b, D) unit. frames: of the video. best_frames: how many are combined.

    Returns:
        (b,) float32.
    """
    similarity = frames.vectors @ queries.T
    stretches, centres = best_stretches(similarity, frames)
    reach = round(COMBINED_WITHIN_SECONDS / frames.period_seconds / 2)
    firsts = np.clip(centres - reach, 0, max(0, len(similarity) - 2 * reach - 1))
    combined = np.empty_like(stretches)
    for first in np.unique(firsts):
        near, asked = slice(first, first + 2 * reach + 1), firsts == first
        combined[asked] = best_combinations(similarity[near, asked], frames.vectors[near], best_frames)
    mixed: Float32 = ((COMBINATION_WEIGHT * combined + stretches) / (COMBINATION_WEIGHT + 1)).astype(np.float32)
    return mixed


def best_stretches(similarity: Float32, frames: Frames) -> tuple[Floats, Places]:
    """The best cosine of each query with the mean of a stretch around a frame, averaged over the lengths.

    Args:
        similarity: (n, b), of n frames with b queries. frames: what it was taken of.

    Returns:
        (b,) float64 cosines; (b,) frames around which the middle one of :data:`STRETCHES_SECONDS` is best.
    """
    sums = np.zeros((len(similarity) + 1, similarity.shape[1]))
    similarity.cumsum(axis=0, out=sums[1:])
    cosines = [(sums[end] - sums[first]) / lengths[:, None] for first, end, lengths in frames.stretches]
    best: Floats = np.mean([of_length.max(axis=0) for of_length in cosines], axis=0)
    centres: Places = cosines[len(cosines) // 2].argmax(axis=0)
    return best, centres


def best_combinations(similarity: Float32, vectors: Float32, count: int) -> Float32:
    """The cosine of each query with the sum of up to ``count`` frames, chosen greedily.

    Each step takes the frame with which the sum's cosine is largest, even where it falls by that: what few
    frames agree on is worth less than what many do.

    Args:
        similarity: (n, b), of n frames with b queries. vectors: (n, D). count: 1 or more.

    Returns:
        (b,) float32.
    """
    left, queries = similarity.copy(), np.arange(similarity.shape[1])
    along = np.zeros_like(left)
    dot, square = np.zeros_like(left[0]), np.zeros_like(left[0])
    for _ in range(min(count, len(left))):
        cosines = (dot + left) / np.sqrt(np.maximum(square + 2 * along + 1, 1e-12))
        best = cosines.argmax(axis=0)
        dot, square = dot + left[best, queries], square + 2 * along[best, queries] + 1
        along += vectors @ vectors[best].T
        left[best, queries] = -np.inf
    found: Float32 = dot / np.sqrt(np.maximum(square, 1e-12))
    return found
