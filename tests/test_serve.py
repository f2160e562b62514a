"""``vclip serve`` as a process: Ctrl-C leaves nothing running."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from indexer.settings import IndexSettings
from tests.fakes import make_film, open_library
from tests.page_site import serving


def children(pid: int) -> set[int]:
    """All processes below one, by id."""
    own = {int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in _words(task / "children")}
    return own.union(*(children(child) for child in own if Path(f"/proc/{child}").exists()))


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def ended(pids: set[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are counted in /proc (Linux)")
def test_ctrl_c_leaves_no_process_behind(tmp_path):
    make_film(tmp_path / "films" / "a.mp4", [("red", 4)])
    library = open_library(tmp_path / "lib")
    library.index([tmp_path / "films"], settings=IndexSettings(thumbnails=False))
    video_id = library.videos()[0].video_id
    with serving(tmp_path / "lib") as site:
        with urllib.request.urlopen(f"{site.address}api/v1/videos/{video_id}/thumbnail") as answer:
            assert answer.headers["content-type"] == "image/jpeg"
        pid = site._process.pid
        below = children(pid)
        assert below  # the still was decoded in one of them
        os.kill(pid, signal.SIGINT)
        assert site._process.wait(20) == 0
        deadline = time.monotonic() + 5
        while not ended(below) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert ended(below)
