"""The demo's films: real H.264, as long as they say, and showing each scene where its moment lies."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vclipper.demo.render import draw_scene
from vclipper.demo.videos import (
    FRAME_RATES,
    HEIGHT,
    SCENES,
    SCENES_PER_FILM,
    WIDTH,
    TrueMoment,
    make_videos,
    plan_moments,
    query_picture,
    write_film,
)


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> list[TrueMoment]:
    return make_videos(tmp_path_factory.mktemp("films"))


def _by_film(moments: list[TrueMoment]) -> dict[Path, list[TrueMoment]]:
    films: dict[Path, list[TrueMoment]] = {}
    for moment in moments:
        films.setdefault(moment.path, []).append(moment)
    return films


def _thumbnails(path: Path) -> dict[Fraction, NDArray[np.float32]]:
    """Return one small picture for each second of the film, by its time in seconds."""
    found: dict[Fraction, NDArray[np.float32]] = {}
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            seconds = Fraction(frame.pts) * frame.time_base
            if seconds.denominator == 1:
                found[seconds] = np.asarray(frame.to_image().resize((32, 24)), np.float32)
    return found


def test_films_are_h264_of_the_promised_length(moments: list[TrueMoment]) -> None:
    for i, (path, shown) in enumerate(_by_film(moments).items()):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert (stream.width, stream.height) == (WIDTH, HEIGHT)
            assert stream.average_rate == FRAME_RATES[i % len(FRAME_RATES)]
            assert stream.frames == shown[-1].end_seconds * stream.average_rate
            assert float(stream.duration * stream.time_base) == pytest.approx(shown[-1].end_seconds, abs=0.01)
        assert 60 <= shown[-1].end_seconds <= 90


def test_each_scene_is_shown_once_and_scenes_follow_each_other(moments: list[TrueMoment]) -> None:
    assert sorted(moment.query for moment in moments) == sorted(SCENES)
    for shown in _by_film(moments).values():
        assert [m.start_seconds for m in shown] == [0.0, *(m.end_seconds for m in shown[:-1])]
        for moment in shown:
            assert moment.start_seconds % 2 == moment.end_seconds % 2 == 0
            assert 8 <= moment.end_seconds - moment.start_seconds <= 20


def test_frames_change_at_the_moments_bounds_and_little_within(moments: list[TrueMoment]) -> None:
    for path, shown in _by_film(moments).items():
        pictures = _thumbnails(path)
        changes = {
            second: float(np.abs(pictures[Fraction(second)] - pictures[Fraction(second - 1)]).mean())
            for second in range(1, int(shown[-1].end_seconds))
        }
        across = [changes.pop(int(moment.start_seconds)) for moment in shown[1:]]
        assert 0 < min(changes.values()) < max(changes.values()) < min(across)


def test_first_frame_shows_the_scene(moments: list[TrueMoment]) -> None:
    shown = _by_film(moments)[moments[0].path]
    pictures = _thumbnails(moments[0].path)
    drawn = {m: np.asarray(draw_scene(SCENES[m.query], (32, 24)), np.float32) for m in shown}
    for moment in shown:
        frame = pictures[Fraction(int(moment.start_seconds) + 2)]
        assert min(drawn, key=lambda m: float(np.abs(drawn[m] - frame).mean())) == moment


def test_query_picture_is_a_new_drawing(moments: list[TrueMoment], tmp_path: Path) -> None:
    first, second = (query_picture(moments[0], tmp_path / str(seed), seed) for seed in (0, 1))
    with Image.open(first) as picture, Image.open(second) as other:
        assert picture.format == "PNG"
        assert picture.size == (WIDTH, HEIGHT)
        assert picture.tobytes() != other.tobytes()


def test_same_seed_gives_the_same_film(moments: list[TrueMoment], tmp_path: Path) -> None:
    first = [replace(moment, path=tmp_path / moment.path.name) for moment in moments[:SCENES_PER_FILM]]
    assert plan_moments(tmp_path)[:SCENES_PER_FILM] == first
    write_film(first, FRAME_RATES[0])
    assert first[0].path.read_bytes() == moments[0].path.read_bytes()


def test_another_seed_gives_other_films(moments: list[TrueMoment]) -> None:
    assert plan_moments(moments[0].path.parent, seed=1) != moments
