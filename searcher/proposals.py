"""Moment proposals: candidate windows from the level sets of S_c, ranked, then pruned.

Four steps, each one function: :func:`level_sets` (smooth S_c at several widths; every level set of every
smoothed curve is a candidate), :func:`describe` (scale-free numbers about each candidate), a ranker (fixed
formula or fitted; :class:`Parameters`) and :func:`choose` (the first window by expected IoU, the others by
soft non-maximum suppression). NumPy and SciPy only; cost is linear in the video's length.

Every length is in seconds, so another sampling period changes no setting. What lies around a window is
judged within :data:`CONTEXT_SECONDS`, so a window in an hour of film is judged as in a clip of that length.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.errors import InputError
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
#: Videos of so many frames at most are smoothed by a matrix that is kept.
_SMOOTHED_AT_ONCE = 160


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
    if n <= _SMOOTHED_AT_ONCE:
        rows: Floats = (_smoothing(n, period_seconds) @ values).reshape(-1, n)
        return rows
    return np.stack([gaussian(values, width / period_seconds) if width else values for width in WIDTHS_SECONDS])


@lru_cache(maxsize=64)
def _smoothing(n: int, period_seconds: float) -> Floats:
    """The smoothing of n frames as one matrix, (w · n, n)."""
    each = [
        np.stack([gaussian(frame, width / period_seconds) for frame in np.eye(n)], axis=1) if width else np.eye(n)
        for width in WIDTHS_SECONDS
    ]
    return np.concatenate(each)


def gaussian(values: Floats, width: float) -> Floats:
    """``values`` (n,) smoothed with a Gaussian of ``width`` samples, the ends going on for ever.

    As ``scipy.ndimage.gaussian_filter1d(…, mode="nearest")``, whose import is a third of a search.
    """
    reach = int(4 * width + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    smoothed: Floats = np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
    return smoothed


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


def level_sets(curves: NDArray[np.floating], longest_frames: int) -> Candidates:
    """Every level set of every curve: (w, n) → candidates.

    For each frame, the longest run around it that is nowhere lower than it: these runs are all that any
    threshold can cut out of a curve, at most n of them, so no threshold has to be chosen.

    Args:
        curves: one S_c at several smoothing widths.
        longest_frames: longer runs are left out, unless that leaves nothing.
    """
    widths, n = curves.shape
    walled = np.full((2, widths, n + 1), -np.inf)  # forwards and backwards
    walled[0, :, 1:], walled[1, :, 1:] = curves, curves[:, ::-1]
    starts = np.arange(2 * widths).reshape(2, widths, 1) * (n + 1)
    before, after = _last_lower(walled.ravel()).reshape(2, widths, n + 1)[:, :, 1:] - starts
    first, end = before, n - after[:, ::-1]
    first, end = first.ravel(), end.ravel()
    kept = end - first <= longest_frames
    if kept.any():
        first, end = first[kept], end[kept]
    return _distinct(first, end, np.ones(len(first), dtype=bool))


def union(level: Candidates, first: Places, end: Places) -> Candidates:
    """Level sets and (k,), (k,) other windows, each once, in order of its frames."""
    marks = np.zeros(len(level) + len(first), dtype=bool)
    marks[: len(level)] = level.level_set
    return _distinct(np.concatenate((level.first, first)), np.concatenate((level.end, end)), marks)


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

#: What is said of each candidate. None of it changes when S_c is shifted or scaled. Of the two ends of a
#: window the mean and the worse one are taken, so that time has no direction.
CURVE_FEATURES = (
    "inside",  # mean of S_c inside, in standard deviations of the context
    "outside",  # mean of the context around it
    "separation",  # Otsu's criterion: how well inside and outside separate, with sign
    "floor_2s",  # smoothed S_c (0..1 within the context): lowest inside
    "floor_6s",
    "level_2s",  # mean inside
    "level_6s",
    "drop_2s",  # lowest inside minus the higher of the two frames beside the window
    "drop_6s",
    "log_length",  # natural logarithm of the length in units of 2 s
    "length_bend",  # (log_length - 2)²: neither very short nor very long
    "at_border",  # how many of its ends are the video's
    "whole",  # it is the whole video
    "cut_mean",  # how far CFS_c falls at the ends, in standard deviations
    "cut_worse",
    "cohesion",  # how far CFS_c stays up inside
)
#: What is said beside that where the frames' vectors are known.
FRAME_FEATURES = (
    "scene_6s_mean",  # how little the 6 s before an end resemble the 6 s after it, in standard deviations
    "scene_6s_worse",
    "likeness_inside",  # mean cosine between the frames inside
    "likeness_outside",  # cosine between the mean vectors inside and outside
    "likeness_beside_mean",  # cosine with the mean vectors of the neighbourhoods of half the length, negated
    "likeness_beside_worse",
)
FEATURES = CURVE_FEATURES + FRAME_FEATURES
#: Taken for the mean outside a window that is the whole context.
_NOTHING_OUTSIDE = -0.5
_LENGTH_UNIT_SECONDS = 2.0


@dataclass(frozen=True)
class _View:
    """One curve and its candidates, prepared for the features.

    Attributes:
        levels: (w, n), the smoothed curves at :data:`LEVEL_WIDTHS`.
        low, high: (m,) ends of each candidate's context.
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
        """The same for some of the candidates."""
        if members.size == len(self.candidates):
            return self
        return replace(
            self, candidates=self.candidates.take(members), low=self.low[members], high=self.high[members]
        )


def _context(candidates: Candidates, n: int, period_seconds: float) -> tuple[Places, Places]:
    """The stretch each candidate is judged in: centred on it, moved to lie within the video."""
    length = candidates.end - candidates.first
    span = np.minimum(n, np.maximum(frames_in(CONTEXT_SECONDS, period_seconds), 2 * length))
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
    columns = [*_mean_features(view), *_level_features(view), *_shape_features(view), *_cut_features(view)]
    if scene is not None:
        columns += _frame_features(view, scene, edges)
    return np.stack(columns, axis=1)


def _mean_and_worse(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    return (left + right) / 2, np.minimum(left, right)


def _mean_features(view: _View) -> list[Floats]:
    """Means of S_c inside and outside, in standard deviations of the context, and their separation."""
    first, end, low, high = view.candidates.first, view.candidates.end, view.low, view.high
    raw = view.curve.raw.astype(np.float64)
    raw = raw - raw.mean()  # the variance is a difference of squares: keep them small
    mean = _Means(raw)
    centre, square = _Means(np.stack((raw, raw * raw)))(low, high)
    scale = np.sqrt(np.maximum(square - centre**2, 0.0)) + _TINY * (np.ptp(raw) + _TINY)
    length, span = end - first, high - low
    rest = span - length
    inside = (mean(first, end) - centre) / scale
    outside = np.where(rest > 0, -inside * length / np.maximum(rest, 1), _NOTHING_OUTSIDE)
    return [inside, outside, (inside - outside) * np.sqrt(length * rest / span + 0.25) / 3.0]


def _level_features(view: _View) -> list[Floats]:
    """Floor, level and drop of the smoothed curves, 0..1 within the context."""
    first, end, n = view.candidates.first, view.candidates.end, view.frames
    lowest = _Minima(view.levels)
    if int((view.high - view.low).min()) == n:
        bottom, top = view.levels.min(axis=1, keepdims=True), view.levels.max(axis=1, keepdims=True)
    else:
        bottom, top = lowest(view.low, view.high), -_Minima(-view.levels)(view.low, view.high)
    span = top - bottom
    span = span + _TINY * (span.max() + _TINY)
    floor = lowest(first, end)
    level = _Means(view.levels)(first, end)
    left = np.where(first > 0, view.levels[:, np.maximum(first - 1, 0)], bottom)
    right = np.where(end < n, view.levels[:, np.minimum(end, n - 1)], bottom)
    drop = (floor - np.maximum(left, right)) / span
    return [*(floor - bottom) / span, *(level - bottom) / span, *drop]


def _shape_features(view: _View) -> list[Floats]:
    first, end = view.candidates.first, view.candidates.end
    log_length = np.log((end - first) * (view.curve.period_seconds / _LENGTH_UNIT_SECONDS))
    at_start, at_end = (first == 0).astype(np.float64), (end == view.frames).astype(np.float64)
    return [log_length, (log_length - 2.0) ** 2, at_start + at_end, at_start * at_end]


def _standard(view: _View, change: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of (n - 1,) ``change`` in each candidate's context."""
    centre, square = _Means(np.stack((change, change * change)))(view.low, view.high - 1)
    return centre, np.sqrt(np.maximum(square - centre**2, 0.0)) + _TINY


def _at_ends(view: _View, change: Floats, standard: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """A change between neighbouring frames, standardised, at both ends; 1 at the ends of the video."""
    first, end, n = view.candidates.first, view.candidates.end, view.frames
    if n < 2:
        return np.ones(len(first)), np.ones(len(first))
    centre, scale = standard
    left = np.where(first > 0, (change[np.maximum(first - 1, 0)] - centre) / scale, 1.0)
    right = np.where(end < n, (change[np.minimum(end - 1, n - 2)] - centre) / scale, 1.0)
    return left, right


def _cut_features(view: _View) -> list[Floats]:
    """How far CFS_c falls at the ends and inside, in its own standard deviations within the context."""
    first, end = view.candidates.first, view.candidates.end
    change = 1.0 - view.curve.next_similarity.astype(np.float64)
    centre, scale = standard = _standard(view, change)
    inside = np.where(end - first > 1, (_Means(change)(first, end - 1) - centre) / scale, 0.0)
    return [*_mean_and_worse(*_at_ends(view, change, standard)), inside]


def _likeness_features(view: _View, likeness: Likeness) -> Floats:
    """How frames resemble each other inside, outside and beside each candidate: (4, m)."""
    first, end, low, high = view.candidates.first, view.candidates.end, view.low, view.high
    length = end - first
    inside = likeness.between(first, end, first, end)
    around = likeness.between(first, end, low, high)
    context = likeness.between(low, high, low, high)
    half = np.maximum(frames_in(BESIDE_SECONDS, view.curve.period_seconds), np.rint(length / 2)).astype(np.intp)
    before, after = np.maximum(first - half, low), np.minimum(end + half, high)
    left, right = (
        cosine(likeness.between(first, end, a, b), inside, likeness.between(a, b, a, b))
        for a, b in ((before, first), (end, after))
    )
    outside = cosine(around - inside, inside, context - 2 * around + inside)
    return np.stack([inside / length**2, outside, *_mean_and_worse(-left, -right)])


def _frame_features(view: _View, scene: Structure, edges: Places) -> list[Floats]:
    """Scene changes at the ends, likeness inside, outside and beside."""
    columns = _mean_and_worse(*_at_ends(view, scene.change, _standard(view, scene.change)))
    likeness = np.empty((4, len(view.candidates)))
    for members, part in zip(_groups(view.candidates, edges), scene.parts, strict=True):
        likeness[:, members] = _likeness_features(view.take(members), part)
    return [*columns, *likeness]


# --- ranker -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameters:
    """A fitted ranker: one hidden layer over standardised features.

    score = output · tanh(hidden · x + bias), x = clip((features - centre) / scale, ±clip).

    Attributes:
        names: the features it reads, in order; some or all of :data:`FEATURES`.
        centre, scale: (f,) float64.
        hidden: (h, f) float64; ``bias``: (h,) float64; ``output``: (h,) float64.
        clip: features further out than this many scales count as that many.
    """

    names: tuple[str, ...]
    centre: Floats
    scale: Floats
    hidden: Floats
    bias: Floats
    output: Floats
    clip: float = 4.0

    def __post_init__(self) -> None:
        f, h = len(self.names), self.bias.shape[0]
        shapes = (self.centre.shape, self.scale.shape, self.hidden.shape, self.output.shape)
        if shapes != ((f,), (f,), (h, f), (h,)):
            raise InputError(f"the parameters' shapes {shapes} do not belong to {f} features and {h} units")
        unknown = sorted(set(self.names) - set(FEATURES))
        if unknown:
            raise InputError(f"unknown feature {unknown[0]!r}", f"Known: {', '.join(FEATURES)}")
        numbers = (self.centre, self.scale, self.hidden, self.bias, self.output, np.array(self.clip))
        if not all(np.isfinite(values).all() for values in numbers):
            raise InputError("a ranker's parameter is not a number")
        if not (self.scale > 0).all() or not self.clip > 0:
            raise InputError("a ranker's scale or clip is not above 0")

    def score(self, values: Floats) -> Floats:
        """(m, f) from :func:`describe` → (m,) scores: logarithms of relative odds within one context."""
        if self.names != FEATURES[: values.shape[1]]:
            values = values[:, [FEATURES.index(name) for name in self.names]]
        x = np.clip((values - self.centre) / self.scale, -self.clip, self.clip)
        scores: Floats = np.tanh(x @ self.hidden.T + self.bias) @ self.output
        return scores

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the parameter file holds them: per feature its centre, scale and weights."""
        columns = zip(self.names, self.centre, self.scale, self.hidden.T, strict=True)
        return {
            "clip": self.clip,
            "features": {
                name: {"centre": _short(c), "scale": _short(s), "hidden": [_short(w) for w in weights]}
                for name, c, s, weights in columns
            },
            "bias": [_short(b) for b in self.bias],
            "output": [_short(w) for w in self.output],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Parameters:
        """Read what :meth:`to_dict` wrote; InputError for anything else."""
        try:
            rows = values["features"]
            return cls(
                names=tuple(rows),
                centre=np.array([row["centre"] for row in rows.values()], dtype=np.float64),
                scale=np.array([row["scale"] for row in rows.values()], dtype=np.float64),
                hidden=np.array([row["hidden"] for row in rows.values()], dtype=np.float64).T.copy(),
                bias=np.array(values["bias"], dtype=np.float64),
                output=np.array(values["output"], dtype=np.float64),
                clip=float(values["clip"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not the parameters of a ranker: {error!r}", "`bench fit` writes them") from None


def _short(value: float) -> float:
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Rankers:
    """The fitted rankers of one parameter file.

    Attributes:
        curve: reads :data:`CURVE_FEATURES` only, for curves without frame vectors.
        frames: reads all :data:`FEATURES`.
        fitted_on: what the file says of the data: ``dataset``, ``annotations`` and so on.
    """

    curve: Parameters
    frames: Parameters
    fitted_on: Mapping[str, Any] = field(default_factory=dict)

    def for_curve(self, curve: Curve) -> Parameters:
        """The one that suits what ``curve`` carries."""
        return self.curve if curve.vectors is None else self.frames


#: The file of fitted parameters that comes with the package.
SHIPPED = Path(__file__).with_name("proposals.json")


@cache
def load_rankers(file: str | Path | None = None) -> Rankers:
    """Read a parameter file, once per process; None for the one that comes with the package.

    Raises:
        InputError: no such file, not JSON, or not what ``bench fit`` writes.
    """
    path = SHIPPED if file is None else Path(file).expanduser()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        curve, frames = record["rankers"]["curve"], record["rankers"]["frames"]
        fitted_on = dict(record.get("fitted_on", {}))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "`vclip bench fit` writes such a file") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a file of fitted rankers: {error}", "`vclip bench fit` writes one"
        ) from None
    try:
        rankers = Rankers(Parameters.from_dict(curve), Parameters.from_dict(frames), fitted_on)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.hint) from None
    if strange := sorted(set(rankers.curve.names) - set(CURVE_FEATURES)):
        raise InputError(f"{path}: the ranker 'curve' reads {strange[0]!r}, which only frame vectors tell")
    return rankers


def formula(values: Floats) -> Floats:
    """The ranker without fitted parameters: (m, at least len(CURVE_FEATURES)) → (m,) scores.

    Otsu's criterion, the drops at the ends and the floor inside.
    """
    column = dict(zip(CURVE_FEATURES, values.T, strict=False))
    drop = column["drop_2s"] + 2.0 * column["drop_6s"]
    scores: Floats = 1.5 * column["separation"] + drop + 2.0 * column["floor_6s"]
    return scores


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
    both = np.minimum(end[:, None], end) - np.maximum(first[:, None], first)
    both = np.maximum(both, 0)
    length = end - first
    iou: Floats = both / (length[:, None] + length - both)
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
    odds = np.exp(relative / TEMPERATURE)
    best = int(np.argmax((iou * iou) @ odds))
    confidence = np.exp(relative)
    chosen, confidences = [best], [1.0]
    confidence *= np.exp(-(iou[best] ** 3) / SOFT_NMS_SIGMA)
    confidence[best] = 0.0
    while len(chosen) < min(count, len(order)):
        place = int(np.argmax(confidence))
        chosen.append(place)
        confidences.append(float(confidence[place]))
        confidence *= np.exp(-(iou[place] ** 3) / SOFT_NMS_SIGMA)
        confidence[place] = 0.0
    return order[chosen], np.array(confidences)


def _losses(curve: Curve, curves: Floats, edges: Places) -> Floats:
    """What the confidences of each stretch lose, as a logarithm: (stretches,)."""
    peaks = np.maximum.reduceat(curves[LEVEL_WIDTHS[0]], edges[:-1])
    losses: Floats = STRETCH_WEIGHT * (peaks.max() - peaks) / (float(curves[0].std()) + _TINY)
    return losses


def describe(curve: Curve) -> tuple[Candidates, Floats, Floats]:
    """Candidates of a video, their features (m, f) and the smoothed curves (w, n).

    The features are :data:`FEATURES`, of a curve without vectors :data:`CURVE_FEATURES`.
    """
    edges = stretch_edges(len(curve), curve.period_seconds)
    longest = frames_in(LONGEST_SECONDS, curve.period_seconds)
    curves = smoothed(curve.raw, curve.period_seconds)
    candidates = level_sets(curves, longest)
    structure = curve.structure
    if structure is None and curve.vectors is not None:
        structure = Structure.of(curve.vectors, curve.period_seconds)
    if structure is not None:
        candidates = union(candidates, *structure.scenes)
    elif len(curve) > 1:
        candidates = union(candidates, *scenes(-curve.next_similarity, edges, longest))
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
