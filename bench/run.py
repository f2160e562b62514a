"""Replay curves with settings: windows, frames, prediction files and the rows of the result tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.curves import CurveSet
from bench.datasets import Dataset
from bench.metrics import WINDOWS_PER_QUERY, FrameScores, percent, score_frames
from bench.score import Evaluation, Prediction, evaluate
from searcher.postprocess import postprocess
from searcher.rankers import load_rankers
from searcher.select import Window, select
from searcher.settings import METHODS, POSTPROCESSES, SearchSettings
from searcher.similarity import Curve

SMOOTHING = frozenset({"smooth_norm", "log_smooth_norm"})
#: Methods of the thesis: the postprocessing matters to them.
THESIS_METHODS = ("vc1", "vc2")
#: The thesis's table, and once each method that smooths the raw curve itself.
COMBINATIONS = (
    *((method, process) for method in THESIS_METHODS for process in POSTPROCESSES),
    *((method, "none") for method in METHODS if method not in THESIS_METHODS),
)
WINDOW_COLUMNS = ("R1@0.5", "R1@0.7", "mAP", "mAP@0.5", "mAP@0.75", "mIoU", "long", "middle", "short")
FRAME_COLUMNS = ("accuracy", "precision", "recall", "F1", "IoU", "AP@0.5", "AP@0.7")


class Replay:
    """Curves ready to be run with many settings; postprocessed arrays are kept.

    Args:
        curve_set: the raw curves.
    """

    def __init__(self, curve_set: CurveSet) -> None:
        self.curve_set = curve_set
        self._processed: dict[tuple[str, int], list[Curve]] = {}

    def processed(self, settings: SearchSettings) -> list[Curve]:
        """All curves after the postprocessing that ``settings`` names."""
        key = (settings.postprocess, settings.smooth_window if settings.postprocess in SMOOTHING else 0)
        if key not in self._processed:
            self._processed[key] = [postprocess(curve, settings) for curve in self.curve_set.curves]
        return self._processed[key]

    def windows(self, settings: SearchSettings, chosen: NDArray[np.intp] | None = None) -> list[list[Window]]:
        """The windows of each curve, or of the curves at the positions ``chosen``."""
        curves = self.processed(settings)
        places = range(len(curves)) if chosen is None else chosen
        return [select(curves[place], settings) for place in places]

    def predictions(self, settings: SearchSettings) -> list[Prediction]:
        """The answers in the form of a prediction file; saliency is the postprocessed S_c."""
        return [
            Prediction(query.qid, window_rows(windows), curve.similarity.astype(np.float64))
            for query, windows, curve in zip(
                self.curve_set.queries, self.windows(settings), self.processed(settings), strict=True
            )
        ]


def window_rows(windows: Sequence[Window], limit: int | None = WINDOWS_PER_QUERY) -> NDArray[np.float64]:
    """(w, 3): start, end in seconds and confidence, in the order given."""
    rows = [(w.start_seconds, w.end_seconds, w.confidence) for w in windows[:limit]]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


class FrameTruth:
    """The relevant frames of each query as one padded block, ready to score selections against."""

    def __init__(self, curve_set: CurveSet) -> None:
        self.counts = np.array([len(curve) for curve in curve_set.curves], dtype=np.intp)
        self.width = int(self.counts.max(initial=0))
        self.valid = np.arange(self.width) < self.counts[:, None]
        self.relevant = np.zeros(self.valid.shape, dtype=bool)
        for row, query, curve in zip(self.relevant, curve_set.queries, curve_set.curves, strict=True):
            row[: len(curve)] = query.relevant(len(curve), curve.period_seconds)

    def score(self, windows: Sequence[Sequence[Window]], chosen: NDArray[np.intp] | None = None) -> FrameScores:
        """Per-query scores of the frames that the windows of each (chosen) query select."""
        places = np.arange(len(self.counts)) if chosen is None else chosen
        selected = np.zeros((len(places), self.width), dtype=bool)
        for row, found in zip(selected, windows, strict=True):
            for window in found:
                row[window.first_frame : window.end_frame] = True
        return score_frames(selected, self.relevant[places], self.valid[places])


@dataclass(frozen=True)
class Row:
    """One line of a result table.

    Attributes:
        name: ``vc1``, ``vc2``, a baseline's or a published system's name.
        postprocess: the postprocessing, or a remark.
        values: column → figure; columns that are missing were not published or measured.
        origin: whose figure it is: ``measured``, ``thesis`` or ``paper``.
        split: the queries it was measured on.
        source: what else it was measured on, where its table may hold rows of several sources.
    """

    name: str
    postprocess: str
    values: dict[str, float]
    origin: str = "measured"
    split: str = "val"
    source: str = ""


def split_name(dataset: Dataset) -> str:
    """``train``, ``val`` or ``test`` where the annotation file's name says so, else that name."""
    return _split_in(dataset.source.name)


def _split_in(file_name: str) -> str:
    stem = Path(file_name).stem
    found = re.search(r"train|val|test", stem)
    return found[0] if found else stem


def figures_split(settings: SearchSettings, dataset: Dataset) -> str:
    """The split, marked ``in-sample`` where the method's parameters were fitted on these very queries."""
    split = split_name(dataset)
    return f"{split}, in-sample" if _is_in_sample(settings, dataset) else split


def _is_in_sample(settings: SearchSettings, dataset: Dataset) -> bool:
    if settings.method != "proposals" or settings.ranker != "fitted":
        return False
    fitted_on = load_rankers(settings.ranker_file).fitted_on
    return fitted_on.get("dataset") == dataset.name and _split_in(str(fitted_on.get("annotations"))) == split_name(
        dataset
    )


def window_values(evaluation: Evaluation) -> dict[str, float]:
    """The window table's columns in percent (:data:`WINDOW_COLUMNS`)."""
    full = evaluation.moments["full"]
    values = {
        "R1@0.5": full.recall_at_one(0.5),
        "R1@0.7": full.recall_at_one(0.7),
        "mAP": full.mean_average_precision(),
        "mAP@0.5": full.mean_average_precision(0.5),
        "mAP@0.75": full.mean_average_precision(0.75),
        "mIoU": full.mean_iou(),
    }
    values |= {name: evaluation.moments[name].mean_average_precision() for name in ("long", "middle", "short")}
    return {name: percent(value) for name, value in values.items()}


def window_row(replay: Replay, settings: SearchSettings) -> Row:
    """One line of the window table: replay, score, name."""
    evaluation = evaluate(replay.predictions(settings), replay.curve_set.dataset)
    split = figures_split(settings, replay.curve_set.dataset)
    return Row(settings.method, settings.postprocess, window_values(evaluation), split=split)


def frame_row(replay: Replay, settings: SearchSettings, truth: FrameTruth | None = None) -> Row:
    """One line of the frame table (shares, not percent). Queries without a curve count as misses."""
    scores = (truth or FrameTruth(replay.curve_set)).score(replay.windows(settings))
    answered = len(replay.curve_set) / len(replay.curve_set.dataset)
    values = {name: round(value * answered, 4) for name, value in scores.report().items()}
    split = figures_split(settings, replay.curve_set.dataset)
    return Row(settings.method, settings.postprocess, values, split=split)
