"""Which decoder a file is given to, and that another goes on where one gives up."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexer import decode_decord, decode_pyav, video
from indexer.container import open_container
from indexer.decode_decord import DecordGaveUpError
from indexer.packet_skipping import NotAsExpectedError, SampleTimes
from indexer.probe import probe
from indexer.video import choose_decoder
from indexer.video_types import DecodeOutcome, DecodeProgress, VideoInfo
from tests.decoding import DECORD_IS_HERE, Made, only_decord, only_pyav, read_all


@pytest.mark.skipif(not DECORD_IS_HERE, reason="decord is not installed")
def test_pyav_goes_on_where_decord_stops(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = made("mp4-h264")
    honest = decode_decord._decord_picture

    def fails_after_two_seconds(reader: Any, place: int) -> Image.Image:
        if place > 50:
            raise DecordGaveUpError
        return honest(reader, place)

    only_decord(monkeypatch)
    monkeypatch.setattr(decode_decord, "_decord_picture", fails_after_two_seconds)
    numbers, outcome = read_all(clip.path, 0.5)
    assert numbers == clip.expected(0.5)
    assert outcome == DecodeOutcome(True, "", pytest.approx(8.0), "pyav")  # type: ignore[arg-type]


def test_plain_decoding_goes_on_where_skipping_is_not_possible(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = made("mp4-h264")
    only_pyav(monkeypatch)
    honest, calls = decode_pyav._expected, [0]

    def stumbles(timed: Any, frame: Any, info: Any) -> Any:
        calls[0] += 1
        if calls[0] > 40:
            raise NotAsExpectedError
        return honest(timed, frame, info)

    monkeypatch.setattr(decode_pyav, "_expected", stumbles)
    numbers, outcome = read_all(clip.path, 0.5)
    assert numbers == clip.expected(0.5)
    assert calls[0] > 40
    assert outcome.duration_seconds == pytest.approx(8.0)


def test_a_late_failure_does_not_cost_the_whole_again(made: Made) -> None:
    clip = made("mp4-h264")
    info = probe(clip.path)
    with open_container(clip.path) as container:
        stream = container.streams.video[0]
        progress = DecodeProgress(next_index=9)
        first = next(decode_pyav._in_order(container, stream, info, SampleTimes(0.5), progress))
    assert first.start_seconds == 4.0, "the last keyframe before 4.5 s"


@pytest.mark.parametrize(
    "spans",
    [
        [[0.0, 0.04], [3e17, 3e17]],
        [[0.0, 0.04], [float("nan"), 1.0]],
        [[0.0, 0.04], [-1.0, 0.0]],
        [[-0.4, -0.36], [0.0, 0.04]],
    ],
)
def test_impossible_times_are_not_believed(spans: list[list[float]]) -> None:
    reader = SimpleNamespace(get_frame_timestamp=lambda places: np.array(spans, np.float32))
    reader = type("Reader", (), {"__len__": lambda self: 2, **vars(reader)})()
    with pytest.raises(DecordGaveUpError):
        decode_decord._decord_times(type(reader)())


def info_of(**changes: Any) -> VideoInfo:
    usual = VideoInfo(Path("/clips/a.mp4"), "mp4", "h264", 160, 128, 12.0, "picture", 25.0)
    return replace(usual, **changes)


@pytest.mark.parametrize(
    ("changes", "decoder"),
    [
        ({}, "decord"),
        ({"container": "matroska", "codec": "vp9"}, "decord"),
        ({"container": "flv"}, "decord"),
        ({"codec": "hevc"}, "decord"),
        ({"codec": "mjpeg"}, "decord"),
        ({"pixel_format": "yuv444p10le", "has_b_frames": True}, "decord"),
        ({"rotation_degrees": 90, "sample_aspect_ratio": Fraction(4, 3)}, "decord"),
        ({"codec": "av1"}, "pyav"),
        ({"codec": "vp8"}, "pyav"),
        ({"codec": "mpeg4"}, "pyav"),
        ({"codec": "prores"}, "pyav"),
        ({"container": "mpegts"}, "pyav"),
        ({"container": "mpeg", "codec": "mpeg2video"}, "pyav"),
        ({"container": "avi", "codec": "mpeg4"}, "pyav"),
        ({"container": "avi"}, "pyav"),
        ({"container": "gif", "codec": "gif"}, "pyav"),
        ({"container": "h264"}, "pyav"),
        ({"duration_seconds": None, "duration_source": "none"}, "pyav"),
        ({"has_edit_list": True}, "pyav"),
        ({"has_open_groups": True}, "pyav"),
        ({"is_hdr": True}, "pyav"),
        ({"is_mirrored": True}, "pyav"),
        ({"video_stream_count": 2}, "pyav"),
        ({"path": Path(os.fsdecode(b"/clips/\xff.mp4"))}, "pyav"),
        ({"path": Path("/clips/möwe 🐦.mp4")}, "decord"),
    ],
)
def test_choice_of_decoder(changes: dict[str, Any], decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_has_decord", lambda: True)
    monkeypatch.setattr(video, "may_skip_packets", lambda info: False)
    assert choose_decoder(info_of(**changes)) == decoder


def test_pyav_decodes_whatever_it_need_not_decode_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_has_decord", lambda: True)
    assert choose_decoder(info_of(first_stamp_seconds=0.0)) == "pyav"
    assert choose_decoder(info_of()) == "decord", "the header tells no time of the first frame"


def test_without_decord_pyav_decodes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_has_decord", lambda: False)
    assert choose_decoder(info_of()) == "pyav"
