"""From the schemas of older libraries to this one, forwards only.

Readers read an older library as it is; the next writer brings it up, one version after the other. Each step
may be cut short and repeated: the manifest takes the new version last.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from indexer import manifest
from indexer.catalogue import VideoRow
from indexer.container import open_container, recorded_unix
from indexer.errors import LibraryDamagedError, VideoError
from indexer.manifest import SCHEMA_VERSION
from indexer.storage import Where
from indexer.store import Store


def migrate(where: Where, store: Store) -> None:
    """Bring a library to :data:`SCHEMA_VERSION`, under the write lock; does nothing where it is there."""
    made = manifest.load(where)
    for version in range(made.schema_version, SCHEMA_VERSION):
        STEPS[version](store)
        manifest.save(dataclasses.replace(made, schema_version=version + 1), where)


def _dates_and_digests(store: Store) -> None:
    """1 → 2: ``recorded_unix`` of the files that are there, ``digest`` of the frames that are whole."""
    store.add_missing_columns()
    rows = [dataclasses.replace(video, recorded_unix=_date_of(video)) for video in store.videos()]
    store.commit([], [dataclasses.replace(row, digest=_digest_of(row, store)) for row in rows])


def _digest_of(video: VideoRow, store: Store) -> str:
    try:
        return next(iter(store.frames([video]))).digest()
    except LibraryDamagedError:  # named by `vclip verify`
        return ""


def _date_of(video: VideoRow) -> float | None:
    return next((date for path in video.paths if (date := _date(path)) is not None), None)


def _date(path: Path) -> float | None:
    try:
        with open_container(path) as container:
            return recorded_unix(container, path)
    except (OSError, VideoError):  # a drive that is away
        return None


#: What leads from each schema version to the next.
STEPS: Mapping[int, Callable[[Store], None]] = {1: _dates_and_digests}
