"""From the words and pictures of a query to vectors: earlier queries, the exported text half, the model."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexer import manifest, text_tower
from indexer.batcher import Batcher
from indexer.devices import found_devices, named_devices
from indexer.encoder import Encoder, OpenClipEncoder, encode_images
from indexer.errors import LibraryError, LibraryLockedError
from indexer.lock import writing
from indexer.manifest import Manifest
from indexer.query_cache import QueryCache
from indexer.storage import Storage
from indexer.text_tower import TextTower
from indexer.vectors import Float32
from vclipper.models import LoadEncoder, canonical_name

if TYPE_CHECKING:
    from PIL.Image import Image


class Embedding:
    """The model of one library, loaded only when nothing lighter answers. Threads may share it.

    Args:
        storage: the library.
        folder: where its derived files lie (:attr:`vclipper.library.Library.path`).
        load: makes the encoder of a model's name on a device.
        device: where the model runs; of several devices (:mod:`indexer.devices`) the first answers queries.
    """

    def __init__(self, storage: Storage, folder: Callable[[], Path], load: LoadEncoder, device: str) -> None:
        named_devices(device)  # what cannot be a device is said before any work
        self._storage, self._folder, self._load, self._device = storage, folder, load, device
        self._lock = threading.RLock()
        self._together: Batcher[Sequence[str], Float32] = Batcher(self._lists)
        self._encoders: list[Encoder] = []
        self._text_tower: TextTower | None = None

    def encoder_called(self, model: str, device: str | None = None) -> Encoder:
        """The encoder of this name; the last one is kept. ``device`` stands in for the one that was named.

        Raises:
            ModelError: it cannot be loaded.
        """
        with self._lock:
            if not self._encoders or self._encoders[0].name != canonical_name(model):
                self._encoders = [self._load(model, device or found_devices(self._device)[0])]
            return self._encoders[0]

    @property
    def encoder(self) -> Encoder:
        """The model that made the library; errors as :attr:`vclipper.library.Library.encoder` says."""
        made = manifest.load(self._storage)
        encoder = self.encoder_called(made.model)
        made.require_model(encoder.name, encoder.fingerprint)
        return encoder

    @property
    def encoders(self) -> Sequence[Encoder]:
        """The same model on every device that was named, which index runs use side by side."""
        with self._lock:
            first = self.encoder
            for device in found_devices(self._device)[len(self._encoders) :]:
                self._encoders.append(self._load(first.name, device))
            return self._encoders

    def texts(self, texts: Sequence[str]) -> Callable[[], Float32]:
        """(q, D) float32 unit vectors, when called for: what was asked until then goes through together."""
        return self._together.later(texts)

    def pictures(self, pictures: Sequence[Image]) -> Float32:
        """(b, D) float32 unit vectors of RGB pictures of any size."""
        with self._lock:
            return encode_images(self.encoder, pictures)

    def export_text(self) -> None:
        """Write the text half of a model that is loaded beside the library, once; another process may be at it."""
        key, encoder = manifest.load(self._storage).model_key, next(iter(self._encoders), None)
        if isinstance(encoder, OpenClipEncoder) and not text_tower.is_saved(self._folder(), key):
            from indexer.text_export import export

            with contextlib.suppress(LibraryLockedError), writing(self._folder(), "vclip", "exporter"):
                export(encoder, self._folder(), key)

    def forget_text_tower(self) -> None:
        """The exported text half may have been mended or deleted: it is opened again when it is needed."""
        self._text_tower = None

    def _lists(self, lists: Sequence[Sequence[str]]) -> list[Float32]:
        with self._lock:
            vectors = self._known_or_new([text for texts in lists for text in texts])
        return np.split(vectors, np.cumsum([len(texts) for texts in lists])[:-1])

    def _known_or_new(self, texts: Sequence[str]) -> Float32:
        made = manifest.load(self._storage)
        cache = QueryCache(self._folder(), made.model_key, made.dimension)
        known = {text: vector for text in texts if (vector := cache.get(text)) is not None}
        if new := [text for text in texts if text not in known]:
            known.update(zip(new, self._encode(new, made), strict=True))
            for text in new:
                cache.put(text, known[text])
        return np.stack([known[text] for text in texts])

    def _encode(self, texts: Sequence[str], made: Manifest) -> Float32:
        if not self._encoders and self._text_tower is None:
            self._text_tower = text_tower.load(self._folder(), made.model_key)
        if not self._encoders and self._text_tower is not None:
            return self._text_tower.encode_texts(texts)
        vectors = self.encoder.encode_texts(texts)
        with contextlib.suppress(LibraryError, OSError):  # a library that cannot be written
            self.export_text()
        return vectors
