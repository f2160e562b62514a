"""Arithmetic on embeddings that both indexing and searching need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float16 = NDArray[np.float16]
UInt8 = NDArray[np.uint8]


def unit(vectors: NDArray[np.floating]) -> Float32:
    """L2-normalise the last axis: (..., D) any float → float32; a zero vector stays zero."""
    v = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(v, axis=-1, keepdims=True)
    out = np.zeros_like(v)
    np.divide(v, norms, out=out, where=norms > 0)
    return out


def next_frame_similarity(vectors: NDArray[np.floating]) -> Float32:
    """CFS_c (thesis 3.5): (n, D) unit vectors → (n-1,) float32, cosine of each frame with the next."""
    v = np.asarray(vectors, dtype=np.float32)
    cosines: Float32 = np.einsum("nd,nd->n", v[:-1], v[1:])
    return cosines


def least_cosine(a: Float32, b: Float32) -> float:
    """(n, D) and (n, D) of any length → the lowest cosine of two rows that belong together."""
    return float(np.min(np.sum(unit(a) * unit(b), axis=1)))
