"""Encoders side by side, one a device: a batch goes to whichever is free, nothing is lost with a device.

Memory that does not suffice halves a device's batches. A device that fails hands its batch to the others;
when the last one fails, every batch that is left says why.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from indexer.encoder import Encoder, is_out_of_memory
from indexer.errors import ModelError, first_line
from indexer.vectors import Float32, UInt8


@dataclass(eq=False)
class _Batch:
    """(b, H, W, 3) uint8 pictures, and what will be their (b, D) float32 unit vectors."""

    pictures: UInt8
    vectors: Future[Float32] = field(default_factory=Future)


class Encoders:
    """Takes batches, gives futures; a context manager, which ends its threads.

    The vector of a picture depends on the picture and the size of its batch alone, so it does not matter which
    device of a kind made it.

    Args:
        encoders: the same model on each device, at least one.
        on_lost: told, in one sentence, of a device that failed while others go on; any thread calls it.
    """

    def __init__(self, encoders: Sequence[Encoder], on_lost: Callable[[str], None]) -> None:
        self._on_lost = on_lost
        self._waiting: deque[_Batch] = deque()
        self._changed = threading.Condition()
        self._losses: list[ModelError] = []
        self._at_work = len(encoders)
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, args=(_Device(encoder),), name=f"encoder-{place}", daemon=True)
            for place, encoder in enumerate(encoders)
        ]

    def __enter__(self) -> Encoders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """What waits, one batch a device at most, is still encoded."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def encode(self, pictures: UInt8) -> Future[Float32]:
        """(b, H, W, 3) uint8 → (b, D) float32 unit vectors, later; waits while a batch waits for each device.

        The future raises ModelError when no device is left.
        """
        batch = _Batch(pictures)
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < max(1, self._at_work))
            self._waiting.append(batch)
            self._changed.notify_all()
            if not self._at_work:
                self._fail_the_rest()
        return batch.vectors

    def _work(self, device: _Device) -> None:
        """One device's thread, until there is nothing more to do or the device fails."""
        while (batch := self._next()) is not None and self._embed(device, batch):
            pass

    def _embed(self, device: _Device, batch: _Batch) -> bool:
        """Whether the device can go on."""
        try:
            batch.vectors.set_result(device.encode(batch.pictures))
        except ModelError as error:
            self._lose(batch, error)
            return False
        except BaseException as error:
            batch.vectors.set_exception(error)
        return True

    def _next(self) -> _Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return None
            batch = self._waiting.popleft()
            self._changed.notify_all()
            return batch

    def _lose(self, batch: _Batch, error: ModelError) -> None:
        with self._changed:
            self._waiting.appendleft(batch)
            self._losses.append(error)
            self._at_work -= 1
            if self._at_work:
                self._on_lost(f"{error.message}; the other devices do its work")
            else:
                self._fail_the_rest()
            self._changed.notify_all()

    def _fail_the_rest(self) -> None:
        error = self._losses[-1]
        if len(self._losses) > 1:
            error = ModelError(f"no device is left: {'; '.join(e.message for e in self._losses)}", error.hint)
        while self._waiting:
            self._waiting.popleft().vectors.set_exception(error)


class _Device:
    """One encoder, and how many pictures it has memory for."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._most: int | None = None

    def encode(self, pictures: UInt8) -> Float32:
        """(b, H, W, 3) uint8 → (b, D) float32 unit vectors, in parts of one size where memory is short.

        Raises:
            ModelError: there is no memory for a single picture, or the device does not work.
        """
        while True:
            size = min(len(pictures), self._most or len(pictures))
            try:
                return self._in_parts(pictures, size)
            except (MemoryError, RuntimeError) as error:
                self._most = self._half(size, error)

    def _in_parts(self, pictures: UInt8, size: int) -> Float32:
        """Matrix products of other shapes round differently, so a last part is filled up with black."""
        missing = -len(pictures) % size
        if missing:
            pictures = np.concatenate([pictures, np.zeros((missing, *pictures.shape[1:]), np.uint8)])
        parts = [self._encoder.encode_pictures(pictures[i : i + size]) for i in range(0, len(pictures), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)[: len(pictures) - missing]

    def _half(self, size: int, error: Exception) -> int:
        name = self._encoder.device
        if not is_out_of_memory(error):
            reason = first_line(error)
            raise ModelError(f"{name} failed: {reason}", "What was finished is kept; try --device cpu") from error
        if size == 1:
            raise ModelError(
                f"the memory of {name} does not suffice for one picture",
                "Close other programs, use --device cpu, or a smaller model",
            ) from error
        return size // 2
