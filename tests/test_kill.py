"""kill -9 at random moments of a real index run: the next run ends with the rows of an undisturbed one."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes import make_film, open_library, rows_of

ROUNDS = 20
CHILD = """
import sys
from pathlib import Path
from indexer.settings import IndexSettings
from tests.fakes import open_library
settings = IndexSettings(workers=2, batch_size=4, flush_rows=6)
if __name__ == "__main__":
    open_library(Path(sys.argv[1])).index([sys.argv[2]], settings=settings)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for i, colour in enumerate(["red", "lime", "blue", "yellow", "cyan", "white", "magenta", "black"]):
        make_film(folder / f"{i}.mp4", [(colour, 4 + i), ("red", 6)])
    return folder


def start(library: Path, films: Path, script: Path) -> subprocess.Popen:
    root = Path(__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, str(script), str(library), str(films)],
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_resuming_after_kill_9(films, tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    undisturbed = open_library(tmp_path / "undisturbed")
    started = time.monotonic()
    assert start(tmp_path / "undisturbed", films, script).wait() == 0
    whole_seconds = time.monotonic() - started
    expected = rows_of(undisturbed)
    rng = random.Random(0)
    killed_at_work = 0
    for round_number in range(ROUNDS):
        library = tmp_path / f"lib{round_number}"
        child = start(library, films, script)
        time.sleep(rng.uniform(0.1, 1.0) * whole_seconds)
        killed_at_work += child.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it had finished
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert start(library, films, script).wait() == 0
        resumed = open_library(library)
        assert rows_of(resumed) == expected, f"round {round_number}"
        assert resumed.verify() == [], f"round {round_number}"
    assert killed_at_work >= ROUNDS // 2


def test_killing_the_main_process_ends_the_workers(films, tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    child = start(tmp_path / "lib", films, script)
    workers: set[int] = set()
    while not workers and child.poll() is None:
        workers = children_of(child.pid)
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)  # this one process only: nothing tells the workers but its death
    child.wait()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in workers if alive(pid)] == []


def children_of(pid: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found.add(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
