"""Copies for browsers, decoded back: H.264 in 8 bits, upright, with their sound; the cache keeps its bound."""

from __future__ import annotations

import os
import time
from pathlib import Path

import av
import numpy as np
import pytest

from indexer.discover import open_regular
from tests.fakes import make_film, open_library
from tests.media import RECIPES, Recipe, can_encode, make, patch_display_matrix, read_number
from tests.outside import VIDEOS, needs_videos
from vclipper.web.proxies import Proxies, Proxy

HEVC = pytest.mark.skipif(not can_encode("libx265"), reason="this PyAV has no libx265")


def copied(path: Path, folder: Path) -> Path:
    """The proxy of a file; the last thing that the task says is that it is done."""
    target = folder / "proxy.mp4"
    assert list(Proxy(target)(path))[-1] is None
    assert [file.name for file in folder.glob("*.part")] == []
    return target


def pictures(path: Path) -> list[np.ndarray]:
    """All pictures, (H, W, 3) uint8 RGB, after a look at what browsers ask for."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def sound_seconds(path: Path) -> float:
    """How long the sound lasts; 0 where there is none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return 0.0
        assert container.streams.audio[0].codec_context.name == "aac"
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


@HEVC
@pytest.mark.parametrize(
    "recipe",
    [
        RECIPES["mkv-hevc-10-bit"],
        Recipe(
            codec="libx265",
            pixel_format="yuv420p10le",
            color_transfer=16,  # PQ
            codec_options={"preset": "ultrafast", "x265-params": "log-level=none:pools=1"},
        ),
    ],
    ids=["10 bit", "HDR"],
)
def test_ten_bits_become_eight(tmp_path, recipe):
    made = make(tmp_path / f"film{recipe.suffix}", recipe)
    shown = pictures(copied(made.path, tmp_path))
    assert [read_number(picture) for picture in shown] == list(made.numbers)
    assert shown[0].shape == (128, 160, 3)


@pytest.mark.parametrize(("degrees", "size"), [(90, (160, 128)), (180, (128, 160)), (270, (160, 128))])
def test_turned_films_are_upright(tmp_path, degrees, size):
    made = make(tmp_path / "film.mp4", RECIPES["mp4-h264"])
    patch_display_matrix(made.path, degrees)
    shown = pictures(copied(made.path, tmp_path))
    assert shown[0].shape[:2] == size
    # np.rot90 turns against the clock
    assert [read_number(np.rot90(picture, degrees // 90)) for picture in shown] == list(made.numbers)


def test_sound_comes_along(tmp_path):
    made = make(tmp_path / "film.mkv", Recipe(suffix=".mkv", audio_seconds=8))
    proxy = copied(made.path, tmp_path)
    assert sound_seconds(proxy) == pytest.approx(8, abs=0.1)
    assert len(pictures(proxy)) == 200


@needs_videos
@pytest.mark.parametrize(("name", "sounds"), [("intel_asl_bird.mkv", False), ("cve_bears.mp4", True)])
def test_real_clips(tmp_path, name, sounds):
    source = VIDEOS / name
    proxy = copied(source, tmp_path)
    with av.open(str(source)) as container:
        originals = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    shown = pictures(proxy)
    assert len(shown) == len(originals) and shown[0].shape == originals[0].shape
    for copy, original in zip(shown[::20], originals[::20], strict=True):
        assert np.abs(copy.astype(float) - original).mean() < 6  # of 255: what CRF 25 loses
    assert (sound_seconds(proxy) > 1) == sounds


def test_the_one_unused_for_longest_goes_first(tmp_path):
    films = [make_film(tmp_path / f"{colour}.avi", [(colour, 4)]) for colour in ("red", "lime", "blue")]
    library = open_library(tmp_path / "lib")
    library.index(films)
    videos = {video.path.name: video for video in library.videos()}
    first, second, third = (videos[film.name] for film in films)
    roomy = Proxies(tmp_path / "cache")
    for video in (first, second):
        finish(roomy, video)
    bound = sum(roomy.path_of(video).stat().st_size for video in (first, second))
    os.utime(roomy.path_of(second), (1, 1))
    roomy.close()
    full = Proxies(tmp_path / "cache", max_bytes=bound + 200)  # two of about the same size
    finish(full, third)
    assert [full.state_of(video).state for video in (first, second, third)] == ["ready", "missing", "ready"]
    full.close()
    tiny = Proxies(tmp_path / "cache", max_bytes=1)
    finish(tiny, second)
    assert [tiny.state_of(video).state for video in (first, second, third)] == ["missing", "ready", "missing"]
    tiny.close()


def finish(proxies: Proxies, video) -> None:
    proxies.make(video, lambda: open_regular(video.path))
    deadline = time.monotonic() + 60
    while proxies.state_of(video).state == "making":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert proxies.state_of(video).state == "ready", proxies.state_of(video)
