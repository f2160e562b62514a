"""Candidate windows: the level sets of smoothed curves, and stretches between scene changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from searcher.structure import Floats, Places


@dataclass(frozen=True)
class Candidates:
    """Windows that might be moments, m of them, in order of their frames.

    Attributes:
        first: (m,) intp, first frames; ``end``: (m,) intp, one past the last.
        level_set: (m,) bool, it is a level set of a smoothed curve; else it lies between scene changes only.
    """

    first: Places
    end: Places
    level_set: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.first.shape[0])

    def take(self, members: Places) -> Candidates:
        """Those at the places ``members``."""
        return Candidates(self.first[members], self.end[members], self.level_set[members])


_NO_WINDOWS: tuple[Places, Places] = (np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp))
_ONE_VIDEO: Places = np.zeros(1, dtype=np.intp)


def _last_lower(values: Floats) -> Places:
    """Place of the nearest strictly lower value to the left of each, (k,) → (k,); ``values[0]`` is -inf.

    Places that hold -inf are walls: nothing looks past them, and what is said of them means nothing.

    Every round follows the pointers of the pointers, so rounds grow with the logarithm of k.
    """
    pointer = np.arange(-1, values.shape[0] - 1)
    pending = np.flatnonzero(values > -np.inf)
    while pending.size:
        pending = pending[values[pointer[pending]] >= values[pending]]
        pointer[pending] = pointer[pointer[pending]]
    return pointer


def _first_frames(curves: NDArray[np.floating], owner: Places) -> Places:
    """For each frame of (w, n) curves the first of the longest run up to it that is nowhere lower: (w, n).

    Args:
        owner: (n,) number of each frame's video, rising from 0; no run goes past a video's start.
    """
    widths, n = curves.shape
    walled = np.full((widths, n + int(owner[-1]) + 1), -np.inf)  # each video after a wall
    place = np.arange(n) + owner + 1
    walled[:, place] = curves
    lower = _last_lower(walled.ravel()).reshape(walled.shape)[:, place]
    first: Places = lower - owner - np.arange(widths)[:, None] * walled.shape[1]
    return first


def level_sets(
    curves: NDArray[np.floating],
    longest_frames: int,
    others: tuple[Places, Places] = _NO_WINDOWS,
    starts: Places = _ONE_VIDEO,
) -> Candidates:
    """Every level set of every curve, (w, n), and some other windows, each once.

    For each frame, the longest run around it that is nowhere lower than it: these runs are all that any
    threshold can cut out of a curve, at most n of them, so no threshold has to be chosen.

    Args:
        curves: S_c of one video, or of several one after the other, at several smoothing widths.
        longest_frames: longer runs are left out, unless that leaves nothing of a video.
        others: first frames, and one past the last, (k,) each.
        starts: (v,) first frame of each video.
    """
    n = curves.shape[1]
    owner = np.repeat(np.arange(len(starts)), np.diff(starts, append=n))
    first = _first_frames(curves, owner)
    end = n - _first_frames(curves[:, ::-1], owner[-1] - owner[::-1])[:, ::-1]
    kept = end - first <= longest_frames
    kept |= ~np.logical_or.reduceat(kept.any(axis=0), starts)[owner]
    first, end = first[kept], end[kept]
    marks = np.zeros(len(first) + len(others[0]), dtype=bool)
    marks[: len(first)] = True
    return _distinct(np.concatenate((first, others[0])), np.concatenate((end, others[1])), marks)


def _distinct(first: Places, end: Places, level_set: NDArray[np.bool_]) -> Candidates:
    span = int(end.max()) + 1
    codes = np.sort((first * span + end) * 2 + ~level_set)  # of equal windows the level set comes first
    windows = codes >> 1
    fresh = np.ones(len(codes), dtype=bool)
    np.not_equal(windows[1:], windows[:-1], out=fresh[1:])
    windows = windows[fresh]
    return Candidates(windows // span, windows % span, (codes[fresh] & 1) == 0)
