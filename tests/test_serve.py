"""``vclip serve`` as a process: Ctrl-C leaves nothing running."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from indexer.settings import IndexSettings
from tests.fakes import make_film, open_library
from tests.page_site import ROOT, serving


def children(pid: int) -> set[int]:
    """All processes below one, by id."""
    own = {int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in _words(task / "children")}
    return own.union(*(children(child) for child in own if Path(f"/proc/{child}").exists()))


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def ended(pids: set[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


SLOW_MODEL = """
import sys, threading, time
from tests.fakes import load_fake
from vclipper import cli
from vclipper.web.service import Service

def load(name, device):
    time.sleep(600)  # as importing torch on a busy machine: nothing can stop it
    return load_fake(name, device)

if __name__ == "__main__":
    Service.__init__.__defaults__ = ("cpu", load)
    sys.exit(cli.run(["serve", *sys.argv[1:]]))
"""


def post(address: str, path: str, body: dict) -> dict:
    headers = {"X-VClip": "1", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}api/v1/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def index_state(address: str) -> dict:
    with urllib.request.urlopen(f"{address}api/v1/index", timeout=60) as answer:
        return json.load(answer)


def search_in_vain(address: str) -> None:
    with pytest.raises(OSError):
        post(address, "search", {"text": "red"})


def test_ctrl_c_does_not_wait_for_a_model_that_loads(tmp_path):
    make_film(tmp_path / "films" / "a.mp4", [("red", 4)])
    library = open_library(tmp_path / "lib")
    library.index([tmp_path / "films"])
    make_film(tmp_path / "films" / "b.mp4", [("blue", 4)])
    (tmp_path / "serve.py").write_text(SLOW_MODEL)
    command = [sys.executable, "-u", str(tmp_path / "serve.py"), "--library", str(tmp_path / "lib"), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        address = re.search(r"http://\S+/", server.stdout.readline())[0]
        assert post(address, "index", {"paths": [str(tmp_path / "films")]})["state"] == "running"
        searching = threading.Thread(target=search_in_vain, args=(address,))
        searching.start()
        time.sleep(0.5)
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        searching.join()
    assert [video.path.name for video in library.videos()] == ["a.mp4"]
    assert library.verify() == []


def test_ctrl_c_during_an_index_run_keeps_what_is_finished(tmp_path):
    for number, colour in enumerate(("red", "lime", "blue", "white", "cyan", "magenta") * 3):
        make_film(tmp_path / "films" / f"{number}.mp4", [(colour, 20 + number), ("black", 2)])
    library = open_library(tmp_path / "lib")
    library.index([tmp_path / "films" / "0.mp4"])
    with serving(tmp_path / "lib") as site:
        post(site.address, "index", {"paths": [str(tmp_path / "films")]})
        while (state := index_state(site.address))["files_done"] < 4:
            assert state["state"] == "running"
        os.kill(site._process.pid, signal.SIGINT)
        assert site._process.wait(60) == 0
    again = open_library(tmp_path / "lib")
    assert len(again.videos()) > 1  # before the first writing, which comes after 5 s
    assert again.verify() == []
    report = again.index([tmp_path / "films"])
    assert len(report.added) + len(report.skipped) == 18
    assert not report.failed


@pytest.mark.parametrize("is_there", [False, True])
def test_a_library_that_is_not_there_yet_is_said(tmp_path, is_there):
    library = tmp_path / "lib"
    if is_there:
        open_library(library).index([make_film(tmp_path / "a.mp4", [("red", 4)])])
    command = [sys.executable, "-u", "-m", "vclipper", "serve", "--library", str(library), "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as server:
        assert "http://" in server.stdout.readline()
        server.send_signal(signal.SIGINT)
        said = server.communicate(timeout=60)[1]
    assert said.startswith(f"Note: there is no library at {library} yet.") != is_there
    assert is_there or not library.exists()


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
