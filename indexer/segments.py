"""The FAISS index on disk: segments that follow the table.

``index/index.json`` lists the segments; each is a FAISS file, read through a memory map, and two arrays.
The list is replaced last, in one rename. A segment whose videos are all still in the library stays as
it is; new, replaced and removed videos cost the rewriting of the segments they touch and of those no
larger than what is new, never of the whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer import snapshot
from indexer.catalogue import Catalogue, VideoRow
from indexer.errors import REPAIR, LibraryDamagedError, first_line
from indexer.frame_index import FlatIndex, Moments, Rows, Segment, is_member
from indexer.grouping import grouped
from indexer.manifest import write_json_atomically
from indexer.store import Store, VideoFrames

FOLDER = "index"
#: 64 MiB at 512 dimensions: small enough to rewrite, large enough that a search is one pass of memory.
SEGMENT_ROWS = 65_536
#: Read when a segment is opened, and the one of a megabyte that only searches read. In ``.sums`` each has a line.
_EARLY_PARTS, _LATE_PARTS = ("videos.npy", "next.npy"), ("moments.npy",)
_SMALL_PARTS = (*_EARLY_PARTS, *_LATE_PARTS)
#: Of the digest with which a segment's name begins; in hex digits, of the whole name.
_CONTENTS_BYTES, _NAME_LENGTH = 8, 32
#: FAISS's head: four letters, the dimension in 4 bytes, the number of vectors in 8.
_ROWS_AT = 8


@dataclass(frozen=True)
class IndexState:
    """What ``index.json`` says.

    Attributes:
        table_versions: of (videos, frames) when the index was last compared with them.
        segments: names of the segment files, in order.
    """

    table_versions: tuple[int, int]
    segments: tuple[str, ...]


NOTHING = IndexState((-1, -1), ())


def load(library: Path, dimension: int) -> tuple[FlatIndex, IndexState]:
    """Open the index as it lies on disk, memory-mapped.

    Raises:
        LibraryDamagedError: there is none, or its files do not fit together.
    """
    folder = library / FOLDER
    try:
        try:
            return _load(folder, dimension)
        except FileNotFoundError:  # a writer replaced the list between our two looks
            return _load(folder, dimension)
    except Exception as error:  # FAISS raises RuntimeError, JSON ValueError, NumPy its own
        reason = first_line(error)
        raise LibraryDamagedError(f"the index in {folder} cannot be read: {reason}", REPAIR) from error


def _load(folder: Path, dimension: int) -> tuple[FlatIndex, IndexState]:
    state = _read_state(folder)
    return FlatIndex([read_segment(folder, name, dimension) for name in state.segments], dimension), state


def load_sound(library: Path, dimension: int) -> FlatIndex:
    """The segments on disk that are as they were written, listed or not: a source when a table is damaged."""
    sound = []
    for file in sorted((library / FOLDER).glob("*.faiss")):
        with contextlib.suppress(Exception):
            sound.append(read_segment(library / FOLDER, file.stem, dimension))
    return FlatIndex(sound, dimension)


def follow(library: Path, store: Store, persist: bool = True) -> FlatIndex:
    """The index of exactly the table's videos: opened when it matches, brought up to date or rebuilt otherwise.

    Args:
        library: the library directory.
        store: the tables.
        persist: write what changed; False (a library that cannot be written) keeps it in memory.

    Raises:
        LibraryDamagedError: the table lacks frames of a video.
    """
    index, state = _load_or_empty(library, store.dimension)
    known = store.catalogue()
    kept, added = _matching(index, known), list[Segment]()
    if sum(len(s.rows.video_ids) for s in kept) < len(known):
        kept, added = _with_changes(kept, store, known)
    if persist:
        _save(library, kept, added, state, store.versions)
        snapshot.save(library, store)
        added = [read_segment(library / FOLDER, segment.name, store.dimension) for segment in added]
    return FlatIndex([*kept, *added], store.dimension)


def load_if_current(library: Path, store: Store) -> FlatIndex | None:
    """The index on disk where it matches the tables; None where there is none, it is damaged or behind."""
    try:
        index, state = load(library, store.dimension)
    except LibraryDamagedError:
        return None
    return index if is_current(state, store) else None


def is_current(state: IndexState, store: Store) -> bool:
    """Whether nothing was committed to the tables since the index was compared with them."""
    return state.table_versions == store.versions


def _load_or_empty(library: Path, dimension: int) -> tuple[FlatIndex, IndexState]:
    try:
        return load(library, dimension)
    except LibraryDamagedError:
        return FlatIndex([], dimension), NOTHING


def _matching(index: FlatIndex, known: Catalogue) -> list[Segment]:
    """Segments all of whose videos are live with the same frames."""
    return [segment for segment in index.segments if _is_live(segment, known)]


def _is_live(segment: Segment, known: Catalogue) -> bool:
    ids = segment.rows.video_ids
    if not is_member(ids, known.ids).all():
        return False
    if not np.array_equal(known.frames[np.searchsorted(known.ids, ids)], segment.rows.counts):
        return False
    # The first release's names do not tell what the frames are.
    return len(segment.name) != _NAME_LENGTH or segment.name.startswith(_contents(ids, known))


def _contents(ids: NDArray[np.int64], known: Catalogue) -> str:
    """Names what the frames of these videos are: an id may come back with others, as after two `--force` runs."""
    digests = known.digests[np.searchsorted(known.ids, ids)]
    return hashlib.blake2b(ids.tobytes() + digests.tobytes(), digest_size=_CONTENTS_BYTES).hexdigest()


def _with_changes(kept: Sequence[Segment], store: Store, known: Catalogue) -> tuple[list[Segment], list[Segment]]:
    """Some segments as they are; the videos of all others, and new ones, in new segments."""
    staying = _staying(kept, int(known.frames.sum()) - sum(len(segment.rows) for segment in kept))
    packed = np.concatenate([segment.rows.video_ids for segment in staying] or [np.zeros(0, np.int64)])
    rest = sorted(known.of_ids(np.setdiff1d(known.ids, packed)), key=_by_age)
    return staying, [Segment.build(_new_name(part, known), part) for part in _parts(store, rest)]


def _staying(kept: Sequence[Segment], new_rows: int) -> list[Segment]:
    """Large segments, and small ones with more rows than all that is new or smaller.

    As in a binary counter, a frame is written anew a logarithmic number of times until its segment is large,
    and there are only so many small segments.
    """
    merged: set[str] = set()
    for segment in sorted(kept, key=lambda one: len(one.rows)):
        if len(segment.rows) >= SEGMENT_ROWS // 2 or len(segment.rows) > new_rows:
            break
        merged.add(segment.name)
        new_rows += len(segment.rows)
    return [segment for segment in kept if segment.name not in merged]


def _parts(store: Store, videos: Sequence[VideoRow]) -> Iterator[list[VideoFrames]]:
    frames = store.frames(videos, SEGMENT_ROWS, are_newest=True)
    return grouped(frames, lambda video: len(video.vectors), SEGMENT_ROWS)


def _new_name(videos: Sequence[VideoFrames], known: Catalogue) -> str:
    """What it holds, and chance: a file that readers have mapped is never written over."""
    ids = np.array([video.video_id for video in videos], np.int64)
    return _contents(ids, known) + secrets.token_hex(_NAME_LENGTH // 2 - _CONTENTS_BYTES)


def _save(
    library: Path,
    kept: Sequence[Segment],
    added: Sequence[Segment],
    old: IndexState,
    versions: tuple[int, int],
) -> None:
    names = tuple(segment.name for segment in (*kept, *added))
    if names == old.segments and versions == old.table_versions:
        return
    folder = library / FOLDER
    folder.mkdir(exist_ok=True)
    for segment in added:
        write_segment(folder, segment)
    write_json_atomically(folder / "index.json", {"table_versions": versions, "segments": names})
    _sweep(folder, names)


def _sweep(folder: Path, names: Sequence[str]) -> None:
    """Delete files of segments that are no longer listed, and what an interrupted write left."""
    for file in folder.iterdir():
        if file.name != "index.json" and file.name.split(".")[0] not in names:
            file.unlink(missing_ok=True)


def write_segment(folder: Path, segment: Segment) -> None:
    """Write the files of one segment; it counts once ``index.json`` lists it."""
    import faiss

    faiss.write_index(segment.index, os.fspath(folder / f"{segment.name}.faiss"))
    np.save(folder / f"{segment.name}.videos.npy", np.stack([segment.rows.video_ids, segment.rows.counts]))
    np.save(folder / f"{segment.name}.next.npy", segment.next_similarity)
    moments = np.vstack([segment.moments.total[None], segment.moments.products]).astype(np.float32)
    np.save(folder / f"{segment.name}.moments.npy", moments)
    sums = [_sum(folder / f"{segment.name}.{part}") for part in _SMALL_PARTS]
    (folder / f"{segment.name}.sums").write_text("\n".join(sums), encoding="ascii")
    for file in folder.glob(f"{segment.name}.*"):
        with file.open("rb+") as written:
            os.fsync(written.fileno())


def _sum(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()


def _are_sound(folder: Path, name: str, parts: Sequence[str]) -> bool:
    """Whether these files are as they were written; segments of the first release have no checksums."""
    sums = folder / f"{name}.sums"
    if not sums.exists():
        return True
    written = dict(zip(_SMALL_PARTS, sums.read_text(encoding="ascii").splitlines(), strict=False))
    return all(written.get(part) == _sum(folder / f"{name}.{part}") for part in parts)


def _demand_sound(folder: Path, name: str, dimension: int) -> None:
    """Refuse files that are not as they were written, before FAISS or NumPy take them apart.

    The vectors' file is known by its length and its head, byte for byte what FAISS writes for so many vectors;
    ``vclip verify`` compares the vectors themselves with the table's.
    """
    file = folder / f"{name}.faiss"
    vector_bytes = file.stat().st_size - len(_head(dimension, 0))
    rows = vector_bytes // (2 * dimension)
    with file.open("rb") as opened:
        if vector_bytes != rows * 2 * dimension or opened.read(len(_head(dimension, rows))) != _head(
            dimension, rows
        ):
            raise ValueError(f"{file.name} is damaged")
    if not _are_sound(folder, name, _EARLY_PARTS):
        raise ValueError(f"a file of segment {name} is damaged")


def _head(dimension: int, rows: int) -> bytes:
    """How the file of a float16 index of so many vectors begins: that of an empty one, with its two counts."""
    import faiss

    empty = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    head = bytearray(faiss.serialize_index(empty).tobytes())
    struct.pack_into("<q", head, _ROWS_AT, rows)
    struct.pack_into("<Q", head, len(head) - 8, rows * dimension * 2)
    return bytes(head)


def read_segment(folder: Path, name: str, dimension: int) -> Segment:
    """Open the files of one segment, memory-mapped."""
    import faiss

    for part in ("faiss", *_SMALL_PARTS):
        (folder / f"{name}.{part}").stat()  # FAISS reports a missing file as any other error
    _demand_sound(folder, name, dimension)
    index = faiss.read_index(os.fspath(folder / f"{name}.faiss"), faiss.IO_FLAG_MMAP_IFC)
    video_ids, counts = np.load(folder / f"{name}.videos.npy", allow_pickle=False)
    following = np.load(folder / f"{name}.next.npy", mmap_mode="r", allow_pickle=False)
    segment = Segment(name, Rows(video_ids, counts), index, following, lambda: _moments(folder, name, index))
    if index.d != dimension or not index.ntotal == len(segment.rows) == len(following):
        raise ValueError(f"segment {name} has {index.ntotal} vectors of {index.d} for {len(segment.rows)} rows")
    return segment


def _moments(folder: Path, name: str, index: Any) -> Moments:
    """As they were written; worked out from the vectors where their file is damaged or gone."""
    if are_moments_sound(folder, name):
        with contextlib.suppress(OSError, ValueError):  # a writer may delete it meanwhile
            sums = np.load(folder / f"{name}.moments.npy", allow_pickle=False).astype(np.float64)
            return Moments(index.ntotal, sums[0], sums[1:])
    return Moments.of(index.reconstruct_n(0, index.ntotal))


def are_moments_sound(folder: Path, name: str) -> bool:
    """Whether the file of a segment's moments is as it was written."""
    try:
        return _are_sound(folder, name, _LATE_PARTS)
    except OSError:
        return False


def _read_state(folder: Path) -> IndexState:
    values = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    videos, frames = values["table_versions"]
    return IndexState((int(videos), int(frames)), tuple(str(name) for name in values["segments"]))


def forget(library: Path) -> None:
    """Delete the list of segments: the next search or index run makes the index anew (under the write lock)."""
    (library / FOLDER / "index.json").unlink(missing_ok=True)


def drop(library: Path) -> None:
    """Delete the whole index (under the write lock)."""
    forget(library)
    if (library / FOLDER).is_dir():
        _sweep(library / FOLDER, [])


def _by_age(video: VideoRow) -> tuple[float, int]:
    return video.indexed_unix, video.video_id
