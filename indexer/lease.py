"""One writer at a time in a bucket, where no kernel releases a lock.

``writer.json`` says who writes. It is made with a conditional PUT (If-None-Match) and renewed with another
(If-Match): two processes cannot both succeed. A writer that dies stops renewing; once its lease is older
than :data:`LEASE_SECONDS` by the store's own clock, the next writer may take it over. One that was only
asleep finds another's lease in the place of its own before its next commit, and stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from indexer.errors import LibraryError, LibraryLockedError
from indexer.storage import Bucket, Found

NAME = "writer.json"
_CLOCK = "clock"
#: Renewed four times in this time; whoever has not done so any more has lost it.
LEASE_SECONDS = 60.0
#: A renewal that is not answered by then is made again while the lease lasts.
_ANSWER_SECONDS = 10.0
#: The part of its time after which a holder gives it up. Others count by the store's clock, which tells whole
#: seconds: to them a lease can be over a second early.
_SURE = 0.9


@contextlib.contextmanager
def leased(bucket: Bucket, what: str) -> Iterator[None]:
    """Hold the bucket's write lease.

    Args:
        bucket: where the library lies.
        what: the command, for the message that others see meanwhile.

    Raises:
        LibraryLockedError: another process holds it; the message names that process. While it is held:
            from the next write, when it was lost.
        LibraryError: the store cannot be reached, or does not honour conditional writes.
    """
    note = {**_me(), "command": what, "since_unix": time.time()}
    began = _now()  # the store counts from a moment after this
    keeper = _Keeper(bucket, note, _acquire(bucket, note), began)
    bucket.before_write = keeper.check
    keeper.start()
    try:
        yield
    finally:
        bucket.before_write = lambda: None
        keeper.release()


def current(bucket: Bucket) -> dict[str, Any]:
    """What the holder says of itself; {} where nobody holds the lease, or its time is over."""
    try:
        found = bucket.look(NAME)
    except FileNotFoundError:
        return {}
    age_seconds = time.time() - found.written.timestamp()  # this machine's clock: good enough for a message
    return _note(found) if age_seconds < LEASE_SECONDS else {}


def _acquire(bucket: Bucket, note: dict[str, Any]) -> Any:
    data = json.dumps(note).encode()
    if (tag := bucket.create(NAME, data)) is not None:
        _demand_conditions(bucket)
        return tag
    found = bucket.look(NAME)
    left_seconds = _seconds_left(bucket, found)
    if left_seconds <= 0 and (tag := bucket.replace(NAME, data, found.tag)) is not None:
        return tag
    raise LibraryLockedError(
        f"{bucket} is being written by {in_words(_note(found))}",
        f"Wait until it has finished; if it was killed, its lease ends in {max(1, round(left_seconds))} s",
    )


def _demand_conditions(bucket: Bucket) -> None:
    """A store that overlooks If-None-Match would let two writers in."""
    if bucket.create(NAME, b"{}") is not None:
        raise LibraryError(
            f"{bucket}: this store does not honour conditional writes (If-None-Match)",
            "Without them two writers cannot be kept apart. Use a store that does: docs/cluster.md",
        )


def _seconds_left(bucket: Bucket, found: Found) -> float:
    """How long a lease is in force still, by the store's clock."""
    note = _note(found)
    if not note or _is_dead(note):
        return 0.0
    bucket.write(_CLOCK, b"")
    age = bucket.look(_CLOCK).written - found.written
    return (timedelta(seconds=LEASE_SECONDS) - age).total_seconds()


class _Keeper(threading.Thread):
    """Renews a lease until it is released or lost."""

    def __init__(self, bucket: Bucket, note: dict[str, Any], tag: Any, began: float) -> None:
        super().__init__(name="lease-keeper", daemon=True)
        self._bucket, self._note, self._tag = Bucket(bucket.uri, _ANSWER_SECONDS), note, tag
        self._renewed = began
        self._end = threading.Event()
        self._lost = False

    def run(self) -> None:
        """Renew; a store that does not answer is asked again soon, until another has the lease."""
        pause_seconds = max(0.0, self._renewed + LEASE_SECONDS / 4 - _now())
        while not self._lost and not self._end.wait(pause_seconds):
            pause_seconds = LEASE_SECONDS / 20
            with contextlib.suppress(LibraryError):
                self._renew({**self._note, "renewed_unix": time.time()})
                pause_seconds = LEASE_SECONDS / 4

    def _renew(self, note: dict[str, Any]) -> None:
        before, data = _now(), json.dumps(note).encode()
        tag = self._bucket.replace(NAME, data, self._tag)
        if tag is None and (tag := self._unanswered()) is not None:
            tag = self._bucket.replace(NAME, data, tag)
        if tag is None:
            self._lost = True
        else:
            self._tag, self._renewed = tag, before

    def _unanswered(self) -> Any | None:
        """The tag of an earlier renewal, where the store carried one out and its answer got lost."""
        with contextlib.suppress(FileNotFoundError):
            found = self._bucket.look(NAME)
            if self._note.items() <= _note(found).items():
                return found.tag
        return None

    def check(self) -> None:
        """Raise LibraryLockedError when the lease is not ours any more."""
        if self._lost or _now() - self._renewed > _SURE * LEASE_SECONDS:
            raise LibraryLockedError(
                f"{self._bucket}: the write lease was lost, as the store could not be reached in time",
                "Run the command again: it goes on where this one stopped",
            )

    def release(self) -> None:
        """Stop renewing and leave an empty note in its place."""
        self._end.set()
        self.join()
        with contextlib.suppress(LibraryError):  # then it runs out
            self._renew({})


def _now() -> float:
    """Seconds on a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _note(found: Found) -> dict[str, Any]:
    try:
        return dict(json.loads(found.data))
    except (ValueError, TypeError):
        return {}


def _me() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "machine": _machine()}


def _machine() -> str:
    """Names this boot of this machine and this process namespace; empty where neither is known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _is_dead(note: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is no more: no need to wait for its lease."""
    if not note.get("machine") or note["machine"] != _machine():
        return False
    try:
        os.kill(int(note["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError):
        return False
    return False


def in_words(note: dict[str, Any]) -> str:
    """A holder's note as a message shows it."""
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(note["since_unix"]))
        return f"`{note['command']}` (process {note['pid']} on {note['host']}, since {since})"
    except (KeyError, TypeError, ValueError, OverflowError):
        return "another process"
