"""Where an export gets the pictures and sound of a video from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


class Footage:
    """The files where they lie. Whoever knows more of the videos has a subclass: :mod:`vclipper.footage`."""

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[Path]:
        """What to open for the video at ``path``, good while the context lasts.

        Raises:
            VideoError: it may not be read.
        """
        yield path

    def demand_unchanged(self, path: Path) -> None:
        """Refuse a file that is known to be another one than the moment was found in.

        Raises:
            VideoError: it is.
        """

    def thumbnail(self, path: Path, seconds: float) -> bytes | None:
        """A small picture kept of the video, as a JPEG, for when the file cannot be read."""
        return None
