"""The table of export formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vclipper.export import chapters, clips, contact_sheet, fcpxml, players, tables, timeline_files
from vclipper.export.destination import Output
from vclipper.export.moment import ExportMoment, ExportOptions

Writer = Callable[[list[ExportMoment], Output, ExportOptions], None]


@dataclass(frozen=True)
class Format:
    """One way to export.

    Attributes:
        name: what users call it.
        suffix: of its one file; empty where there is a file for each moment or video.
        help: one line.
        write: what writes it.
        options: the fields of ``ExportOptions`` that change what it writes.
    """

    name: str
    suffix: str
    help: str
    write: Writer
    options: tuple[str, ...] = ("pad_seconds",)


_ALL = (
    Format("clips", "", "a video file for each moment", clips.write_clips, ("pad_seconds", "exact")),
    Format(
        "otio", ".otio", "a timeline for OpenTimelineIO, DaVinci Resolve and others", timeline_files.write_otio
    ),
    Format("edl", ".edl", "a cut list for nearly every program (CMX 3600)", timeline_files.write_edl),
    Format("fcpxml", ".fcpxml", "a timeline for Final Cut Pro and DaVinci Resolve", fcpxml.write_fcpxml),
    Format("premiere", ".xml", "a timeline for Premiere Pro (Final Cut Pro 7 XML)", timeline_files.write_premiere),
    Format("html", ".html", "a contact sheet: a page with stills", contact_sheet.write_contact_sheet, ()),
    Format("m3u", ".m3u8", "a playlist for VLC", players.write_m3u),
    Format("mpv", ".mpv.edl", "all moments as one film for mpv", players.write_mpv),
    Format("ffmetadata", "", "chapters for FFmpeg, a file for each video", chapters.write_ffmetadata),
    Format("vtt", "", "chapters as WebVTT, a file for each video", chapters.write_vtt),
    Format("csv", ".csv", "a table", tables.write_csv, ()),
    Format("json", ".json", "a list for programs", tables.write_json, ()),
)
FORMATS: Mapping[str, Format] = {one.name: one for one in _ALL}
