"""What a corpus has in common, shortened, so that what tells its frames apart counts."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.checksum import checked, unchecked
from indexer.frame_index import Moments
from indexer.vectors import Float32, unit

#: Directions that whitening shortens, the strongest first; beyond them corpora are too small to tell.
AXES = 64
#: A direction of v times the usual variance is shortened to (1 + v) to the power of minus this.
EXPONENT = 0.25
#: Vectors in all directions that tell what is reached by chance.
RANDOM_VECTORS = 32
_STATE_BYTES, _TOTAL_BYTES = 16, 8


@lru_cache(maxsize=4)
def random_vectors(dimension: int) -> Float32:
    """(:data:`RANDOM_VECTORS`, D) float32 unit vectors in all directions; the same at every call."""
    drawn = np.random.default_rng(0).standard_normal((RANDOM_VECTORS, dimension))
    return unit(drawn.astype(np.float32))


@dataclass(frozen=True)
class Whitening:
    """A linear map that shortens the directions in which a corpus varies most.

    Attributes:
        mean: (D,) float32, of all frames; it is subtracted first.
        axes: (k, D) float32, orthonormal; ``loss``: (k,) float32, what each loses, 0 to 1.
        covariance: (D, D) float64, of the frames before whitening; ``total``: variance after it, all axes.
    """

    mean: Float32
    axes: Float32
    loss: Float32
    covariance: NDArray[np.float64]
    total: float

    @classmethod
    def of(cls, moments: Moments) -> Whitening:
        """From a corpus's first and second moments."""
        values, vectors = np.linalg.eigh(_covariance(moments))
        values = np.maximum(values, 0.0)
        kept = min(AXES, len(values))
        loss = 1.0 - (1.0 + values[-kept:] / max(float(values.mean()), 1e-12)) ** -EXPONENT
        left = values.copy()
        left[-kept:] *= (1.0 - loss) ** 2
        axes = np.ascontiguousarray(vectors[:, -kept:].T, dtype=np.float32)
        return cls(_mean(moments), axes, loss.astype(np.float32), _covariance(moments), float(left.sum()))

    @classmethod
    def kept(cls, moments: Moments, file: Path) -> Whitening:
        """As :meth:`of`; the axes are read from ``file`` where an earlier search left them, else left there.

        In a library that cannot be written nothing is left. Any number of searches may do so at once.
        """
        state = hashlib.blake2b(moments.total.tobytes(), digest_size=_STATE_BYTES).digest()
        if (found := _read(file, state, moments)) is not None:
            return found
        made = cls.of(moments)
        parts = (state, np.float64(made.total).tobytes(), made.loss.tobytes(), made.axes.tobytes())
        temporary = file.with_name(f"{file.name}.{os.getpid()}.new")
        with contextlib.suppress(OSError):
            temporary.write_bytes(checked(b"".join(parts)))
            temporary.replace(file)
        return made

    def query(self, vector: Float32) -> Float32:
        """(D,) → (D,). Its mean stays: what is usual for frames need not be so for texts."""
        whitened: Float32 = self.queries(vector[None])[0]
        return whitened

    def queries(self, vectors: Float32) -> Float32:
        """Several of them: (b, D) → (b, D) float32 unit."""
        return unit(self._shorten(vectors))

    def coordinates(self, vectors: Float32) -> Float32:
        """What :meth:`products` needs of (n, D) frames: (n, k + 1) float32."""
        coordinates: Float32 = vectors @ self._lost.T - self._lost_by_mean
        return coordinates

    def products(self, products: Float32, coordinates: Float32) -> Float32:
        """Inner products (n, n) of whitened frames, not of length 1 again, from those of the frames themselves.

        With m the mean, A the axes and l what each loses, W = 1 - Aᵀ l A, so W(x - m) · W(y - m) is
        (x - m) · (y - m) less what the two have along the axes, times 1 - (1 - l)².
        """
        axes, mean = coordinates[:, :-1], coordinates[:, -1]
        whitened: Float32 = products - axes @ axes.T
        whitened -= mean
        whitened -= mean[:, None]
        return whitened

    @cached_property
    def _lost(self) -> Float32:
        """(k + 1, D): the axes, each by what squares of lengths along it lose, and the mean."""
        return np.vstack((np.sqrt(1 - (1 - self.loss) ** 2)[:, None] * self.axes, self.mean))

    @cached_property
    def _lost_by_mean(self) -> Float32:
        lost = self._lost @ self.mean
        lost[-1] /= 2  # (x - m) · (y - m) = x · y - (x · m - m²/2) - (y · m - m²/2)
        return lost

    def sought(self, queries: Float32) -> Float32:
        """With what frames must be multiplied to know their whitened cosines with (b, D) queries: (b, D) float32.

        Whitening is symmetric, so W(v - mean) · Wq is (v - mean) · WWq: v · s - mean · s with this s, divided by
        the length of W(v - mean). So frames need not be whitened.
        """
        return self._shorten(self.queries(queries))

    def deviation(self, query: Float32) -> float:
        """Standard deviation of the cosines of all whitened frames with a whitened query, about."""
        back = self._shorten(query[None])[0].astype(np.float64)
        return float(np.sqrt(max(back @ self.covariance @ back, 0.0) / max(self.total, 1e-12)))

    def _shorten(self, vectors: Float32) -> Float32:
        shorter: Float32 = vectors - ((vectors @ self.axes.T) * self.loss) @ self.axes
        return shorter


def _mean(moments: Moments) -> Float32:
    return (moments.total / moments.rows).astype(np.float32)


def _covariance(moments: Moments) -> NDArray[np.float64]:
    mean = moments.total / moments.rows
    return moments.products / moments.rows - np.outer(mean, mean)


def _read(file: Path, state: bytes, moments: Moments) -> Whitening | None:
    """The whitening kept in ``file``; None where there is none of these moments."""
    dimension = len(moments.total)
    kept, head = min(AXES, dimension), _STATE_BYTES + _TOTAL_BYTES
    try:
        data = unchecked(file.read_bytes())
    except (OSError, ValueError):
        return None
    if data[:_STATE_BYTES] != state or len(data) != head + 4 * kept * (1 + dimension):
        return None
    total = float(np.frombuffer(data, np.float64, 1, _STATE_BYTES)[0])
    numbers = np.frombuffer(data, np.float32, offset=head)
    axes = numbers[kept:].reshape(kept, dimension)
    return Whitening(_mean(moments), axes, numbers[:kept], _covariance(moments), total)
