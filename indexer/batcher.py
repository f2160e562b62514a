"""Calls that wait at the same time, joined into one: for servers, where many ask the same thing at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from indexer.errors import InputError
from indexer.frame_index import FrameHits, FrameIndex, Moments
from indexer.vectors import Float32

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: More at once would let the first wait for too much of the others' work.
MAX_BATCH = 32


class Batcher(Generic[Item, Answer]):
    """A function of many items as a function of one, for several threads.

    Whoever comes first works at once and alone: a lone caller loses nothing. Those who come meanwhile wait, and
    the next round answers all of them together.

    Args:
        work: answers some items, in their order.

    Raises:
        InputError: ``$VCLIP_MAX_BATCH`` is set and is no count.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Answer]]) -> None:
        self._work, self._most = work, _max_batch()
        self._waiting: list[tuple[Item, Future[Answer]]] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def __call__(self, item: Item) -> Answer:
        """The answer to one item; raises what ``work`` raises for it."""
        return self.later(item)()

    def later(self, item: Item) -> Callable[[], Answer]:
        """A call that is only noted for now: whoever works next answers it too. What comes back waits for that."""
        answer: Future[Answer] = Future()
        with self._lock:
            self._waiting.append((item, answer))

        def wait() -> Answer:
            while not answer.done():
                with self._turn:  # who has it works for all who wait
                    if not answer.done():
                        self._round()
            return answer.result()

        return wait

    def _round(self) -> None:
        with self._lock:
            some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            self._answer(some)
        except BaseException as error:  # Ctrl-C, a panic of LanceDB's Rust core: nobody else will answer these
            for _, answer in some:
                if not answer.done():
                    answer.set_exception(error)
            raise

    def _answer(self, some: Sequence[tuple[Item, Future[Answer]]]) -> None:
        try:
            answers = self._work([item for item, _ in some])
        except Exception:
            for item, answer in some:  # one wrong item must not fail the others
                self._alone(item, answer)
            return
        for (_, answer), value in zip(some, answers, strict=True):
            answer.set_result(value)

    def _alone(self, item: Item, answer: Future[Answer]) -> None:
        try:
            answer.set_result(self._work([item])[0])
        except Exception as error:
            answer.set_exception(error)


class BatchedIndex:
    """A :class:`FrameIndex` for several threads: single queries that wait (no filter) are searched at once."""

    def __init__(self, index: FrameIndex) -> None:
        self.index, self.kind = index, index.kind
        # Not a method of its own: a cycle would keep the files of a replaced index open.
        self._ask = Batcher(partial(_search_all, index))

    @property
    def rows(self) -> int:
        """See :class:`FrameIndex`."""
        return self.index.rows

    @property
    def video_ids(self) -> frozenset[int]:
        """See :class:`FrameIndex`."""
        return self.index.video_ids

    def search(self, queries: Float32, k: int, videos: Collection[int] | None = None) -> FrameHits:
        """See :class:`FrameIndex`."""
        if videos is not None or len(queries) != 1:
            return self.index.search(queries, k, videos)
        return self._ask((queries, k))

    def load(self, video_ids: Collection[int]) -> None:
        """See :class:`FrameIndex`."""
        self.index.load(video_ids)

    def vectors(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self.index.vectors(video_id)

    def next_similarity(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self.index.next_similarity(video_id)

    @property
    def moments(self) -> Moments:
        """See :class:`FrameIndex`."""
        return self.index.moments

    def background(self, query: Float32) -> tuple[float, float]:
        """See :class:`FrameIndex`."""
        return self.index.background(query)


def _max_batch() -> int:
    """``$VCLIP_MAX_BATCH``, else :data:`MAX_BATCH`. `bench serve` sets 1: each by itself."""
    named = os.environ.get("VCLIP_MAX_BATCH") or str(MAX_BATCH)
    if not named.isdecimal() or int(named) < 1:
        raise InputError(
            f"VCLIP_MAX_BATCH is {named!r}", f"Unset it, or give a count: 1 or more; usual is {MAX_BATCH}"
        )
    return int(named)


def _search_all(index: FrameIndex, asked: Sequence[tuple[Float32, int]]) -> list[FrameHits]:
    hits = index.search(np.concatenate([query for query, _ in asked]), max(k for _, k in asked))
    return [
        FrameHits(hits.scores[i : i + 1, :k], hits.video_ids[i : i + 1, :k], hits.frames[i : i + 1, :k])
        for i, (_, k) in enumerate(asked)
    ]
