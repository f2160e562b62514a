"""What the page plays, exports and indexes, through the REST API on real films."""

from __future__ import annotations

import io
import os
import time
import zipfile

import av
import pytest
from fastapi.testclient import TestClient

from tests.fakes import load_fake, make_film, open_library
from vclipper.web.app import create_app
from vclipper.web.proxies import Proxies
from vclipper.web.service import Service

API = "/api/v1"


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "plain.mp4", [("red", 6), ("lime", 4)])
    make_film(folder / "tape.avi", [("blue", 4), ("red", 2)])
    make_film(folder / "gone.mp4", [("yellow", 4)])
    return folder


@pytest.fixture(scope="module")
def client(films, tmp_path_factory):
    library = tmp_path_factory.mktemp("library") / "lib"
    open_library(library).index([films])
    (films / "gone.mp4").rename(films / "gone.elsewhere")
    with served(library, tmp_path_factory.mktemp("cache")) as client:
        yield client


def served(library, cache) -> TestClient:
    service = Service(library, "cpu", load_fake)
    service.proxies = Proxies(cache / "proxies")
    return TestClient(create_app(service), base_url="http://127.0.0.1:8765", headers={"X-VClip": "1"})


@pytest.fixture(scope="module")
def ids(client) -> dict[str, str]:
    return {v["name"]: v["video_id"] for v in client.get(f"{API}/videos").json()["videos"]}


def until(ask, wanted, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer["state"] in wanted:
            return answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)


# ---- playing


def test_what_browsers_play_is_played_as_it_is(client, ids):
    answer = client.get(f"{API}/videos/{ids['plain.mp4']}/playback").json()
    assert (answer["kind"], answer["state"]) == ("original", "ready")
    part = client.get(answer["url"], headers={"Range": "bytes=0-11"})
    assert part.status_code == 206
    assert part.content[4:8] == b"ftyp"


def test_a_file_that_is_away_is_offline_and_keeps_its_stills(client, ids):
    answer = client.get(f"{API}/videos/{ids['gone.mp4']}/playback").json()
    assert (answer["kind"], answer["url"]) == ("offline", "")
    assert answer["reason"]
    assert client.get(f"{API}/videos/{ids['gone.mp4']}/thumbnail?seconds=2").status_code == 200


def test_there_is_no_picture_behind_the_end(client, ids):
    address = f"{API}/videos/{ids['plain.mp4']}/thumbnail"
    assert client.get(f"{address}?seconds=10").status_code == 200  # the film lasts 10 s
    behind = client.get(f"{address}?seconds=1200")
    assert behind.status_code == 422
    assert behind.json()["error"]["message"].endswith("plain.mp4 has nothing at 1200.0 s")


def test_a_proxy_is_made_on_demand_and_shows_the_same_pictures(client, ids):
    address = f"{API}/videos/{ids['tape.avi']}"
    before = client.get(f"{address}/playback").json()
    assert (before["kind"], before["state"]) == ("proxy", "missing")
    assert "AVI" in before["reason"]
    assert client.get(before["url"]).status_code == 404
    assert client.post(f"{address}/proxy").status_code == 202
    done = until(lambda: client.get(f"{address}/playback").json(), ("ready", "failed"))
    assert done["state"] == "ready"
    with av.open(io.BytesIO(client.get(done["url"]).content)) as container:
        stream = container.streams.video[0]
        frames = [
            (float(frame.time), frame.to_ndarray(format="rgb24").mean((0, 1)))
            for frame in container.decode(stream)
        ]
    assert stream.codec_context.name in ("h264", "libx264")
    assert len(frames) == 60  # 6 s at 10 frames a second
    colours = ["blue" if colour[2] > colour[0] else "red" for _, colour in frames]
    assert colours == ["blue"] * 40 + ["red"] * 20
    assert [time for time, _ in frames] == pytest.approx([i / 10 for i in range(60)], abs=0.01)


def test_what_a_killed_server_left_of_a_proxy_is_deleted(tmp_path):
    films = tmp_path / "films"
    make_film(films / "a.avi", [("red", 4)])
    library, proxies = tmp_path / "lib", tmp_path / "proxies"
    open_library(library).index([films])
    proxies.mkdir()
    for name in ("left.part", "being-written.part"):
        (proxies / name).touch()
    os.utime(proxies / "left.part", (0, 0))
    with served(library, tmp_path) as client:
        address = f"{API}/videos/{client.get(f'{API}/videos').json()['videos'][0]['video_id']}"
        client.post(f"{address}/proxy")
        until(lambda: client.get(f"{address}/playback").json(), ("ready",))
    assert [path.name for path in proxies.glob("*.part")] == ["being-written.part"]


def test_a_proxy_of_a_damaged_file_fails_with_a_reason(tmp_path):
    films = tmp_path / "films"
    film = make_film(films / "a.avi", [("red", 4)])
    library = tmp_path / "lib"
    open_library(library).index([films])
    with served(library, tmp_path) as client:
        video_id = client.get(f"{API}/videos").json()["videos"][0]["video_id"]
        film.unlink()
        answer = client.post(f"{API}/videos/{video_id}/proxy")
        assert answer.status_code == 404
        assert answer.json()["error"]["hint"]


# ---- export


def body(ids, *names, **more):
    moments = [{"video_id": ids[name], "start_seconds": 1, "end_seconds": 3, "query": "red"} for name in names]
    return {"format": "csv", "moments": moments, **more}


def test_every_format_of_the_table_can_be_exported(client, ids):
    for one in client.get(f"{API}/export/formats").json():
        answer = client.post(f"{API}/export", json=body(ids, "plain.mp4", "tape.avi", format=one["name"]))
        assert answer.status_code == 200, (one, answer.text)
        assert answer.content
        assert "attachment" in answer.headers["content-disposition"]
        assert answer.headers["x-vclip-failed"] == "0"


def test_several_clips_come_as_an_archive(client, ids):
    request = body(ids, "plain.mp4", "tape.avi", format="clips", name="cuts", options={"exact": True})
    answer = client.post(f"{API}/export", json=request)
    assert 'filename="cuts.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert len(archive.namelist()) == 2
        with av.open(io.BytesIO(archive.read(archive.namelist()[0]))) as clip:
            assert sum(1 for _ in clip.decode(video=0)) == 20  # 2 s at 10 frames a second


@pytest.mark.parametrize(
    ("name", "plain", "full"),
    [
        ("cars", 'filename="cars.csv"', None),
        # a file's name has no / : and " anyway
        ('Rot/Grün: "x"', 'filename="Rot_Gr_n_ _x_.csv"', "filename*=UTF-8''Rot_Gr%C3%BCn_%20_x_.csv"),
        ("50% & co;#雪", 'filename="50_ & co_#_.csv"', "filename*=UTF-8''50%25%20%26%20co%3B%23%E9%9B%AA.csv"),
    ],
)
def test_an_export_has_a_name_for_every_program(client, ids, name, plain, full):
    answer = client.post(f"{API}/export", json=body(ids, "plain.mp4", name=name))
    assert answer.headers["content-disposition"] == "; ".join(filter(None, ["attachment", plain, full]))


def test_lists_name_videos_that_are_away_and_clips_need_them(client, ids):
    assert client.post(f"{API}/export", json=body(ids, "gone.mp4")).status_code == 200
    refused = client.post(f"{API}/export", json=body(ids, "gone.mp4", format="clips"))
    assert refused.status_code == 404
    assert refused.json()["error"]["hint"]


def test_lists_for_players_need_the_video_and_the_stretch(client, ids):
    away = client.post(f"{API}/export", json=body(ids, "gone.mp4", format="m3u"))
    assert away.status_code == 404
    behind = body(ids, "plain.mp4", format="m3u")
    behind["moments"][0] |= {"start_seconds": 400, "end_seconds": 900}  # of a film of 10 s
    assert client.post(f"{API}/export", json=behind).status_code == 422


def test_formats_tell_which_options_they_know(client):
    options = {one["name"]: one["options"] for one in client.get(f"{API}/export/formats").json()}
    assert options["clips"] == ["pad_seconds", "exact"]
    assert (options["m3u"], options["csv"]) == (["pad_seconds"], [])


@pytest.mark.parametrize(
    "change",
    [
        {"format": "avi"},
        {"moments": []},
        {"name": ""},
        {"options": {"pad_seconds": -1}},
        {"options": {"to": "/etc"}},
    ],
)
def test_wrong_exports_are_refused(client, ids, change):
    answer = client.post(f"{API}/export", json={**body(ids, "plain.mp4"), **change})
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]


# ---- index runs


def test_an_index_run_fills_an_empty_library(tmp_path):
    make_film(tmp_path / "films" / "a.mp4", [("red", 4)])
    with served(tmp_path / "lib", tmp_path) as client:
        assert client.get(f"{API}/index").json()["state"] == "idle"
        wrong = client.post(f"{API}/index", json={"paths": [str(tmp_path / "nowhere")]})
        assert wrong.status_code == 400
        started = client.post(f"{API}/index", json={"paths": [str(tmp_path / "films")]})
        assert started.status_code == 202
        done = until(lambda: client.get(f"{API}/index").json(), ("done", "failed", "cancelled"))
        assert done["state"] == "done", done
        assert len(done["report"]["added"]) == 1
        assert client.get(f"{API}/library").json()["videos"] == 1
