"""Progress bars: of an index run (files, frames/s, × real time, time left), and counting ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vclipper.output import console, length

if TYPE_CHECKING:
    from indexer.build import Progress

Callbacks = tuple["Callable[[Progress], None]", Callable[[Path], None]]


@contextlib.contextmanager
def progress_bar(shown: bool) -> Iterator[Callbacks]:
    """Callbacks ``(on_progress, on_scan)`` for :meth:`vclipper.library.Library.index`.

    The bar goes to stderr and only to a terminal; ``shown`` False makes both do nothing.
    """
    out = console(stderr=True)
    if not shown or not out.is_terminal:
        yield (lambda progress: None), (lambda path: None)
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(BarColumn(bar_width=20), TextColumn("{task.description}"), console=out, transient=True)
    with bar:
        task = bar.add_task("looking at files", total=None)
        scanned = 0

        def on_scan(path: Path) -> None:
            nonlocal scanned
            scanned += 1
            bar.update(task, description=f"looking at files: {scanned}")

        def on_progress(progress: Progress) -> None:
            bar.update(
                task,
                total=progress.bytes_total,
                completed=progress.bytes_done,
                description=describe(progress),
            )

        yield on_progress, on_scan


@contextlib.contextmanager
def frames_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """A callback ``(frames done, frames to do)``; the bar goes to stderr and only to a terminal."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import Progress as Bar

    with Bar(console=out, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, total=total, completed=done)


def describe(progress: Progress) -> str:
    """``3/37 files · 42 frames/s · 84× real time · 2 min left``."""
    seconds = max(progress.elapsed_seconds, 1e-6)
    parts = [
        f"{progress.files_done}/{progress.files} files",
        f"{progress.frames / seconds:.0f} frames/s",
        f"{progress.video_seconds / seconds:.0f}× real time",
    ]
    if progress.bytes_done and seconds > 2:
        left = seconds * (progress.bytes_total - progress.bytes_done) / progress.bytes_done
        parts.append(f"{length(left)} left")
    return " · ".join(parts)


@contextlib.contextmanager
def counting_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A callback ``(done, total)`` that shows a bar on stderr, on a terminal only."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(what), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=out, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
