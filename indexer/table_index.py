"""Search in the table itself, with LanceDB's own vector index: for libraries larger than memory and disk.

The vectors are not copied: LanceDB keeps an inverted file of codes and a tree over ``video_id`` beside the table,
in the folder or bucket where it lies. A search reads the lists that it looks through, the frames that it scores
exactly and the videos that are ranked. What ranking needs of all vectors lies in :mod:`indexer.moment_blocks`.
Frames that the index does not hold yet are compared one by one by LanceDB itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from indexer import coders
from indexer.catalogue import VideoRow
from indexer.frame_index import FrameHits, Moments, is_member, merge, search_threads, sorted_ids
from indexer.manifest import to_json
from indexer.moment_blocks import FOLDER, MomentBlocks, moments_of
from indexer.recent import Recent
from indexer.storage import Storage
from indexer.store import Store, VideoFrames
from indexer.table_search import Nearest
from indexer.vectors import Float32

#: Fewer rows are compared one by one: what LanceDB's index lacks, or a whole small library.
UNINDEXED_ROWS = 65_536
#: Frames scored exactly: this many for each one wanted, and at least so many.
_PER_WANTED, _AT_LEAST = 6, 4_000
#: A filter that leaves fewer rows has them compared one by one.
_FEW_ROWS = 20_000
#: Of the videos read last: one query ranks a hundred of them.
_KEPT_BYTES = 128 * 2**20
_TRAINED = f"{FOLDER}/trained.json"


class TableIndex:
    """A :class:`indexer.frame_index.FrameIndex` that holds no vectors: LanceDB answers from the table.

    Args:
        store: the tables; the index goes on answering from the state that they have now.
        videos: all live videos.
        moments: makes or reads those of their vectors from that state, when they are asked for.
        trained_rows: of the table when LanceDB's index was trained; 0 where it has none.
    """

    def __init__(
        self, store: Store, videos: Sequence[VideoRow], moments: Callable[[Store], Moments], trained_rows: int = 0
    ) -> None:
        self._store, self._load_moments, self.trained_rows = store.pinned(), moments, trained_rows
        self._table = self._store.frames_search
        self._videos = {video.video_id: video for video in videos}
        self._live = sorted_ids(self._videos)
        self._counts = np.array([self._videos[video_id].frames for video_id in self._live.tolist()], np.int64)
        self.rows = int(self._counts.sum())
        self.coded_rows = self._table.indexed_rows
        self._lists = coders.list_count(trained_rows or self.rows)  # the note of it may be lost
        self._recent: Recent[VideoFrames] = Recent(_KEPT_BYTES)
        self._pool: dict[int, VideoFrames] = {}  # of the last search, however large
        engine = "IVF-PQ in the table, re-scored exactly" if self.coded_rows else "exact, from the table"
        self.kind = f"LanceDB {engine}, CPU"

    @property
    def video_ids(self) -> frozenset[int]:
        """See :class:`FrameIndex`."""
        return frozenset(self._videos)

    @property
    def has_outgrown(self) -> bool:
        """Whether the library has become so much larger since training that lists are long."""
        return self.rows > 8 * self.trained_rows > 0

    def search(self, queries: Float32, k: int, videos: Collection[int] | None = None) -> FrameHits:
        """See :class:`FrameIndex`; the frames are nearly always the best ones, the scores always exact."""
        allowed = self._live if videos is None else _both(sorted_ids(videos), self._live)
        rows = int(self._counts[is_member(self._live, allowed)].sum())
        if not rows or not len(queries):
            return merge([], len(queries), k)
        found = list(search_threads().map(lambda query: self._one(query, min(k, rows), allowed, rows), queries))
        return FrameHits(
            np.concatenate([hits.scores for hits in found]),
            np.concatenate([hits.video_ids for hits in found]),
            np.concatenate([hits.frames for hits in found]),
        )

    def _one(self, query: Float32, k: int, allowed: NDArray[np.int64], rows: int) -> FrameHits:
        """The best k of ``rows`` frames.

        Under a filter all lists are looked through. So they are, and then all frames, where some give fewer.
        """
        everything = len(allowed) == len(self._live)
        where = "" if everything else self._filter(allowed)
        few = min(rows, max(_PER_WANTED * k, _AT_LEAST))
        some = self._lists // coders.LISTS_PER_PROBE if everything else self._lists
        for lists, count in ((some, few), (self._lists, few), (0, self._table.rows)):
            exactly = lists == 0 or rows <= _FEW_ROWS
            near = self._table.nearest(query, count, 0 if exactly else max(lists, 1), where)
            hits = self._scored(query, near, allowed, k)
            if hits.scores.shape[1] == k:
                break
        return hits

    def _filter(self, allowed: NDArray[np.int64]) -> str:
        """SQL that lets ``allowed`` through, by naming them or the others, whichever are fewer."""
        others = self._live[~is_member(self._live, allowed)]
        some, word = (allowed, "IN") if len(allowed) <= len(others) else (others, "NOT IN")
        return f"video_id {word} ({','.join(map(str, some.tolist()))})"

    def _scored(self, query: Float32, near: Nearest, allowed: NDArray[np.int64], k: int) -> FrameHits:
        """The best k of what LanceDB found, scored exactly; frames of no video are left out."""
        known = is_member(near.video_ids, allowed)
        scores = np.einsum("nd,d->n", near.vectors[known].astype(np.float32), query)
        hits = FrameHits(scores[None], near.video_ids[known][None], near.frames[known][None])
        return merge([hits], 1, k)

    def load(self, video_ids: Collection[int]) -> None:
        """See :class:`FrameIndex`: read at once what is not in memory."""
        known = {video_id: frames for video_id in video_ids if (frames := self._recent.get(video_id)) is not None}
        wanted = [self._videos[video_id] for video_id in video_ids if video_id not in known]
        self._pool = known | {frames.video_id: frames for frames in self._store.frames(wanted)}
        for frames in self._pool.values():
            self._recent.keep(frames.video_id, frames)

    def _frames(self, video_id: int) -> VideoFrames:
        if (kept := self._pool.get(video_id) or self._recent.get(video_id)) is not None:
            return kept
        frames = next(iter(self._store.frames([self._videos[video_id]])))
        self._recent.keep(frames.video_id, frames)
        return frames

    def vectors(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self._frames(video_id).vectors.astype(np.float32)

    def next_similarity(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self._frames(video_id).next_similarity

    def background(self, query: Float32) -> tuple[float, float]:
        """See :class:`FrameIndex`."""
        return self.moments.background(query)

    @cached_property
    def moments(self) -> Moments:
        """See :class:`FrameIndex`."""
        return self._load_moments(self._store)


def _both(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids that are in both sorted arrays."""
    return some[is_member(some, others)]


def opened(storage: Storage, store: Store, videos: Sequence[VideoRow]) -> TableIndex:
    """The index as it lies there, with what was committed since; nothing is written."""
    return TableIndex(store, videos, lambda pinned: _moments(storage, pinned, videos), _trained_rows(storage))


def _moments(storage: Storage, store: Store, videos: Sequence[VideoRow]) -> Moments:
    """The sums as they lie there and those of newer videos; damaged ones are made in memory."""
    found = MomentBlocks(storage, store.dimension).load_or_none()
    known, total = (found[0].videos, found[1]) if found else ({}, Moments.none(store.dimension))
    return total + moments_of(store, [video for video in videos if video.video_id not in known])


def follow(storage: Storage, store: Store, videos: Sequence[VideoRow], anew: bool = False) -> TableIndex:
    """Bring index and sums to the state of the tables (under the write lock).

    Args:
        storage: the library. store: its tables. videos: all that are live.
        anew: train LanceDB's index again and sum everything again.

    Raises:
        LibraryDamagedError: the table lacks frames of a video.
    """
    table = store.frames_search
    if anew:
        table.drop()
    indexed = table.indexed_rows
    if table.rows - indexed > UNINDEXED_ROWS:
        if indexed:
            table.add_new()
        else:
            storage.write(_TRAINED, to_json({"rows": table.rows}))  # first: it tells how many lists there are
            table.make(coders.list_count(table.rows))
    moments = MomentBlocks(storage, store.dimension).follow(store, videos, anew)
    return TableIndex(store, videos, lambda _: moments, _trained_rows(storage))


def drop(storage: Storage, store: Store) -> None:
    """Delete index and sums, where there are any (under the write lock)."""
    store.frames_search.drop()
    if storage.exists(_TRAINED):
        storage.delete(_TRAINED)
    MomentBlocks(storage, store.dimension).drop()


def _trained_rows(storage: Storage) -> int:
    """Rows of the table when its index was trained; 0 where it has none."""
    try:
        return int(json.loads(storage.read(_TRAINED))["rows"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0
