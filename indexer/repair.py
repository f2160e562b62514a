"""Mend what ``verify`` finds, each part from the others; name what no other part holds.

========================  ==============================================================
damaged                   mended from
========================  ==============================================================
``library.json``          its copy; the tables and the model that the user names
the copy                  ``library.json``
the table of videos       ``start/videos.json``
the table of frames       the index
the index, ``start/``     the tables
leftovers, the journal    deleted: they belong to no video
========================  ==============================================================
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexer import codes, index_choice, manifest, segments, snapshot, table_index, text_tower
from indexer.catalogue import VideoRow
from indexer.discover import printable
from indexer.errors import LibraryDamagedError, LibraryError
from indexer.frame_index import FlatIndex
from indexer.manifest import Manifest
from indexer.rewrite import Videos, finish_swap, write_tables
from indexer.storage import TABLES, Folder
from indexer.store import Store, VideoFrames, shape_of
from indexer.thumbnails import Thumbnails
from indexer.verify import verify

_DEFAULT_PERIOD_SECONDS = 2.0


@dataclass
class Repair:
    """What a repair did.

    Attributes:
        mended: one sentence each.
        lost: what no part of the library holds any more, one sentence each, with what to do.
    """

    mended: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def repair(library: Path, model: str = "", model_fingerprint: str = "") -> Repair:
    """Mend the library in this folder (the caller holds the write lock). May be cut short and repeated.

    Args:
        library: its folder.
        model, model_fingerprint: what made it, in case nothing on disk tells.

    Raises:
        LibraryError: there is no library, or nothing tells which model made it.
    """
    done = Repair()
    finish_swap(library)
    made = _mend_manifest(library, model, model_fingerprint, done)
    if not any(problem.is_damage for problem in verify(library, library)):
        return done
    _mend_tables(library, made, done)
    store = Store(library, made.dimension, made.period_seconds)
    _mend_setting(library, done)
    _rebuild_index(library, store)
    done.mended.append("the index was rebuilt from the tables")
    _mend_codes(library, made, done)
    thumbnails = Thumbnails(library)
    if damaged := thumbnails.damaged(video.video_id for video in store.videos()):
        thumbnails.forget(damaged)
        done.mended.append(f"damaged thumbnails of {len(damaged)} videos were deleted")
    if text_tower.is_damaged(library):
        text_tower.forget(library)
        done.mended.append("the damaged text half of the model was deleted; the next index run writes it anew")
    return done


def _rebuild_index(library: Path, store: Store) -> None:
    segments.drop(library)
    if index_choice.read_setting(Folder(library)) == index_choice.TABLE:
        table_index.follow(Folder(library), store, store.videos(), anew=True)
    else:
        segments.follow(library, store)


def _mend_setting(library: Path, done: Repair) -> None:
    storage = Folder(library)
    try:
        index_choice.read_setting(storage)
    except LibraryDamagedError:
        index_choice.write_setting(storage, index_choice.AUTO)
        done.mended.append("the damaged settings.json was set to the index type auto")


def _mend_codes(library: Path, made: Manifest, done: Repair) -> None:
    if not (library / codes.FOLDER / "codes.json").exists():
        return
    try:
        codes.load(library, segments.load(library, made.dimension)[0])
    except LibraryDamagedError:
        codes.drop(library)
        done.mended.append("the damaged codes were deleted: vclip reindex makes them anew")


# ---- the manifest


def _mend_manifest(library: Path, model: str, model_fingerprint: str, done: Repair) -> Manifest:
    names = (manifest.COPY_NAME, manifest.FILE_NAME)  # the copy has a checksum, so it is believed first
    found = [made for name in names if (made := _readable(library, name))]
    if len(found) == 2 and found[0] == found[1]:
        return found[0]
    made = found[0] if found else _made_of(library, model, model_fingerprint)
    if len(found) == 1 and found[0].schema_version == 1:  # the first release kept no copy
        return made
    manifest.save(made, library)
    done.mended.append(f"{manifest.FILE_NAME} and its copy were written anew")
    return made


def _readable(library: Path, name: str) -> Manifest | None:
    try:
        return manifest.load(library, name)
    except LibraryDamagedError:
        return None
    except LibraryError as error:
        if type(error) is LibraryError:  # it is missing
            return None
        raise


def _made_of(library: Path, model: str, model_fingerprint: str) -> Manifest:
    """What the tables tell, and the user."""
    if not (library / TABLES).is_dir():
        raise LibraryError(f"no library at {library}", "Make one: vclip index FOLDER")
    if not model:
        raise LibraryError(
            f"nothing in {library} tells which model made it",
            "Name it: vclip repair --model NAME (without --model at the time: ViT-B-32/laion2b_s34b_b79k)",
        )
    dimension, period_seconds = shape_of(library)
    return Manifest(model, model_fingerprint, dimension, period_seconds or _DEFAULT_PERIOD_SECONDS)


# ---- the tables


def _mend_tables(library: Path, made: Manifest, done: Repair) -> None:
    """Delete leftovers; where a table cannot be read, write both anew from what can be."""
    store = Store(library, made.dimension, made.period_seconds, is_damaged=True)
    try:
        orphans = _read_whole(library, made, store, done)
    except LibraryDamagedError:
        _write_anew(library, made, store, done)
    else:
        done.mended += [f"{orphans} frames that belong to no video were deleted"] * bool(orphans)
    Store(library, made.dimension, made.period_seconds).start_journal()


def _read_whole(library: Path, made: Manifest, store: Store, done: Repair) -> int:
    """Read everything; how many leftover frames were deleted.

    LanceDB reads the table through indexes of its own. Those alone may be damaged, so they are deleted before the
    table is given up.

    Raises:
        LibraryDamagedError: a table cannot be read.
    """
    try:
        for _ in store.frames(store.videos()):
            pass
    except LibraryDamagedError:
        with contextlib.suppress(Exception):  # LanceDB's own, where there is no table to speak of
            if store.frames_search.drop():
                done.mended.append("LanceDB's damaged indexes on the table of frames were deleted")
        for _ in Store(library, made.dimension, made.period_seconds, is_damaged=True).frames(store.videos()):
            pass
    return store.delete_orphans()


def _write_anew(library: Path, made: Manifest, damaged: Store, done: Repair) -> None:
    videos = _known_videos(library, damaged, done)
    number = write_tables(library, made, _recovered(library, videos, damaged, done))
    done.mended.append(f"the tables were written anew with {number} videos")


def _known_videos(library: Path, damaged: Store, done: Repair) -> Sequence[VideoRow]:
    with contextlib.suppress(LibraryDamagedError):
        return damaged.videos()
    kept = snapshot.load_any(library)
    if kept is not None:
        done.mended.append("the list of videos was taken from start/videos.json")
    videos = [] if kept is None else kept.videos
    unknown = _owners(damaged) - {video.video_id for video in videos}
    if unknown or kept is None:
        number = f"{len(unknown)} videos" if unknown else "all videos"
        done.lost.append(f"the names of {number}: index their folders again, vclip index FOLDER")
    return videos


def _owners(damaged: Store) -> set[int]:
    with contextlib.suppress(LibraryDamagedError):
        return {int(owner) for owner in damaged.frame_owners()[0]}
    return set()


def _recovered(library: Path, videos: Sequence[VideoRow], damaged: Store, done: Repair) -> Videos:
    """Each video with its frames: as the table has them, or as the index has them."""
    index = segments.load_sound(library, damaged.dimension)
    for video in videos:
        frames = _from_table(video, damaged) or _from_index(video, index)
        if frames is None:
            path = printable(video.path)
            done.lost.append(f"the frames of {path}: index it again, vclip index {path}")
        else:
            yield video, frames


def _from_table(video: VideoRow, damaged: Store) -> VideoFrames | None:
    try:
        return next(iter(damaged.frames([video])))
    except LibraryDamagedError:
        return None


def _from_index(video: VideoRow, index: FlatIndex) -> VideoFrames | None:
    if video.video_id not in index.video_ids:
        return None
    vectors = index.vectors(video.video_id).astype(np.float16)
    frames = VideoFrames(video.video_id, vectors, index.next_similarity(video.video_id))
    is_whole = len(vectors) == video.frames and video.digest in ("", frames.digest())
    return frames if is_whole else None
