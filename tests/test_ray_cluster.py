"""Real Ray: two raylets on loopback, of which one is killed; a driver killed with -9; a library in a bucket."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from indexer.settings import IndexSettings
from tests.fakes import make_films, open_library, rows_of, rows_of_a_plain_run
from tests.ray_cluster import TwoNodes, load_slow
from vclipper.library import Library

pytest.importorskip("ray", reason="Ray is not installed: pip install 'vclipper[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COLOURS = ["red", "lime", "blue", "yellow", "cyan", "white", "magenta", "black"]
#: Small steps, so that there is always something half done.
SETTINGS = IndexSettings(workers=1, batch_size=4, flush_rows=6, flush_seconds=0.2)
DRIVER = """
import sys
from functools import partial
from pathlib import Path
from tests.ray_cluster import load_slow
from tests.test_ray_cluster import SETTINGS
from vclipper.library import Library
if __name__ == "__main__":
    library, films, marks, address = sys.argv[1:]
    Library(library, "cpu", partial(load_slow, Path(marks))).index([films], settings=SETTINGS, ray=address)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return make_films(tmp_path_factory.mktemp("films"), COLOURS, last="red")


@pytest.fixture(scope="module")
def expected(films, tmp_path_factory):
    """The rows of a run on one machine, without Ray."""
    return rows_of_a_plain_run(films, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def nodes():
    """Two nodes, in the environment as it is when the test begins."""
    before = dict(os.environ)
    cluster = TwoNodes()
    try:
        yield cluster
    finally:
        cluster.stop()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def marks(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def slow_library(where: Path | str, marks: Path) -> Library:
    return Library(where, "cpu", partial(load_slow, marks))


def test_a_node_that_is_killed_on_the_way(films, expected, tmp_path, marks, nodes):
    library, killed = slow_library(tmp_path / "lib", marks), []

    def kill_when_both_are_at_work(progress) -> None:
        if not killed and len(list(marks.iterdir())) == 2:
            killed.append(progress.files_done)
            nodes.kill_second()

    report = library.index([films], on_progress=kill_when_both_are_at_work, settings=SETTINGS, ray=nodes.address)
    assert killed
    assert killed[0] < len(COLOURS)
    assert any("was lost" in note for note in report.notes), report.notes
    assert report.ok
    assert len(report.added) == len(COLOURS)
    assert rows_of(library) == expected
    assert library.verify() == []


def test_a_driver_killed_with_9_and_run_again(films, expected, tmp_path, marks, nodes):
    library = slow_library(tmp_path / "lib", marks)
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    command = [sys.executable, str(script), str(library.path), str(films), str(marks), nodes.address]
    driver = subprocess.Popen(command, start_new_session=True)
    try:
        done = wait_for_videos(tmp_path / "lib", driver)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    assert 1 <= done < len(COLOURS)
    report = library.index([films], settings=SETTINGS, ray=nodes.address)
    assert len(report.skipped) >= done  # what was committed is not done again
    assert rows_of(library) == expected
    assert library.verify() == []


def wait_for_videos(where: Path, driver: subprocess.Popen) -> int:
    """How many videos are committed, once it is one or more."""
    while driver.poll() is None:
        if (where / "library.json").exists() and (videos := open_library(where).videos()):
            return len(videos)
        time.sleep(0.1)
    raise AssertionError(f"the driver ended by itself: {driver.returncode}")


def test_a_library_in_a_bucket(address, films, expected, nodes):
    library = open_library(address)
    report = library.index([films], settings=SETTINGS, ray=nodes.address)
    assert (len(report.added), report.ok) == (len(COLOURS), True)
    assert rows_of(library) == expected
    assert library.verify() == []


def test_the_demo_model(films, tmp_path, nodes):
    plain, spread = Library(tmp_path / "plain", "cpu"), Library(tmp_path / "spread", "cpu")
    plain.index([films], "demo", settings=SETTINGS)
    spread.index([films], "demo", settings=SETTINGS, ray=nodes.address)
    assert spread.verify() == []
    one, many = rows_of(plain), rows_of(spread)
    assert [row[:4] for row in many] == [row[:4] for row in one]
    for ours, theirs in zip(many, one, strict=True):
        # float16: batches of other sizes round differently
        np.testing.assert_allclose(
            np.frombuffer(ours[4], np.float16).astype(float),
            np.frombuffer(theirs[4], np.float16).astype(float),
            atol=2e-3,
        )
