"""How the frames of one video resemble each other, whatever the query: worth keeping between queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

#: A window is compared with what lies around it in a stretch of this length.
CONTEXT_SECONDS = 150.0
#: How much lies before and after a place when a scene change is looked for there.
SCENE_SECONDS = 6.0
#: No candidate for a moment is longer. It equals the longest moment the parameters were fitted on.
LONGEST_SECONDS = 150.0
#: The strongest scene changes of a stretch of that length between which windows are proposed.
CHANGES_PER_CONTEXT = 10
_TINY = 1e-9
#: Cosines closer than this are equal: they are float32.
_SAME_CHANGE = 1e-6
#: Pairs of the four edges of three neighbouring stretches: each with itself, the next and the second next.
_FROM, _TO = [0, 1, 2, 3, 0, 1, 2, 0, 1], [0, 1, 2, 3, 1, 2, 3, 2, 3]


def frames_in(seconds: float, period_seconds: float) -> int:
    """The number of frames that lasts about so long, at least one."""
    return max(1, round(seconds / period_seconds))


def stretch_edges(n: int, period_seconds: float) -> Places:
    """Where a long video is divided: (stretches + 1,) frames, stretches of about :data:`CONTEXT_SECONDS`."""
    count = min(n, max(1, round(n * period_seconds / CONTEXT_SECONDS)))
    if count == 1:
        return np.array([0, n])
    return np.linspace(0, n, count + 1).astype(np.intp)


@dataclass(frozen=True)
class Likeness:
    """Sums of cosines between any two stretches of frames in constant time (integral image).

    Attributes:
        sums: integral images of the cosines of all pairs, one after the other, flat.
        base, row, offset: where the image that is read starts, its width, the place of its first frame in the
            video, which all methods count from; one number each, or (m,) where m questions go to several images.
    """

    sums: Floats
    base: int | Places
    row: int | Places
    offset: int | Places

    @classmethod
    def of(cls, cosines: NDArray[np.floating], offset: int) -> Likeness:
        """Of the cosines (n, n) of frames with each other, of which the first is frame ``offset`` of the video."""
        n = len(cosines)
        sums = np.zeros((n + 1, n + 1))
        np.cumsum(cosines, axis=0, dtype=np.float64, out=sums[1:, 1:])
        np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
        return cls(sums.ravel(), 0, n + 1, offset)

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self.sums.nbytes

    def between(self, a: Places, b: Places, c: Places, d: Places) -> Floats:
        """Sum of the cosines of frames ``a`` up to ``b`` with frames ``c`` up to ``d``, all of one shape."""
        a, b = (a - self.offset) * self.row + self.base, (b - self.offset) * self.row + self.base
        c, d = c - self.offset, d - self.offset
        at = self.sums.take
        total: Floats = at(b + d) - at(a + d) - at(b + c) + at(a + c)
        return total

    def of_neighbours(self, edges: Places) -> tuple[Floats, Floats]:
        """Sums of cosines within and between three neighbouring stretches, read at once.

        Args:
            edges: (4, m) frames: where the first, second and third stretch start, and where the third ends.

        Returns:
            (3, m) within each stretch; (2, m) between the second and the first, the second and the third.
        """
        edges = edges - self.offset
        sums = self.sums.take(edges[_FROM] * self.row + edges[_TO] + self.base)
        same, next_, second = sums[:4], sums[4:7], sums[7:]
        within = same[1:] - 2 * next_ + same[:-1]
        before = (next_[1] - second[0]) + (next_[0] - same[1])  # exactly 0 where a stretch is empty
        after = (next_[2] - same[2]) + (next_[1] - second[1])
        return within, np.stack((before, after))

    def scene_changes(self, places: Places, width: int, frames: int) -> Floats:
        """Minus the cosine between the mean vectors of up to ``width`` frames before and from each place on.

        Args:
            places: (k,) frames that have another before them.
            width: frames on each side.
            frames: of the whole video.
        """
        before, after = np.maximum(places - width, 0), np.minimum(places + width, frames)
        product = self.between(before, places, places, after)
        return -cosine(
            product, self.between(before, places, before, places), self.between(places, after, places, after)
        )


@dataclass(frozen=True)
class Part:
    """A stretch of a video, frames ``first`` up to ``end``, and what lies around it, ``low`` up to ``high``."""

    first: int
    end: int
    low: int
    high: int

    def cosines(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Of all its k frames with each other, (k, k), from V_E of the video."""
        near = vectors[self.low : self.high].astype(np.float32, copy=False)
        cosines: NDArray[np.float32] = near @ near.T
        return cosines


def parts_of(n: int, period_seconds: float, reach: int) -> list[Part]:
    """The stretches of a video of n frames, with ``reach`` frames on both sides or, at its ends, both on one."""
    edges, both = stretch_edges(n, period_seconds).tolist(), 2 * reach + 1
    return [
        Part(first, end, max(0, min(first - reach, n - both)), min(n, max(end + reach, both)))
        for first, end in pairwise(edges)
    ]


def joined(parts: Sequence[tuple[Likeness, int]], which: Places) -> Likeness:
    """Several as one, for (m,) questions of which each goes to one of them.

    Args:
        parts: of one image each, and the place of its video's first frame: places are counted on from there.
        which: (m,) numbers of the parts asked.
    """
    sizes = np.array([part.sums.size for part, _ in parts])
    rows = np.array([part.row for part, _ in parts])
    offsets = np.array([part.offset + start for part, start in parts])
    sums = parts[0][0].sums if len(parts) == 1 else np.concatenate([part.sums for part, _ in parts])
    return Likeness(sums, (np.cumsum(sizes) - sizes)[which], rows[which], offsets[which])


def scenes(change: NDArray[np.floating], edges: Places, longest_frames: int) -> tuple[Places, Places]:
    """Every stretch between two of the strongest scene changes, whatever S_c is.

    Args:
        change: (n - 1,) how much changes between each frame and the next.
        edges: where a long video is divided; each part gives :data:`CHANGES_PER_CONTEXT` changes.
        longest_frames: longer ones are left out.

    Returns:
        first frames, and one past the last, (k,) each.
    """
    n = change.shape[0] + 1
    padded = np.full(n + 1, -np.inf)
    padded[1:n] = change
    high = (padded[1:n] >= padded[: n - 1]) & (padded[1:n] >= padded[2 : n + 1])
    peak = np.flatnonzero(high & (change > change.mean() + _SAME_CHANGE)) + 1  # none where nothing changes
    by_part = np.split(peak, np.searchsorted(peak, edges[1:-1]))
    strongest = [part[np.argsort(-padded[part], kind="stable")[:CHANGES_PER_CONTEXT]] for part in by_part]
    is_place = np.zeros(n + 1, dtype=bool)
    is_place[np.concatenate(([0, n], *strongest)).astype(np.intp)] = True
    places = np.flatnonzero(is_place)
    reach = np.searchsorted(places, places + longest_frames, side="right") - np.arange(len(places)) - 1
    first = np.repeat(np.arange(len(places)), reach)
    steps = np.arange(len(first)) - np.repeat(np.cumsum(reach) - reach, reach) + 1
    return places[first], places[first + steps]


@dataclass(frozen=True)
class Structure:
    """What the frames' vectors say whatever the query is.

    Attributes:
        edges: of the stretches of the video, from :func:`stretch_edges`.
        parts: one likeness for each stretch, reaching some way beyond it on both sides.
        period_seconds: T.
    """

    edges: Places
    parts: list[Likeness]
    period_seconds: float

    @classmethod
    def of(cls, vectors: NDArray[np.floating], period_seconds: float) -> Structure:
        """Of one video with V_E (n, D) unit; no context of a window reaches beyond what is around its part."""
        reach = frames_in(1.25 * CONTEXT_SECONDS, period_seconds)
        parts = [
            Likeness.of(part.cosines(vectors), part.low) for part in parts_of(len(vectors), period_seconds, reach)
        ]
        return cls(stretch_edges(len(vectors), period_seconds), parts, period_seconds)

    @cached_property
    def change(self) -> Floats:
        """(n - 1,) how little the frames before each frame resemble those from it on, from frame 1."""
        width = frames_in(SCENE_SECONDS, self.period_seconds)
        return np.concatenate(
            [
                part.scene_changes(np.arange(max(1, first), end), width, self._frames)
                for part, (first, end) in zip(self.parts, pairwise(self.edges.tolist()), strict=True)
            ]
        )

    @cached_property
    def scenes(self) -> tuple[Places, Places]:
        """First frames, and one past the last, of the stretches between the strongest scene changes."""
        if self._frames == 1:
            return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
        return scenes(self.change, self.edges, frames_in(LONGEST_SECONDS, self.period_seconds))

    @property
    def _frames(self) -> int:
        return int(self.edges[-1])

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return sum(part.nbytes for part in self.parts)


def cosine(product: Floats, square_a: Floats, square_b: Floats) -> Floats:
    """From an inner product and the two squared lengths."""
    norm = np.sqrt(np.maximum(square_a * square_b, 0.0))
    cosines: Floats = product / np.maximum(norm, _TINY)
    return cosines
