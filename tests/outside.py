"""The data that lies outside the project: where it is, and what skips a test where it is not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("VCLIPPER_DATA", Path(__file__).parents[2] / "shared" / "data"))
VIDEOS = DATA / "videos"
QVHIGHLIGHTS = DATA / "qvhighlights"
VAL = QVHIGHLIGHTS / "highlight_val_release.jsonl"

needs_videos = pytest.mark.skipif(not VIDEOS.is_dir(), reason=f"no videos at {VIDEOS}: set VCLIPPER_DATA")
needs_qvhighlights = pytest.mark.skipif(
    not QVHIGHLIGHTS.is_dir(), reason=f"no QVHighlights at {QVHIGHLIGHTS}: set VCLIPPER_DATA"
)


def real_clips() -> list[dict[str, Any]]:
    """What the manifest says of each of the videos; none where they are not here."""
    if not VIDEOS.is_dir():
        return []
    lines = (VIDEOS / "MANIFEST.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
