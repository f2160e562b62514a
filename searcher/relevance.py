"""How well a whole video answers a query, comparable between videos, queries and corpora.

Two things are measured. The *best combination* is the cosine of the query with the sum of a few frames chosen one
after another to come as near to the query as they can (matching pursuit): a query names several things that no
single frame need show together. The *best stretch* is the cosine with the mean vector of the best quarter, half
and whole minute, averaged: what its frames have in common, which single frames show with noise.

A video that shows much comes near to anything by chance. So the same is asked of it with random vectors, and most
of what they get, the *level of chance* of the video, is subtracted.

Both are measured in two spaces: the encoder's own, and the same one *whitened* by the corpus
(:mod:`searcher.whitening`), where there are frames enough to say what is usual. In each they are expressed in
standard deviations of the corpus for this query, and averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from indexer.vectors import Float32
from searcher.prepared import (
    STRETCHES_SECONDS,
    Frames,
    Prepared,
    band_start,
    combined_reach,
    half_widths,
    stretches_around,
)
from searcher.structure import Floats, Places
from searcher.whitening import Whitening, random_vectors

#: What a combination counts, a stretch counting 1.
COMBINATION_WEIGHT = 1.5
#: How much of a video's level of chance is subtracted.
CHANCE_WEIGHT = 0.75
#: A smaller corpus (10 minutes at one frame every 2 s) says too little about what is usual.
MIN_BACKGROUND_FRAMES = 300
#: Where all frames answer alike (one still scene), differences this small are not deviations but noise.
MIN_DEVIATION = 0.01
#: Cosines of queries with frames that are looked at together: more are out of the processor's caches.
_AT_ONCE = 2**18


@dataclass(frozen=True)
class Background:
    """Mean and standard deviation of S_c over the ``rows`` frames of a corpus, for one query."""

    mean: float
    deviation: float
    rows: int

    def standard(self, cosine: float) -> float:
        """A cosine in standard deviations above the mean."""
        return (cosine - self.mean) / max(self.deviation, MIN_DEVIATION)


@dataclass(frozen=True)
class Asked:
    """A query as a corpus sees it.

    Attributes:
        vector: (D,) float32 unit.
        background: what the corpus's frames answer to it.
        whitening: of the corpus; None where it is too small. ``whitened_deviation``: that of all frames' cosines
            with the whitened query.
    """

    vector: Float32
    background: Background
    whitening: Whitening | None = None
    whitened_deviation: float = 1.0

    @classmethod
    def of(cls, vector: Float32, background: Background, whitening: Whitening | None) -> Asked:
        """Prepare a query."""
        if whitening is None:
            return cls(vector, background)
        deviation = whitening.deviation(whitening.query(vector))
        return cls(vector, background, whitening, max(deviation, MIN_DEVIATION))


def relevances(asked: Asked, videos: Sequence[Prepared], vectors: Sequence[Float32], best_frames: int) -> Floats:
    """How well each video answers, in standard deviations above the corpus's frames and above chance: (v,).

    Args:
        asked: the query.
        videos: v of them, prepared with ``asked.whitening``. vectors: V_E of each, (n, D). What is computed for
            many at once costs little more than for one.
        best_frames: how many frames are combined.
    """
    if not videos:
        return np.zeros(0)
    found = answers(asked.vector[None], asked.whitening, videos, vectors, best_frames)[:, 0]
    above = found - CHANCE_WEIGHT * chance(asked.whitening, videos, vectors, best_frames)
    above[0] = (above[0] - asked.background.mean) / max(asked.background.deviation, MIN_DEVIATION)
    above[1:] /= asked.whitened_deviation
    standard: Floats = above.mean(axis=0)
    return standard


def chance(
    whitening: Whitening | None, videos: Sequence[Prepared], vectors: Sequence[Float32], best_frames: int
) -> Floats:
    """What each video answers to random vectors on average, (spaces, v) cosines; each remembers it."""
    new = [place for place, video in enumerate(videos) if best_frames not in video.levels]
    if new:
        of_new = [videos[place] for place in new], [vectors[place] for place in new]
        random = random_vectors(vectors[0].shape[1])
        levels = answers(random, whitening, *of_new, best_frames).mean(axis=1, dtype=np.float64)
        for video, level in zip(of_new[0], levels.T, strict=True):
            video.levels[best_frames] = level
    return np.stack([video.levels[best_frames] for video in videos], axis=1)


def answers(
    queries: Float32,
    whitening: Whitening | None,
    videos: Sequence[Prepared],
    vectors: Sequence[Float32],
    best_frames: int,
) -> Float32:
    """What each video answers: the weighted mean of its best stretches and best combination, cosines.

    Args:
        queries: (b, D) unit. whitening: with which the videos were prepared.
        videos: v of them, one at least. vectors: V_E of each. best_frames: how many are combined.

    Returns:
        (spaces, b, v) float32.
    """
    # The vectors are read from memory once for both spaces, which is most of the time that a query takes here.
    sought, offsets = queries, np.zeros((len(queries), 1), np.float32)
    if whitening is not None:
        seen = whitening.sought(queries)
        sought = np.concatenate((queries, seen))
        offsets = np.concatenate((offsets, (seen @ whitening.mean)[:, None]))
    ends = np.cumsum([len(one) for one in vectors])
    cuts = np.flatnonzero(np.diff(ends // max(1, _AT_ONCE // len(queries)))) + 1
    groups = [slice(a, b) for a, b in pairwise([0, *cuts.tolist(), len(videos)])]
    found = []
    for some in groups:
        products = np.concatenate([sought @ one.T for one in vectors[some]], axis=1) - offsets
        spaces = zip(*(video.spaces for video in videos[some]), strict=True)
        of_spaces = zip(np.split(products, len(sought) // len(queries)), spaces, strict=True)
        found.append(np.stack([_in_one_space(*one, best_frames) for one in of_spaces]))
    return np.concatenate(found, axis=2)


def _in_one_space(products: Float32, videos: Sequence[Frames], best_frames: int) -> Float32:
    """From the inner products (b, n) of b queries with the frames of all videos: (b, v) float32."""
    similarity = np.clip(products * np.concatenate([video.scale for video in videos]), -1, 1)
    stretches, centres = best_stretches(similarity, videos)
    combined = best_combinations(similarity, videos, centres, best_frames)
    mixed: Float32 = ((COMBINATION_WEIGHT * combined + stretches) / (COMBINATION_WEIGHT + 1)).astype(np.float32)
    return mixed


def best_stretches(similarity: Float32, videos: Sequence[Frames]) -> tuple[Floats, Places]:
    """The best cosine of each query with the mean of a stretch around a frame, averaged over the lengths.

    Args:
        similarity: (b, n), of b queries with the frames of all videos, one video after the other.
        videos: v of them.

    Returns:
        (b, v) float64 cosines; (b, v) frames, counted from the start of each video, around which the middle one
        of :data:`STRETCHES_SECONDS` is best.
    """
    counts = np.array([len(video) for video in videos])
    starts = np.cumsum(counts) - counts
    lowest, highest = np.repeat(starts, counts), np.repeat(starts + counts, counts)
    sums = np.zeros((len(similarity), similarity.shape[1] + 1))
    similarity.cumsum(axis=1, out=sums[:, 1:])
    lengths = np.concatenate([video.lengths for video in videos], axis=1)
    places, best = np.arange(similarity.shape[1]), []
    for number, half in enumerate(half_widths(videos[0].period_seconds)):
        first, end = stretches_around(places, half, lowest, highest)
        cosines = (sums.take(end, axis=1) - sums.take(first, axis=1)) / lengths[number]
        best.append(np.maximum.reduceat(cosines, starts, axis=1))
        if number == len(STRETCHES_SECONDS) // 2:
            is_best = cosines == np.repeat(best[-1], counts, axis=1)
            centres = np.minimum.reduceat(np.where(is_best, places, len(places)), starts, axis=1) - starts
    return np.mean(best, axis=0), centres


def best_combinations(similarity: Float32, videos: Sequence[Frames], centres: Places, count: int) -> Float32:
    """The cosine of each query with the sum of up to ``count`` frames of a video, chosen greedily.

    Each step takes the frame with which the sum's cosine is largest, even where it falls by that: what few
    frames agree on is worth less than what many do.

    Args:
        similarity: (b, n), of b queries with the frames of all videos, one video after the other.
        videos: v of them.
        centres: (b, v) frames, counted from the start of each video, around which the combined ones lie.
        count: 1 or more.

    Returns:
        (b, v) float32.
    """
    near = _Near.of(videos, centres)
    left = near.spread(similarity)
    pairs = np.arange(len(left))
    along = np.zeros_like(left)
    dot, square = np.zeros(len(left), np.float32), np.zeros(len(left), np.float32)
    for step in range(min(count, left.shape[1])):
        lengths = 2 * along
        lengths += square[:, None] + 1
        np.sqrt(np.maximum(lengths, 1e-12, out=lengths), out=lengths)
        cosines = left + dot[:, None]
        cosines /= lengths
        best = cosines.argmax(axis=1)
        more = step < near.counts  # else all frames of the video are taken
        dot += np.where(more, left[pairs, best], 0)
        square += np.where(more, 2 * along[pairs, best] + 1, 0)
        along += near.with_frame(best)
        left[pairs, best] = -np.inf
    found: Float32 = np.divide(dot, np.sqrt(np.maximum(square, 1e-12)))
    return found.reshape(centres.shape)


@dataclass(frozen=True)
class _Near:
    """The frames near the best stretch of each video for each query; a *pair* is a query and a video.

    Attributes:
        cosines: of all tables (:attr:`Frames.cosines`), one after the other: from each place on as many as any
            pair has frames. tables: (p,) where each pair's begins there. widths: (p,) of its rows.
        lengths: (p,) frames of the video. reach: of the tables.
        firsts: (p,) where each pair's frames start in the video; rows: (p,) and among the frames of all videos.
        counts: (p,) how many they are.
    """

    cosines: Float32
    tables: Places
    widths: Places
    lengths: Places
    reach: int
    firsts: Places
    rows: Places
    counts: Places

    @classmethod
    def of(cls, videos: Sequence[Frames], centres: Places) -> _Near:
        """From (b, v) ``centres``; pairs are in that order."""
        queries, reach = len(centres), combined_reach(videos[0].period_seconds)
        n, widths = np.array([video.cosines.shape for video in videos]).T
        sizes = n * widths
        starts, tables = np.cumsum(n) - n, np.cumsum(sizes) - sizes
        most = int(min(n.max(), 2 * reach + 1))
        cosines = np.concatenate([*(video.cosines.ravel() for video in videos), np.zeros(most, np.float32)])
        n, widths, starts, tables = (np.tile(one, queries) for one in (n, widths, starts, tables))
        firsts = band_start(centres.ravel(), reach, n)
        counts = np.minimum(n, 2 * reach + 1)
        windows = sliding_window_view(cosines, most)
        return cls(windows, tables, widths, n, 2 * reach, firsts, starts + firsts, counts)

    def spread(self, similarity: Float32) -> Float32:
        """What each query has with each of the frames near: (b, n) → (p, most), -inf where there is none."""
        most = self.cosines.shape[1]
        queries = np.repeat(np.arange(len(similarity)), len(self.rows) // len(similarity))
        padded = np.concatenate((similarity.ravel(), np.zeros(most, np.float32)))
        values: Float32 = sliding_window_view(padded, most)[queries * similarity.shape[1] + self.rows]
        values[np.arange(most) >= self.counts[:, None]] = -np.inf
        return values

    def with_frame(self, chosen: Places) -> Float32:
        """Cosines of one frame of each pair, (p,), with all of its frames: (p, most), any number where is none."""
        frames = self.firsts + chosen
        columns = self.firsts - band_start(frames, self.reach, self.lengths)
        found: Float32 = self.cosines[self.tables + frames * self.widths + columns]
        return found
