"""Curves and stills in a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from indexer.errors import VideoError
from vclipper.output import console, short_path, timecode

if TYPE_CHECKING:
    from vclipper.export import ExportMoment
    from vclipper.export.footage import Footage

_ROWS = 7
_MARGIN = 7
"""Columns left of the curve, for its scale."""
_TICKS = 5
_EMPTY_BRAILLE = "\u2800"
_STILL_COLUMNS = 40


@dataclass(frozen=True)
class Picture:
    """What is drawn.

    Attributes:
        values: one for each ``period_seconds``, the first at ``first_seconds``.
        duration_seconds: of the video.
        cuts_seconds: scene changes. bars: (start, end, label), drawn below, the best first.
    """

    values: Sequence[float]
    period_seconds: float
    duration_seconds: float
    first_seconds: float = 0.0
    cuts_seconds: Sequence[float] = ()
    bars: Sequence[tuple[float, float, str]] = field(default_factory=tuple)


def curve_lines(picture: Picture, width: int) -> list[str]:
    """The curve in braille dots, cuts, a time axis and bars: lines of at most ``width`` columns."""
    columns = max(20, width - _MARGIN)
    lines = _curve(picture, columns)
    if len(picture.cuts_seconds):
        lines.append(_margin("cuts") + click.style(_cuts(picture, columns).rstrip(), fg="yellow"))
    lines.append(_margin("") + _axis(picture.duration_seconds, columns))
    for rank, bar in enumerate(picture.bars, 1):
        rows = _bar(*bar, picture.duration_seconds, columns)
        margins = [str(rank), *[""] * (len(rows) - 1)]
        lines += [
            _margin(margin) + click.style(row.rstrip(), fg="green")
            for margin, row in zip(margins, rows, strict=True)
        ]
    return [line.rstrip() for line in lines]


def _curve(picture: Picture, columns: int) -> list[str]:
    from plotille import Canvas

    low, high = min(picture.values), max(picture.values)
    room = max(high - low, 1e-3) * 0.02
    canvas = Canvas(columns, _ROWS, 0.0, low - room, max(picture.duration_seconds, 1e-3), high + room)
    times = [picture.first_seconds + place * picture.period_seconds for place in range(len(picture.values))]
    points = list(zip(times, map(float, picture.values), strict=True))
    for start, end in itertools.pairwise(points) if len(points) > 1 else zip(points, points, strict=True):
        canvas.line(*start, *end)
    drawn = canvas.plot().replace(_EMPTY_BRAILLE, " ").splitlines()
    scale = {0: f"{high:.2f}", _ROWS - 1: f"{low:.2f}"}
    return [_margin(scale.get(row, "")) + line for row, line in enumerate(drawn)]


def _margin(text: str) -> str:
    return f"{text:>{_MARGIN - 1}} "


def _column(seconds: float, duration_seconds: float, columns: int) -> int:
    return min(columns - 1, int(seconds / max(duration_seconds, 1e-3) * columns))


def _cuts(picture: Picture, columns: int) -> str:
    row = [" "] * columns
    for seconds in picture.cuts_seconds:
        row[_column(seconds, picture.duration_seconds, columns)] = "╵"
    return "".join(row)


def _axis(duration_seconds: float, columns: int) -> str:
    """Times at even distances, the last one ending at the right edge; as many as stand apart."""
    for ticks in range(_TICKS, 1, -1):
        row = ""
        for place in range(ticks):
            label = timecode(duration_seconds * place / (ticks - 1))
            start = min(place * columns // (ticks - 1), columns - len(label))
            if place and start <= len(row):
                break
            row = row.ljust(start) + label
        else:
            return row
    return timecode(duration_seconds).rjust(columns)


def _bar(start: float, end: float, label: str, duration_seconds: float, columns: int) -> list[str]:
    """A bar from start to end with its label behind it; before it, on it, or below it, where there is no room."""
    first, last = (_column(seconds, duration_seconds, columns) for seconds in (start, end))
    bar = "━" * max(1, last - first)
    behind = " " * first + bar + " " + label
    if len(behind) <= columns:
        return [behind]
    if len(label) < first:
        return [f"{label} ".rjust(first) + bar]
    row, place = " " * first + bar, max(0, min(first + 2, columns - len(label) - 2))
    on_it = f"{row[:place]} {label} {row[place + len(label) + 2 :]}"
    return [on_it] if "━" in on_it else [row, label[:columns].rjust(min(columns, max(len(row), len(label))))]


def print_stills(moments: Iterable[ExportMoment], footage: Footage) -> None:
    """A still of each moment's middle, where the terminal can show pictures; else one line that says so."""
    out = console()
    if not out.is_terminal or out.color_system is None:
        click.echo("Stills need a terminal with colours; `--export FILE.html` writes a page with them.", err=True)
        return
    from textual_image.renderable import Image  # asks the terminal what it can

    from indexer.stills import picture_at

    for rank, moment in enumerate(moments, 1):
        click.echo(
            f"{rank}  {timecode(moment.start_seconds)} – {timecode(moment.end_seconds)}  {short_path(moment.path)}"
        )
        try:
            footage.demand_unchanged(moment.path)
            picture = picture_at(moment.path, (moment.start_seconds + moment.end_seconds) / 2)
            out.print(Image(picture, width=_STILL_COLUMNS, height="auto"))
        except VideoError as error:
            click.echo(f"   no picture: {error.message}")
