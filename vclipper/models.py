"""Models by name: OpenCLIP's, and the one that VClipper ships."""

from __future__ import annotations

from pathlib import Path

from indexer.encoder import LOCAL, OpenClipEncoder

DEMO_MODEL = "demo"
DEMO_FOLDER = Path(__file__).parent / "demo" / "model"


def load_encoder(model: str, device: str = "auto") -> OpenClipEncoder:
    """The encoder called ``model``: ``demo``, ``NAME/PRETRAINED``, ``local-dir:PATH`` or ``hf-hub:ORG/REPO``.

    Raises:
        ModelError: it cannot be loaded.
    """
    if model == DEMO_MODEL:
        return OpenClipEncoder(f"{LOCAL}{DEMO_FOLDER}", device, name=DEMO_MODEL, demo_only=True)
    return OpenClipEncoder(absolute_name(model), device)


def absolute_name(model: str) -> str:
    """``local-dir:`` names with an absolute path, so that they hold wherever a command is started."""
    if model.startswith(LOCAL):
        return f"{LOCAL}{Path(model[len(LOCAL) :]).expanduser().resolve()}"
    return model
