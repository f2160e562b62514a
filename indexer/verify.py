"""Do manifest, tables, index and files agree? What does not, and how to mend it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer import codes, index_choice, manifest, moment_blocks, segments, snapshot, table_index, text_tower
from indexer.catalogue import VideoRow
from indexer.discover import fingerprint, printable
from indexer.errors import LibraryDamagedError, LibraryMismatchError, VClipperError
from indexer.frame_index import FlatIndex, Moments
from indexer.moment_blocks import MomentBlocks
from indexer.plan import video_id_of
from indexer.storage import Storage, Where, at
from indexer.store import Store, VideoFrames
from indexer.thumbnails import Thumbnails
from indexer.vectors import next_frame_similarity

#: float16 keeps 11 bits: a rounded unit vector's length is this close to 1.
_LENGTH_TOLERANCE = 5e-3
_COSINE_TOLERANCE = 1e-4
_MEND = "vclip repair"


@dataclass(frozen=True)
class Problem:
    """Something that does not agree.

    Attributes:
        what: one sentence.
        mend: what to do.
        is_damage: False for what only happened to the user's files (moved, deleted, changed since).
    """

    what: str
    mend: str
    is_damage: bool = True


def verify(where: Where, derived: Path, contents: bool = False) -> Iterator[Problem]:
    """Check the manifest, every row of the tables against the index, and every video against its file.

    Args:
        where: the library.
        derived: where its derived files lie (a library in a folder: the same).
        contents: also read the files again and compare their fingerprints.

    Raises:
        LibraryError: there is no library.
        LibraryMismatchError: a newer VClipper made it.
    """
    try:
        yield from _manifests(where)
        made = manifest.load(where)
        store = Store(where, made.dimension, made.period_seconds)
        store.check_journal()
        videos = store.videos()
        yield from _orphans(store, videos)
    except LibraryDamagedError as error:
        yield Problem(error.message, _MEND)
        return
    yield from _settings(where)
    yield from _rows(at(where), store, videos, derived)
    yield from _start(derived, videos)
    for video in videos:
        yield from _file(video, contents)


def _manifests(where: Where) -> Iterator[Problem]:
    storage = at(where)
    if not storage.exists(manifest.COPY_NAME):  # a library of the first release that nobody has written to since
        return
    if not manifest.exists(where):
        raise LibraryDamagedError(f"{storage}/{manifest.FILE_NAME} is missing", _MEND)
    try:
        if manifest.load(where, manifest.COPY_NAME) != manifest.load(where):
            yield Problem(f"{storage}/{manifest.COPY_NAME} differs from {manifest.FILE_NAME}", _MEND)
    except LibraryMismatchError:
        raise
    except LibraryDamagedError as error:
        yield Problem(error.message, _MEND)


def _settings(where: Where) -> Iterator[Problem]:
    try:
        index_choice.read_setting(at(where))
    except LibraryDamagedError as error:
        yield Problem(error.message, error.hint)


def _orphans(store: Store, videos: Sequence[VideoRow]) -> Iterator[Problem]:
    owners, rows = store.frame_owners()
    live = {video.video_id for video in videos}
    orphans = int(sum(n for owner, n in zip(owners.tolist(), rows.tolist(), strict=True) if owner not in live))
    if orphans:
        yield Problem(f"{orphans} frames belong to no video", f"{_MEND} deletes them")


def _rows(storage: Storage, store: Store, videos: Sequence[VideoRow], library: Path) -> Iterator[Problem]:
    index: FlatIndex | None = None
    is_in_table = index_choice.is_in_table(storage)
    try:
        index = None if is_in_table else segments.load(library, store.dimension)[0]
    except LibraryDamagedError as error:
        if videos or (library / segments.FOLDER).exists():
            yield Problem(error.message, f"{_MEND} rebuilds the index from the table")
    if index is not None:
        yield from _index_videos(index.video_ids, videos)
    summed = Moments.none(store.dimension)
    for video in videos:
        try:
            frames = next(iter(store.frames([video])))
        except VClipperError as error:
            yield Problem(error.message, f"{_MEND} takes them from the index")
            continue
        summed += Moments.of(frames.vectors)
        yield from _vectors(video, frames)
        if index is not None and video.video_id in index.video_ids:
            yield from _same_in_index(video, frames, index)
    if index is not None:
        yield from _moments(library, index)
        yield from _codes(library, index)
    if is_in_table:
        yield from _table_sums(storage, store, videos, summed)


def _table_sums(storage: Storage, store: Store, videos: Sequence[VideoRow], summed: Moments) -> Iterator[Problem]:
    """What the index in the table needs beside it, and whether it can be searched."""
    try:
        table_index.opened(storage, store, videos).search(np.ones((1, store.dimension), np.float32), 1)
        found = MomentBlocks(storage, store.dimension).load()
    except LibraryDamagedError as error:
        yield Problem(error.message, error.hint)
        return
    if found is None or found[0].videos.keys() != {video.video_id for video in videos}:
        yield from _index_videos(frozenset(found[0].videos if found else ()), videos)
    elif not np.allclose(found[1].products, summed.products, rtol=1e-3, atol=1e-2):
        yield Problem(f"the sums in {storage}/{moment_blocks.FOLDER} do not fit the table", "vclip reindex")


def _index_videos(indexed: frozenset[int], videos: Sequence[VideoRow]) -> Iterator[Problem]:
    live = {video.video_id for video in videos}
    if indexed != live:
        yield Problem(
            f"the index lacks {len(live - indexed)} videos and holds {len(indexed - live)} that are gone",
            f"The next search or index run mends it; or {_MEND}",
        )


def _vectors(video: VideoRow, frames: VideoFrames) -> Iterator[Problem]:
    again = f"vclip index --force {printable(video.path)}"
    lengths = np.linalg.norm(frames.vectors.astype(np.float32), axis=1)
    if not np.all(np.abs(lengths - 1) < _LENGTH_TOLERANCE):
        yield Problem(f"{printable(video.path)}: vectors that are not of length 1", again)
    cosines = next_frame_similarity(frames.vectors)
    if not np.allclose(cosines, frames.next_similarity, atol=_COSINE_TOLERANCE):
        yield Problem(f"{printable(video.path)}: next_similarity does not fit the vectors", again)
    if video.video_id not in (video_id_of(video.fingerprint, 0), video_id_of(video.fingerprint, 1)):
        yield Problem(f"{printable(video.path)}: its id is not that of its fingerprint", again)


def _same_in_index(video: VideoRow, frames: VideoFrames, index: FlatIndex) -> Iterator[Problem]:
    if not (
        np.array_equal(index.vectors(video.video_id), frames.vectors.astype(np.float32))
        and np.array_equal(index.next_similarity(video.video_id), frames.next_similarity)
    ):
        yield Problem(
            f"{printable(video.path)}: the index holds other vectors than the table",
            f"{_MEND} rebuilds the index from the table",
        )


def _moments(library: Path, index: FlatIndex) -> Iterator[Problem]:
    """The sums by which scores are scaled."""
    for segment in index.segments:
        if not segments.are_moments_sound(library / segments.FOLDER, segment.name):
            yield Problem(f"the sums of index segment {segment.name} are damaged", _MEND)
        again = Moments.of(segment.index.reconstruct_n(0, len(segment.rows)))
        if not np.allclose(again.products, segment.moments.products, rtol=1e-3, atol=1e-2):
            yield Problem(f"the sums of index segment {segment.name} do not fit its vectors", _MEND)


def _codes(library: Path, index: FlatIndex) -> Iterator[Problem]:
    try:
        codes.load(library, index)
    except LibraryDamagedError as error:
        yield Problem(error.message, error.hint)


def _start(library: Path, videos: Sequence[VideoRow]) -> Iterator[Problem]:
    """What lies there to make searches start sooner."""
    kept = snapshot.load(library, snapshot.tables_state(library))
    if kept is not None and kept.videos != list(videos):
        yield Problem("start/videos.json lists other videos than the table", _MEND)
    if damaged := Thumbnails(library).damaged(video.video_id for video in videos):
        yield Problem(f"the thumbnails of {len(damaged)} videos are damaged", f"{_MEND} deletes them")
    if snapshot.is_damaged(library):
        yield Problem("start/videos.json is damaged", f"The next index run mends it; or {_MEND}")
    if text_tower.is_damaged(library):
        yield Problem("start/text.json and its weights are damaged", f"{_MEND} deletes them; they come again")


def _file(video: VideoRow, contents: bool) -> Iterator[Problem]:
    for path in video.paths:
        if not os.path.lexists(path):
            mend = "If it moved: vclip relink OLD NEW; if it is gone: vclip index --prune FOLDER"
            yield Problem(f"{printable(path)} is not there", mend, is_damage=False)
        elif _changed(path, video, contents):
            mend = f"vclip index {printable(path)}"
            yield Problem(f"{printable(path)} has changed since it was indexed", mend, is_damage=False)


def _changed(path: Path, video: VideoRow, contents: bool) -> bool:
    try:
        if path.stat().st_size != video.size_bytes:
            return True
        return contents and fingerprint(path) != video.fingerprint
    except (OSError, VClipperError):
        return True
