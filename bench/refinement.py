"""Does a second look at the ends help? A coarse grid of every second frame, refined with the frames between.

The whole grid stands for the frames that ``vclip search --refine`` would decode; its own windows are what a
library of twice the frames would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.curves import Features
from bench.datasets import Dataset, Query
from bench.metrics import temporal_iou
from indexer.vectors import Float32, next_frame_similarity
from searcher.refine import moved_end, sides, times_around
from searcher.select import Window, select
from searcher.settings import SearchSettings
from searcher.similarity import Curve, frame_similarity

Span = tuple[float, float]
GRIDS = ("coarse", "coarse, refined", "whole")


@dataclass(frozen=True)
class Refinement:
    """One line of the table: R1 in percent, and the mean distance of an end from the true one.

    The distance is taken over the queries whose first window meets a true one at IoU 0.5 on every grid, the same
    queries in every line.
    """

    grid: str
    recall_05: float
    recall_07: float
    end_error_seconds: float


def first_window(vectors: Float32, query: Float32, period_seconds: float, settings: SearchSettings) -> Window:
    """The first window of a video on this grid."""
    curve = Curve(
        frame_similarity(vectors, query),
        next_frame_similarity(vectors),
        period_seconds,
        len(vectors) * period_seconds,
        vectors=vectors,
    )
    return select(curve, settings)[0]


def refined(window: Window, coarse: Float32, whole: Float32, period_seconds: float) -> Span:
    """The window of the coarse grid with its ends among the frames of the whole, T apart."""

    def end_at(is_start: bool) -> float:
        place = window.first_frame if is_start else window.end_frame
        around = sides(coarse, window.first_frame, window.end_frame, is_start)
        if around is None:
            return window.start_seconds if is_start else window.end_seconds
        times = times_around(place, 2 * period_seconds, len(whole) * period_seconds, 2)
        fine = whole[np.rint(times / period_seconds).astype(np.intp)]
        # The data set's clips are as long as a frame of the whole grid lasts: an end is the first one's start.
        return moved_end(place, fine, times / (2 * period_seconds), coarse, *around)[1] * 2 * period_seconds

    start, end = end_at(True), end_at(False)
    return (start, end) if start < end else (window.start_seconds, window.end_seconds)


def _nearest(span: Span, query: Query) -> tuple[float, float]:
    """IoU with the true moment that meets it best, and the mean distance of its ends from that one's."""
    truth: NDArray[np.float64] = np.array(query.windows)
    overlap = temporal_iou(np.array(span)[None], truth).ravel()
    best = int(overlap.argmax())
    return float(overlap[best]), float(np.abs(np.array(span) - truth[best]).mean())


def measure(features: Features, dataset: Dataset, settings: SearchSettings) -> list[Refinement]:
    """The first window of every query on the three grids, against the truth."""
    found: dict[str, list[tuple[float, float]]] = {grid: [] for grid in GRIDS}
    period = features.period_seconds
    for query in dataset:
        if query.video not in features.frames or query.qid not in features.queries or not query.windows:
            continue
        whole, asked = features.frames[query.video], features.queries[query.qid]
        coarse = np.ascontiguousarray(whole[::2])
        window = first_window(coarse, asked, 2 * period, settings)
        fine = first_window(whole, asked, period, settings)
        spans = (
            (window.start_seconds, window.end_seconds),
            refined(window, coarse, whole, period),
            (fine.start_seconds, fine.end_seconds),
        )
        for grid, (start, end) in zip(GRIDS, spans, strict=True):
            last = query.duration_seconds
            found[grid].append(_nearest((start, min(end, last)), query))
    values = {grid: np.array(rows).reshape(-1, 2) for grid, rows in found.items()}
    everywhere = np.logical_and.reduce([rows[:, 0] >= 0.5 for rows in values.values()])
    return [_line(grid, rows, everywhere) for grid, rows in values.items()]


def _line(grid: str, rows: NDArray[np.float64], everywhere: NDArray[np.bool_]) -> Refinement:
    at_05, at_07 = (100 * float((rows[:, 0] >= level).mean()) if len(rows) else 0.0 for level in (0.5, 0.7))
    error = float(rows[everywhere, 1].mean()) if everywhere.any() else float("nan")
    return Refinement(grid, at_05, at_07, error)
