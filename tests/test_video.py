"""Every way of decoding gives the frame that is really shown, and says when a file is not whole."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer import decode_decord, decode_pyav, decode_torchcodec, video
from indexer.container import open_container
from indexer.decode_decord import DecordGaveUpError
from indexer.errors import InputError, VideoError
from indexer.frames import PictureSpec, ResizeMode, fit_picture, sample_count
from indexer.keyframes import is_disposable
from indexer.packet_skipping import NotAsExpectedError, SampleTimes, Selection, wanted_packets
from indexer.probe import probe
from indexer.video import choose_decoder, decode
from indexer.video_types import DecodeOutcome, DecodeProgress, VideoInfo
from tests import media
from tests.outside import VIDEOS, needs_videos, real_clips

DECORD_IS_HERE = video._has_decord()
NAMES = [*media.RECIPES, *media.SPECIAL]

RIGHT_FOR_DECORD = {
    "mp4-h264-no-b-frames",
    "mp4-h264",
    "mp4-h264-faststart",
    "mp4-h264-one-group",
    "mp4-h264-10-bit",
    "mp4-h264-422",
    "mp4-h264-444",
    "mp4-h264-full-range",
    "mp4-h264-fragmented",
    "mp4-h264-ntsc",
    "mov-h264",
    "mkv-h264",
    "flv-h264",
    "flv-long-audio",
    "mp4-hevc-closed-groups",
    "mkv-hevc-10-bit",
    "webm-vp9",
    "webm-vp9-alt-ref",
    "mp4-vp9",
    "mov-mjpeg",
    "mp4-odd-size",
    "mp4-one-frame",
    "mp4-short",
    "mp4-variable-rate",
    "mkv-variable-rate",
    "mp4-long-audio",
    "mkv-long-audio",
}


RIGHT_FOR_TORCHCODEC = {
    *(RIGHT_FOR_DECORD - {"mp4-variable-rate", "mkv-variable-rate"}),
    "mp4-h264-open-groups",
    "mkv-h264-open-groups",
    "mp4-hevc-open-groups",
    "mkv-hevc-open-groups",
    "webm-vp8",
    "webm-no-duration",
    "mov-prores",
    "mp4-mpeg4",
    "mp4-av1",
    "webm-av1",
    "avi-mjpeg",
    "gif",
    "mp4-edit-list",
}


Made = Callable[[str], media.MadeVideo]


def read_all(
    path: Path, period_seconds: float, threads: int = 1, info: VideoInfo | None = None
) -> tuple[list[int], DecodeOutcome]:
    """The numbers of all sampled frames, and how it ended; indices must be 0, 1, 2 …"""
    decoding = decode(path, info or probe(path), period_seconds, threads=threads)
    numbers: list[int] = []
    while True:
        try:
            frame = next(decoding)
        except StopIteration as end:
            return numbers, end.value
        assert frame.index == len(numbers)
        assert frame.image.mode == "RGB"
        numbers.append(media.read_number(frame.image))


def only_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "choose_decoder", lambda info, device=None: "pyav")


def only_decord(monkeypatch: pytest.MonkeyPatch) -> None:
    if not DECORD_IS_HERE:
        pytest.skip("decord is not installed")
    monkeypatch.setattr(video, "choose_decoder", lambda info, device=None: "decord")


def only_torchcodec(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, but on the CPU; PyAV may not step in."""
    torchcodec_first(monkeypatch)
    monkeypatch.setattr(video, "pyav_samples", lambda *args: pytest.fail("torchcodec gave up"))


def torchcodec_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAV goes on where torchcodec gives up."""
    if reason := decode_torchcodec.why_not("cpu"):
        pytest.skip(reason)
    monkeypatch.setattr(video, "choose_decoder", lambda info, device=None: "torchcodec")


def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    only_pyav(monkeypatch)
    monkeypatch.setattr(decode_pyav, "may_skip_packets", lambda info: False)


# --------------------------------------------------------------------------------------- contract


WAYS = [
    ("chosen", 0.7),
    ("chosen", 2.0),
    ("decord", 0.7),
    ("decord", 2.0),
    ("in order", 0.7),
    ("torchcodec", 0.7),
    ("torchcodec gives up", 0.7),
]
ONLY: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "chosen": lambda monkeypatch: None,
    "decord": only_decord,
    "in order": in_order,
    "torchcodec": only_torchcodec,
    "torchcodec gives up": torchcodec_first,
}
RIGHT_NAMES = {
    "decord": RIGHT_FOR_DECORD,
    "torchcodec": RIGHT_FOR_TORCHCODEC,
    "torchcodec gives up": {*NAMES} - RIGHT_FOR_TORCHCODEC,
}


@pytest.mark.parametrize(
    ("name", "way", "period_seconds"),
    [(name, *way) for name in NAMES for way in WAYS if name in RIGHT_NAMES.get(way[0], NAMES)],
)
def test_the_frames_are_those_shown(
    name: str, way: str, period_seconds: float, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = made(name)
    ONLY[way](monkeypatch)
    numbers, outcome = read_all(clip.path, period_seconds)
    assert numbers == clip.expected(period_seconds)
    assert outcome.complete, outcome.reason
    assert outcome.duration_seconds == pytest.approx(clip.end_seconds, abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_decoders(name: str, made: Made) -> None:
    info = probe(made(name).path)
    assert video.decord_is_right_about(info) == (name in RIGHT_FOR_DECORD)
    assert choose_decoder(info) == "pyav"


@pytest.mark.parametrize("name", NAMES)
def test_scaling_at_once_is_as_scaling_all_pixels(name: str, made: Made) -> None:
    clip = made(name)
    spec = PictureSpec(96, 96)
    for frame in decode(clip.path, probe(clip.path), 2.0):
        whole = fit_picture(frame.image, spec).astype(np.int16)
        assert np.abs(whole - frame.picture.fitted(spec)).mean() < 3, "of 255"


@pytest.mark.parametrize("name", sorted(RIGHT_FOR_DECORD))
def test_both_decoders_agree_on_colours(name: str, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = made(name)
    info = probe(clip.path)
    ours = [np.asarray(frame.image, np.int16) for frame in decode(clip.path, info, 2.0)]
    only_decord(monkeypatch)
    for picture, frame in zip(ours, decode(clip.path, info, 2.0), strict=True):
        assert picture.shape == (info.height, info.width, 3)
        assert np.abs(picture - np.asarray(frame.image, np.int16)).mean() < 1.5


@pytest.mark.parametrize("name", ["mp4-h264", "mkv-hevc-open-groups", "ts-h264", "avi-h264", "webm-vp9"])
def test_threads_change_nothing(name: str, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = made(name)
    assert read_all(clip.path, 0.7, threads=3)[0] == clip.expected(0.7)
    in_order(monkeypatch)
    assert read_all(clip.path, 0.7, threads=3)[0] == clip.expected(0.7)


@pytest.mark.parametrize("period_seconds", [0.04, 0.0507813, 3.3, 100.0])
@pytest.mark.parametrize("name", ["mp4-h264", "mp4-h264-open-groups", "ts-mpeg2", "mkv-variable-rate"])
def test_any_period(name: str, period_seconds: float, made: Made) -> None:
    clip = made(name)
    assert read_all(clip.path, period_seconds)[0] == clip.expected(period_seconds)


@pytest.mark.parametrize("frame_count", [1, 3])
def test_the_shortest_picture_is_one_sample(frame_count: int, tmp_path: Path) -> None:
    recipe = replace(
        media.RECIPES["mp4-h264-no-b-frames"], frames_per_second=Fraction(10_000), frame_count=frame_count
    )
    clip = media.make(tmp_path / "flash.mp4", recipe)  # at most 0.3 ms: less than the slack of times
    assert read_all(clip.path, 0.5)[0] == clip.expected(0.5) == [frame_count - 1]


def test_packets_that_nobody_sees_are_not_decoded(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    only_pyav(monkeypatch)
    clip = made("mp4-h264")
    info = probe(clip.path)
    selection = Selection(info, SampleTimes(2.0))
    with open_container(clip.path) as container:
        stream = container.streams.video[0]
        chosen = [p for p in wanted_packets(container, stream, info, selection) if p is not None]
    assert [float(packet.pts * packet.time_base) for packet in chosen] == [0.0, 2.0, 4.0, 6.0]


@pytest.mark.parametrize("name", ["mp4-h264-one-group", "mp4-hevc-closed-groups", "mkv-hevc-open-groups"])
def test_frames_that_no_other_needs_are_not_decoded(name: str, made: Made) -> None:
    clip = made(name)
    info = probe(clip.path)
    with open_container(clip.path) as container:
        stream = container.streams.video[0]
        extradata = stream.codec_context.extradata
        spare = [p.pts for p in container.demux(stream) if p.size and is_disposable(p, info.codec, extradata)]
        container.seek(0)
        chosen = wanted_packets(container, stream, info, Selection(info, SampleTimes(2.0)))
        decoded = {packet.pts for packet in chosen if packet is not None}
    assert len(spare) > 40
    assert len(decoded.intersection(spare)) < len(spare) / 4


@st.composite
def groups_of_packets(draw: st.DrawFn) -> list[list[int]]:
    """Closed groups of pictures: presentation times in ticks, in decoding order."""
    groups, tick = [], 0
    for _ in range(draw(st.integers(1, 5))):
        steps = draw(st.lists(st.integers(1, 30), min_size=1, max_size=60))
        shown = (tick + np.cumsum([0, *steps[:-1]])).tolist()
        tick = shown[-1] + steps[-1]
        width = draw(st.integers(1, 5))
        stored = [shown[0]]
        for start in range(1, len(shown), width):
            run = shown[start : start + width]
            stored += [run[-1], *run[:-1]]
        groups.append(stored)
    return groups


@settings(max_examples=60, deadline=None)
@given(groups_of_packets(), st.floats(0.02, 3.0), st.sampled_from([2, 3, 10**9]))
def test_selected_packets_hold_every_wanted_frame(
    groups: list[list[int]], period_seconds: float, every: int
) -> None:
    spare = {tick for group in groups for tick in group[1:] if tick % every == 0}
    info = VideoInfo(Path("x"), "mp4", "h264", 1, 1, None, "none", 25.0, first_stamp_seconds=0.0)
    selection = Selection(info, SampleTimes(period_seconds))
    given_out: list[int] = []

    def take(packets: Iterator[Any]) -> None:
        given_out.extend(packet.pts for packet in packets if packet is not None)

    for group in groups:
        take(selection.close_group(group[0] / 100))
        for tick in group:
            selection.add(fake_packet(tick), is_disposable=tick in spare)
            take(selection.ripe())
    take(selection.close_group(selection.end_seconds))

    everything = sorted(tick for group in groups for tick in group)
    for index in range(sample_count(everything[-1] / 100 + 0.04, period_seconds)):
        limit = index * period_seconds + 1e-3
        assert max(tick for tick in everything if tick / 100 <= limit) in given_out
    for group in groups:
        taken = [tick for tick in given_out if tick in group]
        needed = group[: group.index(taken[-1]) + 1] if taken else []
        assert taken == [tick for tick in needed if tick not in spare or tick in taken], "holes but of spare ones"


def fake_packet(tick: int) -> SimpleNamespace:
    return SimpleNamespace(
        pts=tick, time_base=Fraction(1, 100), size=10, duration=0, is_corrupt=False, is_discard=False
    )


# ----------------------------------------------------------------------------------- real material


clips = pytest.mark.parametrize("entry", [pytest.param(entry, id=entry["file"]) for entry in real_clips()])


@needs_videos
@clips
def test_real_clips(entry: dict[str, Any]) -> None:
    path = VIDEOS / entry["file"]
    info = probe(path)
    chosen, outcome = small_pictures(path, info)
    assert outcome.complete, outcome.reason
    assert len(chosen) == sample_count(outcome.duration_seconds, 2.0)
    if entry["video_stream_duration_s"] is not None:
        assert outcome.duration_seconds == pytest.approx(entry["video_stream_duration_s"], abs=0.05)
    assert outcome.duration_seconds == pytest.approx(info.duration_seconds, abs=0.1)


@pytest.mark.slow
@needs_videos
@clips
def test_real_clips_in_order(entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    path = VIDEOS / entry["file"]
    info = probe(path)
    chosen, _ = small_pictures(path, info)
    in_order(monkeypatch)
    plain, _ = small_pictures(path, info)
    for picture, reference in zip(chosen, plain, strict=True):
        assert np.abs(picture - reference).mean() < 2.5


def small_pictures(path: Path, info: VideoInfo) -> tuple[list[np.ndarray], DecodeOutcome]:
    decoding, pictures = decode(path, info, 2.0), []
    while True:
        try:
            frame = next(decoding)
        except StopIteration as end:
            return pictures, end.value
        assert frame.image.size == (info.width, info.height)
        pictures.append(np.asarray(frame.image.resize((64, 64)), np.int16))


# ------------------------------------------------------------------- orientation, shape and colour


@pytest.mark.parametrize("way", ["chosen", "decord"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_is_applied(degrees: int, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lying(number: int, width: int, height: int) -> np.ndarray:
        upright = media.numbered_picture(number, *((height, width) if degrees % 180 else (width, height)))
        return np.ascontiguousarray(np.rot90(upright, degrees // 90))  # counterclockwise

    recipe = replace(media.RECIPES["mp4-h264"], frame_count=60, paint=lying)
    clip = media.make(tmp_path / "turned.mp4", recipe)
    media.patch_display_matrix(clip.path, degrees)
    info = probe(clip.path)
    assert info.rotation_degrees == degrees
    assert (info.width, info.height) == ((128, 160) if degrees % 180 else (160, 128))
    ONLY[way](monkeypatch)
    assert read_all(clip.path, 0.5, info=info)[0] == clip.expected(0.5)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_mirrored_pictures_are_put_right(degrees: int, tmp_path: Path) -> None:
    def seen_in_a_mirror(number: int, width: int, height: int) -> np.ndarray:
        upright = media.numbered_picture(number, *((height, width) if degrees % 180 else (width, height)))
        return np.ascontiguousarray(np.rot90(upright, degrees // 90)[:, ::-1])

    recipe = replace(media.RECIPES["mp4-h264"], frame_count=60, paint=seen_in_a_mirror)
    clip = media.make(tmp_path / "mirrored.mp4", recipe)
    media.patch_display_matrix(clip.path, degrees, mirrored=True)
    info = probe(clip.path)
    assert (info.rotation_degrees, info.is_mirrored) == (degrees, True)
    assert choose_decoder(info) == "pyav"
    assert read_all(clip.path, 0.5, info=info)[0] == clip.expected(0.5)


@pytest.mark.parametrize("way", ["chosen", "decord"])
@pytest.mark.parametrize(
    ("aspect", "size"),
    [(Fraction(4, 3), (213, 128)), (Fraction(1, 2), (160, 256)), (Fraction(1), (160, 128))],
)
def test_pixels_become_square(
    aspect: Fraction, size: tuple[int, int], way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(media.RECIPES["mp4-h264"], frame_count=30, sample_aspect_ratio=aspect)
    clip = media.make(tmp_path / "wide.mp4", recipe)
    info = probe(clip.path)
    assert (info.width, info.height, info.sample_aspect_ratio) == (*size, aspect)
    ONLY[way](monkeypatch)
    (first, *_) = decode(clip.path, info, 2.0)
    assert first.image.size == size
    assert media.read_number(first.image) == 0


@pytest.mark.parametrize("way", ["chosen", "decord"])
def test_turned_and_stretched(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(media.RECIPES["mp4-h264"], frame_count=30, sample_aspect_ratio=Fraction(2))
    clip = media.make(tmp_path / "both.mp4", recipe)
    media.patch_display_matrix(clip.path, 90)
    info = probe(clip.path)
    assert (info.width, info.height) == (128, 320)
    ONLY[way](monkeypatch)
    assert next(decode(clip.path, info, 2.0)).image.size == (128, 320)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_scaling_at_once_turns_and_stretches_too(
    degrees: int, mirrored: bool, mode: ResizeMode, tmp_path: Path
) -> None:
    recipe = replace(media.RECIPES["mp4-h264"], frame_count=5, sample_aspect_ratio=Fraction(3, 2))
    clip = media.make(tmp_path / "all.mp4", recipe)
    media.patch_display_matrix(clip.path, degrees, mirrored=mirrored)
    (frame,) = decode(clip.path, probe(clip.path), 2.0)
    spec = PictureSpec(64, 48, resize_mode=mode, interpolation="bilinear")
    whole = fit_picture(frame.image, spec).astype(np.int16)
    assert np.abs(whole - frame.picture.fitted(spec)).mean() < 8, "of 255; turned wrongly it is above 60"


def hdr_levels(level: int, transfer: int, folder: Path) -> np.ndarray:
    recipe = media.Recipe(
        codec="libx265",
        codec_options={"preset": "ultrafast", "x265-params": "log-level=none"},
        pixel_format="yuv420p10le",
        color_transfer=transfer,
        frame_count=5,
        paint=media.flat_picture(level),
    )
    clip = media.make(folder / "hdr.mp4", recipe)
    info = probe(clip.path)
    assert info.is_hdr
    assert choose_decoder(info) == "pyav"
    return np.asarray(next(decode(clip.path, info, 2.0)).image)


@pytest.mark.parametrize(
    ("transfer", "level", "least", "most"),
    [
        (16, 0, 0, 5),  # black
        (16, 97, 90, 140),  # PQ 0.38: 26 nits, mid-grey
        (16, 148, 165, 215),  # PQ 0.58: 203 nits, white paper
        (16, 192, 250, 255),  # PQ 0.75: 1000 nits, a lamp
        (18, 0, 0, 5),
        (18, 97, 90, 145),  # HLG 0.38
        (18, 191, 165, 215),  # HLG 0.75: white paper
        (18, 255, 250, 255),
    ],
)
def test_hdr_is_neither_black_nor_washed_out(
    transfer: int, level: int, least: int, most: int, tmp_path: Path
) -> None:
    if not media.can_encode("libx265"):
        pytest.skip("this build of PyAV has no encoder libx265")
    picture = hdr_levels(level, transfer, tmp_path)
    assert least <= picture.mean() <= most
    assert np.ptp(picture.reshape(-1, 3).mean(axis=0)) < 6, "grey stays grey"


def test_large_hdr_pictures_are_made_smaller_before_the_arithmetic(tmp_path: Path) -> None:
    recipe = replace(media.RECIPES["mp4-h264"], pixel_format="yuv420p10le", color_transfer=16, frame_count=1)
    clip = media.make(tmp_path / "large.mp4", replace(recipe, width=2560, height=1440))
    info = probe(clip.path)
    assert info.is_hdr
    assert next(decode(clip.path, info, 2.0)).image.size == (1280, 720)


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


# ------------------------------------------------------------------------ one decoder for the other


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


@pytest.mark.parametrize("wrong", [{"period_seconds": 0.0}, {"period_seconds": 1.0, "threads": 0}])
def test_settings_out_of_bounds(wrong: dict[str, Any], made: Made) -> None:
    clip = made("mp4-h264")
    with pytest.raises(InputError):
        next(decode(clip.path, probe(clip.path), **wrong))


def test_abandoning_a_decoding_closes_the_file(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    only_pyav(monkeypatch)
    clip = made("mp4-h264")
    before = open_files()
    decoding = decode(clip.path, probe(clip.path), 0.5)
    next(decoding)
    decoding.close()
    assert open_files() == before


def open_files() -> list[str]:
    links = Path("/proc/self/fd")
    if not links.is_dir():
        pytest.skip("needs /proc")
    return sorted(str(link.readlink()) for link in links.iterdir() if link.exists())


# ------------------------------------------------------------------------------------ long videos


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["chosen", "decord", "in order"])
def test_three_hours_in_flat_memory(
    way: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path_factory.getbasetemp() / "three-hours.mp4"
    recipe = replace(
        media.RECIPES["mp4-h264"],
        frame_count=3 * 3600 * 5,
        frames_per_second=Fraction(5),
        paint=media.numbered_picture,
    )
    clip = media.make(path, recipe) if not path.exists() else media._made(path, recipe)
    ONLY[way](monkeypatch)
    numbers: list[int] = []
    peaks_kib: list[int] = []
    for frame in decode(clip.path, probe(clip.path), 2.0):
        numbers.append(media.read_number(frame.image))
        if frame.index % 900 == 500:
            peaks_kib.append(resident_kib())
    assert numbers == clip.expected(2.0)
    assert len(numbers) == 5400
    assert peaks_kib[-1] - peaks_kib[1] < 60_000, "all pictures together would take 330 MB"


def resident_kib() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])
