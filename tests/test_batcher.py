"""Joined calls: the answers are those of single calls, whoever waits with whom."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from indexer.batcher import MAX_BATCH, BatchedIndex, Batcher
from indexer.errors import InputError
from indexer.frame_index import NumpyIndex
from tests.test_frame_index import QUERIES, VIDEOS, D, flat


def test_a_lone_caller_is_answered_at_once():
    assert Batcher(lambda items: [item + 1 for item in items])(1) == 2


def test_callers_that_wait_are_answered_together_each_with_its_own():
    sizes, first_is_in, go_on = [], threading.Event(), threading.Event()

    def work(items):
        sizes.append(len(items))
        first_is_in.set()
        go_on.wait(10)
        return [item * item for item in items]

    batcher = Batcher(work)
    with ThreadPoolExecutor(40) as pool:
        first = pool.submit(batcher, 0)
        first_is_in.wait(10)
        others = [pool.submit(batcher, n) for n in range(1, 40)]
        while len(batcher._waiting) < 39:
            pass
        go_on.set()
        assert [future.result(10) for future in (first, *others)] == [n * n for n in range(40)]
    assert sizes == [1, MAX_BATCH, 39 - MAX_BATCH]


def test_one_wrong_item_does_not_fail_the_others():
    def work(items):
        return [10 // item for item in items]

    batcher = Batcher(work)
    with ThreadPoolExecutor(8) as pool:
        futures = {n: pool.submit(batcher, n) for n in (5, 0, 2, 1)}
        assert {n: futures[n].result(10) for n in (5, 2, 1)} == {5: 2, 2: 5, 1: 10}
        with pytest.raises(ZeroDivisionError):
            futures[0].result(10)


def test_a_batched_index_agrees_with_the_judge_from_many_threads():
    index, judge = BatchedIndex(flat(VIDEOS)), NumpyIndex(VIDEOS, D)
    asked = [(QUERIES[i % 4][None], 1 + i % 7, {2, 11} if i % 5 == 0 else None) for i in range(60)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda one: index.search(*one), asked))
    for hits, one in zip(found, asked, strict=True):
        expected = judge.search(*one)
        assert np.array_equal(hits.video_ids, expected.video_ids)
        assert np.allclose(hits.scores, expected.scores, atol=1e-5)
    assert (index.rows, index.video_ids) == (judge.rows, judge.video_ids)
    assert np.array_equal(index.vectors(7), judge.vectors(7))
    assert np.array_equal(index.next_similarity(7), judge.next_similarity(7))
    assert index.background(QUERIES[0]) == pytest.approx(judge.background(QUERIES[0]), abs=1e-5)


def test_what_was_only_noted_is_answered_with_the_next_call():
    rounds = []

    def double(items):
        rounds.append(list(items))
        return [2 * item for item in items]

    batcher = Batcher(double)
    first, second = batcher.later(1), batcher.later(2)
    assert rounds == []
    assert batcher(3) == 6
    assert rounds == [[1, 2, 3]]
    assert (second(), first()) == (4, 2)
    assert rounds == [[1, 2, 3]]


def test_what_is_no_mistake_of_an_item_reaches_all_who_wait():
    """Ctrl-C, or a panic of LanceDB's Rust core: nobody is left waiting for an answer that will not come."""

    class Panic(BaseException):
        pass

    def work(items):
        if "boom" in items:
            raise Panic
        return items

    ask = Batcher(work)
    waits = [ask.later(item) for item in ("boom", "a", "b")]
    for wait in waits:
        with pytest.raises(Panic):
            wait()
    assert ask("c") == "c"


def test_how_many_are_joined_is_set_from_outside(monkeypatch):
    rounds = []
    monkeypatch.setenv("VCLIP_MAX_BATCH", "2")
    batcher = Batcher(lambda items: rounds.append(len(items)) or items)
    later = [batcher.later(n) for n in range(3)]
    assert [answer() for answer in later] == [0, 1, 2]
    assert rounds == [2, 1]


@pytest.mark.parametrize("named", ["zz", "0", "-1", "2.5"])
def test_a_number_of_joined_calls_that_is_none_is_refused(monkeypatch, named):
    monkeypatch.setenv("VCLIP_MAX_BATCH", named)
    with pytest.raises(InputError, match=f"VCLIP_MAX_BATCH is '{named}'"):
        Batcher(list)
