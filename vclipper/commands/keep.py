"""What keeps a library in order."""

from __future__ import annotations

import click

from indexer.settings import DEFAULT_MODEL, INDEX_TYPES
from vclipper.commands.options import csv_option, demand_one_form, json_option, library_option, open_library


@click.command()
@library_option
@json_option
def info(library: str | None, as_json: bool) -> None:
    """What the library holds, what made it, which engine answers."""
    from vclipper import output

    facts = open_library(library).info()
    if as_json:
        output.print_data(output.info_json(facts))
    else:
        output.print_info(facts)


@click.command(name="list")
@library_option
@json_option
@csv_option
def list_videos(library: str | None, as_json: bool, as_csv: bool) -> None:
    """The videos of the library."""
    from vclipper import output

    demand_one_form(as_json, as_csv)
    videos = open_library(library).videos()
    if as_json:
        output.print_data(output.videos_json(videos))
    elif as_csv:
        output.print_data(output.videos_csv(videos))
    elif videos:
        output.print_videos(videos)
    else:
        click.echo("The library is empty. Fill it: vclip index FOLDER")


@click.command()
@click.argument("paths", nargs=-1, metavar="PATHS...")
@click.option(
    "--purge",
    is_flag=True,
    help="Leave no trace in the library's files: they are written anew. Without PATHS: of earlier removals.",
)
@library_option
def remove(paths: tuple[str, ...], purge: bool, library: str | None) -> None:
    """Take videos, or folders of them, out of the library; the files stay."""
    gone = open_library(library).remove(list(paths), purge)
    if not paths:
        click.echo("Written anew, without what was removed before.")
        return
    frames = sum(video.frames for video in gone)
    click.echo(f"{len(gone)} {'video' if len(gone) == 1 else 'videos'} removed ({frames} frames).")


@click.command()
@click.argument("old")
@click.argument("new")
@library_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def relink(old: str, new: str, library: str | None, dry_run: bool, as_json: bool) -> int:
    """Say that the folder OLD is now at NEW: a moved folder, a drive mounted elsewhere.

    Each file is compared by content. While NEW is away, names alone decide.
    """
    from vclipper import output

    done = open_library(library).relink(old, new, dry_run)
    if as_json:
        output.print_data(output.relinking_json(done))
    else:
        output.print_relinking(done, dry_run)
    return int(bool(done.kept))


@click.command()
@library_option
@click.option("--contents", is_flag=True, help="Also read the video files again and compare their content.")
def verify(library: str | None, contents: bool) -> int:
    """Check that tables, index and files agree; say how to mend what does not.

    The exit code is 1 where something is damaged. A file that is away is no damage.
    """
    from vclipper.output import print_problems

    problems = open_library(library).verify(contents)
    print_problems(problems)
    return int(any(problem.is_damage for problem in problems))


@click.command()
@library_option
@click.option("--model", help="What made the library, in case nothing on disk tells.")
def repair(library: str | None, model: str | None) -> int:
    """Mend what `verify` finds, each part of the library from the others; name what is lost."""
    from vclipper.output import print_problems

    opened = open_library(library)
    done = opened.repair(model)
    for line in done.mended:
        click.echo(line)
    for line in done.lost:
        click.echo(f"lost: {line}", err=True)
    problems = [problem for problem in opened.verify() if problem.is_damage]
    print_problems(problems)
    return int(bool(problems or done.lost))


@click.command()
@click.option("--index-type", metavar="TYPE", help=f"{', '.join(INDEX_TYPES)}: from now on.  [default: as it is]")
@library_option
def reindex(index_type: str | None, library: str | None) -> None:
    """Make the search index anew from the table, or another type of index."""
    from vclipper.progress import frames_bar

    opened = open_library(library)
    with frames_bar("indexing") as on_frames:
        engine = opened.reindex(index_type, on_frames)
    click.echo(engine)


@click.command()
@click.argument("pattern", default="")
def models(pattern: str) -> None:
    """List the models for `index --model` (those whose name contains PATTERN)."""
    from indexer.model_names import list_models
    from vclipper.models import DEMO_MODEL

    notes = {DEFAULT_MODEL: "  (default)", DEMO_MODEL: "  (shipped; drawn shapes only, for trying VClipper)"}
    found = [name for name in (DEMO_MODEL, *list_models()) if pattern.lower() in name.lower()]
    for name in found:
        click.echo(name + notes.get(name, ""))
    if not found:
        click.echo(f"No model's name contains {pattern!r}. All: vclip models")
    click.echo("Also: local-dir:PATH (a folder with open_clip_config.json and weights), hf-hub:ORG/REPO", err=True)
    click.echo("What runs them on the CPU: index --backend (docs/benchmarks.md has the figures)", err=True)
