"""The text half of a CLIP model in NumPy: a search by words need not wait for torch.

Importing torch and OpenCLIP and building a model takes seconds, one short text through twelve small layers a
twentieth of one. :mod:`indexer.text_export` writes the weights beside the library when the model is loaded
anyway; here they are read through a memory map. ``start/text.json`` says what they are and which file holds
them; it is replaced last, so a killed run leaves the old export or none.

The arithmetic is that of OpenAI's CLIP (Radford et al. 2021): a causal transformer, read off at the end
marker. What comes after that marker changes nothing, so it is not computed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.clip_tokenizer import ClipTokenizer
from indexer.processor import instructions
from indexer.snapshot import FOLDER
from indexer.vectors import Float32, unit

FILE_NAME = "text.json"
#: Texts of one run: 32 of 77 tokens take 20 MB between two layers.
_TEXTS_AT_ONCE = 32
#: OpenBLAS takes products of up to so many multiplications for small, on processors with AVX-512.
_SMALL_PRODUCT = 1_000_000
#: Rows of a weight at a time: with fewer the calls cost more than the copies.
_LEAST_ROWS, _MOST_ROWS = 8, 64


@dataclass(frozen=True)
class TextShape:
    """What the weights alone do not say.

    Attributes:
        layers, heads: of the transformer.
        context_length: most tokens of a text. clean: what the tokeniser does first.
        quick_gelu: x·σ(1.702x) instead of the exact GELU. epsilon: of the layer norms.
    """

    layers: int
    heads: int
    context_length: int
    clean: str
    quick_gelu: bool
    epsilon: float


class TextTower:
    """Texts → unit vectors.

    Args:
        shape: the architecture.
        weights: float32 arrays by OpenCLIP's names, ``text_projection`` as (width, D).
    """

    def __init__(self, shape: TextShape, weights: Mapping[str, Float32]) -> None:
        self._shape, self._weights = shape, weights
        self._tokenize = ClipTokenizer(shape.context_length, shape.clean)
        self._activate = _quick_gelu if shape.quick_gelu else _gelu

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """q texts → (q, D) float32 unit vectors."""
        groups = [texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE)]
        return unit(np.concatenate([self._features([self._tokenize(text) for text in some]) for some in groups]))

    def _features(self, texts: Sequence[Sequence[int]]) -> Float32:
        """(q, D) of q texts; their tokens lie one after the other, so that the weights are read once for all.

        Tokens are columns here: the products of weights with them need no copies in another order.
        """
        weights = self._weights
        texts = [tokens[: int(np.argmax(tokens)) + 1] for tokens in texts]  # the end marker has the highest number
        ends = np.cumsum([len(tokens) for tokens in texts])
        places = np.concatenate([np.arange(len(tokens)) for tokens in texts])
        rows = weights["token_embedding.weight"][np.concatenate(texts)] + weights["positional_embedding"][places]
        x = np.ascontiguousarray(rows.T)
        for layer in range(self._shape.layers):
            block = f"transformer.resblocks.{layer}."
            x += self._attention(self._norm(x, f"{block}ln_1"), ends, f"{block}attn.")
            hidden = self._activate(self._linear(self._norm(x, f"{block}ln_2"), f"{block}mlp.c_fc."))
            x += self._linear(hidden, f"{block}mlp.c_proj.")
        features: Float32 = self._norm(x[:, ends - 1], "ln_final").T @ weights["text_projection"]
        return features

    def _attention(self, x: Float32, ends: NDArray[np.intp], name: str) -> Float32:
        """Each text looks at itself only; ``ends``: one past the last token of each."""
        projected = self._linear(x, f"{name}in_proj_")
        mixed = [self._attended(one) for one in np.split(projected, ends[:-1], axis=1)]
        return self._linear(mixed[0] if len(mixed) == 1 else np.concatenate(mixed, axis=1), f"{name}out_proj.")

    def _attended(self, projected: Float32) -> Float32:
        """(3 · width, tokens) queries, keys and values of one text → (width, tokens)."""
        width, length = projected.shape[0] // 3, projected.shape[1]
        queries, keys, values = projected.reshape(3, self._shape.heads, -1, length)
        scores = keys.transpose(0, 2, 1) @ queries  # (heads, tokens looked at, tokens that look)
        scores /= np.float32(math.sqrt(width // self._shape.heads))
        scores += _later(length)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        mixed: Float32 = (values @ scores).reshape(width, length)
        return mixed

    def _linear(self, x: Float32, name: str) -> Float32:
        product = _product(self._weights[f"{name}weight"], x)
        product += self._weights[f"{name}bias"][:, None]
        return product

    def _norm(self, x: Float32, name: str) -> Float32:
        normed: Float32 = x - x.mean(axis=0)
        deviation = np.sqrt(np.einsum("wt,wt->t", normed, normed) / len(x) + np.float32(self._shape.epsilon))
        normed /= deviation
        normed *= self._weights[f"{name}.weight"][:, None]
        normed += self._weights[f"{name}.bias"][:, None]
        return normed


def _product(weight: Float32, x: Float32) -> Float32:
    """(m, k) and (k, t) → (m, t).

    OpenBLAS copies a large factor before it multiplies, which takes longer than the product where t is small.
    With AVX-512 it takes small factors as they are, so the weight is taken a few rows at a time.
    """
    rows = min(_MOST_ROWS, _SMALL_PRODUCT // max(1, x.size))
    rows = 1 << max(0, rows.bit_length() - 1)
    if rows < _LEAST_ROWS or len(weight) % rows or "avx512f" not in instructions():
        whole: Float32 = weight @ x
        return whole
    product: Float32 = weight.reshape(-1, rows, weight.shape[1]) @ x
    return product.reshape(len(weight), -1)


@lru_cache(maxsize=4)
def _later(length: int) -> Float32:
    """What is added to scores so that no token sees a later one: (tokens looked at, tokens that look)."""
    return np.tril(np.full((length, length), -np.inf, np.float32), -1)


def _gelu(x: Float32) -> Float32:
    activated = _erf(x * np.float32(math.sqrt(0.5)))
    activated += np.float32(1)
    activated *= x
    activated *= np.float32(0.5)
    return activated


def _erf(x: Float32) -> Float32:
    """Error function to 5e-7 (Abramowitz and Stegun 1964, 7.1.26); NumPy has none, SciPy's costs its import."""
    size: Float32 = np.abs(x)
    t = size * np.float32(0.3275911)
    t += np.float32(1)
    np.divide(np.float32(1), t, out=t)
    series: Float32 = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += np.float32(factor)
        series *= t
    size *= size
    np.exp(np.negative(size, out=size), out=size)
    series *= size
    np.subtract(np.float32(1), series, out=series)
    np.copysign(series, x, out=series)
    return series


def _quick_gelu(x: Float32) -> Float32:
    activated: Float32 = x / (np.float32(1) + np.exp(np.float32(-1.702) * x))
    return activated


# ---- beside the library


def save(library: Path, model: str, shape: TextShape, weights: Mapping[str, Float32]) -> None:
    """Write the export of ``model`` (the caller has the exporter's lock), in place of any other."""
    from indexer.manifest import write_json_atomically

    folder = library / FOLDER
    folder.mkdir(exist_ok=True)
    file = folder / _weights_name(model)
    _write_flat(file, weights)
    layout = {name: list(array.shape) for name, array in weights.items()}
    values = {
        "model": model,
        "weights": file.name,
        "shape": asdict(shape),
        "layout": layout,
        "digest": _digest(file),
    }
    write_json_atomically(folder / FILE_NAME, values)
    for other in folder.glob("text-*"):
        if other != file:
            other.unlink(missing_ok=True)


def load(library: Path, model: str) -> TextTower | None:
    """The exported text half of ``model``; None where there is none, or it is damaged or another model's."""
    try:
        values = json.loads((library / FOLDER / FILE_NAME).read_text(encoding="utf-8"))
        if values["model"] != model:
            return None
        flat = np.load(library / FOLDER / Path(values["weights"]).name, mmap_mode="r", allow_pickle=False)
        return TextTower(TextShape(**values["shape"]), _views(flat, values["layout"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, ImportError):
        return None


def is_saved(library: Path, model: str) -> bool:
    """Whether :func:`load` would find something."""
    return load(library, model) is not None


def is_damaged(library: Path) -> bool:
    """Whether an export lies here that is not as it was written (reads all of it)."""
    folder = library / FOLDER
    try:
        values = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return bool(values["digest"] != _digest(folder / Path(values["weights"]).name))
    except FileNotFoundError:
        return (folder / FILE_NAME).exists()
    except (OSError, ValueError, KeyError, TypeError):
        return True


def forget(library: Path) -> None:
    """Delete the export; the next index run writes it anew."""
    for file in (library / FOLDER).glob("text*"):
        file.unlink(missing_ok=True)


def _digest(file: Path) -> str:
    import hashlib

    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _weights_name(model: str) -> str:
    import hashlib

    return f"text-{hashlib.blake2b(model.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}.npy"


def _write_flat(path: Path, weights: Mapping[str, Float32]) -> None:
    """All arrays one after the other in one .npy file, flushed to disk before it gets its name."""
    import os

    temporary = path.with_suffix(".new")
    flat = np.concatenate([np.asarray(array, dtype=np.float32).reshape(-1) for array in weights.values()])
    with temporary.open("wb") as file:
        np.save(file, flat)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _views(flat: Float32, layout: Mapping[str, Any]) -> dict[str, Float32]:
    """The arrays in a flat one, by name; ValueError when their sizes do not add up to its length."""
    views: dict[str, Float32] = {}
    start = 0
    for name, shape in layout.items():
        end = start + math.prod(shape)
        views[name] = np.asarray(flat[start:end]).reshape(shape)
        start = end
    if flat.dtype != np.float32 or start != len(flat):
        raise ValueError(f"{len(flat)} numbers for {start}")
    return views
