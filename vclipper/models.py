"""Models by name: OpenCLIP's, and the one that VClipper ships."""

from __future__ import annotations

from pathlib import Path

from indexer.encoder import LOCAL, OpenClipEncoder, weights_fingerprint

DEMO_MODEL = "demo"
DEMO_FOLDER = Path(__file__).parent / "demo" / "model"


def load_encoder(model: str, device: str = "auto") -> OpenClipEncoder:
    """The encoder called ``model``: ``demo``, ``NAME/PRETRAINED``, ``local-dir:PATH`` or ``hf-hub:ORG/REPO``.

    Raises:
        ModelError: it cannot be loaded.
    """
    return OpenClipEncoder(_as_openclip(model), device, name=canonical_name(model), demo_only=model == DEMO_MODEL)


def fingerprint_of(model: str) -> str:
    """Names the weights of a local model without loading it; empty for published models."""
    return weights_fingerprint(_as_openclip(model))


def canonical_name(model: str) -> str:
    """``local-dir:`` names with an absolute path, so that they hold wherever a command is started."""
    if model.startswith(LOCAL):
        return f"{LOCAL}{Path(model[len(LOCAL) :]).expanduser().resolve()}"
    return model


def _as_openclip(model: str) -> str:
    return f"{LOCAL}{DEMO_FOLDER}" if model == DEMO_MODEL else canonical_name(model)
