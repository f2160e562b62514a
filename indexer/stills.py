"""The pictures that a video shows at given times, decoded from the clean start before the first of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.clock import TimedFrame
from indexer.container import open_container
from indexer.discover import printable
from indexer.errors import VideoError
from indexer.probe import probe
from indexer.video_types import DecodeProgress, VideoInfo

if TYPE_CHECKING:
    from PIL.Image import Image


def pictures_at(path: Path, times_seconds: Iterable[float]) -> Iterator[Image]:
    """The upright RGB picture shown at each of ``times_seconds``, which rise; those past the end are left out.

    Raises:
        VideoError: the file is away or cannot be opened.
    """
    from indexer.picture import upright

    wanted = list(times_seconds)
    if not wanted:
        return
    for timed, info in _frames_from(path, wanted[0]):
        while wanted and wanted[0] < timed.end_seconds:
            del wanted[0]
            yield upright(timed.frame, info)
        if not wanted:
            return


def picture_at(path: Path, seconds: float) -> Image:
    """The upright RGB picture shown at a time; the last one past the end.

    Raises:
        VideoError: the file is away, cannot be opened or shows nothing.
    """
    from indexer.picture import upright

    shown = None
    for shown in _frames_from(path, seconds):
        if seconds < shown[0].end_seconds:
            break
    if shown is None:
        raise VideoError(f"{printable(path)} shows nothing", "It may be damaged")
    return upright(shown[0].frame, shown[1])


def _frames_from(path: Path, seconds: float) -> Iterator[tuple[TimedFrame, VideoInfo]]:
    """Every frame from a clean start at or before a time on; what is damaged is passed over."""
    from indexer.decode_pyav import frames_in_order

    info = probe(path)
    with open_container(path) as container:
        stream = container.streams[info.stream_index]
        for timed in frames_in_order(container, stream, info, seconds, DecodeProgress()):
            yield timed, info
