"""From unit vectors to the two arrays the method works on (thesis section 3.5)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from searcher.structure import Structure

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Curve:
    """One video seen through one query.

    Frame ``i`` is the picture at ``i * period_seconds`` and stands for the interval up to the next
    frame, cut at the video's end.

    Attributes:
        similarity: S_c, (n,) float32, raw cosines or what a postprocessing made of them.
        next_similarity: CFS_c, (n-1,) float32: cosine of each frame with the one after it.
        period_seconds: the sampling period T.
        duration_seconds: the video's length; the last frame's interval ends here.
        corpus_range: (min, max) of S_c over all frames of the corpus, for ``adjust_norm``.
        vectors: V_E, (n, D) floating unit vectors, for localisers that look at how frames resemble each
            other beyond the next one; None where only similarities are known.
        before: S_c before postprocessing, (n,) float32; None while ``similarity`` still is that.
        structure: how the vectors resemble each other, where it is at hand; else it is computed when needed.

    Raises:
        ValueError: shapes that do not belong together, or no frame at all.
    """

    similarity: Float32
    next_similarity: Float32
    period_seconds: float
    duration_seconds: float
    corpus_range: tuple[float, float] | None = None
    vectors: NDArray[np.floating] | None = None
    before: Float32 | None = None
    structure: Structure | None = None

    def __post_init__(self) -> None:
        n = self.similarity.shape[0] if self.similarity.ndim == 1 else 0
        if n == 0 or self.next_similarity.shape != (n - 1,):
            raise ValueError(
                f"S_c {self.similarity.shape} and CFS_c {self.next_similarity.shape} are not (n,) and (n-1,)"
            )
        if self.period_seconds <= 0 or self.duration_seconds <= 0:
            raise ValueError("period and duration must be positive")
        if self.vectors is not None and (self.vectors.ndim != 2 or self.vectors.shape[0] != n):
            raise ValueError(f"{n} frames and vectors of shape {self.vectors.shape} do not belong together")

    def __len__(self) -> int:
        return int(self.similarity.shape[0])

    def with_similarity(self, similarity: NDArray[np.floating]) -> Curve:
        """The same video with S_c replaced, as float32; :attr:`raw` stays what it was."""
        return replace(self, similarity=np.ascontiguousarray(similarity, dtype=np.float32), before=self.raw)

    @property
    def raw(self) -> Float32:
        """S_c before postprocessing, (n,) float32."""
        return self.similarity if self.before is None else self.before

    def seconds(self, frame: int) -> float:
        """The time at which ``frame`` starts, never past the video's end."""
        return min(frame * self.period_seconds, self.duration_seconds)


def frame_similarity(vectors: NDArray[np.floating], query: Float32) -> Float32:
    """S_c = V_E · Q_E (eq. 1): (n, D) and (D,) unit vectors → (n,) float32."""
    similarity: Float32 = np.matmul(vectors, query, dtype=np.float32)
    return similarity
