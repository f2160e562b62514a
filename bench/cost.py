"""What finding the windows of one clip costs, every method on the same curves in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from bench.curves import CurveSet
from indexer.errors import InputError
from searcher.postprocess import postprocess
from searcher.select import READ_RAW, select_all
from searcher.settings import SearchSettings
from searcher.similarity import Curve
from searcher.structure import Structure

#: As many as a page of results localises.
VIDEOS_TOGETHER = 50


def milliseconds(curve_set: CurveSet, clips: int = 200, rounds: int = 5) -> dict[str, float]:
    """Median over rounds of the CPU milliseconds a clip, postprocessing included.

    Args:
        curve_set: the curves; the first ``clips`` with frame vectors are taken.
        clips: how many. rounds: how often all methods are timed in turn.

    Raises:
        InputError: no curve has frame vectors.
    """
    curves = [curve for curve in curve_set.curves if curve.vectors is not None][:clips]
    if not curves:
        raise InputError("no curve has the vectors of its frames", "Name --features DIR or --videos DIR")
    kept = [
        replace(curve, structure=Structure.of(curve.vectors, curve.period_seconds))
        for curve in curves
        if curve.vectors is not None
    ]
    bare = [replace(curve, vectors=None) for curve in curves]
    page = VIDEOS_TOGETHER
    work: dict[str, tuple[Sequence[Curve], SearchSettings, int]] = {
        "vc1 smooth_norm": (curves, SearchSettings(method="vc1"), 1),
        "vc2 smooth_norm": (curves, SearchSettings(method="vc2"), 1),
        "proposals, a video not seen before": (curves, SearchSettings(), 1),
        "proposals, a video asked before": (kept, SearchSettings(), 1),
        f"proposals, {page} videos not seen before": (curves, SearchSettings(), page),
        f"proposals, {page} videos asked before": (kept, SearchSettings(), page),
        f"proposals, {page} videos, no frame vectors": (bare, SearchSettings(), page),
        f"proposals, {page} videos, formula": (kept, SearchSettings(ranker="formula"), page),
    }
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, (some, settings, together) in work.items():
            begun = time.process_time()
            for start in range(0, len(some), together):
                _find(some[start : start + together], settings)
            spent[name].append(1000 * (time.process_time() - begun) / len(some))
    return {name: statistics.median(values) for name, values in spent.items()}


def _find(curves: Sequence[Curve], settings: SearchSettings) -> None:
    select_all(curves if settings.method in READ_RAW else [postprocess(c, settings) for c in curves], settings)
