"""``vclip search``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from indexer.errors import InputError
from vclipper.commands.export import export_found, export_options, say_written, wish_of
from vclipper.commands.options import (
    PATH,
    SectionedCommand,
    csv_option,
    demand_one_form,
    device_option,
    filter_of,
    filter_options,
    json_option,
    library_option,
    open_library,
    settings_of,
    settings_options,
)
from vclipper.commands.plot import Question, plot_found, plot_output

if TYPE_CHECKING:
    from searcher.rank import Moment


class _Search(SectionedCommand):
    sections: ClassVar = {
        "What to look for": ("image", "like", "templates"),
        "In which videos": ("within", "min_length", "max_length", "after", "before"),
        "How much to show": ("top", "per_video", "videos", "min_score", "show_all", "fold"),
        "How to show it": ("as_json", "as_csv", "thumbnails", "plot"),
        "Where to put it": ("target", "formats", "exact", "pad_seconds", "title", "overwrite"),
        "How the ends are found": (
            "method",
            "ranker",
            "ranker_file",
            "postprocess",
            "smooth_window",
            "threshold",
            "min_confidence",
            "cut_threshold",
            "top_share",
            "best_frames",
            "refine",
            "settings_file",
        ),
    }


@click.command(cls=_Search)
@click.argument("query", nargs=-1)
@click.option("--image", type=PATH, metavar="FILE", help="Search by a picture instead of words.")
@click.option("--like", metavar="VIDEO@TIME", help="More like this moment, less itself, e.g. film.mp4@1:23.")
@click.option(
    "--template", "templates", multiple=True, metavar="TEXT", help='E.g. "a photo of {}"; several average.'
)
@click.option("--all", "show_all", is_flag=True, help="Show every moment, whatever its score.")
@click.option("--refine", is_flag=True, help="Decode more frames around the ends of what is found; slower.")
@settings_options
@click.option(
    "--settings", "settings_file", type=PATH, metavar="FILE", help="Settings that `vclip bench tune` found."
)
@filter_options
@click.option("--model", help="Refuse unless the library was made with this model.")
@device_option
@library_option
@json_option
@csv_option
@click.option("--thumbnails", is_flag=True, help="Show a still of each moment, in terminals that can.")
@click.option(
    "--plot",
    type=PATH,
    metavar="FILE.png",
    help="Draw the curves, cuts and moments of the first videos; missing folders are made.",
)
@click.option(
    "--export",
    "target",
    type=PATH,
    metavar="DIR",
    help="Also write the moments as clips, timelines …: --format. Missing folders are made.",
)
@export_options
def search(
    query: tuple[str, ...],
    image: str | None,
    like: str | None,
    templates: tuple[str, ...],
    show_all: bool,
    refine: bool,
    settings_file: str | None,
    within: tuple[str, ...],
    min_length: str | None,
    max_length: str | None,
    after: str | None,
    before: str | None,
    model: str | None,
    device: str,
    library: str | None,
    as_json: bool,
    as_csv: bool,
    thumbnails: bool,
    plot: str | None,
    target: str | None,
    formats: str | None,
    exact: bool,
    pad_seconds: float,
    title: str | None,
    overwrite: bool,
    **given: Any,
) -> int:
    """Find the moments that show QUERY, best first.

    QUERY is words, or things added and avoided: '"dog running" + ./ball.jpg - 0.5:"snow"', or one after
    the other: '"a dog" then "a cat" within 30 s'.
    """
    demand_one_form(as_json, as_csv)
    if show_all and given["min_score"] is not None:
        raise InputError("--all and --min-score exclude each other", "Choose one")
    if within:
        _demand_quoted_globs(query)
    text = " ".join(query) if query else None
    question = Question(text, image, like, templates or ("{}",))
    wish = wish_of(target, formats, exact, pad_seconds, title, overwrite, question.words) if target else None
    videos = filter_of(within, min_length, max_length, after, before)
    settings = settings_of(settings_file, {**given, **({"min_score": -1000.0} if show_all else {})})
    drawing = plot_output(plot, overwrite) if plot else None
    from vclipper import output

    opened = open_library(library, device)
    moments = opened.search(text, image, settings, videos, model, like, question.templates, refine)
    if as_json:
        output.print_data(output.moments_json(moments, question.words))
    elif as_csv:
        output.print_data(output.moments_csv(moments, question.words))
    elif moments:
        output.print_moments(moments)
    else:
        click.echo("Nothing found. Try other words, fewer filters, a lower --min-score, or --all.")
    _note_changed(moments)
    if thumbnails and moments:
        from vclipper.export import ExportMoment
        from vclipper.footage import LibraryFootage
        from vclipper.terminal import print_stills

        print_stills([ExportMoment.of(moment) for moment in moments], LibraryFootage(opened))
    if drawing and moments:
        say_written(plot_found(opened, moments, question, settings, drawing), as_json or as_csv)
    if target and wish and moments:
        return export_found(moments, opened, question.words, target, wish, to_stderr=as_json or as_csv)
    return 0


def _demand_quoted_globs(words: tuple[str, ...]) -> None:
    """Refuse what the shell makes of ``--in films/*.mp4``: all names but the first become words of the query.

    Raises:
        InputError: one of the words is a file or folder, and no picture.
    """
    from searcher.query import PICTURE_SUFFIXES

    for word in words:
        path = Path(word)
        is_named_so = bool("/" in word or path.suffix) and not word.lower().endswith(PICTURE_SUFFIXES)
        if is_named_so and os.path.lexists(path):
            pattern = path.parent / f"*{path.suffix}"
            hint = f'The shell puts names in the place of a pattern; quote it: --in "{pattern}"'
            raise InputError(f"{word} is a file or folder, but stands among the words of the query", hint)


def _note_changed(moments: Sequence[Moment]) -> None:
    """Say which files are there but are seen not to be those that were indexed."""
    from indexer.discover import one_line
    from vclipper.files import has_changed

    for path in dict.fromkeys(moment.path for moment in moments if moment.is_offline):
        if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where it may not look
            click.echo(f"note: {one_line(has_changed(path))}", err=True)
