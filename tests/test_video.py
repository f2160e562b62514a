"""Every way of decoding gives the frame that is really shown, upright and in its colours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import video
from indexer.container import open_container
from indexer.errors import InputError
from indexer.frames import PictureSpec, ResizeMode, fit_picture, sample_count
from indexer.keyframes import is_disposable
from indexer.packet_skipping import SampleTimes, Selection, wanted_packets
from indexer.probe import probe
from indexer.video import choose_decoder, decode
from indexer.video_types import DecodeOutcome, VideoInfo
from tests import media
from tests.decoding import ONLY, Made, in_order, only_decord, only_pyav, read_all
from tests.outside import VIDEOS, needs_videos, real_clips

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


@settings(max_examples=60)
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


# --------------------------------------------------------------------------------------- the call


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
