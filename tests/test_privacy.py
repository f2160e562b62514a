"""What is removed for good leaves no trace in the bytes of the library; nothing leaves the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.errors import InputError
from searcher.settings import SearchSettings
from tests.fakes import make_film, open_library, picture, rows_of
from tests.test_cli import colours, lib, vclip  # noqa: F401 - fixtures

SHARP = SearchSettings(method="vc1", postprocess="norm", threshold=0.8, fold=False)


@pytest.fixture
def library(tmp_path):
    films = tmp_path / "films"
    make_film(films / "secret-party.mp4", [("magenta", 6), ("cyan", 4)])
    for name in ("a", "b", "c"):
        make_film(films / f"{name}.mp4", [("red", 4), ("lime", 4), ("blue", ord(name) - 94)])
    library = open_library(tmp_path / "lib")
    library.index([films / "a.mp4"])
    library.index([films])
    library.search("magenta", settings=SHARP)
    return library


def traces(library, video, frames) -> dict[str, list[str]]:
    """The files of the library that hold something of a video, by what."""
    marks = {
        "name": video.path.name.encode(),
        "fingerprint": video.fingerprint.encode(),
        "id": video.video_id.to_bytes(8, "little"),
        "id as text": str(video.video_id).encode(),
        "digest": video.digest.encode(),
        **{f"vector {i}": vector.tobytes() for i, vector in enumerate(frames.vectors)},
        "CFS_c": frames.next_similarity.tobytes(),
    }
    found: dict[str, list[str]] = {name: [] for name in marks}
    for file in library.path.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        for name, mark in marks.items():
            if mark in data or mark in os.fsencode(file.name):
                found[name].append(file.name)
    return found


def of(library, name):
    video = next(v for v in library.videos() if v.path.name == name)
    return video, next(iter(library._current.store().frames([video])))


def test_a_purged_video_leaves_no_trace(library, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    video, frames = of(library, "secret-party.mp4")
    before = traces(library, video, frames)
    assert all(before.values()), before  # the scan finds each of them where it is
    kept = [row for row in rows_of(library) if row[1] != video.video_id]
    proxy = tmp_path / "cache" / "vclipper" / "proxies" / f"{video.video_id}.mp4"
    proxy.parent.mkdir(parents=True)
    proxy.touch()
    library.remove([video.path], purge=True)
    assert {name: files for name, files in traces(library, video, frames).items() if files} == {}
    assert rows_of(library) == kept
    assert library.verify() == []
    assert library.search("lime", settings=SHARP)[0].path.name in {"a.mp4", "b.mp4", "c.mp4"}
    assert open_library(library.path).verify() == []
    assert sorted(p.name for p in library.path.iterdir() if p.is_dir()) == [
        "index",
        "start",
        "tables",
        "thumbnails",
    ]
    assert len(list((library.path / "thumbnails").iterdir())) == len(kept)
    assert not proxy.exists()


def test_a_purged_video_is_gone_for_whoever_had_the_library_open(tmp_path):
    films = tmp_path / "films"
    gone = make_film(films / "a.mp4", [("red", 4)])
    make_film(films / "b.mp4", [("blue", 4)])
    library = open_library(tmp_path / "lib")
    library.index([films])  # one commit, as many as the new tables will have
    reader = open_library(library.path)
    assert len(reader.corpus().videos) == 2
    library.remove([gone], purge=True)
    for other in (reader, open_library(library.path)):
        assert [video.path.name for video in other.corpus().videos.values()] == ["b.mp4"]
        assert [video.path.name for video in other.videos()] == ["b.mp4"]


@pytest.mark.parametrize("searched", [False, True])
@pytest.mark.parametrize("runs", [["red.mp4", "lime.mp4", "blue.mp4"], ["."]])
def test_who_writes_with_a_library_open_since_before_a_purge_writes_into_the_new_tables(tmp_path, runs, searched):
    """As `vclip watch` and a server do. Three runs leave other versions behind them than the new tables have."""
    films = tmp_path / "films"
    for colour in ("red", "lime", "blue"):
        make_film(films / f"{colour}.mp4", [(colour, 4)])
    library = open_library(tmp_path / "lib")
    for name in runs:
        library.index([films / name])
    open_library(library.path).remove([films / "red.mp4"], purge=True)
    if searched:
        library.search("lime", settings=SHARP)
    library.index([make_film(films / "magenta.mp4", [("magenta", 4)])])
    for one in (library, open_library(library.path)):
        assert [video.path.name for video in one.videos()] == ["blue.mp4", "lime.mp4", "magenta.mp4"]
        assert one.search("magenta", settings=SHARP)[0].path.name == "magenta.mp4"
        assert one.verify() == []


def test_a_purge_cut_short_after_the_tables_leaves_no_old_index(tmp_path, monkeypatch):
    films = tmp_path / "films"
    gone = make_film(films / "a.mp4", [("red", 4)])
    make_film(films / "b.mp4", [("blue", 4)])
    library = open_library(tmp_path / "lib")
    library.index([films])  # one commit, as many as the new tables will have

    def power_cut(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("vclipper.library.segments.drop", power_cut)
        with pytest.raises(KeyboardInterrupt):
            library.remove([gone], purge=True)
    found = open_library(library.path).search("blue", settings=SHARP)
    assert {moment.path.name for moment in found} == {"b.mp4"}
    assert open_library(library.path).verify() == []


def test_without_purge_bytes_stay_in_files_that_nothing_reads(library):
    video, frames = of(library, "secret-party.mp4")
    library.remove([video.path])
    assert any(traces(library, video, frames).values())
    assert [m for m in library.search("magenta", settings=SHARP) if m.video_id == video.video_id] == []
    library.remove([library.videos()[0].path], purge=True)  # a later purge takes them too
    assert not any(traces(library, video, frames).values())


def test_a_purge_killed_after_the_removal_is_finished_by_one_without_paths(library, monkeypatch):
    video, frames = of(library, "secret-party.mp4")

    def power_cut(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("vclipper.library.write_tables", power_cut)
        with pytest.raises(KeyboardInterrupt):
            library.remove([video.path], purge=True)
    again = open_library(library.path)
    assert any(traces(again, video, frames).values())
    assert again.remove([], purge=True) == []
    assert not any(traces(again, video, frames).values())
    with pytest.raises(InputError, match="nothing to remove"):
        again.remove([])


def test_a_purge_cut_short_keeps_the_library(library, monkeypatch):
    video, _ = of(library, "secret-party.mp4")
    rename = Path.rename

    def power_cut(path, target):
        if path.parent.name == "tables.new":  # the old tables have been set aside, the new ones are not in place
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", power_cut)
        with pytest.raises(KeyboardInterrupt):
            library.remove([video.path], purge=True)
    again = open_library(library.path)
    assert again.repair().lost == []
    assert again.verify() == []
    assert sorted(v.path.name for v in again.videos()) == ["a.mp4", "b.mp4", "c.mp4"]


def test_the_command(library, vclip, monkeypatch):  # noqa: F811
    monkeypatch.setenv("VCLIP_LIBRARY", str(library.path))
    code, out, _ = vclip("remove", "--purge", library.path.parent / "films" / "secret-party.mp4")
    assert (code, out) == (0, "1 video removed (5 frames).\n")
    code, out, _ = vclip("remove", "--purge")
    assert (code, out) == (0, "Written anew, without what was removed before.\n")
    code, _, err = vclip("remove")
    assert (code, err) == (1, "vclip: nothing to remove. Name files or folders: vclip remove PATHS\n")


# ---- nothing leaves the machine

SESSION = """
import sys
from vclipper import cli
if __name__ == "__main__":
    films, picture = sys.argv[1:]
    for words in (["index", films, "--model", "demo"], ["search", "a red circle"], ["search", "--image", picture],
                  ["list"], ["info"], ["verify"], ["repair"], ["models", "ViT-B-32"]):
        code = cli.run(words)
        assert code == 0, (words, code)
"""


@pytest.mark.slow
def test_a_whole_session_asks_the_network_for_nothing(tmp_path):
    """Every system call that could: LanceDB's Rust core does not go through Python's sockets."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    make_film(tmp_path / "films" / "a.mp4", [("red", 4), ("lime", 4)])
    script, log = tmp_path / "session.py", tmp_path / "calls"
    script.write_text(SESSION)
    words = [sys.executable, str(script), str(tmp_path / "films"), str(picture(tmp_path / "q.png", "red"))]
    trace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log)]
    root = str(Path(__file__).parent.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": root,
        "VCLIP_LIBRARY": str(tmp_path / "lib"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run([*trace, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    asked = [line for line in log.read_text().splitlines() if "AF_INET" in line]
    assert asked == []
