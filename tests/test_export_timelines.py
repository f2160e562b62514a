"""Timelines read back: the same files, in and out frames, rates and time codes as were meant."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import opentimelineio as otio
import pytest

from indexer.errors import VideoError
from tests.fakes import make_film
from tests.media import RECIPES, can_encode, make, make_unseekable
from vclipper.export import ExportMoment, ExportOptions, export
from vclipper.export.rates import KNOWN_RATES, frame_rate

FORMATS = ("otio", "edl", "fcpxml", "premiere")
RATES = {
    "23.976": Fraction(24000, 1001),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
    "59.94": Fraction(60000, 1001),
}


@dataclass(frozen=True)
class Film:
    """A file, its rate, the frame that its time code calls the first, and whether that is drop-frame."""

    path: Path
    rate: Fraction
    first_frame: int = 0
    is_drop_frame: bool = False
    is_variable: bool = False


def with_timecode(path: Path, target: Path, code: str) -> Path:
    """A copy of a video in MOV with a time code track."""
    with av.open(str(path)) as given, av.open(str(target), "w") as made:
        stream = given.streams.video[0]
        copied = made.add_stream_from_template(stream, opaque=True)
        copied.metadata["timecode"] = code
        for packet in given.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                made.mux(packet)
    return target


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, Film]:
    folder = tmp_path_factory.mktemp("films") / "it's 100% é & more"
    folder.mkdir()
    base = replace(RECIPES["mp4-h264"], frame_count=400, width=64, height=48)
    made = {}
    for name, rate in RATES.items():
        sound = 5.0 if name in ("25", "29.97") else 0.0
        path = make(folder / f"{name} ü.mp4", replace(base, frames_per_second=rate, audio_seconds=sound)).path
        made[name] = Film(path, rate)
    for name, code, first, is_drop in (
        # 01:00:00;00 leaves out 2 numbers a minute, but not each tenth: 108000 - 2 * 54 = 107892
        ("29.97", "01:00:00;00", 107892, True),
        ("29.97", "01:00:00:00", 108000, False),
        # four numbers a minute: 216000 - 4 * 54 = 215784
        ("59.94", "01:00:00;00", 215784, True),
        # there is no drop-frame at 30: every number counts
        ("30", "01:00:00;00", 108000, False),
        # 10 h = 36000 s at 25, and 5 frames
        ("25", "10:00:00:05", 900005, False),
    ):
        label = f"{name} {'df' if is_drop else 'ndf'} with time code"
        path = with_timecode(made[name].path, folder / f"{label}.mov", code)
        made[label] = Film(path, RATES[name], first, is_drop)
    made["variable"] = Film(
        make(folder / "variable.mp4", RECIPES["mp4-variable-rate"]).path, Fraction(25), is_variable=True
    )
    return made


NAMES = [
    *RATES,
    "29.97 df with time code",
    "29.97 ndf with time code",
    "59.94 df with time code",
    "30 ndf with time code",
    "25 ndf with time code",
    "variable",
]


@pytest.fixture
def read(monkeypatch):
    """Read a file back with OpenTimelineIO."""
    fcpx_xml = otio.adapters.from_name("fcpx_xml").module()

    def exact_time(text, rate):
        return otio.opentime.RationalTime(round(_seconds(text) * rate), float(rate))

    def true_rate(self, format_id):
        duration = self._format_by_id(format_id).get("frameDuration")
        return 1 / _seconds(duration)

    def frames(self, text, format_id):
        return round(_seconds(text) * true_rate(self, format_id))

    # The adapter's reader makes 29.97 to 29 and cuts frame numbers off instead of rounding them: mended here.
    monkeypatch.setattr(fcpx_xml, "to_rational_time", exact_time)
    monkeypatch.setattr(fcpx_xml.FcpxXml, "_format_frame_rate", true_rate)
    monkeypatch.setattr(fcpx_xml.FcpxXml, "_number_of_frames", frames)

    def run(path: Path, name: str, rate: Fraction, is_drop_frame: bool = False):
        text = path.read_text(encoding="utf-8")
        if name == "edl":
            # time codes of 29.97 non-drop count as 30 does
            return otio.adapters.read_from_string(
                text, "cmx_3600", rate=float(rate if is_drop_frame else round(rate))
            )
        adapter = {"otio": "otio_json", "fcpxml": "fcpx_xml", "premiere": "fcp_xml"}[name]
        found = otio.adapters.read_from_string(text, adapter)
        return found if name != "fcpxml" else found[0]

    return run


def _seconds(text: str | None) -> Fraction:
    return Fraction((text or "0s").removesuffix("s"))


def video_clips(timeline) -> list:
    track = next(track for track in timeline.tracks if track.kind == "Video")
    return [item for item in track if isinstance(item, otio.schema.Clip)]


def media_path(clip) -> Path:
    url = clip.media_reference.target_url
    return Path(otio.url_utils.filepath_from_url(url)) if url.startswith("file:") else Path(url)


def expected(film: Film, start: float, end: float) -> tuple[int, int]:
    """First frame meant and first frame no longer meant, counted from the video's first frame.

    The frame on screen at ``t`` is ``floor(t × rate)``; times closer than 1 ms are the same.
    The recipe with a variable rate shows 20 frames at 25 a second
    and then holds for 41 / 25 s: frame k begins at tick k + 40 × (k // 20).
    """
    if film.is_variable:
        ticks = [number + 40 * (number // 20) for number in range(160)]
        return tuple(max(tick for tick in ticks if tick <= seconds * 25 + 1e-6) for seconds in (start, end))
    return int((start + 1e-3) * film.rate + 1e-6), int((end + 1e-3) * film.rate + 1e-6)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_read_back_as_meant(films, read, tmp_path, name, format_name):
    film = films[name]
    moments = [
        ExportMoment(film.path, 1.5, 3.0, "a dog & a <cat>", 2.5, 'it "runs"'),
        ExportMoment(film.path, 0.0, 0.9, "first"),
        ExportMoment(film.path, 1.5, 3.0, "a dog & a <cat>", 2.5, 'it "runs"'),
    ]
    done = export(moments, format_name, tmp_path)
    clips = video_clips(read(done.files[0], format_name, film.rate, film.is_drop_frame))
    assert len(clips) == 3
    for clip, moment in zip(clips, moments, strict=True):
        first, stop = expected(film, moment.start_seconds, moment.end_seconds)
        start, end = clip.source_range.start_time, clip.source_range.end_time_exclusive()
        assert (round(start.value), round(end.value)) == (film.first_frame + first, film.first_frame + stop)
        counted = round(film.rate) if format_name == "edl" and not film.is_drop_frame else film.rate
        assert start.rate == pytest.approx(float(counted), abs=1e-6)
        assert media_path(clip) == film.path
        assert clip.name == film.path.name
    assert bool(done.notes) == film.is_variable


@pytest.mark.parametrize("format_name", FORMATS)
def test_clips_follow_each_other(films, read, tmp_path, format_name):
    film = films["29.97"]
    done = export([ExportMoment(film.path, 0.98, 1.98), ExportMoment(film.path, 4, 7)], format_name, tmp_path)
    timeline = read(done.files[0], format_name, film.rate)
    first, second = video_clips(timeline)
    # frame 29 is on screen at 0.98 s (29 × 1001 / 30000 = 0.968), 59 at 1.98 s: 30 frames
    assert first.range_in_parent().end_time_exclusive() == second.range_in_parent().start_time
    assert first.duration().value == 30


@pytest.mark.parametrize("format_name", FORMATS)
def test_padding_is_in_the_clip_and_the_moment_in_the_marker(films, read, tmp_path, format_name):
    film = films["25"]
    moment = ExportMoment(film.path, 1, 2, "a dog", 1.25, "good")
    done = export([moment], format_name, tmp_path, ExportOptions(pad_seconds=0.4))
    (clip,) = video_clips(read(done.files[0], format_name, film.rate))
    # 25 - 10 and 50 + 10
    assert (clip.source_range.start_time.value, clip.source_range.end_time_exclusive().value) == (15, 60)
    (marker,) = clip.markers
    assert "a dog" in marker.name
    assert "1.25" in done.files[0].read_text()
    assert "good" in done.files[0].read_text()
    # an EDL's locator counts on the timeline, which begins at an hour: 90000 + (25 - 15)
    assert marker.marked_range.start_time.value == (90010 if format_name == "edl" else 25)


@pytest.mark.parametrize("format_name", FORMATS)
def test_padding_stops_at_the_ends_of_the_video(films, read, tmp_path, format_name):
    film = films["25"]
    done = export([ExportMoment(film.path, 1, 15)], format_name, tmp_path, ExportOptions(pad_seconds=5))
    (clip,) = video_clips(read(done.files[0], format_name, film.rate))
    assert (clip.source_range.start_time.value, clip.source_range.end_time_exclusive().value) == (0, 400)


def test_an_edl_says_whether_it_counts_drop_frame(films, tmp_path):
    lines = {}
    for name in ("29.97", "29.97 df with time code"):
        done = export([ExportMoment(films[name].path, 0.98, 1.98)], "edl", tmp_path / name)
        lines[name] = done.files[0].read_text().splitlines()
    assert lines["29.97"][1] == "FCM: NON-DROP FRAME"
    assert lines["29.97"][3].endswith("00:00:00:29 00:00:01:29 01:00:00:00 01:00:01:00")
    assert lines["29.97 df with time code"][1] == "FCM: DROP FRAME"
    assert lines["29.97 df with time code"][3].endswith("01:00:00;29 01:00:01;29 01:00:00;00 01:00:01;00")


def test_an_edl_for_each_rate(films, tmp_path):
    moments = [ExportMoment(films[name].path, 1, 2) for name in ("25", "29.97", "29.97 df with time code", "25")]
    done = export(moments, "edl", tmp_path)
    assert [file.name for file in done.files] == ["moments 25.edl", "moments 29.97.edl", "moments 29.97df.edl"]
    assert done.notes == ("an EDL counts in one frame rate, so there is one for each rate of the videos",)
    assert done.files[0].read_text().count(" V     C ") == 2


@pytest.mark.parametrize("format_name", ["otio", "fcpxml", "premiere"])
def test_mixed_rates_in_one_timeline(films, read, tmp_path, format_name):
    names = ("25", "29.97", "25", "variable")
    done = export([ExportMoment(films[name].path, 1, 3) for name in names], format_name, tmp_path)
    clips = video_clips(read(done.files[0], format_name, Fraction(25)))
    for clip, name in zip(clips, names, strict=True):
        first, stop = expected(films[name], 1, 3)
        assert clip.source_range.start_time.value == first
        # FCPXML counts lengths in frames of the timeline: 60 of 29.97 last 50.05 of 25
        lasts = (
            round((stop - first) * 25 / films[name].rate) / 25
            if format_name == "fcpxml"
            else (stop - first) / films[name].rate
        )
        assert clip.source_range.duration.to_seconds() == pytest.approx(float(lasts), abs=0.5 / 25)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_time_code_that_does_not_exist_is_said(films, tmp_path, format_name):
    # a tag says what it will: frame 40 of a second that has 25
    with av.open(str(films["25"].path)) as given, av.open(str(tmp_path / "odd.mkv"), "w") as made:
        copied = made.add_stream_from_template(given.streams.video[0], opaque=True)
        made.metadata["timecode"] = "01:00:00:40"
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = copied
                made.mux(packet)
    done = export([ExportMoment(tmp_path / "odd.mkv", 1, 2)], format_name, tmp_path)
    told = "its time code 01:00:00:40 is none at 25 frames a second; its frames are counted from 00:00:00:00"
    assert done.notes == (f"odd.mkv: {told}",)


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_variable_rate_is_said(films, tmp_path, format_name):
    done = export([ExportMoment(films["variable"].path, 1, 2)], format_name, tmp_path)
    assert "variable frame rate, counted at 25" in done.files[0].read_text()
    counted = (
        "its frame rate is variable; frames are counted at 25 a second, so that ends may lie up to one frame late"
    )
    assert done.notes == (f"variable.mp4: {counted}",)


def test_otio_says_everything(films, tmp_path):
    film = films["29.97 df with time code"]
    done = export([ExportMoment(film.path, 1, 2, "a dog", 1.5, "note")], "otio", tmp_path)
    (clip,) = video_clips(otio.adapters.read_from_file(str(done.files[0])))
    assert dict(clip.metadata["vclipper"]) == {
        "query": "a dog",
        "score": 1.5,
        "note": "note",
        "source_rate": "29.97",
        "counted_at": "29.97",
        "start_timecode": "01:00:00;00",
    }
    assert clip.media_reference.available_range.duration.value == 400


def test_premiere_links_picture_and_sound(films, tmp_path):
    import xml.etree.ElementTree as Xml

    moments = [
        ExportMoment(films["23.976"].path, 1, 2),
        ExportMoment(films["25"].path, 1, 2),
        ExportMoment(films["25"].path, 1, 2),
    ]
    root = Xml.parse(export(moments, "premiere", tmp_path).files[0])
    items = {item.get("id"): item for item in root.iter("clipitem")}
    assert len(items) == 3 + 2 * 2  # stereo: a track for each channel; the first film is silent
    assert {len(item.findall("rate")) for item in items.values()} == {1}
    for item in items.values():
        linked = [link.findtext("linkclipref") for link in item.findall("link")]
        assert linked in ([], [other for other in linked if other in items])
    second = root.findall(".//media/video/track/clipitem")[1]
    assert [link.findtext("mediatype") for link in second.findall("link")] == ["video", "audio", "audio"]
    # in the audio tracks the silent film's place is a gap: the second film is their first clip
    assert [link.findtext("clipindex") for link in second.findall("link")] == ["2", "1", "1"]


@pytest.mark.parametrize(
    "format_name", ["otio", "edl", "fcpxml", pytest.param("premiere", marks=pytest.mark.slow)]
)
def test_a_thousand_moments(films, read, tmp_path, format_name):
    film = films["25"]
    moments = [ExportMoment(film.path, k / 100, k / 100 + 1, f"number {k}") for k in range(1000)]
    done = export(moments, format_name, tmp_path)
    clips = video_clips(read(done.files[0], format_name, film.rate))
    assert [round(clip.source_range.start_time.value) for clip in clips] == [int(k / 4) for k in range(1000)]
    assert bool(done.notes) == (format_name == "edl")


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_missing_source_is_left_out_and_said(films, tmp_path, format_name):
    gone = ExportMoment(tmp_path / "away.mp4", 0, 1)
    done = export([gone, ExportMoment(films["25"].path, 1, 2)], format_name, tmp_path / "out")
    assert done.failed == (f"0.0-1.0 s: {tmp_path / 'away.mp4'} does not exist",)
    with pytest.raises(VideoError, match=r"away\.mp4 does not exist"):
        export([gone], format_name, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="module")
def fast(tmp_path_factory) -> Path:
    """A film of 120 frames a second."""
    return make_film(tmp_path_factory.mktemp("fast") / "fast.mp4", [("red", 2)], frame_rate=120)


@pytest.mark.parametrize("format_name", ["edl", "premiere"])
def test_what_is_too_fast_for_time_codes_is_left_out_and_said(films, fast, read, tmp_path, format_name):
    slow = films["29.97"]
    done = export([ExportMoment(fast, 0, 1), ExportMoment(slow.path, 1, 2)], format_name, tmp_path)
    assert [clip.name for clip in video_clips(read(done.files[0], format_name, slow.rate))] == [slow.path.name]
    (failure,) = done.failed
    assert failure.startswith(f"0.0-1.0 s: {fast} has 120 frames a second, time codes count at most 60")


@pytest.mark.parametrize("rate", [10, Fraction(25, 2), 15, Fraction(179, 6), 240])
def test_rates_that_editing_programs_do_not_know(rate):
    starts = [float(k / Fraction(rate)) for k in range(200)]
    counted = frame_rate(starts, [Fraction(rate)])
    assert not counted.is_own
    assert counted.per_second in KNOWN_RATES
    places = [counted.frame(start) for start in starts]
    # the first of the counted frames that lies inside the video's own frame
    assert all(start - 2e-3 <= place / counted.per_second for start, place in zip(starts, places, strict=True))


def test_frames_may_be_held_for_hours():
    # no known rate is as slow as a frame in 2 h: counted at the slowest one
    assert frame_rate([0.0, 7200.0, 14400.0], []).per_second == KNOWN_RATES[0]


@pytest.mark.parametrize("rate", KNOWN_RATES, ids=str)
def test_known_rates_are_known_whatever_the_header_rounds(rate):
    starts = [round(float(k / rate), 3) for k in range(300)]
    for told in ([rate], [Fraction(round(float(rate), 3))], [None], []):
        assert frame_rate(starts, told).per_second == rate
    assert [frame_rate(starts, [rate]).frame(start) for start in starts] == list(range(300))


def test_json_of_search_can_be_exported_again(films, tmp_path):
    moments = [ExportMoment(films["25"].path, 1, 2.04, "a dog", 1.5, "note")]
    rows = json.loads(export(moments, "json", tmp_path).files[0].read_text())
    assert ExportMoment(Path(rows[0].pop("path")), **rows[0]) == moments[0]


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_video_without_a_length_in_its_header(read, tmp_path, format_name):
    if not can_encode("libvpx"):
        pytest.skip("this PyAV has no libvpx")
    recipe = replace(RECIPES["webm-vp8"], frame_count=400, width=64, height=48)
    path = make_unseekable(tmp_path / "live.webm", recipe).path
    done = export([ExportMoment(path, 13, 15)], format_name, tmp_path / "out")
    timeline = read(done.files[0], format_name, Fraction(25))
    (clip,) = video_clips(timeline)
    assert (clip.source_range.start_time.value, clip.source_range.end_time_exclusive().value) == (325, 375)
    if format_name != "edl":
        assert clip.media_reference.available_range.duration.value == 400
