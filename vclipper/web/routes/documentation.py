"""The API, readable: made from the OpenAPI description, without scripts or anything from elsewhere."""

from __future__ import annotations

import html
import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter()


@router.get("/docs", include_in_schema=False)
def documentation(request: Request) -> HTMLResponse:
    """Every operation with its parameters, body and answer, and the shapes they use."""
    return HTMLResponse(_page(request.app.openapi()))


def _page(spec: dict[str, Any]) -> str:
    operations = "".join(
        _operation(method.upper(), path, operation)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    )
    shapes = "".join(
        f'<h3 id="{_text(name)}">{_text(name)}</h3><p>{_text(shape.get("description", ""))}</p>{_code(shape)}'
        for name, shape in spec["components"]["schemas"].items()
    )
    title = f"{_text(spec['info']['title'])} {_text(spec['info']['version'])}: API"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<h1>{title}</h1><p>{_text(spec['info']['description'])} "
        f'<a href="openapi.json">openapi.json</a></p>{operations}<h2>Shapes</h2>{shapes}</html>'
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<li><code>{_text(one['name'])}</code> ({_text(one['in'])}) {_code(one.get('schema', {}))}</li>"
        for one in operation.get("parameters", [])
    )
    body = operation.get("requestBody", {}).get("content", {})
    answers = {code: answer.get("content", {}) for code, answer in operation["responses"].items()}
    return (
        f"<h2>{method} {_text(path)}</h2><p>{_text(operation.get('description', ''))}</p><ul>{parameters}</ul>"
        + (f"<h3>Body</h3>{_code(body)}" if body else "")
        + f"<h3>Answers</h3>{_code(answers)}"
    )


def _code(value: Any) -> str:
    return f"<pre>{_text(json.dumps(value, indent=1))}</pre>"


def _text(value: Any) -> str:
    return html.escape(str(value))
