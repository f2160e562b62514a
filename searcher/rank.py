"""Moments of different videos in one list, by one score; near-duplicates folded.

The score says how far a moment stands out: the mean of what the video and the window answer, less the
corpus's mean similarity to this query, in standard deviations of it, less what the best of so many frames
reaches when nothing matches. Raw cosines differ between models and queries ("a man" is near everything,
"a theremin" near nothing), and a large corpus always has something that comes near; this score can be compared:
0 is what queries typically get whose answer is not there (docs/benchmarks.md has the ROC).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searcher.relevance import MIN_BACKGROUND_FRAMES, Background
from searcher.select import Window
from searcher.settings import DEFAULT_MIN_SCORE, SearchSettings
from searcher.similarity import Float32

#: Moments whose mean vectors are this close show the same thing (two copies, two takes of a still scene).
SAME_COSINE = 0.98
#: Two moments of one video that share more than this part of the shorter one are one answer, told twice.
MAX_OVERLAP = 0.5
#: Moments compared with all better ones in one product.
_COMPARED_AT_ONCE = 256

#: The first moment's deviations for queries whose answer is not in the corpus: their median grows with the
#: logarithm of the corpus (caption features, 374 to 113,620 frames; docs/benchmarks.md).
NOISE_PER_LOG_FRAME = 0.41
NOISE_OFFSET = -0.26


@dataclass(frozen=True)
class Moment:
    """Where an answer starts and ends.

    Attributes:
        path: the video's file; ``video_id`` its id in the library.
        start_seconds, end_seconds: the moment.
        score: comparable over videos, queries and corpora, larger is better: standard deviations above the
            corpus, less the level of chance (:func:`noise_level`).
        confidence: of the window within its own video, on the scale of the postprocessed curve.
        video_score: how well the whole video answers, in the corpus's standard deviations
            (:func:`searcher.relevance.relevance`).
        video_seconds: the video's length.
        similar: how many near-duplicates of this moment were folded into it.
        is_offline: the file is away (a drive that is not mounted, another file in its place), so it cannot be
            played now.
    """

    path: Path
    video_id: int
    start_seconds: float
    end_seconds: float
    score: float
    confidence: float
    video_score: float
    video_seconds: float
    similar: int = 0
    is_offline: bool = False


Place = tuple[int, float]
"""A video's id, and a time in it in seconds."""


@dataclass(frozen=True)
class Ranked:
    """A moment and the mean vector of its frames, (D,) float32 unit, by which duplicates are known."""

    moment: Moment
    direction: Float32


def moment_scores(
    video: float, similarity: NDArray[np.floating], windows: Sequence[Window], background: Background
) -> list[float]:
    """Half how well the video answers, half how well each window does, in deviations above chance.

    A window that the localiser trusts less never scores above one that it trusts more.

    Args:
        video: the video's relevance, in deviations.
        similarity: raw S_c, (n,).
        windows: the moments, by falling confidence.
        background: what the corpus says to this query.
    """
    sums = np.zeros(len(similarity) + 1)
    similarity.cumsum(dtype=np.float64, out=sums[1:])
    first, end = np.array([(w.first_frame, w.end_frame) for w in windows], np.intp).reshape(-1, 2).T
    inside = ((sums[end] - sums[first]) / (end - first)).tolist()
    return list(accumulate((_score(video, one, background) for one in inside), min))


def best_score(video: float, similarity: NDArray[np.floating], background: Background) -> float:
    """What no window of a video can exceed: the :func:`moment_scores` of its best frame alone."""
    return _score(video, float(similarity.max()), background)


def _score(video: float, inside: float, background: Background) -> float:
    return (video + background.standard(inside)) / 2 - noise_level(background.rows)


def noise_level(rows: int) -> float:
    """Deviations that the best moment of ``rows`` frames reaches when nothing matches; 0 for small corpora."""
    if rows < MIN_BACKGROUND_FRAMES:
        return 0.0
    return NOISE_PER_LOG_FRAME * math.log(rows) + NOISE_OFFSET


def directions(vectors: NDArray[np.floating], windows: Sequence[Window]) -> Float32:
    """The mean vector of the frames of each of k windows of a video with V_E (n, D): (k, D) float32 unit."""
    sums = np.zeros((len(windows), vectors.shape[1]), np.float32)
    for window, total in zip(windows, sums, strict=True):
        np.add.reduce(vectors[window.first_frame : window.end_frame], axis=0, out=total)
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
    return sums


def cut_off(settings: SearchSettings, rows: int) -> float:
    """The user's ``min_score``; else the default, where the corpus is large enough to judge by."""
    if settings.min_score is not None:
        return settings.min_score
    return DEFAULT_MIN_SCORE if rows >= MIN_BACKGROUND_FRAMES else -math.inf


def best_first(
    found: Iterable[Ranked], settings: SearchSettings, rows: int, example: Place | None = None
) -> list[Moment]:
    """The best moments: above the cut-off, at most so many of a video, near-duplicates folded.

    Equal scores come by confidence, file and time. Of moments of one video that overlap the best stays.
    ``rows`` is the number of frames in the corpus. The moment that shows ``example`` is left out: whoever asks for
    more like it has it.
    """
    lowest = cut_off(settings, rows)
    ordered = sorted(found, key=_order)
    enough = _without_overlaps([r for r in ordered if r.moment.score >= lowest])
    enough = [one for one in enough if example is None or not _shows(one.moment, *example)]
    folded = _fold(enough) if settings.fold else [r.moment for r in enough]
    return _limit_per_video(folded, settings.per_video)[: settings.top]


def _shows(moment: Moment, video_id: int, seconds: float) -> bool:
    return moment.video_id == video_id and moment.start_seconds <= seconds < moment.end_seconds


def _order(one: Ranked) -> tuple[float, float, str, float]:
    return -one.moment.score, -one.moment.confidence, str(one.moment.path), one.moment.start_seconds


def _without_overlaps(ordered: Sequence[Ranked]) -> list[Ranked]:
    kept: list[Ranked] = []
    spans: dict[int, list[tuple[float, float]]] = {}
    for one in ordered:
        same_video = spans.setdefault(one.moment.video_id, [])
        span = one.moment.start_seconds, one.moment.end_seconds
        if not any(_overlap(span, better) > MAX_OVERLAP for better in same_video):
            same_video.append(span)
            kept.append(one)
    return kept


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The shared part of the shorter of two spans of time; below 0 where they lie apart."""
    shared = (a[1] if a[1] < b[1] else b[1]) - (a[0] if a[0] > b[0] else b[0])
    return shared / min(a[1] - a[0], b[1] - b[0])


def _fold(ordered: Sequence[Ranked]) -> list[Moment]:
    """Each moment that looks like a better one of another video is counted there instead of listed."""
    if not ordered:
        return []
    towards = np.stack([one.direction for one in ordered])
    videos = np.array([one.moment.video_id for one in ordered])
    similar = np.zeros(len(ordered), dtype=int)
    listed = np.zeros(len(ordered), dtype=bool)
    for start in range(0, len(ordered), _COMPARED_AT_ONCE):
        end = start + _COMPARED_AT_ONCE
        alike = towards[start:end] @ towards[:end].T >= SAME_COSINE
        alike &= videos[start:end, None] != videos[:end]
        alike &= np.tri(len(alike), alike.shape[1], start - 1, dtype=bool)  # with better ones only
        listed[start:end] = True
        for row in np.flatnonzero(alike.any(axis=1)).tolist():
            better = np.flatnonzero(alike[row] & listed[: alike.shape[1]])
            if better.size:
                similar[better[0]] += 1
                listed[start + row] = False
    counted = zip(ordered, similar.tolist(), listed.tolist(), strict=True)
    return [replace(one.moment, similar=n) if n else one.moment for one, n, is_listed in counted if is_listed]


def _limit_per_video(moments: Sequence[Moment], per_video: int) -> list[Moment]:
    seen: dict[int, int] = {}
    listed = []
    for moment in moments:
        seen[moment.video_id] = seen.get(moment.video_id, 0) + 1
        if seen[moment.video_id] <= per_video:
            listed.append(moment)
    return listed
