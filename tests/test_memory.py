"""Memory stays flat on a film of three hours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import make_film

CHILD = """
import json, resource, sys
from pathlib import Path
from indexer.frames import PictureSpec
from tests.fakes import ColourEncoder
from vclipper.library import Library

class Large(ColourEncoder):
    picture = PictureSpec(height=224, width=224)

if __name__ == "__main__":
    library = Library(Path(sys.argv[1]), "cpu", lambda name, device: Large(name))
    report = library.index([sys.argv[2]])
    peaks = [resource.getrusage(who).ru_maxrss / 1e3 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"frames": report.frames, "main_mb": peaks[0], "worker_mb": peaks[1]}))
"""


def peaks(tmp_path: Path, film: Path) -> dict:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / film.stem), str(film)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_hours_take_no_more_memory_than_ten_minutes(tmp_path):
    short = make_film(tmp_path / "short.mp4", [("red", 300), ("blue", 300)], frame_rate=2)
    long = make_film(tmp_path / "long.mp4", [("red", 3600), ("blue", 3600), ("lime", 3600)], frame_rate=2)
    a, b = peaks(tmp_path, short), peaks(tmp_path, long)
    assert (a["frames"], b["frames"]) == (300, 5400)
    # Pictures of 224 × 224 × 3 bytes kept back would be 5,100 × 0.15 MB = 770 MB.
    assert b["main_mb"] - a["main_mb"] < 60
    assert b["worker_mb"] - a["worker_mb"] < 60
