"""What is said of each candidate window (:data:`searcher.rankers.FEATURES`): of many windows in few calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from searcher.level_sets import Candidates
from searcher.reel import Reel
from searcher.structure import CONTEXT_SECONDS, Floats, Places, cosine, frames_in

#: Of the widths of :data:`searcher.reel.WIDTHS_SECONDS` the features read these smoothed levels.
LEVEL_WIDTHS = (1, 3)
#: The least length of the neighbourhoods beside a window whose likeness to it is read.
BESIDE_SECONDS = 4.0
#: Taken for the mean outside a window that is the whole context.
_NOTHING_OUTSIDE = -0.5
_LENGTH_UNIT_SECONDS = 2.0
_TINY = 1e-9


class _Minima:
    """Smallest value of any stretch of several rows in constant time (sparse table).

    Args:
        rows: (w, n). longest: no stretch is longer.
    """

    def __init__(self, rows: Floats, longest: int) -> None:
        width, n = rows.shape
        levels = max(1, longest.bit_length())
        table = np.full((levels, n, width), np.inf)
        table[0] = rows.T
        for k in range(1, levels):
            step = 1 << (k - 1)
            np.minimum(table[k - 1, :-step], table[k - 1, step:], out=table[k, :-step])
        self._frames, self._table = n, table.reshape(-1, width)

    def __call__(self, first: Places, end: Places) -> Floats:
        """(m,) and (m,) → (w, m); stretches are not empty."""
        power = np.frexp(end - first)[1] - 1
        row = power * self._frames
        found: Floats = np.minimum(
            self._table.take(row + first, axis=0), self._table.take(row + end - (1 << power), axis=0)
        )
        lowest: Floats = found.T
        return lowest


class _Means:
    """Means of any stretch of a row, or of several, in constant time; 0 for an empty one."""

    def __init__(self, rows: Floats) -> None:
        self._sums = np.zeros((*rows.shape[:-1], rows.shape[-1] + 1))
        rows.cumsum(axis=-1, out=self._sums[..., 1:])

    def __call__(self, first: Places, end: Places) -> Floats:
        """(m,) and (m,) → (m,), of several rows (r, m)."""
        at = self._sums.take
        means: Floats = (at(end, axis=-1) - at(first, axis=-1)) / np.maximum(end - first, 1)
        return means


@dataclass(frozen=True)
class _View:
    """Curves and their candidates, prepared for the features.

    Attributes:
        levels: (w, n), the smoothed curves at :data:`LEVEL_WIDTHS`.
        owner: (m,) number of each candidate's video; start, stop: (m,) first and one past the last frame of it.
        low, high: (m,) ends of each candidate's context.
    """

    reel: Reel
    candidates: Candidates
    levels: Floats
    owner: Places
    start: Places
    stop: Places
    low: Places
    high: Places

    @classmethod
    def of(cls, reel: Reel, candidates: Candidates, curves: Floats) -> _View:
        """From (w, n) ``curves`` of :func:`searcher.reel.smoothed`."""
        owner = reel.owner[candidates.first]
        start, count = reel.starts[owner], reel.counts[owner]
        low, span = _context(candidates, start, count, reel.period_seconds)
        return cls(reel, candidates, curves[list(LEVEL_WIDTHS)], owner, start, start + count, low, low + span)


def _context(candidates: Candidates, start: Places, count: Places, period_seconds: float) -> tuple[Places, Places]:
    """The stretch each candidate is judged in, centred on it, moved to lie within the video: starts, lengths."""
    length = candidates.end - candidates.first
    span = np.minimum(count, np.maximum(frames_in(CONTEXT_SECONDS, period_seconds), 2 * length))
    low = np.clip(candidates.first - start + length // 2 - span // 2, 0, count - span)
    return start + low, span


def features(reel: Reel, candidates: Candidates, curves: Floats) -> Floats:
    """Numbers about each candidate: (m, len(FEATURES)) float64, without vectors (m, len(CURVE_FEATURES)).

    Args:
        reel: the videos through the query; S_c is the raw one.
        candidates: m of them.
        curves: (w, n) from :func:`searcher.reel.smoothed`.
    """
    view = _View.of(reel, candidates, curves)
    rows = [*_similarity_features(view), *_shape_features(view), *_change_features(view)]
    if reel.structures is not None:
        rows += [*_likeness_features(view)]
    values: Floats = np.concatenate(rows).reshape(len(rows), -1).T
    return values


def _similarity_features(view: _View) -> list[Floats]:
    """What S_c says, as it is and smoothed."""
    reel = view.reel
    # The variance is a difference of squares: keep them small.
    raw = reel.raw - (np.add.reduceat(reel.raw, reel.starts) / reel.counts)[reel.owner]
    means = _Means(np.concatenate((raw[None], (raw * raw)[None], view.levels)))
    inside = means(view.candidates.first, view.candidates.end)
    centre, square = means(view.low, view.high)[:2]
    scale = np.sqrt(np.maximum(square - centre**2, 0.0)) + _TINY * (_ranges(reel)[view.owner] + _TINY)
    return [*_mean_features(view, (inside[0] - centre) / scale), *_level_features(view, inside[2:])]


def _ranges(reel: Reel) -> Floats:
    """Largest less smallest S_c of each video, (v,)."""
    ranges: Floats = np.maximum.reduceat(reel.raw, reel.starts) - np.minimum.reduceat(reel.raw, reel.starts)
    return ranges


def _mean_features(view: _View, inside: Floats) -> list[Floats]:
    """Means of S_c inside (as given) and outside, in standard deviations of the context, and their separation."""
    length, span = view.candidates.end - view.candidates.first, view.high - view.low
    rest = span - length
    outside = np.where(rest > 0, -inside * length / np.maximum(rest, 1), _NOTHING_OUTSIDE)
    return [inside, outside, (inside - outside) * np.sqrt(length * rest / span + 0.25) / 3.0]


def _level_features(view: _View, level: Floats) -> Floats:
    """Floor, level and drop of the smoothed curves, 0..1 within the context: their means (2, m) → (6, m)."""
    first, end, levels = view.candidates.first, view.candidates.end, view.levels
    longest = int((view.high - view.low).max())
    lowest = _Minima(levels, longest)
    bottom, top = lowest(view.low, view.high), -_Minima(-levels, longest)(view.low, view.high)
    span = top - bottom
    span += _TINY * (_ranges(view.reel)[view.owner] + _TINY)
    floor = lowest(first, end)
    left = np.where(first > view.start, levels.take(first - 1, axis=1, mode="clip"), -np.inf)
    right = np.where(end < view.stop, levels.take(end, axis=1, mode="clip"), -np.inf)
    drop = floor - np.maximum(np.maximum(left, right), bottom)
    return np.concatenate(((floor - bottom) / span, (level - bottom) / span, drop / span))


def _shape_features(view: _View) -> list[Floats]:
    first, end = view.candidates.first, view.candidates.end
    log_length = np.log((end - first) * (view.reel.period_seconds / _LENGTH_UNIT_SECONDS))
    at_start, at_end = (first == view.start).astype(np.float64), (end == view.stop).astype(np.float64)
    return [log_length, (log_length - 2.0) ** 2, at_start + at_end, at_start * at_end]


def _change_features(view: _View) -> list[Floats]:
    """How much changes from frame to frame at the ends: the fall of CFS_c, also inside, and scene changes.

    In standard deviations of the context; 1 at the ends of the video.
    """
    first, end, reel = view.candidates.first, view.candidates.end, view.reel
    rows = [reel.by_frame([1.0 - curve.next_similarity.astype(np.float64) for curve in reel.curves])]
    if reel.structures is not None:
        rows.append(reel.by_frame([structure.change for structure in reel.structures]))
    at, k = np.stack(rows), len(rows)
    of_context = _Means(np.concatenate((at, at * at)))(view.low + 1, view.high)
    centre = of_context[:k]
    scale = np.sqrt(np.maximum(of_context[k:] - centre**2, 0.0)) + _TINY
    left = np.where(first > view.start, (at.take(first, axis=1) - centre) / scale, 1.0)
    right = np.where(end < view.stop, (at.take(end, axis=1, mode="clip") - centre) / scale, 1.0)
    mean, worse = (left + right) / 2, np.minimum(left, right)
    fall = _Means(at[0])(np.minimum(first + 1, end), end)
    inside = np.where(end - first > 1, (fall - centre[0]) / scale[0], 0.0)
    return [mean[0], worse[0], inside, *mean[1:], *worse[1:]]


def _likeness_features(view: _View) -> Floats:
    """How frames resemble each other inside, outside and beside each candidate: (4, m)."""
    first, end, low, high = view.candidates.first, view.candidates.end, view.low, view.high
    likeness = view.reel.likeness(stretch_of(view.candidates, view.reel.edges))
    length = end - first
    half = np.maximum(frames_in(BESIDE_SECONDS, view.reel.period_seconds), np.rint(length / 2)).astype(np.intp)
    before, after = np.maximum(first - half, low), np.minimum(end + half, high)
    (left, inside, right), (to_left, to_right) = likeness.of_neighbours(np.stack((before, first, end, after)))
    around = likeness.between(first, end, low, high)
    outside = likeness.between(low, high, low, high) - 2 * around + inside
    products, squares = np.stack((around - inside, to_left, to_right)), np.stack((outside, left, right))
    cosines = cosine(products, inside, squares)
    beside = -cosines[1:]
    return np.stack((inside / length**2, cosines[0], (beside[0] + beside[1]) / 2, beside.min(axis=0)))


def stretch_of(candidates: Candidates, edges: Places) -> Places:
    """The stretch in which the middle of each candidate lies: (m,)."""
    stretch: Places = np.searchsorted(edges, (candidates.first + candidates.end - 1) // 2, side="right") - 1
    return stretch
