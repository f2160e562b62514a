"""Playlists that play the moments one after the other: M3U for VLC, EDL for mpv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from indexer.discover import one_line, printable
from vclipper.export.destination import Output
from vclipper.export.moment import ExportMoment, ExportOptions


def write_m3u(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """Extended M3U in UTF-8 with VLC's options for start and stop; other players play whole files."""
    lines = ["#EXTM3U", f"#PLAYLIST:{_line(options.title)}"]
    for moment in moments:
        start, end = padded(moment, options)
        lines += [
            f"#EXTINF:{end - start:.0f},{_line(f'{moment.label} ({moment.comment})')}",
            f"#EXTVLCOPT:start-time={start:.3f}",
            f"#EXTVLCOPT:stop-time={end:.3f}",
            _place(moment.path),
        ]
    output.text(".m3u8", "\n".join(lines) + "\n")


def _place(path: Path) -> str:
    """The path; as an address where a player would not read it back from a line of text as it is."""
    text = str(path)
    return text if one_line(path) == text == text.strip() else path.as_uri()


def write_mpv(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """mpv's EDL: one virtual film of all moments, each a chapter. Names are counted in bytes, never escaped."""
    lines = ["# mpv EDL v0"]
    for moment in moments:
        start, end = padded(moment, options)
        lines.append(
            f"{_counted(printable(moment.path))},start={start:.3f},length={end - start:.3f},"
            f"title={_counted(_line(moment.label))}"
        )
    output.text(".mpv.edl", "\n".join(lines) + "\n")


def padded(moment: ExportMoment, options: ExportOptions) -> tuple[float, float]:
    """Start and end in seconds with handles, never before the video's start."""
    return max(0.0, moment.start_seconds - options.pad_seconds), moment.end_seconds + options.pad_seconds


def _counted(text: str) -> str:
    return f"%{len(text.encode())}%{text}"


def _line(text: str) -> str:
    return " ".join(text.split())
