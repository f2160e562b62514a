"""What each part of the localiser brings: fitted and scored again without it, cross-validated by video."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.curves import CurveSet
from bench.fit import (
    Choose,
    Chosen,
    Example,
    Fitting,
    Known,
    answers,
    cross_validate,
    known_of,
    values_of,
    wanted_of,
    without_vectors,
)
from bench.metrics import Floats
from searcher import proposals
from searcher.rankers import FEATURES, formula

#: Groups of features that the ablation leaves out, one at a time.
GROUPS = {
    "likeness inside, outside, beside": ("likeness",),
    "scene changes at the ends": ("scene",),
    "CFS_c at the ends and inside": ("cut", "cohesion"),
    "floor, level and drop of the smoothed S_c": ("floor", "level", "drop"),
    "mean inside, outside, separation": ("inside", "outside", "separation"),
    "length": ("log_length", "length_bend"),
    "the video's border": ("at_border", "whole"),
}


@dataclass(frozen=True)
class Ablation:
    """One row of the ablation table: what was changed, the signal, and :data:`bench.fit.COLUMNS` in percent."""

    name: str
    signal: str
    values: dict[str, float]


def _without(known: Known, prefixes: tuple[str, ...]) -> Known:
    """The same examples with the features of these prefixes at zero, which tells a ranker nothing."""
    found = []
    for curve_set, rows in known:
        gone = [place for place, name in enumerate(FEATURES) if name.startswith(prefixes)]
        kept = []
        for row in rows:
            values = row.values.copy()
            values[:, [place for place in gone if place < values.shape[1]]] = 0.0
            kept.append(dataclasses.replace(row, values=values))
        found.append((curve_set, kept))
    return found


def _level_sets_only(known: Known, fitting: Fitting) -> Known:
    """The same examples without the candidates that only scene changes propose."""
    found = []
    for curve_set, rows in known:
        kept = []
        for query, curve, row in zip(curve_set.queries, curve_set.curves, rows, strict=True):
            members = np.flatnonzero(row.candidates.level_set)
            candidates = row.candidates.take(members)
            kept.append(Example(candidates, row.values[members], wanted_of(query, curve, candidates, fitting)))
        found.append((curve_set, kept))
    return found


def _most_probable(first: NDArray[np.intp], end: NDArray[np.intp], scores: Floats) -> Chosen:
    """Soft-NMS alone: the first window is the one of highest score."""
    return _suppressed(first, end, scores, lambda iou: np.exp(-(iou**3) / proposals.SOFT_NMS_SIGMA))


def _hard_nms(first: NDArray[np.intp], end: NDArray[np.intp], scores: Floats) -> Chosen:
    """Windows by falling score, without those that overlap a better one by 0.7."""
    return _suppressed(first, end, scores, lambda iou: np.where(iou < 0.7, 1.0, 1e-9))


def _suppressed(
    first: NDArray[np.intp], end: NDArray[np.intp], scores: Floats, decay: Callable[[Floats], Floats]
) -> Chosen:
    order = np.argsort(-scores, kind="stable")[:100]
    iou = proposals.overlaps(first[order], end[order])
    confidence = np.exp(scores[order] - scores[order[0]])
    chosen, confidences = [], []
    for _ in range(min(proposals.WINDOWS_PER_CONTEXT, len(order))):
        best = int(np.argmax(confidence))
        chosen.append(best)
        confidences.append(float(confidence[best]))
        confidence = confidence * decay(iou[best])
        confidence[best] = 0.0
    return order[chosen], np.array(confidences)


def _rows(name: str, known: Known, scores: Sequence[Sequence[Floats]], choose: Choose) -> list[Ablation]:
    return [
        Ablation(name, curve_set.source, values_of(curve_set, answers(curve_set, rows, found, choose)))
        for (curve_set, rows), found in zip(known, scores, strict=True)
    ]


def ablation(curve_sets: Sequence[CurveSet], folds: int = 5, fitting: Fitting | None = None) -> Iterator[Ablation]:
    """What each part brings, cross-validated by video: one row a part and signal."""
    fitting = fitting or Fitting()
    known = known_of(curve_sets, fitting)
    scores = cross_validate(known, known, folds, fitting)
    yield from _rows("everything", known, scores, proposals.choose)
    yield from _rows("first window: the most probable", known, scores, _most_probable)
    yield from _rows("NMS at 0.7 instead", known, scores, _hard_nms)
    by_formula = [[formula(row.values.astype(np.float64)) for row in rows] for _, rows in known]
    yield from _rows("the formula instead of the fit", known, by_formula, proposals.choose)
    for one in known if len(known) > 1 else []:
        found = cross_validate([one], known, folds, fitting)
        yield from _rows(f"fitted on {one[0].source} only", known, found, proposals.choose)
    one_unit = dataclasses.replace(fitting, hidden=1, networks=1)
    yield from _rows("one hidden unit", known, cross_validate(known, known, folds, one_unit), proposals.choose)
    level_sets = _level_sets_only(known, fitting)
    found = cross_validate(level_sets, level_sets, folds, fitting)
    yield from _rows("without candidates from scenes", level_sets, found, proposals.choose)
    for name, prefixes in GROUPS.items():
        less = _without(known, prefixes)
        yield from _rows(f"without {name}", less, cross_validate(less, less, folds, fitting), proposals.choose)
    bare = known_of(map(without_vectors, curve_sets), fitting)
    yield from _rows("without frame vectors", bare, cross_validate(bare, bare, folds, fitting), proposals.choose)
