"""Which index answers: what the library's owner set, else by size."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from indexer import codes, segments, snapshot, table_index
from indexer.errors import InputError, LibraryDamagedError
from indexer.frame_index import FlatIndex, FrameIndex, GpuIndex, all_gpus, gpu_reason
from indexer.settings import check_index_type
from indexer.storage import Storage
from indexer.store import Store
from indexer.table_index import TableIndex

AUTO, EXACT, TABLE = "auto", "exact", "lance"
#: Up to this many frames (1,100 hours at one every 2 s) an exact search takes under 80 ms on two cores.
EXACT_ROWS = 2_000_000
_FILE_NAME = "settings.json"


def read_setting(storage: Storage) -> str:
    """The index type that the library's owner set; ``auto`` where none was.

    Raises:
        LibraryDamagedError: ``settings.json`` cannot be read.
    """
    if not storage.exists(_FILE_NAME):
        return AUTO
    try:
        name = str(json.loads(storage.read(_FILE_NAME))["index_type"])
        check_index_type(name)
        return name
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise LibraryDamagedError(
            f"{_FILE_NAME} in {storage} is damaged", "Set the index type again: vclip reindex --index-type auto"
        ) from error


def mark(library: Path) -> tuple[int, ...]:
    """Another one once the setting or the list of codes in this folder was written, which makes a new file."""
    found = []
    for file in (library / _FILE_NAME, library / codes.FOLDER / codes.LIST_NAME):
        with contextlib.suppress(FileNotFoundError):
            status = file.stat()
            found += [status.st_ino, status.st_mtime_ns]
    return tuple(found)


def is_in_table(storage: Storage) -> bool:
    """Whether LanceDB answers from the table; a damaged setting counts as another."""
    try:
        return read_setting(storage) == TABLE
    except LibraryDamagedError:
        return False


def write_setting(storage: Storage, name: str) -> None:
    """Keep the index type with the library (the caller has the write lock)."""
    storage.write(_FILE_NAME, json.dumps({"index_type": name}).encode())


def choose(setting: str, rows: int) -> str:
    """The index type for a library of ``rows`` frames; few frames are searched exactly whatever is set."""
    if rows <= (EXACT_ROWS if setting == AUTO else codes.TAIL_ROWS):
        return EXACT
    return "ivf-pq" if setting == AUTO else setting


def opened(library: Path, flat: FlatIndex, setting: str) -> FrameIndex:
    """What answers now: a GPU where there is one, the codes that lie on disk, else every vector is read."""
    kind = choose(setting, flat.rows)
    if kind == EXACT or not gpu_reason():
        return _on_gpu(flat)
    try:
        made = codes.load(library, flat)
    except LibraryDamagedError:
        return flat
    return flat if made is None or made.coder.name != kind else made


def follow(
    library: Path,
    flat: FlatIndex,
    setting: str,
    anew: bool = False,
    on_codes: codes.OnCodes = lambda done, total: None,
) -> FrameIndex:
    """Bring the codes on disk to the state of ``flat`` (under its lock): made, added to, or deleted."""
    kind = choose(setting, flat.rows)
    if kind == EXACT:
        codes.drop(library)
        return flat
    return codes.follow(library, flat, kind, anew, on_codes)


def bring_along(
    storage: Storage,
    library: Path,
    store: Store,
    anew: bool = False,
    here: bool = True,
    on_codes: codes.OnCodes = lambda done, total: None,
) -> None:
    """Bring what answers searches to the state of the tables (under the write lock).

    Args:
        storage: the library.
        library: the folder of its derived files on this machine.
        store: its tables.
        anew: make all codes again.
        here: also the index that each machine has of a library in a bucket.
        on_codes: called with frames done and to do.
    """
    setting = read_setting(storage)
    if setting == TABLE:
        table_index.follow(storage, store, store.videos(), anew)
        segments.drop(library)
        codes.drop(library)
        snapshot.save(library, store)
        return
    table_index.drop(storage, store)
    if here:
        follow(library, segments.follow(library, store), setting, anew, on_codes)


def explained(index: FrameIndex, setting: str) -> str:
    """Which engine answers and why, in words."""
    kind = choose(setting, index.rows)
    why = f"{setting} is set" if setting != AUTO else "chosen by size"
    if isinstance(index, codes.CodedIndex | TableIndex) and index.coded_rows:
        newest = max(index.rows - index.coded_rows, 0)
        old = "; trained when the library was far smaller: vclip reindex" if index.has_outgrown else ""
        return f"{index.kind} ({why}; the newest {newest:,} frames exactly{old})"
    if isinstance(index, FlatIndex):
        missing = "" if kind == EXACT else f"; {kind} is not made yet: vclip reindex"
        if kind == EXACT and setting not in (AUTO, EXACT):
            missing = f"; it begins above {codes.TAIL_ROWS:,} frames"
        return f"{index.kind} ({why}; {gpu_reason() or 'larger than the memory of the GPUs'}{missing})"
    return f"{index.kind} ({why})"


def _on_gpu(index: FlatIndex) -> FrameIndex:
    if index.rows and not gpu_reason():
        try:
            return GpuIndex(index, all_gpus())
        except RuntimeError:  # larger than the GPU's memory
            return index
    return index
