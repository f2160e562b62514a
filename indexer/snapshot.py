"""What a search needs of the tables, beside them in a file of its own: opening LanceDB alone takes a second.

``start/videos.json`` holds the videos as they were when the index was last brought up to date, and which
state of the tables that was. LanceDB adds a file to a table's ``_versions`` with every commit, so a look at
two folders tells whether it still holds. Whoever finds it missing, damaged or behind opens the tables.

The file is a list of records: all videos, and then what each later run changed, appended. Each is 16 bytes of
BLAKE2b (of the digest before and of all that follows), 8 bytes of length, a line of JSON that tells the state of
the tables and which videos are gone, and the columns of the others in JSON. What a killed run left at the end is
no record. Once the changes are a quarter as long as the list it is written anew: a run pays for what it changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import struct
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.catalogue import VideoRow
from indexer.checksum import unchecked
from indexer.storage import write_atomically
from indexer.store import Store

FOLDER = "start"
_FILE_NAME = "videos.json"
_DIGEST_BYTES = 16
#: What a record begins with: its digest and its length.
_FRAME = struct.Struct(f"<{_DIGEST_BYTES}sQ")
#: Changes may be so long, however short the list is.
_CHANGES_BYTES = 65_536
_FIELDS = tuple(field.name for field in dataclasses.fields(VideoRow))


@dataclass(frozen=True)
class Snapshot:
    """The videos of the library, by path, and the table versions (videos, frames) that they are of."""

    videos: list[VideoRow]
    table_versions: tuple[int, int]


def tables_state(library: Path) -> str:
    """Names the present state of both tables without opening them; empty where they do not lie here."""
    try:
        names = [name for table in ("videos", "frames") for name in (table, *_version_files(library, table))]
    except OSError:
        return ""
    return hashlib.blake2b("\n".join(names).encode(), digest_size=16).hexdigest()


def _version_files(library: Path, table: str) -> list[str]:
    return sorted(file.name for file in (library / "tables" / f"{table}.lance" / "_versions").iterdir())


def save(library: Path, store: Store) -> None:
    """Keep the videos that the tables hold (the caller has the write lock)."""
    state = tables_state(library)
    if not state:
        return
    file = library / FOLDER / _FILE_NAME
    kept = _kept(file)
    if kept.is_whole and kept.last.get("tables") == state:
        return
    head: dict[str, Any] = {"tables": state, "table_versions": store.versions}
    changes = store.changes_since(kept.last["table_versions"][0]) if kept.is_whole else None
    if changes is not None:
        head["gone"] = [video_id for video_id, row in changes.items() if row is None or not row.paths]
        record = _record(kept.digest, head, [row for row in changes.values() if row is not None and row.paths])
        if kept.changes_bytes + len(record) <= max(_CHANGES_BYTES, kept.list_bytes // 4):
            _append(file, record)
            return
        del head["gone"]
    file.parent.mkdir(exist_ok=True)
    write_atomically(file, _record(b"", head, store.videos()))


def _append(file: Path, record: bytes) -> None:
    with file.open("ab") as opened:
        opened.write(record)
        opened.flush()
        os.fsync(opened.fileno())


def load(library: Path, state: str) -> Snapshot | None:
    """The snapshot of this state of the tables; None where there is none."""
    kept = _kept(library / FOLDER / _FILE_NAME)
    return kept.snapshot() if kept.last.get("tables") == state else None


def load_any(library: Path) -> Snapshot | None:
    """The snapshot, of whatever state of the tables: what is left when they are damaged."""
    return _kept(library / FOLDER / _FILE_NAME).snapshot()


def forget(library: Path) -> None:
    """Delete the snapshot (the caller has the write lock)."""
    (library / FOLDER / _FILE_NAME).unlink(missing_ok=True)


def is_damaged(library: Path) -> bool:
    """Whether a snapshot lies here that is not as it was written; a last record cut short is no damage."""
    file = library / FOLDER / _FILE_NAME
    if not file.exists():
        return False
    kept = _kept(file)
    return kept.snapshot() is None or not (kept.is_whole or kept.is_cut or kept.is_old)


@dataclass(frozen=True)
class _Kept:
    """The sound records of a snapshot.

    Attributes:
        records: of which each is a line of JSON and, but for older versions', the columns.
        last: the line of the last one; empty where there is none that can be read.
        digest: of the last one. list_bytes, changes_bytes: length of the first record and of all others.
        is_whole: whether nothing else lies in the file. is_cut: whether only the beginning of another record does.
        is_old: whether a version without records wrote it.
    """

    records: Sequence[bytes]
    last: Mapping[str, Any]
    digest: bytes = b""
    list_bytes: int = 0
    changes_bytes: int = 0
    is_whole: bool = False
    is_cut: bool = False
    is_old: bool = False

    def snapshot(self) -> Snapshot | None:
        """The videos after all changes; None where there are none that can be read."""
        try:
            versions = self.last["table_versions"]
            return Snapshot(_replayed(self.records), (int(versions[0]), int(versions[1])))
        except (ValueError, KeyError, TypeError, IndexError):
            return None


def _kept(file: Path) -> _Kept:
    try:
        stored = file.read_bytes()
    except OSError:
        return _Kept((), {})
    records, digest, end = list[bytes](), b"", 0
    for digest, payload, end in _sound(stored):  # noqa: B007 - what the last one was
        records.append(payload)
    if records:
        first = _FRAME.size + len(records[0])
        whole, cut = end == len(stored), _is_beginning(stored[end:])
        return _Kept(records, _head(records[-1]), digest, first, end - first, whole, cut)
    with contextlib.suppress(ValueError):  # as older versions wrote it: one checksum and one line
        return _Kept([unchecked(stored)], _head(unchecked(stored)), is_old=True)
    return _Kept((), {})


def _sound(stored: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Digest, content and end of each record up to the first that is not as it was written."""
    digest, start = b"", 0
    while start + _FRAME.size <= len(stored):
        written, length = _FRAME.unpack_from(stored, start)
        payload = stored[start + _FRAME.size : start + _FRAME.size + length]
        if len(payload) != length or written != _digest(digest, payload):
            return
        digest, start = written, start + _FRAME.size + length
        yield digest, payload, start


def _is_beginning(rest: bytes) -> bool:
    """Whether this may be a record that was not written to its end."""
    return len(rest) < _FRAME.size or len(rest) < _FRAME.size + _FRAME.unpack_from(rest)[1]


def _digest(before: bytes, payload: bytes) -> bytes:
    digest = hashlib.blake2b(before + struct.pack("<Q", len(payload)), digest_size=_DIGEST_BYTES)
    digest.update(payload)
    return digest.digest()


def _record(before: bytes, head: Mapping[str, Any], videos: Sequence[VideoRow]) -> bytes:
    columns: dict[str, list[object]] = {name: [getattr(video, name) for video in videos] for name in _FIELDS}
    # JSON keeps the bytes of names that are not UTF-8, as Python's surrogates.
    columns["paths"] = [[str(path) for path in video.paths] for video in videos]
    payload = json.dumps(head).encode() + b"\n" + json.dumps(columns).encode()
    return _FRAME.pack(_digest(before, payload), len(payload)) + payload


def _head(payload: bytes) -> dict[str, Any]:
    """The first line; empty where it is none of ours."""
    try:
        found = json.loads(payload.partition(b"\n")[0])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _columns(payload: bytes) -> dict[str, list[Any]]:
    head, _, columns = payload.partition(b"\n")
    found: dict[str, list[Any]] = json.loads(columns) if columns else json.loads(head)["videos"]
    if set(found) != set(_FIELDS):
        raise ValueError("a video has other fields")
    return found


def _replayed(records: Sequence[bytes]) -> list[VideoRow]:
    """All videos by path: the list, with the last that the changes say of each video."""
    videos = list(VideoRow.of_columns(_columns(records[0])))
    changed: dict[int, VideoRow | None] = {}
    for record in records[1:]:
        changed.update(dict.fromkeys(_head(record)["gone"]))
        changed.update({row.video_id: row for row in VideoRow.of_columns(_columns(record))})
    if changed:
        videos = [video for video in videos if video.video_id not in changed]
        for row in changed.values():
            if row is not None:
                insort(videos, row, key=lambda video: os.fsencode(video.path))
    return videos
