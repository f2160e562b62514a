"""Playlists that play the moments one after the other: M3U for VLC, EDL for mpv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from indexer.discover import one_line, printable
from vclipper.export.destination import Output
from vclipper.export.moment import ExportMoment, ExportOptions
from vclipper.export.source import cuts_of


def write_m3u(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """Extended M3U in UTF-8 with VLC's options for start and stop; other players play whole files."""
    lines = ["#EXTM3U", f"#PLAYLIST:{_line(options.title)}"]
    cuts = cuts_of(moments, output, options)
    for cut in cuts:
        moment, (start, end) = cut.moment, cut.milliseconds_from(cut.source.lead_seconds)
        lines += [
            f"#EXTINF:{(end - start) / 1000:.0f},{_line(moment.title)}",
            f"#EXTVLCOPT:start-time={start / 1000:.3f}",
            f"#EXTVLCOPT:stop-time={end / 1000:.3f}",
            _place(moment.path),
        ]
    if cuts:
        output.text(".m3u8", "\n".join(lines) + "\n")


def _place(path: Path) -> str:
    """The path; as an address where a player would not read it back from a line of text as it is."""
    text = str(path)
    return text if one_line(path) == text == text.strip() else path.as_uri()


def write_mpv(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """mpv's EDL: one virtual film of all moments, each a chapter. Names are counted in bytes, never escaped.

    Its times are those of the file's own clock, which need not begin at zero: mpv takes them as they are.
    """
    lines = ["# mpv EDL v0"]
    cuts = cuts_of(moments, output, options)
    for cut in cuts:
        start, end = cut.milliseconds_from(cut.source.clock_seconds)
        lines.append(
            f"{_counted(printable(cut.source.path))},start={start / 1000:.3f},length={(end - start) / 1000:.3f},"
            f"title={_counted(_line(cut.moment.label))}"
        )
    if cuts:
        output.text(".mpv.edl", "\n".join(lines) + "\n")


def _counted(text: str) -> str:
    return f"%{len(text.encode())}%{text}"


def _line(text: str) -> str:
    return " ".join(text.split())
