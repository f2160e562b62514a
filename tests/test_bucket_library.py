"""A library on object storage: the same rows, the same answers, the same safety as in a folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from werkzeug.wrappers import Response

import vclipper.library
from indexer import cache, lease
from indexer.errors import LibraryError, LibraryLockedError
from indexer.lock import writing
from indexer.settings import IndexSettings
from indexer.storage import Bucket
from indexer.store import Store
from searcher.settings import SearchSettings
from tests.fakes import load_fake, make_films, open_library, rows_of, rows_of_a_plain_run
from vclipper import cli

SHARP = SearchSettings(method="vc1", postprocess="norm", threshold=0.8, fold=False)
KILLS = 6
CHILD = """
import sys
from indexer.settings import IndexSettings
from tests.fakes import open_library
settings = IndexSettings(workers=2, batch_size=4, flush_rows=6)
if __name__ == "__main__":
    open_library(sys.argv[1]).index([sys.argv[2]], settings=settings)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return make_films(tmp_path_factory.mktemp("films"), ["red", "lime", "blue", "yellow", "cyan", "white"])


@pytest.fixture(scope="module")
def expected(films, tmp_path_factory):
    """The rows of the same films in a folder."""
    return rows_of_a_plain_run(films, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "child.py"
    path.write_text(CHILD)
    return path


def start(where: str, films: Path, script: Path) -> subprocess.Popen:
    """Index in another process."""
    return subprocess.Popen(
        [sys.executable, str(script), where, str(films)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        start_new_session=True,
    )


def found(moments) -> list[tuple[str, float, float]]:
    return [(m.path.name, m.start_seconds, m.end_seconds) for m in moments]


def test_indexed_by_one_process_and_searched_by_another(address, films, script, expected):
    assert start(address, films, script).wait() == 0
    library = open_library(address)
    assert rows_of(library) == expected
    # 2.mp4 is blue for 4 + 2 seconds
    assert found(library.search("blue", settings=SHARP))[0] == ("2.mp4", 0.0, 6.0)
    assert library.verify() == []


def test_a_second_search_downloads_no_frames(s3, films, monkeypatch):
    open_library(s3).index([films])
    first = found(open_library(s3).search("blue", settings=SHARP))

    def no_reading(*_: object) -> None:
        raise AssertionError("frames were read from the bucket")

    monkeypatch.setattr(Store, "frames", no_reading)
    assert found(open_library(s3).search("blue", settings=SHARP)) == first


def test_another_library_at_the_same_address_is_not_answered_from_the_old_cache(s3, films, tmp_path):
    library = open_library(s3)
    library.index([films / "0.mp4"])
    library.search("red")
    objects = library.storage._objects
    objects.delete([meta["path"] for chunk in objects.list() for meta in chunk])
    again = open_library(s3)
    again.index([films / "2.mp4"])
    assert {name for name, _, _ in found(again.search("red", settings=SearchSettings(min_score=-1000)))} == {
        "2.mp4"
    }


def test_the_cache_is_bounded(s3, films, monkeypatch):
    for name in "abc":
        library = open_library(f"{s3}/{name}")
        library.index([films / "0.mp4"])
        library.search("red")
    folders = set((cache._root()).iterdir())
    assert len(folders) == 3
    size = max(cache._bytes(folder) for folder in folders)
    monkeypatch.setenv(cache.LIMIT, str(2.5 * size / 1e9))
    os.utime(open_library(f"{s3}/a").path, (1, 1))  # the longest unused
    gone = open_library(f"{s3}/a").path
    os.utime(gone, (1, 1))
    cache.shrink(keep=open_library(f"{s3}/c").path)
    assert set(cache._root().iterdir()) == folders - {gone}


@pytest.fixture
def vclip(capfd, monkeypatch):
    monkeypatch.setattr(vclipper.library.Library.__init__, "__defaults__", ("cpu", load_fake))
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_every_command_takes_the_address(address, films, expected, vclip, monkeypatch, tmp_path):
    monkeypatch.setenv("VCLIP_LIBRARY", address)
    code, out, err = vclip("index", films)
    assert (code, err) == (0, "")
    assert out.startswith("6 added")
    assert vclip("index", films)[1] == "6 skipped\n"
    assert rows_of(open_library(address)) == expected
    assert address in vclip("info")[1]
    assert "3.mp4" in vclip("list")[1]
    assert "0.mp4" in vclip("search", "red", "--library", address)[1]
    assert vclip("search", "red", "--export", tmp_path / "red.edl")[0] == 0
    assert "0.mp4" in (tmp_path / "red.edl").read_text()
    assert vclip("verify")[0] == 0
    assert vclip("reindex")[0] == 0
    assert vclip("remove", films / "0.mp4")[1].startswith("1 video removed (5 frames)")
    assert "0.mp4" not in vclip("list")[1]
    assert vclip("repair")[0] == 0
    assert vclip("verify")[0] == 0


def test_a_folder_that_moved_is_relinked(address, films, tmp_path, vclip, monkeypatch):
    monkeypatch.setenv("VCLIP_LIBRARY", address)
    shutil.copytree(films, tmp_path / "old")
    assert vclip("index", tmp_path / "old")[0] == 0
    (tmp_path / "old").rename(tmp_path / "new")
    assert vclip("relink", tmp_path / "old", tmp_path / "new")[0] == 0
    assert vclip("verify", "--contents")[0] == 0
    code, out, _ = vclip("show", tmp_path / "new" / "2.mp4", "--query", "blue")
    assert (code, "score" in out) == (0, True)


def test_a_writer_is_named_and_readers_do_not_wait(address, films, vclip):
    open_library(address).index([films / "0.mp4"])
    with writing(address, "vclip index"):
        code, _, err = vclip("index", films, "--library", address)
        assert code == 1
        assert err.startswith(f"vclip: {address} is being written by `vclip index` (process {os.getpid()}")
        assert err.count("\n") == 1
        assert "0.mp4" in vclip("search", "red", "--library", address)[1]
    with pytest.raises(LibraryLockedError), writing(address, "x"):
        open_library(address).remove([films / "0.mp4"])


def test_a_prefix_with_other_things_is_refused(address, films):
    Bucket(address).write("holiday.jpg", b"1")
    with pytest.raises(LibraryError, match="holds other files and is not a library"):
        open_library(address).index([films])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_resuming_after_kill_9(address, films, script, expected):
    started = time.monotonic()
    assert start(f"{address}/whole", films, script).wait() == 0
    whole_seconds = time.monotonic() - started
    rng = random.Random(0)
    for number in range(KILLS):
        where = f"{address}/{number}"
        child = start(where, films, script)
        time.sleep(rng.uniform(0.3, 0.95) * whole_seconds)
        with contextlib.suppress(ProcessLookupError):  # it had finished
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert start(where, films, script).wait() == 0, f"round {number}"
        resumed = open_library(where)
        assert rows_of(resumed) == expected, f"round {number}"
        assert resumed.verify() == [], f"round {number}"


def test_a_store_that_goes_away_is_said(address, service, films, monkeypatch, vclip):
    assert vclip("index", films / "0.mp4", "--library", address)[0] == 0
    for name, value in service.nobody.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("indexer.storage.RETRY_SECONDS", 1)
    for command in (["search", "red"], ["info"], ["index", str(films)]):
        code, out, err = vclip(*command, "--library", address)
        assert (code, out) == (1, "")
        assert err.startswith(f"vclip: {address}: the store cannot be reached. Check the network and ")
        assert err.count("\n") == 1


@pytest.fixture
def google(address_on, services, monkeypatch):
    """Let something come between Google's storage and its clients; gives an empty prefix there."""

    def with_(around) -> str:
        address = address_on("gs")
        monkeypatch.setattr(services("gs").google, "around", around)
        return address

    return with_


def test_answers_that_get_lost(google, films, expected):
    """Each write is carried out; its first answer is lost, and the client asks for it again."""
    lost = set()

    def around(request, answer):
        done = answer(request)
        if request.method == "GET" or done.status_code >= 300 or request.full_path in lost:
            return done
        lost.add(request.full_path)
        return Response(status=503)

    address = google(around)
    report = open_library(address).index([films])
    assert (len(report.added), report.ok) == (6, True)
    assert rows_of(open_library(address)) == expected
    assert open_library(address).verify() == []
    assert any("_versions" in path for path in lost)  # LanceDB's commits
    assert any("writer" in path for path in lost)


@pytest.mark.parametrize("how", ["lost", "late"])
def test_a_renewal_that_is_never_answered_is_made_again(google, monkeypatch, how):
    """The store carries it out. The lease is not over, and nobody else has it, so the run goes on."""
    monkeypatch.setattr("indexer.storage.RETRY_SECONDS", 0)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 3.0)  # renewed every 0.75 s
    monkeypatch.setattr(lease, "_ANSWER_SECONDS", 0.5)
    unanswered = []

    def around(request, answer):
        done = answer(request)
        if b"renewed_unix" in request.get_data() and done.status_code < 300 and len(unanswered) < 2:
            unanswered.append(request.path)
            time.sleep(6 if how == "late" else 0)
            return Response(status=503)
        return done

    bucket = Bucket(google(around))
    with writing(bucket, "x"):
        time.sleep(4)
        bucket.write("a", b"1")
        assert len(unanswered) == 2
    assert Bucket(str(bucket)).read(lease.NAME) == b"{}"


def test_a_lease_taken_while_renewals_are_not_answered_is_lost(google, monkeypatch):
    monkeypatch.setattr("indexer.storage.RETRY_SECONDS", 0)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 4.0)
    taken = b'{"pid": 2}'

    def around(request, answer):
        done = answer(request)
        if b"renewed_unix" not in request.get_data() or done.status_code >= 300:
            return done
        Bucket(address).write(lease.NAME, taken)  # as the next writer does
        return Response(status=503)

    address = google(around)
    bucket = Bucket(address)
    with writing(bucket, "x"):
        time.sleep(3.5)
        with pytest.raises(LibraryLockedError, match="the write lease was lost"):
            bucket.write("a", b"1")
    assert Bucket(address).read(lease.NAME) == taken


def test_a_lease_counts_from_before_it_was_asked_for(google, monkeypatch):
    """Of its 60 s, 53 pass until the store has answered. It is renewed at once, in vain here."""
    monkeypatch.setattr("indexer.storage.RETRY_SECONDS", 0)
    now, passed_seconds, asked = lease._now, [0], threading.Event()
    monkeypatch.setattr(lease, "_now", lambda: now() + sum(passed_seconds))

    def around(request, answer):
        if b"renewed_unix" in request.get_data():
            asked.set()
            return Response(status=503)
        done = answer(request)
        if done.status_code == 412:  # the look whether this store honours conditions
            passed_seconds.append(53)
        return done

    bucket = Bucket(google(around))
    with writing(bucket, "x"):
        assert asked.wait(10)
        bucket.write("a", b"1")
        passed_seconds.append(2)  # 53 + 2 s are more than 0.9 × 60 s = 54 s
        with pytest.raises(LibraryLockedError, match="the write lease was lost"):
            bucket.write("a", b"2")


def test_a_renewal_that_failed_is_made_again_soon(google, monkeypatch):
    monkeypatch.setattr("indexer.storage.RETRY_SECONDS", 0)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 12.0)
    times_seconds, made_again = [], threading.Event()

    def around(request, answer):
        if b"renewed_unix" not in request.get_data():
            return answer(request)
        times_seconds.append(time.monotonic())
        if len(times_seconds) == 1:
            return Response(status=503)
        made_again.set()
        return answer(request)

    with writing(Bucket(google(around)), "x"):
        assert made_again.wait(12)
    assert times_seconds[1] - times_seconds[0] < 12 / 4  # the pause after one that succeeds; here it is 12 / 20


def test_one_write_of_an_object_a_second(google, films):
    """https://cloud.google.com/storage/quotas#objects: what is written more often is answered by 429."""
    written, refused = {}, []

    def around(request, answer):
        if request.method in ("GET", "HEAD"):
            return answer(request)
        if time.monotonic() - written.get(request.path, -1) < 1:
            refused.append(request.path)
            return Response("<Error><Code>SlowDown</Code></Error>", 429)
        done = answer(request)
        if done.status_code < 300:
            written[request.path] = time.monotonic()
        return done

    address = google(around)
    assert open_library(address).index([films / "0.mp4"]).ok
    assert open_library(address).verify() == []
    assert any(path.endswith("writer.json") for path in refused)


def test_a_store_that_stays_busy_is_said(google, films, vclip, monkeypatch):
    address = google(lambda request, answer: Response(status=503))
    monkeypatch.setattr("indexer.storage.RETRY_SECONDS", 0)
    code, _, err = vclip("index", films, "--library", address)
    assert (code, err) == (
        1,
        f"vclip: {address}: the store is too busy to answer. "
        "Run the command again: it goes on where this one stopped\n",
    )


@pytest.mark.parametrize("after", [8, 20, 32])
def test_a_store_that_refuses_in_mid_run_is_said(google, films, expected, vclip, monkeypatch, after):
    requests = itertools.count()
    address = google(lambda request, answer: refusal() if next(requests) >= after else answer(request))
    code, out, err = vclip("index", films, "--library", address)
    assert (code, out) == (1, "")
    assert err == f"vclip: {address}: access is denied. These credentials may not do this in this bucket\n"
    google(lambda request, answer: answer(request))
    monkeypatch.setattr(lease, "_is_dead", lambda note: True)  # that process had ended
    assert vclip("index", films, "--library", address)[0] == 0
    assert rows_of(open_library(address)) == expected


@pytest.mark.parametrize("command", ["search red", "list", "info", "verify", "repair", "reindex"])
def test_a_store_that_refuses_later_is_not_called_damaged(google, films, vclip, command):
    address = google(lambda request, answer: answer(request))
    open_library(address).index([films / "0.mp4"])
    google(lambda r, answer: answer(r) if r.path.endswith(("library.json", "writer.json")) else refusal())
    code, out, err = vclip(*command.split(), "--library", address)
    assert (code, out) == (1, "")
    assert err == f"vclip: {address}: access is denied. These credentials may not do this in this bucket\n"


def refusal() -> Response:
    return Response("<Error><Code>AccessDenied</Code></Error>", 403)


def test_rows_do_not_depend_on_settings(s3, films, expected):
    library = open_library(s3)
    library.index([films], settings=IndexSettings(workers=1, batch_size=3, flush_rows=1))
    assert rows_of(library) == expected
