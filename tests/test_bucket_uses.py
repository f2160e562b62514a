"""What long-lived programs do with a library on object storage: watch it, serve it, hand moments over."""

from __future__ import annotations

import io
import shutil
import threading
import time

import av
import pytest
from fastapi.testclient import TestClient

from indexer.settings import IndexSettings
from indexer.watch import WatchSettings
from tests.fakes import load_fake, make_film, open_library
from vclipper import watching
from vclipper.web.app import create_app
from vclipper.web.service import Service

API = "/api/v1"
SHARP = {"method": "vc1", "postprocess": "none", "threshold": 0.8, "fold": False}


@pytest.fixture
def films(tmp_path):
    make_film(tmp_path / "films" / "a.mp4", [("red", 6), ("lime", 4)])
    return tmp_path / "films"


@pytest.fixture
def spare(tmp_path):
    """A film that lies elsewhere, to be put beside the others."""
    return make_film(tmp_path / "spare" / "b.mp4", [("blue", 4), ("red", 4)])


def until(happened, seconds: float = 60):
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := happened()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


def test_what_comes_is_indexed_and_other_programs_find_it(address, films, spare, monkeypatch):
    monkeypatch.setattr(watching, "TICK_SECONDS", 0.05)
    stop, reports = threading.Event(), []
    options = (IndexSettings(workers=1), WatchSettings(settle_seconds=0.3), reports.append)
    watcher = threading.Thread(
        target=open_library(address).watch, args=([films], *options), kwargs={"stop": stop}, daemon=True
    )
    watcher.start()
    reader = open_library(address)
    try:
        until(lambda: [note.path.name for report in reports for note in report.added] == ["a.mp4"])
        assert "watched by `vclip watch`" in reader.watch_state()
        assert {moment.path.name for moment in reader.search("red")} == {"a.mp4"}
        shutil.copy(spare, films)
        until(lambda: [note.path.name for report in reports for note in report.added] == ["a.mp4", "b.mp4"])
        assert {moment.path.name for moment in reader.search("red")} == {"a.mp4", "b.mp4"}  # without a new start
    finally:
        stop.set()
        watcher.join(60)
    assert not watcher.is_alive()
    assert reader.verify() == []


def test_the_page_indexes_searches_and_exports(address, films, spare):
    with TestClient(
        create_app(Service(address, "cpu", load_fake)), base_url="http://127.0.0.1:8765", headers={"X-VClip": "1"}
    ) as client:
        assert client.get(f"{API}/library").json()["exists"] is False
        open_library(address).index([films])  # by another program, while this one runs
        found = client.post(f"{API}/search", json={"text": "red", "settings": SHARP}).json()
        (moment,) = found["moments"]
        assert (moment["start_seconds"], moment["end_seconds"]) == (0.0, 6.0)
        video = f"{API}/videos/{moment['video_id']}"
        assert client.get(f"{video}/playback").json()["kind"] == "original"
        still = client.get(f"{video}/thumbnail", params={"seconds": 2})
        assert still.headers["content-type"] == "image/jpeg"
        wanted = {"video_id": moment["video_id"], "start_seconds": 0, "end_seconds": 6, "query": "red"}
        clip = client.post(f"{API}/export", json={"moments": [wanted], "format": "clips"})
        with av.open(io.BytesIO(clip.content)) as container:
            assert float(container.duration / av.time_base) == pytest.approx(6, abs=0.2)
        shutil.copy(spare, films)
        assert client.post(f"{API}/index", json={"paths": [str(films)]}).status_code < 300
        until(lambda: client.get(f"{API}/index").json()["state"] == "done")
        again = client.post(f"{API}/search", json={"text": "blue", "settings": SHARP}).json()
        assert [again["videos"][one["video_id"]]["name"] for one in again["moments"]] == ["b.mp4"]
