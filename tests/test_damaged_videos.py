"""Files that are cut off, damaged, oddly named or no video: what is there is given, the rest is one clear line."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from indexer.errors import VideoError
from indexer.probe import probe
from tests import media
from tests.decoding import Made, read_all

# ----------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("name", ["mp4-h264-faststart", "mkv-h264", "flv-h264", "avi-mpeg4", "mp4-av1"])
def test_a_file_cut_off_gives_what_is_there(name: str, tmp_path: Path) -> None:
    clip = media.make_named(name, tmp_path)
    if name == "mp4-av1":
        clip = media.make(clip.path, replace(media.RECIPES[name], container_options={"movflags": "+faststart"}))
    media.cut(clip.path, 0.6)
    numbers, outcome = read_all(clip.path, 0.5)
    assert 5 <= len(numbers) < len(clip.expected(0.5))
    assert numbers[:-1] == clip.expected(0.5)[: len(numbers) - 1]
    assert not outcome.complete
    assert outcome.reason
    assert outcome.duration_seconds < 7


@pytest.mark.parametrize("name", ["webm-vp9", "mkv-h264"])
def test_a_cut_matroska_file_without_a_duration_is_partial(name: str, tmp_path: Path) -> None:
    clip = media.make_named(name, tmp_path)
    media.erase_matroska_duration(clip.path)
    assert read_all(clip.path, 0.5)[1].complete
    assert probe(clip.path).duration_source == "none"
    size = clip.path.stat().st_size
    media.cut(clip.path, 0.6)
    numbers, outcome = read_all(clip.path, 0.5)
    assert numbers[:-1] == clip.expected(0.5)[: len(numbers) - 1]
    missing = size - clip.path.stat().st_size
    assert outcome.reason.endswith(f"its last {missing} bytes are missing")
    assert not outcome.complete


@pytest.mark.parametrize("name", ["webm-vp9", "mkv-h264"])
def test_a_matroska_file_that_has_every_frame_but_not_its_end_says_so(name: str, tmp_path: Path) -> None:
    clip = media.make_named(name, tmp_path)
    whole = clip.path.read_bytes()
    # Without its cues, which say where to jump.
    clip.path.write_bytes(whole[: whole.rindex(bytes.fromhex("1c53bb6b"))])
    missing = len(whole) - clip.path.stat().st_size
    numbers, outcome = read_all(clip.path, 0.5)
    assert numbers == clip.expected(0.5)
    assert (outcome.complete, outcome.reason) == (False, f"its last {missing} bytes are missing")


def test_a_live_stream_cut_anywhere_is_whole(tmp_path: Path) -> None:
    clip = media.make_named("webm-no-duration", tmp_path)
    whole = clip.path.read_bytes()
    # Between two clusters: a stream of unknown length may end after any of them.
    clip.path.write_bytes(whole[: whole.rindex(bytes.fromhex("1f43b675"))])
    numbers, outcome = read_all(clip.path, 0.5)
    assert numbers == clip.expected(0.5)[: len(numbers)]
    assert outcome.complete, outcome.reason


def test_a_cut_transport_stream_gives_what_is_there(tmp_path: Path) -> None:
    clip = media.make_named("ts-h264", tmp_path)
    media.cut(clip.path, 0.6)
    numbers, _ = read_all(clip.path, 0.5)
    assert numbers == clip.expected(0.5)[: len(numbers)]
    assert len(numbers) >= 5


def test_a_transport_stream_that_begins_in_the_middle_is_whole(tmp_path: Path) -> None:
    clip = media.make_named("ts-h264", tmp_path)
    data = clip.path.read_bytes()
    clip.path.write_bytes(data[len(data) // 3 // 188 * 188 :])
    numbers, outcome = read_all(clip.path, 0.4)
    assert numbers == list(range(numbers[0], 200, 10))
    assert outcome.complete, outcome.reason


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    clip = media.make_named("mp4-h264", tmp_path)
    media.cut(clip.path, 0.9)
    with pytest.raises(VideoError, match="cannot be opened"):
        probe(clip.path)


@pytest.mark.parametrize("name", ["mp4-h264-faststart", "mov-mjpeg", "mp4-hevc-closed-groups", "mp4-av1"])
def test_a_damaged_mp4_gives_what_is_before_and_after(name: str, tmp_path: Path) -> None:
    recipe = replace(media.RECIPES[name], container_options={"movflags": "+faststart"})
    clip = media.make(tmp_path / f"damaged{recipe.suffix}", recipe)
    media.garble(clip.path, 0.48, 0.52)
    numbers, outcome = read_all(clip.path, 0.5)
    expected = clip.expected(0.5)
    assert len(numbers) == len(expected)
    assert numbers[:6] == expected[:6]
    assert numbers[-3:] == expected[-3:]
    assert not outcome.complete
    assert "damaged" in outcome.reason


@pytest.mark.parametrize("name", ["ts-h264", "ts-mpeg2", "mkv-h264", "webm-vp9"])
def test_damage_does_not_shift_what_follows(name: str, tmp_path: Path) -> None:
    clip = media.make_named(name, tmp_path)
    media.garble(clip.path, 0.45, 0.47)
    numbers, outcome = read_all(clip.path, 0.5)
    expected = clip.expected(0.5)
    assert numbers[:5] == expected[:5]
    assert numbers[-3:] == expected[-3:]
    assert outcome.duration_seconds == pytest.approx(8.0, abs=0.05)


def test_a_file_of_noise_behind_a_header_holds_nothing(tmp_path: Path) -> None:
    clip = media.make_named("mp4-h264-faststart", tmp_path)
    start = clip.path.read_bytes().index(b"mdat") / clip.path.stat().st_size
    media.garble(clip.path, start + 0.001, 1.0)
    with pytest.raises(VideoError, match="no picture"):
        read_all(clip.path, 2.0)


def test_a_file_that_says_more_than_it_shows_is_partial(made: Made) -> None:
    clip = made("mp4-h264")
    longer = replace(probe(clip.path), duration_seconds=20.0)
    _, outcome = read_all(clip.path, 2.0, info=longer)
    assert not outcome.complete
    assert outcome.reason == "stops after 8.0 of 20.0 seconds"


# ------------------------------------------------------------------------------- what is no video


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def a_still(path: Path) -> None:
    Image.new("RGB", (64, 64)).save(path, "jpeg")


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.symlink_to("nowhere.mp4"), "is a link to nothing"),
        (lambda path: path.symlink_to(path.name), "cannot be read"),
        (a_pipe, "is a pipe"),
        (a_socket, "is a socket"),
        (lambda path: path.write_text("a text\n" * 1000), "cannot be opened|holds no|is not a video"),
        (lambda path: path.write_bytes(os.urandom(100_000)), "cannot be opened|holds no|is not a video"),
        (lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n"), "video"),
        (lambda path: path.write_text("ffconcat version 1.0\nfile other.mp4\n"), "video"),
        (a_still, "is not a video"),
        (media.sound_only, "holds no moving pictures"),
        (media.sound_with_cover, "holds no moving pictures"),
    ],
)
def test_what_is_no_video_gives_one_clear_line(
    maker: Callable[[Path], None], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    maker(Path("clip.mp4"))
    errors: list[BaseException] = []

    def look() -> None:
        try:
            probe(tmp_path / "clip.mp4")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "probing hangs"
    (error,) = errors
    assert isinstance(error, VideoError)
    with pytest.raises(VideoError, match=words):
        raise error
    assert "clip.mp4" in str(error)
    assert "\n" not in str(error)


def test_a_file_that_may_not_be_read() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        clip = media.make(folder / "mine.mp4", replace(media.RECIPES["mp4-h264"], frame_count=2))
        clip.path.chmod(0o000)
        was_root = os.geteuid() == 0
        if was_root:
            os.seteuid(65534)
        try:
            with pytest.raises(VideoError, match="may not be read"):
                probe(clip.path)
        finally:
            if was_root:
                os.seteuid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize(
    "name", [b"\xff\xfe clip.mp4", b"talk: part 1.mp4", b"file:a.mp4", b"50%03d.mp4", "möwe 🐦 .mp4".encode()]
)
def test_any_file_name(name: bytes, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = made("mp4-h264")
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    path.write_bytes(clip.path.read_bytes())
    assert read_all(path, 2.0)[0] == clip.expected(2.0)


def test_errors_print_names_that_are_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        probe(tmp_path / os.fsdecode(b"\xff.mp4"))
    assert r"\xff.mp4" in str(caught.value).encode("utf-8").decode()
