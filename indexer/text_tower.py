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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.clip_tokenizer import ClipTokenizer
from indexer.snapshot import FOLDER
from indexer.vectors import Float32, unit

FILE_NAME = "text.json"
#: Texts of one run: 32 of 77 tokens take 20 MB between two layers.
_TEXTS_AT_ONCE = 32


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
        """(q, D) of q texts; their tokens lie one after the other, so that the weights are read once for all."""
        weights = self._weights
        texts = [tokens[: int(np.argmax(tokens)) + 1] for tokens in texts]  # the end marker has the highest number
        ends = np.cumsum([len(tokens) for tokens in texts])
        places = np.concatenate([np.arange(len(tokens)) for tokens in texts])
        x = weights["token_embedding.weight"][np.concatenate(texts)] + weights["positional_embedding"][places]
        for layer in range(self._shape.layers):
            block = f"transformer.resblocks.{layer}."
            x = x + self._attention(self._norm(x, f"{block}ln_1"), ends, f"{block}attn.")
            hidden = self._activate(self._linear(self._norm(x, f"{block}ln_2"), f"{block}mlp.c_fc."))
            x = x + self._linear(hidden, f"{block}mlp.c_proj.")
        features: Float32 = self._norm(x[ends - 1], "ln_final") @ weights["text_projection"]
        return features

    def _attention(self, x: Float32, ends: NDArray[np.intp], name: str) -> Float32:
        """Each text looks at itself only; ``ends``: one past the last token of each."""
        projected = self._linear(x, f"{name}in_proj_")
        mixed = [self._attended(one) for one in np.split(projected, ends[:-1])]
        return self._linear(np.concatenate(mixed), f"{name}out_proj.")

    def _attended(self, projected: Float32) -> Float32:
        """(tokens, 3 · width) queries, keys and values of one text → (tokens, width)."""
        length, width = projected.shape[0], projected.shape[1] // 3
        heads = self._shape.heads
        queries, keys, values = projected.reshape(length, 3, heads, width // heads).transpose(1, 2, 0, 3)
        scores = queries @ keys.transpose(0, 2, 1) / np.float32(math.sqrt(width // heads))
        mixed = _softmax(scores + np.triu(np.full((length, length), -np.inf, np.float32), 1)) @ values
        joined: Float32 = mixed.transpose(1, 0, 2).reshape(length, width)
        return joined

    def _linear(self, x: Float32, name: str) -> Float32:
        # OpenBLAS copies its second factor: here the few tokens, not the weights.
        product: Float32 = (self._weights[f"{name}weight"] @ x.T).T + self._weights[f"{name}bias"]
        return product

    def _norm(self, x: Float32, name: str) -> Float32:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(self._shape.epsilon))
        normed: Float32 = centred / deviation * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return normed


def _softmax(scores: Float32) -> Float32:
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    out: Float32 = shares / shares.sum(axis=-1, keepdims=True)
    return out


def _gelu(x: Float32) -> Float32:
    activated: Float32 = x * np.float32(0.5) * (np.float32(1) + _erf(x * np.float32(math.sqrt(0.5))))
    return activated


def _erf(x: Float32) -> Float32:
    """Error function to 5e-7 (Abramowitz and Stegun 1964, 7.1.26); NumPy has none, SciPy's costs its import."""
    size = np.abs(x)
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911) * size)
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    erf: Float32 = np.copysign(np.float32(1) - series * np.exp(-size * size), x)
    return erf


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
