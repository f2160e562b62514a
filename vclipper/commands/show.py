"""``vclip show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vclipper.commands.options import PATH, device_option, library_option, open_library

if TYPE_CHECKING:
    from searcher.settings import SearchSettings
    from vclipper.library import Library
    from vclipper.terminal import Picture

_NARROWEST = 40


@click.command()
@click.argument("video")
@click.option("--query", metavar="TEXT", help="How well each frame answers these words.")
@click.option("--image", type=PATH, metavar="FILE", help="How well each frame answers a picture.")
@click.option("--like", metavar="VIDEO@TIME", help="How much each frame is like this moment.")
@click.option("--top", type=click.IntRange(1, 100), default=5, show_default=True, help="How many moments.")
@device_option
@library_option
def show(
    video: str,
    query: str | None,
    image: str | None,
    like: str | None,
    top: int,
    device: str,
    library: str | None,
) -> None:
    """A video of the library as a curve: its scene changes, or how well it answers a query and where.

    VIDEO is a path, the end of one, or a part of the file's name.
    """
    import shutil

    from searcher.settings import SearchSettings
    from vclipper.terminal import curve_lines

    opened = open_library(library, device)
    if query is None and image is None and like is None:
        title, picture = _scenes(opened, video)
    else:
        asked: dict[str, Any] = {"text": query, "image": image, "like": like}
        title, picture = _answer(opened, video, asked, SearchSettings(top=top, min_score=-1000.0))
    click.echo(title)
    for line in curve_lines(picture, max(_NARROWEST, shutil.get_terminal_size().columns)):
        click.echo(line)


def _scenes(library: Library, video: str) -> tuple[str, Picture]:
    """CFS_c, which lies between two frames each."""
    from vclipper.output import short_path
    from vclipper.terminal import Picture

    found = library.scenes(video)
    period = found.period_seconds
    values = found.next_similarity if len(found.next_similarity) else [1.0]
    picture = Picture(
        values=[float(value) for value in values],
        period_seconds=period,
        duration_seconds=found.video.duration_seconds,
        first_seconds=period,
        cuts_seconds=[float(cut) * period for cut in found.cuts],
    )
    return f"{short_path(found.video.path)}: likeness of each frame to the one before it", picture


def _answer(library: Library, video: str, asked: dict[str, Any], settings: SearchSettings) -> tuple[str, Picture]:
    """The postprocessed S_c, and the moments that a search in this video alone finds."""
    from vclipper.output import short_path, timecode
    from vclipper.terminal import Picture

    found = library.timeline(video, **asked, settings=settings)
    moments = library.search(**asked, settings=settings, within=str(found.video.path))
    period = found.curve.period_seconds
    picture = Picture(
        values=[float(value) for value in found.curve.similarity],
        period_seconds=period,
        duration_seconds=found.curve.duration_seconds,
        first_seconds=period / 2,
        cuts_seconds=[float(cut) * period for cut in found.cuts],
        bars=[
            (
                moment.start_seconds,
                moment.end_seconds,
                f"{timecode(moment.start_seconds)} – {timecode(moment.end_seconds)}  score {moment.score:.2f}",
            )
            for moment in moments
        ],
    )
    words = asked["text"] or asked["image"] or asked["like"]
    return f"{short_path(found.video.path)}: {words} ({settings.postprocess})", picture
