"""The tables ``videos`` and ``frames`` in LanceDB.

A video is in the library when ``videos`` has its row: that one commit makes all of its frames visible,
or swaps an old version for the new one. Its frames are appended before that commit and deleted after
it, so whatever a crash leaves behind belongs to no video. ``doubtful.json`` names the ids under way;
:meth:`Store.recover` deletes their leftovers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexer import fragments
from indexer.catalogue import Catalogue, VideoRow, videos_schema, videos_table
from indexer.discover import printable
from indexer.errors import REPAIR, LibraryDamagedError, first_line
from indexer.fragments import Fragment
from indexer.grouping import grouped
from indexer.manifest import to_json
from indexer.storage import Storage, Where, at, damage_said
from indexer.table_search import TableSearch, matrix
from indexer.vectors import Float16, Float32, next_frame_similarity

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

_DOUBTFUL = "doubtful.json"
#: Lies there while a cluster writes fragments, and after a run whose driver was killed.
_FRAGMENTS = "fragments.json"
#: A fragment is written with every append; LanceDB never merges them by itself. So many may have fewer rows than
#: LanceDB calls few, 100,000.
MAX_FRAGMENTS = 64
#: Fewer of the table of videos: every run reads all of it, and each file costs a millisecond.
_MAX_VIDEO_FILES = 16
#: Up to this they are merged, so what one merging reads and writes is bounded: 128 MiB at 512 dimensions.
MERGED_ROWS = 131_072
#: Once so many have come together they are copied into full ones, which stay.
_MAX_MERGED, _FULL_ROWS = 16, 1_048_576
#: Every commit leaves a version, and a run of few files makes several.
VERSIONS_BETWEEN_CLEANUPS = 64
#: At most, on the table that is merged: twice numbers for new files, and then the files.
_COMMITS_OF_A_MERGING = 4
#: Readers that opened an older version keep it this long.
_OLD_VERSIONS_KEPT = timedelta(hours=1)
#: Columns of ``videos`` that libraries of older schemas lack until a writer has opened them.
_LATER_COLUMNS = frozenset({"recorded_unix", "digest"})
#: Of videos since the table was read; then it is read again.
_CHANGES_KEPT = 1_024
#: Ids in one SQL list.
_IDS_PER_STATEMENT = 5_000


@dataclass(frozen=True)
class VideoFrames:
    """The frames of one video.

    Attributes:
        video_id: whose.
        vectors: (n, D) float16 unit vectors.
        next_similarity: CFS_c, (n-1,) float32.
    """

    video_id: int
    vectors: Float16
    next_similarity: Float32 = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self.vectors.nbytes + self.next_similarity.nbytes

    @classmethod
    def of(cls, video_id: int, vectors: NDArray[np.floating]) -> VideoFrames:
        """Round to float16 and compute CFS_c from what is stored."""
        stored = np.asarray(vectors, dtype=np.float16)
        return cls(video_id, stored, next_frame_similarity(stored))

    def digest(self) -> str:
        """BLAKE2b of the vectors and CFS_c, 16 hex digits: tells damage that no other check can see."""
        digest = hashlib.blake2b(self.vectors.tobytes(), digest_size=8)
        digest.update(self.next_similarity.tobytes())
        return digest.hexdigest()


class Store:
    """Reads and writes of the two tables in a folder or bucket; one writer at a time (indexer.lock).

    Args:
        where: the library.
        dimension, period_seconds: of its manifest.
        is_damaged: open each table when it is first used, so that one can be read while the other cannot.

    Raises:
        LibraryDamagedError: a table is missing or has other columns.
    """

    def __init__(self, where: Where, dimension: int, period_seconds: float, is_damaged: bool = False) -> None:
        self._storage = at(where)
        self.dimension = dimension
        self.period_seconds = period_seconds
        self._database = _connect(self._storage)
        self._known: Catalogue | None = None
        self._cleaned: dict[str, int] = {} if is_damaged else self._version_blocks()

    @cached_property
    def _videos(self) -> Any:
        return self._table("videos", videos_schema())

    @cached_property
    def _frames(self) -> Any:
        return self._table("frames", _frames_schema(self.dimension))

    @classmethod
    def create(cls, where: Where, dimension: int, period_seconds: float) -> Store:
        """Make empty tables, in place of any that a run left before ``library.json`` was there; open them."""
        database = _connect(at(where))
        for name, schema in (("videos", videos_schema()), ("frames", _frames_schema(dimension))):
            database.create_table(name, schema=schema, mode="overwrite")
        return cls(where, dimension, period_seconds)

    def _table(self, name: str, schema: pa.Schema) -> Any:
        with damage_said(self._storage, f"table {name!r} in {self._storage} cannot be opened"):
            table = self._database.open_table(name)
            found = table.schema
        if not _readable(found, schema):
            raise LibraryDamagedError(f"table {name!r} in {self._storage} has other columns", REPAIR)
        return table

    @property
    def versions(self) -> tuple[int, int]:
        """Table versions (videos, frames): they change with every commit."""
        return int(self._videos.version), int(self._frames.version)

    def refresh(self) -> None:
        """See what other processes committed since the tables were opened: both tables as of one instant."""
        version = None
        while version != self._videos.version:  # a commit in between: its frames may be newer or gone
            version = self._videos.version
            self._frames.checkout_latest()
            self._videos.checkout_latest()

    def pinned(self) -> Store:
        """A second view of the tables that goes on showing the state of now, as long as old versions are kept."""
        with damage_said(self._storage, f"the tables in {self._storage} cannot be opened"):
            view = Store(self._storage, self.dimension, self.period_seconds)
            for table, version in zip((view._videos, view._frames), self.versions, strict=True):
                table.checkout(version)
        return view

    @property
    def frames_search(self) -> TableSearch:
        """The table of frames, to be searched where it lies."""
        return TableSearch(self._storage, self._frames, self.dimension, _OLD_VERSIONS_KEPT)

    # ---- reading

    def videos(self) -> list[VideoRow]:
        """All videos, by path.

        Raises:
            LibraryDamagedError: the table cannot be read.
        """
        return self.catalogue().rows()

    def catalogue(self) -> Catalogue:
        """The videos in columns; read once, and then brought along with own commits.

        Raises:
            LibraryDamagedError: the table cannot be read.
        """
        with damage_said(self._storage, f"the table of videos in {self._storage} cannot be read"):
            version = int(self._videos.version)
            known = self._known
            if known is None or known.version != version or len(known.changes) > _CHANGES_KEPT:
                known = Catalogue(self._videos.search().limit(None).to_arrow(), version)
                self._known = known
        return known

    def changes_since(self, version: int) -> Mapping[int, VideoRow | None] | None:
        """What was committed to the table of videos since ``version``, by id; None where that is not known.

        A row as it is now, without paths where the video is gone; None of one whose row is deleted too. Some may
        be as they were.
        """
        known = self._known
        if known is None or known.version != int(self._videos.version):
            return None
        return known.changes if known.read_version <= version <= known.version else None

    def _keep_up(
        self, before: int, changed: Sequence[VideoRow] = (), gone: Sequence[int] = (), commits: int = 1
    ) -> None:
        """Bring the videos at hand along with a commit of our own to version ``before``."""
        version = int(self._videos.version)
        if self._known is not None and self._known.version == before and version <= before + commits:
            self._known = self._known.changed(version, changed, gone)

    def frames(
        self, videos: Sequence[VideoRow], rows_at_once: int = 65_536, are_newest: bool = False
    ) -> Iterator[VideoFrames]:
        """The frames of ``videos``, in that order, reading about ``rows_at_once`` rows at a time.

        Args:
            videos: of the library.
            rows_at_once: a bound of memory.
            are_newest: these are probably the last that were written, so the end of the table is looked at first.

        Raises:
            LibraryDamagedError: the table lacks frames of a video, or holds others than were written.
        """
        for group in grouped(videos, lambda video: video.frames, rows_at_once, _IDS_PER_STATEMENT):
            what = f"the frames of {printable(group[0].path)} or another video cannot be read"
            with damage_said(self._storage, what):
                found = list(self._read(group, are_newest))
            yield from found

    def _read(self, videos: Sequence[VideoRow], are_newest: bool) -> Iterator[VideoFrames]:
        ids = [video.video_id for video in videos]
        table = self._last_rows(videos) if are_newest else None
        if table is None:
            table = self._frames.search().where(f"video_id IN ({_sql(ids)})").limit(None).to_arrow()
        owner = table.column("video_id").to_numpy()
        order = np.lexsort((table.column("frame_index").to_numpy(), owner))
        owner = owner[order]
        vectors = matrix(table.column("vector"), self.dimension)[order]
        following = table.column("next_similarity").to_numpy()[order]
        for video in videos:
            first, end = np.searchsorted(owner, [video.video_id, video.video_id + 1])
            if end - first != video.frames:
                raise LibraryDamagedError(
                    f"{end - first} of {video.frames} frames of {printable(video.path)} are in the table", REPAIR
                )
            frames = VideoFrames(video.video_id, vectors[first:end], following[first : end - 1])
            if video.digest and frames.digest() != video.digest:
                raise LibraryDamagedError(
                    f"the frames of {printable(video.path)} are damaged in the table", REPAIR
                )
            yield frames

    def _last_rows(self, videos: Sequence[VideoRow]) -> pa.Table | None:
        """As many rows from the end of the table as the videos have, where they are theirs."""
        wanted, rows = sum(video.frames for video in videos), self.count_frames()
        if wanted > rows:
            return None
        table = self._frames.search().offset(rows - wanted).limit(wanted).to_arrow()
        owners = np.unique(table.column("video_id").to_numpy())
        return table if np.array_equal(owners, sorted(video.video_id for video in videos)) else None

    def count_frames(self) -> int:
        """Rows in ``frames``, leftovers of an interrupted run included."""
        return int(self._frames.count_rows())

    def frame_owners(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Distinct ids in ``frames`` and the rows each has."""
        counts: dict[int, int] = {}
        with damage_said(self._storage, f"the table of frames in {self._storage} cannot be read"):
            batches = self._frames.search().select(["video_id"]).limit(None).to_batches()
            for batch in batches:
                ids, rows = np.unique(batch.column("video_id").to_numpy(), return_counts=True)
                for video_id, n in zip(ids.tolist(), rows.tolist(), strict=True):
                    counts[video_id] = counts.get(video_id, 0) + n
        return np.array(list(counts), dtype=np.int64), np.array(list(counts.values()), dtype=np.int64)

    def fragments(self) -> int:
        """Files that hold ``frames``."""
        return _fragments(self._frames)

    def check_journal(self) -> None:
        """Raise LibraryDamagedError where the note of what is under way cannot be read."""
        self._doubtful()

    # ---- writing (under indexer.lock.writing)

    def add_missing_columns(self) -> None:
        """Give tables of an older schema the columns that they lack, all null (see indexer.migrations)."""
        lacking = [field for field in videos_schema() if field.name not in self._videos.schema.names]
        if lacking:
            self._videos.add_columns(lacking)

    def start_journal(self) -> None:
        """Note that nothing is under way, in place of a note that may be damaged."""
        self._doubt([])

    def commit(self, added: Sequence[tuple[VideoRow, VideoFrames]], changed: Sequence[VideoRow] = ()) -> None:
        """Make ``added`` videos and the new paths of ``changed`` ones visible in one commit.

        A changed row without paths is a video that is gone: its frames are deleted.
        """
        frames = [frames for _, frames in added]
        self._commit(
            [row for row, _ in added],
            changed,
            lambda: self._frames.add(_frames_table(frames, self.dimension, self.period_seconds)),
        )

    def write_fragments(self, videos: Sequence[VideoFrames]) -> list[Fragment]:
        """Write frames that no reader sees until another process commits them; needs no lock."""
        table = _frames_table(videos, self.dimension, self.period_seconds)
        return fragments.write(table, self._frames.uri, self._storage.options)

    def commit_fragments(
        self, added: Sequence[VideoRow], written: Sequence[Fragment], changed: Sequence[VideoRow]
    ) -> None:
        """As :meth:`commit`, for videos whose frames other processes wrote with :meth:`write_fragments`."""

        def append() -> None:
            fragments.append(written, self._frames.uri, self._storage.options)
            self._frames.checkout_latest()

        self._commit(added, changed, append)

    def _commit(
        self, added: Sequence[VideoRow], changed: Sequence[VideoRow], add_frames: Callable[[], object]
    ) -> None:
        gone = [row.video_id for row in changed if not row.paths]
        before = self._doubtful()  # of a commit of this run that failed
        self._doubt([*before, *(row.video_id for row in added), *gone])
        if added:
            add_frames()
        self._merge([*added, *changed])
        self._forget(gone)
        self._doubt(before)
        self.compact()

    def _merge(self, rows: Sequence[VideoRow]) -> None:
        if rows:
            before = int(self._videos.version)
            merge = self._videos.merge_insert("video_id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(videos_table(rows))
            self._keep_up(before, rows)

    def _forget(self, video_ids: Sequence[int]) -> None:
        for some in _chunks(video_ids):
            self._frames.delete(f"video_id IN ({_sql(some)})")
            before = int(self._videos.version)
            self._videos.delete(f"video_id IN ({_sql(some)})")
            self._keep_up(before, gone=some)

    def remove(self, videos: Iterable[VideoRow]) -> None:
        """Take videos out of the library."""
        self.commit([], [replace(video, paths=()) for video in videos])

    def recover(self) -> int:
        """Delete what an interrupted run left without a video; returns the number of ids looked at."""
        if self._storage.exists(_FRAGMENTS):
            self.sweep_fragments()
        doubtful = self._doubtful()
        if doubtful:
            visible = self.catalogue().ids
            self._forget([video_id for video_id in doubtful if video_id not in visible])
            self._doubt([])
        return len(doubtful)

    def delete_orphans(self) -> int:
        """Delete every frame that belongs to no video (a full scan); returns the number of rows."""
        owners, rows = self.frame_owners()
        is_orphan = ~np.isin(owners, self.catalogue().ids)
        self._forget(owners[is_orphan].tolist())
        return int(rows[is_orphan].sum())

    def compact(self, max_fragments: int = MAX_FRAGMENTS) -> bool:
        """Merge the small files of a table that has more than ``max_fragments``; whether it was done.

        Every so many commits old versions go too: a change of paths alone adds no file of frames.
        """
        tables = {
            "frames": (self._frames, max_fragments),
            "videos": (self._videos, min(max_fragments, _MAX_VIDEO_FILES)),
        }
        due = [name for name, (table, most) in tables.items() if _small_files(table) > most or self._is_old(name)]
        for name in due:
            before = int(self._videos.version)
            self._merge_files(tables[name][0])
            self._keep_up(before, commits=_COMMITS_OF_A_MERGING)
        self._cleaned = self._version_blocks()
        return bool(due)

    def _merge_files(self, table: Any) -> None:
        """Each row is written anew a few times until its file is full, however many come after it."""
        if table.stats()["num_indices"]:  # only the version of Lance that made them is sure to keep them right
            table.optimize(cleanup_older_than=_OLD_VERSIONS_KEPT)
            return
        try:
            self._merge_small_files(table)
        except Exception as error:  # LanceDB's tables may be newer than the installed pylance understands
            _log.debug("LanceDB merges all files of %s: %s", table.name, first_line(error))
            table.checkout_latest()
            table.optimize(cleanup_older_than=_OLD_VERSIONS_KEPT)

    def _merge_small_files(self, table: Any) -> None:
        where = (table.uri, self._storage.options)
        fragments.merge(*where, MERGED_ROWS)
        table.checkout_latest()
        if _fragments(table) - _small_files(table) - table.count_rows() // _FULL_ROWS > _MAX_MERGED:
            fragments.merge(*where, _FULL_ROWS, is_copy=True)
        fragments.forget_old_versions(*where, _OLD_VERSIONS_KEPT)
        table.checkout_latest()

    def _is_old(self, name: str) -> bool:
        return self._version_blocks()[name] > self._cleaned[name]

    def _version_blocks(self) -> dict[str, int]:
        """Which block of versions each table is in; the process that enters a new one cleans up."""
        videos, frames = self.versions
        return {"videos": videos // VERSIONS_BETWEEN_CLEANUPS, "frames": frames // VERSIONS_BETWEEN_CLEANUPS}

    def expect_fragments(self) -> None:
        """Note that other processes write files which a commit may never come to name."""
        self._storage.write(_FRAGMENTS, b"true")

    def sweep_fragments(self, some_were_lost: bool = True) -> None:
        """No process writes fragments any more: delete those of no commit, if there may be any."""
        if some_were_lost:
            self.expect_fragments()  # fails where the lease was lost: what lies there is another writer's
            self._frames.optimize(cleanup_older_than=_OLD_VERSIONS_KEPT, delete_unverified=True)
        self._storage.delete(_FRAGMENTS)

    def _doubt(self, video_ids: Sequence[int]) -> None:
        self._storage.write(_DOUBTFUL, to_json(list(video_ids)))

    def _doubtful(self) -> list[int]:
        try:
            return [int(i) for i in json.loads(self._storage.read(_DOUBTFUL))]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            raise LibraryDamagedError(f"{self._storage}/{_DOUBTFUL} is damaged", REPAIR) from error


def shape_of(where: Where) -> tuple[int, float | None]:
    """Dimension and sampling period as the frames tell them; no period where no video has two frames.

    Raises:
        LibraryDamagedError: the table cannot be read.
    """
    with damage_said(at(where), f"the table of frames in {at(where)} cannot be read"):
        table = _connect(at(where)).open_table("frames")
        second = table.search().where("frame_index = 1").limit(1).to_arrow().column("start_seconds").to_pylist()
        return int(table.schema.field("vector").type.list_size), float(second[0]) if second else None


def _fragments(table: Any) -> int:
    return int(table.stats()["fragment_stats"]["num_fragments"])


def _small_files(table: Any) -> int:
    return int(table.stats()["fragment_stats"]["num_small_fragments"])


def _connect(storage: Storage) -> Any:
    os.environ.setdefault("LANCEDB_LOG", "error")  # its warnings tell of what is normal here
    import lancedb

    return lancedb.connect(storage.tables, storage_options=dict(storage.options))


def _readable(found: pa.Schema, schema: pa.Schema) -> bool:
    """Whether a table has these columns, but for later ones, for which :class:`VideoRow` has defaults."""
    import pyarrow as pa

    wanted = [field for field in schema if field.name in found.names or field.name not in _LATER_COLUMNS]
    return bool(found.equals(pa.schema(wanted)))


def _frames_schema(dimension: int) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("video_id", pa.int64()),
            ("frame_index", pa.int32()),
            ("start_seconds", pa.float64()),
            ("next_similarity", pa.float32()),  # CFS_c; NaN at a video's last frame
            ("vector", pa.list_(pa.float16(), dimension)),
        ]
    )


def _frames_table(videos: Sequence[VideoFrames], dimension: int, period_seconds: float) -> pa.Table:
    import pyarrow as pa

    lengths = [len(video.vectors) for video in videos]
    index = np.concatenate([np.arange(n, dtype=np.int32) for n in lengths])
    following = np.concatenate([np.append(v.next_similarity, np.float32(np.nan)) for v in videos])
    flat = pa.array(np.concatenate([video.vectors for video in videos]).reshape(-1))
    return pa.table(
        [
            np.repeat(np.array([video.video_id for video in videos], dtype=np.int64), lengths),
            index,
            index * period_seconds,
            following.astype(np.float32),
            pa.FixedSizeListArray.from_arrays(flat, dimension),
        ],
        schema=_frames_schema(dimension),
    )


def _chunks(video_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(video_ids), _IDS_PER_STATEMENT):
        yield video_ids[start : start + _IDS_PER_STATEMENT]


def _sql(video_ids: Sequence[int]) -> str:
    return ",".join(str(int(video_id)) for video_id in video_ids)
