"""What ranking keeps of a video, whatever the query is: how its frames resemble each other, in both spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from indexer.vectors import Float32
from searcher.structure import Floats, Likeness, Part, Places, parts_of
from searcher.whitening import Whitening

#: Lengths of the stretches that are compared as a whole, the shortest first.
STRETCHES_SECONDS = (18.0, 34.0, 66.0)
#: The frames that are combined lie within this much of a video, around its best stretch.
COMBINED_WITHIN_SECONDS = 150.0
#: Squared lengths are at least this: float32 knows nothing smaller of what is about 1.
_TINY = np.float32(1e-12)


def half_widths(period_seconds: float) -> list[int]:
    """Frames on each side of a frame that belong to the stretch around it, for each length."""
    return [int(seconds / period_seconds / 2) for seconds in STRETCHES_SECONDS]


def combined_reach(period_seconds: float) -> int:
    """Frames on each side of the middle of a video's best stretch among which some are combined."""
    return round(COMBINED_WITHIN_SECONDS / period_seconds / 2)


def stretches_around(
    centres: Places, half_width: int | Places, lowest: int | Places, highest: int | Places
) -> tuple[Places, Places]:
    """First frames, and one past the last, of the stretches around frames, cut at the ends of their videos."""
    return np.maximum(centres - half_width, lowest), np.minimum(centres + half_width + 1, highest)


def band_start(frames: Places, reach: int, n: int | Places) -> Places:
    """The first of the frames up to ``reach`` from each of ``frames``, as many for each, of videos of n frames."""
    starts: Places = np.maximum(0, np.minimum(frames - reach, n - 2 * reach - 1))
    return starts


@dataclass(frozen=True)
class Frames:
    """The n frames of one video in one space; not their vectors.

    Attributes:
        period_seconds: T.
        lengths: (3, n) float32, of the sums of the vectors of the stretch around each frame, for each of
            :data:`STRETCHES_SECONDS`.
        cosines: (n, m) float32, of each frame with as many near it, the first of which is :func:`band_start`.
        scale: (n,) float32, by what products with the frames must be multiplied to be cosines in this space.
    """

    period_seconds: float
    lengths: Float32
    cosines: Float32
    scale: Float32

    @classmethod
    def of(
        cls, parts: Sequence[Part], cosines: Sequence[Float32], scale: Float32, period_seconds: float
    ) -> Frames:
        """Prepare them; ``cosines``: of all k frames of each of the video's ``parts`` with each other, (k, k)."""
        lengths = [_lengths(*one, len(scale), period_seconds) for one in zip(parts, cosines, strict=True)]
        bands = [_band(*one, len(scale), period_seconds) for one in zip(parts, cosines, strict=True)]
        return cls(period_seconds, np.concatenate(lengths, axis=1), np.concatenate(bands), scale)

    def __len__(self) -> int:
        return len(self.scale)

    @property
    def nbytes(self) -> int:
        """Memory they take."""
        return self.lengths.nbytes + self.cosines.nbytes + self.scale.nbytes


@dataclass(frozen=True)
class Prepared:
    """A video ready to be ranked for any query.

    Attributes:
        spaces: its frames in the encoder's own space, and whitened where the corpus is large enough for that.
    """

    spaces: tuple[Frames, ...]

    @classmethod
    def of(cls, vectors: Float32, period_seconds: float, whitening: Whitening | None) -> Prepared:
        """Prepare a video with V_E (n, D).

        Its frames are not whitened for that: inner products of whitened frames follow from those of the frames.
        """
        reach = 2 * combined_reach(period_seconds)  # as far as combined frames lie apart
        parts = parts_of(len(vectors), period_seconds, reach)
        products = [part.cosines(vectors) for part in parts]
        own = Frames.of(parts, products, np.ones(len(vectors), np.float32), period_seconds)
        if whitening is None:
            return cls((own,))
        cosines, scale = _whitened(parts, products, whitening.coordinates(vectors), whitening)
        return cls((own, Frames.of(parts, cosines, scale, period_seconds)))

    @cached_property
    def levels(self) -> dict[int, Floats]:
        """The level of chance in each space by the number of frames combined, as far as it was asked for."""
        return {}

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return sum(frames.nbytes for frames in self.spaces)


def _whitened(
    parts: Sequence[Part], products: Sequence[Float32], coordinates: Float32, whitening: Whitening
) -> tuple[list[Float32], Float32]:
    """Cosines (k, k) of the frames of each part when whitened, and by what (n,) whitened ones are as long as 1."""
    cosines, scale = list[Float32](), np.empty(len(coordinates), np.float32)
    for part, plain in zip(parts, products, strict=True):
        whitened = whitening.products(plain, coordinates[part.low : part.high])
        squares = whitened.diagonal()
        here = np.where(squares > 0, 1 / np.sqrt(np.maximum(squares, _TINY)), 0).astype(np.float32)
        whitened *= here
        whitened *= here[:, None]
        scale[part.low : part.high] = here
        cosines.append(whitened)
    return cosines, scale


def _lengths(part: Part, cosines: Float32, n: int, period_seconds: float) -> Float32:
    """Lengths of the sums of the vectors of the stretches around the frames of a part: (3, frames)."""
    half = np.array(half_widths(period_seconds))[:, None]
    first, end = stretches_around(np.arange(part.first, part.end), half, 0, n)
    low, high = int(first.min()), int(end.max())
    near = slice(low - part.low, high - part.low)  # stretches reach less far than combined frames
    squares = Likeness.of(cosines[near, near], low).between(first, end, first, end)
    lengths: Float32 = np.sqrt(np.maximum(squares, _TINY)).astype(np.float32)
    return lengths


def _band(part: Part, cosines: Float32, n: int, period_seconds: float) -> Float32:
    """Of the frames of a part with those near them: (frames, m)."""
    reach = 2 * combined_reach(period_seconds)
    width = 2 * reach + 1
    if n <= width:
        return cosines[part.first : part.end]
    frames = np.arange(part.first, part.end)
    windows = sliding_window_view(cosines, width, axis=1)
    band: Float32 = windows[frames - part.low, band_start(frames, reach, n) - part.low]
    return band
