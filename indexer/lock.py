"""One writer, one watcher and one exporter of the text half per library at a time; readers never wait.

In a folder the kernel keeps the lock, in a bucket a lease does (:mod:`indexer.lease`).
"""

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

from indexer import lease
from indexer.errors import LibraryError, LibraryLockedError
from indexer.storage import Bucket, Where, at

Role = Literal["writer", "watcher", "exporter"]
#: Whoever looks whether the lock is held (:func:`is_held`) takes it for an instant: the kernel knows no other way.
_PATIENCE_SECONDS, _POLL_SECONDS = 0.5, 0.01
_DOING = {"writer": "written", "watcher": "watched for", "exporter": "given the text half of its model"}


def writing(where: Where, what: str, role: Role = "writer") -> contextlib.AbstractContextManager[None]:
    """Hold the library's write lock.

    Args:
        where: the library.
        what: the command, for the message that others see meanwhile.
        role: a watcher holds a lock of its own while it waits for files, and the writer's while it writes. Of a
            library in a bucket there is one watcher a machine: its lock lies in the cache. Whoever exports the
            text half keeps no writer waiting.

    Raises:
        LibraryLockedError: another process holds it; the message names that process.
        LibraryError: the place cannot be written.
    """
    storage = at(where)
    if isinstance(storage, Bucket):
        return lease.leased(storage, what)
    return _locked(storage.path, what, role)


@contextlib.contextmanager
def _locked(directory: Path, what: str, role: Role) -> Iterator[None]:
    """The kernel releases this lock when the process dies, however it dies."""
    lock = FileLock(directory / f"{role}.lock")
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS, poll_interval=_POLL_SECONDS)
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


def is_held(where: Where, role: Role = "writer") -> bool:
    """Whether a process is writing to the library now."""
    storage = at(where)
    if isinstance(storage, Bucket):
        return bool(lease.current(storage))
    file = storage.path / f"{role}.lock"
    if not file.exists():  # looking makes no file: whether one is there says whether a writer ever was
        return False
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a place where nothing can be written has no writer
        return False
    lock.release()
    return False


def has_been_written(where: Where) -> bool:
    """Whether a writer was ever here: what a place without ``library.json`` is known by after a crash."""
    storage = at(where)
    return storage.exists(lease.NAME if isinstance(storage, Bucket) else "writer.lock")


def holder(where: Where, role: Role = "writer") -> str:
    """Who holds the lock, in words."""
    storage = at(where)
    if isinstance(storage, Bucket):
        return lease.in_words(lease.current(storage))
    try:
        return lease.in_words(json.loads(_holder_file(storage.path, role).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return lease.in_words({})


def _holder_file(directory: Path, role: Role) -> Path:
    return directory / f"{role}.json"
