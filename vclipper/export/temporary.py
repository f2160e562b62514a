"""Temporary files that tell whether somebody still writes them: the kernel drops a lock when its process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

_PREFIX = ".vclip-export-"


def locked_temporary(folder: Path, suffix: str) -> tuple[Path, int]:
    """A new hidden file and an open handle; others leave it alone until the handle is closed.

    Raises:
        OSError: the folder cannot be written.
    """
    while True:
        handle, name = tempfile.mkstemp(suffix, _PREFIX, folder)
        _lock(handle)  # where a file system has no locks, nothing is swept either
        if os.path.lexists(name):  # else a sweep came between
            return Path(name), handle
        os.close(handle)


def sweep_abandoned(folder: Path) -> None:
    """Delete the temporary files in a folder that nobody writes any more."""
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if _lock(handle):
                    path.unlink()
            finally:
                os.close(handle)


def _lock(handle: int) -> bool:
    """Whether the lock of an open file could be taken."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
