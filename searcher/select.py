"""Where a moment starts and ends (thesis section 3.8): a table of functions ``[Curve] → [[Window]]``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from searcher.proposals import propose
from searcher.settings import SearchSettings
from searcher.similarity import Curve


@dataclass(frozen=True)
class Window:
    """Consecutive frames of one video: ``first_frame`` up to, not including, ``end_frame``.

    ``confidence`` is on the scale of the postprocessed S_c: comparable within a video only.
    """

    first_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float
    confidence: float

    def __post_init__(self) -> None:
        if not 0 <= self.first_frame < self.end_frame:
            raise ValueError(f"empty window: frames {self.first_frame} to {self.end_frame}")


Select = Callable[[Sequence[Curve], SearchSettings], "list[list[Window]]"]


def runs(selected: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Runs of True in (n,) bool → (r, 2) of first and one-past-last positions."""
    padded = np.zeros(selected.shape[0] + 2, dtype=np.int8)
    padded[1:-1] = selected
    return np.flatnonzero(np.diff(padded)).reshape(-1, 2)


def cut_positions(next_similarity: NDArray[np.floating], cut_threshold: float) -> NDArray[np.intp]:
    """First frames of new scenes: ``n + 1`` for each cut between frames n and n+1.

    A cut needs ``cfs_n < α`` and a neighbour, ``cfs_{n-1}`` or ``cfs_{n+1}``, above α: the ends of a
    low run count, its inside does not. A neighbour past the video's end is not above α (choice).
    """
    low = next_similarity < cut_threshold
    above = np.zeros(next_similarity.shape[0] + 2, dtype=bool)
    above[1:-1] = next_similarity > cut_threshold
    return np.flatnonzero(low & (above[:-2] | above[2:])) + 1


def top_share_mean(values: NDArray[np.floating], top_share: float) -> float:
    """Mean of the ⌈p·n⌉ largest values; p = 1 is the mean, p → 0 the maximum.

    A product a rounding error above a whole number (0.7 · 10 = 7.000000000000001) is that number.
    """
    count = max(1, math.ceil(top_share * values.shape[0] - 1e-9))
    return float(np.sort(values)[-count:].mean(dtype=np.float64))


def _best_first(curve: Curve, found: Iterable[tuple[int, int, float]]) -> list[Window]:
    windows = [
        Window(int(first), int(end), curve.seconds(int(first)), curve.seconds(int(end)), confidence)
        for first, end, confidence in found
    ]
    return sorted(windows, key=lambda w: (-w.confidence, w.first_frame))


def vc1(curve: Curve, settings: SearchSettings) -> list[Window]:
    """VC1 (3.8.1): runs of frames with S_c > λ whose mean S_c is above β, by falling mean."""
    scores = curve.similarity
    found = (
        (first, end, float(scores[first:end].mean(dtype=np.float64)))
        for first, end in runs(scores > settings.effective_threshold)
    )
    return _best_first(curve, (w for w in found if w[2] > settings.min_confidence))


def vc2(curve: Curve, settings: SearchSettings) -> list[Window]:
    """VC2 (3.8.2): scenes between the cuts of CFS_c whose best frames exceed λ, neighbours fused.

    A fused window's confidence is the mean of its scenes' confidences weighted by their lengths.
    """
    cuts = cut_positions(curve.next_similarity, settings.cut_threshold)
    edges = np.concatenate(([0], cuts, [len(curve)]))
    lengths = np.diff(edges)
    confidences = np.array([top_share_mean(part, settings.top_share) for part in np.split(curve.similarity, cuts)])
    selected = confidences > settings.effective_threshold
    return _best_first(
        curve,
        (
            (edges[a], edges[b], float(np.average(confidences[a:b], weights=lengths[a:b])))
            for a, b in runs(selected)
        ),
    )


def proposals(curves: Sequence[Curve], settings: SearchSettings) -> list[list[Window]]:
    """Ranked level sets of each raw S_c (:mod:`searcher.proposals`), by falling confidence above λ.

    Whatever the postprocessing made of S_c, this method smooths the raw one itself. Confidences lie in
    (0, 1], 1 is the video's best window.
    """
    found = propose(curves, settings.ranker, settings.ranker_file)
    return [
        [
            Window(first, end, curve.seconds(first), curve.seconds(end), confidence)
            for first, end, confidence in windows
            if confidence > settings.effective_threshold
        ]
        for curve, windows in zip(curves, found, strict=True)
    ]


def _one_by_one(method: Callable[[Curve, SearchSettings], list[Window]]) -> Select:
    return lambda curves, settings: [method(curve, settings) for curve in curves]


SELECT: Mapping[str, Select] = {"vc1": _one_by_one(vc1), "vc2": _one_by_one(vc2), "proposals": proposals}
#: Methods to which postprocessing makes no difference: they look at the raw S_c.
READ_RAW = frozenset({"proposals"})


def select(curve: Curve, settings: SearchSettings) -> list[Window]:
    """Windows of one postprocessed curve by the method that ``settings`` names; [] is "nothing found"."""
    return select_all([curve], settings)[0]


def select_all(curves: Sequence[Curve], settings: SearchSettings) -> list[list[Window]]:
    """Windows of each of several curves, which costs less than one by one."""
    return SELECT[settings.method](curves, settings)
