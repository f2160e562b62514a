"""Files that cannot be decoded whoever tries: told at every run, tried again when something has changed.

Trying costs a decode process and the model, which would be loaded for nothing. ``failures.json`` is derived:
without it every such file is tried once more.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.discover import open_regular
from indexer.errors import InputError
from indexer.plan import Job, Plan
from indexer.storage import Storage
from indexer.video_types import Shortcuts

if TYPE_CHECKING:
    from indexer.build import FileNote

#: At the end of the reason of a file that this run passed over.
NOT_TRIED = " (unchanged, so not tried again)"
_FILE_NAME = "failures.json"
_DECODERS = ("av", "decord")
_BLOCK_BYTES = 2**22
_Entry = list[str | int]
"""Fingerprint, time of the last change in nanoseconds, what was wrong."""


class Failures:
    """What earlier runs of the same programs with the same options could not decode.

    Args:
        storage: the library.
        version: of VClipper.
        shortcuts: the options that change what is decoded.
    """

    def __init__(self, storage: Storage, version: str, shortcuts: Shortcuts) -> None:
        self._storage = storage
        self._made_by = f"vclipper {version}, {', '.join(_versions())}, {shortcuts}"
        self._entries = self._read()
        self._changed_before: dict[Path, int | None] = {}

    def recall(self, plan: Plan, again: bool = False) -> None:
        """Put the jobs of ``plan`` that failed before, and whose files are as they were, among its failures.

        ``again``: all are tried; what is noted is only how their files are before that.
        """
        jobs, plan.jobs = plan.jobs, []
        for job in jobs:
            self._changed_before[job.path] = _changed(job.path)  # what changes while a run tries it is tried again
            reason = self._reason(job)
            if again or reason is None:
                plan.jobs.append(job)
            else:
                plan.failed += job.failed(reason + NOT_TRIED)

    def remember(self, tried: Sequence[Job], failed: Iterable[FileNote]) -> None:
        """Keep what this run learnt (the caller has the write lock)."""
        contents = {job.path: job.fingerprint for job in tried}
        kept = {name: entry for name, entry in self._entries.items() if Path(name) not in contents}
        for note in failed:
            changed = self._changed_before.get(note.path)
            if note.is_lasting and note.path in contents and changed is not None and _can_be_read(note.path):
                kept[str(note.path)] = [contents[note.path], changed, note.note]
        kept = {name: entry for name, entry in kept.items() if os.path.lexists(name)}
        if kept != self._entries:
            self._entries = kept
            record = {"made_by": self._made_by, "files": kept}
            self._storage.write(_FILE_NAME, json.dumps(record).encode())

    def _reason(self, job: Job) -> str | None:
        entry = self._entries.get(str(job.path))
        return str(entry[2]) if entry and entry[:2] == [job.fingerprint, self._changed_before[job.path]] else None

    def _read(self) -> dict[str, _Entry]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            record = json.loads(self._storage.read(_FILE_NAME))
            if record["made_by"] == self._made_by:
                return {str(name): list(entry) for name, entry in record["files"].items() if len(entry) == 3}
        return {}


def forget(storage: Storage) -> None:
    """Delete what is known of failures: it names files that the library does not hold."""
    storage.delete(_FILE_NAME)


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _can_be_read(path: Path) -> bool:
    """Whether all of it can: FFmpeg says of some formats whose drive fails that their data are invalid."""
    try:
        with open_regular(path) as file:
            while file.read(_BLOCK_BYTES):
                pass
    except (OSError, InputError):
        return False
    return True


def _versions() -> Iterator[str]:
    for name in _DECODERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield f"{name} {importlib.metadata.version(name)}"
