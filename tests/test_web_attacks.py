"""What must be refused: other sites, other names, paths, swapped files, bodies without end."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.fakes import load_fake, make_film, open_library
from vclipper.web.app import create_app
from vclipper.web.guard import MAX_JSON_BYTES, Access
from vclipper.web.server import access_for, listen
from vclipper.web.service import Service

API = "/api/v1"
HOST = "http://127.0.0.1:8765"


def films_and_library(folder):
    make_film(folder / "films" / "a.mp4", [("red", 4)])
    open_library(folder / "lib").index([folder / "films"])
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    return Service(films_and_library(tmp_path_factory.mktemp("kept")) / "lib", "cpu", load_fake)


@pytest.fixture(scope="module")
def client(service):
    with TestClient(create_app(service), base_url=HOST, headers={"X-VClip": "1"}) as client:
        yield client


def kind(answer) -> str:
    return answer.json()["error"]["kind"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8765"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "192.168.0.7:8765"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:8765"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_sites_and_names_are_refused(client, headers):
    for answer in (client.get(f"{API}/library", headers=headers), client.get("/static/app.js", headers=headers)):
        assert answer.status_code == 403
    assert client.post(f"{API}/search", json={"text": "red"}, headers=headers).status_code == 403


@pytest.mark.parametrize("path", ["/search", "/images", "/index", "/index/cancel", "/export"])
def test_changes_need_the_header(service, path):
    with TestClient(create_app(service), base_url=HOST) as client:
        assert client.post(API + path, json={}).status_code == 403


@pytest.mark.parametrize("path", ["/search", "/images", "/index/cancel", "/export"])
def test_nothing_changes_by_get(client, path):
    assert client.get(API + path).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/media/..%2f..%2fetc%2fpasswd",
        "/media/%2fetc%2fpasswd",
        "/media/1%00",
        "/media/-1",
        "/media/0x10",
        "/media/99999999999999999999999",
        "/api/v1/videos/..%2flibrary/thumbnail",
        "/api/v1/images/..%2f..%2f/thumbnail",
    ],
)
def test_paths_lead_nowhere(client, path):
    answer = client.get(path)
    assert answer.status_code in (404, 405, 422)
    assert b"root:" not in answer.content and b"create_app" not in answer.content


@pytest.mark.parametrize("text", ["/etc/passwd", "./a.png", '"red" + ~/secret.jpg', "../../x.png", "secret.png"])
def test_a_query_opens_no_files(client, text):
    answer = client.post(f"{API}/search", json={"text": text})
    assert answer.status_code == 403 and kind(answer) == "RefusedError"


@pytest.mark.parametrize("how", ["link", "content", "longer"])
def test_a_video_that_is_another_file_now_is_not_served(tmp_path, how):
    films = films_and_library(tmp_path) / "films"
    client = TestClient(create_app(Service(tmp_path / "lib", "cpu", load_fake)), base_url=HOST)
    video = client.get(f"{API}/videos").json()["videos"][0]
    url, path, secret = f"/media/{video['video_id']}", films / "a.mp4", b"s" * (films / "a.mp4").stat().st_size
    assert client.get(url).status_code == 200
    if how == "link":
        (tmp_path / "secret").write_bytes(secret)
        path.unlink()
        path.symlink_to(tmp_path / "secret")
    else:
        path.write_bytes(secret if how == "content" else path.read_bytes() + b"more")
    for answer in (client.get(url), client.get(url, headers={"Range": "bytes=0-9"})):
        assert answer.status_code == 404 and b"sss" not in answer.content


SECRET = "lime"


def replaced(folder, how: str):
    """The indexed red film's path now leads to a film of another colour; the film itself lies elsewhere."""
    path, secret = folder / "films" / "a.mp4", make_film(folder / "secret.mp4", [(SECRET, 4)])
    path.rename(folder / "kept.mp4")
    if how == "link":
        path.symlink_to(secret)
    else:
        path.write_bytes(secret.read_bytes())
    return path


@pytest.mark.parametrize("how", ["link", "content"])
@pytest.mark.parametrize("format_name", ["clips", "otio", "fcpxml", "html"])
def test_a_video_that_is_another_file_now_is_not_exported(tmp_path, how, format_name):
    films_and_library(tmp_path)
    client = TestClient(
        create_app(Service(tmp_path / "lib", "cpu", load_fake)), base_url=HOST, headers={"X-VClip": "1"}
    )
    video_id = client.get(f"{API}/videos").json()["videos"][0]["video_id"]
    moment = {"video_id": video_id, "start_seconds": 1, "end_seconds": 3}
    asked = {"format": format_name, "moments": [moment]}
    assert client.post(f"{API}/export", json=asked).status_code == 200  # and remembers that file as the right one
    replaced(tmp_path, how)
    answer = client.post(f"{API}/export", json=asked)
    if format_name == "html":  # the picture that was made at indexing is shown
        red, green, _ = still_in(answer.text).getpixel((32, 24))
        assert red > 200 and green < 60
    else:
        assert answer.status_code == 404 and "has changed" in answer.json()["error"]["message"]


def test_a_swap_between_check_and_reading_exports_what_was_checked(tmp_path, monkeypatch):
    films_and_library(tmp_path)
    service = Service(tmp_path / "lib", "cpu", load_fake)
    check = service.files.open

    def swapped_right_after(video):
        file = check(video)
        monkeypatch.setattr(service.files, "open", lambda _: check(replace(video, paths=(tmp_path / "kept.mp4",))))
        replaced(tmp_path, "content")
        return file

    monkeypatch.setattr(service.files, "open", swapped_right_after)
    client = TestClient(create_app(service), base_url=HOST, headers={"X-VClip": "1"})
    video_id = client.get(f"{API}/videos").json()["videos"][0]["video_id"]
    moment = {"video_id": video_id, "start_seconds": 1, "end_seconds": 3}
    answer = client.post(f"{API}/export", json={"format": "html", "moments": [moment]})
    red, green, _ = still_in(answer.text).getpixel((32, 24))
    assert red > 200 and green < 60


def still_in(page: str) -> Image.Image:
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def test_bodies_are_bounded(client):
    big = b'{"text": "' + b"a" * MAX_JSON_BYTES + b'"}'
    assert client.post(f"{API}/search", content=big).status_code == 413
    parts = (big[i : i + 65536] for i in range(0, len(big), 65536))  # no Content-Length
    assert client.post(f"{API}/search", content=parts).status_code == 413


def bomb(side: int) -> bytes:
    """A PNG that says it has side × side pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("data", "status"), [(bomb(60_000), 413), (bomb(9_000), 413), (b"text", 400), (b"", 400)])
def test_pictures_are_bounded(client, data, status):
    assert client.post(f"{API}/images", files={"file": ("a.png", io.BytesIO(data))}).status_code == status


@pytest.mark.parametrize(
    "request_",
    [
        {"text": "a" * 2001},
        {"text": "red", "page_size": 201},
        {"text": "red", "page": 0},
        {"text": "red", "settings": {"videos": 501}},
        {"text": "red", "settings": {"top": 100_000}},
        {"text": "red", "settings": {"unknown": 1}},
        {"text": " + ".join(['"red"'] * 17)},
        {"text": "red", "image_id": "0" * 16},
        {"text": "red", "typo": 1},
        {},
    ],
)
def test_endless_or_wrong_requests_are_refused(client, request_):
    assert client.post(f"{API}/search", json=request_).status_code in (400, 422)


def test_a_server_with_a_token(service):
    access = Access("a-token-of-many-letters")
    with TestClient(create_app(service, access), base_url="http://192.168.0.7:8765") as client:
        assert client.get(f"{API}/library").status_code == 401
        assert client.get("/").status_code == 401
        assert client.get(f"{API}/library", headers={"Authorization": "Bearer wrong"}).status_code == 401
        right = {"Authorization": "Bearer a-token-of-many-letters"}
        assert client.get(f"{API}/library", headers=right).status_code == 200
        assert client.get("/?token=wrong").status_code == 401
        welcome = client.get("/?token=a-token-of-many-letters", follow_redirects=False)
        assert welcome.status_code == 303 and welcome.headers["location"] == "/"
        cookie = welcome.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "many-letters" not in cookie
        assert client.get(f"{API}/library").status_code == 200  # by the cookie


def test_every_answer_has_the_security_headers(client):
    for path in ("/", f"{API}/library", "/media/1", "/nowhere", f"{API}/docs"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"


def test_anything_but_loopback_gets_a_token():
    assert access_for("127.0.0.1", "").token == ""
    assert len(access_for("0.0.0.0", "").token) >= 32


def test_a_port_in_use_is_said(tmp_path):
    from indexer.errors import InputError

    first = listen("127.0.0.1", 0)
    with pytest.raises(InputError, match="another program uses this port"):
        listen("127.0.0.1", first.getsockname()[1])
    first.close()


def test_the_docs_name_every_route(client):
    text = client.get(f"{API}/docs").text
    for path in client.get(f"{API}/openapi.json").json()["paths"]:
        assert path in text
