"""Plain lists: CSV and JSON. ``vclip export`` reads both back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from indexer.discover import path_text
from vclipper.export.destination import Output
from vclipper.export.moment import ExportMoment, ExportOptions

_COLUMNS = ("path", "start_seconds", "end_seconds", "query", "score", "note")


def write_csv(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """A header and one line a moment."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(moment) for moment in moments)
    output.text(".csv", buffer.getvalue())


def write_json(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """An array of objects, one a moment."""
    output.text(".json", json.dumps([_row(moment) for moment in moments], indent=1, ensure_ascii=False) + "\n")


def _row(moment: ExportMoment) -> dict[str, Any]:
    return {
        "path": path_text(moment.path),
        "start_seconds": round(moment.start_seconds, 3),
        "end_seconds": round(moment.end_seconds, 3),
        "query": moment.query,
        "score": None if moment.score is None else round(moment.score, 4),
        "note": moment.note,
    }
