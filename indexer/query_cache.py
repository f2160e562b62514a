"""Embeddings of texts that were searched before: one small file each, beside the library.

Any number of searches may read and write at once; a file is written aside and renamed. In a library that
cannot be written nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np

from indexer.checksum import checked, unchecked
from indexer.snapshot import FOLDER
from indexer.vectors import Float32

#: The folder of the files, beside the other derived ones.
QUERIES = "queries"
#: Embeddings kept; when there are more, the half that was asked for longest ago goes.
MAX_TEXTS = 1_000


class QueryCache:
    """Unit vectors of texts under one model.

    Args:
        library: the library directory.
        model: names the model with its weights; another model has other entries.
        dimension: D.
    """

    def __init__(self, library: Path, model: str, dimension: int) -> None:
        self._folder = library / FOLDER / QUERIES
        self._model, self._dimension = model, dimension

    def get(self, text: str) -> Float32 | None:
        """The vector of ``text``, (D,) float32, or None."""
        path = self._path(text)
        try:
            vector: Float32 = np.frombuffer(unchecked(path.read_bytes()), np.float32)
        except (OSError, ValueError):
            return None
        if vector.shape != (self._dimension,) or not np.isfinite(vector).all():
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the age that counts is that of the last use
        return vector

    def put(self, text: str, vector: Float32) -> None:
        """Keep the vector of ``text``, where the library can be written."""
        path = self._path(text)
        temporary = path.with_name(f"{path.stem}.{os.getpid()}.new")
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(checked(np.ascontiguousarray(vector, np.float32).tobytes()))
            temporary.replace(path)
            self._shrink()

    def _path(self, text: str) -> Path:
        key = f"{self._model}\n{text}".encode("utf-8", "surrogatepass")
        return self._folder / f"{hashlib.blake2b(key, digest_size=16).hexdigest()}.f32"

    def _shrink(self) -> None:
        if sum(1 for _ in self._folder.iterdir()) <= MAX_TEXTS:  # a fraction of the time that their ages take
            return
        with os.scandir(self._folder) as entries:
            by_age = sorted(entries, key=lambda entry: entry.stat().st_mtime)
        for entry in by_age[: len(by_age) - MAX_TEXTS // 2]:
            Path(entry.path).unlink(missing_ok=True)
