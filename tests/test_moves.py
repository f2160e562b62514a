"""Files and drives that move or are away: nothing is indexed again, nothing is lost."""

from __future__ import annotations

import json
import shutil

import pytest

import vclipper.library
from indexer.errors import InputError
from indexer.settings import IndexSettings
from searcher.settings import SearchSettings
from tests.fakes import load_fake, make_film, open_library, rows_of
from tests.rights import needs_modes, run_with_modes
from vclipper import cli
from vclipper.output import print_report

SHARP = SearchSettings(method="vc1", postprocess="norm", threshold=0.8, fold=False)


@pytest.fixture
def drive(tmp_path):
    folder = tmp_path / "drive"
    make_film(folder / "a.mp4", [("red", 4), ("blue", 4)])
    make_film(folder / "deep" / "b.mp4", [("lime", 4), ("white", 4)])
    return folder


@pytest.fixture
def library(drive, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([drive])
    return library


def paths(library) -> list:
    return sorted(path for video in library.videos() for path in video.paths)


def test_a_whole_root_is_relinked_by_content(library, drive, tmp_path):
    vectors = [row[1:] for row in rows_of(library)]
    new = drive.rename(tmp_path / "elsewhere")
    done = library.relink(drive, new)
    assert [(old, to) for old, to in done.relinked] == [
        (drive / "a.mp4", new / "a.mp4"),
        (drive / "deep" / "b.mp4", new / "deep" / "b.mp4"),
    ]
    assert (done.kept, done.was_checked) == ([], True)
    assert paths(library) == [new / "a.mp4", new / "deep" / "b.mp4"]
    assert [row[1:] for row in rows_of(library)] == vectors
    assert library.verify(contents=True) == []
    assert library.search("lime", settings=SHARP)[0].path == new / "deep" / "b.mp4"


def test_a_dry_run_changes_nothing(library, drive, tmp_path):
    new = drive.rename(tmp_path / "elsewhere")
    assert len(library.relink(drive, new, dry_run=True).relinked) == 2
    assert paths(library) == [drive / "a.mp4", drive / "deep" / "b.mp4"]


def test_other_content_and_missing_files_stay_as_they_are(library, drive, tmp_path):
    new = drive.rename(tmp_path / "elsewhere")
    (new / "a.mp4").write_bytes(b"another film")
    (new / "deep" / "b.mp4").unlink()
    done = library.relink(drive, new)
    assert done.relinked == []
    assert [(old.name, reason.split("/")[-1]) for old, reason in done.kept] == [
        ("a.mp4", "a.mp4 has other content"),
        ("b.mp4", "b.mp4: No such file or directory"),
    ]
    assert paths(library) == [drive / "a.mp4", drive / "deep" / "b.mp4"]


def test_while_the_new_place_is_away_names_decide(library, drive, tmp_path):
    make_film(tmp_path / "elsewhere" / "a.mp4", [("cyan", 4)])
    library.index([tmp_path / "elsewhere"])
    shutil.rmtree(tmp_path / "elsewhere")
    drive.rename(tmp_path / "unplugged")
    done = library.relink(drive, tmp_path / "elsewhere")
    assert not done.was_checked
    assert [to.name for _, to in done.relinked] == ["b.mp4"]
    assert [reason.split("/")[-1] for _, reason in done.kept] == ["a.mp4 is known as another video"]
    assert len(library.videos()) == 3


def test_files_that_are_still_there_are_not_taken_offline_by_a_mistyped_root(library, drive, tmp_path):
    (drive / "a.mp4").unlink()
    done = library.relink(drive, tmp_path / "elsewhree")
    assert [to.name for _, to in done.relinked] == ["a.mp4"]
    why = f"{tmp_path}/elsewhree/deep/b.mp4 is not there, and this file still is"
    assert done.kept == [(drive / "deep" / "b.mp4", why)]


def test_a_copy_that_is_known_already_is_one_path(library, drive, tmp_path):
    shutil.copytree(drive, tmp_path / "copy")
    library.index([tmp_path / "copy"])
    assert len(paths(library)) == 4
    library.relink(drive, tmp_path / "copy")
    assert paths(library) == [tmp_path / "copy" / "a.mp4", tmp_path / "copy" / "deep" / "b.mp4"]


def test_a_root_that_is_not_known_is_said(library, drive, tmp_path):
    with pytest.raises(InputError, match="nowhere is not in the library"):
        library.relink(tmp_path / "nowhere", drive)
    with pytest.raises(InputError, match="drive is the same folder"):
        library.relink(drive, drive)


def test_an_absent_drive_keeps_its_results_marked_offline(library, drive, tmp_path):
    here = library.search("lime", settings=SHARP)
    assert [m.is_offline for m in here] == [False] * len(here)
    away = drive.rename(tmp_path / "unplugged")
    gone = library.search("lime", settings=SHARP)
    assert [m.is_offline for m in gone] == [True] * len(here)
    assert [(m.path, m.start_seconds) for m in gone] == [(m.path, m.start_seconds) for m in here]
    away.rename(drive)
    assert library.search("lime", settings=SHARP) == here


def test_a_result_is_shown_under_a_path_that_is_there(library, drive, tmp_path):
    shutil.copy(drive / "a.mp4", tmp_path / "z.mp4")
    library.index([tmp_path / "z.mp4"])
    drive.rename(tmp_path / "unplugged")
    found = library.search("red", settings=SHARP)[0]
    assert (found.path, found.is_offline) == (tmp_path / "z.mp4", False)


def test_the_commands_say_offline_and_relink(library, drive, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(vclipper.library.Library.__init__, "__defaults__", ("cpu", load_fake))
    monkeypatch.setenv("VCLIP_LIBRARY", str(library.path))

    def vclip(*words) -> str:
        capfd.readouterr()
        code = cli.run([str(word) for word in words])
        return f"{code}: {capfd.readouterr().out}"

    new = drive.rename(tmp_path / "elsewhere")
    assert "a.mp4  (offline)" in vclip("list")
    assert "(offline)" in vclip("search", "red")
    assert all(m["offline"] for m in json.loads(vclip("search", "red", "--json")[3:]))
    assert [v["offline"] for v in json.loads(vclip("list", "--json")[3:])] == [True, True]
    assert vclip("relink", "--dry-run", drive, new).endswith("2 would be relinked, 0 kept\n")
    assert len(json.loads(vclip("relink", drive, new, "--json")[3:])["relinked"]) == 2
    assert "(offline)" not in vclip("list")


def test_what_cannot_be_looked_at_is_not_pruned(library, drive):
    before = paths(library)
    shutil.rmtree(drive / "deep")
    (drive / "deep").symlink_to("deep")  # looking below answers with an error, not that there is nothing
    assert library.index([drive], settings=IndexSettings(prune=True)).pruned == []
    (drive / "deep").unlink()
    pruned = library.index([drive], settings=IndexSettings(prune=True)).pruned
    assert [note.path for note in pruned] == [drive / "deep" / "b.mp4"] == before[1:]


def test_what_may_be_on_a_drive_below_the_root_is_not_pruned(library, drive, capsys):
    before = paths(library)
    make_film(drive / "c.mp4", [("cyan", 4)])
    library.index([drive])
    (drive / "c.mp4").unlink()
    shutil.rmtree(drive / "deep")
    (drive / "deep").mkdir()  # as a mount point is while its drive is away
    report = library.index([drive], settings=IndexSettings(prune=True))
    assert [note.path for note in report.pruned] == [drive / "c.mp4"]
    assert [note.path for note in report.missing] == [drive / "deep" / "b.mp4"]
    assert paths(library) == before
    print_report(report)
    told = capsys.readouterr().out
    assert "b.mp4: may be on a drive that is away: its folder is empty" in told
    assert "--prune" not in told
    (drive / "deep").rmdir()
    assert library.index([drive], settings=IndexSettings(prune=True)).missing == []
    assert paths(library) == before[:1]


PRUNE = """
import json, sys
from pathlib import Path
from indexer.settings import IndexSettings
from tests.fakes import open_library
report = open_library(Path(sys.argv[1])).index([sys.argv[2]], settings=IndexSettings(prune=True))
print(json.dumps(report.to_dict()))
"""


@needs_modes
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111], ids=["none", "names only", "enter only"])
def test_a_folder_that_cannot_be_looked_through_fails_and_keeps_its_videos(library, drive, mode):
    before = paths(library)
    (drive / "deep").chmod(mode)
    try:
        report = json.loads(run_with_modes(PRUNE, library.path, drive))
    finally:
        (drive / "deep").chmod(0o755)
    assert report["failed"] == [
        {"path": str(drive / "deep"), "note": "this folder cannot be looked through: Permission denied"}
    ]
    assert (report["missing"], report["pruned"], len(report["skipped"])) == ([], [], 1)
    assert paths(library) == before


# ---- swapped files


@pytest.fixture
def swapped(drive, library, monkeypatch, tmp_path):
    """``a.mp4`` (red, blue) and ``deep/b.mp4`` (lime, white), swapped; ``c.mp4`` (cyan) stays."""
    make_film(drive / "c.mp4", [("cyan", 4)])
    library.index([drive])
    (drive / "a.mp4").rename(drive / "kept")
    (drive / "deep" / "b.mp4").rename(drive / "a.mp4")
    (drive / "kept").rename(drive / "deep" / "b.mp4")
    monkeypatch.setattr(vclipper.library.Library.__init__, "__defaults__", ("cpu", load_fake))
    monkeypatch.setenv("VCLIP_LIBRARY", str(tmp_path / "lib"))
    return drive


VC1 = ("--method", "vc1", "--postprocess", "norm", "--lambda", "0.8", "--min-score", "-1000")


@pytest.mark.parametrize("made", ["clips", "m3u", "edl", "csv", "html"])
def test_moments_whose_file_holds_something_else_are_not_exported(swapped, tmp_path, capfd, made):
    words = ["search", "red", *VC1, "--in", str(swapped / "a.mp4")]
    changed = f"{swapped / 'a.mp4'} has changed since it was indexed → vclip index {swapped / 'a.mp4'}"
    assert cli.run([*words, "--export", str(tmp_path / "cuts"), "--format", made]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == f"vclip: {changed}"
    assert not (tmp_path / "cuts").exists()


def test_moments_of_other_files_are_exported(swapped, tmp_path, capfd):
    words = [
        "search",
        "red + cyan",
        "--method",
        "vc1",
        "--lambda",
        "0",
        "--all",
        "--export",
        str(tmp_path / "cuts"),
    ]
    assert cli.run(words) == 1
    err = capfd.readouterr().err
    assert {file.name.split("_")[0] for file in (tmp_path / "cuts").iterdir()} == {"c"}
    assert f"s: {swapped / 'a.mp4'} has changed since it was indexed → vclip index" in err


def test_a_search_notes_a_file_that_is_seen_to_have_changed(swapped, library, capfd):
    with (swapped / "c.mp4").open("ab") as file:
        file.write(b"more")
    assert cli.run(["search", "cyan", *VC1, "--in", str(swapped / "c.mp4")]) == 0
    out, err = capfd.readouterr()
    assert "offline" in out
    assert err == (
        f"note: {swapped / 'c.mp4'} has changed since it was indexed → vclip index {swapped / 'c.mp4'}\n"
    )
    assert library.search("cyan", settings=SHARP, refine=True)[0].is_offline


def test_ends_are_not_refined_in_a_file_that_holds_something_else(swapped, library):
    plain = library.search("red", settings=SHARP, within=str(swapped / "a.mp4"))
    assert library.search("red", settings=SHARP, within=str(swapped / "a.mp4"), refine=True) == plain


def test_one_of_two_swapped_files_is_enough_to_find_both(swapped, library):
    a, b, c = swapped / "a.mp4", swapped / "deep" / "b.mp4", swapped / "c.mp4"
    report = library.index([a])
    assert [(file.path, file.note) for file in report.relinked] == [(a, f"moved from {b}"), (b, f"moved from {a}")]
    assert (report.added, report.updated, report.skipped) == ([], [], [])
    assert paths(library) == [a, c, b]
    assert [library.search(colour, settings=SHARP)[0].path for colour in ("red", "lime")] == [b, a]
    assert library.verify(contents=True) == []


def test_files_that_went_round_in_a_circle_are_found_from_one_of_them(swapped, library):
    a, b, c = swapped / "a.mp4", swapped / "deep" / "b.mp4", swapped / "c.mp4"
    a.rename(swapped / "kept")  # lime
    c.rename(a)
    (swapped / "kept").rename(c)
    library.index([a], settings=IndexSettings(force=True))
    found = [library.search(colour, settings=SHARP)[0].path for colour in ("red", "lime", "cyan")]
    assert found == [b, c, a]
    assert library.verify(contents=True) == []


def test_a_file_is_no_copy_of_one_that_was_overwritten(drive, library):
    c = drive / "c.mp4"
    (drive / "a.mp4").rename(c)
    make_film(drive / "a.mp4", [("cyan", 2)])
    report = library.index([c])
    assert [(file.path, file.note) for file in report.relinked] == [(c, f"moved from {drive / 'a.mp4'}")]
    assert paths(library) == [c, drive / "deep" / "b.mp4"]
    assert [file.path for file in library.index([drive]).added] == [drive / "a.mp4"]
