"""A library's tables and search index as they are now, opened again where something was committed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from indexer import cache, index_choice, manifest, segments, snapshot, table_index
from indexer.batcher import BatchedIndex
from indexer.catalogue import VideoRow
from indexer.errors import LibraryDamagedError, LibraryError
from indexer.frame_index import FlatIndex, FrameIndex
from indexer.lock import writing
from indexer.storage import TABLES, Folder, Storage, failures_said
from indexer.store import Store
from searcher.search import Corpus

Read = TypeVar("Read")


class Current:
    """What searches and index runs of one library share. Threads may share it.

    Args:
        storage: the library.
        folder: where its derived files lie (:attr:`vclipper.library.Library.path`).
    """

    def __init__(self, storage: Storage, folder: Callable[[], Path]) -> None:
        self._storage, self._folder = storage, folder
        self._lock = threading.RLock()
        self._tables_mark: tuple[int, int] | None = None
        self._index_mark: tuple[int, ...] = ()
        self.forget()

    def forget(self) -> None:
        """Open everything again when it is needed."""
        self._store: Store | None = None
        self._corpus: Corpus | None = None
        self._versions = (-1, -1)
        self._state = ""

    @property
    def versions(self) -> tuple[int, int]:
        """Versions of the tables that :meth:`corpus` saw last: they change with every commit."""
        return self._versions

    @property
    def index_type(self) -> str:
        """The index type set for the library."""
        return index_choice.read_setting(self._storage)

    @property
    def whitening_file(self) -> Path:
        """Where searches keep what the frames have in common."""
        return self._folder() / snapshot.FOLDER / "whitening"

    def store(self) -> Store:
        """The tables; errors as :func:`indexer.manifest.load` and :class:`indexer.store.Store` say."""
        with self._lock, failures_said(self._storage):
            self._notice_new_tables()
            if self._store is None:
                made = manifest.load(self._storage)
                self._store = Store(self._storage, made.dimension, made.period_seconds)
            return self._store

    def videos(self) -> list[VideoRow]:
        """The videos of the library, by path."""
        return self._as_it_is(self._videos)

    def corpus(self) -> Corpus:
        """Index and videos; the index is brought up to date where it is not."""
        with self._lock:
            return self._as_it_is(self._searched)

    def _as_it_is(self, read: Callable[[], Read]) -> Read:
        """What ``read`` finds, once more where another process put new tables in place while it read the old."""
        self._notice_new_tables()
        with failures_said(self._storage):
            try:
                return read()
            except LibraryDamagedError:
                if not self._notice_new_tables():
                    raise
                return read()

    def _videos(self) -> list[VideoRow]:
        state = snapshot.tables_state(self._folder())
        if state and (found := snapshot.load(self._folder(), state)):
            return found.videos
        store = self.store()
        store.refresh()
        return store.videos()

    def _searched(self) -> Corpus:
        self._notice_new_index()
        if corpus := self._at_rest():
            return corpus
        store = self.store()
        store.refresh()
        if self._corpus is None or self._versions != store.versions:
            index = self.index(store)  # it may have gone on to a newer state of the tables
            self._corpus = self._searchable(index, store.videos(), store.period_seconds)
            self._versions = store.versions
        return self._corpus

    def index(self, store: Store) -> FrameIndex:
        """What answers searches of exactly the videos that the tables hold, brought up to date."""
        setting = self.index_type
        if setting == index_choice.TABLE:
            return table_index.opened(self._storage, store, store.videos())
        return index_choice.opened(self._folder(), self._follow(store), setting)

    def engine(self) -> tuple[FrameIndex, bool]:
        """What would answer a search now, as it lies there; whether it matches the tables."""
        store = self.store()
        if self.index_type == index_choice.TABLE:
            store.refresh()
            return table_index.opened(self._storage, store, store.videos()), True
        try:
            flat, state = segments.load(self._folder(), store.dimension)
        except LibraryError:
            flat, state = FlatIndex([], store.dimension), segments.NOTHING
        return index_choice.opened(self._folder(), flat, self.index_type), segments.is_current(state, store)

    def _follow(self, store: Store) -> FlatIndex:
        """Bring the index up to date; in memory where another process is writing or nothing can be written."""
        if index := segments.load_if_current(self._folder(), store):
            return index
        try:
            with writing(self._folder(), "vclip search"):
                store.refresh()  # whoever had the lock may have committed, and been killed before all was written
                index = segments.follow(self._folder(), store)
        except (LibraryError, OSError):
            return segments.follow(self._folder(), store, persist=False)
        if not isinstance(self._storage, Folder):
            cache.shrink(keep=self._folder())
        return index

    def _at_rest(self) -> Corpus | None:
        """The corpus without the tables, where nothing was committed since the index was made."""
        state = snapshot.tables_state(self._folder())
        if self._corpus is not None and state and state == self._state:
            return self._corpus
        videos = snapshot.load(self._folder(), state) if state else None
        if videos is None or self.index_type == index_choice.TABLE:
            return None
        made = manifest.load(self._storage)
        try:
            flat, index_state = segments.load(self._folder(), made.dimension)
        except LibraryDamagedError:
            return None
        if index_state.table_versions != videos.table_versions:
            return None
        index = index_choice.opened(self._folder(), flat, self.index_type)
        self._corpus = self._searchable(index, videos.videos, made.period_seconds)
        self._state, self._versions = state, videos.table_versions
        return self._corpus

    def _searchable(self, index: FrameIndex, videos: Iterable[VideoRow], period_seconds: float) -> Corpus:
        by_id = {video.video_id: video for video in videos}
        return Corpus(BatchedIndex(index), by_id, period_seconds, self.whitening_file)

    def _notice_new_tables(self) -> bool:
        """Whether another process put new tables in place: their versions count from the beginning again."""
        if not isinstance(self._storage, Folder):
            return False
        try:
            status = (self._storage.path / TABLES).stat()
        except OSError:
            return False
        with self._lock:
            before, self._tables_mark = self._tables_mark, (status.st_ino, status.st_ctime_ns)
            is_new = before is not None and before != self._tables_mark
            if is_new:
                self.forget()
        return is_new

    def _notice_new_index(self) -> None:
        """Another process may have made the index anew, or of another type, while the tables stayed the same."""
        mark = index_choice.mark(self._folder())
        if mark != self._index_mark:
            self._index_mark, self._corpus = mark, None
