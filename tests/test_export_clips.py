"""Clips: which frames are in them, what of the source is kept, what is said when they cannot be made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from indexer.errors import InputError, VideoError
from tests.media import (
    RECIPES,
    MadeVideo,
    Recipe,
    can_encode,
    cut,
    garble,
    make,
    patch_display_matrix,
    read_number,
    sound_only,
)
from tests.outside import VIDEOS, needs_videos, real_clips
from vclipper.export import ExportMoment, ExportOptions, export

EXACT = ExportOptions(exact=True)


def numbers_in(path: Path) -> list[int]:
    """The numbers of all frames that a player shows."""
    with av.open(str(path)) as container:
        return [read_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def times_in(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def clip(path: Path, start: float, end: float, folder: Path, options: ExportOptions = EXACT):
    done = export([ExportMoment(path, start, end)], "clips", folder, options)
    assert done.ok
    return done


def meant(video: MadeVideo, start: float, end: float) -> list[int]:
    """From the frame on screen at the start up to the one on screen at the end, which is no longer meant."""
    first = video.number_at(start)
    last = video.numbers[-1] if end >= video.end_seconds - 1e-3 else video.number_at(end) - 1
    return list(range(first, last + 1))


EXACT_NAMES = (
    "mp4-h264",
    "mp4-h264-open-groups",
    "mp4-h264-intra-refresh",
    "mp4-h264-one-group",
    "mp4-h264-ntsc",
    "mp4-h264-fragmented",
    "mkv-hevc-open-groups",
    "mp4-edit-list",
    "mp4-variable-rate",
    "mkv-variable-rate",
    "ts-h264",
    "ts-h264-start-1000",
    "ts-h264-interlaced",
    "ts-mpeg2",
    "mpg-mpeg2",
    "avi-h264",
    "flv-h264",
    "webm-vp9-alt-ref",
    "mp4-odd-size",
    "raw-h264",
    "gif",
)


@pytest.mark.parametrize("name", EXACT_NAMES)
def test_exact_clips_hold_the_frames_meant(made, name, tmp_path):
    video = made(name)
    for start, end in ((0.0, 0.5), (1.53, 2.49), (video.end_seconds - 0.5, video.end_seconds)):
        done = clip(video.path, start, end, tmp_path)
        assert numbers_in(done.files[0]) == meant(video, start, end)


@pytest.mark.parametrize("name", ["mp4-variable-rate", "mkv-variable-rate", "mp4-h264-ntsc"])
def test_exact_clips_keep_the_times_of_their_frames(made, name, tmp_path):
    video = made(name)
    done = clip(video.path, 0.5, 4.0, tmp_path)
    first = video.times_seconds[video.numbers.index(video.number_at(0.5))]
    wanted = [video.times_seconds[video.numbers.index(number)] - first for number in meant(video, 0.5, 4.0)]
    assert times_in(done.files[0]) == pytest.approx(wanted, abs=1e-3)


COPIED = (
    "mp4-h264",
    "mp4-h264-open-groups",
    "mp4-h264-fragmented",
    "mp4-edit-list",
    "mp4-variable-rate",
    "mkv-hevc-open-groups",
    "mkv-h264",
    "mov-prores",
    "webm-vp9",
    "flv-h264",
    "ts-h264",
    "ts-mpeg2",
    "mpg-mpeg2",
)


@pytest.mark.parametrize("name", COPIED)
def test_copied_clips_begin_at_a_keyframe_and_say_so(made, name, tmp_path):
    video = made(name)
    done = clip(video.path, 2.53, 3.49, tmp_path, ExportOptions())
    numbers, wanted = numbers_in(done.files[0]), meant(video, 2.53, 3.49)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] <= wanted[0] <= wanted[-1] <= numbers[-1]
    times = dict(zip(video.numbers, video.times_seconds, strict=True))
    before = times[wanted[0]] - times[numbers[0]]
    said = [note for note in done.notes if "before the moment" in note]
    assert said == (
        [f"{done.files[0].name} begins {before:.2f} s before the moment, at the keyframe before it"]
        if before
        else []
    )
    assert numbers[-1] - wanted[-1] <= 6
    assert done.files[0].suffix == video.path.suffix


def test_a_copy_from_the_start_of_a_cut_film_begins_at_the_keyframe_that_its_edit_list_hides(made, tmp_path):
    video = made("mp4-edit-list")
    done = clip(video.path, 0.0, 0.5, tmp_path, ExportOptions())
    numbers = numbers_in(done.files[0])
    # Frame 60 is the first one shown, the keyframe before it is frame 50: (60 - 50) / 25 s
    assert numbers[:11] == list(range(50, 61))
    assert 71 <= numbers[-1] <= 78
    assert f"{done.files[0].name} begins 0.40 s before the moment, at the keyframe before it" in done.notes
    assert times_in(done.files[0])[:3] == pytest.approx([0.0, 0.04, 0.08])


def test_names_say_video_and_time(made, tmp_path):
    path = made("mp4-h264").path
    moments = [ExportMoment(path, 1, 2.5), ExportMoment(path, 1, 2.5, "again")]
    assert [file.name for file in export(moments, "clips", tmp_path).files] == [
        "mp4-h264_00-00-01.000_00-00-02.500.mp4",
        "mp4-h264_00-00-01.000_00-00-02.500-2.mp4",
    ]


def test_padding_stops_at_the_ends_of_the_video(made, tmp_path):
    video = made("mp4-h264")
    assert numbers_in(clip(video.path, 0.4, 0.8, tmp_path, replace(EXACT, pad_seconds=1)).files[0]) == list(
        range(45)
    )
    # 7.6 - 1 = 6.6 s: frame 165
    late = clip(video.path, 7.6, 7.9, tmp_path, replace(EXACT, pad_seconds=1))
    assert numbers_in(late.files[0]) == list(range(165, 200))


def test_a_moment_past_the_end_is_cut_there(made, tmp_path):
    video = made("mp4-h264")
    assert numbers_in(clip(video.path, 7.8, 99, tmp_path).files[0]) == list(range(195, 200))


# ---- what is kept


@pytest.fixture(scope="module")
def sounding(tmp_path_factory):
    """25 fps, and a tone that begins with frame 100."""
    path = tmp_path_factory.mktemp("sound") / "tone.mkv"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "50"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sounds = [output.add_stream("pcm_s16le", rate=48000, layout=layout) for layout in ("stereo", "mono")]
        for sound, language in zip(sounds, ("eng", "deu"), strict=True):
            sound.metadata["language"] = language
        for place in range(200):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), place, np.uint8), format="rgb24")
            output.mux(video.encode(picture))
            for sound, channels in zip(sounds, (2, 1), strict=True):
                level = 8000 if place >= 100 else 0
                tone = np.sin(np.arange(1920) * 2 * np.pi * 440 / 48000) * level
                samples = np.repeat(tone.astype(np.int16), channels)[None]
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=sound.layout.name)
                frame.sample_rate, frame.pts = 48000, place * 1920
                output.mux(sound.encode(frame))
        for stream in (video, *sounds):
            output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("options", [ExportOptions(), EXACT], ids=["copied", "exact"])
def test_sound_stays_with_the_picture_in_every_track(sounding, tmp_path, options):
    done = clip(sounding, 3.0, 5.0, tmp_path, options)
    starts_early = 0.0 if options.exact else 3.0 - 2.0  # a keyframe every 2 s
    with av.open(str(done.files[0])) as container:
        assert [stream.language for stream in container.streams.audio] == ["eng", "deu"]
        assert [stream.codec_context.channels for stream in container.streams.audio] == [2, 1]
    for track in (0, 1):
        with av.open(str(done.files[0])) as container:
            frames = list(container.decode(audio=track))
            loud = [
                f
                for f in frames
                if np.abs(f.to_ndarray().astype(float)).max() > 0.05 * (1 if f.format.name == "fltp" else 32768)
            ]
            begins = float(loud[0].pts * loud[0].time_base)
            ends = float(frames[-1].pts * frames[-1].time_base) + frames[-1].samples / 48000
        # the tone begins at 4 s, which is 1 s after the start; a frame of AAC is 21 ms
        assert begins == pytest.approx(starts_early + 1.0, abs=0.05)
        assert ends == pytest.approx(starts_early + 2.0, abs=0.05)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("degrees", "mirrored"), [(90, False), (180, False), (270, True)])
def test_rotation_is_kept(made, tmp_path, exact, degrees, mirrored):
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(made("mp4-h264").path.read_bytes())
    patch_display_matrix(turned, degrees, mirrored=mirrored)
    done = clip(turned, 2, 3, tmp_path / "out", ExportOptions(exact=exact))
    assert _display_matrix(done.files[0]) == _display_matrix(turned) != [65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30]


def _display_matrix(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32).tolist()


@pytest.mark.skipif(not can_encode("libx265"), reason="this PyAV has no libx265")
@pytest.mark.parametrize("exact", [False, True])
def test_hdr_is_kept(tmp_path, exact):
    screen = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    parameters = f"log-level=none:keyint=25:pools=1:master-display={screen}:max-cll=1000,400"
    recipe = Recipe(
        codec="libx265",
        pixel_format="yuv420p10le",
        color_transfer=16,
        frame_count=50,
        codec_options={"preset": "ultrafast", "x265-params": parameters},
    )
    video = make(tmp_path / "hdr.mp4", recipe)
    done = clip(video.path, 1, 2, tmp_path / "out", ExportOptions(exact=exact))
    assert _hdr(done.files[0]) == _hdr(video.path)
    assert _hdr(video.path)[:4] == ("yuv420p10le", 9, 16, 9)


def _hdr(path: Path) -> tuple:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        data = [bytes(frame.side_data[name]) for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")]
        return frame.format.name, frame.color_primaries, frame.color_trc, frame.colorspace, *data


def test_pixel_shape_and_depth_are_kept(tmp_path):
    from fractions import Fraction

    recipe = replace(
        RECIPES["mp4-h264"], frame_count=25, pixel_format="yuv422p10le", sample_aspect_ratio=Fraction(4, 3)
    )
    video = make(tmp_path / "wide.mp4", recipe)
    done = clip(video.path, 0, 1, tmp_path / "out")
    with av.open(str(done.files[0])) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.pix_fmt == "yuv422p10le"
        assert stream.sample_aspect_ratio == Fraction(4, 3)


# ---- what goes wrong


def test_a_missing_file_does_not_stop_the_others(made, tmp_path):
    moments = [ExportMoment(tmp_path / "away.mp4", 0, 1), ExportMoment(made("mp4-h264").path, 0, 1)]
    done = export(moments, "clips", tmp_path / "out")
    assert len(done.files) == 1
    assert done.failed == (f"0.0-1.0 s: {tmp_path / 'away.mp4'} does not exist",)
    assert not done.ok


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        (("away.mp4", 0, 1), "does not exist"),
        (("text.mp4", 0, 1), "cannot be opened as a video"),
        (("sound.m4a", 0, 1), "holds no moving pictures"),
        (("film.mp4", 8, 9), "has nothing at 8.0 s"),
    ],
)
def test_when_nothing_can_be_exported_the_reason_is_raised_and_nothing_left(made, tmp_path, moment, says):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "film.mp4").write_bytes(made("mp4-h264").path.read_bytes())
    sound_only(tmp_path / "sound.m4a")
    name, start, end = moment
    with pytest.raises(VideoError) as caught:
        export([ExportMoment(tmp_path / name, start, end)], "clips", tmp_path / "out")
    assert says in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["raw-h264", "gif"])
def test_what_cannot_be_copied_says_what_to_do(made, name, tmp_path):
    with pytest.raises(VideoError, match="Use --exact"):
        export([ExportMoment(made(name).path, 1, 2)], "clips", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_existing_clips_stay(made, tmp_path):
    moment = ExportMoment(made("mp4-h264").path, 0, 1)
    mine = tmp_path / "mp4-h264_00-00-00.000_00-00-01.000.mp4"
    mine.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        export([moment], "clips", tmp_path)
    assert mine.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_said(made, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written: Permission denied"):
        export([ExportMoment(made("mp4-h264").path, 0, 1)], "clips", tmp_path)


CHILD = """
import sys, time
from pathlib import Path
from vclipper.export import ExportMoment, ExportOptions, clips, export

def half(cut, temporary):
    temporary.write_bytes(b"half a clip")
    print("writing", flush=True)
    time.sleep(60)

clips.write_exact = half
export([ExportMoment(Path(sys.argv[1]), 0, 1)], "clips", sys.argv[2], ExportOptions(exact=True))
"""


def test_what_a_killed_export_left_is_swept_by_the_next_and_what_is_written_is_not(made, tmp_path):
    path, out = made("mp4-h264").path, tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(out)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    with child:
        assert child.stdout.readline() == b"writing\n"
        first = clip(path, 1, 2, out).files[0]
        assert len(list(out.iterdir())) == 2  # the clip, and what the other one is writing
        child.kill()
    assert len(list(out.iterdir())) == 2
    (out / ".mine").write_text("mine")
    second = clip(path, 2, 3, out).files[0]
    assert sorted(out.iterdir()) == sorted([first, second, out / ".mine"])


def test_a_damaged_place_is_encoded_as_far_as_it_goes(made, tmp_path):
    path = tmp_path / "short.ts"
    path.write_bytes(made("ts-h264").path.read_bytes())
    cut(path, 0.6)
    numbers = numbers_in(clip(path, 1, 8, tmp_path / "out").files[0])
    assert numbers[:50] == list(range(25, 75))
    assert len(numbers) < 175


def test_damage_inside_a_clip_is_said(made, tmp_path):
    path = tmp_path / "damaged.mp4"
    path.write_bytes(made("mp4-h264").path.read_bytes())
    garble(path, 0.3, 0.4)
    done = clip(path, 1, 6, tmp_path / "out")
    assert len(done.notes) == 1
    assert "may lack frames: the source is damaged there" in done.notes[0]


# ---- real clips


@pytest.mark.slow
@needs_videos
def test_the_start_and_the_middle_of_every_real_video_can_be_copied(tmp_path):
    """The picture is the source's at the time that the note tells."""
    for path, frames, times in _real_videos():
        for place in (0, len(times) // 2):
            start, end = times[place] + 0.004, times[min(place + 6, len(times) - 1)]
            done = clip(path, start, end, tmp_path, ExportOptions())
            copied, copied_times = _small_frames(done.files[0])
            said = re.search(r"begins (\S+) s before", " ".join(done.notes))
            before = float(said[1]) if said else 0.0
            wanted = int(np.abs(np.array(copied_times) - before).argmin())
            assert np.abs(copied[wanted] - frames[place]).mean() < 0.01, (path.name, place)


@pytest.mark.slow
@needs_videos
def test_exact_clips_of_real_videos_look_like_their_source(tmp_path):
    """The first and the last frame are nearer to the source's than to its neighbours, where those differ."""
    for path, frames, times in _real_videos():
        start, end = times[len(times) // 3], times[len(times) // 3 + 12]
        clip_frames, _ = _small_frames(clip(path, start + 0.004, end + 0.004, tmp_path).files[0])
        assert len(clip_frames) == 12, path.name
        for place in (0, 11):
            source = len(times) // 3 + place
            nearest = [np.abs(clip_frames[place] - frames[source + offset]).mean() for offset in (-1, 0, 1)]
            assert nearest[1] == min(nearest), (path.name, place, nearest)


def _real_videos() -> Iterator[tuple[Path, np.ndarray, list[float]]]:
    """Every real clip with its frames and their times."""
    for entry in real_clips():
        path = VIDEOS / entry["file"]
        yield path, *_small_frames(path)


def _small_frames(path: Path) -> tuple[np.ndarray, list[float]]:
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        frames = list(container.decode(stream))
        pictures = [f.reformat(width=96, height=64, format="gray").to_ndarray().astype(float) for f in frames]
        return np.stack(pictures), [float((f.pts - frames[0].pts) * f.time_base) for f in frames]
