"""An index run on a cluster ends with the rows of one on a single machine, whoever is lost on the way.

The driver's rules are tried against workers in this process (``tests/fake_ray.py``); ``test_ray_cluster.py``
runs on two real raylets.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

import indexer.cluster
from indexer.errors import InputError, LibraryError, ModelError
from indexer.lock import writing
from indexer.settings import IndexSettings
from tests.fake_ray import FakeNode, FakeRay
from tests.fakes import load_fake, make_film, make_films, open_library, rows_of, rows_of_a_plain_run
from tests.object_store import SERVICES
from vclipper import cli
from vclipper.commands.index import _files_and_address
from vclipper.library import Library

COLOURS = ["red", "lime", "blue", "yellow"]
ONE = IndexSettings(workers=1)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return make_films(tmp_path_factory.mktemp("films"), COLOURS)


@pytest.fixture(scope="module")
def expected(films, tmp_path_factory):
    """The rows of a run on one machine."""
    return rows_of_a_plain_run(films, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def on(monkeypatch):
    """Let the driver find a cluster of these nodes."""

    def connect(*nodes: FakeNode) -> FakeRay:
        ray = FakeRay(*nodes)
        monkeypatch.setattr(indexer.cluster, "connected", lambda address: contextlib.nullcontext(ray))
        monkeypatch.setattr(indexer.cluster, "_LOOK_FOR_NODES_SECONDS", 0.0)
        return ray

    return connect


@pytest.fixture(params=["folder", *SERVICES])
def library(request, tmp_path, address_on):
    """An empty library in a folder, and one on each object store."""
    return open_library(tmp_path / "lib" if request.param == "folder" else address_on(request.param))


def data_files(library: Library) -> set[str]:
    """Names of the files of ``frames``, committed or not."""
    return {path.name for path in (library.path / "tables" / "frames.lance" / "data").iterdir()}


def committed_files(library: Library) -> set[str]:
    """Names of the files that some version of ``frames`` names."""
    import lance

    table = lance.dataset(str(library.path / "tables" / "frames.lance"))
    versions = [table.checkout_version(version["version"]) for version in table.versions()]
    fragments = [fragment for version in versions for fragment in version.get_fragments()]
    return {Path(file.path).name for fragment in fragments for file in fragment.metadata.files}


def test_the_rows_are_those_of_one_machine(library, films, expected, on):
    ray = on(FakeNode("a"), FakeNode("b"))
    seen = []
    report = library.index([films], on_progress=seen.append, settings=ONE, ray="auto")
    assert rows_of(library) == expected
    assert library.verify() == []
    assert (len(report.added), report.notes, report.ok) == (4, [], True)
    assert (seen[-1].files_done, seen[-1].files) == (4, 4)
    assert seen[-1].frames == report.frames
    assert seen[-1].bytes_done == seen[-1].bytes_total
    assert ray.killed == 2  # both were let go
    assert len(library.index([films], settings=ONE, ray="auto").skipped) == 4


def test_a_file_that_fails_is_named(films, expected, tmp_path, on):
    on(FakeNode("a"))
    (tmp_path / "bad.mp4").write_text("no video")
    library = open_library(tmp_path / "lib")
    report = library.index([films, tmp_path / "bad.mp4"], settings=ONE, ray="auto")
    assert [note.path.name for note in report.failed] == ["bad.mp4"]
    assert rows_of(library) == expected


@pytest.mark.parametrize("steps", [0, 4])
def test_the_videos_of_a_lost_worker_go_to_others(films, expected, tmp_path, on, steps):
    on(FakeNode("a"), FakeNode("b", steps=steps))
    library = open_library(tmp_path / "lib")
    report = library.index([films], settings=ONE, ray="auto")
    assert rows_of(library) == expected
    assert library.verify() == []
    assert report.ok
    assert any("a worker on b was lost" in note for note in report.notes)
    assert not library.storage.exists("fragments.json")


def test_a_lost_worker_s_fragments_that_nobody_committed_are_swept(films, expected, tmp_path, on):
    library = open_library(tmp_path / "lib")

    def write_one(worker) -> None:
        prepare = worker.prepare

        def and_write() -> None:
            prepare()
            frames = next(iter(plain._current.store().frames(plain.videos()[:1])))
            worker._store.write_fragments([frames])

        worker.prepare = and_write

    plain = open_library(tmp_path / "plain")
    plain.index([films])
    on(FakeNode("a"), FakeNode("b", steps=0, watch=write_one))
    library.index([films], settings=ONE, ray="auto")
    assert rows_of(library) == expected
    assert data_files(library) == committed_files(library)


def test_a_worker_that_comes_back_is_used_again(films, expected, tmp_path, on):
    node = FakeNode("a", steps=2, comes_back=True)
    on(node)
    library = open_library(tmp_path / "lib")
    report = library.index([films], settings=ONE, ray="auto")
    assert rows_of(library) == expected
    assert (node.started, report.ok) == (2, True)


def test_a_file_that_costs_worker_after_worker_is_given_up(films, expected, tmp_path, on):
    """3.mp4 kills whoever begins it; the others are indexed all the same."""

    def deadly(worker) -> None:
        index = worker.index

        def index_or_die(jobs):
            for event in index(jobs):
                if any(path.name == "3.mp4" for path in getattr(event, "begun", ())):
                    node.steps = 0
                yield event

        worker.index = index_or_die

    node = FakeNode("a", comes_back=True, watch=deadly)
    on(node)
    library = open_library(tmp_path / "lib")
    report = library.index([films], settings=ONE, ray="auto")
    assert [note.path.name for note in report.failed] == ["3.mp4"]
    assert "3 workers were lost" in report.failed[0].note
    assert rows_of(library) == [row for row in expected if not row[0].endswith("3.mp4")]


def test_a_node_that_lacks_the_model_is_left_out(films, expected, tmp_path, on):
    def without_model(worker) -> None:
        def prepare() -> None:
            raise ModelError("the weights are not here")

        worker.prepare = prepare

    on(FakeNode("a"), FakeNode("b", watch=without_model))
    library = open_library(tmp_path / "lib")
    report = library.index([films], settings=ONE, ray="auto")
    assert rows_of(library) == expected
    assert report.notes == ["b was left out: b: the weights are not here"]


def test_where_no_node_can_work_the_reason_is_raised(films, tmp_path, on):
    def without_model(worker) -> None:
        def prepare() -> None:
            raise ModelError("the weights are not here")

        worker.prepare = prepare

    on(FakeNode("a", watch=without_model))
    with pytest.raises(ModelError, match="a: the weights are not here"):
        open_library(tmp_path / "lib").index([films], settings=ONE, ray="auto")


def test_a_node_that_does_not_see_the_videos_is_left_out(films, expected, tmp_path, on):
    from indexer.worker import Unseen

    def blind(worker) -> None:
        worker.index = lambda jobs: iter([Unseen(jobs[0])])

    on(FakeNode("a"), FakeNode("b", watch=blind))
    library = open_library(tmp_path / "lib")
    report = library.index([films], settings=ONE, ray="auto")
    assert rows_of(library) == expected
    assert len(report.notes) == 1
    assert report.notes[0].startswith("b was left out: b does not see ")


def test_a_file_that_goes_away_in_mid_run_is_named(tmp_path, on):
    make_film(tmp_path / "films" / "a.mp4", [("red", 4)])
    make_film(tmp_path / "films" / "b.mp4", [("lime", 4)])
    on(FakeNode("a", watch=lambda worker: (tmp_path / "films" / "b.mp4").unlink(missing_ok=True)))
    report = open_library(tmp_path / "lib").index([tmp_path / "films"], settings=ONE, ray="auto")
    assert [note.path.name for note in report.added] == ["a.mp4"]
    assert [note.path.name for note in report.failed] == ["b.mp4"]


def test_all_workers_lost(films, expected, tmp_path, on, monkeypatch):
    monkeypatch.setattr(indexer.cluster, "_NONE_LEFT_SECONDS", 0.5)
    on(FakeNode("a", steps=5))
    library = open_library(tmp_path / "lib")
    with pytest.raises(LibraryError, match=r"no worker could start .* videos are left"):
        library.index([films], settings=ONE, ray="auto")
    library.index([films])  # a run on this machine goes on from there
    assert rows_of(library) == expected
    assert library.verify() == []


def test_ctrl_c_keeps_what_was_reported(films, expected, tmp_path, on):
    on(FakeNode("a"))
    library = open_library(tmp_path / "lib")

    def interrupt(progress) -> None:
        if progress.files_done >= 1:
            raise KeyboardInterrupt

    report = library.index([films], on_progress=interrupt, settings=ONE, ray="auto")
    assert report.interrupted
    assert 1 <= len(report.added) < 4
    assert len(library.videos()) == len(report.added)
    assert library.verify() == []
    library.index([films], settings=ONE, ray="auto")
    assert rows_of(library) == expected


def test_what_a_killed_driver_left_is_swept_by_the_next_writer(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films / "0.mp4"])
    store = library._current.store()
    before = data_files(library)
    store.expect_fragments()
    store.write_fragments(list(store.frames(library.videos())))  # and then the driver is gone
    assert len(data_files(library)) == len(before) + 1
    rows = rows_of(library)
    library.index([films / "0.mp4"])
    assert len(data_files(library)) == 1
    assert rows_of(library) == rows


# ---- the command


def test_a_path_behind_ray_is_a_path(monkeypatch):
    assert _files_and_address(("b",), "./videos") == (["./videos", "b"], "auto")
    for address in ("auto", "local", "10.0.0.1:6379", "ray://head:10001", "[::1]:6379"):
        assert _files_and_address(("b",), address) == (["b"], address)


def test_the_command(films, tmp_path, on, monkeypatch, capfd):
    monkeypatch.setattr(Library.__init__, "__defaults__", ("cpu", load_fake))
    on(FakeNode("a"))
    assert cli.run(["index", "--library", str(tmp_path / "lib"), "--ray", str(films)]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("4 added")
    assert err.count("--ray makes no thumbnails") == 1
    assert (
        cli.run(["index", "--library", str(tmp_path / "lib"), "--ray", "--force", "--no-thumbnails", str(films)])
        == 0
    )
    assert "thumbnails" not in capfd.readouterr().err
    assert cli.run(["index", "--ray"]) == 2


def test_no_cluster_is_one_clear_line(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match=r"no Ray cluster answers at 127.0.0.1:1\. Start one: ray start --head"):
        indexer.cluster.connected("127.0.0.1:1").__enter__()


def test_ray_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'vclipper\[ray\]'"):
        indexer.cluster.connected("auto").__enter__()


def test_pylance_missing_is_said(films, tmp_path, monkeypatch):
    library = open_library(tmp_path / "lib")
    library.index([films / "0.mp4"])
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(InputError, match=r"pip install pylance"):
        library._current.store().write_fragments(list(library._current.store().frames(library.videos())))


def test_a_locked_library_is_refused(films, tmp_path, on):
    on(FakeNode("a"))
    library = open_library(tmp_path / "lib")
    library.index([films / "0.mp4"], settings=ONE, ray="auto")
    with writing(library.path, "vclip index"), pytest.raises(LibraryError, match="is being written"):
        library.index([films], settings=ONE, ray="auto")
