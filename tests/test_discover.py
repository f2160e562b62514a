"""Which files are meant, and how content is named."""

from __future__ import annotations

import os
import shutil

import pytest

from indexer.discover import find_videos, fingerprint
from indexer.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.MKV", "notes.txt", ".hidden.mp4", "sub/c.mov", ".trash/d.mp4", "sub/deep/e.webm"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path


def found(*paths) -> list[str]:
    return [path.name for path in find_videos(paths)]


def test_folders_recursively_by_suffix(folder):
    assert found(folder) == ["a.mp4", "b.MKV", "c.mov", "e.webm"]


def test_a_named_file_whatever_its_suffix(folder):
    assert found(folder / "notes.txt") == ["notes.txt"]


def test_globs(folder):
    assert found(folder / "*.mp4") == ["a.mp4"]
    assert found(folder / "**" / "*.*") == ["a.mp4", "b.MKV", "c.mov", "e.webm"]
    assert found(folder / "su*") == ["c.mov", "e.webm"]


def test_each_file_once(folder):
    assert found(folder, folder / "a.mp4", folder / "sub") == ["a.mp4", "b.MKV", "c.mov", "e.webm"]


def test_symlink_loops_end(folder):
    (folder / "sub" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "sub" / "self").symlink_to("self")
    assert found(folder) == ["a.mp4", "b.MKV", "c.mov", "e.webm"]


def test_linked_folders_are_entered(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "z.mp4").write_text("z")
    (folder / "link").symlink_to(elsewhere, target_is_directory=True)
    assert "z.mp4" in found(folder)


def test_dangling_links_are_found_and_fail_later(folder):
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    assert "gone.mp4" in found(folder)


def test_paths_are_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert all(path.is_absolute() for path in find_videos(["."]))


@pytest.mark.parametrize("name", ["missing", "missing/*.mp4", "*.avi"])
def test_what_does_not_exist_is_said(folder, name):
    with pytest.raises(InputError, match="no such file or folder"):
        find_videos([folder, folder / name])


def test_folders_that_cannot_be_looked_through_are_told_unless_left_out(folder, monkeypatch):
    told = {}
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith(("sub", "deep")):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [path.name for path in find_videos([folder, folder / "sub"], (), told.__setitem__)] == [
        "a.mp4",
        "b.MKV",
    ]
    assert told == {folder / "sub": "this folder cannot be looked through: Permission denied"}
    told.clear()
    find_videos([folder], ("sub/",), told.__setitem__)
    assert told == {}


def test_what_is_deleted_meanwhile_is_left_out(folder, monkeypatch):
    told = {}
    access = os.access

    def too_late(path, mode):
        if path == str(folder / "sub"):
            shutil.rmtree(path, ignore_errors=True)
            (folder / "a.mp4").unlink(missing_ok=True)  # was found before
        return access(path, mode)

    monkeypatch.setattr(os, "access", too_late)
    assert [path.name for path in find_videos([folder], (), told.__setitem__)] == ["b.MKV"]
    assert told == {}


def test_a_path_that_cannot_be_looked_at_is_said(folder, monkeypatch):
    with pytest.raises(InputError, match="cannot be looked at: File name too long"):
        find_videos([folder / ("x" * 300)])


def test_fingerprint_names_content_not_path(tmp_path):
    a, b, c = (tmp_path / n for n in "abc")
    a.write_bytes(b"film")
    b.write_bytes(b"film")
    c.write_bytes(b"Film")
    assert fingerprint(a) == fingerprint(b) != fingerprint(c)
    assert len(fingerprint(a)) == 32


def test_fingerprint_of_a_large_file_reads_blocks_from_end_to_end(tmp_path):
    size = 40 << 20
    files = []
    for name, place in (("whole", None), ("first", 0), ("last", size - 1)):
        file = tmp_path / name
        with file.open("wb") as out:
            out.truncate(size)
            if place is not None:
                out.seek(place)
                out.write(b"x")
        files.append(fingerprint(file))
    assert len(set(files)) == 3
    longer = tmp_path / "longer"
    with longer.open("wb") as out:
        out.truncate(size + 1)
    assert fingerprint(longer) not in files


def test_a_fifo_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="not a regular file"):
        fingerprint(tmp_path / "pipe.mp4")
