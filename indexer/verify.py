"""Do table, index and files agree? What does not, and how to mend it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer import segments
from indexer.discover import fingerprint, printable
from indexer.errors import LibraryDamagedError, VClipperError
from indexer.frame_index import FlatIndex
from indexer.store import Store, VideoFrames, VideoRow
from indexer.vectors import next_frame_similarity

#: float16 keeps 11 bits: a rounded unit vector's length is this close to 1.
_LENGTH_TOLERANCE = 5e-3
_COSINE_TOLERANCE = 1e-4


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


def verify(library: Path, store: Store, contents: bool = False) -> Iterator[Problem]:
    """Check every row of the tables against the index, and every video against its file.

    Args:
        library: the library directory.
        store: its tables.
        contents: also read the files again and compare their fingerprints.
    """
    videos = store.videos()
    yield from _orphans(store, videos)
    yield from _rows(store, videos, library)
    for video in videos:
        yield from _file(video, contents)


def _orphans(store: Store, videos: Sequence[VideoRow]) -> Iterator[Problem]:
    owners, rows = store.frame_owners()
    live = {video.video_id for video in videos}
    orphans = int(sum(n for owner, n in zip(owners.tolist(), rows.tolist(), strict=True) if owner not in live))
    if orphans:
        yield Problem(f"{orphans} frames belong to no video", "vclip verify --mend deletes them")


def _rows(store: Store, videos: Sequence[VideoRow], library: Path) -> Iterator[Problem]:
    index: FlatIndex | None = None
    try:
        index = segments.load(library, store.dimension)[0]
    except LibraryDamagedError as error:
        yield Problem(error.message, "vclip verify --mend rebuilds the index from the table")
    if index is not None:
        yield from _index_videos(index, videos)
    for video in videos:
        try:
            frames = next(iter(store.frames([video])))
        except VClipperError as error:
            yield Problem(error.message, error.hint)
            continue
        yield from _vectors(video, frames)
        if index is not None and video.video_id in index.video_ids:
            yield from _same_in_index(video, frames, index)


def _index_videos(index: FlatIndex, videos: Sequence[VideoRow]) -> Iterator[Problem]:
    live = {video.video_id for video in videos}
    if index.video_ids != live:
        yield Problem(
            f"the index lacks {len(live - index.video_ids)} videos and holds {len(index.video_ids - live)} "
            "that are gone",
            "The next search or index run mends it; or vclip verify --mend",
        )


def _vectors(video: VideoRow, frames: VideoFrames) -> Iterator[Problem]:
    again = f"vclip index --force {printable(video.path)}"
    lengths = np.linalg.norm(frames.vectors.astype(np.float32), axis=1)
    if not np.all(np.abs(lengths - 1) < _LENGTH_TOLERANCE):
        yield Problem(f"{printable(video.path)}: vectors that are not of length 1", again)
    cosines = next_frame_similarity(frames.vectors)
    if not np.allclose(cosines, frames.next_similarity, atol=_COSINE_TOLERANCE):
        yield Problem(f"{printable(video.path)}: next_similarity does not fit the vectors", again)


def _same_in_index(video: VideoRow, frames: VideoFrames, index: FlatIndex) -> Iterator[Problem]:
    if not (
        np.array_equal(index.vectors(video.video_id), frames.vectors.astype(np.float32))
        and np.array_equal(index.next_similarity(video.video_id), frames.next_similarity)
    ):
        yield Problem(
            f"{printable(video.path)}: the index holds other vectors than the table",
            "vclip verify --mend rebuilds the index from the table",
        )


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
