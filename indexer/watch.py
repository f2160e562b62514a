"""Which videos below some folders are new or changed and have stopped growing.

The system tells of changes (watchdog); a scan from time to time finds what it did not tell: links, network
drives, a queue that ran over. Drives come and go: when what is mounted changes, everything is watched anew.
"""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.discover import find_videos, is_video_name, printable
from indexer.errors import InputError, SettingError
from indexer.ignore import FILE_NAME, Ignores
from indexer.plan import is_deleted, is_gone

#: Size, time of the last change in nanoseconds, inode.
Signature = tuple[int, int, int]
#: Device and inode of each root; what is mounted where.
_Places = tuple[list[tuple[int, int] | None], set[tuple[str, Path]]]


@dataclass(frozen=True)
class WatchSettings:
    """How folders are watched.

    Attributes:
        settle_seconds: a file that did not change for so long has stopped growing.
        poll_seconds: look at all folders so often instead of being told (network drives); 0: be told.
        rescan_seconds: while being told, look at all folders so often anyway.

    Raises:
        InputError: a time out of its bounds.
    """

    settle_seconds: float = 5.0
    poll_seconds: float = 0.0
    rescan_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name in ("settle_seconds", "poll_seconds", "rescan_seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingError(f"{name} is {getattr(self, name)}", "It must be 0 or more")


class Watcher:
    """Files below ``roots``, each given out once when it has settled, and again when it changes.

    Use as a context manager. All methods are called in one thread.

    Args:
        roots: absolute folders or files; those that are away are waited for.
        exclude: patterns of what to leave out.
        settings: times.
        is_known: whether a file need not be given out, as it was before the watch began.
        expected: files that should be there; those that are not below the roots are not looked at.
        on_note: told what cannot be watched and why.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        exclude: Sequence[str] = (),
        settings: WatchSettings | None = None,
        is_known: Callable[[Path, os.stat_result], bool] = lambda path, status: False,
        expected: Iterable[Path] = (),
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._roots, self._exclude = roots, exclude
        self._settings = settings or WatchSettings()
        self._is_known, self._on_note = is_known, on_note
        self._given: dict[Path, Signature] = {}
        self._growing: dict[Path, tuple[Signature, float]] = {}
        self._leaving = dict.fromkeys(expected, time.monotonic())
        self._away: set[Path] = set()
        self._unreadable: set[Path] = set()
        self._told: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._observer: Any = None
        self._places: _Places | None = None
        self._next_scan = 0.0

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *args: object) -> None:
        self._end_observer()

    def settled(self) -> list[Path]:
        """New and changed files that have stopped growing, sorted; each is given out once."""
        self._look()
        now = time.monotonic()
        ready = []
        for path, (signature, since) in list(self._growing.items()):
            current = _signature(path)
            if current is None:
                del self._growing[path]
            elif current != signature:
                self._growing[path] = current, now
            elif now - since >= self._settings.settle_seconds:
                del self._growing[path]
                self._given[path] = current
                ready.append(path)
        return sorted(ready)

    def gone(self) -> list[Path]:
        """Files that were there, or should be, and have not been for so long as others settle; each is told once.

        Nothing while files grow, which may be those under new names, and nothing of what may be on a drive that is
        away.
        """
        now = time.monotonic()
        if not self._leaving or self._growing or _places(self._roots) != self._places:
            return []
        roots = [root for root in self._roots if os.path.exists(root)]  # noqa: PTH110 - a dead mount is away
        due = [path for path, since in self._leaving.items() if now - since >= self._settings.settle_seconds]
        for path in due:
            del self._leaving[path]
        told = [path for path in due if _is_below(path, roots) and is_deleted(path)]
        for path in told:
            self._given.pop(path, None)
        return sorted(told)

    def put_back(self, paths: Sequence[Path]) -> None:
        """Give these files out again, or tell again that they are gone: nothing came of it."""
        for path in paths:
            signature = self._given.pop(path, None)
            if signature is None:
                self._leaving[path] = 0.0
            else:
                self._growing[path] = signature, 0.0

    def _look(self) -> None:
        places = _places(self._roots)
        if places != self._places:  # the first look; a drive came or went
            if self._places is not None:
                self._expect_nothing_below([folder for _, folder in self._places[1] ^ places[1]])
            self._places = places
            self._watch_anew()
            self._next_scan = 0.0
        if time.monotonic() >= self._next_scan:
            self._scan(self._roots)
            self._miss(path for path in self._given if is_gone(path))
            every = self._settings.poll_seconds or self._settings.rescan_seconds
            self._next_scan = time.monotonic() + every
        told = self._take_told()
        if gone := {path for path in told if is_gone(path)}:  # files, or folders of files
            self._miss(path for path in self._given if path in gone or not gone.isdisjoint(path.parents))
        for path in told:
            self._consider(path)

    def _expect_nothing_below(self, folders: Sequence[Path]) -> None:
        """What was on a drive that went is not gone but away, until it is seen again."""
        self._away.update(path for path in self._given if _is_below(path, folders))
        self._leaving = {path: since for path, since in self._leaving.items() if not _is_below(path, folders)}

    def _take_told(self) -> set[Path]:
        told = set()
        with contextlib.suppress(queue.Empty):
            while True:
                told.add(self._told.get_nowait())
        return told

    def _consider(self, path: Path) -> None:
        """A path that the system named: a file, a folder that came, a list of what to leave out."""
        if path.name == FILE_NAME:
            self._scan([path.parent])
        elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where it may not look
            self._scan([path])
        elif is_video_name(path.name) and not Ignores(self._exclude).leaves_out(path):
            self._offer(path)

    def _scan(self, roots: Sequence[Path]) -> None:
        try:
            found = find_videos(list(filter(os.path.exists, roots)), self._exclude, self._note_unreadable)
        except InputError as error:  # a folder that went while it was looked through; the next scan tries again
            self._on_note(str(error))
            return
        for path in found:
            self._offer(path)

    def _miss(self, paths: Iterable[Path]) -> None:
        now = time.monotonic()
        for path in paths:
            if path not in self._away:
                self._leaving.setdefault(path, now)

    def _note_unreadable(self, folder: Path, reason: str) -> None:
        """Once for each folder: every scan comes upon it again."""
        if folder not in self._unreadable:
            self._unreadable.add(folder)
            self._on_note(f"{printable(folder)}: {reason}")

    def _offer(self, path: Path) -> None:
        try:
            status = path.stat()
        except OSError:  # cameras and programs make files that are gone at once
            return
        self._away.discard(path)
        signature = _signature_of(status)
        if path in self._growing or self._given.get(path) == signature:
            return
        if path not in self._given and self._is_known(path, status):
            self._given[path] = signature
            return
        self._growing[path] = signature, time.monotonic()

    def _watch_anew(self) -> None:
        self._end_observer()
        if self._settings.poll_seconds:
            return
        from watchdog.observers import Observer

        self._observer = Observer()
        self._observer.start()
        for root in self._roots:
            self._listen_to(root)

    def _listen_to(self, root: Path) -> None:
        try:
            self._observer.schedule(_Listener(self._told.put), str(root), recursive=True)
        except FileNotFoundError:
            self._on_note(f"{printable(root)} is not there; waiting for it")
        except OSError as error:  # more folders than the system watches
            again = f"it is looked at every {self._settings.rescan_seconds:g} s"
            self._on_note(f"{printable(root)} cannot be watched ({error.strerror}); {again}")

    def _end_observer(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None


class _Listener:
    """A watchdog event handler: passes on the paths of what was made, changed, moved or deleted."""

    IGNORED = frozenset({"opened", "closed_no_write"})

    def __init__(self, tell: Callable[[Path], None]) -> None:
        self._tell = tell

    def dispatch(self, event: Any) -> None:
        """Called by watchdog, in its thread."""
        is_touched_folder = event.is_directory and event.event_type == "modified"
        if event.event_type not in self.IGNORED and not is_touched_folder:
            for path in filter(None, (event.src_path, event.dest_path)):
                self._tell(Path(os.fsdecode(path)))


def _signature(path: Path) -> Signature | None:
    try:
        return _signature_of(path.stat())
    except OSError:
        return None


def _signature_of(status: os.stat_result) -> Signature:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return any(folder in path.parents for folder in folders)


def _places(roots: Sequence[Path]) -> _Places:
    """What the roots are now: their inodes, and what is mounted below them."""
    return [_identity(root) for root in roots], set(_mounts_below(roots))


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _mounts_below(roots: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    try:
        lines = Path("/proc/self/mounts").read_bytes().splitlines()
    except OSError:  # not Linux: roots that change, and scans, have to do
        return
    for line in lines:
        device, place = os.fsdecode(line).split(" ")[:2]
        folder = Path(place.replace("\\040", " "))  # how the table writes a space
        if any(folder == root or root in folder.parents for root in roots):
            yield device, folder
