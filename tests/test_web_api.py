"""The REST API on a real library: every route, through the whole application with its guard."""

from __future__ import annotations

import io

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.fakes import load_fake, make_three_films, open_library
from vclipper.web.app import create_app
from vclipper.web.service import Service

API = "/api/v1"
SHARP = {"method": "vc1", "postprocess": "none", "threshold": 0.8, "fold": False}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return make_three_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def library_path(films, tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "lib"
    open_library(path).index([films])
    return path


def client_of(path) -> TestClient:
    service = Service(path, "cpu", load_fake)
    return TestClient(create_app(service), base_url="http://127.0.0.1:8765", headers={"X-VClip": "1"})


@pytest.fixture(scope="module")
def client(library_path):
    with client_of(library_path) as client:
        yield client


@pytest.fixture(scope="module")
def ids(client) -> dict[str, str]:
    return {v["name"]: v["video_id"] for v in client.get(f"{API}/videos").json()["videos"]}


def png(colour: str, size=(32, 24)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def found(client, **request) -> list[tuple[str, float, float]]:
    body = client.post(f"{API}/search", json={"settings": SHARP, **request}).json()
    return [(body["videos"][m["video_id"]]["name"], m["start_seconds"], m["end_seconds"]) for m in body["moments"]]


def test_library_facts(client, films):
    facts = client.get(f"{API}/library").json()
    assert facts["exists"] and facts["videos"] == 3 and facts["period_seconds"] == 2.0
    assert facts["thumbnail_bytes"] > 0
    assert facts["frames"] == 10 + 10 + 5  # 20 s, 20 s and 9 s at one frame every 2 s
    assert facts["folders"] == sorted([str(films), str(films / "sub")])


def test_search_by_text(client):
    # red is the first 6 s of one film and seconds 10 to 14 of another
    assert sorted(found(client, text="red")) == [("one.mp4", 0.0, 6.0), ("two.mkv", 10.0, 14.0)]


def test_search_by_uploaded_picture_alone_and_within_a_query(client):
    image = client.post(f"{API}/images", files={"file": ("a.png", png("red"))}).json()
    assert (image["width"], image["height"]) == (32, 24)
    expected = [("one.mp4", 0.0, 6.0), ("two.mkv", 10.0, 14.0)]
    assert sorted(found(client, image_id=image["image_id"])) == expected
    assert sorted(found(client, text=f'image:{image["image_id"]} + "red"')) == expected
    assert client.get(image["thumbnail_url"]).headers["content-type"] == "image/jpeg"


def test_search_by_a_moment(client, ids):
    like = {"video_id": ids["one.mp4"], "seconds": 1.0}
    assert found(client, like=like) == [("two.mkv", 10.0, 14.0)]  # less the moment itself


def test_filters(client, films):
    assert found(client, text="red", filters={"folder": str(films / "sub")}) == [("two.mkv", 10.0, 14.0)]
    assert found(client, text="white", filters={"max_seconds": 10}) == [("three.mov", 4.0, 9.0)]
    nothing = client.post(f"{API}/search", json={"text": "red", "filters": {"before": "1990-01-01"}})
    assert nothing.status_code == 400 and "no video matches" in nothing.json()["error"]["message"]


def test_pages_hold_all_moments_once_and_in_order(client):
    whole = client.post(f"{API}/search", json={"text": "red"}).json()
    parts = [
        client.post(f"{API}/search", json={"text": "red", "page": page, "page_size": 2}).json()
        for page in range(1, whole["total"] // 2 + 2)
    ]
    moments = [moment for part in parts for moment in part["moments"]]
    assert moments == whole["moments"]
    assert [m["rank"] for m in moments] == list(range(1, whole["total"] + 1))
    assert {part["query_id"] for part in parts} == {whole["query_id"]}


def test_videos_in_pages_and_by_folder(client, films):
    first = client.get(f"{API}/videos", params={"page_size": 2}).json()
    second = client.get(f"{API}/videos", params={"page_size": 2, "page": 2}).json()
    assert (first["total"], first["pages"]) == (3, 2)
    assert [len(first["videos"]), len(second["videos"])] == [2, 1]
    below = client.get(f"{API}/videos", params={"folder": str(films / "sub")}).json()
    assert [v["name"] for v in below["videos"]] == ["two.mkv"]


def test_one_video(client, ids):
    video = client.get(f"{API}/videos/{ids['two.mkv']}").json()
    assert video["online"] and not video["partial"]
    assert (video["width"], video["height"], video["duration_seconds"]) == (64, 48, pytest.approx(20, abs=0.2))
    assert client.get(f"{API}/videos/12345").status_code == 404


def test_timeline(client, ids):
    body = client.post(f"{API}/videos/{ids['one.mp4']}/timeline", json={"text": "lime", "settings": SHARP}).json()
    assert len(body["similarity"]) == len(body["postprocessed"]) == 10  # 20 s at one frame every 2 s
    assert len(body["next_similarity"]) == 9
    assert [max(body["similarity"]) == s for s in body["similarity"]].index(True) in range(
        3, 7
    )  # lime: 6 s to 14 s
    assert body["cut_seconds"] == [6.0, 14.0]
    assert [(w["start_seconds"], w["end_seconds"]) for w in body["windows"]] == [(6.0, 14.0)]


def test_a_thinned_timeline_keeps_peaks_and_cuts(client, ids):
    url = f"{API}/videos/{ids['one.mp4']}/timeline"
    whole = client.post(url, json={"text": "lime"}).json()
    thin = client.post(url, params={"points": 4}, json={"text": "lime"}).json()
    assert len(thin["similarity"]) == 4  # groups of 3, 3, 3 and 1
    assert thin["period_seconds"] == 6.0
    assert thin["similarity"] == [max(whole["similarity"][i : i + 3]) for i in (0, 3, 6, 9)]
    assert thin["next_similarity"] == [min(whole["next_similarity"][i : i + 3]) for i in (0, 3, 6)]


def test_settings_are_the_knobs(client):
    settings = {s["name"]: s for s in client.get(f"{API}/settings").json()}
    assert settings["method"]["choices"] == ["vc1", "vc2", "proposals"]
    assert (settings["top"]["low"], settings["top"]["high"]) == (1, 2_000)  # what the server allows
    assert settings["top"]["default"] == 500


def test_a_thumbnail_shows_its_time(client, ids):
    answer = client.get(f"{API}/videos/{ids['two.mkv']}/thumbnail", params={"seconds": 12})
    pixel = Image.open(io.BytesIO(answer.content)).convert("RGB").resize((1, 1)).getpixel((0, 0))
    assert pixel[0] > 200 and pixel[1] < 60 and pixel[2] < 60  # red from 10 s to 14 s


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-99", 206, slice(0, 100)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-10", 206, slice(-10, None)),
        ("bytes=0-0,5-6", 200, slice(None)),  # several parts: the whole is a right answer too
        ("bytes=9-3", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
        (None, 200, slice(None)),
    ],
)
def test_byte_ranges(client, ids, films, asked, status, expected):
    data = (films / "one.mp4").read_bytes()
    answer = client.get(f"/media/{ids['one.mp4']}", headers={"Range": asked} if asked else {})
    assert answer.status_code == status
    assert answer.content == data[expected]
    assert int(answer.headers["content-length"]) == len(data[expected])
    if status == 206:
        start = range(len(data))[expected].start
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(answer.content) - 1}/{len(data)}"


def test_a_range_behind_the_end(client, ids, films):
    size = (films / "one.mp4").stat().st_size
    answer = client.get(f"/media/{ids['one.mp4']}", headers={"Range": f"bytes={size}-"})
    assert answer.status_code == 416 and answer.headers["content-range"] == f"bytes */{size}"


def test_head_and_conditions(client, ids, films):
    url, size = f"/media/{ids['one.mp4']}", (films / "one.mp4").stat().st_size
    head = client.head(url)
    assert head.content == b"" and head.headers["content-length"] == str(size)
    etag = head.headers["etag"]
    assert client.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(url, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    assert client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200


def test_before_the_first_index_run(tmp_path):
    with client_of(tmp_path / "none") as client:
        assert client.get(f"{API}/library").json()["exists"] is False
        assert client.get(f"{API}/videos").json()["total"] == 0
        answer = client.post(f"{API}/search", json={"text": "red"})
        assert answer.status_code == 409 and answer.json()["error"]["kind"] == "LibraryError"
        assert "vclip index" in answer.json()["error"]["hint"]
