"""``vclip watch``: index what comes, while it comes, until told to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.discover import printable
from indexer.errors import InputError, LibraryError
from indexer.lock import holder, is_held, writing
from indexer.watch import Watcher, WatchSettings

if TYPE_CHECKING:
    from indexer.build import IndexReport, Progress
    from indexer.catalogue import VideoRow
    from indexer.settings import IndexSettings
    from vclipper.library import Library

#: How often files, the pause mark and the stop signal are looked at.
TICK_SECONDS = 0.5
#: After a library that another process writes, a full disk …
RETRY_SECONDS = 5.0
_PAUSED = "watch.paused"
_PRUNE = "If gone for good: vclip index --prune FOLDER"


def set_paused(library: Path, paused: bool) -> None:
    """Pause or go on; holds for a watcher that runs now and for those that start later.

    Raises:
        LibraryError: the library cannot be written.
    """
    try:
        (library / _PAUSED).touch() if paused else (library / _PAUSED).unlink(missing_ok=True)
    except OSError as error:
        raise LibraryError(f"{library} cannot be written: {error.strerror}") from error


def is_paused(library: Path) -> bool:
    """Whether watchers of this library pause."""
    return (library / _PAUSED).exists()


def describe(library: Path) -> str:
    """Who watches, in one line."""
    who = f"watched by {holder(library, 'watcher')}" if is_held(library, "watcher") else "nobody watches"
    return f"{who}, paused" if is_paused(library) else who


class Watch:
    """Feeds what a :class:`Watcher` finds to a library.

    Args:
        library: exists already.
        roots: absolute folders or files.
        settings: of the index runs.
        watching: how the folders are watched.
        on_report: called after each run that did something.
        on_note: called with what a person should know.
        stop: set to end :meth:`run`; a run under way commits what is finished first.
    """

    def __init__(
        self,
        library: Library,
        roots: Sequence[Path],
        settings: IndexSettings,
        watching: WatchSettings,
        on_report: Callable[[IndexReport], None],
        on_note: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._library, self._roots, self._settings = library, roots, settings
        self._on_report, self._on_note, self._stop = on_report, on_note, stop
        rows = {path: video for video in library.videos() for path in video.paths}
        self._watcher = Watcher(
            roots, settings.exclude, watching, lambda p, s: _is_known(rows.get(p), s), rows, on_note
        )
        self._last_note = ""

    def run(self) -> None:
        """Watch until ``stop``.

        Raises:
            LibraryLockedError: another process watches for this library.
            ModelError: the library's model cannot be loaded.
        """
        with writing(self._library.path, "vclip watch", "watcher"), self._watcher:
            paused = ", paused" if is_paused(self._library.path) else ""
            self._on_note(f"watching {', '.join(map(printable, self._roots))}{paused}")
            while not self._stop.is_set():
                if is_paused(self._library.path):
                    self._stop.wait(TICK_SECONDS)
                    continue
                files = self._watcher.settled()
                wait_seconds = self._index(files) if files else TICK_SECONDS
                self._tell_gone()
                self._stop.wait(wait_seconds)

    def _index(self, files: Sequence[Path]) -> float:
        """Index some files; returns how long to wait before the next ones."""
        try:
            report = self._library.index(
                [file for file in files if os.path.lexists(file)],
                settings=self._settings,
                on_progress=self._stop_when_told,
            )
        except (InputError, LibraryError, OSError) as error:
            self._watcher.put_back(files)
            self._note(str(error))
            return RETRY_SECONDS
        self._last_note = ""
        if report.interrupted:
            self._watcher.put_back([file for file in files if file not in _done(report)])
            if not is_paused(self._library.path):
                self._stop.set()
        self._on_report(report)
        return 0.0

    def _tell_gone(self) -> None:
        """Say once which files of the library are gone, and are not there under another name."""
        if not (gone := self._watcher.gone()):
            return
        try:
            known = {path for video in self._library.videos() for path in video.paths}
        except (InputError, LibraryError, OSError) as error:
            self._watcher.put_back(gone)
            self._note(str(error))
            return
        if gone := [path for path in gone if path in known]:
            more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
            self._on_note(f"gone, or on a drive that is away: {printable(gone[0])}{more}. {_PRUNE}")

    def _stop_when_told(self, progress: Progress) -> None:
        if self._stop.is_set() or is_paused(self._library.path):
            raise KeyboardInterrupt  # what an index run understands: finish what is finished

    def _note(self, text: str) -> None:
        if text != self._last_note:
            self._last_note = text
            self._on_note(text)


def _is_known(video: VideoRow | None, status: os.stat_result) -> bool:
    """Whether a file is the one that was indexed: as long, and not written to since."""
    return video is not None and status.st_size == video.size_bytes and status.st_mtime < video.indexed_unix


def _done(report: IndexReport) -> set[Path]:
    lists = (report.added, report.updated, report.skipped, report.relinked, report.failed)
    return {note.path for some in lists for note in some}
