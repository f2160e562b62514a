"""A query through the corpus: candidates → similarity → postprocess → select → rank."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from indexer.frame_index import FrameIndex, similarity_range
from indexer.store import VideoRow
from searcher.candidates import candidates, video_score
from searcher.postprocess import postprocess
from searcher.rank import Moment, best_first, moment_score
from searcher.select import select
from searcher.settings import SearchSettings
from searcher.similarity import Curve, Float32, frame_similarity


@dataclass(frozen=True)
class Corpus:
    """What is searched.

    Attributes:
        index: every frame.
        videos: the live videos by id; frames of others are never shown.
        period_seconds: T.
    """

    index: FrameIndex
    videos: Mapping[int, VideoRow]
    period_seconds: float


def search(
    query: Float32, corpus: Corpus, settings: SearchSettings, within: Collection[int] | None = None
) -> list[Moment]:
    """The moments that answer a query, best first; [] is "nothing found".

    Args:
        query: (D,) float32 unit vector.
        corpus: what is searched.
        settings: how.
        within: only these videos; None for all.
    """
    limits = similarity_range(corpus.index, query) if settings.postprocess == "adjust_norm" else None
    curves = [
        (video_id, curve_of(video_id, query, corpus, limits))
        for video_id in candidates(corpus.index, query, settings, within)
    ]
    scored = [(video_score(c.similarity, settings.best_frames), video_id, c) for video_id, c in curves]
    top = sorted(scored, key=lambda item: (-item[0], item[1]))[: settings.videos]
    return best_first((m for item in top for m in _moments(*item, corpus, settings)), settings.top)


def curve_of(
    video_id: int, query: Float32, corpus: Corpus, corpus_range: tuple[float, float] | None = None
) -> Curve:
    """S_c and CFS_c of one video; KeyError when the corpus does not hold it."""
    return Curve(
        similarity=frame_similarity(corpus.index.vectors(video_id), query),
        next_similarity=corpus.index.next_similarity(video_id),
        period_seconds=corpus.period_seconds,
        duration_seconds=corpus.videos[video_id].duration_seconds,
        corpus_range=corpus_range,
    )


def _moments(
    score: float, video_id: int, curve: Curve, corpus: Corpus, settings: SearchSettings
) -> Iterator[Moment]:
    video = corpus.videos[video_id]
    for window in select(postprocess(curve, settings), settings):
        yield Moment(
            path=video.path,
            video_id=video_id,
            start_seconds=window.start_seconds,
            end_seconds=window.end_seconds,
            score=moment_score(score, curve.similarity, window),
            confidence=window.confidence,
            video_score=score,
            video_seconds=video.duration_seconds,
        )
