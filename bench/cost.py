"""What finding the windows of one clip costs, every method on the same curves in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from bench.curves import CurveSet
from searcher.postprocess import postprocess
from searcher.select import select
from searcher.settings import SearchSettings
from searcher.similarity import Curve
from searcher.structure import Structure


def milliseconds(curve_set: CurveSet, clips: int = 200, rounds: int = 5) -> dict[str, float]:
    """Median over rounds of the CPU milliseconds a clip, postprocessing included.

    Args:
        curve_set: the curves; the first ``clips`` with frame vectors are taken.
        clips: how many. rounds: how often all methods are timed in turn.
    """
    curves = [curve for curve in curve_set.curves if curve.vectors is not None][:clips]
    kept = [
        replace(curve, structure=Structure.of(curve.vectors, curve.period_seconds))
        for curve in curves
        if curve.vectors is not None
    ]
    bare = [replace(curve, vectors=None) for curve in curves]
    work: dict[str, tuple[Sequence[Curve], SearchSettings]] = {
        "vc1 smooth_norm": (curves, SearchSettings(method="vc1")),
        "vc2 smooth_norm": (curves, SearchSettings(method="vc2")),
        "proposals, a video not seen before": (curves, SearchSettings()),
        "proposals, a video asked before": (kept, SearchSettings()),
        "proposals, no frame vectors": (bare, SearchSettings()),
        "proposals, formula": (kept, SearchSettings(ranker="formula")),
    }
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, (some, settings) in work.items():
            begun = time.process_time()
            for curve in some:
                select(postprocess(curve, settings) if settings.method != "proposals" else curve, settings)
            spent[name].append(1000 * (time.process_time() - begun) / max(1, len(some)))
    return {name: statistics.median(values) for name, values in spent.items()}
