"""Curves of several videos one after the other, so that NumPy is called once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from searcher.similarity import Curve
from searcher.structure import Floats, Likeness, Places, Structure, joined, stretch_edges

#: Standard deviations of the Gaussians that smooth S_c before its level sets are taken; 0 is S_c itself.
WIDTHS_SECONDS = (0.0, 2.0, 4.0, 6.0, 9.0, 12.0)
#: Frames of the curves that are looked at together; their parts' likeness takes up to 40 MB.
_FRAMES_AT_ONCE = 4096


@dataclass(frozen=True)
class Reel:
    """v curves; frames are counted from the first of the first video on, n in all.

    Attributes:
        curves: of one sampling period, all with frame vectors or all without.
        starts: (v,) first frame of each video.
        edges: (stretches + 1,) where stretches start, of all videos (:func:`searcher.structure.stretch_edges`).
    """

    curves: Sequence[Curve]
    starts: Places
    edges: Places

    @classmethod
    def of(cls, curves: Sequence[Curve]) -> Reel:
        """Lay curves one after the other."""
        ends = np.cumsum([len(curve) for curve in curves])
        starts = np.concatenate(([0], ends[:-1]))
        edges = [stretch_edges(len(c), c.period_seconds)[:-1] + s for c, s in zip(curves, starts, strict=True)]
        return cls(curves, starts, np.concatenate((*edges, ends[-1:])))

    def __len__(self) -> int:
        return int(self.edges[-1])

    @property
    def period_seconds(self) -> float:
        """T."""
        return self.curves[0].period_seconds

    @cached_property
    def counts(self) -> Places:
        """(v,) frames of each video."""
        return np.diff(self.starts, append=len(self))

    @cached_property
    def owner(self) -> Places:
        """(n,) number of the video that each frame belongs to."""
        return np.repeat(np.arange(len(self.curves)), self.counts)

    @cached_property
    def raw(self) -> Floats:
        """S_c before postprocessing, (n,) float64."""
        return np.concatenate([curve.raw for curve in self.curves]).astype(np.float64)

    @cached_property
    def structures(self) -> list[Structure] | None:
        """How the frames of each video resemble each other; None for curves without vectors."""
        found = [
            Structure.of(curve.vectors, curve.period_seconds) if curve.structure is None else curve.structure
            for curve in self.curves
            if curve.vectors is not None
        ]
        return found or None

    def likeness(self, stretches: Places) -> Likeness:
        """Of the frames around each of (m,) stretches, by their numbers."""
        structures = self.structures or []
        places = zip(structures, self.starts.tolist(), strict=True)
        return joined([(part, start) for structure, start in places for part in structure.parts], stretches)

    def by_frame(self, of_changes: Sequence[NDArray[np.floating]]) -> Floats:
        """What lies between each frame and the one before: (frames - 1,) of each video → (n,), 0 at its start."""
        return np.concatenate([part for one in of_changes for part in (_ZERO, one)])


_ZERO = np.zeros(1)


def reels(curves: Sequence[Curve]) -> Iterator[Reel]:
    """Curves in their order, as many together as belong together; a long one has a reel of its own."""
    some: list[Curve] = []
    frames = 0
    for curve in curves:
        is_other = some and (curve.vectors is None) != (some[0].vectors is None)
        if some and (is_other or frames + len(curve) > _FRAMES_AT_ONCE):
            yield Reel.of(some)
            some, frames = [], 0
        some.append(curve)
        frames += len(curve)
    if some:
        yield Reel.of(some)


def smoothed(reel: Reel) -> Floats:
    """S_c of each video, its ends going on for ever, at every one of :data:`WIDTHS_SECONDS`: (w, n) float64.

    As ``scipy.ndimage.gaussian_filter1d(…, mode="nearest")``, whose import is a third of a search.
    """
    widths = [width / reel.period_seconds for width in WIDTHS_SECONDS]
    reach = _reach(max(widths))
    padded_counts = reel.counts + 2 * reach
    starts = np.repeat(np.cumsum(padded_counts) - padded_counts, padded_counts)
    place = np.arange(len(starts)) - starts - reach  # in its video
    last = np.repeat(reel.counts - 1, padded_counts)
    padded = reel.raw[np.repeat(reel.starts, padded_counts) + np.clip(place, 0, last)]
    inside = np.flatnonzero((place >= 0) & (place <= last))
    return np.stack([np.convolve(padded, _kernel(w), mode="same")[inside] if w else reel.raw for w in widths])


def _reach(width: float) -> int:
    return int(4 * width + 0.5)


def _kernel(width: float) -> Floats:
    reach = _reach(width)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel: Floats = weights / weights.sum()
    return kernel
