"""From moments to what editing programs, players and people open: clips, timelines, lists, pages.

>>> from vclipper.export import ExportMoment, export               # doctest: +SKIP
>>> moment = ExportMoment(Path("film.mp4"), 12.0, 20.0, "a dog")   # doctest: +SKIP
>>> export([moment], "clips", "cuts").files                        # doctest: +SKIP
(PosixPath('cuts/film_00-00-12.000_00-00-20.000.mp4'),)

:data:`FORMATS` is the table of what can be written; the command line, the web API and the docs read it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from indexer.discover import refuse_empty
from indexer.errors import InputError, VideoError
from vclipper.export.destination import Exported, Output
from vclipper.export.footage import Footage
from vclipper.export.formats import FORMATS, Format
from vclipper.export.moment import ExportMoment, ExportOptions

__all__ = ["FORMATS", "ExportMoment", "ExportOptions", "Exported", "Format", "export", "format_called"]


def export(
    moments: Sequence[ExportMoment],
    format: str,  # noqa: A002 - the word that users know
    target: str | os.PathLike[str],
    options: ExportOptions | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Write moments in one format; every file appears whole or not at all.

    Args:
        moments: what to export, in the order wanted.
        format: a key of :data:`FORMATS`, or the ending of a format's file.
        target: a folder (made where it is missing); or, for a format of one file, that file, known by the
            format's suffix.
        options: how.
        on_progress: called with (moments done, moments in all) by formats that read the videos.

    Returns:
        the files written, remarks, and which moments could not be exported and why.

    Raises:
        InputError: an empty target, no moments, an unknown format, a target that cannot be written, a file that
            is there already (unless ``options.overwrite``), a target that is one of the sources.
        VideoError: none of the moments could be exported.
    """
    refuse_empty(target)
    chosen = format_called(format)
    if not moments:
        raise InputError("there are no moments to export", "Search first: vclip search QUERY --json")
    options = options or ExportOptions()
    moments = [replace(moment, path=moment.path.absolute()) for moment in moments]
    sources = [moment.path for moment in moments]
    output = Output.at(Path(target), chosen.suffix, options, sources, on_progress)
    if options.pad_seconds and "pad_seconds" not in chosen.options:
        output.note(f"{chosen.name} has the moments as they are, without padding")
    if unchanged := [moment for moment in moments if _is_unchanged(moment, output, options.footage)]:
        chosen.write(unchanged, output, options)
    return output.finished()


def _is_unchanged(moment: ExportMoment, output: Output, footage: Footage) -> bool:
    """Whether its file is what was searched, for all that is known; else it becomes a failure of ``output``."""
    try:
        footage.demand_unchanged(moment.path)
    except VideoError as error:
        output.failure(moment, error)
        return False
    return True


def format_called(name: str) -> Format:
    """The format of this name, or whose files have this ending: ``m3u8``, ``xml``.

    Raises:
        InputError: there is none.
    """
    found = FORMATS.get(name) or next((one for one in FORMATS.values() if one.suffix == f".{name}"), None)
    if found is None:
        raise InputError(f"{name!r} is no export format", f"There are: {', '.join(FORMATS)}")
    return found
