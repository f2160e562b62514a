"""How near the ends of found moments lie to the true ones, with and without ``--refine``.

``python -m vclipper.demo.ends FOLDER`` makes and indexes the demo's films there and searches for each scene.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from searcher.settings import SearchSettings
from vclipper.demo.run import HIT_IOU, SETTINGS, window_iou
from vclipper.demo.videos import TrueMoment, make_videos
from vclipper.library import Library
from vclipper.models import DEMO_MODEL


def measure(library: Library, truth: list[TrueMoment], settings: SearchSettings, refine: bool) -> dict[str, float]:
    """R1 at IoU 0.5, 0.7 and 0.9 in percent, mean error of an end and time of a search in seconds.

    The error is taken over the queries whose first moment meets the true one at IoU 0.5; NaN where none does.
    """
    overlaps, errors, begun = [], [], time.perf_counter()
    for moment in truth:
        found = library.search(moment.query, settings=settings, refine=refine)
        first = next(iter(found), None)
        true = (moment.start_seconds, moment.end_seconds)
        is_right = first is not None and first.path == moment.path.absolute()
        span = (first.start_seconds, first.end_seconds) if first and is_right else (0.0, 0.0)
        overlaps.append(window_iou(span, true))
        if overlaps[-1] >= HIT_IOU:
            errors.append(float(np.abs(np.array(span) - true).mean()))
    shares = {f"R1@{level:g}": 100 * float((np.array(overlaps) >= level).mean()) for level in (0.5, 0.7, 0.9)}
    seconds = (time.perf_counter() - begun) / len(truth)
    return {**shares, "end error s": float(np.mean(errors)) if errors else float("nan"), "s a search": seconds}


def main(folder: Path) -> None:
    """Print one line for each method, with and without refinement."""
    truth = make_videos(folder)
    library = Library.open(folder / "library")
    library.index([folder], model=DEMO_MODEL)
    library.search(truth[0].query)  # loads what is loaded once
    for name, settings in (("the demo's settings (vc1)", SETTINGS), ("proposals", SearchSettings())):
        for refine in (False, True):
            values = measure(library, truth, replace(settings, top=1), refine)
            columns = "  ".join(f"{column} {value:.2f}" for column, value in values.items())
            print(f"{name}{', refined' if refine else ''}: {columns}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
