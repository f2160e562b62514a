"""Moment proposals: candidate windows from the level sets of S_c, ranked, then pruned.

Four steps: :func:`searcher.level_sets.level_sets` (every level set of S_c smoothed at several widths is a
candidate), :mod:`searcher.features` (scale-free numbers about each candidate), a ranker (fixed formula or fitted;
:mod:`searcher.rankers`) and :func:`choose_each` (the first window by expected IoU, the others by soft non-maximum
suppression). All four take many videos at once, one after the other (:mod:`searcher.reel`). NumPy only; cost is
linear in the videos' length.

Every length is in seconds, so another sampling period changes no setting. What lies around a window is
judged within :data:`CONTEXT_SECONDS`, so a window in an hour of film is judged as in a clip of that length.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searcher.features import LEVEL_WIDTHS, features, stretch_of
from searcher.level_sets import Candidates, level_sets
from searcher.rankers import formula, load_rankers
from searcher.reel import Reel, reels, smoothed
from searcher.similarity import Curve
from searcher.structure import LONGEST_SECONDS, Floats, Places, frames_in, scenes, stretch_edges

#: First frame, one past the last, confidence.
Found = tuple[int, int, float]

#: Windows returned for each stretch of :data:`searcher.structure.CONTEXT_SECONDS`.
WINDOWS_PER_CONTEXT = 10
#: Windows of neighbouring stretches that overlap more are one: the better one stays.
REPEAT_IOU = 0.7
#: Best candidates of a stretch that compete for being returned.
_COMPETITORS = 100
#: Stretches whose competitors are compared at once: more are out of the processor's caches.
_STRETCHES_AT_ONCE = 4
_TINY = 1e-9
#: Temperature of the distribution over candidates under which the first window is chosen.
TEMPERATURE = 0.7
#: Soft-NMS: a window's score is multiplied by exp(-IoU³ / this) for each better one.
SOFT_NMS_SIGMA = 0.3
#: How much a stretch of a long video loses for each standard deviation of S_c that its peak stays below the
#: highest peak of the video; no part of a video of one stretch loses anything.
STRETCH_WEIGHT = 2.0


def overlaps(first: Places, end: Places) -> Floats:
    """IoU of every window with every other: (…, m), (…, m) → (…, m, m)."""
    a, b = first.astype(np.float64), end.astype(np.float64)
    both: Floats = np.minimum(b[..., :, None], b[..., None, :])
    both -= np.maximum(a[..., :, None], a[..., None, :])
    np.maximum(both, 0.0, out=both)
    length = b - a
    iou: Floats = length[..., :, None] + length[..., None, :]
    iou -= both
    np.divide(both, iou, out=iou)
    return iou


def choose(first: Places, end: Places, scores: Floats, count: int = WINDOWS_PER_CONTEXT) -> tuple[Places, Floats]:
    """As :func:`choose_each` of one stretch: (k,) places, (k,) confidences."""
    places, confidences = choose_each(first, end, scores, np.zeros(len(scores), dtype=np.intp), count)
    return places[places >= 0], confidences[places >= 0]


def choose_each(
    first: Places, end: Places, scores: Floats, groups: Places, count: int = WINDOWS_PER_CONTEXT
) -> tuple[Places, Floats]:
    """Which of the scored candidates of each stretch to return: places by falling confidence, confidences.

    The scores make a distribution over the candidates. The first window is the one with the largest
    expected IoU² under it (minimum Bayes risk), which is safer than the single most likely one. The others
    follow by probability, each lowered by its overlap with those already chosen (soft-NMS).

    Args:
        first, end: (m,) frames.
        scores: (m,) logarithms of relative odds.
        groups: (m,) number of the stretch that each belongs to, from 0 on.
        count: at most so many are returned of each.

    Returns:
        (s, count) places, -1 where a stretch has no more; (s, count) confidences in (0, 1], the first 1.
    """
    order, inside = _competitors(scores, groups)
    first, end = first[order], end[order]
    relative = np.where(inside, scores[order] - scores[order[:, :1]], -np.inf)
    blocks = [slice(at, at + _STRETCHES_AT_ONCE) for at in range(0, len(order), _STRETCHES_AT_ONCE)]
    expected = [_expected(first[block], end[block], relative[block]) for block in blocks]
    best = np.where(inside, np.concatenate(expected), -1.0).argmax(axis=1)
    rows = np.arange(len(order))
    chosen, logarithms = [best], [np.zeros(len(order))]
    for _ in range(1, min(count, order.shape[1])):
        relative -= _cubes(first, end, best) / SOFT_NMS_SIGMA
        relative[rows, best] = -np.inf
        best = relative.argmax(axis=1)
        chosen.append(best)
        logarithms.append(relative[rows, best])
    confidences = np.exp(np.stack(logarithms, axis=1))
    places = np.take_along_axis(order, np.stack(chosen, axis=1), axis=1)
    return np.where(confidences > 0, places, -1), confidences


def _competitors(scores: Floats, groups: Places) -> tuple[Places, NDArray[np.bool_]]:
    """The best candidates of each group by falling score, (s, k), and which of them there are, (s, k)."""
    order = np.lexsort((-scores, groups))
    counts = np.bincount(groups)
    ranks = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    best = ranks < _COMPETITORS
    places = np.zeros((len(counts), min(_COMPETITORS, int(counts.max(initial=0)))), dtype=np.intp)
    inside = np.arange(places.shape[1]) < counts[:, None]
    places[inside] = order[best]
    return places, inside


def _expected(first: Places, end: Places, relative: Floats) -> Floats:
    """IoU² with each candidate that is to be expected under the distribution, as multiples: (s, k)."""
    iou = overlaps(first, end)
    np.multiply(iou, iou, out=iou)
    expected: Floats = (iou @ np.exp(relative / TEMPERATURE)[:, :, None])[:, :, 0]
    return expected


def _cubes(first: Places, end: Places, best: Places) -> Floats:
    """IoU³ of each stretch's candidates, (s, k), with one of them, (s,)."""
    a = np.take_along_axis(first, best[:, None], axis=1)
    b = np.take_along_axis(end, best[:, None], axis=1)
    both = np.maximum(np.minimum(end, b) - np.maximum(first, a), 0)
    iou = both / (end - first + b - a - both)
    cubes: Floats = iou * iou * iou
    return cubes


def _losses(reel: Reel, curves: Floats) -> Floats:
    """What the confidences of each stretch lose, as a logarithm: (stretches,)."""
    peaks = np.maximum.reduceat(curves[LEVEL_WIDTHS[0]], reel.edges[:-1])
    video = reel.owner[reel.edges[:-1]]
    highest = np.maximum.reduceat(peaks, np.searchsorted(video, np.arange(len(reel.curves))))
    spread = np.array([float(curve.raw.std(dtype=np.float64)) for curve in reel.curves])
    losses: Floats = STRETCH_WEIGHT * (highest[video] - peaks) / (spread[video] + _TINY)
    return losses


def _candidates(reel: Reel, curves: Floats) -> Candidates:
    longest = frames_in(LONGEST_SECONDS, reel.period_seconds)
    if reel.structures is not None:
        others = [structure.scenes for structure in reel.structures]
    else:
        others = [_scenes(curve, longest) for curve in reel.curves]
    moved = [np.stack(windows) + start for windows, start in zip(others, reel.starts.tolist(), strict=True)]
    first, end = np.concatenate(moved, axis=1)
    return level_sets(curves, longest, (first, end), reel.starts)


def _scenes(curve: Curve, longest: int) -> tuple[Places, Places]:
    """Windows between scene changes by CFS_c, of a curve without vectors."""
    if len(curve) == 1:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    return scenes(-curve.next_similarity, stretch_edges(len(curve), curve.period_seconds), longest)


def describe(curve: Curve) -> tuple[Candidates, Floats]:
    """Candidates of a video and their features (m, f).

    The features are :data:`searcher.rankers.FEATURES`, of a curve without vectors its CURVE_FEATURES.
    """
    reel = Reel.of([curve])
    curves = smoothed(reel)
    candidates = _candidates(reel, curves)
    return candidates, features(reel, candidates, curves)


def propose(
    curves: Sequence[Curve], ranker: str = "fitted", parameters: str | Path | None = None
) -> list[list[Found]]:
    """The moments of each video: first frame, one past the last, confidence; best first.

    Args:
        curves: videos through a query; their raw S_c, CFS_c and, where they have them, frame vectors are read.
            What is computed for many at once costs less than one by one, and is the same but for rounding.
        ranker: ``fitted``, or ``formula`` for the one without fitted parameters.
        parameters: the file of the fitted ranker; None for the one that comes with the package.

    Returns:
        Of each up to :data:`WINDOWS_PER_CONTEXT` windows for each :data:`CONTEXT_SECONDS` of video. Confidences
        lie in (0, 1], 1 is the video's best: they order the windows of one video and compare within it only.

    Raises:
        InputError: a parameter file that cannot be read.
    """
    return [windows for reel in reels(curves) for windows in _proposed(reel, ranker, parameters)]


def _proposed(reel: Reel, ranker: str, parameters: str | Path | None) -> list[list[Found]]:
    curves = smoothed(reel)
    candidates = _candidates(reel, curves)
    values = features(reel, candidates, curves)
    rankers = None if ranker == "formula" else load_rankers(parameters)
    scores = formula(values) if rankers is None else rankers.for_curve(reel.curves[0]).score(values)
    stretches = stretch_of(candidates, reel.edges)
    occupied, groups = np.unique(stretches, return_inverse=True)
    places, confidences = choose_each(candidates.first, candidates.end, scores, groups)
    confidences *= np.exp(-_losses(reel, curves)[occupied])[:, None]
    return _by_video(reel, candidates, places[places >= 0], confidences[places >= 0])


def _by_video(reel: Reel, candidates: Candidates, places: Places, confidences: Floats) -> list[list[Found]]:
    """The windows at these places, in frames of their own videos, best first, none twice."""
    owner = reel.owner[candidates.first[places]]
    start = reel.starts[owner]
    found: list[list[Found]] = [[] for _ in reel.curves]
    rows = (owner, candidates.first[places] - start, candidates.end[places] - start, confidences)
    for video, *window in zip(*(row.tolist() for row in rows), strict=True):
        found[video].append(tuple(window))
    counts, stretches = reel.counts.tolist(), np.bincount(reel.owner[reel.edges[:-1]]).tolist()
    return [
        _best_first(windows, n / k if k > 1 else 0) for windows, n, k in zip(found, counts, stretches, strict=True)
    ]


def _best_first(found: list[Found], span: float) -> list[Found]:
    """By falling confidence; with stretches of ``span`` frames without those that two of them found."""
    found.sort(key=lambda window: -window[2])
    return sorted(_without_repeats(found, span), key=lambda window: -window[2]) if span else found


def _without_repeats(found: list[Found], span: float) -> list[Found]:
    """Without windows that overlap a better one by an IoU above :data:`REPEAT_IOU`; cost is linear.

    Args:
        found: by falling confidence.
        span: frames of a stretch, at least as long as every window.
    """
    kept: dict[int, list[Found]] = {}
    for window in found:
        home = int((window[0] + window[1]) / 2 // span)
        near = [other for place in (home - 1, home, home + 1) for other in kept.get(place, [])]
        if all(_iou(window, other) <= REPEAT_IOU for other in near):
            kept.setdefault(home, []).append(window)
    return [window for windows in kept.values() for window in windows]


def _iou(a: Found, b: Found) -> float:
    both = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return both / (a[1] - a[0] + b[1] - b[0] - both)
