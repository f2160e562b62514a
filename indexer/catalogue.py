"""The table of videos at hand, in columns: a row is made when it is asked for.

A run that adds one clip must not pay for every video of the library. Arrow looks through a million paths in the
time that Python takes for a few thousand rows.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

_SHORTCUTS = re.compile(r"(--tolerance \S+)?( ?--no-loop-filter)?$")


@dataclass(frozen=True)
class VideoRow:
    """One video of the library: a content, under one or several paths.

    Attributes:
        video_id: 63-bit number made of the fingerprint.
        fingerprint: names the content, see :func:`indexer.discover.fingerprint`.
        paths: absolute paths that hold this content.
        frames: number of sampled frames n.
        duration_seconds: of the picture.
        complete: False when only a part could be decoded; ``note`` says why.
        note: that, and behind it the options with which pictures were decoded that may not be exact.
        recorded_unix: when the video was recorded, seconds since 1970, see
            :func:`indexer.container.recorded_unix`; None where it is not known (libraries of schema 1 that
            no writer has opened since).
        digest: of what the frames are, see :meth:`VideoFrames.digest`; empty in libraries of schema 1.
    """

    video_id: int
    fingerprint: str
    paths: tuple[Path, ...]
    frames: int
    duration_seconds: float
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    codec: str = ""
    container: str = ""
    size_bytes: int = 0
    indexed_unix: float = 0.0
    complete: bool = True
    note: str = ""
    recorded_unix: float | None = None
    digest: str = ""

    @classmethod
    def of_columns(cls, columns: Mapping[str, Sequence[Any]]) -> Iterator[VideoRow]:
        """Rows from the columns of a table, by name; columns that are missing have their defaults."""
        n, fields = len(columns["video_id"]), dataclasses.fields(cls)
        every = {field.name: columns.get(field.name, [field.default] * n) for field in fields}
        every["paths"] = [tuple(map(Path, paths)) for paths in every["paths"]]
        for values in zip(*every.values(), strict=True):
            row = object.__new__(cls)  # __init__ of a frozen class makes a call for each field: four times as long
            row.__dict__.update(zip(every, values, strict=True))
            yield row

    @property
    def shortcuts(self) -> str:
        """The options that spared exactness, as ``--tolerance 0.5``; empty where the pictures are exact."""
        found = _SHORTCUTS.search(self.note)
        return found[0].strip() if found else ""

    @property
    def path(self) -> Path:
        """The first path: the one to show."""
        return self.paths[0]

    def readable_path(self) -> Path:
        """The first path that is a file now, links followed; :attr:`path` where none is."""
        return next((path for path in self.paths if path.is_file()), self.path)

    def present_path(self) -> Path | None:
        """The first path where there is a file now; None while the video is offline."""
        return next((path for path in self.paths if os.path.lexists(path)), None)


class Catalogue:
    """The videos of a library at one version of their table; never changes, so that threads may share it.

    Args:
        table: as it was read, rows without paths (videos that are gone) included.
        version: of the table now.
        changes: what was committed since ``table`` was read, by id: the row as it is now, None of a video that is
            gone.
        read_version: of the table when it was read; None: ``version``.
    """

    def __init__(
        self,
        table: pa.Table,
        version: int,
        changes: Mapping[int, VideoRow | None] | None = None,
        read_version: int | None = None,
    ) -> None:
        self._table, self.version, self.changes = table, version, changes or {}
        self.read_version = version if read_version is None else read_version

    @classmethod
    def of(cls, rows: Sequence[VideoRow]) -> Catalogue:
        """A catalogue of these videos, of no table."""
        return cls(videos_table(rows), 0)

    def changed(self, version: int, rows: Sequence[VideoRow], gone: Iterable[int] = ()) -> Catalogue:
        """The catalogue after a commit of ``rows``, and of the deletion of others."""
        changes = {**self.changes, **{row.video_id: row for row in rows}, **dict.fromkeys(gone)}
        return Catalogue(self._table, version, changes, self.read_version)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """(videos,) ids, in rising order."""
        return np.sort(self._column("video_id"))

    @cached_property
    def frames(self) -> NDArray[np.int64]:
        """(videos,) numbers of frames, in the order of :attr:`ids`."""
        return self._column("frames").astype(np.int64)[np.argsort(self._column("video_id"))]

    @cached_property
    def digests(self) -> NDArray[np.bytes_]:
        """(videos,) digests of their frames, in the order of :attr:`ids`; empty in libraries of schema 1."""
        if "digest" not in self._live.column_names:
            return np.zeros(len(self), "S16")
        known: NDArray[np.bytes_] = self._live["digest"].fill_null("").to_numpy().astype("S16")
        return known[np.argsort(self._column("video_id"))]

    def rows(self) -> list[VideoRow]:
        """All videos, by path."""
        return list(self._every_row)

    @cached_property
    def _every_row(self) -> list[VideoRow]:
        return _by_path(self._live)

    def of_ids(self, ids: Collection[int] | NDArray[np.int64]) -> list[VideoRow]:
        """The videos with these ids, by path."""
        return _by_path(self._live.filter(np.isin(self._column("video_id"), np.fromiter(ids, np.int64, len(ids)))))

    def find(
        self, contents: Collection[str], paths: Collection[Path] = (), roots: Collection[Path] = ()
    ) -> list[VideoRow]:
        """The videos with one of these fingerprints, one of these paths, or a path below a root; by path."""
        import pyarrow as pa
        import pyarrow.compute as pc

        has_content = pc.is_in(self._live["fingerprint"], value_set=pa.array(contents, pa.string()))
        found = has_content.to_numpy().astype(bool)
        every = self._live["paths"].combine_chunks()
        flat, owners = pc.list_flatten(every), pc.list_parent_indices(every).to_numpy()
        named = pa.array([os.fsencode(path) for path in (*paths, *roots)], pa.binary())
        is_near = pc.is_in(flat, value_set=named).to_numpy(zero_copy_only=False)
        for root in set(roots).difference(paths):  # nothing lies below a file
            is_near |= pc.starts_with(flat, os.fsencode(root).rstrip(b"/") + b"/").to_numpy(zero_copy_only=False)
        found[owners[is_near]] = True
        return _by_path(self._live.filter(found))

    def _column(self, name: str) -> NDArray[Any]:
        values: NDArray[Any] = self._live[name].to_numpy()
        return values

    @cached_property
    def _live(self) -> pa.Table:
        """The rows as they are now, without those of videos that are gone, in one piece."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = self._table
        if self.changes:
            old = table.filter(~np.isin(table["video_id"].to_numpy(), np.fromiter(self.changes, np.int64)))
            now = videos_table([row for row in self.changes.values() if row is not None])
            table = pa.concat_tables([old, now], promote_options="default")
        return table.filter(pc.greater(pc.list_value_length(table["paths"]), 0)).combine_chunks()


def _by_path(table: pa.Table) -> list[VideoRow]:
    return sorted(_video_rows(table), key=lambda row: os.fsencode(row.path))


def videos_schema() -> pa.Schema:
    """Columns of the table of videos."""
    import pyarrow as pa

    return pa.schema(
        [
            ("video_id", pa.int64()),
            ("fingerprint", pa.string()),
            ("paths", pa.list_(pa.binary())),  # file names are bytes, not always UTF-8
            ("frames", pa.int32()),
            ("duration_seconds", pa.float64()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("frame_rate", pa.float64()),
            ("codec", pa.string()),
            ("container", pa.string()),
            ("size_bytes", pa.int64()),
            ("indexed_unix", pa.float64()),
            ("complete", pa.bool_()),
            ("note", pa.string()),
            ("recorded_unix", pa.float64()),  # since schema 2
            ("digest", pa.string()),  # since schema 2
        ]
    )


def videos_table(rows: Sequence[VideoRow]) -> pa.Table:
    """Rows as the table holds them."""
    import pyarrow as pa

    values = [{**vars(row), "paths": [os.fsencode(path) for path in row.paths]} for row in rows]
    return pa.Table.from_pylist(values, schema=videos_schema())


def _video_rows(table: pa.Table) -> Iterator[VideoRow]:
    columns = table.to_pydict()
    columns["paths"] = [[os.fsdecode(path) for path in paths] for paths in columns["paths"]]
    return VideoRow.of_columns(columns)
