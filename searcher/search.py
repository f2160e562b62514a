"""A query through the corpus: candidates → similarity → postprocess → select → rank."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from indexer.catalogue import VideoRow
from indexer.frame_index import FrameIndex, search_threads, similarity_range
from indexer.recent import Remembered
from searcher.candidates import candidates
from searcher.postprocess import postprocess
from searcher.prepared import Prepared
from searcher.rank import Moment, Place, Ranked, best_first, best_score, cut_off, directions, moment_scores
from searcher.relevance import (
    MIN_BACKGROUND_FRAMES,
    Asked,
    Background,
    relevances,
)
from searcher.select import READ_RAW, Window, cut_positions, select, select_all
from searcher.settings import SearchSettings
from searcher.similarity import Curve, Float32, frame_similarity
from searcher.structure import Structure
from searcher.whitening import Whitening

#: What a process keeps of the videos that queries came across. What ranking needs, 0.6 ms of work a clip of 150 s:
#: of 5,600 clips, or of the 200 films of half an hour among which one query chooses,
PREPARED_BYTES = 256 * 2**20
#: how their frames resemble each other, of 1,400 clips in which moments were looked for,
STRUCTURE_BYTES = 64 * 2**20
#: and the vectors, which each search reads, of 800.
VECTOR_BYTES = 128 * 2**20
#: Frames of the videos that are ranked, or searched for moments, together: 33 MB of vectors, and of films
#: 120 MB of how they resemble each other.
FRAMES_AT_ONCE = 2**14


Found = TypeVar("Found")


@dataclass(frozen=True)
class Corpus:
    """What is searched.

    Attributes:
        index: every frame.
        videos: the live videos by id; frames of others are never shown.
        period_seconds: T.
        whitening_file: where the whitening is kept between processes; None keeps it in this one.
    """

    index: FrameIndex
    videos: Mapping[int, VideoRow]
    period_seconds: float
    whitening_file: Path | None = None

    @cached_property
    def whitening(self) -> Whitening | None:
        """Of all frames; None where there are too few to say what is usual."""
        if self.index.rows < MIN_BACKGROUND_FRAMES:
            return None
        moments, file = self.index.moments, self.whitening_file
        return Whitening.of(moments) if file is None else Whitening.kept(moments, file)

    # Not through `self`: a corpus that keeps itself alive keeps the files of an old index open.

    @cached_property
    def vectors(self) -> Remembered[Float32]:
        """V_E of a video, (n, D) float32; KeyError when the corpus does not hold it."""
        return Remembered(self.index.vectors, VECTOR_BYTES)

    @cached_property
    def prepared(self) -> Remembered[Prepared]:
        """The videos, ready to be ranked for any query."""
        vectors, period_seconds, whitening = self.vectors, self.period_seconds, self.whitening
        return Remembered(lambda key: Prepared.of(vectors(key), period_seconds, whitening), PREPARED_BYTES)

    @cached_property
    def structures(self) -> Remembered[Structure]:
        """How the frames of a video resemble each other, for localisers."""
        vectors, period_seconds = self.vectors, self.period_seconds
        return Remembered(lambda key: Structure.of(vectors(key), period_seconds), STRUCTURE_BYTES)

    def asked(self, query: Float32) -> Asked:
        """A query, (D,) unit, as this corpus sees it."""
        return Asked.of(query, Background(*self.index.background(query), self.index.rows), self.whitening)


@dataclass(frozen=True)
class Timeline:
    """One video under one query, whole: what a person looks at to judge where a moment is.

    Attributes:
        video: which.
        curve: postprocessed S_c (``curve.similarity``), the raw one (``curve.raw``), CFS_c and T.
        cuts: first frames of new scenes by CFS_c and α, (c,).
        windows: what the localiser found, best first.
    """

    video: VideoRow
    curve: Curve
    cuts: NDArray[np.intp]
    windows: list[Window]


@dataclass(frozen=True)
class Scenes:
    """How one video changes, whatever the query.

    Attributes:
        video: which.
        next_similarity: CFS_c, (n-1,). period_seconds: T.
        cuts: first frames of new scenes by CFS_c and α, (c,).
    """

    video: VideoRow
    next_similarity: Float32
    period_seconds: float
    cuts: NDArray[np.intp]


def search(
    query: Float32,
    corpus: Corpus,
    settings: SearchSettings,
    within: Collection[int] | None = None,
    example: Place | None = None,
) -> list[Moment]:
    """The moments that answer a query, best first; [] is "nothing found".

    Args:
        query: (D,) float32 unit vector.
        corpus: what is searched.
        settings: how.
        within: only these videos; None for all.
        example: what the query was taken from; the moment around it is no answer.
    """
    rows = corpus.index.rows
    found = _all_moments(query, corpus, settings, within, cut_off(settings, rows))
    return best_first(found, settings, rows, example)


def search_sequence(
    first: Float32,
    second: Float32,
    within_seconds: float,
    corpus: Corpus,
    settings: SearchSettings,
    within: Collection[int] | None = None,
) -> list[Moment]:
    """Moments that show ``first`` and then ``second``, which starts at most ``within_seconds`` after its end.

    A pair spans from the start of the one to the end of the other; its score is the mean of both.
    """
    befores = _by_video(_all_moments(first, corpus, settings, within))
    afters = _by_video(_all_moments(second, corpus, settings, within))
    pairs = (
        _pair(before, after)
        for video_id, some in befores.items()
        for before in some
        for after in afters.get(video_id, [])
        if _follows(before.moment, after.moment, within_seconds)
    )
    return best_first(pairs, settings, corpus.index.rows)


def timeline(video_id: int, query: Float32, corpus: Corpus, settings: SearchSettings) -> Timeline:
    """One video of the corpus under one query; KeyError when the corpus does not hold it."""
    limits = similarity_range(corpus.index, query) if settings.postprocess == "adjust_norm" else None
    curve = postprocess(curve_of(video_id, query, corpus, limits), settings)
    cuts = cut_positions(curve.next_similarity, settings.cut_threshold)
    return Timeline(corpus.videos[video_id], curve, cuts, select(curve, settings))


def scenes(video_id: int, corpus: Corpus, settings: SearchSettings) -> Scenes:
    """The scene changes of one video of the corpus; KeyError when the corpus does not hold it."""
    following = corpus.index.next_similarity(video_id)
    cuts = cut_positions(following, settings.cut_threshold)
    return Scenes(corpus.videos[video_id], following, corpus.period_seconds, cuts)


def curve_of(
    video_id: int, query: Float32, corpus: Corpus, corpus_range: tuple[float, float] | None = None
) -> Curve:
    """S_c and CFS_c of one video; KeyError when the corpus does not hold it."""
    vectors = corpus.vectors(video_id)
    return Curve(
        similarity=frame_similarity(vectors, query),
        next_similarity=corpus.index.next_similarity(video_id),
        period_seconds=corpus.period_seconds,
        duration_seconds=corpus.videos[video_id].duration_seconds,
        corpus_range=corpus_range,
        vectors=vectors,
        structure=corpus.structures(video_id),
    )


def _all_moments(
    query: Float32,
    corpus: Corpus,
    settings: SearchSettings,
    within: Collection[int] | None,
    lowest: float = -math.inf,
) -> Iterator[Ranked]:
    """The windows of the top videos, in no order; of a video none of which can score ``lowest`` none."""
    asked = corpus.asked(query)
    limits = similarity_range(corpus.index, query) if settings.postprocess == "adjust_norm" else None
    pool = candidates(corpus.index, query, settings, within)
    corpus.index.load(pool)
    scored = sorted(_scored(asked, pool, corpus, settings), key=lambda one: (-one[0], one[1]))[: settings.videos]
    relevance_of = {video_id: score for score, video_id in scored}

    def localised(some: Sequence[int]) -> list[Ranked]:
        curves = {key: curve_of(key, query, corpus, limits) for key in some}
        answering = {
            key: curve
            for key, curve in curves.items()
            if best_score(relevance_of[key], curve.similarity, asked.background) >= lowest
        }
        raw = settings.method in READ_RAW
        seen = [curve if raw else postprocess(curve, settings) for curve in answering.values()]
        found = zip(answering.items(), select_all(seen, settings), strict=True)
        return [
            moment
            for (key, curve), windows in found
            for moment in _moments(corpus.videos[key], curve, relevance_of[key], windows, asked.background)
        ]

    return _some_at_a_time(localised, list(relevance_of), corpus.structures, corpus)


def _scored(
    asked: Asked, pool: Sequence[int], corpus: Corpus, settings: SearchSettings
) -> Iterator[tuple[float, int]]:
    """Relevance and id of each video."""
    prepared_of, vectors_of = corpus.prepared, corpus.vectors  # made here, once

    def scored(some: Sequence[int]) -> list[tuple[float, int]]:
        prepared, vectors = [prepared_of(key) for key in some], [vectors_of(key) for key in some]
        return list(zip(relevances(asked, prepared, vectors, settings.best_frames).tolist(), some, strict=True))

    return _some_at_a_time(scored, pool, prepared_of, corpus)


def _some_at_a_time(
    work: Callable[[Sequence[int]], Iterable[Found]],
    video_ids: Sequence[int],
    ready: Container[int],
    corpus: Corpus,
) -> Iterator[Found]:
    """What is found in videos; side by side where many are not ``ready``, which is long products to make up for.

    What is ready takes short steps, between which threads would only wait for Python's lock.
    """
    new = sum(key not in ready for key in video_ids)
    if new <= len(video_ids) // 4:
        return chain.from_iterable(map(work, _together(video_ids, corpus, FRAMES_AT_ONCE)))
    return chain.from_iterable(search_threads().map(work, _together(video_ids, corpus, FRAMES_AT_ONCE // 2)))


def _together(video_ids: Sequence[int], corpus: Corpus, frames: int) -> list[Sequence[int]]:
    """Videos in their order, as many together as memory is to hold of them beside what is kept."""
    ends = np.cumsum([corpus.videos[key].frames for key in video_ids])
    cuts = (np.flatnonzero(np.diff(ends // frames)) + 1).tolist()
    return [video_ids[a:b] for a, b in pairwise([0, *cuts, len(video_ids)])]


def _moments(
    video: VideoRow, curve: Curve, score: float, windows: Sequence[Window], background: Background
) -> Iterator[Ranked]:
    """The windows of one video, best first, as moments of the corpus."""
    assert curve.vectors is not None  # noqa: S101 - curve_of gives them
    scores = moment_scores(score, curve.similarity, windows, background)
    towards = directions(curve.vectors, windows)
    for window, of_window, direction in zip(windows, scores, towards, strict=True):
        moment = Moment(
            path=video.path,
            video_id=video.video_id,
            start_seconds=window.start_seconds,
            end_seconds=window.end_seconds,
            score=of_window,
            confidence=window.confidence,
            video_score=score,
            video_seconds=video.duration_seconds,
        )
        yield Ranked(moment, direction)


def _by_video(found: Iterator[Ranked]) -> dict[int, list[Ranked]]:
    grouped: dict[int, list[Ranked]] = {}
    for one in found:
        grouped.setdefault(one.moment.video_id, []).append(one)
    return grouped


def _follows(before: Moment, after: Moment, within_seconds: float) -> bool:
    """B begins after A began, ends after A ended, and the gap is not too long."""
    in_order = after.start_seconds > before.start_seconds and after.end_seconds > before.end_seconds
    return in_order and after.start_seconds - before.end_seconds <= within_seconds


def _pair(before: Ranked, after: Ranked) -> Ranked:
    a, b = before.moment, after.moment
    both = replace(
        a,
        end_seconds=b.end_seconds,
        score=(a.score + b.score) / 2,
        confidence=(a.confidence + b.confidence) / 2,
        video_score=(a.video_score + b.video_score) / 2,
    )
    return Ranked(both, before.direction)
