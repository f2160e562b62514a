"""Moments as chapters of their video, a file for each video: FFmpeg's metadata format, WebVTT."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from indexer.discover import printable
from vclipper.export.destination import Output, safe_name
from vclipper.export.moment import ExportMoment, ExportOptions
from vclipper.export.source import Cut, cuts_of

Chapter = tuple[int, int, ExportMoment]
"""Start and end in milliseconds from the file's start."""


def write_ffmetadata(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """``ffmpeg -i film.mp4 -i film.ffmeta -map_metadata 1 -codec copy out.mp4`` puts the chapters into a film."""
    for path, chapters in _by_video(cuts_of(moments, output, options)):
        lines = [";FFMETADATA1", f"title={_escaped(printable(Path(path.stem)))}"]
        for start, end, moment in chapters:
            title = _escaped(moment.title)
            lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={start}", f"END={end}", f"title={title}"]
        output.text(".ffmeta", "\n".join(lines) + "\n", safe_name(path.stem))


def write_vtt(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """WebVTT, for ``<track kind="chapters">`` of web pages and for players."""
    for path, chapters in _by_video(cuts_of(moments, output, options)):
        cues = [
            f"{number}\n{_clock(start)} --> {_clock(end)}\n{html.escape(moment.title, quote=False)}"
            for number, (start, end, moment) in enumerate(chapters, 1)
        ]
        output.text(".vtt", "\n\n".join(["WEBVTT", *cues]) + "\n", safe_name(path.stem))


def _by_video(cuts: Sequence[Cut]) -> Iterator[tuple[Path, list[Chapter]]]:
    """The chapters of each video by time; one ends where the next begins, as players want it."""
    grouped: dict[Path, list[Cut]] = {}
    for cut in cuts:
        grouped.setdefault(cut.source.path, []).append(cut)
    for path, some in grouped.items():
        placed = ((*cut.milliseconds_from(cut.source.lead_seconds), cut.moment) for cut in some)
        timed = sorted(placed, key=lambda one: one[:2])
        nexts = [*(start for start, _, _ in timed[1:]), max(end for _, end, _ in timed)]
        yield (
            path,
            [
                (start, max(start + 1, min(end, after)), moment)
                for (start, end, moment), after in zip(timed, nexts, strict=True)
            ],
        )


def _escaped(text: str) -> str:
    return re.sub(r"([=;#\\\n])", r"\\\1", text)


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"
