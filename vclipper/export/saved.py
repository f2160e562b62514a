"""Moments saved by ``vclip search --json`` or ``--csv``, or by an export as such."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from indexer.discover import path_of
from indexer.errors import InputError
from vclipper.export.moment import ExportMoment

_HINT = "Save some: vclip search QUERY --json > moments.json"


def read_moments(text: str, name: str) -> list[ExportMoment]:
    """The moments in a JSON array or a CSV table.

    Args:
        text: of the file. name: what to call it in errors.

    Raises:
        InputError: it is neither, or a moment lacks its file or its times.
    """
    stripped = text.removeprefix("\ufeff").lstrip().rstrip("\r\n")  # a name may end with a blank
    rows = _json_rows(stripped, name) if stripped[:1] in ("[", "{") else csv.DictReader(io.StringIO(stripped))
    moments = [_moment(row, f"{name}, moment {number}") for number, row in enumerate(rows, 1)]
    if not moments:
        raise InputError(f"{name} holds no moments", _HINT)
    return moments


def _json_rows(text: str, name: str) -> Iterable[Any]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON: {error}", _HINT) from None
    return rows if isinstance(rows, list) else [rows] if rows else []


def _moment(row: Any, where: str) -> ExportMoment:
    if not isinstance(row, Mapping):
        raise InputError(f"{where} is no object with a path and times", _HINT)
    try:
        return ExportMoment(
            path=path_of(str(row["path"])),
            start_seconds=float(row["start_seconds"]),
            end_seconds=float(row["end_seconds"]),
            query=str(row.get("query") or ""),
            score=None if row.get("score") in (None, "") else float(row["score"]),
            note=str(row.get("note") or ""),
        )
    except KeyError as error:
        raise InputError(f"{where} has no {error.args[0]}", _HINT) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} has a time or score that is no number: {error}", _HINT) from None
