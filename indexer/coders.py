"""The kinds of codes: how vectors are written short and looked through. All from FAISS.

``ivf-pq``: an inverted file of product-quantiser codes, four bits for two dimensions, scanned with SIMD
look-ups (FAISS "fast scan"); a quarter of float16's size. ``ivf-rabitq``: an inverted file of RaBitQ codes, two
bits a dimension, memory-mapped. ``hnsw``: a graph over 8-bit vectors, memory-mapped; slow to build.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.vectors import Float32

#: ``sample(n)`` gives at most n vectors of the library, (n, D) float32.
Sample = Callable[[int], Float32]
Found = tuple[Float32, NDArray[np.int64]]

#: One list in so many is looked through: queries in words lie apart from frames, so their answers are scattered.
LISTS_PER_PROBE = 3
#: Frames that the centroid of a list is learned from, in so many rounds.
_POINTS_PER_LIST = 40
_ROUNDS = 5
#: Lists are told apart by so many directions.
_COARSE_DIMENSIONS = 128
_MAX_LISTS = 16_384
_CODE_SAMPLE = 32_768
_LISTS_WORTH_THREADS = 256
#: Nodes of a graph that a walk keeps in sight, however few are wanted of it.
_NODES_IN_SIGHT = 4_000


class Coder(Protocol):
    """A trained kind of codes."""

    name: ClassVar[str]
    title: ClassVar[str]
    index: Any

    @classmethod
    def trained(cls, sample: Sample, dimension: int, rows: int) -> Coder:
        """Learn from a sample of a library of ``rows`` frames."""
        ...

    @classmethod
    def opened(cls, index: Any) -> Coder:
        """As it was trained before: ``index`` is the FAISS index without codes."""
        ...

    def empty(self) -> Any:
        """A FAISS index to put vectors into."""
        ...

    def probes(self, queries: Float32) -> Any:
        """What the search of every run needs to know of the queries, found once."""
        ...

    def search(self, index: Any, queries: Float32, k: int, probes: Any, chosen: Any | None) -> Found:
        """Approximate scores and row numbers, (q, k); -1 where there are fewer. ``chosen``: a selector."""
        ...


class _InvertedFile:
    """Lists around centroids; the coarse choice of lists is made once for all runs."""

    name: ClassVar[str]

    def __init__(self, index: Any) -> None:
        self.index = index

    @classmethod
    def opened(cls, index: Any) -> Any:
        """See :class:`Coder`."""
        return cls(index)

    @classmethod
    def trained(cls, sample: Sample, dimension: int, rows: int) -> Any:
        """See :class:`Coder`."""
        import faiss

        lists = list_count(rows)
        points = np.ascontiguousarray(sample(max(lists * _POINTS_PER_LIST, _CODE_SAMPLE)))
        faiss.omp_set_num_threads(1 if lists < _LISTS_WORTH_THREADS else os.cpu_count() or 1)
        quantizer = _coarse(points, lists)
        index = cls._make(quantizer, dimension, lists)
        quantizer.this.disown()
        index.own_fields = True
        faiss.omp_set_num_threads(1)  # many small clusterings: threads would only wait for each other
        index.train(points[:: max(1, len(points) // _CODE_SAMPLE)])
        return cls(index)

    @classmethod
    def _make(cls, quantizer: Any, dimension: int, lists: int) -> Any:
        raise NotImplementedError

    def empty(self) -> Any:
        """See :class:`Coder`."""
        import faiss

        return faiss.clone_index(self.index)

    def probes(self, queries: Float32) -> Found:
        """Centroids' scores and numbers, best first."""
        found: Found = self.index.quantizer.search(queries, max(1, self.index.nlist // LISTS_PER_PROBE))
        return found

    def search(self, index: Any, queries: Float32, k: int, probes: Any, chosen: Any | None) -> Found:
        """See :class:`Coder`."""
        import faiss

        faiss.omp_set_num_threads(1)  # runs are searched side by side, one thread each
        near, lists = probes
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        settings = self._settings(lists.shape[1], chosen)
        pointers = [faiss.swig_ptr(array) for array in (queries, lists, near, scores, rows)]
        index.search_preassigned_c(len(queries), pointers[0], k, *pointers[1:], False, settings)
        return scores, rows

    def _settings(self, probes: int, chosen: Any | None) -> Any:
        import faiss

        return faiss.SearchParametersIVF(nprobe=probes, sel=chosen)  # type: ignore[call-arg]


class ProductCodes(_InvertedFile):
    """Product quantiser, 4 bits for each two dimensions, scanned with SIMD; held in memory."""

    name: ClassVar[str] = "ivf-pq"
    title: ClassVar[str] = "FAISS IVF-PQ fast-scan"

    @classmethod
    def _make(cls, quantizer: Any, dimension: int, lists: int) -> Any:
        import faiss

        parts = dimension // 2 if dimension % 2 == 0 else dimension
        return faiss.IndexIVFPQFastScan(quantizer, dimension, lists, parts, 4, faiss.METRIC_INNER_PRODUCT)


class RaBitCodes(_InvertedFile):
    """RaBitQ, 2 bits a dimension; memory-mapped."""

    name: ClassVar[str] = "ivf-rabitq"
    title: ClassVar[str] = "FAISS IVF-RaBitQ"

    @classmethod
    def _make(cls, quantizer: Any, dimension: int, lists: int) -> Any:
        import faiss

        return faiss.IndexIVFRaBitQ(quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT, True, 2)

    def _settings(self, probes: int, chosen: Any | None) -> Any:
        import faiss

        return faiss.IVFRaBitQSearchParameters(nprobe=probes, sel=chosen, qb=8)  # type: ignore[call-arg]


class GraphCodes:
    """HNSW over 8-bit vectors; memory-mapped."""

    name: ClassVar[str] = "hnsw"
    title: ClassVar[str] = "FAISS HNSW over 8-bit"

    def __init__(self, index: Any) -> None:
        self.index = index

    @classmethod
    def opened(cls, index: Any) -> GraphCodes:
        """See :class:`Coder`."""
        return cls(index)

    @classmethod
    def trained(cls, sample: Sample, dimension: int, rows: int) -> GraphCodes:
        """See :class:`Coder`."""
        import faiss

        eight_bits: Any = faiss.ScalarQuantizer.QT_8bit
        index: Any = faiss.IndexHNSWSQ(dimension, eight_bits, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
        index.train(np.ascontiguousarray(sample(_CODE_SAMPLE)))
        return cls(index)

    def empty(self) -> Any:
        """See :class:`Coder`."""
        import faiss

        return faiss.clone_index(self.index)

    def probes(self, queries: Float32) -> None:
        """A graph is entered anew for every query."""

    def search(self, index: Any, queries: Float32, k: int, probes: Any, chosen: Any | None) -> Found:
        """See :class:`Coder`."""
        import faiss

        faiss.omp_set_num_threads(1)
        sight = max(k, _NODES_IN_SIGHT)
        settings = faiss.SearchParametersHNSW(efSearch=sight, sel=chosen)  # type: ignore[attr-defined]
        found: Found = index.search(queries, k, params=settings)
        return found


def _coarse(points: Float32, lists: int) -> Any:
    """The centroids of ``lists`` lists, in the strongest directions of (n, D) points; the others say little of
    where a list lies and cost as much time as these."""
    import faiss

    strongest = _projection(points)
    short = strongest.apply(points)
    means = faiss.Kmeans(
        strongest.d_out,
        lists,
        niter=_ROUNDS,
        spherical=True,
        seed=1,
        min_points_per_centroid=1,
        max_points_per_centroid=_POINTS_PER_LIST,
    )
    means.train(short)
    flat: Any = faiss.IndexFlatIP(strongest.d_out)
    flat.add(means.centroids)
    coarse = faiss.IndexPreTransform(strongest, flat)
    for part in (strongest, flat):
        part.this.disown()
    coarse.own_fields = True
    return coarse


def _projection(points: Float32) -> Any:
    """Onto the directions in which points are longest; not centred, so that inner products stay."""
    import faiss

    dimension = points.shape[1]
    kept = min(dimension, _COARSE_DIMENSIONS)
    some = points[:: max(1, len(points) // _CODE_SAMPLE)]
    axes = np.linalg.eigh((some.T @ some).astype(np.float64))[1][:, ::-1][:, :kept].T
    strongest = faiss.LinearTransform(dimension, kept, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(axes, np.float32).ravel(), strongest.A)
    strongest.is_trained = True
    strongest.set_is_orthonormal()
    return strongest


def list_count(rows: int) -> int:
    """The power of two below three times the root of ``rows``: 2,048 lists for 1 million frames, 8,192 for 10.

    About one list a video of half an hour: then a list holds what is alike.
    """
    wanted = min(3 * rows**0.5, rows / _POINTS_PER_LIST, _MAX_LISTS)
    return int(2 ** max(0.0, np.floor(np.log2(max(wanted, 1.0)))))


CODERS: Mapping[str, type[Coder]] = {coder.name: coder for coder in (ProductCodes, RaBitCodes, GraphCodes)}
