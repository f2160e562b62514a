"""The videos beside the tables: equal to them or not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from indexer import snapshot
from indexer.lock import writing
from tests.fakes import make_film, open_library


@pytest.fixture
def library(tmp_path):
    make_film(tmp_path / "films" / "a.mp4", [("red", 4)])
    make_film(Path(os.fsdecode(os.fsencode(tmp_path / "films") + b"/b\xff.mp4")), [("blue", 4)])
    library = open_library(tmp_path / "lib")
    library.index([tmp_path / "films"])
    return library


def stored(library):
    store = library._current.store()
    store.refresh()
    return store


def test_it_holds_what_the_tables_hold(library):
    store = stored(library)
    found = snapshot.load(library.path, snapshot.tables_state(library.path))
    assert found.videos == store.videos()
    assert found.table_versions == store.versions
    assert len(found.videos) == 2


def test_any_commit_makes_it_old(library):
    store = stored(library)
    state = snapshot.tables_state(library.path)
    with writing(library.path, "test"):
        store.remove(store.videos()[:1])
    assert snapshot.tables_state(library.path) != state
    assert snapshot.load(library.path, snapshot.tables_state(library.path)) is None
    assert len(library.videos()) == 1
    assert {m.path.name for m in open_library(library.path).search("blue")} <= {
        v.path.name for v in library.videos()
    }


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tables": "x", "table_versions": [], "videos": {}}'])
def test_a_damaged_one_is_not_used(library, content):
    (library.path / "start" / "videos.json").write_text(content)
    assert snapshot.load(library.path, snapshot.tables_state(library.path)) is None
    assert len(library.videos()) == 2
    assert open_library(library.path).search("red")


def test_verify_writes_it_anew(library):
    (library.path / "start" / "videos.json").write_text("{}")
    library.repair()
    assert len(snapshot.load(library.path, snapshot.tables_state(library.path)).videos) == 2


def test_a_library_that_is_elsewhere_has_none(tmp_path):
    assert snapshot.tables_state(tmp_path / "nowhere") == ""
