"""Inner-product search over every frame of the library.

``FrameIndex`` is the interface; ``NumpyIndex`` the judge, one line of arithmetic that every other index
must agree with; ``FlatIndex`` FAISS on the CPU over memory-mapped float16 segments, exact; ``GpuIndex``
the same rows on a GPU. How segments come to lie on disk is in ``indexer.segments``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.errors import first_line
from indexer.store import VideoFrames
from indexer.vectors import Float16, Float32

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

    def load(self, video_ids: Collection[int]) -> None:
        """Told which videos will be asked for next: what reads them from afar fetches them at once."""
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

    @property
    def moments(self) -> Moments:
        """First and second moments of all vectors."""
        ...


class Rows:
    """Which rows of a block belong to which video: consecutive runs."""

    def __init__(self, video_ids: Ids, counts: Ids) -> None:
        self.video_ids = np.asarray(video_ids, dtype=np.int64)
        self.counts = np.asarray(counts, dtype=np.int64)
        self.ends = np.cumsum(self.counts)

    @cached_property
    def _position(self) -> dict[int, int]:
        return {video_id: i for i, video_id in enumerate(self.video_ids.tolist())}

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

    def mask(self, videos: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(rows,) bool: True where the row belongs to one of ``videos``, sorted ids."""
        return np.repeat(is_member(self.video_ids, videos), self.counts)


def sorted_ids(videos: Collection[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Distinct ids in rising order; an array is taken to be that already."""
    if isinstance(videos, np.ndarray):
        return videos
    return np.unique(np.fromiter(videos, np.int64, len(videos)))


def is_member(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of ``ids`` are among ``wanted``, which is sorted."""
    if len(wanted) == 0:
        return np.zeros(ids.shape, bool)
    place = np.minimum(np.searchsorted(wanted, ids), len(wanted) - 1)
    found: NDArray[np.bool_] = wanted[place] == ids
    return found


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

    @classmethod
    def none(cls, dimension: int) -> Moments:
        """Of no vectors."""
        return cls(0, np.zeros(dimension), np.zeros((dimension, dimension)))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.rows + other.rows, self.total + other.total, self.products + other.products)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.rows - other.rows, self.total - other.total, self.products - other.products)

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
        allowed = np.arange(self.rows) if videos is None else np.flatnonzero(self._rows.mask(sorted_ids(videos)))
        scores = queries @ self._vectors[allowed].T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return FrameHits(np.take_along_axis(scores, best, 1), *self._rows.locate(allowed[best]))

    def load(self, video_ids: Collection[int]) -> None:
        """See :class:`FrameIndex`; they are here."""

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

    @property
    def moments(self) -> Moments:
        """See :class:`FrameIndex`."""
        return Moments.of(self._vectors)


_DECODED_AT_ONCE = 256


@dataclass(frozen=True)
class Segment:
    """Up to some ten thousand frames: a FAISS float16 index and what belongs to its rows.

    ``next_similarity`` is (rows,) float32 with NaN at each video's last frame, as in the table;
    ``read_moments`` gives the moments of its vectors, which only searches need.
    """

    name: str
    rows: Rows
    index: Any
    next_similarity: Float32
    read_moments: Callable[[], Moments]

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
        return cls(name, rows, index, np.concatenate(following).astype(np.float32), lambda: moments)

    @cached_property
    def moments(self) -> Moments:
        """First and second moments of its vectors."""
        return self.read_moments()

    @cached_property
    def stored(self) -> Float16:
        """The vectors as they lie in the index, (rows, D) float16, not copied."""
        import faiss

        codes = faiss.rev_swig_ptr(self.index.codes.data(), self.index.codes.size())
        return codes.view(np.float16).reshape(len(self.rows), -1)

    @cached_property
    def codes(self) -> NDArray[np.void]:
        """The same, (rows,): each row one item. NumPy gathers these twice as fast, they need not be aligned."""
        return self.stored.view(f"V{self.stored.itemsize * self.stored.shape[1]}")[:, 0]

    def scores(self, query: Float32, codes: NDArray[np.void]) -> Float32:
        """(n,) float32 inner products of a (D,) query with (n,) rows as :attr:`codes` has them.

        FAISS decodes them in half of NumPy's time; few at once, so that they stay in the processor's cache.
        """
        scores = np.empty(len(codes), np.float32)
        for start in range(0, len(codes), _DECODED_AT_ONCE):
            some = codes[start : start + _DECODED_AT_ONCE]
            decoded = self.index.sa_decode(some.view(np.uint8).reshape(len(some), -1))
            # No BLAS: its threads cost more than they bring.
            np.einsum("nd,d->n", decoded, query, out=scores[start : start + len(some)])
        return scores

    def search(self, queries: Float32, k: int, videos: NDArray[np.int64] | None) -> FrameHits | None:
        """The best rows of this segment; None when the filter, sorted ids, leaves nothing of it."""
        import faiss

        faiss.omp_set_num_threads(1)  # segments are searched side by side, one thread each
        mask = None if videos is None else self.rows.mask(videos)
        allowed = len(self.rows) if mask is None else int(mask.sum())
        if allowed == 0:
            return None
        chosen = None if mask is None or allowed == len(mask) else faiss.SearchParameters(sel=selector(mask))  # type: ignore[call-arg]
        scores, rows = self.index.search(queries, min(k, allowed), params=chosen)
        return FrameHits(scores, *self.rows.locate(rows))


def selector(mask: NDArray[np.bool_]) -> Any:
    """A FAISS selector of the rows that are True."""
    import faiss

    return faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))  # type: ignore[call-arg, arg-type]


class FlatIndex:
    """FAISS on the CPU: exact, float16 as stored, segments searched in parallel.

    One query over one big FAISS index runs on one core; several segments use them all, which brings a
    single query to the speed of reading the memory once (docs/benchmarks.md).
    """

    kind = "FAISS exact float16, CPU"

    def __init__(self, segments: Sequence[Segment], dimension: int) -> None:
        self.segments = list(segments)
        self.dimension = dimension

    @cached_property
    def _home(self) -> dict[int, Segment]:
        return {video_id: s for s in self.segments for video_id in s.rows.video_ids.tolist()}

    @cached_property
    def _places(self) -> _Places:
        return _Places(self.segments)

    @property
    def rows(self) -> int:
        """See :class:`FrameIndex`."""
        return sum(len(segment.rows) for segment in self.segments)

    @property
    def video_ids(self) -> frozenset[int]:
        """See :class:`FrameIndex`."""
        return frozenset(self._home)

    def search(
        self, queries: Float32, k: int, videos: Collection[int] | NDArray[np.int64] | None = None
    ) -> FrameHits:
        """See :class:`FrameIndex`; an array of ids is sorted already."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        wanted = None if videos is None else sorted_ids(videos)
        found = search_threads().map(lambda s: s.search(queries, k, wanted), self.segments)
        return merge([hits for hits in found if hits is not None], len(queries), k)

    def count(self, videos: NDArray[np.int64]) -> int:
        """Frames of these videos; strangers have none."""
        return self._places.count(videos)

    def sample(self, size: int) -> Float32:
        """At most ``size`` of its vectors, the same every time, (n, D) float32."""
        chosen = np.sort(np.random.default_rng(0).permutation(self.rows)[:size])
        starts = np.cumsum([0, *(len(s.rows) for s in self.segments)])
        parts = [
            s.stored[chosen[(chosen >= first) & (chosen < first + len(s.rows))] - first].astype(np.float32)
            for s, first in zip(self.segments, starts.tolist(), strict=False)
        ]
        return np.concatenate([np.zeros((0, self.dimension), np.float32), *parts])

    def scores(self, query: Float32, video_ids: NDArray[np.int64], frames: NDArray[np.int64]) -> Float32:
        """Exact inner products of a (D,) query with the frames named, (n,) float32; KeyError for a stranger."""
        segments, rows = self._places.of(video_ids, frames)
        order = np.lexsort((rows, segments))
        numbers, starts = np.unique(segments[order], return_index=True)
        groups = np.split(rows[order], starts[1:])
        codes = [self.segments[n].codes[group] for n, group in zip(numbers.tolist(), groups, strict=False)]
        scores = np.empty(len(rows), np.float32)
        if codes:
            scores[order] = self.segments[0].scores(query, np.concatenate(codes))
        return scores

    def load(self, video_ids: Collection[int]) -> None:
        """See :class:`FrameIndex`; they are here."""

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
        return self.moments.background(query)

    @cached_property
    def moments(self) -> Moments:
        """See :class:`FrameIndex`."""
        return sum((segment.moments for segment in self.segments), Moments.none(self.dimension))


class _Places:
    """Where the rows of each video lie: number of the segment and first row there."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        ids = np.concatenate([s.rows.video_ids for s in segments] or [np.zeros(0, np.int64)])
        first = np.concatenate([s.rows.ends - s.rows.counts for s in segments] or [np.zeros(0, np.int64)])
        owner = np.repeat(np.arange(len(segments)), [len(s.rows.video_ids) for s in segments])
        order = np.argsort(ids, kind="stable")
        counts = np.concatenate([s.rows.counts for s in segments] or [np.zeros(0, np.int64)])
        self._ids, self._first, self._segment = ids[order], first[order], owner[order]
        self._counts = counts[order]

    def count(self, video_ids: NDArray[np.int64]) -> int:
        """Rows of these videos."""
        known = video_ids[is_member(video_ids, self._ids)]
        return int(self._counts[np.searchsorted(self._ids, known)].sum())

    def of(
        self, video_ids: NDArray[np.int64], frames: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Segment numbers and rows of (n,) frames; KeyError for a stranger."""
        if not np.all(is_member(video_ids, self._ids)):
            raise KeyError("a video that is not in the index")
        place = np.searchsorted(self._ids, video_ids)
        return self._segment[place], self._first[place] + frames


@cache
def search_threads() -> ThreadPoolExecutor:
    """One pool for all searches of this process: more threads than cores only wait for each other."""
    return ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="faiss")


@dataclass(frozen=True)
class _Shard:
    """The segments that one GPU holds; ``resources`` must live as long as ``index``."""

    rows: Rows
    index: Any
    resources: Any

    @classmethod
    def build(cls, segments: Sequence[Segment], dimension: int, gpu: int, coarse: Any | None) -> _Shard:
        """Copy vectors to GPU ``gpu``: flat, or into lists around the vectors of ``coarse``."""
        import faiss

        resources = faiss.StandardGpuResources()
        if coarse is None:
            settings = faiss.GpuIndexFlatConfig()
            settings.device, settings.useFloat16 = gpu, True
            index: Any = faiss.GpuIndexFlatIP(resources, dimension, settings)
        else:
            options = faiss.GpuClonerOptions()
            options.useFloat16CoarseQuantizer = False
            index = faiss.index_cpu_to_gpu(resources, gpu, coarse, options)
        for segment in segments:
            index.add(segment.stored.astype(np.float32))
        ids = np.concatenate([s.rows.video_ids for s in segments])
        return cls(Rows(ids, np.concatenate([s.rows.counts for s in segments])), index, resources)

    def search(self, queries: Float32, k: int) -> FrameHits:
        """The best rows of this GPU; places that hold none have the score -inf."""
        scores, rows = self.index.search(queries, min(k, len(self.rows)))
        return FrameHits(np.where(rows >= 0, scores, -np.inf), *self.rows.locate(np.maximum(rows, 0)))


class GpuIndex:
    """The rows of a ``FlatIndex`` spread over GPUs in float16; the best are scored exactly from what is stored.

    Filtered searches and single videos are answered by the CPU index, which holds the same rows.

    Args:
        flat: the exact index.
        gpus: numbers of the GPUs; segments go round among them.
        lists: 0 compares every vector; otherwise an inverted file with so many lists, of which an eighth is
            looked through.

    Raises:
        RuntimeError: the GPUs do not have the memory, or FAISS has no code for them.
    """

    #: The GPU multiplies in float16: some more rows than asked for, so that re-scoring finds the true k.
    SPARE_ROWS = 64

    def __init__(self, flat: FlatIndex, gpus: Sequence[int] = (0,), lists: int = 0) -> None:
        names = ", ".join(map(str, gpus))
        self.kind = f"FAISS {'IVF' if lists else 'exact'} float16, GPU {names}"
        self._flat = flat
        coarse = _coarse(flat, lists) if lists else None
        dealt = [flat.segments[number :: len(gpus)] for number in range(len(gpus))]
        self._shards = [
            _Shard.build(segments, flat.dimension, gpu, coarse)
            for gpu, segments in zip(gpus, dealt, strict=True)
            if segments
        ]

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
        near = merge(
            list(search_threads().map(lambda shard: shard.search(queries, wanted), self._shards)),
            len(queries),
            wanted,
        )
        if np.isneginf(near.scores[:, : min(k, self.rows)]).any():  # lists that hold too few
            return self._flat.search(queries, k)
        return merge([self._exact(queries, near)], len(queries), k)

    def _exact(self, queries: Float32, near: FrameHits) -> FrameHits:
        scores = [self._flat.scores(q, v, f) for q, v, f in zip(queries, near.video_ids, near.frames, strict=True)]
        found = np.where(np.isneginf(near.scores), -np.inf, np.stack(scores)).astype(np.float32)
        return FrameHits(found, near.video_ids, near.frames)

    def load(self, video_ids: Collection[int]) -> None:
        """See :class:`FrameIndex`; they are here."""

    def vectors(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self._flat.vectors(video_id)

    def next_similarity(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self._flat.next_similarity(video_id)

    def background(self, query: Float32) -> tuple[float, float]:
        """See :class:`FrameIndex`."""
        return self._flat.background(query)

    @property
    def moments(self) -> Moments:
        """See :class:`FrameIndex`."""
        return self._flat.moments


def _coarse(flat: FlatIndex, lists: int) -> Any:
    """A trained inverted file on the CPU, float16 and empty, to be copied to GPUs."""
    import faiss

    half: Any = faiss.ScalarQuantizer.QT_fp16
    quantizer = faiss.IndexFlatIP(flat.dimension)
    index: Any = faiss.IndexIVFScalarQuantizer(
        quantizer, flat.dimension, lists, half, faiss.METRIC_INNER_PRODUCT, False
    )
    index.own_fields = True
    quantizer.this.disown()  # type: ignore[attr-defined]
    index.train(flat.sample(lists * 40))
    index.nprobe = max(1, lists // 8)
    return index


def all_gpus() -> list[int]:
    """Numbers of the GPUs that FAISS sees."""
    import faiss

    return list(range(faiss.get_num_gpus()))


def merge(parts: Sequence[FrameHits], queries: int, k: int) -> FrameHits:
    """The best k of several answers to the same queries; equal scores by video and frame."""
    if not parts or not queries:
        return FrameHits(
            np.zeros((queries, 0), np.float32),
            np.zeros((queries, 0), np.int64),
            np.zeros((queries, 0), np.int64),
        )
    scores = np.concatenate([hits.scores for hits in parts], axis=1)
    video_ids = np.concatenate([hits.video_ids for hits in parts], axis=1)
    frames = np.concatenate([hits.frames for hits in parts], axis=1)
    best = np.stack([_best(*one, k) for one in zip(scores, video_ids, frames, strict=True)])
    return FrameHits(*(np.take_along_axis(array, best, 1) for array in (scores, video_ids, frames)))


def _best(scores: Float32, video_ids: NDArray[np.int64], frames: NDArray[np.int64], k: int) -> NDArray[np.intp]:
    """Places of the k largest scores in order; only what is as large as the k-th is sorted."""
    place = np.arange(len(scores))
    if len(scores) > k:
        place = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    return place[np.lexsort((frames[place], video_ids[place], -scores[place]))[:k]]


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
        return f"a probe search on the GPU failed: {first_line(error)}"
    return "" if found == 3 else "a probe search on the GPU gave a wrong answer"
