"""Scores of moment retrieval, highlight detection and frame selection, vectorised over queries.

The moment and highlight figures equal those of the QVHighlights evaluator (Lei et al. 2021) to its two
decimals, with one intended difference: the ground truth decides which queries count. A query without a
prediction, or with an empty one, scores zero everywhere instead of leaving the mean.

All arrays are padded to a common width: ``Q`` queries, ``P`` predicted and ``G`` true windows, ``T`` IoU
thresholds, ``C`` two-second clips. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
#: Moments longer than the first and at most as long as the second number of seconds.
LENGTH_RANGES: Mapping[str, tuple[float, float]] = {
    "short": (0.0, 10.0),
    "middle": (10.0, 30.0),
    "long": (30.0, 150.0),
}
#: The lowest saliency mark that makes a clip a highlight.
HIGHLIGHT_LEVELS: Mapping[str, int] = {"Fair": 2, "Good": 3, "VeryGood": 4}
WINDOWS_PER_QUERY = 10
ANNOTATORS = 3


@dataclass(frozen=True)
class Windows:
    """Windows of many queries in one padded block.

    Attributes:
        spans: (Q, W, 2) float64, start and end in seconds; zeros where there is no window.
        valid: (Q, W) bool, which of them are windows.
        scores: (Q, W) float64, confidence; zeros for ground truth.
    """

    spans: Floats
    valid: Bools
    scores: Floats

    @classmethod
    def pad(cls, rows: Sequence[NDArray[np.floating]], limit: int | None = None) -> Windows:
        """(w, 2) or (w, 3) arrays, one a query → a padded block; at most ``limit`` windows a query."""
        kept = [row[:limit] for row in rows]
        counts = np.array([len(row) for row in kept], dtype=np.intp)
        width = int(counts.max(initial=0))
        valid = np.arange(width) < counts[:, None]
        block = np.zeros((len(kept), width, 3))
        filled = [row for row in kept if len(row)]
        if filled:
            columns = filled[0].shape[1]
            block[..., :columns][valid] = np.concatenate(filled)
        return cls(block[..., :2], valid, block[..., 2])

    def __len__(self) -> int:
        return int(self.valid.shape[0])

    def take(self, queries: NDArray[Any]) -> Windows:
        """The rows that ``queries``, a mask or positions, names."""
        return Windows(self.spans[queries], self.valid[queries], self.scores[queries])

    def within_length(self, shortest: float, longest: float) -> Windows:
        """Only the windows with ``shortest < length <= longest`` seconds; the others become padding."""
        length = self.spans[..., 1] - self.spans[..., 0]
        return Windows(self.spans, self.valid & (length > shortest) & (length <= longest), self.scores)


@dataclass(frozen=True)
class MomentScores:
    """What each query scored.

    Attributes:
        first_iou: (Q,) float64, best IoU of the first predicted window with any true one.
        average_precision: (Q, T) float64, one column for each of :data:`IOU_THRESHOLDS`.
    """

    first_iou: Floats
    average_precision: Floats

    def take(self, queries: NDArray[Any]) -> MomentScores:
        """The rows that ``queries``, a mask or positions, names."""
        return MomentScores(self.first_iou[queries], self.average_precision[queries])

    def recall_at_one(self, iou: float) -> float:
        """Share of queries whose first window reaches ``iou``."""
        return _mean(self.first_iou >= iou)

    def mean_average_precision(self, iou: float | None = None) -> float:
        """MAP at one IoU threshold, or the mean over all ten."""
        if iou is None:
            return _mean(self.average_precision)
        return _mean(self.average_precision[:, IOU_THRESHOLDS.index(iou)])

    def mean_iou(self) -> float:
        """Mean IoU of the first windows."""
        return _mean(self.first_iou)


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else 0.0


def temporal_iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of spans, (..., 2) and (..., 2) broadcast against each other.

    Two empty spans have IoU 0.
    """
    intersection = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])
    intersection = np.maximum(intersection, 0.0)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - intersection
    result: Floats = np.divide(intersection, union, out=np.zeros_like(intersection), where=union != 0)
    return result


def _hull_iou(a: Floats, b: Floats) -> Floats:
    """IoU with the hull as union: the same for spans that meet, and what R1 is defined with."""
    intersection = np.maximum(np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]), 0.0)
    hull = np.maximum(a[..., 1], b[..., 1]) - np.minimum(a[..., 0], b[..., 0])
    result: Floats = np.divide(intersection, hull, out=np.zeros_like(intersection), where=hull != 0)
    return result


def first_window_iou(predicted: Windows, truth: Windows) -> Floats:
    """(Q,) best IoU of each query's first predicted window; 0 where nothing was predicted."""
    queries = np.arange(len(truth))
    if predicted.valid.shape[1] == 0 or truth.valid.shape[1] == 0:
        return np.zeros(len(truth))
    first = predicted.spans[:, 0]
    overlap = np.where(truth.valid, temporal_iou(first[:, None], truth.spans), -1.0)
    best = _hull_iou(first, truth.spans[queries, overlap.argmax(axis=1)])
    return np.where(predicted.valid[:, 0] & truth.valid.any(axis=1), best, 0.0)


def _by_falling_score(predicted: Windows) -> Windows:
    keys = np.where(predicted.valid, -predicted.scores, np.inf)
    order = np.argsort(keys, axis=1, kind="stable")
    return Windows(
        np.take_along_axis(predicted.spans, order[..., None], axis=1),
        np.take_along_axis(predicted.valid, order, axis=1),
        np.take_along_axis(predicted.scores, order, axis=1),
    )


def _greedy_hits(iou: Floats, truth_valid: Bools) -> Bools:
    """(Q, P, G) IoU of ranked windows → (Q, P, T): does it take a true window no better ranked one took.

    Each takes the free true window of highest IoU at or above the threshold; of equals, the last.
    """
    queries, ranks, _ = iou.shape
    thresholds = np.array(IOU_THRESHOLDS)
    hits = np.zeros((queries, ranks, thresholds.size), dtype=bool)
    free = np.repeat(truth_valid[:, None, ::-1], thresholds.size, axis=1)
    backwards = iou[..., ::-1]
    for rank in range(ranks):
        overlap = backwards[:, rank, None, :]
        allowed = free & (overlap >= thresholds[:, None])
        chosen = np.where(allowed, overlap, -1.0).argmax(axis=2)
        hits[:, rank] = allowed.any(axis=2)
        np.put_along_axis(
            free,
            chosen[..., None],
            np.take_along_axis(free, chosen[..., None], axis=2) & ~hits[:, rank, :, None],
            axis=2,
        )
    return hits


def average_precision(predicted: Windows, truth: Windows) -> Floats:
    """(Q, T) interpolated average precision of each query (eq. 3; the ActivityNet definition).

    Windows are ranked by falling score, ties in the order given; at most
    :data:`WINDOWS_PER_QUERY` should be passed.
    """
    queries, ranks = predicted.valid.shape
    if ranks == 0 or truth.valid.shape[1] == 0:
        return np.zeros((queries, len(IOU_THRESHOLDS)))
    ranked = _by_falling_score(predicted)
    iou = temporal_iou(ranked.spans[:, :, None], truth.spans[:, None])
    iou = np.where(ranked.valid[:, :, None], iou, -1.0)
    hits = _greedy_hits(iou, truth.valid)
    precision = hits.cumsum(axis=1) / np.arange(1, ranks + 1)[:, None]
    best_from_here_on = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    moments = np.maximum(truth.valid.sum(axis=1), 1)
    result: Floats = (hits * best_from_here_on).sum(axis=1) / moments[:, None]
    return result


def score_moments(predicted: Windows, truth: Windows) -> MomentScores:
    """Score (Q, ...) predictions against the (Q, ...) ground truth, row by row."""
    return MomentScores(first_window_iou(predicted, truth), average_precision(predicted, truth))


def score_moments_by_length(predicted: Windows, truth: Windows) -> dict[str, MomentScores]:
    """``short``, ``middle``, ``long``: over the queries that have a moment of that length, those only."""
    result = {}
    for name, (shortest, longest) in LENGTH_RANGES.items():
        part = truth.within_length(shortest, longest)
        present = np.asarray(part.valid.any(axis=1))
        result[name] = score_moments(predicted.take(present), _left_aligned(part.take(present)))
    return result


def _left_aligned(windows: Windows) -> Windows:
    """Valid windows first, in their order."""
    order = np.argsort(~windows.valid, axis=1, kind="stable")
    width = int(windows.valid.sum(axis=1).max(initial=0))
    return Windows(
        np.take_along_axis(windows.spans, order[..., None], axis=1)[:, :width],
        np.take_along_axis(windows.valid, order, axis=1)[:, :width],
        np.take_along_axis(windows.scores, order, axis=1)[:, :width],
    )


# --- highlights -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HighlightScores:
    """(Q,) float64 each: mean AP over the three annotators, and whether the top clip is a highlight."""

    average_precision: Floats
    hit_at_one: Floats


def _pad_rows(rows: Sequence[NDArray[np.floating]], width: int) -> Floats:
    block = np.zeros((len(rows), width))
    for padded, row in zip(block, rows, strict=True):
        kept = row[:width]
        padded[: len(kept)] = kept
    return block


def ranked_average_precision(scores: Floats, positive: Bools, valid: Bools) -> Floats:
    """(Q, C) scores, (Q, C, K) labels → (Q, K) interpolated AP; equal scores form one threshold.

    The mean of the interpolated precision over the thresholds at which recall grows; 0 without positives.
    """
    keys = np.where(valid, -scores, np.inf)
    order = np.argsort(keys, axis=1, kind="stable")
    keys = np.take_along_axis(keys, order, axis=1)
    found = np.take_along_axis(positive & valid[..., None], order[..., None], axis=1).cumsum(axis=1)
    last_of_ties = np.ones(keys.shape, dtype=bool)
    last_of_ties[:, :-1] = keys[:, 1:] != keys[:, :-1]
    ranks = np.arange(1, keys.shape[1] + 1)
    precision = np.where(last_of_ties[..., None], found / ranks[:, None], 0.0)
    best_from_here_on = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    at_thresholds = np.where(last_of_ties[..., None], found, 0)
    before = np.zeros_like(at_thresholds)
    before[:, 1:] = np.maximum.accumulate(at_thresholds, axis=1)[:, :-1]
    grows = last_of_ties[..., None] & (at_thresholds > before)
    total = (best_from_here_on * grows).sum(axis=1)
    count = grows.sum(axis=1)
    result: Floats = np.divide(total, count, out=np.zeros(total.shape), where=count > 0)
    return result


def score_highlights(
    predicted: Sequence[NDArray[np.floating] | None], marks: Sequence[NDArray[np.integer]]
) -> dict[str, HighlightScores]:
    """Highlight scores at ``Fair``, ``Good`` and ``VeryGood``.

    Args:
        predicted: one saliency score a clip, (c,), for each query; None where nothing was predicted.
            Too long is cut, too short filled with zeros.
        marks: (C, 3) marks 0..4 of the three annotators for each query.
    """
    clips = np.array([len(rows) for rows in marks], dtype=np.intp)
    width = int(clips.max(initial=0))
    truth = np.zeros((len(marks), width, ANNOTATORS), dtype=np.int64)
    for padded, rows in zip(truth, marks, strict=True):
        padded[: len(rows)] = rows
    answered = np.array([row is not None and len(row) > 0 for row in predicted], dtype=bool)
    filled = [np.zeros(0) if row is None else row for row in predicted]
    scores = _pad_rows(filled, width)
    valid = np.arange(width) < clips[:, None]
    top = np.array([int(row.argmax()) if len(row) else 0 for row in filled], dtype=np.intp)
    inside = answered & (top < clips)
    queries = np.arange(len(marks))
    result = {}
    for name, level in HIGHLIGHT_LEVELS.items():
        positive = truth >= level
        precision = ranked_average_precision(scores, positive, valid).mean(axis=1)
        hit = inside & positive[queries, np.minimum(top, max(width - 1, 0))].any(axis=1)
        result[name] = HighlightScores(np.where(answered, precision, 0.0), hit.astype(np.float64))
    return result


# --- frames -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FrameScores:
    """(Q,) float64 each: the selected frames of each query against its relevant ones."""

    accuracy: Floats
    precision: Floats
    recall: Floats
    f1: Floats
    iou: Floats

    def take(self, queries: NDArray[Any]) -> FrameScores:
        """The rows that ``queries``, a mask or positions, names."""
        columns = (self.accuracy, self.precision, self.recall, self.f1, self.iou)
        return FrameScores(*(column[queries] for column in columns))

    def share_above(self, iou: float) -> float:
        """AP@0.5 and AP@0.7 of the thesis: share of queries whose frame IoU exceeds ``iou`` (choice)."""
        return _mean(self.iou > iou)

    def report(self) -> dict[str, float]:
        """Means over queries under the thesis's column names (figure 18)."""
        return {
            "accuracy": _mean(self.accuracy),
            "precision": _mean(self.precision),
            "recall": _mean(self.recall),
            "F1": _mean(self.f1),
            "IoU": _mean(self.iou),
            "AP@0.5": self.share_above(0.5),
            "AP@0.7": self.share_above(0.7),
        }


def score_frames(selected: Bools, relevant: Bools, valid: Bools) -> FrameScores:
    """Per-query frame scores of (Q, n) selections; ``valid`` marks the frames a video has.

    A ratio with nothing in its denominator is 0.
    """
    selected = selected & valid
    relevant = relevant & valid
    both = (selected & relevant).sum(axis=1).astype(np.float64)
    chosen, wanted = selected.sum(axis=1), relevant.sum(axis=1)
    right = ((selected == relevant) & valid).sum(axis=1)
    return FrameScores(
        accuracy=_ratio(right, valid.sum(axis=1)),
        precision=_ratio(both, chosen),
        recall=_ratio(both, wanted),
        f1=_ratio(2 * both, chosen + wanted),
        iou=_ratio(both, chosen + wanted - both),
    )


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    result: Floats = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return result


# --- the official report ----------------------------------------------------------------------------


def percent(share: float) -> float:
    """0.59032 → 59.03, rounded as the official evaluator prints it."""
    return float(f"{100 * share:.2f}")


def moment_report(scores: MomentScores) -> dict[str, dict[str, float]]:
    """One length range's ``MR-mAP`` and ``MR-R1`` blocks in percent, keys as the evaluator names them."""
    by_threshold = scores.average_precision.mean(axis=0) if len(scores.first_iou) else np.zeros(10)
    precision = {str(iou): percent(float(ap)) for iou, ap in zip(IOU_THRESHOLDS, by_threshold, strict=True)}
    precision["average"] = percent(float(by_threshold.mean()))
    recall = {str(iou): percent(scores.recall_at_one(iou)) for iou in IOU_THRESHOLDS}
    return {"MR-mAP": precision, "MR-R1": recall}


def highlight_report(scores: HighlightScores) -> dict[str, float]:
    """One level's ``HL-mAP`` and ``HL-Hit1`` in percent."""
    return {
        "HL-mAP": percent(_mean(scores.average_precision)),
        "HL-Hit1": percent(_mean(scores.hit_at_one)),
    }


def official_report(
    moments: Mapping[str, MomentScores], highlights: Mapping[str, HighlightScores]
) -> dict[str, dict[str, Any]]:
    """The evaluator's whole report: ``brief``, ``HL-min-*`` and the ranges ``full``, ``long``, ...

    Args:
        moments: ``full`` and the ranges of :data:`LENGTH_RANGES`.
        highlights: by level; empty where no saliency was predicted.
    """
    ranges = {name: moment_report(moments[name]) for name in ("full", "long", "middle", "short")}
    levels = {f"HL-min-{name}": highlight_report(scores) for name, scores in highlights.items()}
    full = ranges["full"]
    brief = {
        "MR-full-R1@0.5": full["MR-R1"]["0.5"],
        "MR-full-R1@0.7": full["MR-R1"]["0.7"],
        "MR-full-mAP": full["MR-mAP"]["average"],
        "MR-full-mAP@0.5": full["MR-mAP"]["0.5"],
        "MR-full-mAP@0.75": full["MR-mAP"]["0.75"],
    }
    brief |= {f"MR-{name}-mAP": ranges[name]["MR-mAP"]["average"] for name in ("long", "middle", "short")}
    for level, block in levels.items():
        brief |= {f"{level}-mAP": block["HL-mAP"], f"{level}-Hit1": block["HL-Hit1"]}
    return {"brief": brief, **levels, **ranges}
