"""Corpus-level scoring: find the video and the moment among all videos of a split.

It goes the library's way: LanceDB tables, the FAISS index made of them, and :func:`searcher.search.search`
for every query.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.curves import Features
from bench.datasets import Dataset, Query
from bench.metrics import temporal_iou
from bench.workers import in_processes
from indexer import manifest, segments
from indexer.catalogue import VideoRow
from indexer.lock import writing
from indexer.manifest import Manifest
from indexer.plan import video_id_of
from indexer.store import Store, VideoFrames
from indexer.vectors import Float32
from searcher.rank import Moment
from searcher.search import Corpus, search
from searcher.settings import SearchSettings

RANKS = (1, 5, 10, 100)
MOMENT_IOUS = (0.5, 0.7)
VIDEOS_PER_COMMIT = 400
QUERIES_AT_ONCE = 10
FALSE_ALARMS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def video_key(video: str) -> int:
    """The id that a video of this name has in a bench corpus."""
    return video_id_of(hashlib.sha256(video.encode()).hexdigest())


def _rows(features: Features, durations: Mapping[str, float]) -> list[tuple[VideoRow, VideoFrames]]:
    added = []
    for video, vectors in features.frames.items():
        key = video_key(video)
        name = hashlib.sha256(video.encode()).hexdigest()
        duration = max(durations[video], (len(vectors) - 1) * features.period_seconds + 1e-3)
        row = VideoRow(key, name, (Path("/") / f"{video}.mp4",), len(vectors), duration)
        added.append((row, VideoFrames.of(key, vectors)))
    return added


def corpus_folder(cache: Path, features: Features) -> Path:
    """The library folder that belongs to exactly these vectors."""
    digest = hashlib.sha256()
    for video, vectors in features.frames.items():
        digest.update(video.encode())
        digest.update(vectors.tobytes())
    return cache / f"corpus-{digest.hexdigest()[:24]}"


def build_corpus(features: Features, dataset: Dataset, library: Path) -> None:
    """Write all vectors into a library in the folder ``library`` and index them with FAISS.

    A finished library is left as it is; what an interrupted run left there is deleted. The folder belongs to
    the bench: take it from :func:`corpus_folder`.
    """
    if not manifest.exists(library):
        shutil.rmtree(library, ignore_errors=True)
        library.mkdir(parents=True, exist_ok=True)
        store = Store.create(library, features.dimension, features.period_seconds)
        durations = {query.video: query.duration_seconds for query in dataset}
        added = _rows(features, durations)
        with writing(library, "vclip bench corpus"):
            for start in range(0, len(added), VIDEOS_PER_COMMIT):
                store.commit(added[start : start + VIDEOS_PER_COMMIT])
        manifest.save(Manifest("features", "", features.dimension, features.period_seconds), library)
    open_corpus(library)


def open_corpus(library: Path) -> Corpus:
    """The library as :func:`searcher.search.search` takes it, its FAISS index brought up to date."""
    made = manifest.load(library)
    store = Store(library, made.dimension, made.period_seconds)
    videos = store.videos()
    index = segments.load_if_current(library, store)
    if index is None:
        with writing(library, "vclip bench corpus"):
            index = segments.follow(library, store)
    return Corpus(index, {video.video_id: video for video in videos}, made.period_seconds)


@dataclass(frozen=True)
class CorpusScores:
    """Where the right answers stand in each query's result list.

    Attributes:
        video_rank: (Q,) int64, place of the right video among the videos, from 1; 0 when it is not there.
        moment_rank: IoU → (Q,) int64, place of the first right moment in the list, likewise.
        seconds: wall time of each search that was made.
        score: (A,) of the first moment found for each query asked; -inf where nothing was.
        score_without: (A,) the same with the right video taken out of the corpus.
        first_is_right: (A,) bool: the first moment is in the right video.
    """

    video_rank: NDArray[np.int64]
    moment_rank: Mapping[float, NDArray[np.int64]]
    seconds: NDArray[np.float64]
    score: NDArray[np.float64]
    score_without: NDArray[np.float64]
    first_is_right: NDArray[np.bool_]

    def recall(self, ranks: NDArray[np.int64], within: int) -> float:
        """Share of queries answered at place ``within`` or better."""
        return float(((ranks > 0) & (ranks <= within)).mean())

    def report(self) -> dict[str, float]:
        """All recalls in percent, and the median search time in milliseconds."""
        values = {f"video R@{k}": 100 * self.recall(self.video_rank, k) for k in RANKS}
        for iou, ranks in self.moment_rank.items():
            values |= {f"moment R@{k} IoU {iou}": 100 * self.recall(ranks, k) for k in RANKS}
        values["nothing-found AUC"] = self.auc(self.score)
        values["nothing-found AUC, first answer right"] = self.auc(self.score[self.first_is_right])
        values["median search ms"] = 1000 * float(np.median(self.seconds)) if len(self.seconds) else 0.0
        return {name: round(value, 2) for name, value in values.items()}

    def auc(self, present: NDArray[np.float64]) -> float:
        """Chance that a query whose video is there scores above one whose video is not; ties count half."""
        if not len(present) or not len(self.score_without):
            return 0.0
        absent = np.sort(self.score_without)
        below = np.searchsorted(absent, present, side="left") + np.searchsorted(absent, present, side="right")
        return float(below.mean() / (2 * len(absent)))

    def cutoffs(self, false_alarms: Sequence[float] = FALSE_ALARMS) -> list[dict[str, float]]:
        """The ROC: for each rate of false alarms the score that gives it, and what a cut-off there keeps."""
        lines = []
        for rate in false_alarms:
            score = float(np.quantile(self.score_without, 1 - rate))
            right = self.score[self.first_is_right]
            lines.append(
                {
                    "false alarms": rate,
                    "min_score": score,
                    "answered": float((self.score >= score).mean()),
                    "right first answers kept": float((right >= score).mean()) if len(right) else 0.0,
                }
            )
        return lines


def video_place(moments: Sequence[Moment], video_id: int) -> int:
    """Place of a video among the videos of a result list, best video first; 0 when it is not there."""
    scores = {moment.video_id: moment.video_score for moment in moments}
    ranked = sorted(scores, key=lambda key: (-scores[key], key))
    return ranked.index(video_id) + 1 if video_id in scores else 0


def moment_place(moments: Sequence[Moment], query: Query, video_id: int, iou: float) -> int:
    """Place of the first moment of the right video that reaches ``iou`` with a true one; 0 when there is none."""
    truth = np.array(query.windows, dtype=np.float64)
    for place, moment in enumerate(moments, start=1):
        if moment.video_id == video_id:
            found = np.array([moment.start_seconds, moment.end_seconds])
            if (temporal_iou(found, truth) >= iou).any():
                return place
    return 0


@dataclass(frozen=True)
class Found:
    """Where one query's right answers stand; see :class:`CorpusScores`."""

    video: int
    moments: tuple[int, ...]
    seconds: float
    score: float
    score_without: float
    first_is_right: bool


def look_up(corpus: Corpus, query: Query, vector: Float32, settings: SearchSettings) -> Found:
    """Search the corpus for one query and find the right video and moment in the answer."""
    start = time.perf_counter()
    moments = search(vector, corpus, settings)
    seconds = time.perf_counter() - start
    key = video_key(query.video)
    listed = moments[: max(RANKS)]
    places = tuple(moment_place(listed, query, key, iou) for iou in MOMENT_IOUS)
    score = moments[0].score if moments else -np.inf
    without = next((moment.score for moment in moments if moment.video_id != key), -np.inf)
    first_is_right = bool(moments) and moments[0].video_id == key
    return Found(video_place(moments, key), places, seconds, score, without, first_is_right)


_worker: dict[str, Any] = {}


def _start_worker(library: Path, settings: SearchSettings) -> None:
    _worker.update(corpus=open_corpus(library), settings=settings)


def _look_up_all(work: Sequence[tuple[Query, Float32]]) -> list[Found]:
    return [look_up(_worker["corpus"], query, vector, _worker["settings"]) for query, vector in work]


def score_corpus(
    library: Path,
    features: Features,
    dataset: Dataset,
    settings: SearchSettings,
    workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> CorpusScores:
    """Search the corpus for every query and look up where the right video and moment stand.

    As many videos are searched as the deepest rank scored. A query without a vector or whose video is
    missing is a miss.

    Args:
        library: what :func:`build_corpus` made.
        features: the queries' vectors.
        dataset: the queries.
        settings: of the search; ``videos`` and ``top`` are raised, the cut-off on the score is lifted.
        workers: processes.
        on_progress: called with queries done and in all.
    """
    deep = replace(settings, videos=max(RANKS), top=100_000, min_score=-1000.0)
    asked = [place for place, query in enumerate(dataset) if query.qid in features.queries]
    work = [(dataset.queries[place], features.queries[dataset.queries[place].qid]) for place in asked]
    chunks = [work[start : start + QUERIES_AT_ONCE] for start in range(0, len(work), QUERIES_AT_ONCE)]
    found: list[Found] = []
    for part in in_processes(_look_up_all, chunks, workers, _start_worker, (library, deep)):
        found += part
        on_progress(len(found), len(work))
    return _collect(len(dataset), asked, found)


def _collect(queries: int, asked: Sequence[int], found: Sequence[Found]) -> CorpusScores:
    video_rank = np.zeros(queries, dtype=np.int64)
    moment_rank = {iou: np.zeros(queries, dtype=np.int64) for iou in MOMENT_IOUS}
    video_rank[asked] = [one.video for one in found]
    for column, ranks in enumerate(moment_rank.values()):
        ranks[asked] = [one.moments[column] for one in found]
    return CorpusScores(
        video_rank,
        moment_rank,
        np.array([one.seconds for one in found]),
        np.array([one.score for one in found]),
        np.array([one.score_without for one in found]),
        np.array([one.first_is_right for one in found], dtype=bool),
    )
