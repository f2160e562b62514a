"""Moments of different videos in one list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searcher.select import Window


@dataclass(frozen=True)
class Moment:
    """Where an answer starts and ends.

    Attributes:
        path: the video's file; ``video_id`` its id in the library.
        start_seconds, end_seconds: the moment.
        score: comparable over videos for one query, larger is better; the list is ordered by it.
        confidence: of the window within its own video, on the scale of the postprocessed curve.
        video_score: mean of the video's best frames, raw cosines.
        video_seconds: the video's length.
    """

    path: Path
    video_id: int
    start_seconds: float
    end_seconds: float
    score: float
    confidence: float
    video_score: float
    video_seconds: float


def moment_score(video_score: float, similarity: NDArray[np.floating], window: Window) -> float:
    """Half how well the video answers, half how well the window does: both means of raw S_c.

    Min-max values are not comparable between videos (every video has a 1.0), raw cosines are.
    """
    inside = similarity[window.first_frame : window.end_frame]
    return 0.5 * video_score + 0.5 * float(inside.mean(dtype=np.float64))


def best_first(moments: Iterable[Moment], top: int) -> list[Moment]:
    """The ``top`` moments by falling score; equal scores by file and time."""
    return sorted(moments, key=lambda m: (-m.score, str(m.path), m.start_seconds))[:top]
