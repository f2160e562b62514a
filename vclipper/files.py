"""The library's files, opened only while they hold what was indexed.

A path is where a video was. Its file may since have been replaced, or the path made a link to something else; then
it is not a file of the library any more. So a file is opened first and its content's fingerprint compared through
the open descriptor: links and renames between check and use change nothing.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

from indexer.catalogue import VideoRow
from indexer.discover import fingerprint_of, open_regular, printable
from indexer.errors import InputError, VideoError

_REMEMBERED = 10_000
_Identity = tuple[int, int, int, int, int]


class AwayError(VideoError):
    """A video's file is not there, or holds something else now."""


class Files:
    """Opens videos by row; remembers which files were verified, by inode, size and times."""

    def __init__(self) -> None:
        self._verified: OrderedDict[_Identity, str] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, video: VideoRow) -> FileIO:
        """The first of the video's files that holds the indexed content; the caller closes it.

        Raises:
            AwayError: there is none; the message says why.
        """
        why = "is not there"
        for path in video.paths:
            try:
                file = open_regular(path)
            except (OSError, InputError):
                continue
            if self._fingerprint(file) == video.fingerprint:
                return file
            file.close()
            why = "has changed since it was indexed"
        raise AwayError(f"the file of this video {why}", "Mount its drive, or run: vclip index FOLDER")

    def demand_unchanged(self, video: VideoRow, path: Path) -> None:
        """Refuse a path of the video that holds something else; what cannot be opened is for others to say.

        Raises:
            AwayError: it does.
        """
        try:
            file = open_regular(path)
        except (OSError, InputError):
            return
        with file:
            if self._fingerprint(file) != video.fingerprint:
                raise AwayError(has_changed(path))

    def _fingerprint(self, file: FileIO) -> str:
        identity = _identity(file)
        with self._lock:
            if identity in self._verified:
                self._verified.move_to_end(identity)
                return self._verified[identity]
        found = fingerprint_of(file)
        if _identity(file) == identity:  # nobody wrote meanwhile
            with self._lock:
                self._verified[identity] = found
                while len(self._verified) > _REMEMBERED:
                    self._verified.popitem(last=False)
        return found


def _identity(file: FileIO) -> _Identity:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def has_changed(path: Path) -> str:
    """What to say of a file that is not the one that was indexed."""
    return f"{printable(path)} has changed since it was indexed → vclip index {printable(path)}"


def likely_path(video: VideoRow, paths: Iterable[Path] | None = None) -> Path | None:
    """A cheap look: the first of its paths (or these) with a file of the right size; None while it is offline."""
    return next((path for path in paths or video.paths if _has_size(path, video.size_bytes)), None)


def is_online(video: VideoRow) -> bool:
    """Whether it has a :func:`likely_path`."""
    return likely_path(video) is not None


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size_bytes
    except OSError:
        return False
