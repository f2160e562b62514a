"""What the tests of the page stand on: a `vclip serve` process over films, and Debian's chromium."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes import COLOURS, make_film, open_library, picture

ROOT = Path(__file__).parent.parent
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
#: A film of 300 s has up to twenty windows, a dozen of which do not overlap; the server gives the best 500 in all.
MANY_FILMS = 50
MANY_MOMENTS = 500


class Site:
    """A server over one library, which can be stopped and started again on its port."""

    def __init__(self, library: Path) -> None:
        self.library, self.port = library, 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> Site:
        """Start the server unless it runs."""
        if self._process is not None:
            return self
        options = ["--library", str(self.library), "--port", str(self.port)]
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.serve_colours", *options],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.library.parent / "cache")},
        )
        assert process.stdout is not None
        self._process = process
        first = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", first)
        assert found, f"vclip serve said {first!r}"
        self.port = int(found.group(1))
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@contextmanager
def serving(library: Path) -> Iterator[Site]:
    """A running server."""
    site = Site(library).start()
    try:
        yield site
    finally:
        site.stop()


def make_films(folder: Path) -> Path:
    """Four films of plain colours; the last is one that no browser plays as it is."""
    make_film(folder / "harbour.mp4", [("red", 20), ("lime", 10), ("blue", 10)])
    make_film(folder / "holiday" / "meadow.mp4", [("lime", 20), ("yellow", 10)])
    make_film(folder / "holiday" / "night.mp4", [("black", 10), ("white", 10), ("magenta", 10)])
    make_film(folder / "tape.avi", [("cyan", 10), ("#d83030", 10)])
    picture(folder.parent / "yellow.png", "yellow")
    return folder


def make_many_films(folder: Path) -> Path:
    """Copies would be one video: each film has an order of its own."""
    shuffled = random.Random(0)
    for number in range(MANY_FILMS):
        scenes = [(shuffled.choice(COLOURS), 10.0) for _ in range(30)]
        make_film(folder / f"film-{number:02}.mp4", scenes, frame_rate=1)
    return folder


def index(films: Path, library: Path) -> Path:
    """A library of these films."""
    assert open_library(library).index([films]).ok
    return library


def demand_chromium() -> None:
    """Skip, and say why, where the browser or what drives it is missing."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    if not shutil.which(CHROMIUM):
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
