"""Tables in terminals of any width."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from indexer.catalogue import VideoRow
from searcher.rank import Moment
from vclipper.output import print_moments, print_videos

LONG = "holiday in spain/a rather long name of a film from one evening.mp4"


@pytest.fixture
def lines(monkeypatch, capsys):
    """What a table prints at a width, without the lines of its frame."""

    def printed(width: int, table, rows) -> list[str]:
        for name, value in {"COLUMNS": str(width), "FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}.items():
            monkeypatch.setenv(name, value)  # as at a terminal
        table(rows)
        lines = click.unstyle(capsys.readouterr().out).splitlines()[1:]
        assert max(map(len, lines)) <= width
        return [line.strip() for line in lines if line.strip(" ─")]

    return printed


def moment(name: str, start: float) -> Moment:
    return Moment(
        video_id=1,
        path=Path("/films", name),
        start_seconds=start,
        end_seconds=start + 6,
        score=3.2,
        confidence=1.0,
        video_score=2.0,
        video_seconds=4000.0,
        similar=0,
    )


def test_figures_go_before_files_do(lines):
    moments = [moment(LONG, 3), moment("b.mp4", 3700)]
    assert lines(80, print_moments, moments)[0].split() == ["start", "end", "length", "score", "file"]
    assert lines(60, print_moments, moments) == [
        "start         end   score   file",
        "1     00:03.0     00:09.0    3.20   holiday in…vening.mp4",
        "2   1:01:40.0   1:01:46.0    3.20   b.mp4",
    ]
    # 40 characters less 2 at the ends, 1 + 3 of the rank, 9 + 3 of the start: 22 for the file
    assert lines(40, print_moments, moments) == [
        "start   file",
        "1     00:03.0   holiday in…vening.mp4",
        "2   1:01:40.0   b.mp4",
    ]


def test_short_names_leave_room_for_figures(lines):
    # 2 at the ends, 1 + 7 + 7 + 6 + 5 of figures with 3 behind each, 5 of the file: 48
    assert lines(48, print_moments, [moment("a.mp4", 3)])[0].split() == ["start", "end", "length", "score", "file"]


def test_the_list_keeps_its_files_too(lines):
    rows = [VideoRow(1, "1", (Path("/films", LONG), Path("/films/b.mp4")), 20, 40.0, width=1920, height=1080)]
    assert lines(80, print_videos, rows)[0].split() == ["length", "frames", "picture", "indexed", "file"]
    assert lines(40, print_videos, rows) == [
        "length   file",
        "00:40.0   holiday in sp…e evening.mp4",
        "(offline)",
        "b.mp4  (same content as",
        "above)  (offline)",
    ]


def test_a_program_reads_whole_names_and_figures(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    print_moments([moment(LONG, 3), moment("b.mp4", 3700)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines if ".mp4" in line] == ["evening.mp4", "b.mp4"]
    assert f"   {LONG}" in lines[4]
    assert lines[2].split() == ["start", "end", "length", "score", "file"]
