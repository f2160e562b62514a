"""``vclip watch``."""

from __future__ import annotations

import signal
import threading
import time

import click

from indexer.discover import one_line
from indexer.errors import InputError
from indexer.settings import IndexSettings
from vclipper.commands.options import (
    backend_option,
    device_option,
    library_option,
    new_library_options,
    open_library,
    shortcut_options,
)


@click.command()
@click.argument("paths", nargs=-1, metavar="PATHS...")
@new_library_options
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out what matches; also: .vclipignore files.")
@click.option(
    "--settle", default=5.0, show_default=True, help="Seconds without change after which a file is whole."
)
@click.option(
    "--poll", default=0.0, metavar="SECONDS", help="Look this often instead of being told: network drives."
)
@click.option("--pause", is_flag=True, help="Let watchers of this library pause, until --resume.")
@click.option("--resume", is_flag=True, help="Let them go on.")
@click.option("--status", is_flag=True, help="Say who watches.")
@shortcut_options
@device_option
@backend_option
@library_option
def watch(
    paths: tuple[str, ...],
    fps: float | None,
    model: str | None,
    exclude: tuple[str, ...],
    settle: float,
    poll: float,
    pause: bool,
    resume: bool,
    status: bool,
    tolerance: float,
    no_loop_filter: bool,
    device: str,
    backend: str,
    library: str | None,
) -> None:
    """Watch folders and index what comes, until Ctrl-C. It waits for files that grow and drives that are away."""
    from indexer.watch import WatchSettings

    opened = open_library(library, device, backend)
    if sum((bool(paths), pause, resume, status)) != 1:
        raise InputError("give folders to watch, or one of --pause, --resume, --status", "vclip watch FOLDER")
    if not paths:
        click.echo(opened.watch_state(paused=True if pause else False if resume else None))
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *args: stop.set())
    opened.watch(
        list(paths),
        IndexSettings(exclude=exclude, tolerance_seconds=tolerance, loop_filter=not no_loop_filter),
        WatchSettings(settle_seconds=settle, poll_seconds=poll),
        on_report=_print_report,
        on_note=lambda text: click.echo(f"{_now()}  {one_line(text)}", err=True),
        stop=stop,
        model=model,
        fps=fps,
    )


def _print_report(report: object) -> None:
    from vclipper.output import print_report

    click.echo(f"{_now()}  ", nl=False)
    print_report(report)  # type: ignore[arg-type]


def _now() -> str:
    return time.strftime("%H:%M:%S")
