"""The pictures that a video shows at a few given times, decoded from the clean start before the first of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.container import open_container
from indexer.probe import probe
from indexer.video_types import Progress

if TYPE_CHECKING:
    from PIL.Image import Image


def pictures_at(path: Path, times_seconds: Iterable[float]) -> Iterator[Image]:
    """The upright RGB picture shown at each of ``times_seconds``, which rise; those past the end are left out.

    Raises:
        VideoError: the file is away or cannot be opened.
    """
    from indexer.decode_pyav import frames_in_order
    from indexer.picture import upright

    info = probe(path)
    wanted = list(times_seconds)
    if not wanted:
        return
    with open_container(path) as container:
        stream = container.streams[info.stream_index]
        for timed in frames_in_order(container, stream, info, wanted[0], Progress()):
            while wanted and wanted[0] < timed.end_seconds:
                del wanted[0]
                yield upright(timed.frame, info)
            if not wanted:
                return
