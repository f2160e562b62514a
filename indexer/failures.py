"""Files that cannot be decoded whoever tries: told at every run, tried again when something has changed.

Trying costs a decode process and the model, which would be loaded for nothing. ``failures.json`` is derived:
without it every such file is tried once more.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.plan import Job, Plan
from indexer.storage import Storage
from indexer.video_types import Shortcuts

if TYPE_CHECKING:
    from indexer.build import FileNote

#: At the end of the reason of a file that this run passed over.
NOT_TRIED = " (unchanged, so not tried again)"
_FILE_NAME = "failures.json"
_DECODERS = ("av", "decord")
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

    def recall(self, plan: Plan) -> None:
        """Put the jobs of ``plan`` that failed before, and whose files are as they were, among its failures."""
        jobs, plan.jobs = plan.jobs, []
        for job in jobs:
            reason = self._reason(job)
            if reason is None:
                plan.jobs.append(job)
            else:
                plan.failed += job.failed(reason + NOT_TRIED)

    def remember(self, tried: Sequence[Job], failed: Iterable[FileNote]) -> None:
        """Keep what this run learnt (the caller has the write lock)."""
        contents = {job.path: job.fingerprint for job in tried}
        kept = {name: entry for name, entry in self._entries.items() if Path(name) not in contents}
        for note in failed:
            changed = _changed(note.path)
            if note.is_lasting and note.path in contents and changed is not None:
                kept[str(note.path)] = [contents[note.path], changed, note.note]
        kept = {name: entry for name, entry in kept.items() if Path(name).exists()}
        if kept != self._entries:
            self._entries = kept
            record = {"made_by": self._made_by, "files": kept}
            self._storage.write(_FILE_NAME, json.dumps(record).encode())

    def _reason(self, job: Job) -> str | None:
        entry = self._entries.get(str(job.path))
        return str(entry[2]) if entry and entry[:2] == [job.fingerprint, _changed(job.path)] else None

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


def _versions() -> Iterator[str]:
    for name in _DECODERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield f"{name} {importlib.metadata.version(name)}"
