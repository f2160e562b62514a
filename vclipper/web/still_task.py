"""One picture of a video at a time: from its file, decoded in a worker process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.stills import picture_at

_QUALITY = 80


@dataclass(frozen=True)
class Still:
    """The task: the frame shown ``seconds`` after the first one, as a JPEG at most ``width`` wide."""

    seconds: float
    width: int

    def __call__(self, path: Path) -> Iterator[Any]:
        """Decode it; the result is the JPEG's bytes."""
        image = picture_at(path, self.seconds)
        image.thumbnail((self.width, self.width * 4), reducing_gap=2.0)
        out = io.BytesIO()
        image.save(out, "JPEG", quality=_QUALITY)
        yield out.getvalue()
