"""Embeddings of earlier queries: kept per model, few, and never trusted blindly."""

from __future__ import annotations

import os

import numpy as np
import pytest

from indexer import query_cache
from indexer.query_cache import QueryCache

VECTOR = np.array([0.6, 0.8], np.float32)


def test_what_was_put_in_comes_out(tmp_path):
    cache = QueryCache(tmp_path, "model", 2)
    assert cache.get("a dog") is None
    cache.put("a dog", VECTOR)
    assert np.array_equal(cache.get("a dog"), VECTOR)
    assert cache.get("a dog ") is None


def test_another_model_or_dimension_has_entries_of_its_own(tmp_path):
    QueryCache(tmp_path, "model", 2).put("a dog", VECTOR)
    assert QueryCache(tmp_path, "other weights", 2).get("a dog") is None
    assert QueryCache(tmp_path, "model", 3).get("a dog") is None


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_damaged_entries_count_as_none(tmp_path, content):
    cache = QueryCache(tmp_path, "model", 2)
    cache.put("a dog", VECTOR)
    (file,) = (tmp_path / "start" / "queries").iterdir()
    file.write_bytes(content)
    assert cache.get("a dog") is None


def test_entries_that_are_no_numbers_count_as_none(tmp_path):
    cache = QueryCache(tmp_path, "model", 2)
    cache.put("a dog", np.array([np.nan, 1], np.float32))
    assert cache.get("a dog") is None


def test_the_least_used_half_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(query_cache, "MAX_TEXTS", 10)
    cache = QueryCache(tmp_path, "model", 2)
    for number in range(10):
        cache.put(f"text {number}", VECTOR)
        os.utime(cache._path(f"text {number}"), (number, number))
    cache.get("text 0")  # used just now
    cache.put("text 10", VECTOR)
    left = [number for number in range(11) if cache.get(f"text {number}") is not None]
    assert left == [0, 7, 8, 9, 10]  # 11 were too many: 10 / 2 stay


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "start").write_text("a file in the way")
    cache = QueryCache(tmp_path, "model", 2)
    cache.put("a dog", VECTOR)
    assert cache.get("a dog") is None
