"""A second look at the ends of a moment: where between two frames of the grid does the picture change?

The grid tells what is inside and what lies beside. Frames sampled closely around an end are put in order of time
and parted once, so that those before and after the change lie nearest to the two sides' mean vectors along the
line that joins them (a change point by least squares).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from indexer.vectors import Float32
from searcher.rank import Moment

#: Each interval between two frames of the library is divided into so many parts: half a second at 2 s.
STEPS = 4

#: What a move costs for each frame of the grid, in squared distances between the two sides: where the change is
#: not clear, the end stays.
RELUCTANCE = 0.6
#: Frames of the grid beside a moment that tell what lies there.
BESIDE_FRAMES = 3


def times_around(place: int, period_seconds: float, duration_seconds: float, steps: int) -> NDArray[np.float64]:
    """The times to look at around frame ``place`` of the grid: one frame before to one after, without the grid's.

    Args:
        place: an end of a moment, a frame of the grid.
        period_seconds: T. duration_seconds: nothing is looked at from there on.
        steps: parts into which each T is divided.
    """
    numbers = np.arange((place - 1) * steps + 1, (place + 1) * steps)
    times: NDArray[np.float64] = numbers[numbers % steps != 0] * (period_seconds / steps)
    return times[(times > 0) & (times < duration_seconds)]


def sides(vectors: Float32, first: int, end: int, is_start: bool) -> tuple[Float32, Float32] | None:
    """Mean vectors before and after an end of the moment ``first`` … ``end``; None at the video's border.

    Args:
        vectors: V_E on the grid, (n, D).
        first, end: frames of the moment, one past the last. is_start: which of its ends.
    """
    inside = vectors[first:end].mean(axis=0)
    beside = vectors[max(0, first - BESIDE_FRAMES) : first] if is_start else vectors[end : end + BESIDE_FRAMES]
    if not len(beside):
        return None
    outside = beside.mean(axis=0)
    return (outside, inside) if is_start else (inside, outside)


def change_point(vectors: Float32, before: Float32, after: Float32, cost: NDArray[np.floating]) -> int:
    """The first of (k, D) vectors in order of time that is nearer to ``after``: 1 … k - 1.

    Args:
        vectors: k of them, 2 or more.
        before, after: (D,) what the first and the last of them should look like.
        cost: (k,) of each being the first.
    """
    along = after - before
    place = (vectors @ along - before @ along) / max(float(along @ along), 1e-12)  # 0 before, 1 after
    as_before, as_after = np.cumsum(place**2), np.cumsum((place[::-1] - 1) ** 2)[::-1]
    return 1 + int(np.argmin(as_before[:-1] + as_after[1:] + cost[1:]))


def moved_end(
    place: int,
    fine: Float32,
    fine_places: NDArray[np.float64],
    vectors: Float32,
    before: Float32,
    after: Float32,
) -> tuple[float, float]:
    """Where an end lies, in frames of the grid: the last sample before the change, and the first after it.

    Args:
        place: the end on the grid.
        fine: (k, D) vectors between. fine_places: (k,) where, in frames of the grid.
        vectors: V_E on the grid.
        before, after: from :func:`sides`.
    """
    grid = np.arange(max(0, place - 1), min(len(vectors), place + 2))
    unordered = np.concatenate([grid.astype(np.float64), fine_places])
    order = np.argsort(unordered)
    places = unordered[order]
    near = np.concatenate([vectors[grid], fine])[order]
    found = change_point(near, before, after, RELUCTANCE * np.abs(places - place))
    return float(places[found - 1]), float(places[found])


def refined(
    moment: Moment, vectors: Float32, period_seconds: float, look: Callable[[Sequence[float]], Float32]
) -> Moment:
    """A moment with its ends between the frames of the library.

    At most ``4 · STEPS - 4`` pictures are looked at.

    Args:
        moment: a found one.
        vectors: V_E of its video, (n, D). period_seconds: T of the library.
        look: times in seconds, rising → (k, D) unit vectors of what is shown then; fewer where the video is over.
    """
    first = round(moment.start_seconds / period_seconds)
    end = min(len(vectors), max(first + 1, round(moment.end_seconds / period_seconds)))

    def end_at(is_start: bool, unmoved: float) -> float:
        place = first if is_start else end
        around = sides(vectors, first, end, is_start)
        times = times_around(place, period_seconds, moment.video_seconds, STEPS)
        if around is None or not len(times):
            return unmoved
        fine = look(times.tolist())
        low, high = moved_end(place, fine, times[: len(fine)] / period_seconds, vectors, *around)
        return min((low + high) / 2 * period_seconds, moment.video_seconds)

    start_seconds, end_seconds = end_at(True, moment.start_seconds), end_at(False, moment.end_seconds)
    if start_seconds >= end_seconds:
        return moment
    return replace(moment, start_seconds=start_seconds, end_seconds=end_seconds)
