"""Moment proposals: candidate windows from the level sets of S_c, ranked, then pruned.

Four steps, each one function: :func:`level_sets` (smooth S_c at several widths; every level set of every
smoothed curve is a candidate), :func:`describe` (scale-free numbers about each candidate), a ranker (fixed
formula or fitted; :mod:`searcher.rankers`) and :func:`choose` (the first window by expected IoU, the others by
soft non-maximum suppression). NumPy and SciPy only; cost is linear in the video's length.

Every length is in seconds, so another sampling period changes no setting. What lies around a window is
judged within :data:`CONTEXT_SECONDS`, so a window in an hour of film is judged as in a clip of that length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searcher.rankers import formula, load_rankers
from searcher.similarity import Curve
from searcher.structure import (
    CONTEXT_SECONDS,
    LONGEST_SECONDS,
    Floats,
    Likeness,
    Places,
    Structure,
    cosine,
    frames_in,
    scenes,
    stretch_edges,
)

#: First frame, one past the last, confidence.
Found = tuple[int, int, float]

#: Standard deviations of the Gaussians that smooth S_c before its level sets are taken; 0 is S_c itself.
WIDTHS_SECONDS = (0.0, 2.0, 4.0, 6.0, 9.0, 12.0)
#: Of these widths the features read their smoothed levels: positions in :data:`WIDTHS_SECONDS`.
LEVEL_WIDTHS = (1, 3)
#: The least length of the neighbourhoods beside a window whose likeness to it is read.
BESIDE_SECONDS = 4.0
#: Windows returned for each stretch of :data:`CONTEXT_SECONDS`.
WINDOWS_PER_CONTEXT = 10
#: Windows of neighbouring stretches that overlap more are one: the better one stays.
REPEAT_IOU = 0.7
#: Best candidates of a stretch that compete for being returned.
_COMPETITORS = 100
_TINY = 1e-9
#: Up to so many frames the smoothing is a matrix that is kept, and every frame is compared with every other.
_AT_ONCE = 160


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


def smoothed(similarity: NDArray[np.floating], period_seconds: float) -> Floats:
    """S_c at every one of :data:`WIDTHS_SECONDS`: (n,) → (w, n) float64."""
    values = np.asarray(similarity, dtype=np.float64)
    n = len(values)
    if n <= _AT_ONCE:
        rows: Floats = (_smoothing(n, period_seconds) @ values).reshape(-1, n)
        return rows
    return np.stack([gaussian(values, width / period_seconds) if width else values for width in WIDTHS_SECONDS])


@lru_cache(maxsize=64)
def _smoothing(n: int, period_seconds: float) -> Floats:
    """The smoothing of n frames as one matrix, (w · n, n)."""
    frames = np.eye(n)
    widths = [width / period_seconds for width in WIDTHS_SECONDS]
    return np.concatenate([gaussian(frames, width).T if width else frames for width in widths])


def gaussian(values: Floats, width: float) -> Floats:
    """``values`` (…, n) smoothed with a Gaussian of ``width`` samples, the ends going on for ever.

    As ``scipy.ndimage.gaussian_filter1d(…, mode="nearest")``, whose import is a third of a search.
    """
    n, reach = values.shape[-1], int(4 * width + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(reach, reach)], mode="edge")
    smoothed: Floats = np.convolve(padded.ravel(), kernel / kernel.sum(), mode="same").reshape(padded.shape)
    return smoothed[..., reach : reach + n]


_NO_WINDOWS: tuple[Places, Places] = (np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp))


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


@lru_cache(maxsize=64)
def _sides(n: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of n frames come before each, from the last to the first, and which after: (n, n) each."""
    after = np.triu(np.ones((n, n), dtype=np.bool_), 1)
    return after.T[:, ::-1].copy(), after


def _runs_at_once(curves: NDArray[np.floating]) -> tuple[Places, Places]:
    """As :func:`_runs` by comparing all frames with all: quadratic, and fewer calls for a clip."""
    n = curves.shape[1]
    before, after = _sides(n)
    steps = ((curves[:, None, ::-1] < curves[:, :, None]) & before).argmax(axis=2)
    end = ((curves[:, None] < curves[:, :, None]) & after).argmax(axis=2)  # 0 where none is lower
    end[end == 0] = n
    return (n - steps) % n, end


def _runs(curves: NDArray[np.floating]) -> tuple[Places, Places]:
    """For each frame of (w, n) curves the longest run nowhere lower than it: first frames, ends, (w, n) each."""
    widths, n = curves.shape
    if n <= _AT_ONCE:
        return _runs_at_once(curves)
    walled = np.full((2, widths, n + 1), -np.inf)  # forwards and backwards
    walled[0, :, 1:], walled[1, :, 1:] = curves, curves[:, ::-1]
    starts = np.arange(2 * widths).reshape(2, widths, 1) * (n + 1)
    before, after = _last_lower(walled.ravel()).reshape(2, widths, n + 1)[:, :, 1:] - starts
    return before, n - after[:, ::-1]


def level_sets(
    curves: NDArray[np.floating], longest_frames: int, others: tuple[Places, Places] = _NO_WINDOWS
) -> Candidates:
    """Every level set of every curve, (w, n), and some other windows, each once.

    For each frame, the longest run around it that is nowhere lower than it: these runs are all that any
    threshold can cut out of a curve, at most n of them, so no threshold has to be chosen.

    Args:
        curves: one S_c at several smoothing widths.
        longest_frames: longer runs are left out, unless that leaves nothing.
        others: first frames, and one past the last, (k,) each.
    """
    first, end = (places.ravel() for places in _runs(curves))
    if curves.shape[1] > longest_frames and (kept := end - first <= longest_frames).any():
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


class _Minima:
    """Smallest value of any stretch of several rows in constant time (sparse table)."""

    def __init__(self, rows: Floats) -> None:
        width, n = rows.shape
        levels = max(1, n.bit_length())
        self._frames = n
        self._table = np.full((levels, n, width), np.inf)
        self._table[0] = rows.T
        for k in range(1, levels):
            step = 1 << (k - 1)
            np.minimum(self._table[k - 1, :-step], self._table[k - 1, step:], out=self._table[k, :-step])
        self._table = self._table.reshape(-1, width)

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


# --- features ---------------------------------------------------------------------------------------

#: Taken for the mean outside a window that is the whole context.
_NOTHING_OUTSIDE = -0.5
_LENGTH_UNIT_SECONDS = 2.0


@dataclass(frozen=True)
class _View:
    """One curve and its candidates, prepared for the features.

    Attributes:
        levels: (w, n), the smoothed curves at :data:`LEVEL_WIDTHS`.
        low, high: (m,) ends of each candidate's context; (1,) where it is the whole video for all of them.
    """

    curve: Curve
    candidates: Candidates
    levels: Floats
    low: Places
    high: Places

    @property
    def frames(self) -> int:
        return len(self.curve)

    def take(self, members: Places) -> _View:
        """The same for some of the candidates; each has a context of its own."""
        return replace(
            self, candidates=self.candidates.take(members), low=self.low[members], high=self.high[members]
        )


def _context(candidates: Candidates, n: int, period_seconds: float) -> tuple[Places, Places]:
    """The stretch each candidate is judged in: centred on it, moved to lie within the video."""
    context = frames_in(CONTEXT_SECONDS, period_seconds)
    if n <= context:
        return np.array([0]), np.array([n])
    length = candidates.end - candidates.first
    span = np.minimum(n, np.maximum(context, 2 * length))
    low = np.clip(candidates.first + length // 2 - span // 2, 0, n - span)
    return low, low + span


def _groups(candidates: Candidates, edges: Places) -> list[Places]:
    """Places of the candidates whose middle lies in each stretch."""
    if len(edges) == 2:
        return [np.arange(len(candidates))]
    stretch = np.searchsorted(edges, (candidates.first + candidates.end - 1) // 2, side="right") - 1
    order = np.argsort(stretch, kind="stable")
    return np.split(order, np.searchsorted(stretch[order], np.arange(1, len(edges) - 1)))


def _features(
    curve: Curve, candidates: Candidates, curves: Floats, scene: Structure | None, edges: Places
) -> Floats:
    """Numbers about each candidate: (m, len(FEATURES)) float64, without vectors (m, len(CURVE_FEATURES)).

    Args:
        curve: the video through the query; S_c is its raw one.
        candidates: m of them.
        curves: (w, n) from :func:`smoothed`.
        scene: what the vectors say, where the curve has any.
        edges: of the stretches of the video.
    """
    low, high = _context(candidates, len(curve), curve.period_seconds)
    view = _View(curve, candidates, curves[list(LEVEL_WIDTHS)], low, high)
    rows = [*_similarity_features(view), *_shape_features(view), *_change_features(view, scene)]
    if scene is not None:
        rows += [*_likeness_features(view, scene, edges)]
    values: Floats = np.concatenate(rows).reshape(len(rows), -1).T
    return values


def _similarity_features(view: _View) -> list[Floats]:
    """What S_c says, as it is and smoothed."""
    raw = view.curve.raw.astype(np.float64)
    raw -= raw.mean()  # the variance is a difference of squares: keep them small
    means = _Means(np.concatenate((raw[None], (raw * raw)[None], view.levels)))
    inside = means(view.candidates.first, view.candidates.end)
    centre, square = means(view.low, view.high)[:2]
    scale = np.sqrt(np.maximum(square - centre**2, 0.0)) + _TINY * (np.ptp(raw) + _TINY)
    return [*_mean_features(view, (inside[0] - centre) / scale), *_level_features(view, inside[2:])]


def _mean_features(view: _View, inside: Floats) -> list[Floats]:
    """Means of S_c inside (as given) and outside, in standard deviations of the context, and their separation."""
    length, span = view.candidates.end - view.candidates.first, view.high - view.low
    rest = span - length
    outside = np.where(rest > 0, -inside * length / np.maximum(rest, 1), _NOTHING_OUTSIDE)
    return [inside, outside, (inside - outside) * np.sqrt(length * rest / span + 0.25) / 3.0]


def _level_features(view: _View, level: Floats) -> Floats:
    """Floor, level and drop of the smoothed curves, 0..1 within the context: their means (2, m) → (6, m)."""
    first, end, n = view.candidates.first, view.candidates.end, view.frames
    lowest = _Minima(view.levels)
    if view.low.size == 1:
        bottom, top = view.levels.min(axis=1, keepdims=True), view.levels.max(axis=1, keepdims=True)
    else:
        bottom, top = lowest(view.low, view.high), -_Minima(-view.levels)(view.low, view.high)
    span = top - bottom
    span = span + _TINY * (span.max() + _TINY)
    floor = lowest(first, end)
    walled = np.full((len(view.levels), n + 2), -np.inf)
    walled[:, 1:-1] = view.levels
    beside = np.maximum(walled.take(first, axis=1), walled.take(end + 1, axis=1))
    drop = floor - np.maximum(beside, bottom)
    return np.concatenate(((floor - bottom) / span, (level - bottom) / span, drop / span))


def _shape_features(view: _View) -> list[Floats]:
    first, end = view.candidates.first, view.candidates.end
    log_length = np.log((end - first) * (view.curve.period_seconds / _LENGTH_UNIT_SECONDS))
    at_start, at_end = (first == 0).astype(np.float64), (end == view.frames).astype(np.float64)
    return [log_length, (log_length - 2.0) ** 2, at_start + at_end, at_start * at_end]


def _change_features(view: _View, scene: Structure | None) -> list[Floats]:
    """How much changes from frame to frame at the ends: the fall of CFS_c, also inside, and scene changes.

    In standard deviations of the context; 1 at the ends of the video.
    """
    first, end, n = view.candidates.first, view.candidates.end, view.frames
    fall = 1.0 - view.curve.next_similarity.astype(np.float64)
    change = fall[None] if scene is None else np.stack((fall, scene.change))
    k = len(change)
    means = _Means(np.concatenate((change, change * change)))(view.low, view.high - 1)
    centre, scale = means[:k], np.sqrt(np.maximum(means[k:] - means[:k] ** 2, 0.0)) + _TINY
    at = np.zeros((k, n + 1))
    at[:, 1:n] = change
    left = np.where(first > 0, (at.take(first, axis=1) - centre) / scale, 1.0)
    right = np.where(end < n, (at.take(end, axis=1) - centre) / scale, 1.0)
    mean, worse = (left + right) / 2, np.minimum(left, right)
    inside = np.where(end - first > 1, (_Means(fall)(first, end - 1) - centre[0]) / scale[0], 0.0)
    return [mean[0], worse[0], inside, *mean[1:], *worse[1:]]


def _stretch_likeness(view: _View, likeness: Likeness) -> Floats:
    """How frames resemble each other inside, outside and beside each candidate: (4, m)."""
    first, end, low, high = view.candidates.first, view.candidates.end, view.low, view.high
    length = end - first
    half = np.maximum(frames_in(BESIDE_SECONDS, view.curve.period_seconds), np.rint(length / 2)).astype(np.intp)
    before, after = np.maximum(first - half, low), np.minimum(end + half, high)
    (left, inside, right), (to_left, to_right) = likeness.of_neighbours(np.stack((before, first, end, after)))
    around = likeness.between(first, end, low, high)
    outside = likeness.between(low, high, low, high) - 2 * around + inside
    products, squares = np.stack((around - inside, to_left, to_right)), np.stack((outside, left, right))
    cosines = cosine(products, inside, squares)
    beside = -cosines[1:]
    return np.stack((inside / length**2, cosines[0], (beside[0] + beside[1]) / 2, beside.min(axis=0)))


def _likeness_features(view: _View, scene: Structure, edges: Places) -> Floats:
    """Likeness inside, outside and beside: (4, m)."""
    if len(scene.parts) == 1:
        return _stretch_likeness(view, scene.parts[0])
    likeness = np.empty((4, len(view.candidates)))
    for members, part in zip(_groups(view.candidates, edges), scene.parts, strict=True):
        likeness[:, members] = _stretch_likeness(view.take(members), part)
    return likeness


# --- choice -----------------------------------------------------------------------------------------

#: Temperature of the distribution over candidates under which the first window is chosen.
TEMPERATURE = 0.7
#: Soft-NMS: a window's score is multiplied by exp(-IoU³ / this) for each better one.
SOFT_NMS_SIGMA = 0.3
#: How much a stretch of a long video loses for each standard deviation of S_c that its peak stays below the
#: highest peak of the video; no part of a video of one stretch loses anything.
STRETCH_WEIGHT = 2.0


def overlaps(first: Places, end: Places) -> Floats:
    """IoU of every window with every other: (m,), (m,) → (m, m)."""
    a, b = first.astype(np.float64), end.astype(np.float64)
    both: Floats = np.minimum.outer(b, b)
    both -= np.maximum.outer(a, a)
    np.maximum(both, 0.0, out=both)
    length = b - a
    iou: Floats = np.add.outer(length, length)
    iou -= both
    np.divide(both, iou, out=iou)
    return iou


def choose(first: Places, end: Places, scores: Floats, count: int = WINDOWS_PER_CONTEXT) -> tuple[Places, Floats]:
    """Which of the scored candidates of one stretch to return: places by falling confidence, confidences.

    The scores make a distribution over the candidates. The first window is the one with the largest
    expected IoU² under it (minimum Bayes risk), which is safer than the single most likely one. The others
    follow by probability, each lowered by its overlap with those already chosen (soft-NMS).

    Args:
        first, end: (m,) frames.
        scores: (m,) logarithms of relative odds.
        count: at most so many are returned.

    Returns:
        (k,) places and (k,) confidences in (0, 1], the first 1.
    """
    order = np.argsort(-scores, kind="stable")[:_COMPETITORS]
    iou = overlaps(first[order], end[order])
    relative = scores[order] - scores[order[0]]
    square = iou * iou
    best = int((square @ np.exp(relative / TEMPERATURE)).argmax())
    chosen, logarithms = [best], [0.0]
    while len(chosen) < min(count, len(order)):
        relative -= square[best] * iou[best] / SOFT_NMS_SIGMA
        relative[best] = -np.inf
        best = int(relative.argmax())
        chosen.append(best)
        logarithms.append(float(relative[best]))
    return order[chosen], np.exp(logarithms)


def _losses(curve: Curve, curves: Floats, edges: Places) -> Floats:
    """What the confidences of each stretch lose, as a logarithm: (stretches,)."""
    peaks = np.maximum.reduceat(curves[LEVEL_WIDTHS[0]], edges[:-1])
    losses: Floats = STRETCH_WEIGHT * (peaks.max() - peaks) / (float(curves[0].std()) + _TINY)
    return losses


def describe(curve: Curve) -> tuple[Candidates, Floats, Floats]:
    """Candidates of a video, their features (m, f) and the smoothed curves (w, n).

    The features are :data:`searcher.rankers.FEATURES`, of a curve without vectors :data:`CURVE_FEATURES`.
    """
    edges = stretch_edges(len(curve), curve.period_seconds)
    longest = frames_in(LONGEST_SECONDS, curve.period_seconds)
    curves = smoothed(curve.raw, curve.period_seconds)
    structure = curve.structure
    if structure is None and curve.vectors is not None:
        structure = Structure.of(curve.vectors, curve.period_seconds)
    if structure is not None:
        others = structure.scenes
    else:
        others = scenes(-curve.next_similarity, edges, longest) if len(curve) > 1 else _NO_WINDOWS
    candidates = level_sets(curves, longest, others)
    return candidates, _features(curve, candidates, curves, structure, edges), curves


def propose(curve: Curve, ranker: str = "fitted", parameters: str | Path | None = None) -> list[Found]:
    """The moments of one video: first frame, one past the last, confidence; best first.

    Args:
        curve: the video through the query; its raw S_c, CFS_c and, where it has them, frame vectors are read.
        ranker: ``fitted``, or ``formula`` for the one without fitted parameters.
        parameters: the file of the fitted ranker; None for the one that comes with the package.

    Returns:
        Up to :data:`WINDOWS_PER_CONTEXT` windows for each :data:`CONTEXT_SECONDS` of video. Confidences lie
        in (0, 1], 1 is the video's best: they order the windows of one video and compare within it only.

    Raises:
        InputError: a parameter file that cannot be read.
    """
    candidates, values, curves = describe(curve)
    scores = formula(values) if ranker == "formula" else load_rankers(parameters).for_curve(curve).score(values)
    edges = stretch_edges(len(curve), curve.period_seconds)
    losses = _losses(curve, curves, edges)
    found: list[Found] = []
    for members, lost in zip(_groups(candidates, edges), losses, strict=True):
        if members.size:
            first, end = candidates.first[members], candidates.end[members]
            places, confidences = choose(first, end, scores[members])
            confidences *= np.exp(-lost)
            found += zip(first[places].tolist(), end[places].tolist(), confidences.tolist(), strict=True)
    found.sort(key=lambda window: -window[2])
    if len(losses) == 1:
        return found
    return sorted(_without_repeats(found, len(curve) / len(losses)), key=lambda window: -window[2])


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
