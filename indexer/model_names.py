"""The names of OpenCLIP's models, read from its source: importing it imports torch, which takes seconds."""

from __future__ import annotations

import ast
import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

from indexer.errors import ModelError
from indexer.settings import DEFAULT_MODEL

LOCAL = "local-dir:"
HUB = "hf-hub:"
RANDOM_WEIGHTS = "random"
_QUICK = "quick_gelu"
_SUGGESTED = 4
_Tags = dict[str, bool]
"""Names of weights, and whether they want QuickGELU: OpenCLIP lists those under a second name too."""


def list_models() -> list[str]:
    """``NAME/PRETRAINED`` of every published OpenCLIP model."""
    try:
        found = list(_names_in_source(_folder() / "pretrained.py"))
    except (AttributeError, KeyError, OSError, SyntaxError, TypeError, ValueError):
        found = []
    return sorted(found or _names_when_imported())


def demand_model(model: str) -> None:
    """Raise ModelError unless ``model`` is a name of OpenCLIP's, or of a folder or repository."""
    if model.startswith((LOCAL, HUB)):
        return
    architecture, _, pretrained = model.partition("/")
    if pretrained == RANDOM_WEIGHTS and (_folder() / "model_configs" / f"{architecture}.json").is_file():
        return
    published = list_models()
    if model not in published:
        near = [name for name in published if name.startswith(f"{model}/")]  # weights were not named
        near.sort(key=lambda name: name != DEFAULT_MODEL)
        near += [name for name in published if name.startswith(model)]  # the name was cut short
        near += difflib.get_close_matches(model, published, n=3, cutoff=0.3)
        near += [name for name in published if name.startswith(f"{architecture}/")]
        hint = f"Near it: {', '.join(list(dict.fromkeys(near))[:_SUGGESTED])}. " if near else ""
        raise ModelError(f"no OpenCLIP model is called {model!r}", f"{hint}All: vclip models")


def _folder() -> Path:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("the package open_clip is not installed", "Install it: pip install open_clip_torch")
    return Path(spec.submodule_search_locations[0])


def _names_when_imported() -> Iterator[str]:
    """Slowly, where a version of OpenCLIP keeps its list in another way."""
    import open_clip

    return (f"{name}/{tag}" for name, tag in open_clip.list_pretrained())


def _names_in_source(file: Path) -> Iterator[str]:
    """From ``_RN50 = dict(openai=_pcfg(…, quick_gelu=True), …)`` and ``_PRETRAINED = {"RN50": _RN50, …}``."""
    known: dict[str, _Tags] = {}
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
            continue
        name, value = statement.targets[0].id, statement.value
        if name == "_PRETRAINED" and isinstance(value, ast.Dict):
            for key, tags in zip(value.keys, value.values, strict=True):
                yield from _names(ast.literal_eval(key), _tags(tags, known))  # type: ignore[arg-type]
        elif isinstance(value, ast.Call):
            known[name] = _tags(value, known)


def _tags(node: ast.expr, known: Mapping[str, _Tags]) -> _Tags:
    if isinstance(node, ast.Name):
        return known[node.id]
    return {keyword.arg or "": _is_quick(keyword.value) for keyword in node.keywords}  # type: ignore[attr-defined]


def _is_quick(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and any(keyword.arg == _QUICK for keyword in node.keywords)


def _names(architecture: str, tags: _Tags) -> Iterator[str]:
    for tag, is_quick in tags.items():
        yield f"{architecture}/{tag}"
        if is_quick:
            yield f"{architecture}-quickgelu/{tag}"
