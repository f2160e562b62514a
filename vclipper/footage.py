"""Exports of a library's videos: only what was indexed is read, and thumbnails stand in for what is away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from vclipper.export.footage import Footage
from vclipper.files import AwayError, Files
from vclipper.library import Library


class LibraryFootage(Footage):
    """The videos of a library, by the paths that it knows.

    Args:
        library: whose.
        files: opens its videos, and nothing else is read, whatever happens to their paths. None: the user's own
            command reads the paths, but for those that hold something else now.
    """

    def __init__(self, library: Library, files: Files | None = None) -> None:
        self._library, self._files = library, files
        self._videos = {path: video for video in library.corpus().videos.values() for path in video.paths}

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[Path]:
        """The open file that holds what was indexed, whatever happens to the path meanwhile."""
        if self._files is None:
            yield path
        elif path not in self._videos:
            raise AwayError("the library holds no such video any more")
        else:
            with self._files.open(self._videos[path]) as file:
                yield Path(f"/proc/self/fd/{file.fileno()}")

    def demand_unchanged(self, path: Path) -> None:
        """See :class:`Footage`; an open file is looked at when it is opened."""
        if self._files is None and path in self._videos:
            self._library.files.demand_unchanged(self._videos[path], path)

    def thumbnail(self, path: Path, seconds: float) -> bytes | None:
        """The one made at indexing."""
        video = self._videos.get(path)
        return None if video is None else self._library.thumbnail(video.video_id, seconds)
