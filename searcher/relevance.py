"""How well a whole video answers a query, comparable between videos, queries and corpora.

Two things are measured, each in two spaces. The *best stretch* is the cosine of the query with the mean vector
of the best half minute: what its frames have in common, which single frames show with noise. The *best
combination* is the cosine with the sum of a few frames chosen one after another to come as near to the query as
they can (matching pursuit): a query names several things that no single frame need show together. The spaces are
the encoder's own, and the same one *whitened* by the corpus: along the directions in which all its frames differ
most anyway, differences count less (after LDA detectors, Hariharan et al. 2012, with a quarter instead of a half
as exponent). All four are expressed in standard deviations of the corpus for this query and averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from indexer.recent import Recent
from indexer.vectors import Float32
from searcher.structure import Floats, Places, Structure
from searcher.whitening import Whitening

#: Length of the stretch that is compared as a whole.
STRETCH_SECONDS = 34.0
#: The frames that are combined lie within this much of a video, around its best stretch.
COMBINED_WITHIN_SECONDS = 150.0
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
    """

    vectors: Float32
    structure: Structure
    period_seconds: float

    @cached_property
    def stretches(self) -> tuple[Places, Places, Floats]:
        """The stretch around each frame: first frames, one past the last, lengths of the sums; (n,) each."""
        half_width = int(STRETCH_SECONDS / self.period_seconds / 2)
        centres = np.arange(len(self.vectors))
        first, end = np.maximum(centres - half_width, 0), np.minimum(centres + half_width + 1, len(centres))
        return first, end, self.structure.lengths(first, end)

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
        plain = Frames(vectors, Structure.of(vectors, period_seconds), period_seconds)
        if whitening is None:
            return cls(plain, None)
        whitened = whitening.frames(vectors)
        # No stretch reaches further beyond the part it belongs to than half its length.
        return cls(
            plain, Frames(whitened, Structure.of(whitened, period_seconds, STRETCH_SECONDS), period_seconds)
        )

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
    """How well a video answers, in standard deviations above the corpus's frames.

    Args:
        asked: the query.
        video: V_E and how they resemble each other, whitened and not.
        best_frames: how many frames are combined.
    """
    plain = asked.background.standard(answer(asked.vector, video.plain, best_frames))
    if asked.whitened is None or video.whitened is None:
        return plain
    return (plain + answer(asked.whitened, video.whitened, best_frames) / asked.whitened_deviation) / 2


def answer(query: Float32, frames: Frames, best_frames: int) -> float:
    """The mean of :func:`best_stretch` and :func:`best_combination`, a cosine."""
    similarity = frames.vectors @ query
    stretch, centre = best_stretch(similarity, frames)
    reach = round(COMBINED_WITHIN_SECONDS / frames.period_seconds / 2)
    first = max(0, min(centre - reach, len(similarity) - 2 * reach - 1))
    near = slice(first, first + 2 * reach + 1)
    return (stretch + best_combination(similarity[near], frames.vectors[near], best_frames)) / 2


def best_stretch(similarity: Float32, frames: Frames) -> tuple[float, int]:
    """The best cosine of a query with the mean of :data:`STRETCH_SECONDS` around a frame; which frame.

    Args:
        similarity: S_c, (n,). frames: what it was taken of.
    """
    first, end, lengths = frames.stretches
    sums = np.zeros(len(similarity) + 1)
    np.cumsum(similarity, dtype=np.float64, out=sums[1:])
    cosines = (sums[end] - sums[first]) / lengths
    best = int(np.argmax(cosines))
    return float(cosines[best]), best


def best_combination(similarity: Float32, vectors: Float32, count: int) -> float:
    """The cosine of a query with the sum of up to ``count`` frames, chosen greedily.

    Each step takes the frame with which the sum's cosine is largest, even where it falls by that: what few
    frames agree on is worth less than what many do.

    Args:
        similarity: S_c, (n,). vectors: V_E, (n, D). count: 1 or more.
    """
    left = similarity.copy()
    along, dot, square = np.zeros_like(left), 0.0, 0.0
    for _ in range(min(count, len(left))):
        cosines = (dot + left) / np.sqrt(np.maximum(square + 2 * along + 1, 1e-12))
        best = int(np.argmax(cosines))
        dot, square = dot + float(left[best]), square + 2 * float(along[best]) + 1
        along = along + vectors @ vectors[best]
        left[best] = -np.inf
    return dot / float(np.sqrt(max(square, 1e-12)))
