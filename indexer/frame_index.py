"""Inner-product search over every frame of the library.

``FrameIndex`` is the interface; ``NumpyIndex`` the judge, one line of arithmetic that every other index
must agree with; ``FlatIndex`` FAISS on the CPU over memory-mapped float16 segments, exact; ``GpuIndex``
the same rows on a GPU. How segments come to lie on disk is in ``indexer.segments``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.store import VideoFrames
from indexer.vectors import Float32

Ids = Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True)
class FrameHits:
    """The best frames for q queries, best first.

    Attributes:
        scores: (q, k) float32 inner products.
        video_ids: (q, k) int64.
        frames: (q, k) int64, frame number within its video.

    k is smaller than asked for where the index (or what the filter lets through) holds fewer frames.
    """

    scores: Float32
    video_ids: NDArray[np.int64]
    frames: NDArray[np.int64]


class FrameIndex(Protocol):
    """Exact inner-product search; ``videos`` in a call limits it to those video ids."""

    kind: str

    @property
    def rows(self) -> int:
        """Number of frames."""
        ...

    @property
    def video_ids(self) -> frozenset[int]:
        """The videos whose frames it holds."""
        ...

    def search(self, queries: Float32, k: int, videos: Collection[int] | None = None) -> FrameHits:
        """The k frames with the largest inner product for each of (q, D) float32 queries."""
        ...

    def vectors(self, video_id: int) -> Float32:
        """V_E of one video, (n, D) float32; KeyError when it is not here."""
        ...

    def next_similarity(self, video_id: int) -> Float32:
        """CFS_c of one video, (n-1,) float32; KeyError when it is not here."""
        ...

    def background(self, query: Float32) -> tuple[float, float]:
        """Mean and standard deviation of S_c over all frames for a (D,) query; (0, 1) for an empty index."""
        ...


class Rows:
    """Which rows of a block belong to which video: consecutive runs."""

    def __init__(self, video_ids: Ids, counts: Ids) -> None:
        self.video_ids = np.asarray(video_ids, dtype=np.int64)
        self.counts = np.asarray(counts, dtype=np.int64)
        self.ends = np.cumsum(self.counts)
        self._position = {int(v): i for i, v in enumerate(self.video_ids.tolist())}

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __contains__(self, video_id: int) -> bool:
        return video_id in self._position

    def span(self, video_id: int) -> tuple[int, int]:
        """First row and one past the last; KeyError for a stranger."""
        i = self._position[video_id]
        return int(self.ends[i] - self.counts[i]), int(self.ends[i])

    def locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Video ids and frame numbers of ``rows`` (any shape)."""
        owner = np.searchsorted(self.ends, rows, side="right")
        return self.video_ids[owner], rows - (self.ends[owner] - self.counts[owner])

    def mask(self, videos: Collection[int]) -> NDArray[np.bool_]:
        """(rows,) bool: True where the row belongs to one of ``videos``."""
        wanted = np.fromiter((int(v) in videos for v in self.video_ids), bool, len(self.video_ids))
        return np.repeat(wanted, self.counts)


@dataclass(frozen=True)
class Moments:
    """First and second moments of a set of vectors: enough for the mean and spread of any query's scores.

    Attributes:
        rows: how many vectors. total: their sum, (D,) float64. products: sum of v vᵀ, (D, D) float64.
    """

    rows: int
    total: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> Moments:
        """Of (n, D) vectors."""
        v = np.asarray(vectors, np.float32)
        return cls(len(v), v.sum(axis=0, dtype=np.float64), (v.T @ v).astype(np.float64))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.rows + other.rows, self.total + other.total, self.products + other.products)

    def background(self, query: Float32) -> tuple[float, float]:
        """Mean and standard deviation of v · q: E[v]·q and sqrt(qᵀ E[v vᵀ] q - mean²)."""
        if self.rows == 0:
            return 0.0, 1.0
        q = query.astype(np.float64)
        mean = float(self.total @ q) / self.rows
        variance = float(q @ self.products @ q) / self.rows - mean**2
        return mean, float(np.sqrt(variance)) if variance > 1e-12 else 1.0


class NumpyIndex:
    """The judge: all vectors in one array, one matrix product, one sort."""

    kind = "NumPy, exact, in memory"

    def __init__(self, videos: Iterable[VideoFrames], dimension: int) -> None:
        self._videos = {video.video_id: video for video in videos}
        self._rows = Rows(list(self._videos), [len(v.vectors) for v in self._videos.values()])
        parts = [np.asarray(v.vectors, np.float32) for v in self._videos.values()]
        self._vectors = np.concatenate(parts) if parts else np.zeros((0, dimension), np.float32)

    @property
    def rows(self) -> int:
        """See :class:`FrameIndex`."""
        return len(self._rows)

    @property
    def video_ids(self) -> frozenset[int]:
        """See :class:`FrameIndex`."""
        return frozenset(self._videos)

    def search(self, queries: Float32, k: int, videos: Collection[int] | None = None) -> FrameHits:
        """See :class:`FrameIndex`."""
        allowed = np.arange(self.rows) if videos is None else np.flatnonzero(self._rows.mask(set(videos)))
        scores = queries @ self._vectors[allowed].T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return FrameHits(np.take_along_axis(scores, best, 1), *self._rows.locate(allowed[best]))

    def vectors(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return np.asarray(self._videos[video_id].vectors, np.float32)

    def next_similarity(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self._videos[video_id].next_similarity

    def background(self, query: Float32) -> tuple[float, float]:
        """See :class:`FrameIndex`."""
        scores = self._vectors @ query
        return (float(scores.mean()), float(scores.std()) or 1.0) if len(scores) else (0.0, 1.0)


@dataclass(frozen=True)
class Segment:
    """Up to some ten thousand frames: a FAISS float16 index and what belongs to its rows.

    ``next_similarity`` is (rows,) float32 with NaN at each video's last frame, as in the table;
    ``moments`` are those of its vectors.
    """

    name: str
    rows: Rows
    index: Any
    next_similarity: Float32
    moments: Moments

    @classmethod
    def build(cls, name: str, videos: Sequence[VideoFrames]) -> Segment:
        """Put the frames of ``videos`` into a new index, float16 as stored."""
        import faiss

        dimension = videos[0].vectors.shape[1]
        index = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for video in videos:
            index.add(np.ascontiguousarray(video.vectors, dtype=np.float32))
        following = [np.append(video.next_similarity, np.float32(np.nan)) for video in videos]
        rows = Rows([video.video_id for video in videos], [len(video.vectors) for video in videos])
        moments = Moments.of(np.concatenate([video.vectors for video in videos]))
        return cls(name, rows, index, np.concatenate(following).astype(np.float32), moments)

    def search(self, queries: Float32, k: int, videos: Collection[int] | None) -> FrameHits | None:
        """The best rows of this segment; None when the filter leaves nothing of it."""
        import faiss

        faiss.omp_set_num_threads(1)  # segments are searched side by side, one thread each
        allowed, parameters = len(self.rows), None
        if videos is not None:
            mask = self.rows.mask(videos)
            allowed = int(mask.sum())
            if allowed == 0:
                return None
            if allowed < len(mask):
                bits = np.packbits(mask, bitorder="little")
                parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))  # type: ignore[call-arg, arg-type]
        scores, rows = self.index.search(queries, min(k, allowed), params=parameters)
        return FrameHits(scores, *self.rows.locate(rows))


class FlatIndex:
    """FAISS on the CPU: exact, float16 as stored, segments searched in parallel.

    One query over one big FAISS index runs on one core; several segments use them all, which brings a
    single query to the speed of reading the memory once (docs/benchmarks.md).
    """

    kind = "FAISS exact float16, CPU"

    def __init__(self, segments: Sequence[Segment], dimension: int) -> None:
        self.segments = list(segments)
        self.dimension = dimension
        self._home = {int(v): s for s in self.segments for v in s.rows.video_ids}
        empty = Moments(0, np.zeros(dimension), np.zeros((dimension, dimension)))
        self._moments = sum((segment.moments for segment in self.segments), empty)
        self._threads = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="faiss")

    @property
    def rows(self) -> int:
        """See :class:`FrameIndex`."""
        return sum(len(segment.rows) for segment in self.segments)

    @property
    def video_ids(self) -> frozenset[int]:
        """See :class:`FrameIndex`."""
        return frozenset(self._home)

    def search(self, queries: Float32, k: int, videos: Collection[int] | None = None) -> FrameHits:
        """See :class:`FrameIndex`."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        wanted = None if videos is None else set(videos)
        found = list(self._threads.map(lambda s: s.search(queries, k, wanted), self.segments))
        return merge([hits for hits in found if hits is not None], len(queries), k)

    def vectors(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        segment = self._home[video_id]
        first, end = segment.rows.span(video_id)
        vectors: Float32 = segment.index.reconstruct_n(first, end - first)
        return vectors

    def next_similarity(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        segment = self._home[video_id]
        first, end = segment.rows.span(video_id)
        return np.asarray(segment.next_similarity[first : end - 1])

    def background(self, query: Float32) -> tuple[float, float]:
        """See :class:`FrameIndex`."""
        return self._moments.background(query)


class GpuIndex:
    """The rows of a ``FlatIndex`` on a GPU, float16; its best are re-scored exactly from the stored vectors.

    Filtered searches and single videos are answered by the CPU index, which holds the same rows.

    Raises:
        RuntimeError: the GPU does not have the memory, or FAISS has no code for it.
    """

    #: The GPU multiplies in float16: some more rows than asked for, so that re-scoring finds the true k.
    SPARE_ROWS = 64

    def __init__(self, flat: FlatIndex, gpu: int = 0) -> None:
        import faiss

        self.kind = f"FAISS exact float16, GPU {gpu}"
        self._flat = flat
        self._rows = Rows(
            np.concatenate([s.rows.video_ids for s in flat.segments]),
            np.concatenate([s.rows.counts for s in flat.segments]),
        )
        self._resources = faiss.StandardGpuResources()
        settings = faiss.GpuIndexFlatConfig()
        settings.device = gpu
        settings.useFloat16 = True
        self._index = faiss.GpuIndexFlatIP(self._resources, flat.dimension, settings)
        for segment in flat.segments:
            self._index.add(segment.index.reconstruct_n(0, len(segment.rows)))

    @property
    def rows(self) -> int:
        """See :class:`FrameIndex`."""
        return self._flat.rows

    @property
    def video_ids(self) -> frozenset[int]:
        """See :class:`FrameIndex`."""
        return self._flat.video_ids

    def search(self, queries: Float32, k: int, videos: Collection[int] | None = None) -> FrameHits:
        """See :class:`FrameIndex`; above the GPU's limit of 2,048 rows a query the CPU answers."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        wanted = min(k + self.SPARE_ROWS, self.rows)
        if videos is not None or wanted > 2048:
            return self._flat.search(queries, k, videos)
        _, rows = self._index.search(queries, wanted)
        video_ids, frames = self._rows.locate(rows)
        scores = np.stack([self._exact(q, v, f) for q, v, f in zip(queries, video_ids, frames, strict=True)])
        return merge([FrameHits(scores, video_ids, frames)], len(queries), k)

    def _exact(self, query: Float32, video_ids: NDArray[np.int64], frames: NDArray[np.int64]) -> Float32:
        scores = np.empty(len(frames), np.float32)
        for video_id in np.unique(video_ids).tolist():
            here = video_ids == video_id
            scores[here] = self._flat.vectors(video_id)[frames[here]] @ query
        return scores

    def vectors(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self._flat.vectors(video_id)

    def next_similarity(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self._flat.next_similarity(video_id)

    def background(self, query: Float32) -> tuple[float, float]:
        """See :class:`FrameIndex`."""
        return self._flat.background(query)


def merge(parts: Sequence[FrameHits], queries: int, k: int) -> FrameHits:
    """The best k of several answers to the same queries; equal scores by video and frame."""
    if not parts:
        return FrameHits(
            np.zeros((queries, 0), np.float32),
            np.zeros((queries, 0), np.int64),
            np.zeros((queries, 0), np.int64),
        )
    scores = np.concatenate([hits.scores for hits in parts], axis=1)
    video_ids = np.concatenate([hits.video_ids for hits in parts], axis=1)
    frames = np.concatenate([hits.frames for hits in parts], axis=1)
    best = np.lexsort((frames, video_ids, -scores), axis=1)[:, :k]
    return FrameHits(*(np.take_along_axis(array, best, 1) for array in (scores, video_ids, frames)))


def similarity_range(index: FrameIndex, query: Float32) -> tuple[float, float]:
    """Minimum and maximum of S_c over all frames for a (D,) query; (0, 0) for an empty index."""
    if index.rows == 0:
        return 0.0, 0.0
    hits = [float(index.search(sign * query[None, :], 1).scores[0, 0]) for sign in (np.float32(-1), np.float32(1))]
    return -hits[0], hits[1]


def gpu_reason() -> str:
    """Empty when a probe search on a GPU gives the right answer, else why there is none to use."""
    try:
        import faiss
    except ImportError as error:
        return f"FAISS cannot be imported: {error}"
    if not hasattr(faiss, "StandardGpuResources"):
        return "this FAISS is built without GPU code"
    if faiss.get_num_gpus() == 0:
        return "no NVIDIA GPU found"
    probe = np.eye(8, dtype=np.float32)
    try:
        flat = FlatIndex([Segment.build("probe", [VideoFrames.of(1, probe)])], 8)
        found = GpuIndex(flat).search(probe[3:4], 1).frames[0, 0]
    except Exception as error:  # CUDA errors come as RuntimeError, AssertionError or worse
        return f"a probe search on the GPU failed: {str(error).splitlines()[0]}"
    return "" if found == 3 else "a probe search on the GPU gave a wrong answer"
