"""What LanceDB's own indexes on the table of frames can do: made, kept up to date, asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexer.storage import Storage, damage_said
from indexer.vectors import Float16, Float32

if TYPE_CHECKING:
    import pyarrow as pa

_VECTORS, _OWNERS = "vector_idx", "video_id_idx"
_TRAINING_ROUNDS = 10
_POINTS_PER_LIST = 40


@dataclass(frozen=True)
class Nearest:
    """Frames that may be the best, in no order.

    Attributes:
        video_ids, frames: (n,) int64. vectors: (n, D) float16, as stored.
    """

    video_ids: NDArray[np.int64]
    frames: NDArray[np.int64]
    vectors: Float16


class TableSearch:
    """The table of frames, searched where it lies.

    Args:
        storage, table: where the library lies; its LanceDB table.
        dimension: D.
        keep_versions: readers that opened an older state keep it this long.
    """

    def __init__(self, storage: Storage, table: Any, dimension: int, keep_versions: timedelta) -> None:
        self._storage, self._table = storage, table
        self._dimension, self._keep_versions = dimension, keep_versions

    def nearest(self, query: Float32, count: int, lists: int, where: str) -> Nearest:
        """About the best ``count`` frames for a (D,) query.

        Args:
            query: unit vector.
            count: how many.
            lists: how many lists of the index are looked through; 0 compares every row.
            where: SQL that rows must pass first; empty for all.

        Raises:
            LibraryError: what the drive or the store reports.
            LibraryDamagedError: the table or its index cannot be read.
        """
        asked = self._table.search(query, vector_column_name="vector").distance_type("dot").limit(count)
        asked = asked.nprobes(lists) if lists else asked.bypass_vector_index()
        if where:
            asked = asked.where(where, prefilter=True)
        asked = asked.select(["video_id", "frame_index", "vector", "_distance"])
        with damage_said(self._storage, "LanceDB cannot search its table of frames", with_reason=True):
            found = asked.to_arrow()
        owners, frames = (found.column(name).to_numpy() for name in ("video_id", "frame_index"))
        return Nearest(owners, frames.astype(np.int64), matrix(found.column("vector"), self._dimension))

    @property
    def rows(self) -> int:
        """Of the table, those of no video included."""
        return int(self._table.count_rows())

    @property
    def indexed_rows(self) -> int:
        """Rows that the vector index holds; 0 where there is none."""
        found = self._table.index_stats(_VECTORS) if self._has(_VECTORS) else None
        return int(found.num_indexed_rows) if found else 0

    def _has(self, name: str) -> bool:
        return any(index.name == name for index in self._table.list_indices())

    def make(self, lists: int) -> None:
        """Train the index of vectors and the tree over ids anew (under the write lock)."""
        from lancedb.index import BTree, IvfPq

        even = self._dimension % 4 == 0  # four bits for two dimensions, two codes a byte; else a byte for each
        codes = IvfPq(
            distance_type="dot",
            num_partitions=lists,
            num_sub_vectors=self._dimension // 2 if even else self._dimension,
            num_bits=4 if even else 8,
            max_iterations=_TRAINING_ROUNDS,
            sample_rate=_POINTS_PER_LIST,
        )
        self._table.create_index("video_id", config=BTree(), name=_OWNERS, replace=True)
        self._table.create_index("vector", config=codes, name=_VECTORS, replace=True)  # last: by it both are known

    def add_new(self) -> None:
        """Put rows that the indexes lack into them; older codes stay (under the write lock)."""
        self._table.optimize(cleanup_older_than=self._keep_versions)

    def drop(self) -> bool:
        """Delete both indexes (under the write lock); whether there was one."""
        there = [name for name in (_VECTORS, _OWNERS) if self._has(name)]
        for name in there:
            self._table.drop_index(name)
        return bool(there)


def matrix(column: pa.ChunkedArray, dimension: int) -> Float16:
    """A column of vectors as (n, D) float16."""
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    flat = np.concatenate(chunks) if chunks else np.zeros(0, np.float16)
    return flat.reshape(-1, dimension)
