"""With a tolerance every sampled picture is near its time, fewer packets are decoded, always the same ones."""

from __future__ import annotations

import contextlib
import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import indexer.cluster
from indexer import decode_pyav
from indexer.container import open_container
from indexer.errors import InputError
from indexer.frames import SLACK_SECONDS, sample_count
from indexer.packet_skipping import SampleTimes, Selection, wanted_packets
from indexer.picture import upright
from indexer.probe import probe
from indexer.settings import IndexSettings
from indexer.video import decode
from indexer.video_types import DecodeProgress, Shortcuts, VideoInfo
from tests import media
from tests.fake_ray import FakeNode, FakeRay
from tests.fakes import load_fake, make_film, open_library, rows_of
from tests.outside import VIDEOS, needs_videos, real_clips
from vclipper import cli
from vclipper.library import Library

TICK = 1 / 100
SKIPPING = [
    "mp4-h264",
    "mp4-h264-one-group",
    "mp4-h264-no-b-frames",
    "mp4-h264-fragmented",
    "mp4-h264-open-groups",
    "mkv-hevc-10-bit",
    "mp4-hevc-open-groups",
    "webm-vp9-alt-ref",
    "mov-mjpeg",
    "mp4-av1",
    "mkv-variable-rate",
    "mp4-one-frame",
]
EXACT = ["ts-h264", "avi-h264", "mp4-edit-list", "mpg-mpeg2", "webm-vp8"]


# ------------------------------------------------------------------------------------- real files


def numbers_of(path: Path, period_seconds: float, tolerance_seconds: float, threads: int = 1) -> list[int]:
    frames = decode(path, probe(path), period_seconds, threads=threads, shortcuts=Shortcuts(tolerance_seconds))
    return [media.read_number(frame.image) for frame in frames]


def packets_decoded(path: Path, period_seconds: float, tolerance_seconds: float) -> int:
    info = probe(path)
    with open_container(path) as container:
        stream = container.streams.video[0]
        selection = Selection(info, SampleTimes(period_seconds, tolerance_seconds))
        return sum(packet is not None for packet in wanted_packets(container, stream, info, selection))


def shown_within(clip: media.MadeVideo, number: int, seconds: float, tolerance_seconds: float) -> bool:
    """Whether the frame is on screen at some moment within the tolerance."""
    first, last = (clip.number_at(max(0.0, seconds + side * tolerance_seconds)) for side in (-1, 1))
    return first <= number <= last


@pytest.mark.parametrize(
    ("period_seconds", "tolerance_seconds"), [(2.0, 0.5), (0.7, 0.35), (1.3, 0.1), (0.2, 0.1)]
)
@pytest.mark.parametrize("name", SKIPPING)
def test_every_frame_is_near_its_time(name, period_seconds, tolerance_seconds, made):
    clip = made(name)
    numbers = numbers_of(clip.path, period_seconds, tolerance_seconds)
    assert len(numbers) == len(clip.expected(period_seconds))
    for index, number in enumerate(numbers):
        assert shown_within(clip, number, index * period_seconds, tolerance_seconds), (index, number)
    assert packets_decoded(clip.path, period_seconds, tolerance_seconds) <= packets_decoded(
        clip.path, period_seconds, 0.0
    )
    assert numbers_of(clip.path, period_seconds, tolerance_seconds, threads=3) == numbers


@pytest.mark.parametrize("name", EXACT)
def test_where_packets_are_not_skipped_frames_are_exact(name, made):
    clip = made(name)
    assert numbers_of(clip.path, 0.7, 0.35) == clip.expected(0.7)


def test_a_keyframe_within_the_tolerance_is_taken(made):
    clip = made("mp4-h264")  # 25 frames a second, keyframes at 0, 50, 100 and 150
    assert numbers_of(clip.path, 1.9, 0.0) == [0, 47, 95, 142, 190]
    assert numbers_of(clip.path, 1.9, 0.5)[:4] == [0, 50, 100, 150]
    # Exact: 47 frames and so on are needed; now: the keyframes, and behind the last one what is before 190 - 12.
    assert packets_decoded(clip.path, 1.9, 0.5) < packets_decoded(clip.path, 1.9, 0.0) / 4


def test_in_the_middle_of_a_group_the_nearest_frame_that_is_needed_anyway(made):
    clip = made("mp4-h264-one-group")
    exact, near = (numbers_of(clip.path, 2.0, tolerance) for tolerance in (0.0, 0.5))
    assert exact == [0, 50, 100, 150]
    # Three B-frames stand between two P-frames, so that one that is needed is at most two frames away.
    assert all(abs(a - b) <= 2 for a, b in zip(exact[:-1], near[:-1], strict=True))
    assert 138 <= near[-1] < 145, "the last one is taken as early as may be: 0.5 s are 12 frames"


@pytest.mark.parametrize("name", ["mp4-h264", "mp4-hevc-closed-groups", "mkv-hevc-open-groups"])
def test_the_pictures_are_whole(name, made):
    """What is taken looks as it does when every frame is decoded: nothing it depends on was left out."""
    clip = made(name)
    info = probe(clip.path)
    with open_container(clip.path) as container:
        every = [np.asarray(upright(frame, info)) for frame in container.decode(video=0)]
    for period_seconds, tolerance_seconds in ((0.9, 0.4), (1.9, 0.0), (1.97, 0.9), (3.1, 0.0), (0.07, 0.03)):
        for frame in decode(clip.path, info, period_seconds, shortcuts=Shortcuts(tolerance_seconds)):
            picture = np.asarray(frame.image)
            assert (picture == every[media.read_number(picture)]).all()


def test_an_open_group_is_decoded_from_its_keyframe_on(made):
    clip = made("mp4-hevc-open-groups")  # keyframes at 0, 50, 100, 150; one or more frames before them need them
    info = probe(clip.path)
    assert info.has_open_groups
    # Frames 64, 128 and 192 are 14, 28 and 42 behind their keyframes; half of the frames between are disposable.
    assert numbers_of(clip.path, 2.56, 0.0) == [0, 64, 128, 192]
    assert packets_decoded(clip.path, 2.56, 0.0) < 1 + 14 + 28 + 42
    # Frame 49 is shown before the keyframe at 50, and needs it and what stands before; but the keyframe is near.
    assert numbers_of(clip.path, 1.96, 0.0) == [0, 49, 98, 147, 196]
    assert numbers_of(clip.path, 1.96, 0.1)[:3] == [0, 50, 100]
    assert packets_decoded(clip.path, 1.96, 0.1) < packets_decoded(clip.path, 1.96, 0.0) / 2
    samples = decode_pyav.pyav_samples(clip.path, info, 2.56, 1, DecodeProgress(next_index=2))
    assert [media.read_number(frame.image) for frame in samples] == [128, 192], "also where decoding begins at one"


@pytest.mark.parametrize("name", ["mp4-h264-one-group", "mp4-hevc-open-groups", "ts-h264"])
def test_without_the_loop_filter_the_same_frames_look_a_little_different(name, made):
    clip = made(name)
    pictures = [
        [
            np.asarray(frame.image, np.int16)
            for frame in decode(clip.path, probe(clip.path), 0.9, shortcuts=shortcuts)
        ]
        for shortcuts in (Shortcuts(), Shortcuts(loop_filter=False))
    ]
    assert [media.read_number(picture) for picture in pictures[1]] == clip.expected(0.9)
    off = [np.abs(a - b).mean() for a, b in zip(*pictures, strict=True)]
    assert 0 < max(off) < 8, "of 255"


def test_after_damage_frames_are_exact(tmp_path):
    clip = media.make_named("mp4-h264-faststart", tmp_path)
    media.garble(clip.path, 0.48, 0.52)
    numbers = numbers_of(clip.path, 0.5, 0.2)
    assert len(numbers) == len(clip.expected(0.5))
    assert numbers[-3:] == clip.expected(0.5)[-3:]


@pytest.mark.parametrize("tolerance_seconds", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_tolerance_of_more_than_half_the_period_is_refused(tolerance_seconds, made):
    clip = made("mp4-h264")
    with pytest.raises(InputError, match="tolerance"):
        next(decode(clip.path, probe(clip.path), 2.0, shortcuts=Shortcuts(tolerance_seconds)))


QUICK = {"mdn_bug.mp4", "torchcodec_nasa_13013.mp4", "zamba_chimp.mp4"}


@needs_videos
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in (c["file"] for c in real_clips())],
)
def test_real_clips(name):
    """Every picture is, to the bit, one that full decoding shows within the tolerance."""
    info = probe(VIDEOS / name)
    starts: dict[bytes, list[float]] = {}
    times = []
    with open_container(info.path) as container:
        for frame in container.decode(container.streams[info.stream_index]):
            times.append(float(frame.pts * frame.time_base) - (info.first_stamp_seconds or 0.0))
            starts.setdefault(_digest(upright(frame, info)), []).append(times[-1])
    for sample in decode(info.path, info, 2.0, shortcuts=Shortcuts(0.5)):
        seconds = 2.0 * sample.index
        earliest = max([t for t in times if t <= seconds - 0.5 + SLACK_SECONDS], default=0.0)
        found = starts[_digest(sample.image)]
        assert any(earliest <= start <= seconds + 0.5 + SLACK_SECONDS for start in found), (sample.index, found)


def _digest(image: Image.Image) -> bytes:
    return hashlib.blake2b(image.tobytes()).digest()


# ------------------------------------------------------------------------------------- the library


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """One group of pictures, red until 5.5 s: the sample at 6 s is blue, and red is within a second of it."""
    return make_film(tmp_path_factory.mktemp("films") / "a.mp4", [("red", 5.5), ("blue", 2.5)])


def index(place: Path, film: Path, **options) -> Library:
    library = open_library(place)
    assert library.index([film], settings=IndexSettings(**options)).ok
    return library


def blues(library: Library) -> list[bool]:
    """Whether each sampled picture is more blue than not, by the encoder's third number."""
    (frames,) = library._current.store().frames(library.videos())
    return [bool(vector[2] > 0) for vector in frames.vectors]


def test_indexing_takes_it_whatever_the_workers(film, tmp_path):
    exact = index(tmp_path / "exact", film)
    near = index(tmp_path / "near", film, tolerance_seconds=1.0, workers=1)
    assert blues(exact) == [False, False, False, True]
    assert blues(near) == [False, False, False, False]
    other = index(tmp_path / "other", film, tolerance_seconds=1.0, workers=4)
    assert rows_of(other) == rows_of(near)


def test_a_cluster_takes_it(film, tmp_path, monkeypatch):
    monkeypatch.setattr(
        indexer.cluster, "connected", lambda address: contextlib.nullcontext(FakeRay(FakeNode("a")))
    )
    library, options = open_library(tmp_path / "near"), IndexSettings(tolerance_seconds=1.0, workers=1)
    assert library.index([film], settings=options, ray="auto").ok
    assert rows_of(library) == rows_of(index(tmp_path / "other", film, tolerance_seconds=1.0))


def test_it_is_checked_before_anything_is_made(film, tmp_path):
    library, options = open_library(tmp_path / "new"), IndexSettings(tolerance_seconds=1.5)
    with pytest.raises(InputError, match="between 0 and 1"):
        library.index([film], settings=options)
    assert not (tmp_path / "new").exists()
    library.index([film])
    with pytest.raises(InputError, match="between 0 and 1"):
        library.index([film], settings=options)
    with pytest.raises(InputError, match="between 0 and 1"):
        library.watch([film.parent], settings=options)
    with pytest.raises(InputError, match="tolerance_seconds is -1"):
        IndexSettings(tolerance_seconds=-1)


def test_the_command_says_what_is_wrong(film, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(Library.__init__, "__defaults__", ("cpu", load_fake))
    library = ["--library", str(tmp_path / "lib")]
    assert cli.run(["index", *library, "--tolerance", "2", str(film)]) == 1
    assert "--tolerance is 2. With a picture every 2 seconds it must lie between 0 and 1" in capfd.readouterr().err
    assert cli.run(["index", *library, "--tolerance", "1", "--no-loop-filter", str(film)]) == 0
    capfd.readouterr()
    assert cli.run(["list", *library]) == cli.run(["info", *library]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "(--tolerance 1 --no-loop-filter)" in said
    assert ", 1 decoded with --tolerance or --no-loop-filter" in said


def test_the_library_says_which_videos_it_was_used_for(film, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([film])
    library.index([make_film(tmp_path / "b.mp4", [("red", 4)])], settings=IndexSettings(tolerance_seconds=0.5))
    library.index([make_film(tmp_path / "c.mp4", [("blue", 4)])], settings=IndexSettings(loop_filter=False))
    shortcuts = {video.path.name: video.shortcuts for video in library.videos()}
    assert shortcuts == {film.name: "", "b.mp4": "--tolerance 0.5", "c.mp4": "--no-loop-filter"}
    assert all(video.complete for video in library.videos())
    assert library.info().inexact == 2
    partial = replace(library.videos()[0], complete=False, note="stops after 3 of 4 seconds; --no-loop-filter")
    assert partial.shortcuts == "--no-loop-filter"
    assert library.verify() == []


# --------------------------------------------------------------------------- made-up packet orders

CRA, IDR, RASL_N, RASL_R, TRAIL_N, TRAIL_R = 21, 20, 8, 9, 0, 1
EXTRADATA = bytes([1, *[0] * 20, 0b00001011, 0])
"""An hvcC record: one temporal layer, lengths of four bytes."""


class Packet(bytes):
    """An HEVC packet of one empty slice: all that is looked at."""

    tick: int
    kind: int
    time_base, duration, is_corrupt, is_discard = Fraction(1, 100), 0, False, False

    @classmethod
    def of(cls, tick: int, kind: int) -> Packet:
        packet = cls([0, 0, 0, 3, kind << 1, 1, 0])
        packet.tick, packet.kind = tick, kind
        return packet

    @property
    def pts(self) -> int:
        return self.tick

    @property
    def size(self) -> int:
        return len(self)

    @property
    def is_keyframe(self) -> bool:
        return self.kind in (CRA, IDR)

    @property
    def is_disposable(self) -> bool:
        return self.kind in (RASL_N, TRAIL_N)

    @property
    def is_leading(self) -> bool:
        return self.kind in (RASL_N, RASL_R)


Group = list[Packet]
"""Packets in decoding order, the first one a keyframe, perhaps followed by leading ones."""


@st.composite
def groups_of_packets(draw: st.DrawFn) -> list[Group]:
    """Groups at any rate, also a varying one, with B-pyramids; some open."""
    groups, tick = [], 0
    ahead, trailing = st.sampled_from([RASL_N, RASL_R]), st.sampled_from([TRAIL_N, TRAIL_R])
    for number in range(draw(st.integers(1, 6))):
        steps = draw(st.one_of(st.lists(st.integers(1, 40), min_size=1, max_size=60), _even_steps()))
        shown = (tick + np.cumsum([0, *steps[:-1]])).tolist()
        tick = shown[-1] + steps[-1]
        leading = min(len(shown) - 1, draw(st.integers(0, 7))) if number else 0
        group = [Packet.of(shown[leading], CRA if (number and draw(st.booleans())) or leading else IDR)]
        group += [Packet.of(one, draw(ahead)) for one in draw(st.permutations(shown[:leading]))]
        width, rest = draw(st.integers(1, 14)), shown[leading + 1 :]
        for start in range(0, len(rest), width):
            *between, anchor = rest[start : start + width]
            group.append(Packet.of(anchor, TRAIL_R if between else draw(trailing)))
            group += [Packet.of(one, draw(trailing)) for one in draw(st.permutations(between))]
        groups.append(group)
    return groups


def _even_steps() -> st.SearchStrategy[list[int]]:
    return st.builds(lambda step, count: [step] * count, st.sampled_from([3, 4]), st.integers(1, 300))


@dataclass
class Run:
    """What was given out, and what had been said of the samples' times by then; None: the decoder starts anew."""

    times: SampleTimes
    given: list[Packet | None] = field(default_factory=list)
    said: list[dict[int, float]] = field(default_factory=list)
    end_seconds: float = 0.0

    @property
    def packets(self) -> list[Packet]:
        return [packet for packet in self.given if packet is not None]


def run(groups: list[Group], period_seconds: float, tolerance_seconds: float) -> Run:
    info = VideoInfo(Path("x"), "mp4", "hevc", 1, 1, None, "none", 25.0, first_stamp_seconds=0.0)
    container = SimpleNamespace(demux=lambda stream: (packet for group in groups for packet in group))
    stream = SimpleNamespace(codec_context=SimpleNamespace(extradata=EXTRADATA))
    result = Run(SampleTimes(period_seconds, tolerance_seconds))
    selection = Selection(info, result.times)
    for packet in wanted_packets(container, stream, info, selection):
        result.given.append(packet)
        result.said.append(dict(result.times.moved))
    result.end_seconds = selection.end_seconds
    return result


def check_dependencies(groups: list[Group], given: list[Packet | None]) -> None:
    """Each frame finds in the decoder what it may depend on: all needed frames before it in its group, and of a
    leading one in the group before as well."""
    whole = [[packet for packet in group if not packet.is_disposable] for group in groups]
    lasting = [[packet for packet in group if not packet.is_leading] for group in whole]
    place = {packet.tick: number for number, group in enumerate(groups) for packet in group}
    order = {packet.tick: number for number, packet in enumerate(p for group in groups for p in group)}
    assert [order[p.tick] for p in given if p] == sorted(order[p.tick] for p in given if p)
    there: set[int] = set()
    for packet in given:
        if packet is None:
            there.clear()
            continue
        number = place[packet.tick]
        needed = [*lasting[number - 1], *whole[number]] if packet.is_leading else lasting[number]
        assert {p.tick for p in needed if order[p.tick] < order[packet.tick]} <= there
        there.add(packet.tick)


def shown(result: Run) -> list[int]:
    """The ticks that a decoder's frames give, if each comes out as soon as all shown before it are there.

    A real decoder is later, so that what it gives was settled even longer before.
    """
    order, arrived, samples, index, current = sorted(p.tick for p in result.packets), set[int](), [], 0, -1
    place, period_seconds = 0, result.times.period_seconds
    for packet, said in zip(result.given, result.said, strict=True):
        arrived.update([] if packet is None else [packet.tick])
        while place < len(order) and order[place] in arrived:
            while current >= 0 and said.get(index, index * period_seconds) < order[place] * TICK - SLACK_SECONDS:
                samples.append(current)
                index += 1
            current = order[place]
            place += 1
    while index == 0 or index * period_seconds < result.end_seconds - SLACK_SECONDS:
        samples.append(current)
        index += 1
    return samples


@settings(max_examples=300)
@given(groups_of_packets(), st.one_of(st.floats(0.02, 0.8), st.floats(0.02, 4.0)), st.floats(0.01, 0.5))
def test_selection_over_made_up_packets(groups: list[Group], period_seconds: float, share: float) -> None:
    near, exact = (run(groups, period_seconds, share * period_seconds * on) for on in (1, 0))
    everything = sorted(packet.tick for group in groups for packet in group)

    def tick_at(seconds: float) -> int:
        return everything[max(0, bisect_right(everything, (seconds + SLACK_SECONDS) / TICK) - 1)]

    samples = shown(near)
    assert len(samples) == sample_count(near.end_seconds, period_seconds)
    for index, tick in enumerate(samples):
        assert tick_at(near.times.earliest(index)) <= tick <= tick_at(near.times.latest(index))
    assert shown(exact) == [tick_at(index * period_seconds) for index in range(len(samples))]
    assert len(near.packets) <= len(exact.packets)
    for result in (near, exact):
        check_dependencies(groups, result.given)
