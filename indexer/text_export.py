"""Take the text half out of a loaded OpenCLIP model, for :mod:`indexer.text_tower`.

Only what is proved equal is written: the export answers a set of texts as the model does, or there is none
and searches load the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer import text_tower
from indexer.text_tower import TextShape, TextTower
from indexer.vectors import Float32

if TYPE_CHECKING:
    from indexer.encoder import OpenClipEncoder

_TEXTS = (
    "a",
    "a man in a yellow blanket",
    "Ein Hund läuft über die Straße, 狗在跑 🐕!",
    "it's &amp;amp; 12:30 <b>o'clock</b>\n\ttoday",
    "a very long sentence about many things " * 12,
)
_LEAST_COSINE = 0.9999  # a GPU's float16 stays above it
_CLEANERS = {"_clean_lower": "lower", "_clean_whitespace": "whitespace", "_clean_canonicalize": "canonicalize"}


class _NotPlainError(Exception):
    """A text half that :class:`TextTower` does not know."""


def export(encoder: OpenClipEncoder, library: Path, model: str) -> bool:
    """Write the text half of ``encoder`` beside ``library`` under the name ``model``; whether it could be.

    The caller has the exporter's lock (:mod:`indexer.lock`).
    """
    try:
        shape, weights = _parts(encoder.network, encoder.tokenizer)
        tower = TextTower(shape, weights)
        same = np.min(np.sum(tower.encode_texts(_TEXTS) * encoder.encode_texts(_TEXTS), axis=1)) > _LEAST_COSINE
    except (_NotPlainError, AttributeError, KeyError, ValueError, IndexError, ImportError, OSError):
        return False
    if same:
        text_tower.save(library, model, shape, weights)
    return bool(same)


def _parts(network: Any, tokenizer: Any) -> tuple[TextShape, dict[str, Float32]]:
    import open_clip
    from torch import nn

    text = getattr(network, "text", network)  # the newer classes keep it apart
    block = text.transformer.resblocks[0]
    activation = block.mlp.gelu
    quick = type(activation) is open_clip.transformer.QuickGELU
    exact = type(activation) is nn.GELU and activation.approximate == "none"
    plain = (
        type(tokenizer) is open_clip.tokenizer.SimpleTokenizer
        and tokenizer.reduction_fn is None
        and type(block) is open_clip.transformer.ResidualAttentionBlock
        and (quick or exact)
        and getattr(text, "cls_emb", None) is None
        and text.attn_mask is not None
    )
    if not plain:
        raise _NotPlainError
    shape = TextShape(
        layers=len(text.transformer.resblocks),
        heads=block.attn.num_heads,
        context_length=tokenizer.context_length,
        clean=_CLEANERS[tokenizer.clean_fn.__name__],
        quick_gelu=quick,
        epsilon=block.ln_1.eps,
    )
    return shape, _weights(text)


def _weights(text: Any) -> dict[str, Float32]:
    names = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")
    state = {name: value for name, value in text.state_dict().items() if name.startswith(names)}
    if "text_projection" not in state:  # a linear layer, or none
        raise _NotPlainError
    return {name: value.float().cpu().numpy() for name, value in state.items()}
