"""Timelines as the API shows them; curves of hours thinned to what a screen can draw."""

from __future__ import annotations

import numpy as np

from searcher.search import Timeline
from searcher.similarity import Float32
from vclipper.web.schemas import TimelineResponse, TimelineWindow
from vclipper.web.videos import video_of


def timeline_of(timeline: Timeline, points: int) -> TimelineResponse:
    """The timeline with at most ``points`` values a curve."""
    curve = timeline.curve
    step = -(-len(curve.similarity) // points)
    return TimelineResponse(
        video=video_of(timeline.video),
        period_seconds=curve.period_seconds * step,
        duration_seconds=curve.duration_seconds,
        frame_rate=timeline.video.frame_rate,
        similarity=_listed(highest(curve.raw, step)),
        postprocessed=_listed(highest(curve.similarity, step)),
        next_similarity=_listed(lowest_between(curve.next_similarity, step)),
        cut_seconds=[round(float(cut) * curve.period_seconds, 3) for cut in timeline.cuts],
        windows=[
            TimelineWindow(start_seconds=w.start_seconds, end_seconds=w.end_seconds, confidence=w.confidence)
            for w in timeline.windows
        ],
    )


def highest(values: Float32, step: int) -> Float32:
    """The largest of each ``step`` values, (ceil(n / step),): a short peak must not vanish."""
    starts = np.arange(0, len(values), step)
    return np.maximum.reduceat(values, starts) if len(values) else values


def lowest_between(following: Float32, step: int) -> Float32:
    """CFS_c of n frames, (n-1,), for groups of ``step`` frames: the deepest cut from each group to the next.

    Value ``g`` covers the steps from the first frame of group ``g`` to that of the next: (ceil(n / step) - 1,).
    """
    groups = -(-(len(following) + 1) // step)
    if groups < 2:
        return following[:0]
    return np.minimum.reduceat(following, np.arange(groups - 1) * step)


def _listed(values: Float32) -> list[float]:
    return [round(float(value), 5) for value in values]
