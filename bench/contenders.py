"""What ``bench scale`` compares: our kinds of index and other programs', each made over the same frames."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.growth import PERIOD_SECONDS, forget_old_versions, row_of
from bench.synthetic import DIMENSION, FRAMES_PER_VIDEO
from indexer import codes, table_index
from indexer.frame_index import FlatIndex, FrameHits, FrameIndex
from indexer.storage import Folder
from indexer.store import Store, VideoFrames
from indexer.table_index import TableIndex
from indexer.vectors import Float32

Ids = NDArray[np.int64]
#: One (D,) query and k → row numbers, best first.
Ask = Callable[[Float32, int], Ids]


@dataclass(frozen=True)
class Contender:
    """How a kind of index is made.

    Attributes:
        make: from frames, in a folder. bytes_per_row: of memory that is no mapped file. max_rows: measured above
            only where it is named. why_not: why above that it is not.
    """

    make: Callable[[FlatIndex, Path], Ask]
    bytes_per_row: int = 0
    max_rows: int = 10**9
    why_not: str = ""


# ---- ours


def _ours(index: FrameIndex) -> Ask:
    def ask(query: Float32, k: int) -> Ids:
        found: Ids = row_numbers(index.search(query[None], k))[0]
        return found

    return ask


def row_numbers(hits: FrameHits) -> Ids:
    """Row numbers of synthetic frames."""
    rows: Ids = hits.video_ids * FRAMES_PER_VIDEO + hits.frames
    return rows


def _coded(kind: str) -> Callable[[FlatIndex, Path], Ask]:
    return lambda flat, folder: _ours(coded(flat, folder, kind))


def coded(flat: FlatIndex, folder: Path, kind: str) -> FrameIndex:
    """Codes of a kind in a folder, opened again where they are there."""
    return codes.load(folder, flat) or codes.follow(folder, flat, kind)


def _in_table(flat: FlatIndex, folder: Path) -> Ask:
    return _ours(table_of(flat, folder))


def table_of(flat: FlatIndex, folder: Path) -> TableIndex:
    """Real tables with these frames, and LanceDB's index on them; opened again where they are whole."""
    finished, storage = folder / "finished", Folder(folder)
    if not finished.exists():
        shutil.rmtree(folder)
        store = Store.create(folder, DIMENSION, PERIOD_SECONDS)
        for segment in flat.segments:
            videos = [VideoFrames.of(v, flat.vectors(v)) for v in segment.rows.video_ids.tolist()]
            store.commit([(row_of(frames), frames) for frames in videos])
        table_index.follow(storage, store, store.videos())
        forget_old_versions(folder)
        finished.touch()
    store = Store(folder, DIMENSION, PERIOD_SECONDS)
    return table_index.opened(storage, store, store.videos())


# ---- other programs


def _pieces(flat: FlatIndex) -> Iterator[tuple[int, Float32]]:
    start = 0
    for segment in flat.segments:
        yield start, segment.stored.astype(np.float32)
        start += len(segment.rows)


def _flat_ip(flat: FlatIndex, folder: Path) -> Ask:
    import faiss

    index = faiss.IndexFlatIP(DIMENSION)
    index.codes.resize(4 * DIMENSION * flat.rows)  # at once: add() would double what it has, over and over
    index.ntotal = flat.rows
    vectors = faiss.rev_swig_ptr(index.get_xb(), flat.rows * DIMENSION).reshape(flat.rows, DIMENSION)
    for start, piece in _pieces(flat):
        vectors[start : start + len(piece)] = piece

    def ask(query: Float32, k: int) -> Ids:
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        found: Ids = index.search(query[None], k)[1][0]
        return found

    return ask


def _lance(kind: str = "") -> Callable[[FlatIndex, Path], Ask]:
    def make(flat: FlatIndex, folder: Path) -> Ask:
        import lancedb

        database: Any = lancedb.connect(folder)
        finished = folder / "finished"
        table = database.open_table("frames") if finished.exists() else _lance_table(database, flat)
        if kind and not finished.exists():
            table.create_index("vector", config=_lance_index(kind, flat.rows))
        finished.touch()

        def ask(query: Float32, k: int) -> Ids:
            request = table.search(query).distance_type("dot").limit(k).select(["row"])
            if kind:
                request = request.nprobes(max(1, _lance_lists(flat.rows) // 2)).refine_factor(20)
            found: Ids = request.to_arrow().column("row").to_numpy()
            return found

        return ask

    return make


def _lance_table(database: Any, flat: FlatIndex) -> Any:
    import pyarrow as pa

    schema = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float16(), DIMENSION))])
    table = database.create_table("frames", schema=schema, mode="overwrite")
    start = 0
    for segment in flat.segments:
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.array(segment.stored).reshape(-1)), DIMENSION)
        table.add(pa.table([np.arange(start, start + len(segment.rows)), vectors], schema=schema))
        start += len(segment.rows)
    return table


def _lance_index(kind: str, rows: int) -> Any:
    """What LanceDB's documentation says to start with; training is left as LanceDB does it."""
    from lancedb.index import IvfPq, IvfRq

    common = {"distance_type": "dot", "num_partitions": _lance_lists(rows)}
    return IvfRq(**common) if kind == "IVF_RQ" else IvfPq(**common, num_sub_vectors=DIMENSION // 8)


def _lance_lists(rows: int) -> int:
    return max(1, rows // 4096)


def _written(file: Path, save: Callable[[Path], object]) -> None:
    """Save so that what a run that was stopped left is not taken for a whole index."""
    part = file.with_suffix(".part")
    save(part)
    part.replace(file)


def _usearch(flat: FlatIndex, folder: Path) -> Ask:
    from usearch.index import Index

    index = Index(
        ndim=DIMENSION, metric="ip", dtype="f16", connectivity=16, expansion_add=100, expansion_search=400
    )
    if (file := folder / "graph").exists():
        index.load(file)
    else:
        for start, piece in _pieces(flat):
            index.add(np.arange(start, start + len(piece)), piece)
        _written(file, index.save)

    def ask(query: Float32, k: int) -> Ids:
        return np.asarray(index.search(query, k).keys).astype(np.int64)

    return ask


def _hnswlib(flat: FlatIndex, folder: Path) -> Ask:
    import hnswlib  # type: ignore[import-untyped]

    index = hnswlib.Index(space="ip", dim=DIMENSION)
    if (file := folder / "graph").exists():
        index.load_index(os.fspath(file))
    else:
        index.init_index(max_elements=flat.rows, ef_construction=100, M=16)
        for start, piece in _pieces(flat):
            index.add_items(piece, np.arange(start, start + len(piece)))
        _written(file, lambda part: index.save_index(os.fspath(part)))
    index.set_ef(400)

    def ask(query: Float32, k: int) -> Ids:
        return np.asarray(index.knn_query(query[None], k)[0][0]).astype(np.int64)

    return ask


_SLOW = "left out above 2 million frames: building a graph takes long"
CONTENDERS: dict[str, Contender] = {
    "exact": Contender(lambda flat, folder: _ours(flat)),
    "ivf-pq": Contender(_coded("ivf-pq")),
    "ivf-rabitq": Contender(_coded("ivf-rabitq")),
    "hnsw": Contender(_coded("hnsw"), 700, 2_000_000, _SLOW),
    "lance": Contender(_in_table),
    "faiss IndexFlatIP": Contender(_flat_ip, 4 * DIMENSION),
    "lancedb flat": Contender(_lance()),
    "lancedb IVF_PQ": Contender(_lance("IVF_PQ")),
    "lancedb IVF_RQ": Contender(_lance("IVF_RQ")),
    "usearch f16": Contender(_usearch, 2 * DIMENSION + 200, 2_000_000, _SLOW),
    "hnswlib": Contender(_hnswlib, 4 * DIMENSION + 200, 2_000_000, _SLOW),
}
