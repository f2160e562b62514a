"""What a search needs of the tables, beside them in plain JSON: opening LanceDB alone takes a second.

``start/videos.json`` holds the videos as they were when the index was last brought up to date, and which
state of the tables that was. LanceDB adds a file to a table's ``_versions`` with every commit, so a look at
two folders tells whether it still holds. Whoever finds it missing, damaged or behind opens the tables.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from indexer.checksum import checked, unchecked
from indexer.storage import write_atomically
from indexer.store import Store, VideoRow

FOLDER = "start"
_FILE_NAME = "videos.json"
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
    if not state or _is_of(library, state):
        return
    (library / FOLDER).mkdir(exist_ok=True)
    videos = store.videos()
    columns: dict[str, list[object]] = {name: [getattr(video, name) for video in videos] for name in _FIELDS}
    # JSON keeps the bytes of names that are not UTF-8, as Python's surrogates.
    columns["paths"] = [[str(path) for path in video.paths] for video in videos]
    values = {"tables": state, "table_versions": store.versions, "videos": columns}
    write_atomically(library / FOLDER / _FILE_NAME, checked(json.dumps(values).encode()))


def _is_of(library: Path, state: str) -> bool:
    """Whether a sound snapshot of this state lies here, told without taking it apart."""
    try:
        return unchecked((library / FOLDER / _FILE_NAME).read_bytes()).startswith(
            json.dumps({"tables": state})[:-1].encode()
        )
    except (OSError, ValueError):
        return False


def load(library: Path, state: str) -> Snapshot | None:
    """The snapshot of this state of the tables; None where there is none."""
    found = _read(library)
    return found[1] if found is not None and found[0] == state else None


def load_any(library: Path) -> Snapshot | None:
    """The snapshot, of whatever state of the tables: what is left when they are damaged."""
    found = _read(library)
    return None if found is None else found[1]


def forget(library: Path) -> None:
    """Delete the snapshot (the caller has the write lock)."""
    (library / FOLDER / _FILE_NAME).unlink(missing_ok=True)


def is_damaged(library: Path) -> bool:
    """Whether a snapshot lies here that is not as it was written."""
    return (library / FOLDER / _FILE_NAME).exists() and _read(library) is None


def _read(library: Path) -> tuple[str, Snapshot] | None:
    try:
        values = json.loads(unchecked((library / FOLDER / _FILE_NAME).read_bytes()))
        columns = values["videos"]
        if set(columns) != set(_FIELDS):
            return None
        versions = values["table_versions"]
        return values["tables"], Snapshot(list(VideoRow.of_columns(columns)), (int(versions[0]), int(versions[1])))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
