"""Score a prediction file: read it strictly, compare it with the ground truth, report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets import Dataset, Query, id_of, load_dataset, read_jsonl, short
from bench.metrics import (
    WINDOWS_PER_QUERY,
    HighlightScores,
    MomentScores,
    Windows,
    official_report,
    percent,
    score_highlights,
    score_moments,
    score_moments_by_length,
)
from indexer.errors import InputError


@dataclass(frozen=True)
class Prediction:
    """What a system answers to one query.

    Attributes:
        qid: the query's id in the data set.
        windows: (w, 3) float64: start and end in seconds, confidence; best first.
        saliency: (c,) float64, one score a 2 s clip; None where the system has none.
    """

    qid: int | str
    windows: NDArray[np.float64]
    saliency: NDArray[np.float64] | None = None


def _numbers(value: Any, where: str) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: {short(value)} are not numbers") from None
    if not np.isfinite(array).all():
        raise InputError(f"{where}: {short(value)} hold a number that is not finite")
    return array


def parse_windows(value: Any, where: str) -> NDArray[np.float64]:
    """``[[start, end, confidence], ...]`` → (w, 3); a missing confidence falls with the rank.

    Raises:
        InputError: not a list of such windows, not finite, or a window that ends before it starts.
    """
    if not isinstance(value, list):
        raise InputError(f"{where}: pred_relevant_windows is not a list")
    if not value:
        return np.zeros((0, 3))
    widths = {len(row) if isinstance(row, list) else 0 for row in value}
    if widths not in ({2}, {3}):
        raise InputError(f"{where}: a predicted window is not [start, end, confidence]")
    windows = _numbers(value, f"{where}: pred_relevant_windows")
    if windows.ndim != 2:
        raise InputError(f"{where}: a predicted window is not [start, end, confidence]")
    if (windows[:, 1] < windows[:, 0]).any():
        bad = windows[windows[:, 1] < windows[:, 0]][0]
        raise InputError(f"{where}: the predicted window [{bad[0]:g}, {bad[1]:g}] ends before it starts")
    if widths == {2}:
        windows = np.column_stack([windows, -np.arange(len(windows), dtype=np.float64)])
    return windows


def _prediction(row: Mapping[str, Any], where: str) -> Prediction:
    qid = id_of(row, "qid", where)
    windows = parse_windows(row.get("pred_relevant_windows", []), where)
    saliency = row.get("pred_saliency_scores")
    if saliency is None:
        return Prediction(qid, windows)
    scores = _numbers(saliency, f"{where}: pred_saliency_scores")
    if scores.ndim != 1:
        raise InputError(f"{where}: pred_saliency_scores is not a list of numbers")
    return Prediction(qid, windows, scores)


def load_predictions(path: Path, dataset: Dataset) -> list[Prediction]:
    """Read a prediction file in the official JSON-lines format, in file order.

    Raises:
        InputError: a malformed line, a query id that the ground truth does not have or that is about
            another video there, or one that occurs twice; names the line.
    """
    predictions = []
    lines: dict[int | str, int] = {}
    for number, row in read_jsonl(path):
        where = f"{path}, line {number}"
        prediction = _prediction(row, where)
        if prediction.qid not in dataset.position:
            raise InputError(
                f"{where}: the qid {prediction.qid!r} is not in the ground truth {dataset.source}",
                "Is it the file of another split?",
            )
        video = dataset.queries[dataset.position[prediction.qid]].video
        if row.get("vid") is not None and str(id_of(row, "vid", where)) != video:
            raise InputError(
                f"{where}: the qid {prediction.qid!r} is about {video}, the prediction about {row['vid']}",
                "Is it the file of another split?",
            )
        if prediction.qid in lines:
            raise InputError(f"{where}: the qid {prediction.qid!r} was already on line {lines[prediction.qid]}")
        lines[prediction.qid] = number
        predictions.append(prediction)
    return predictions


def save_predictions(path: Path, predictions: Iterable[Prediction], dataset: Dataset) -> None:
    """Write predictions in the official format, one JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as out:
        for prediction in predictions:
            query = dataset.queries[dataset.position[prediction.qid]]
            row: dict[str, Any] = {
                "qid": prediction.qid,
                "query": query.text,
                "vid": query.video,
                "pred_relevant_windows": [
                    [_plain(start), _plain(end), round(float(score), 6)]
                    for start, end, score in prediction.windows
                ],
            }
            if prediction.saliency is not None:
                row["pred_saliency_scores"] = [round(float(score), 6) for score in prediction.saliency]
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def _plain(seconds: float) -> float | int:
    return int(seconds) if float(seconds).is_integer() else round(float(seconds), 3)


@dataclass(frozen=True)
class Evaluation:
    """A prediction file's scores, per query and in all.

    Attributes:
        dataset: the ground truth; every array below follows its order.
        moments: scores by length range, ``full`` first; those but ``full`` cover fewer queries.
        highlights: scores by level; empty where no saliency was predicted.
        missing: ids of queries without a prediction, counted as misses.
        empty: ids of queries answered with no window, counted as misses.
    """

    dataset: Dataset
    moments: Mapping[str, MomentScores]
    highlights: Mapping[str, HighlightScores]
    missing: tuple[int | str, ...]
    empty: tuple[int | str, ...]

    def report(self) -> dict[str, dict[str, Any]]:
        """The official evaluator's report (all its keys), in percent."""
        return official_report(self.moments, self.highlights)

    def extras(self) -> dict[str, Any]:
        """What the official report lacks: mIoU of the first windows and how many queries went unanswered."""
        return {
            "MR-full-mIoU": percent(self.moments["full"].mean_iou()),
            "queries": len(self.dataset),
            "missing": len(self.missing),
            "empty": len(self.empty),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a query: what it asked and what the answer scored (shares, not percent)."""
        full = self.moments["full"]
        return [self._row(place, query, full) for place, query in enumerate(self.dataset)]

    def _row(self, place: int, query: Query, full: MomentScores) -> dict[str, Any]:
        state = dict.fromkeys(self.missing, "missing") | dict.fromkeys(self.empty, "empty")
        row: dict[str, Any] = {
            "qid": query.qid,
            "video": query.video,
            "query": query.text,
            "state": state.get(query.qid, "answered"),
            "IoU": round(float(full.first_iou[place]), 4),
            "AP": round(float(full.average_precision[place].mean()), 4),
            "AP@0.5": round(float(full.average_precision[place, 0]), 4),
        }
        for level, scores in self.highlights.items():
            row[f"HL-{level}-AP"] = round(float(scores.average_precision[place]), 4)
            row[f"HL-{level}-Hit1"] = int(scores.hit_at_one[place])
        return row


def truth_windows(queries: Iterable[Query]) -> Windows:
    """The true moments of these queries as one padded block."""
    return Windows.pad([np.array(query.windows, dtype=np.float64).reshape(-1, 2) for query in queries])


def _highlights(dataset: Dataset, answers: Sequence[Prediction | None]) -> dict[str, HighlightScores]:
    saliency = [None if answer is None else answer.saliency for answer in answers]
    if not dataset.has_marks or all(scores is None for scores in saliency):
        return {}
    return score_highlights(saliency, [query.marks for query in dataset if query.marks is not None])


def evaluate(predictions: Iterable[Prediction], dataset: Dataset) -> Evaluation:
    """Score predictions against the ground truth, which decides the queries that count.

    At most ten windows a query count, in the order given. A prediction whose id the data set does not
    have raises InputError.
    """
    answers: list[Prediction | None] = [None] * len(dataset)
    for prediction in predictions:
        if prediction.qid not in dataset.position:
            raise InputError(f"the qid {prediction.qid!r} is not in the ground truth {dataset.source}")
        answers[dataset.position[prediction.qid]] = prediction
    nothing = np.zeros((0, 3))
    predicted = Windows.pad([nothing if a is None else a.windows for a in answers], WINDOWS_PER_QUERY)
    truth = truth_windows(dataset)
    moments = {"full": score_moments(predicted, truth), **score_moments_by_length(predicted, truth)}
    return Evaluation(
        dataset=dataset,
        moments=moments,
        highlights=_highlights(dataset, answers),
        missing=tuple(q.qid for q, a in zip(dataset, answers, strict=True) if a is None),
        empty=tuple(q.qid for q, a in zip(dataset, answers, strict=True) if a is not None and not len(a.windows)),
    )


def score_file(predictions: Path, ground_truth: Path, dataset: str = "qvhighlights") -> Evaluation:
    """Score one prediction file: what ``bench score`` does."""
    truth = load_dataset(ground_truth, dataset)
    return evaluate(load_predictions(predictions, truth), truth)
