"""``vclip index``."""

from __future__ import annotations

import json
import re

import click

from indexer.settings import INDEX_TYPES, IndexSettings
from vclipper.commands.options import (
    backend_option,
    device_option,
    json_option,
    library_option,
    new_library_options,
    open_library,
    shortcut_options,
)

INTERRUPTED = 130


@click.command()
@click.argument("paths", nargs=-1, metavar="PATHS...")
@new_library_options
@device_option
@backend_option
@click.option("--batch-size", type=int, default=0, help="Pictures at once.  [default: 8, on a GPU 256]")
@click.option("--workers", type=int, default=0, help="Decode processes.  [default: one per core]")
@library_option
@click.option("--force", is_flag=True, help="Index unchanged files again.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help='Leave out what matches, as in .gitignore; also: .vclipignore files. E.g. "private/".',
)
@click.option("--no-thumbnails", is_flag=True, help="Keep no small pictures for the page.")
@click.option("--no-nvdec", is_flag=True, help="Decode on the CPU only, also where torchcodec and a GPU could.")
@click.option("--prune", is_flag=True, help="Take out videos whose files are gone.")
@click.option(
    "--decode-timeout",
    type=float,
    default=60.0,
    show_default=True,
    help="Stop a decoder silent for this many seconds.",
)
@shortcut_options
@click.option("--index-type", metavar="TYPE", help=f"Search index from now on: {', '.join(INDEX_TYPES)}.")
@click.option(
    "--ray",
    is_flag=False,
    flag_value="auto",
    metavar="[ADDRESS]",
    help="Spread the work over a Ray cluster: HOST:PORT, ray://HOST:PORT, or local; alone: the one that this "
    "machine is part of.",
)
@json_option
def index(
    paths: tuple[str, ...],
    fps: float | None,
    model: str | None,
    device: str,
    backend: str,
    batch_size: int,
    workers: int,
    library: str | None,
    force: bool,
    exclude: tuple[str, ...],
    no_thumbnails: bool,
    no_nvdec: bool,
    prune: bool,
    decode_timeout: float,
    tolerance: float,
    no_loop_filter: bool,
    index_type: str | None,
    ray: str | None,
    as_json: bool,
) -> int:
    """Index videos: folders, files or globs. Run it again after changes; only what is new is done."""
    from vclipper.output import print_data, print_report
    from vclipper.progress import progress_bar

    files, ray = _files_and_address(paths, ray)
    settings = IndexSettings(
        batch_size=batch_size,
        workers=workers,
        force=force,
        prune=prune,
        thumbnails=not no_thumbnails,
        nvdec=not no_nvdec,
        exclude=exclude,
        decode_timeout_seconds=decode_timeout,
        tolerance_seconds=tolerance,
        loop_filter=not no_loop_filter,
        index_type=index_type,
    )
    opened = open_library(library, device, backend, is_device_here=ray is None)
    with progress_bar(shown=not as_json) as (on_progress, on_scan):
        report = opened.index(files, model, fps, settings, on_progress, on_scan, ray)
    if report.frames and ray is not None and settings.thumbnails:
        click.echo("Note: --ray makes no thumbnails; the page shows moments without small pictures.", err=True)
    if report.frames and ray is None and opened.encoder.demo_only:
        click.echo(
            "Note: the model `demo` knows drawn shapes only. It is for trying VClipper; for real footage "
            "start a library with the default model.",
            err=True,
        )
    if as_json:
        print_data(json.dumps(report.to_dict(), indent=1, ensure_ascii=False))
    else:
        print_report(report)
    return INTERRUPTED if report.interrupted else int(not report.ok)


def _files_and_address(paths: tuple[str, ...], ray: str | None) -> tuple[list[str], str | None]:
    """What to index, and where: in ``--ray ./videos`` the word behind the option is a path, not its value."""
    files = list(paths)
    if ray is not None and not re.fullmatch(r"auto|local|(ray://)?[^/\s]+:\d+", ray):
        files, ray = [ray, *files], "auto"
    if not files:
        context = click.get_current_context()
        raise click.MissingParameter(ctx=context, param=context.command.params[0])
    return files, ray
