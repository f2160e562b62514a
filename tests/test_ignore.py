"""What `.vclipignore` and --exclude leave out, in the syntax of .gitignore."""

from __future__ import annotations

import pytest

from indexer.discover import find_videos
from indexer.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.mp4",
        "draft-b.mp4",
        "private/c.mp4",
        "private/deep/d.mp4",
        "holiday/e.mp4",
        "holiday/private/f.mp4",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path


def found(*paths, exclude=()) -> list[str]:
    return [path.name for path in find_videos(paths, exclude)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("private/", ["a.mp4", "draft-b.mp4", "e.mp4"]),
        ("draft-*", ["a.mp4", "e.mp4", "f.mp4", "c.mp4", "d.mp4"]),
        ("holiday/*.mp4", ["a.mp4", "draft-b.mp4", "f.mp4", "c.mp4", "d.mp4"]),
        ("/private/", ["a.mp4", "draft-b.mp4", "e.mp4", "f.mp4"]),
        ("**/deep/**", ["a.mp4", "draft-b.mp4", "e.mp4", "f.mp4", "c.mp4"]),
        ("*\n!a.mp4", ["a.mp4"]),
        ("# private/", ["a.mp4", "draft-b.mp4", "e.mp4", "f.mp4", "c.mp4", "d.mp4"]),
    ],
)
def test_patterns_of_a_file(folder, pattern, expected):
    (folder / ".vclipignore").write_text(pattern + "\n")
    assert sorted(found(folder)) == sorted(expected)


def test_a_deeper_file_overrules(folder):
    (folder / ".vclipignore").write_text("*.mp4\n")
    (folder / "holiday" / ".vclipignore").write_text("!e.mp4\n")
    assert found(folder) == ["e.mp4"]


def test_what_a_parent_leaves_out_is_left_out_however_it_is_named(folder):
    (folder / ".vclipignore").write_text("private/\n")
    assert found(folder / "private", folder / "private" / "c.mp4", folder / "*" / "deep") == []
    assert found(folder / "private" / "*.mp4", folder / "a.mp4") == ["a.mp4"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("private/", ["a.mp4", "draft-b.mp4", "e.mp4"]),
        ("holiday/private", ["a.mp4", "draft-b.mp4", "e.mp4", "c.mp4", "d.mp4"]),
        ("private/*.mp4", ["a.mp4", "draft-b.mp4", "e.mp4", "d.mp4"]),
        ("a.mp4", ["draft-b.mp4", "e.mp4", "f.mp4", "c.mp4", "d.mp4"]),
    ],
)
def test_exclude(folder, pattern, expected):
    assert sorted(found(folder, exclude=[pattern])) == sorted(expected)
    assert sorted(found(folder, exclude=pattern)) == sorted(expected)  # one may stand alone
    assert found(folder / "a.mp4", exclude=[pattern]) == (["a.mp4"] if "a.mp4" in expected else [])


def test_exclude_with_an_absolute_path_and_with_several_patterns(folder):
    assert found(folder, exclude=[f"{folder}/private/"]) == ["a.mp4", "draft-b.mp4", "e.mp4", "f.mp4"]
    assert found(folder, exclude=["*", "!holiday/", "!e.mp4"]) == []  # its folder's parents are left out
    assert found(folder, exclude=["*.mp4", "!e.mp4"]) == ["e.mp4"]


def test_what_cannot_be_read_lets_nothing_in(folder):
    (folder / ".vclipignore").write_bytes(b"caf\xe9/\n")
    with pytest.raises(InputError, match=r"\.vclipignore cannot be read"):
        find_videos([folder])
    with pytest.raises(InputError, match=r"--exclude: .* Patterns are those of \.gitignore"):
        find_videos([folder / "a.mp4"], ["\\"])
