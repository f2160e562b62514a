"""One writer, and one watcher, per library at a time; readers never wait."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from indexer.errors import LibraryError, LibraryLockedError

Role = Literal["writer", "watcher"]
_DOING = {"writer": "written", "watcher": "watched for"}


@contextlib.contextmanager
def writing(directory: Path, what: str, role: Role = "writer") -> Iterator[None]:
    """Hold the library's write lock; the kernel releases it when the process dies, however it dies.

    Args:
        directory: the library.
        what: the command, for the message that others see meanwhile.
        role: a watcher holds a lock of its own while it waits for files, and the writer's while it writes.

    Raises:
        LibraryLockedError: another process holds it; the message names that process.
        LibraryError: the directory cannot be written.
    """
    lock = FileLock(directory / f"{role}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LibraryLockedError(
            f"{directory} is being {_DOING[role]} by {holder(directory, role)}", "Wait until it has finished"
        ) from None
    except OSError as error:
        raise LibraryError(f"{directory} cannot be written: {error.strerror}") from error
    try:
        note = {"pid": os.getpid(), "host": socket.gethostname(), "command": what, "since_unix": time.time()}
        with contextlib.suppress(OSError):  # a full disk: what is to be done may still be possible
            _holder_file(directory, role).write_text(json.dumps(note), encoding="utf-8")
        yield
    finally:
        lock.release()


def is_held(directory: Path, role: Role = "writer") -> bool:
    """Whether a process is writing to the library now."""
    lock = FileLock(directory / f"{role}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a place where nothing can be written has no writer
        return False
    lock.release()
    return False


def holder(directory: Path, role: Role = "writer") -> str:
    """Who holds the lock, in words."""
    try:
        note = json.loads(_holder_file(directory, role).read_text(encoding="utf-8"))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(note["since_unix"]))
        return f"`{note['command']}` (process {note['pid']} on {note['host']}, since {since})"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "another process"


def _holder_file(directory: Path, role: Role) -> Path:
    return directory / f"{role}.json"
