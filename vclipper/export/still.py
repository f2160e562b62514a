"""The picture that a video shows at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from indexer.container import open_container, printable
from indexer.errors import VideoError

if TYPE_CHECKING:
    from PIL.Image import Image

_LARGEST = (480, 360)
"""Twice the size shown on a contact sheet, for fine screens and printers."""


def still(path: Path, seconds: float) -> Image:
    """The picture that a video shows at a time, upright, at most 480 × 360; its last one past the end.

    Raises:
        VideoError: the file is away or shows nothing.
    """
    from indexer.decode_pyav import frames_in_order
    from indexer.picture import upright
    from indexer.probe import probe
    from indexer.video_types import Progress

    info = probe(path)
    with open_container(path) as container:
        stream = container.streams[info.stream_index]
        shown = None
        for timed in frames_in_order(container, stream, info, seconds, Progress()):
            if shown is not None and timed.start_seconds > seconds:
                break
            shown = timed.frame
        if shown is None:
            raise VideoError(f"{printable(path)} shows nothing", "It may be damaged")
        picture = upright(shown, info)
    picture.thumbnail(_LARGEST)
    return picture
