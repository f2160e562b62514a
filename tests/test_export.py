"""Exports as files: what is written, what is refused, nothing half-written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from indexer.errors import InputError
from vclipper.export import FORMATS, ExportMoment, ExportOptions, export

LISTS = ("csv", "json", "m3u", "mpv")
MOMENTS = [
    ExportMoment(Path("/films/a b/é,f.mp4"), 1.5, 3, 'a "dog", running', 2.3, "first\nline"),
    ExportMoment(Path("/films/x.mkv"), 100, 4000.25),
]


def written(tmp_path, format_name: str, moments=MOMENTS, **options) -> str:
    done = export(moments, format_name, tmp_path / "out", ExportOptions(**options))
    assert len(done.files) == 1
    return done.files[0].read_text(encoding="utf-8")


def test_csv_and_json_say_the_same(tmp_path):
    as_json = json.loads(written(tmp_path, "json"))
    as_csv = list(csv.DictReader(written(tmp_path, "csv").splitlines(keepends=True)))
    assert [{key: str(value) for key, value in row.items()} for row in as_json] == as_csv
    assert as_json[0]["query"] == 'a "dog", running'
    assert (as_json[1]["start_seconds"], as_json[1]["end_seconds"]) == (100, 4000.25)


def test_m3u_starts_and_stops_each_file(tmp_path):
    lines = written(tmp_path, "m3u", pad_seconds=2).splitlines()
    assert lines[0] == "#EXTM3U"
    # 1.5 - 2 is before the start of the video: 0; 3 + 2 = 5
    assert lines[2:6] == [
        '#EXTINF:5,a "dog", running (score 2.30, first line)',
        "#EXTVLCOPT:start-time=0.000",
        "#EXTVLCOPT:stop-time=5.000",
        "/films/a b/é,f.mp4",
    ]


def test_mpv_counts_bytes(tmp_path):
    first, second = written(tmp_path, "mpv").splitlines()[1:]
    # 18 characters, é is two bytes
    assert first == '%19%/films/a b/é,f.mp4,start=1.500,length=1.500,title=%16%a "dog", running'
    assert second == "%12%/films/x.mkv,start=100.000,length=3900.250,title=%1%x"


@pytest.mark.parametrize("name", LISTS)
def test_a_file_or_a_folder_can_be_the_target(tmp_path, name):
    suffix = FORMATS[name].suffix
    assert export(MOMENTS, name, tmp_path / f"mine{suffix}").files == (tmp_path / f"mine{suffix}",)
    assert export(MOMENTS, name, tmp_path / "dir", ExportOptions(title="a/b: c")).files == (
        tmp_path / "dir" / f"a_b_ c{suffix}",
    )


def test_existing_files_stay_unless_told_otherwise(tmp_path):
    target = tmp_path / "list.csv"
    target.write_text("mine")
    with pytest.raises(InputError, match=r"is there already\. Replace it with --overwrite"):
        export(MOMENTS, "csv", target)
    assert target.read_text() == "mine"
    export(MOMENTS, "csv", target, ExportOptions(overwrite=True))
    assert target.read_text().startswith("path,")
    assert [file.name for file in tmp_path.iterdir()] == ["list.csv"]


def test_a_source_is_never_replaced(tmp_path):
    source = tmp_path / "film.csv"
    source.write_text("a video, for this test")
    with pytest.raises(InputError, match="is one of the videos"):
        export([ExportMoment(source, 0, 1)], "csv", tmp_path, ExportOptions(overwrite=True, title="film"))
    assert source.read_text() == "a video, for this test"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((MOMENTS, "avi", "out"), "'avi' is no export format. There are: "),
        (([], "csv", "out"), "there are no moments"),
        ((MOMENTS, "csv", "/proc/none"), "/proc/none cannot be written"),
        ((MOMENTS, "csv", "/dev/null/x"), "cannot be written"),
    ],
)
def test_what_cannot_be_exported_is_said(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        export(*arguments)
    assert says in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == []


@pytest.mark.parametrize("times", [(-1, 2), (2, 2), (3, 2), (0, float("nan")), (0, float("inf"))])
def test_times_that_are_no_stretch_are_refused(times):
    with pytest.raises(InputError, match="is no moment"):
        ExportMoment(Path("a.mp4"), *times)
