"""``vclip export``, and the options with which ``vclip search`` exports what it finds."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from indexer.errors import InputError, VideoError

if TYPE_CHECKING:
    from searcher.rank import Moment
    from vclipper.export import Exported, ExportMoment, ExportOptions, Format
    from vclipper.library import Library

_FILES_LISTED = 20
#: As of files: ".otoi", not "2026.11.24" or "clips/".
_FILE_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,5}$")


class Wish(NamedTuple):
    """What the export options say: format names, and how."""

    formats: tuple[str, ...]
    options: ExportOptions


def export_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--format``, ``--exact``, ``--pad``, ``--title``, ``--overwrite``: see :func:`wish_of`."""
    options = (
        click.option(
            "--format",
            "formats",
            metavar="NAME,...",
            help="As what; `vclip export --help` lists them.  [default: by the name's ending, else clips]",
        ),
        click.option(
            "--exact", is_flag=True, help="Encode clips anew, from the very first frame to the very last."
        ),
        click.option(
            "--pad", "pad_seconds", type=float, default=0.0, metavar="SECONDS", help="Add so much at both ends."
        ),
        click.option("--title", help="Name of the timeline, page or file.  [default: the query]"),
        click.option("--overwrite", is_flag=True, help="Replace files that are there already."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def wish_of(
    target: str,
    formats: str | None,
    exact: bool,
    pad_seconds: float,
    title: str | None,
    overwrite: bool,
    query: str,
) -> Wish:
    """Check the export options, before anything is searched.

    Raises:
        InputError: standard output as the target; an unknown format, or another than the target's ending says; a
            padding out of bounds.
    """
    from vclipper.export import ExportOptions, format_called

    if target == "-":
        raise InputError("an export cannot go to standard output", "Name a file or a folder")
    names = (_format_of(target),) if formats is None else tuple(name.strip() for name in formats.split(","))
    chosen = [format_called(name) for name in names]
    _demand_no_other_ending(target, chosen)
    named = title if title is not None else query.strip() or "moments"
    return Wish(names, ExportOptions(exact, pad_seconds, overwrite, named))


def _format_of(target: str) -> str:
    """The format whose suffix a file's name ends with, the longest one; clips for a folder.

    Raises:
        InputError: a name that ends as no format's files do, where there is no such folder.
    """
    from vclipper.export import FORMATS

    if fitting := _ending_so(target):
        return fitting[0].name
    if _FILE_ENDING.search(target) and not os.path.isdir(target):  # noqa: PTH112 - raises nothing
        endings = ", ".join(dict.fromkeys(one.suffix for one in FORMATS.values() if one.suffix))
        hint = f"There are {endings}; for a folder of clips: --format clips"
        raise InputError(f"no format's files are called {Path(target).name}", hint)
    return FORMATS["clips"].name


def _ending_so(target: str) -> list[Format]:
    """The formats whose suffix a file's name ends with, the longest suffix first."""
    from vclipper.export import FORMATS

    fitting = [one for one in FORMATS.values() if one.suffix and target.lower().endswith(one.suffix)]
    return sorted(fitting, key=lambda one: -len(one.suffix))


def _demand_no_other_ending(target: str, chosen: Sequence[Format]) -> None:
    """Refuse a file whose ending says another format, or that several formats would be written to.

    Raises:
        InputError: it is such a file.
    """
    fitting, name = _ending_so(target), Path(target).name
    if not fitting or os.path.isdir(target):  # noqa: PTH112 - raises nothing
        return
    asked = ",".join(one.name for one in chosen)
    if not any(one in fitting for one in chosen):
        hint = "Change one of them; a folder is named without such an ending"
        raise InputError(
            f"{name} ends as files of {fitting[0].name} do, which is not among --format {asked}", hint
        )
    if len(chosen) > 1:
        raise InputError(f"{name} is one file, --format {asked} are several", "Name a folder")


def export_all(moments: Sequence[ExportMoment], target: str, wish: Wish, to_stderr: bool = False) -> int:
    """Write all formats, say what was written; 1 when a moment could not be exported, else 0.

    Raises:
        InputError, VideoError: as :func:`vclipper.export.export`; but one of several formats that can hold none of
            the moments is only said, and the others are written.
    """
    is_alone = len(wish.formats) == 1
    done = [_export_as(name, moments, target, wish, is_alone, to_stderr) for name in wish.formats]
    return int(not all(done))


def _export_as(
    name: str, moments: Sequence[ExportMoment], target: str, wish: Wish, is_alone: bool, to_stderr: bool
) -> bool:
    """Whether every moment was exported in this format."""
    from indexer.discover import one_line
    from vclipper.export import export as write
    from vclipper.progress import counting_bar

    try:
        with counting_bar(name) as on_progress:
            done = write(moments, name, target, wish.options, on_progress)
    except VideoError as error:
        if is_alone:
            raise
        click.echo(f"failed: {name}: {one_line(str(error))}", err=True)
        return False
    say_written(done, to_stderr)
    return done.ok


def export_found(
    found: Sequence[Moment], library: Library, query: str, target: str, wish: Wish, to_stderr: bool
) -> int:
    """Export what a search in a library found."""
    from vclipper.export import ExportMoment
    from vclipper.footage import LibraryFootage

    moments = [ExportMoment.of(moment, query) for moment in found]
    options = replace(wish.options, footage=LibraryFootage(library))
    return export_all(moments, target, wish._replace(options=options), to_stderr)


def say_written(done: Exported, to_stderr: bool) -> None:
    """The files that were written, and what there is to say about them, a line each."""
    from indexer.discover import one_line
    from vclipper.output import short_path

    lines = [f"wrote {short_path(file)}" for file in done.files[:_FILES_LISTED]]
    if len(done.files) > _FILES_LISTED:
        lines.append(f"… and {len(done.files) - _FILES_LISTED} more")
    lines += [f"note: {note}" for note in done.notes[:_FILES_LISTED]]
    if len(done.notes) > _FILES_LISTED:
        lines.append(f"… and {len(done.notes) - _FILES_LISTED} more notes")
    for line in lines:
        click.echo(one_line(line), err=to_stderr)
    for failure in done.failed:
        click.echo(f"failed: {one_line(failure)}", err=True)


class _Export(click.Command):
    """Lists the formats at the end of its help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from vclipper.export import FORMATS

        with formatter.section("Formats"):
            formatter.write_dl([(one.name, f"{one.help[0].upper()}{one.help[1:]}.") for one in FORMATS.values()])


@click.command(cls=_Export)
@click.argument("moments")
@click.argument("target")
@export_options
def export(
    moments: str,
    target: str,
    formats: str | None,
    exact: bool,
    pad_seconds: float,
    title: str | None,
    overwrite: bool,
) -> int:
    """Write saved moments as clips, timelines, lists or pages.

    MOMENTS is a file that `vclip search --json` or `--csv` wrote, or - for standard input. TARGET is a folder,
    or a file whose ending says the format: cuts.otio. Missing folders are made.
    """
    from vclipper.export.saved import read_moments

    found = read_moments(_text(moments), "standard input" if moments == "-" else moments)
    query = found[0].query if len({moment.query for moment in found}) == 1 else ""
    return export_all(found, target, wish_of(target, formats, exact, pad_seconds, title, overwrite, query))


def _text(name: str) -> str:
    from indexer.discover import refuse_address

    refuse_address(name)
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}", "Check the path of the saved moments") from None
    except UnicodeDecodeError:
        raise InputError(f"{name} is not text in UTF-8", "Give a file that `vclip search --json` wrote") from None
