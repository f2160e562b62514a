"""Makers of test videos in which every frame carries its own number.

The number is drawn as a 5 × 4 grid of black and white cells (16 bits and a 4-bit check), which
survives lossy coding; :func:`read_number` reads it back from a decoded picture, so that a test
knows which frame a decoder really gave. Everything is written with PyAV: no program is needed.
"""

from __future__ import annotations

import bisect
import functools
import io
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

GRID_ROWS, GRID_COLUMNS = 4, 5
DARK, LIGHT = 40, 215


def _check_bits(number: int) -> int:
    return (number * 7 + (number >> 4) * 3 + (number >> 8) * 5 + (number >> 12) + 9) % 16


def number_cells(number: int) -> np.ndarray:
    """The 4 × 5 grid of bits, bool, that stands for ``number`` (0 … 65535)."""
    word = number << 4 | _check_bits(number)
    bits = [(word >> (19 - place)) & 1 for place in range(20)]
    return np.array(bits, dtype=bool).reshape(GRID_ROWS, GRID_COLUMNS)


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """A picture that carries ``number``: (height, width, 3) uint8 RGB."""
    rows = np.arange(height) * GRID_ROWS // height
    columns = np.arange(width) * GRID_COLUMNS // width
    grey = np.where(number_cells(number), LIGHT, DARK).astype(np.uint8)[rows][:, columns]
    return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))


_TEXTURE = np.random.default_rng(1).integers(-30, 31, (1024, 1024), dtype=np.int16)


def moving_picture(number: int, width: int, height: int) -> np.ndarray:
    """As :func:`numbered_picture` under a texture that moves: encoders use all they have."""
    down, right = number % 512, number * 2 % 512
    texture = np.tile(_TEXTURE, (1 + (down + height) // 1024, 1 + (right + width) // 1024))
    moved = texture[down : down + height, right : right + width, None]
    return np.clip(numbered_picture(number, width, height) + moved, 0, 255).astype(np.uint8)


def flat_picture(level: int) -> Callable[[int, int, int], np.ndarray]:
    """A painter of one grey level."""
    return lambda number, width, height: np.full((height, width, 3), level, np.uint8)


def read_number(image: Any) -> int:
    """The number that a decoded picture carries, or -1 where the cells make no sense."""
    grey = np.asarray(image, dtype=np.float32).mean(axis=2)
    height, width = grey.shape
    means = np.empty((GRID_ROWS, GRID_COLUMNS), dtype=np.float32)
    for row in range(GRID_ROWS):
        for column in range(GRID_COLUMNS):
            top, left = (row + 0.35) * height / GRID_ROWS, (column + 0.35) * width / GRID_COLUMNS
            bottom, right = (row + 0.65) * height / GRID_ROWS, (column + 0.65) * width / GRID_COLUMNS
            means[row, column] = grey[int(top) : int(bottom) + 1, int(left) : int(right) + 1].mean()
    word = 0
    for bit in (means > 128).ravel():
        word = word << 1 | int(bit)
    number = word >> 4
    return number if _check_bits(number) == word & 15 else -1


@dataclass(frozen=True)
class MadeVideo:
    """A file and what it shows: ``numbers[k]`` from ``times_seconds[k]`` on, until ``end_seconds``."""

    path: Path
    times_seconds: tuple[float, ...]
    numbers: tuple[int, ...]
    end_seconds: float

    def number_at(self, seconds: float) -> int:
        """The number of the frame shown at ``seconds``."""
        return self.numbers[bisect.bisect_right(self.times_seconds, seconds + 1e-3) - 1]

    def expected(self, period_seconds: float) -> list[int]:
        """The numbers of the frames shown at 0, T, 2T … while the picture lasts."""
        count = max(1, int(np.ceil((self.end_seconds - 1e-3) / period_seconds)))
        return [self.number_at(index * period_seconds) for index in range(count)]


@dataclass(frozen=True)
class Recipe:
    """How to make one video: 8 s of 160 × 128 at 25 fps in H.264 MP4 unless told otherwise."""

    suffix: str = ".mp4"
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    frames_per_second: Fraction = Fraction(25)
    frame_count: int = 200
    width: int = 160
    height: int = 128
    codec_options: dict[str, str] = field(default_factory=dict)
    container_format: str | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    frame_ticks: tuple[int, ...] | None = None
    """Presentation times in units of 1 / frames_per_second, for variable frame rates."""
    start_ticks: int = 0
    sample_aspect_ratio: Fraction | None = None
    audio_seconds: float = 0.0
    audio_rate: int = 48000
    color_transfer: int | None = None
    paint: Callable[[int, int, int], np.ndarray] = moving_picture


X264_FAST = {"preset": "ultrafast", "crf": "20", "g": "50"}


def make(path: Path, recipe: Recipe) -> MadeVideo:
    """Write the video that ``recipe`` describes to ``path``."""
    with path.open("wb") as target:
        _write(target, recipe)
    return _made(path, recipe)


def make_unseekable(path: Path, recipe: Recipe) -> MadeVideo:
    """As :func:`make`, into a pipe-like target: nothing can be patched in at the end."""
    target = _WriteOnly()
    _write(target, recipe)
    path.write_bytes(bytes(target.written))
    return _made(path, recipe)


class _WriteOnly:
    """A file object that cannot seek, as a live stream's target."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> int:
        self.written += data
        return len(data)


def _made(path: Path, recipe: Recipe) -> MadeVideo:
    ticks = _ticks(recipe)
    rate = recipe.frames_per_second
    times = tuple(float((tick - ticks[0]) / rate) for tick in ticks)
    end = float((ticks[-1] - ticks[0] + 1) / rate)
    return MadeVideo(path, times, tuple(range(len(ticks))), end)


def _ticks(recipe: Recipe) -> Sequence[int]:
    return recipe.frame_ticks if recipe.frame_ticks is not None else range(recipe.frame_count)


def _write(target: Any, recipe: Recipe) -> None:
    container_format = recipe.container_format or _FORMATS[recipe.suffix]
    with av.open(target, "w", format=container_format, options=dict(recipe.container_options)) as output:
        video = _add_video_stream(output, recipe)
        audio = output.add_stream("aac", rate=recipe.audio_rate) if recipe.audio_seconds else None
        video.codec_context.open()  # some headers hold what only an open encoder knows
        if audio is not None:
            _write_audio(output, audio, recipe.audio_seconds, recipe.audio_rate)
        for frame in _frames(recipe):
            output.mux(video.encode(frame))
        output.mux(video.encode(None))


_FORMATS = {
    ".mp4": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".flv": "flv",
    ".ts": "mpegts",
    ".avi": "avi",
    ".gif": "gif",
    ".h264": "h264",
    ".mpg": "mpeg",
}


def _add_video_stream(output: Any, recipe: Recipe) -> Any:
    options = {**(X264_FAST if recipe.codec == "libx264" else {}), **recipe.codec_options}
    video = output.add_stream(recipe.codec, rate=recipe.frames_per_second, options=options)
    video.width, video.height, video.pix_fmt = recipe.width, recipe.height, recipe.pixel_format
    video.codec_context.time_base = 1 / recipe.frames_per_second
    video.codec_context.thread_count = 1
    if recipe.sample_aspect_ratio is not None:
        video.codec_context.sample_aspect_ratio = recipe.sample_aspect_ratio
    if recipe.color_transfer is not None:
        video.codec_context.color_trc = recipe.color_transfer
        video.codec_context.color_primaries = 9
        video.codec_context.colorspace = 9
    return video


def _frames(recipe: Recipe) -> Iterable[Any]:
    for number, tick in enumerate(_ticks(recipe)):
        frame = _painted(recipe.paint, number, recipe.width, recipe.height, recipe.pixel_format)
        frame.pts = recipe.start_ticks + tick
        frame.time_base = 1 / recipe.frames_per_second
        yield frame


@functools.lru_cache(maxsize=512)
def _painted(
    paint: Callable[[int, int, int], np.ndarray], number: int, width: int, height: int, pixel_format: str
) -> Any:
    """One frame to encode, kept: most recipes share their pictures, and no encoder changes them."""
    frame = av.VideoFrame.from_ndarray(paint(number, width, height), format="rgb24")
    return frame if pixel_format == "rgb24" else frame.reformat(format=pixel_format)


def _write_audio(output: Any, audio: Any, seconds: float, rate: int = 48000) -> None:
    for position in range(0, int(seconds * rate), 1024):
        silence = np.zeros((2, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, position + 2048, Fraction(1, rate)
        output.mux(audio.encode(frame))
    output.mux(audio.encode(None))


def patch_display_matrix(path: Path, degrees_clockwise: int, *, mirrored: bool = False) -> None:
    """Make an MP4's first track say how players turn its picture (mirrored first, then clockwise)."""
    one = 0x10000
    a, b = {0: (one, 0), 90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees_clockwise % 360]
    side = -1 if mirrored else 1
    matrix = struct.pack(">9i", side * a, side * b, 0, -b, a, 0, 0, 0, 0x40000000)
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    start = header + (52 if data[header] == 1 else 40)
    data[start : start + 36] = matrix
    path.write_bytes(data)


def patch_edit_list(path: Path, first_frame: int, frames_per_second: Fraction = Fraction(25)) -> None:
    """Make an MP4's first track start to show at ``first_frame``: what cutting without re-encoding leaves."""
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12
    timescale_at = data.index(b"mdhd") + 4 + 12
    (media_timescale,) = struct.unpack_from(">I", data, timescale_at)
    (movie_timescale,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 4 + 12)
    duration, media_time = struct.unpack_from(">Ii", data, entry)
    skipped = first_frame / frames_per_second
    struct.pack_into(
        ">Ii",
        data,
        entry,
        duration - int(skipped * movie_timescale),
        media_time + int(skipped * media_timescale),
    )
    path.write_bytes(data)


def cut(path: Path, keep_fraction: float) -> None:
    """Cut a file's tail off, as an interrupted copy does."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep_fraction)])


def erase_matroska_duration(path: Path) -> None:
    """Take the duration out of a Matroska file's head and tags, as some recorders write it."""
    duration, void = b"\x44\x89\x88", b"\xec\x89\x88"  # an element of 8 bytes; one of 9 that means nothing
    data = path.read_bytes()
    assert data.count(duration) == 1
    path.write_bytes(data.replace(duration, void).replace(b"DURATION", b"NOTHINGS"))


def garble(path: Path, start_fraction: float, stop_fraction: float) -> None:
    """Overwrite a part of a file with noise."""
    data = bytearray(path.read_bytes())
    start, stop = int(len(data) * start_fraction), int(len(data) * stop_fraction)
    data[start:stop] = np.random.default_rng(7).bytes(stop - start)
    path.write_bytes(data)


def can_encode(codec: str) -> bool:
    """Whether this build of PyAV has the encoder."""
    try:
        av.codec.Codec(codec, "w")
    except (ValueError, av.FFmpegError):
        return False
    return True


_B_FRAMES = {"preset": "veryfast", "bf": "3", "g": "50", "crf": "24"}
_OPEN_GROUPS = {
    "preset": "veryfast",
    "crf": "24",
    "x264-params": "open-gop=1:keyint=50:min-keyint=50:bframes=5:b-pyramid=normal:scenecut=0",
}


def _x265(open_groups: bool) -> dict[str, str]:
    options = f"log-level=none:keyint=50:bframes=3:pools=1:open-gop={int(open_groups)}"
    return {"preset": "ultrafast", "crf": "24", "x265-params": options}


_VP9_FAST = {"deadline": "realtime", "cpu-used": "8", "g": "50", "crf": "30", "b": "0"}
_ALT_REF = {
    "deadline": "good",
    "cpu-used": "5",
    "g": "50",
    "b": "400k",
    "auto-alt-ref": "1",
    "lag-in-frames": "16",
}
_AV1 = {"preset": "8", "crf": "18", "g": "50", "svtav1-params": "lp=1"}
_INTERLACED = "+ildct+ilme"
_VARIABLE_RATE = tuple(number + 40 * (number // 20) for number in range(160))

_H264 = Recipe(codec_options=_B_FRAMES)
_MJPEG = Recipe(codec="mjpeg", pixel_format="yuvj420p")
_MPEG2 = {"bf": "2", "g": "12", "b": "3M"}
_MPEG4 = {"bf": "2", "g": "50", "b": "1M"}

RECIPES: dict[str, Recipe] = {
    "mp4-h264-no-b-frames": Recipe(),
    "mp4-h264": _H264,
    "mp4-h264-faststart": replace(_H264, container_options={"movflags": "+faststart"}),
    "mp4-h264-open-groups": replace(_H264, codec_options=_OPEN_GROUPS),
    "mkv-h264-open-groups": replace(_H264, suffix=".mkv", codec_options=_OPEN_GROUPS),
    "mp4-h264-intra-refresh": replace(
        _H264, codec_options={**_B_FRAMES, "x264-params": "intra-refresh=1:keyint=50"}
    ),
    "mp4-h264-one-group": replace(_H264, codec_options={**_B_FRAMES, "g": "1000"}),
    "mp4-h264-10-bit": replace(_H264, pixel_format="yuv420p10le"),
    "mp4-h264-422": replace(_H264, pixel_format="yuv422p"),
    "mp4-h264-444": replace(_H264, pixel_format="yuv444p"),
    "mp4-h264-full-range": replace(_H264, pixel_format="yuvj420p"),
    "mp4-h264-fragmented": replace(
        _H264, container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    ),
    "mp4-h264-ntsc": replace(_H264, frames_per_second=Fraction(30000, 1001)),
    "mov-h264": replace(_H264, suffix=".mov"),
    "mkv-h264": replace(_H264, suffix=".mkv"),
    "flv-h264": replace(_H264, suffix=".flv"),
    "mp4-hevc-closed-groups": Recipe(codec="libx265", codec_options=_x265(open_groups=False)),
    "mp4-hevc-open-groups": Recipe(codec="libx265", codec_options=_x265(open_groups=True)),
    "mkv-hevc-open-groups": Recipe(suffix=".mkv", codec="libx265", codec_options=_x265(open_groups=True)),
    "mkv-hevc-10-bit": Recipe(
        suffix=".mkv", codec="libx265", codec_options=_x265(open_groups=False), pixel_format="yuv420p10le"
    ),
    "webm-vp9": Recipe(suffix=".webm", codec="libvpx-vp9", codec_options=_VP9_FAST),
    "webm-vp9-alt-ref": Recipe(suffix=".webm", codec="libvpx-vp9", codec_options=_ALT_REF),
    "mp4-vp9": Recipe(codec="libvpx-vp9", codec_options=_ALT_REF),
    "webm-vp8": Recipe(suffix=".webm", codec="libvpx", codec_options=_ALT_REF),
    "mov-mjpeg": replace(_MJPEG, suffix=".mov"),
    "mov-prores": Recipe(suffix=".mov", codec="prores", pixel_format="yuv422p10le"),
    "mp4-mpeg4": Recipe(codec="mpeg4", codec_options=_MPEG4),
    "mp4-av1": Recipe(codec="libsvtav1", codec_options=_AV1),
    "webm-av1": Recipe(suffix=".webm", codec="libsvtav1", codec_options=_AV1),
    "ts-h264": replace(_H264, suffix=".ts"),
    "ts-h264-start-1000": replace(_H264, suffix=".ts", start_ticks=25000),
    "ts-h264-interlaced": replace(
        _H264, suffix=".ts", codec_options={**_B_FRAMES, "flags": _INTERLACED, "x264-params": "tff=1"}
    ),
    "ts-mpeg2": Recipe(suffix=".ts", codec="mpeg2video", codec_options=_MPEG2),
    "ts-mpeg2-interlaced": Recipe(
        suffix=".ts", codec="mpeg2video", codec_options={**_MPEG2, "flags": _INTERLACED}
    ),
    "mpg-mpeg2": Recipe(suffix=".mpg", codec="mpeg2video", codec_options=_MPEG2),
    "avi-mpeg4": Recipe(suffix=".avi", codec="mpeg4", codec_options=_MPEG4),
    "avi-h264": replace(_H264, suffix=".avi"),
    "avi-mjpeg": replace(_MJPEG, suffix=".avi"),
    "gif": Recipe(suffix=".gif", codec="gif", pixel_format="rgb8", frame_count=100, paint=numbered_picture),
    "raw-h264": replace(_H264, suffix=".h264"),
    "mp4-odd-size": replace(_H264, width=163, height=131, pixel_format="yuv444p"),
    "mp4-one-frame": replace(_H264, frame_count=1),
    "mp4-short": replace(_H264, frame_count=20),
    "mp4-variable-rate": replace(_H264, frame_ticks=_VARIABLE_RATE),
    "mkv-variable-rate": replace(_H264, suffix=".mkv", frame_ticks=_VARIABLE_RATE),
    "mp4-long-audio": replace(_H264, audio_seconds=20.0),
    "mkv-long-audio": replace(_H264, suffix=".mkv", audio_seconds=20.0),
    "flv-long-audio": replace(_H264, suffix=".flv", audio_seconds=9.5, audio_rate=44100),
    "ts-long-audio": replace(_H264, suffix=".ts", audio_seconds=20.0),
}

# Made by a function of their own: what PyAV's muxers do not write by themselves.


def make_edit_list(path: Path) -> MadeVideo:
    """A cut at frame 60, in the middle of a group of pictures."""
    whole = make(path, _H264)
    patch_edit_list(path, 60)
    times = tuple(seconds - 2.4 for seconds in whole.times_seconds[60:])
    return MadeVideo(path, times, whole.numbers[60:], whole.end_seconds - 2.4)


def make_webm_without_duration(path: Path) -> MadeVideo:
    """As a browser's recorder writes it."""
    return make_unseekable(path, RECIPES["webm-vp9"])


def make_joined_ts(path: Path) -> MadeVideo:
    """Two recordings, one after the other: the clock starts anew in the middle."""
    first = make(path, replace(_H264, suffix=".ts", frame_count=100, start_ticks=25000))
    head = path.read_bytes()
    second = make(path, replace(_H264, suffix=".ts", frame_count=100))
    path.write_bytes(head + path.read_bytes())
    times = first.times_seconds + tuple(4.0 + seconds for seconds in second.times_seconds)
    return MadeVideo(path, times, first.numbers + second.numbers, 8.0)


SPECIAL: dict[str, tuple[str, Callable[[Path], MadeVideo]]] = {
    "mp4-edit-list": (".mp4", make_edit_list),
    "webm-no-duration": (".webm", make_webm_without_duration),
    "ts-joined": (".ts", make_joined_ts),
}


def make_named(name: str, folder: Path) -> MadeVideo:
    """Make the video called ``name`` of RECIPES or SPECIAL in ``folder``."""
    if name in SPECIAL:
        suffix, maker = SPECIAL[name]
        return maker(folder / f"{name}{suffix}")
    recipe = RECIPES[name]
    return make(folder / f"{name}{recipe.suffix}", recipe)


def encoder_of(name: str) -> str:
    """The encoder that :func:`make_named` needs."""
    if name in SPECIAL:
        return "libvpx-vp9" if "webm" in name else "libx264"
    return RECIPES[name].codec


def sound_only(path: Path) -> None:
    """An M4A file: sound, no picture."""
    with av.open(path, "w", format="mp4") as output:
        _write_audio(output, output.add_stream("aac", rate=48000), 2.0)


def sound_with_cover(path: Path) -> None:
    """An MP3 with a picture of its cover in its ID3 tag."""
    sound, cover = io.BytesIO(), io.BytesIO()
    with av.open(sound, "w", format="mp3") as output:
        _write_audio(output, output.add_stream("libmp3lame", rate=48000), 2.0)
    Image.fromarray(numbered_picture(1, 64, 64)).save(cover, "png")
    content = b"\x00image/png\x00\x03\x00" + cover.getvalue()
    tag = b"APIC" + struct.pack(">IH", len(content), 0) + content
    size = bytes(len(tag) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\x00\x00" + size + tag + sound.getvalue())
