"""vclip watch: files that come, grow, move; drives that go and come back; pauses, restarts, two at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import indexer.watch
from indexer.errors import InputError, LibraryError, LibraryLockedError, LibraryMismatchError
from indexer.settings import IndexSettings
from indexer.watch import Watcher, WatchSettings
from tests.fakes import make_film, open_library
from vclipper import watching

QUICK = WatchSettings(settle_seconds=0.3)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(watching, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(watching, "RETRY_SECONDS", 0.2)


@pytest.fixture
def film(tmp_path):
    return make_film(tmp_path / "made" / "film.mp4", [("red", 4), ("lime", 4)])


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


class Running:
    """A watch in a thread; what it reported, in order."""

    def __init__(self, library, paths, watching=QUICK, **settings) -> None:
        self.stop, self.reports, self.notes = threading.Event(), [], []
        options = (
            IndexSettings(workers=1, **settings),
            watching,
            self.reports.append,
            self.notes.append,
            self.stop,
        )
        self.thread = threading.Thread(target=library.watch, args=(paths, *options))

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()

    def wait_for(self, happened, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, (self.reports, self.notes)
            assert self.thread.is_alive()
            time.sleep(0.05)

    def added(self) -> list[str]:
        return [note.path.name for report in self.reports for note in report.added]


@pytest.fixture
def library(tmp_path):
    return open_library(tmp_path / "lib")


@pytest.mark.parametrize(
    "how", [QUICK, WatchSettings(settle_seconds=0.3, poll_seconds=0.2)], ids=["told", "polls"]
)
def test_what_is_there_and_what_comes_is_indexed(library, folder, film, how):
    shutil.copy(film, folder / "before.mp4")
    (folder / ".vclipignore").write_text("private/\n")
    with Running(library, [folder], how, exclude=("*.part.mp4",)) as watch:
        watch.wait_for(lambda: watch.added() == ["before.mp4"])
        (folder / "private").mkdir()
        shutil.copy(make_film(film.parent / "x.mp4", [("cyan", 4)]), folder / "private" / "x.mp4")
        shutil.copy(film.parent / "x.mp4", folder / "x.part.mp4")
        (folder / "new").mkdir()
        shutil.copy(make_film(film.parent / "y.mp4", [("white", 4)]), folder / "new" / "y.mp4")
        watch.wait_for(lambda: watch.added() == ["before.mp4", "y.mp4"])
        (folder / "x.part.mp4").rename(folder / "x.mp4")
        watch.wait_for(lambda: watch.added() == ["before.mp4", "y.mp4", "x.mp4"])
        (folder / "x.mp4").rename(folder / "z.mp4")
        watch.wait_for(lambda: "z.mp4" in [n.path.name for r in watch.reports for n in r.relinked])
    assert sorted(v.path.name for v in library.videos()) == ["before.mp4", "y.mp4", "z.mp4"]
    assert library.verify() == []


def test_a_growing_file_is_waited_for(folder, film):
    data = film.read_bytes()
    with (
        Watcher([folder], settings=WatchSettings(settle_seconds=1.5)) as watcher,
        (folder / "a.mp4").open("wb") as out,
    ):
        for i in range(5):
            out.write(data[i * len(data) // 5 : (i + 1) * len(data) // 5])
            out.flush()
            assert watcher.settled() == []
            time.sleep(0.15)  # less than it takes to settle, so it may never be given out before the last part
        deadline = time.monotonic() + 10
        while not (given := watcher.settled()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert given == [folder / "a.mp4"]
        assert (folder / "a.mp4").read_bytes() == data
        time.sleep(1.6)
        assert watcher.settled() == []  # once
        watcher.put_back(given)
        assert watcher.settled() == given  # nothing came of it: again


def test_a_drive_that_goes_and_comes_back(library, folder, film, tmp_path):
    shutil.copy(film, folder / "a.mp4")
    with Running(library, [folder]) as watch:
        watch.wait_for(lambda: watch.added() == ["a.mp4"])
        folder.rename(tmp_path / "unplugged")
        watch.wait_for(lambda: any("inbox is not there" in note for note in watch.notes))
        assert [v.path.name for v in library.videos()] == ["a.mp4"]
        shutil.copy(make_film(film.parent / "b.mp4", [("blue", 4)]), tmp_path / "unplugged" / "b.mp4")
        (tmp_path / "unplugged").rename(folder)
        watch.wait_for(lambda: watch.added() == ["a.mp4", "b.mp4"])
        shutil.copy(make_film(film.parent / "c.mp4", [("cyan", 4)]), folder / "c.mp4")
        watch.wait_for(lambda: watch.added() == ["a.mp4", "b.mp4", "c.mp4"])


def test_a_folder_that_is_known_and_away_is_waited_for_from_the_start(library, folder, film, tmp_path):
    shutil.copy(film, folder / "a.mp4")
    library.index([folder])
    folder.rename(tmp_path / "unplugged")
    with Running(library, [folder]) as watch:
        watch.wait_for(lambda: f"{folder} is not there; waiting for it" in watch.notes)
        shutil.copy(make_film(film.parent / "b.mp4", [("blue", 4)]), tmp_path / "unplugged" / "b.mp4")
        (tmp_path / "unplugged").rename(folder)
        watch.wait_for(lambda: watch.added() == ["b.mp4"])


def test_a_mistyped_folder_is_refused(library, folder, film, tmp_path):
    with pytest.raises(InputError, match=r"there is no .*/inbx, and the library knows nothing below it"):
        library.watch([folder, tmp_path / "inbx"])
    assert not library.path.exists()
    library.index([film])
    with pytest.raises(InputError, match="inbx"):
        library.watch([tmp_path / "inbx"])


def test_a_watch_makes_the_library_that_it_is_told_to(library, folder, tmp_path):
    stop = threading.Event()
    stop.set()
    library.watch([folder], stop=stop, model="colours of mine", fps=2)
    assert (library.info().model, library.info().fps) == ("colours of mine", 2)
    with pytest.raises(LibraryMismatchError, match="made with model colours of mine"):
        library.watch([folder], stop=stop, model="others")


def mounted(place: Path, *how: str) -> bool:
    """``how``: by default an empty drive."""
    place.mkdir(exist_ok=True)
    how = how or ("-t", "tmpfs", "-o", "size=4m", "t")
    return subprocess.run(["mount", *how, str(place)], capture_output=True).returncode == 0


def test_unmounting_and_mounting_below_a_watched_folder(library, folder, film):
    place = folder / "stick"
    if not mounted(place):
        pytest.skip("mounting needs root")
    try:
        shutil.copy(film, place / "a.mp4")
        with Running(library, [folder]) as watch:
            watch.wait_for(lambda: watch.added() == ["a.mp4"])
            subprocess.run(["umount", str(place)], check=True)
            time.sleep(0.3)
            assert mounted(place)
            shutil.copy(make_film(film.parent / "b.mp4", [("blue", 4)]), place / "b.mp4")
            watch.wait_for(lambda: watch.added() == ["a.mp4", "b.mp4"])
        assert [v.path.name for v in library.videos()] == ["a.mp4", "b.mp4"]
    finally:
        subprocess.run(["umount", str(place)], check=False)


def test_what_was_on_a_drive_that_goes_is_not_gone(library, folder, tmp_path):
    drive, place = tmp_path / "drive", folder / "stick"
    for name, colour in (("a", "red"), ("b", "blue")):
        make_film(drive / f"{name}.mp4", [(colour, 4)])
    place.mkdir()
    (place / "nothing is mounted here").touch()
    if not mounted(place, "--bind", str(drive)):
        pytest.skip("mounting needs root")
    try:
        with Running(library, [folder]) as watch:
            watch.wait_for(lambda: watch.added() == ["a.mp4", "b.mp4"])
            subprocess.run(["umount", str(place)], check=True)
            time.sleep(1)
            assert mounted(place, "--bind", str(drive))
            time.sleep(1)
            assert (len(watch.reports), watch.notes) == (1, [f"watching {folder}"])
            (place / "b.mp4").unlink()
            watch.wait_for(lambda: watch.notes[1:] == [gone(place / "b.mp4")])
    finally:
        subprocess.run(["umount", str(place)], check=False)


def test_files_that_go_are_told_once_and_stay_in_the_library(library, folder, film):
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "cyan"), ("deep/d", "white"), ("deep/e", "lime")):
        make_film(folder / f"{name}.mp4", [(colour, 4)])
    library.index([folder])
    (folder / "a.mp4").unlink()  # before the watch
    with Running(library, [folder]) as watch:
        watch.wait_for(lambda: len(watch.notes) == 2)
        (folder / "b.mp4").unlink()
        watch.wait_for(lambda: len(watch.notes) == 3)
        (folder / "c.mp4").rename(folder / "new name.mp4")
        watch.wait_for(lambda: [n.path.name for r in watch.reports for n in r.relinked] == ["new name.mp4"])
        (folder / "bad.mp4").write_bytes(b"no film")
        watch.wait_for(lambda: watch.reports[-1].failed)
        (folder / "bad.mp4").unlink()  # the library does not know it
        shutil.rmtree(folder / "deep")
        watch.wait_for(lambda: len(watch.notes) == 4)
        (folder / "new name.mp4").rename(folder / "new name.bak")
        watch.wait_for(lambda: len(watch.notes) == 5)
        time.sleep(1)
    assert watch.notes[1:] == [gone(folder / name) for name in ("a.mp4", "b.mp4")] + [
        gone(folder / "deep" / "d.mp4", " and 1 more"),
        gone(folder / "new name.mp4"),
    ]
    assert len(library.videos()) == 5


def gone(path: Path, more: str = "") -> str:
    return f"gone, or on a drive that is away: {path}{more}. If gone for good: vclip index --prune FOLDER"


def test_nothing_is_gone_while_a_file_grows(folder, film):
    """What grows may be what went, under a new name."""
    shutil.copy(film, folder / "old.mp4")
    with Watcher([folder], settings=WatchSettings(0.5, 0.01)) as watcher:
        watcher.settled()
        time.sleep(0.6)
        assert watcher.settled() == [folder / "old.mp4"]
        (folder / "old.mp4").unlink()
        for _ in range(8):
            with (folder / "new.mp4").open("ab") as out:
                out.write(b"more")
            assert (watcher.settled(), watcher.gone()) == ([], [])
            time.sleep(0.1)
        time.sleep(0.5)
        assert watcher.settled() == [folder / "new.mp4"]
        assert watcher.gone() == [folder / "old.mp4"]


def test_what_is_not_below_the_watched_folders_is_not_looked_at(folder, film, tmp_path, monkeypatch):
    """It may be on a network drive that does not answer."""
    shutil.copy(film, folder / "film.mp4")
    looked_at = []

    def noting(look):
        def look_and_note(path, **options):
            looked_at.append(str(path))
            return look(path, **options)

        return look_and_note

    monkeypatch.setattr(os, "stat", noting(os.stat))
    monkeypatch.setattr(os, "lstat", noting(os.lstat))
    expected = [tmp_path / "nas" / "a.mp4", folder / "b.mp4"]
    with Watcher([folder], settings=WatchSettings(0.0), expected=expected) as watcher:
        watcher.settled()
        assert watcher.gone() == [folder / "b.mp4"]
    assert str(folder / "b.mp4") in looked_at
    assert str(tmp_path / "nas" / "a.mp4") not in looked_at


def test_a_library_that_does_not_answer_is_asked_again(library, folder, monkeypatch):
    for name, colour in (("a", "red"), ("b", "blue")):
        make_film(folder / f"{name}.mp4", [(colour, 4)])
    library.index([folder])
    videos, asked = library.videos, []

    def sometimes():
        asked.append(len(asked))
        if 1 <= asked[-1] <= 3:  # not at the start
            raise LibraryError("the store cannot be reached")
        return videos()

    monkeypatch.setattr(library, "videos", sometimes)
    with Running(library, [folder]) as watch:
        watch.wait_for(lambda: watch.notes)
        (folder / "a.mp4").unlink()
        watch.wait_for(lambda: len(watch.notes) == 3)
    assert watch.notes[1:] == ["the store cannot be reached", gone(folder / "a.mp4")]


def test_what_may_be_there_is_not_gone(library, folder, film, tmp_path):
    for name, colour in (("emptied/a", "red"), ("closed/b", "blue"), ("c", "cyan"), ("before/d", "white")):
        make_film(folder / f"{name}.mp4", [(colour, 4)])
    library.index([folder])
    (folder / "before" / "d.mp4").unlink()
    with Running(library, [folder], WatchSettings(settle_seconds=0.3, poll_seconds=0.2)) as watch:
        watch.wait_for(lambda: watch.notes)
        time.sleep(1)
        (folder / "emptied" / "a.mp4").unlink()
        shutil.rmtree(folder / "closed")
        (folder / "closed").symlink_to("closed")  # looking below answers with an error, not that there is nothing
        time.sleep(1)
        (folder / "c.mp4").unlink()
        watch.wait_for(lambda: len(watch.notes) == 2)
    assert watch.notes[1:] == [gone(folder / "c.mp4")]


def test_a_polled_folder_tells_too_and_a_root_that_is_away_does_not(library, folder, tmp_path):
    make_film(folder / "a.mp4", [("red", 4)])
    make_film(folder / "b.mp4", [("blue", 4)])
    library.index([folder])
    with Running(library, [folder], WatchSettings(settle_seconds=0.3, poll_seconds=0.2)) as watch:
        watch.wait_for(lambda: watch.notes)
        time.sleep(1)  # longer than what is in the library is looked for
        (folder / "a.mp4").unlink()
        watch.wait_for(lambda: any("a.mp4" in note for note in watch.notes))
        folder.rename(tmp_path / "unplugged")
        time.sleep(1)
    assert not any("b.mp4" in note for note in watch.notes)


def test_pause_and_resume(library, folder, film):
    with Running(library, [folder]) as watch:
        watch.wait_for(lambda: (library.path / "watcher.json").exists())
        assert library.watch_state(paused=True).endswith(", paused")
        shutil.copy(film, folder / "a.mp4")
        time.sleep(1)
        assert watch.added() == []
        assert "`vclip watch`" in library.watch_state(paused=False)
        watch.wait_for(lambda: watch.added() == ["a.mp4"])
    assert library.watch_state() == "nobody watches"


def test_a_pause_during_a_run_keeps_what_is_finished(library, folder, film, monkeypatch):
    for colour in ("red", "lime", "blue", "white"):
        make_film(folder / f"{colour}.mp4", [(colour, 4), ("black", 2)])
    index = library.index
    runs = []

    def index_and_pause(paths, settings, on_progress):
        def after_the_first(progress):
            if len(runs) == 1 and progress.files_done == 1:
                library.watch_state(paused=True)
            on_progress(progress)

        runs.append(len(paths))
        return index(paths, settings=settings, on_progress=after_the_first)

    monkeypatch.setattr(library, "index", index_and_pause)
    with Running(library, [folder], batch_size=1) as watch:
        watch.wait_for(lambda: watch.reports)
        assert watch.reports[0].interrupted
        assert len(watch.added()) == 1
        library.watch_state(paused=False)
        watch.wait_for(lambda: len(watch.added()) == 4)
    assert runs[0] == 4
    assert library.verify() == []


def test_a_restart_catches_up_and_reads_nothing_again(library, folder, film, monkeypatch):
    shutil.copy(film, folder / "a.mp4")
    os.utime(folder / "a.mp4", (1, 1))
    with Running(library, [folder]) as watch:
        watch.wait_for(lambda: watch.added() == ["a.mp4"])
    make_film(folder / "b.mp4", [("blue", 4)])
    again = open_library(library.path)
    with Running(again, [folder]) as watch:
        watch.wait_for(lambda: watch.added() == ["b.mp4"])
        assert watch.reports[0].skipped == []  # a.mp4 was not looked at


def test_one_watcher_a_library_and_writers_in_between(library, folder, film, tmp_path):
    with Running(library, [folder]) as watch:
        watch.wait_for(lambda: (library.path / "watcher.json").exists())
        with pytest.raises(LibraryLockedError, match=r"watched for by `vclip watch` \(process"):
            open_library(library.path).watch([folder], stop=threading.Event())
        from indexer.lock import writing

        with writing(library.path, "vclip index"):
            shutil.copy(film, folder / "a.mp4")
            watch.wait_for(lambda: any("is being written by `vclip index`" in note for note in watch.notes))
        watch.wait_for(lambda: watch.added() == ["a.mp4"])


def test_a_bad_file_is_said_once_and_tried_again_when_it_changes(library, folder, film):
    (folder / "a.mp4").write_bytes(film.read_bytes()[:200])
    with Running(library, [folder]) as watch:
        watch.wait_for(lambda: watch.reports)
        assert [n.path.name for n in watch.reports[0].failed] == ["a.mp4"]
        time.sleep(1)
        assert len(watch.reports) == 1
        shutil.copy(film, folder / "a.mp4")
        watch.wait_for(lambda: watch.added() == ["a.mp4"])


COMMAND = """
import sys
import vclipper.library
from tests.fakes import load_fake
from vclipper import cli
if __name__ == "__main__":
    vclipper.library.Library.__init__.__defaults__ = ("cpu", load_fake)
    sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_the_command_until_a_signal(folder, film, tmp_path, number):
    script = tmp_path / "vclip.py"
    script.write_text(COMMAND)
    shutil.copy(film, folder / "a.mp4")
    words = ["watch", str(folder), "--library", str(tmp_path / "lib"), "--settle", "0.2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, str(script), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert "1 added" in child.stdout.readline()
        child.send_signal(number)
        assert child.wait(20) == 0
    assert len(open_library(tmp_path / "lib").videos()) == 1


def test_a_folder_that_cannot_be_looked_through_is_told_once(folder, film, monkeypatch):
    (folder / "closed").mkdir()
    shutil.copy(film, folder / "film.mp4")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    notes: list[str] = []
    with Watcher([folder], settings=WatchSettings(0.0, 0.001), on_note=notes.append) as watcher:
        given = [path for _ in range(5) if not time.sleep(0.01) for path in watcher.settled()]
    assert given == [folder / "film.mp4"]
    assert notes == [f"{folder / 'closed'}: this folder cannot be looked through: Permission denied"]


def test_what_vanishes_while_it_is_looked_at_ends_nothing(folder, film, monkeypatch):
    looks = iter([InputError(f"{folder} does not exist"), [folder / "gone-at-once.mp4"], [film]])

    def looked_through(roots, exclude, on_unreadable):
        found = next(looks, [film])
        if isinstance(found, InputError):
            raise found
        return found

    monkeypatch.setattr(indexer.watch, "find_videos", looked_through)
    notes: list[str] = []
    with Watcher([folder], settings=WatchSettings(0.0, 0.001), on_note=notes.append) as watcher:
        given = [path for _ in range(5) if not time.sleep(0.01) for path in watcher.settled()]
    assert given == [film]
    assert notes == [f"{folder} does not exist"]
