"""Models by name: OpenCLIP's, and the one that VClipper ships."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from indexer.backends import AUTO, device_for
from indexer.encoder import Encoder, OpenClipEncoder, weights_fingerprint
from indexer.model_names import LOCAL

LoadEncoder = Callable[[str, str], Encoder]

DEMO_MODEL = "demo"
DEMO_FOLDER = Path(__file__).parent / "demo" / "model"


def load_encoder(model: str, device: str = "auto", backend: str = AUTO) -> OpenClipEncoder:
    """The encoder called ``model``: ``demo``, ``NAME/PRETRAINED``, ``local-dir:PATH`` or ``hf-hub:ORG/REPO``.

    Raises:
        ModelError: it cannot be loaded.
        InputError: no such backend, or not here.
    """
    name, is_demo = canonical_name(model), model == DEMO_MODEL
    return OpenClipEncoder(openclip_name(model), device, name=name, demo_only=is_demo, backend=backend)


def with_backend(load: LoadEncoder, backend: str, device: str) -> LoadEncoder:
    """``load`` for one backend; ``load`` itself for ``auto``, so that it need not know of backends.

    Raises:
        InputError: the backend is not here, or not for ``device``: said before any work.
    """
    device_for(backend, device)
    return load if backend == AUTO else partial(cast(Callable[..., Encoder], load), backend=backend)


def fingerprint_of(model: str) -> str:
    """Names the weights of a local model without loading it; empty for published models."""
    return weights_fingerprint(openclip_name(model))


def canonical_name(model: str) -> str:
    """``local-dir:`` names with an absolute path, so that they hold wherever a command is started."""
    if model.startswith(LOCAL):
        return f"{LOCAL}{Path(model[len(LOCAL) :]).expanduser().resolve()}"
    return model


def openclip_name(model: str) -> str:
    """What OpenCLIP calls the model: the demo's is a folder to it."""
    return f"{LOCAL}{DEMO_FOLDER}" if model == DEMO_MODEL else canonical_name(model)
