"""The videos beside the tables: equal to them or not used."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer import segments, snapshot
from indexer.catalogue import VideoRow
from indexer.checksum import checked
from indexer.lock import writing
from indexer.store import Store, VideoFrames
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


# ---- what each run changes is appended


D = 4
FILE = Path("start") / "videos.json"


def video(number: int, path: str) -> tuple[VideoRow, VideoFrames]:
    vectors = np.eye(D)[[number % D, 0]]
    return VideoRow(number, f"print-{number}", (Path(path),), 2, 4.0), VideoFrames.of(number, vectors)


def kept(where: Path) -> list[VideoRow] | None:
    found = snapshot.load(where, snapshot.tables_state(where))
    return None if found is None else found.videos


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "move", "remove", "again", "compact", "other process", "killed", "cut short"]),
        st.integers(0, 9),
        st.sampled_from(["a", "b/c", "\udcff", "z z"]),
    ),
    max_size=14,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_it_is_what_the_tables_hold_after_any_runs(tmp_path_factory, steps):
    """Runs of one process and of others, some of which are killed before they keep what they committed."""
    where = tmp_path_factory.mktemp("library")
    store = Store.create(where, D, 2.0)
    for number, (step, which, name) in enumerate(steps):
        videos = store.videos()
        some = videos[which % len(videos)] if videos else None
        if step == "other process":
            store = Store(where, D, 2.0)
        elif step == "compact":
            store.compact(0)
        elif step == "cut short" and (where / FILE).exists():
            (where / FILE).write_bytes((where / FILE).read_bytes()[: -1 - which])
            assert kept(where) is None
        elif some is None or step in ("add", "killed"):
            store.commit([video(number + 1, f"/{name}/{number}")])
        elif step == "move":
            store.commit([], [replace(some, paths=(Path(f"/{name}/{number}"),))])
        elif step == "remove":
            store.remove([some])
        if step != "killed":
            snapshot.save(where, store)
            assert kept(where) == store.videos() == Store(where, D, 2.0).videos()


def test_a_run_appends_what_it_changed(tmp_path):
    store = Store.create(tmp_path, D, 2.0)
    store.commit([video(number, f"/films/{number}") for number in range(200)])
    snapshot.save(tmp_path, store)
    before = (tmp_path / FILE).read_bytes()
    store.commit([video(200, "/films/new")])
    snapshot.save(tmp_path, store)
    after = (tmp_path / FILE).read_bytes()
    assert after.startswith(before)
    assert len(after) - len(before) < len(before) / 20  # one video of 200, and the names of the columns
    snapshot.save(tmp_path, store)  # a run that changed nothing
    assert (tmp_path / FILE).read_bytes() == after


def test_a_list_with_many_changes_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "_CHANGES_BYTES", 1_000)  # two runs or three
    store, sizes = Store.create(tmp_path, D, 2.0), []
    for number in range(12):
        store.commit([video(number, f"/films/{number}")])
        snapshot.save(tmp_path, store)
        assert kept(tmp_path) == store.videos()
        sizes.append((tmp_path / FILE).stat().st_size)
    assert min(b - a for a, b in pairwise(sizes)) < 0  # sizes fall when it is written anew
    assert max(sizes) < 12 * 400 + 1_000 * 2


def test_whoever_reads_while_it_is_written_finds_one_state_or_none(tmp_path):
    """Killed at any byte, or read at any moment: each beginning of the file is a state that was, whole."""
    store, states, ends = Store.create(tmp_path, D, 2.0), {}, set()
    for number in range(4):
        store.commit([video(number, f"/films/{9 - number}")], [])
        if number == 2:
            store.remove(store.videos()[:1])
        snapshot.save(tmp_path, store)
        states[snapshot.tables_state(tmp_path)] = store.videos()
        ends |= {(tmp_path / FILE).stat().st_size + n for n in (-1, 0, 1, 30)}
    whole, seen = (tmp_path / FILE).read_bytes(), set()
    for end in sorted({*range(0, len(whole), 11), *ends}):
        (tmp_path / FILE).write_bytes(whole[:end])
        for state, videos in states.items():
            if found := snapshot.load(tmp_path, state):
                assert found.videos == videos
                seen.add(state)
    assert seen == set(states)


@pytest.mark.parametrize("place", [3, 20, 60, 400, -700, -200, -5])
def test_one_wrong_byte_is_noticed_and_mended_by_the_next_run(tmp_path, place):
    store = Store.create(tmp_path, D, 2.0)
    store.commit([video(number, f"/films/{number}") for number in range(5)])
    snapshot.save(tmp_path, store)
    for number in (5, 6):
        store.commit([video(number, f"/films/{number}")])
        snapshot.save(tmp_path, store)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[place] ^= 1
    (tmp_path / FILE).write_bytes(content)
    assert kept(tmp_path) is None
    assert snapshot.is_damaged(tmp_path)
    snapshot.save(tmp_path, store)
    assert kept(tmp_path) == store.videos()
    assert not snapshot.is_damaged(tmp_path)


def test_one_of_an_older_version_is_read_and_followed(tmp_path):
    """One checksum and one line of JSON."""
    store = Store.create(tmp_path, D, 2.0)
    store.commit([video(1, "/films/1"), video(2, "/films/2")])
    columns = {f.name: [getattr(v, f.name) for v in store.videos()] for f in fields(VideoRow)}
    columns["paths"] = [[str(path) for path in video.paths] for video in store.videos()]
    values = {"tables": snapshot.tables_state(tmp_path), "table_versions": store.versions, "videos": columns}
    (tmp_path / "start").mkdir()
    (tmp_path / FILE).write_bytes(checked(json.dumps(values).encode()))
    assert kept(tmp_path) == store.videos()
    assert snapshot.load_any(tmp_path).videos == store.videos()
    assert not snapshot.is_damaged(tmp_path)
    store.commit([video(3, "/films/3")])
    snapshot.save(tmp_path, store)
    assert kept(tmp_path) == store.videos()


@pytest.mark.parametrize("missing", [1, 20, 100, 600])
def test_a_record_cut_short_by_a_kill_is_no_damage(tmp_path, missing):
    library = open_library(tmp_path / "lib")
    for colour in ("red", "lime"):
        library.index([make_film(tmp_path / f"{colour}.mp4", [(colour, 4)])])
    file = library.path / FILE
    last = len(snapshot._kept(file).records[-1])
    file.write_bytes(file.read_bytes()[: -min(missing, last)])
    again = open_library(library.path)
    assert again.verify() == []
    assert [video.path.name for video in again.videos()] == ["lime.mp4", "red.mp4"]
    again.index([make_film(tmp_path / "blue.mp4", [("blue", 4)])])
    assert len(open_library(library.path).videos()) == 3


def test_a_search_does_not_take_an_older_state_for_the_one_that_a_killed_run_left(tmp_path, monkeypatch):
    """The run commits between the search's look at the tables and its lock, and ends before the index is made."""

    class Killed(BaseException):
        pass

    def killed(store):
        raise Killed

    def index_and_die(colour: str) -> None:
        other = open_library(tmp_path / "lib")
        monkeypatch.setattr(other, "_bring_along", killed)
        with pytest.raises(Killed):
            other.index([make_film(tmp_path / f"{colour}.mp4", [(colour, 4)])])

    def look_meanwhile(*args):
        monkeypatch.setattr(segments, "load_if_current", look)
        index_and_die("blue")
        return look(*args)

    open_library(tmp_path / "lib").index([make_film(tmp_path / "red.mp4", [("red", 4)])])
    index_and_die("lime")
    look = segments.load_if_current
    monkeypatch.setattr(segments, "load_if_current", look_meanwhile)
    open_library(tmp_path / "lib").search("red")
    fresh = open_library(tmp_path / "lib")
    assert [video.path.name for video in fresh.videos()] == ["blue.mp4", "lime.mp4", "red.mp4"]
    assert "blue.mp4" in {moment.path.name for moment in fresh.search("blue")}
    assert fresh.verify() == []
