"""The table of export formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vclipper.export import clips, players, tables
from vclipper.export.moment import ExportMoment, ExportOptions
from vclipper.export.output import Output

Writer = Callable[[list[ExportMoment], Output, ExportOptions], None]


@dataclass(frozen=True)
class Format:
    """One way to export.

    Attributes:
        name: what users call it.
        suffix: of its one file; empty where there is a file for each moment or video.
        help: one line.
        write: what writes it.
    """

    name: str
    suffix: str
    help: str
    write: Writer


_ALL = (
    Format("clips", "", "a video file for each moment", clips.write_clips),
    Format("csv", ".csv", "a table", tables.write_csv),
    Format("json", ".json", "a list for programs", tables.write_json),
    Format("m3u", ".m3u8", "a playlist for VLC", players.write_m3u),
    Format("mpv", ".mpv.edl", "all moments as one film for mpv", players.write_mpv),
)
FORMATS: Mapping[str, Format] = {one.name: one for one in _ALL}
