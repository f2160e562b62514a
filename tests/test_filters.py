"""Filters: what a video must keep to be searched, and what is said when none can."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from indexer.catalogue import VideoRow
from indexer.errors import InputError
from searcher.filters import VideoFilter, parse_date


def video(video_id: int, path: str, seconds: float = 10.0) -> VideoRow:
    return VideoRow(video_id, f"{video_id}", (Path(path),), int(seconds / 2), seconds)


VIDEOS = [
    video(1, "/films/holiday/sea.mp4", 5),
    video(2, "/films/holiday/2024/hill.mkv", 60),
    video(3, "/films/work/sea.mp4", 600),
]


@pytest.mark.parametrize(
    ("within", "ids"),
    [
        ("*.mp4", {1, 3}),
        ("sea.mp4", {1, 3}),
        ("holiday/*", {1, 2}),
        ("holiday", {1, 2}),
        ("holiday/", {1, 2}),
        ("/films/work", {3}),
        ("/films", {1, 2, 3}),
        ("h?liday/*.mp4", {1}),
        ("*", {1, 2, 3}),
    ],
)
def test_paths(within, ids):
    assert VideoFilter(within).choose(VIDEOS) == ids


@pytest.mark.parametrize("within", ["films/hol", "*.avi", "/film", "sea"])
def test_a_part_of_a_name_is_no_folder(within):
    with pytest.raises(InputError, match="no video matches --in"):
        VideoFilter(within).choose(VIDEOS)


def test_a_folder_as_the_shell_completes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = video(9, str(tmp_path / "a/b.mp4"))
    assert VideoFilter("./a").matches(inside)
    assert VideoFilter(".").matches(inside)
    assert not VideoFilter("./b").matches(inside)


@pytest.mark.parametrize(
    "within", ["../up", "../up/*.mp4", "../*/b.mp4", "../../[[]x]/up", "./../up/b.mp4", "../up/../up/"]
)
def test_a_path_that_leads_up(within, tmp_path, monkeypatch):
    (tmp_path / "[x]" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "[x]" / "here")
    assert VideoFilter(within).matches(video(9, str(tmp_path / "[x]" / "up" / "b.mp4")))
    assert not VideoFilter(within).matches(video(9, str(tmp_path / "[x]" / "upper" / "c.mp4")))


def test_every_path_of_a_video_counts():
    two = VideoRow(4, "4", (Path("/a/x.mp4"), Path("/b/y.mp4")), 1, 2.0)
    assert VideoFilter("/b").matches(two)


def test_one_of_several_places_is_enough():
    assert VideoFilter(("holiday/*.mp4", "work")).choose(VIDEOS) == {1, 3}
    with pytest.raises(InputError, match=r"^no video matches --in '\*.avi' --in 'sea'\. "):
        VideoFilter(("*.avi", "sea")).choose(VIDEOS)


@pytest.mark.parametrize(
    ("within", "ids"),
    [
        ("odd/[x] bracket.mp4", {1}),  # as a pattern it would mean 2
        ("/odd/[x] bracket.mp4", {1}),
        ("[x]", {4}),
        ("[x]*.mp4", {2}),
        ("odd/what?.mp4", {3}),
        ("x bracket.mp4", {2}),
        ("*.mp4", {1, 2, 3, 4}),
    ],
)
def test_what_is_called_so_goes_before_what_matches(within, ids):
    names = ("odd/[x] bracket.mp4", "odd/x bracket.mp4", "odd/what?.mp4", "[x]/whats.mp4")
    assert VideoFilter(within).choose([video(i, f"/{name}") for i, name in enumerate(names, 1)]) == ids


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("new\nline.mp4", r"new\nline.mp4"),
        (os.fsdecode(b"caf\xe9 latin1.mp4"), r"odd/caf\xe9 latin1.mp4"),
        ("esc\x1b[31mred.mp4", r"/odd/esc\x1b[31mred.mp4"),
        (r"back\slash.mp4", r"back\slash.mp4"),
    ],
)
def test_names_may_be_written_as_they_are_listed(name, within):
    assert VideoFilter(within).choose([video(1, f"/odd/{name}"), *VIDEOS[1:]]) == {1}


def test_the_paths_that_are_meant():
    two = VideoRow(4, "4", (Path("/a/x.mp4"), Path("/b/y.mp4")), 1, 2.0)
    assert VideoFilter("/b").paths_of(two) == (Path("/b/y.mp4"),)
    assert VideoFilter(("/b", "*.mp4")).paths_of(two) == VideoFilter().paths_of(two) == two.paths


def test_lengths_include_both_ends():
    assert VideoFilter(min_seconds=60).choose(VIDEOS) == {2, 3}
    assert VideoFilter(max_seconds=60).choose(VIDEOS) == {1, 2}
    assert VideoFilter(min_seconds=60, max_seconds=60).choose(VIDEOS) == {2}


def test_dates_include_the_start_and_not_the_end():
    one = replace(VIDEOS[0], recorded_unix=datetime(2024, 5, 1).timestamp())
    assert VideoFilter(after_unix=parse_date("2024-05-01")).matches(one)
    assert not VideoFilter(before_unix=parse_date("2024-05-01")).matches(one)
    assert VideoFilter(after_unix=parse_date("2024"), before_unix=parse_date("2025")).matches(one)
    assert not VideoFilter(after_unix=parse_date("2024-06")).matches(one)


def test_an_unknown_date_keeps_no_limit():
    assert not VideoFilter(before_unix=parse_date("2999")).matches(VIDEOS[0])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024", datetime(2024, 1, 1)),
        ("2024-05", datetime(2024, 5, 1)),
        (" 2024-05-17", datetime(2024, 5, 17)),
        ("2024-05-17 18:30", datetime(2024, 5, 17, 18, 30)),
        ("2024-05-17T18:30", datetime(2024, 5, 17, 18, 30)),
    ],
)
def test_dates_are_local_time(text, moment):
    assert parse_date(text) == moment.timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "17.5.2024", "2024-13", "2024-02-30", "99999"])
def test_what_is_no_date(text):
    with pytest.raises(InputError, match="is not a date"):
        parse_date(text)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"min_seconds": 60, "max_seconds": 10}, "--min-length 60 is more than --max-length 10"),
        ({"min_seconds": -1}, "--min-length is -1"),
        ({"max_seconds": float("nan")}, "--max-length is nan"),
        ({"within": " "}, "--in is empty"),
        (
            {"after_unix": parse_date("2024-05-01"), "before_unix": parse_date("2024-05-01")},
            "--after 2024-05-01 does not lie before --before 2024-05-01",
        ),
    ],
)
def test_limits_that_exclude_each_other(limits, says):
    with pytest.raises(InputError, match=says):
        VideoFilter(**limits)


def test_what_nothing_matches_is_said_as_it_was_typed():
    limits = VideoFilter("*.mp4", min_seconds=90, max_seconds=100, after_unix=parse_date("2024-05-01 18:30"))
    with pytest.raises(InputError) as error:
        limits.choose(VIDEOS)
    assert error.value.message == (
        "no video matches --in '*.mp4' --min-length 90 --max-length 100 --after 2024-05-01 18:30"
    )
