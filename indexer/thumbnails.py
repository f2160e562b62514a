"""Small pictures of every video, made while it is indexed: results show them even when the drive is away.

They lie in ``thumbnails/`` beside the tables, one file a video: JPEGs one after the other, then an array of (frame
number, offset), then a footer that tells how many and their checksum. A worker process writes ``ID.part``; it
becomes ``ID.jpegs`` just before the video's commit. The writer deletes what belongs to no video, so a killed run
leaves nothing that lasts; a file that is cut off or damaged counts as none.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from indexer.frames import PictureSpec

WIDTH_PIXELS = 320
MAX_HEIGHT_PIXELS = 640
#: Of a longer video every second, third … sampled frame is kept; 3,600 are two hours at the default rate.
MAX_THUMBNAILS = 3_600
JPEG_QUALITY = 75

_SUFFIX = ".jpegs"
_MAGIC = b"VCLIPJPG"
_FOOTER = struct.Struct("<II8s")  # count, CRC-32 of the array, magic
_ENTRY = np.dtype([("frame", "<u4"), ("offset", "<u8")])


class Thumbnails:
    """The thumbnails of one library.

    Args:
        library: its directory.
    """

    def __init__(self, library: Path) -> None:
        self.folder = library / "thumbnails"

    def part(self, video_id: int) -> Path:
        """Where a worker writes while the video is indexed."""
        return self.folder / f"{video_id}.part"

    def _pack(self, video_id: int) -> Path:
        return self.folder / f"{video_id}{_SUFFIX}"

    def publish(self, video_ids: Iterable[int]) -> None:
        """Give the finished files their names, just before the videos are committed."""
        for video_id in video_ids:
            with contextlib.suppress(OSError):  # none were made, or could be
                self.part(video_id).replace(self._pack(video_id))

    def sweep(self, live: Collection[int]) -> None:
        """Delete all files but those of ``live`` videos (under the write lock)."""
        kept = {f"{video_id}{_SUFFIX}" for video_id in live}
        for name in {path.name for path in (self.folder.iterdir() if self.folder.is_dir() else ())} - kept:
            (self.folder / name).unlink(missing_ok=True)

    def at(self, video_id: int, frame: int) -> bytes | None:
        """The JPEG of the last kept frame up to ``frame``; None where there is none."""
        try:
            with self._pack(video_id).open("rb") as file:
                return _read(file, frame)
        except (OSError, ValueError):
            return None

    def damaged(self, video_ids: Iterable[int]) -> list[int]:
        """Those of the videos whose file is there and cannot be read."""
        return [i for i in video_ids if self._pack(i).exists() and self.at(i, 0) is None]

    def forget(self, video_ids: Iterable[int]) -> None:
        """Delete the files of these videos (under the write lock)."""
        for video_id in video_ids:
            self._pack(video_id).unlink(missing_ok=True)

    def size_bytes(self) -> int:
        """Of all thumbnails together."""
        return sum(path.stat().st_size for path in self.folder.glob(f"*{_SUFFIX}"))


def _read(file: BinaryIO, frame: int) -> bytes | None:
    """One JPEG of an open file; ValueError where the file is damaged."""
    end = file.seek(-_FOOTER.size, io.SEEK_END)
    count, checksum, magic = _FOOTER.unpack(file.read())
    start = end - count * _ENTRY.itemsize
    if magic != _MAGIC or start < 0:
        raise ValueError("no thumbnails")
    file.seek(start)
    table = file.read(end - start)
    if zlib.crc32(table) != checksum:
        raise ValueError("damaged thumbnails")
    entries = np.frombuffer(table, _ENTRY)
    place = int(np.searchsorted(entries["frame"], frame, side="right")) - 1
    if place < 0:
        return None
    offset = int(entries["offset"][place])
    following = int(entries["offset"][place + 1]) if place + 1 < count else start
    file.seek(offset)
    return file.read(following - offset)


def thumbnail_spec(width: int, height: int) -> PictureSpec:
    """The size of the thumbnails of a video of width × height pixels: 320 wide, or less where it is smaller."""
    scale = min(1.0, WIDTH_PIXELS / width, MAX_HEIGHT_PIXELS / height)
    return PictureSpec(max(1, round(height * scale)), max(1, round(width * scale)), "squash", "bilinear")


class ThumbnailWriter:
    """Writes one video's file; what cannot be written (a full disk) is left out and costs nothing else.

    Args:
        path: from :meth:`Thumbnails.part`.
        expected: how many frames will come, as far as is known.
    """

    def __init__(self, path: Path, expected: int) -> None:
        self._path = path
        self._step = max(1, -(-expected // MAX_THUMBNAILS))
        self._entries: list[tuple[int, int]] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> ThumbnailWriter:
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            self._file = self._path.open("wb")
        return self

    def wants(self, frame: int) -> bool:
        """Whether a thumbnail of this frame is to be added."""
        return self._file is not None and frame % self._step == 0

    def add(self, frame: int, pixels: NDArray[np.uint8]) -> None:
        """Append the thumbnail of a frame, (H, W, 3) uint8 RGB; frames come in order."""
        from PIL import Image

        if self._file is None:
            return
        jpeg = io.BytesIO()
        Image.fromarray(pixels).save(jpeg, "JPEG", quality=JPEG_QUALITY)
        try:
            self._entries.append((frame, self._file.tell()))
            self._file.write(jpeg.getvalue())
        except OSError:
            self._drop()
        if len(self._entries) % MAX_THUMBNAILS == 0:  # longer than its header said
            self._step *= 2

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._file is None:
            self._drop()
            return
        try:
            table = np.array(self._entries, _ENTRY).tobytes()
            self._file.write(table + _FOOTER.pack(len(self._entries), zlib.crc32(table), _MAGIC))
            self._file.close()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
