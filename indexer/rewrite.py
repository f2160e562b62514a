"""Both tables written anew beside the old ones, which then go: for damage, and for what must leave no trace.

LanceDB keeps deleted rows in its files, and the files of older versions, until compaction finds it worth while.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from indexer import manifest, segments, snapshot
from indexer.catalogue import VideoRow
from indexer.grouping import grouped
from indexer.manifest import Manifest
from indexer.storage import TABLES
from indexer.store import Store, VideoFrames

_NEW, _OLD = "tables.new", "tables.old"
_ROWS_AT_ONCE = 65_536

Videos = Iterator[tuple[VideoRow, VideoFrames]]


def write_tables(library: Path, made: Manifest, videos: Videos) -> int:
    """Put tables of exactly ``videos`` in place of those in this folder; returns how many there are.

    Under the write lock. After a crash :func:`finish_swap` leaves the old tables or the new ones.
    """
    finish_swap(library)
    new = library / _NEW
    new.mkdir()
    store = Store.create(new, made.dimension, made.period_seconds)
    for group in grouped(videos, lambda video: video[0].frames, _ROWS_AT_ONCE):
        store.commit(group)
    number = len(store.videos())
    manifest.save(made, new)
    for derived in (segments, snapshot):  # versions begin anew: it could seem to be of the new tables
        derived.forget(library)
    (library / TABLES).rename(library / _OLD)
    (new / TABLES).rename(library / TABLES)
    finish_swap(library)
    return number


def finish_swap(library: Path) -> None:
    """End what a crash cut short: the new tables are whole once the old ones have been set aside."""
    if (library / _OLD).exists() and not (library / TABLES).exists():
        (library / _NEW / TABLES).rename(library / TABLES)
    for name in (_OLD, _NEW):
        shutil.rmtree(library / name, ignore_errors=True)
