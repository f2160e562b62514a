"""Thumbnails: made with the video, gone with the video, never half a file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from indexer.settings import IndexSettings
from indexer.thumbnails import MAX_THUMBNAILS, Thumbnails, ThumbnailWriter, thumbnail_spec
from tests.fakes import make_film, open_library


@pytest.fixture
def films(tmp_path):
    make_film(tmp_path / "films" / "a.mp4", [("red", 6), ("blue", 6)])
    make_film(tmp_path / "films" / "b.mkv", [("lime", 4)])
    return tmp_path / "films"


def colour(jpeg: bytes) -> tuple[int, ...]:
    return Image.open(io.BytesIO(jpeg)).convert("RGB").resize((1, 1)).getpixel((0, 0))


def ids(library) -> dict[str, int]:
    return {video.path.name: video.video_id for video in library.videos()}


def files(library) -> list[str]:
    return sorted(path.name for path in library.thumbnails.folder.iterdir())


def test_every_sampled_frame_has_one(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films])
    a, b = ids(library)["a.mp4"], ids(library)["b.mkv"]
    assert files(library) == sorted([f"{a}.jpegs", f"{b}.jpegs"])
    for frame in range(6):  # 12 s at one frame every 2 s; red up to 6 s
        red, _, blue = colour(library.thumbnails.at(a, frame))
        assert (red > 200, blue > 200) == (frame < 3, frame >= 3), frame
    assert Image.open(io.BytesIO(library.thumbnails.at(a, 0))).size == (64, 48)  # small films are not blown up


def test_their_size_is_told(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films], settings=IndexSettings(thumbnails=False))
    assert library.info().thumbnail_bytes == 0
    library.index([films], settings=IndexSettings(force=True))
    told = library.info().thumbnail_bytes
    assert told == sum(path.stat().st_size for path in library.thumbnails.folder.iterdir()) > 0


def test_a_removed_video_takes_them_along(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films])
    b = ids(library)["b.mkv"]
    library.remove([films / "a.mp4"])
    assert files(library) == [f"{b}.jpegs"]


def test_none_are_made_when_none_are_wanted(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films], settings=IndexSettings(thumbnails=False))
    assert not library.thumbnails.folder.exists()
    assert library.thumbnails.at(ids(library)["a.mp4"], 0) is None


def test_what_a_killed_run_left_is_deleted_by_the_next(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films / "a.mp4"])
    kept = files(library)
    (library.thumbnails.folder / "77.part").write_bytes(b"half")
    (library.thumbnails.folder / "78.jpegs").write_bytes(b"published, not committed")
    library.index([films / "a.mp4"])
    assert files(library) == kept


def test_a_file_cut_off_anywhere_counts_as_none(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films / "b.mkv"])
    video_id = ids(library)["b.mkv"]
    path = library.thumbnails.folder / f"{video_id}.jpegs"
    whole = path.read_bytes()
    for length in (0, 1, 15, 16, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert library.thumbnails.at(video_id, 0) is None, length


@pytest.mark.parametrize(("expected", "step"), [(MAX_THUMBNAILS, 1), (MAX_THUMBNAILS + 1, 2), (43_200, 12)])
def test_long_videos_keep_a_bounded_number(tmp_path, expected, step):
    with ThumbnailWriter(Thumbnails(tmp_path).part(1), expected) as writer:
        wanted = [frame for frame in range(expected) if writer.wants(frame)]
    assert len(wanted) <= MAX_THUMBNAILS and wanted[1] == step


def test_a_video_without_a_known_length_is_thinned_as_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("indexer.thumbnails.MAX_THUMBNAILS", 4)
    pixels = np.zeros((2, 2, 3), np.uint8)
    kept = []
    with ThumbnailWriter(Thumbnails(tmp_path).part(1), 1) as writer:
        for frame in range(32):
            if writer.wants(frame):
                kept.append(frame)
                writer.add(frame, pixels)
    assert kept == [
        0,
        1,
        2,
        3,
        4,
        6,
        8,
        10,
        12,
        16,
        20,
        24,
    ]  # four of every frame, four of every 2nd, of every 4th


def test_a_disk_that_cannot_be_written_costs_thumbnails_only(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films / "b.mkv"], settings=IndexSettings(thumbnails=False))
    (library.path / "thumbnails").write_text("a file where the folder should be")
    assert library.index([films / "a.mp4"]).ok


def test_sizes():
    assert (thumbnail_spec(1920, 1080).width, thumbnail_spec(1920, 1080).height) == (320, 180)
    assert (thumbnail_spec(1080, 1920).width, thumbnail_spec(1080, 1920).height) == (320, 569)
    assert (thumbnail_spec(200, 2000).width, thumbnail_spec(200, 2000).height) == (64, 640)
