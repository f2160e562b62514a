"""One picture of a video at a time: from its file, decoded in a worker process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.container import open_container, picture_stream
from indexer.errors import VideoError
from indexer.picture import upright
from indexer.probe import probe

if TYPE_CHECKING:
    from PIL.Image import Image

_QUALITY = 80
#: Frames decoded in search of the one wanted, from the keyframe before it.
_MAX_FRAMES = 3_000


@dataclass(frozen=True)
class Still:
    """The task: the frame shown ``seconds`` after the first one, as a JPEG at most ``width`` wide."""

    seconds: float
    width: int

    def __call__(self, path: Path) -> Iterator[Any]:
        """Decode it; the result is the JPEG's bytes."""
        image = _frame_at(path, self.seconds)
        image.thumbnail((self.width, self.width * 4), reducing_gap=2.0)
        out = io.BytesIO()
        image.save(out, "JPEG", quality=_QUALITY)
        yield out.getvalue()


def _frame_at(path: Path, seconds: float) -> Image:
    info = probe(path)
    with open_container(path) as container:
        stream = picture_stream(container, path)
        stream.thread_type = "AUTO"
        stamp = (info.first_stamp_seconds or 0.0) + seconds
        _seek(container, stream, stamp)
        best = None
        for count, frame in enumerate(_decodable(container, stream)):
            late = frame.time is not None and frame.time > stamp + 1e-3
            if best is None or not late:
                best = frame
            if late or count >= _MAX_FRAMES:
                break
        if best is None:
            raise VideoError("no picture of it can be decoded there")
        return upright(best, info)


def _seek(container: Any, stream: Any, stamp: float) -> None:
    import av

    with contextlib.suppress(av.FFmpegError, OSError):  # what cannot be sought in is decoded from its start
        container.seek(int(stamp / stream.time_base), stream=stream)


def _decodable(container: Any, stream: Any) -> Iterator[Any]:
    import av

    for packet in container.demux(stream):
        with contextlib.suppress(av.FFmpegError):
            yield from packet.decode()
