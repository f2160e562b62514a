"""Moments of all vectors of a library, kept beside its tables and followed without reading all of them again.

One file for each block of videos, one for their sum, and a list that is replaced last, so that a crash leaves the
old state. New videos are added to the last block; of a block that loses a video the others are read again. Files
are numbered and the list says the next number: what a crash left is written over.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.catalogue import VideoRow
from indexer.checksum import checked, unchecked
from indexer.errors import LibraryDamagedError
from indexer.frame_index import Moments
from indexer.manifest import to_json
from indexer.storage import Storage
from indexer.store import Store

FOLDER = "table-index"
#: The largest block: what is read again when one of its videos goes (256 MiB at 512 dimensions).
BLOCK_ROWS = 262_144
_LIST = f"{FOLDER}/list.json"


@dataclass(frozen=True)
class Block:
    """Videos, and where the moments of their frames lie.

    Attributes:
        number: of the file. videos: id → number of frames.
    """

    number: int
    videos: Mapping[int, int]

    @property
    def rows(self) -> int:
        """Frames of all of them."""
        return sum(self.videos.values())


@dataclass(frozen=True)
class BlockList:
    """What ``list.json`` says.

    Attributes:
        blocks: each video is in one. total: number of the file with the sum of all.
        next_number: of the next file. gone: numbers of files that nobody reads any more.
    """

    blocks: tuple[Block, ...] = ()
    total: int = 0
    next_number: int = 1
    gone: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """Frames of all blocks."""
        return sum(block.rows for block in self.blocks)

    @property
    def videos(self) -> dict[int, int]:
        """All videos: id → number of frames."""
        return {video_id: rows for block in self.blocks for video_id, rows in block.videos.items()}


class MomentBlocks:
    """The files of one library.

    Args:
        storage: the library. dimension: D.
    """

    def __init__(self, storage: Storage, dimension: int) -> None:
        self._storage, self._dimension = storage, dimension

    def load(self) -> tuple[BlockList, Moments] | None:
        """The list and the moments of all blocks; None where there is no list.

        Raises:
            LibraryDamagedError: a file is missing or not as it was written.
        """
        if not self._storage.exists(_LIST):
            return None
        try:
            return self._load()
        except LibraryDamagedError:  # a writer may have replaced the list between our two looks
            return self._load()

    def _load(self) -> tuple[BlockList, Moments]:
        listed = self._read_list()
        return listed, self._read(listed.total, listed.rows)

    def follow(self, store: Store, videos: Sequence[VideoRow], anew: bool = False) -> Moments:
        """Bring the files to the state of ``videos``, all that are live (under the write lock); their moments.

        Raises:
            LibraryDamagedError: the table lacks frames of a video.
        """
        old, total = self.load_or_none() or (BlockList(), Moments.none(self._dimension))
        self._delete(old.gone)  # again, in case a crash came between
        live = {video.video_id: video.frames for video in videos}
        kept = [] if anew else [block for block in old.blocks if block.videos.items() <= live.items()]
        packed = {video_id for block in kept for video_id in block.videos}
        rest = [video for video in videos if video.video_id not in packed]
        if old.total and not rest and len(kept) == len(old.blocks):
            return total
        try:
            return self._follow(store, rest, old, kept, self._sum_of(kept, old, total))
        except LibraryDamagedError:
            if not kept:
                raise
            return self.follow(store, videos, anew=True)

    def _sum_of(self, kept: Sequence[Block], old: BlockList, total: Moments) -> Moments:
        """The old sum without the blocks that are not kept."""
        if not kept:
            return Moments.none(self._dimension)
        for block in old.blocks:
            if block not in kept:
                total -= self._read(block.number, block.rows)
        return total

    def _follow(
        self, store: Store, rest: Sequence[VideoRow], old: BlockList, kept: Sequence[Block], total: Moments
    ) -> Moments:
        numbers, blocks = itertools.count(old.next_number), list(kept)
        for added, moments in _summed(store, rest):
            total += moments
            blocks.append(self._extended(blocks, added, moments, next(numbers)))
        self._save(old, blocks, total, next(numbers))
        return total

    def _extended(self, blocks: list[Block], added: Mapping[int, int], moments: Moments, number: int) -> Block:
        """A new block, written; the last one is taken into it where both are small."""
        if blocks and blocks[-1].rows + moments.rows <= BLOCK_ROWS:
            last = blocks.pop()
            added, moments = {**last.videos, **added}, self._read(last.number, last.rows) + moments
        self._write(number, moments)
        return Block(number, added)

    def _save(self, old: BlockList, blocks: Sequence[Block], total: Moments, number: int) -> None:
        self._write(number, total)
        before = {old.total, *(block.number for block in old.blocks)}
        gone = sorted(before - {0} - {block.number for block in blocks})
        values = {
            "blocks": [[block.number, list(block.videos), list(block.videos.values())] for block in blocks],
            "total": number,
            "next_number": number + 1,
            "gone": gone,
        }
        self._storage.write(_LIST, checked(to_json(values)))
        self._delete(gone)

    def drop(self) -> None:
        """Delete all of it (under the write lock)."""
        if (found := self.load_or_none()) is not None:
            listed = found[0]
            self._storage.delete(_LIST)
            self._delete([listed.total, *(block.number for block in listed.blocks), *listed.gone])
        self._storage.delete(_LIST)

    def load_or_none(self) -> tuple[BlockList, Moments] | None:
        """As :meth:`load`; None where it is damaged too."""
        try:
            return self.load()
        except LibraryDamagedError:
            return None

    def _read_list(self) -> BlockList:
        with self._damage_said():
            values = json.loads(unchecked(self._storage.read(_LIST)))
            blocks = tuple(Block(n, dict(zip(ids, rows, strict=True))) for n, ids, rows in values["blocks"])
            return BlockList(blocks, values["total"], values["next_number"], tuple(values["gone"]))

    def _read(self, number: int, rows: int) -> Moments:
        with self._damage_said():
            sums = np.frombuffer(unchecked(self._storage.read(_name(number))), np.float64)
            total, *products = sums.reshape(self._dimension + 1, self._dimension)
            return Moments(rows, total, np.stack(products))

    def _write(self, number: int, moments: Moments) -> None:
        sums = np.vstack([moments.total[None], moments.products])
        self._storage.write(_name(number), checked(sums.tobytes()))

    def _delete(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._storage.delete(_name(number))

    @contextlib.contextmanager
    def _damage_said(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise LibraryDamagedError(
                f"{self._storage}/{FOLDER} is damaged", "Make it anew: vclip reindex"
            ) from error


def _name(number: int) -> str:
    return f"{FOLDER}/{number}.f64"


def _summed(store: Store, videos: Sequence[VideoRow]) -> Iterator[tuple[dict[int, int], Moments]]:
    """Videos in groups of at least :data:`BLOCK_ROWS` frames but for the last, with the moments of each group."""
    names, moments = dict[int, int](), Moments.none(store.dimension)
    for frames in store.frames(videos):
        names[frames.video_id] = len(frames.vectors)
        moments += Moments.of(frames.vectors)
        if moments.rows >= BLOCK_ROWS:
            yield names, moments
            names, moments = {}, Moments.none(store.dimension)
    if names:
        yield names, moments


def moments_of(store: Store, videos: Sequence[VideoRow]) -> Moments:
    """Of all frames of ``videos``, read from the table."""
    return sum((moments for _, moments in _summed(store, videos)), Moments.none(store.dimension))
