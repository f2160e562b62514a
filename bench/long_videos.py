"""Long videos with known places: real videos of a data set joined end to end, hours of them.

Each query is asked of a film in which its own video is one of many; its true moments are known there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.curves import Features
from bench.datasets import Dataset, Query
from bench.metrics import Floats, temporal_iou
from indexer.errors import InputError
from indexer.vectors import next_frame_similarity
from searcher.postprocess import postprocess
from searcher.select import select
from searcher.settings import SearchSettings
from searcher.similarity import Curve, frame_similarity


@dataclass(frozen=True)
class Film:
    """Videos joined end to end.

    Attributes:
        vectors: (n, D) float32, the frames of all of them.
        starts: the frame at which each video starts.
        period_seconds: of the frames.
    """

    vectors: NDArray[np.float32]
    starts: dict[str, int]
    period_seconds: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.vectors) * self.period_seconds

    def moments(self, query: Query) -> Floats:
        """(g, 2) true moments of a query whose video is in the film, in the film's seconds."""
        return np.array(query.windows) + self.starts[query.video] * self.period_seconds


def films(features: Features, dataset: Dataset, hours: float, seed: int = 0) -> list[Film]:
    """The data set's videos in random order, joined to films of this length; what is left over is left out.

    Raises:
        InputError: the videos do not last that long.
    """
    names = [name for name in dataset.videos if name in features.frames]
    order = [names[int(place)] for place in np.random.default_rng(seed).permutation(len(names))]
    found: list[Film] = []
    parts: dict[str, NDArray[np.float32]] = {}
    for name in order:
        parts[name] = features.frames[name]
        if sum(map(len, parts.values())) * features.period_seconds >= hours * 3600:
            ends = np.cumsum([len(part) for part in parts.values()])
            starts = dict(zip(parts, [0, *ends[:-1].tolist()], strict=True))
            found.append(Film(np.concatenate(list(parts.values())), starts, features.period_seconds))
            parts = {}
    if not found:
        raise InputError(f"the videos do not last {hours:g} hours", "Choose fewer")
    return found


def measure(
    features: Features, dataset: Dataset, settings: SearchSettings, hours: float = 3.0, queries: int = 300
) -> dict[str, float]:
    """How well the moments of queries are found in films of this length.

    Returns:
        ``queries``; ``R@1``, ``R@5``, ``R@10``: percent of queries with a true moment among the first
        windows at IoU 0.5; ``median_seconds``, ``longest_seconds``: lengths of the first ten windows;
        ``windows``: how many come back for a film, on average; ``milliseconds``: for one film and query.

    Raises:
        InputError: the videos do not last that long, or no query is about those of the films.
    """
    asked = []
    for film in films(features, dataset, hours):
        asked += [(film, q) for q in dataset if q.video in film.starts and q.qid in features.queries and q.windows]
    asked = asked[:queries]
    if not asked:
        raise InputError("no query has a vector and a moment in these films", "Choose more hours")
    cuts = {id(film): next_frame_similarity(film.vectors) for film, _ in asked}
    ranks, lengths, counts, spent = [], [], [], 0.0
    for film, query in asked:
        similarity = frame_similarity(film.vectors, features.queries[query.qid])
        curve = Curve(similarity, cuts[id(film)], film.period_seconds, film.seconds, vectors=film.vectors)
        begun = time.process_time()
        windows = select(postprocess(curve, settings), settings)
        spent += time.process_time() - begun
        spans = np.array([(w.start_seconds, w.end_seconds) for w in windows]).reshape(-1, 2)
        hits = np.flatnonzero(
            temporal_iou(spans[:, None], film.moments(query)[None]).max(axis=1, initial=0) >= 0.5
        )
        ranks.append(int(hits[0]) if hits.size else len(spans) + 10**9)
        lengths += (spans[:10, 1] - spans[:10, 0]).tolist()
        counts.append(len(spans))
    place = np.array(ranks)
    return {
        "queries": len(asked),
        **{f"R@{k}": round(100 * float((place < k).mean()), 2) for k in (1, 5, 10, 100)},
        "median_seconds": float(np.median(lengths)) if lengths else 0.0,
        "longest_seconds": float(np.max(lengths, initial=0.0)),
        "windows": float(np.mean(counts)),
        "milliseconds": round(1000 * spent / len(asked), 1),
    }
