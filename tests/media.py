"""Makers of test videos in which every frame carries its own number.

The number is drawn as a 5 × 4 grid of black and white cells (16 bits and a 4-bit check), which
survives lossy coding; :func:`read_number` reads it back from a decoded picture, so that a test
knows which frame a decoder really gave. Everything is written with PyAV: no program is needed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

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
        return self.numbers[int(np.searchsorted(self.times_seconds, seconds + 1e-3, side="right")) - 1]

    def expected(self, period_seconds: float) -> list[int]:
        """The numbers of the frames shown at 0, T, 2T … while the picture lasts."""
        count = max(1, int(np.ceil((self.end_seconds - 1e-3) / period_seconds)))
        return [self.number_at(index * period_seconds) for index in range(count)]


@dataclass(frozen=True)
class Recipe:
    """How to make one video: 12 s of 160 × 128 at 25 fps in H.264 MP4 unless told otherwise."""

    suffix: str = ".mp4"
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    frames_per_second: Fraction = Fraction(25)
    frame_count: int = 300
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
    audio_codec: str = "aac"
    interlaced: bool = False
    color_transfer: int | None = None
    paint: Callable[[int, int, int], np.ndarray] = numbered_picture


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
        audio = output.add_stream(recipe.audio_codec, rate=48000) if recipe.audio_seconds else None
        if audio is not None:
            _write_audio(output, audio, recipe.audio_seconds)
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
        picture = recipe.paint(number, recipe.width, recipe.height)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        if recipe.pixel_format != "rgb24":
            frame = frame.reformat(format=recipe.pixel_format)
        frame.pts = recipe.start_ticks + tick
        frame.time_base = 1 / recipe.frames_per_second
        yield frame


def _write_audio(output: Any, audio: Any, seconds: float) -> None:
    for position in range(0, int(seconds * 48000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, position, Fraction(1, 48000)
        output.mux(audio.encode(frame))
    output.mux(audio.encode(None))


def patch_display_matrix(path: Path, degrees_clockwise: int) -> None:
    """Make an MP4's first track say that players turn its picture clockwise by ``degrees_clockwise``."""
    one = 0x10000
    a, b = {0: (one, 0), 90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees_clockwise % 360]
    matrix = struct.pack(">9i", a, b, 0, -b, a, 0, 0, 0, 0x40000000)
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


_B_FRAMES = {"preset": "veryfast", "bf": "3", "g": "50", "crf": "20"}
_X265 = {"preset": "ultrafast", "crf": "20", "x265-params": "log-level=none:keyint=50:bframes=3:pools=1"}
_H264 = Recipe()
_H264_B = Recipe(codec_options=_B_FRAMES)

RECIPES: dict[str, Recipe] = {
    "mp4-h264": _H264,
    "mp4-h264-b-frames": _H264_B,
    "mp4-h264-faststart": replace(_H264_B, container_options={"movflags": "+faststart"}),
    "mp4-h264-open-gop": replace(
        _H264_B, codec_options={**_B_FRAMES, "x264-params": "open-gop=1:keyint=50:min-keyint=50"}
    ),
    "mp4-h264-one-gop": replace(_H264_B, codec_options={**_B_FRAMES, "g": "1000"}),
    "mp4-h264-10-bit": replace(_H264_B, pixel_format="yuv420p10le"),
    "mp4-h264-422": replace(_H264_B, pixel_format="yuv422p"),
    "mp4-h264-444": replace(_H264_B, pixel_format="yuv444p"),
    "mp4-h264-full-range": replace(_H264_B, pixel_format="yuvj420p"),
    "mp4-h264-fragmented": replace(
        _H264_B, container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    ),
    "mp4-h264-ntsc": replace(_H264_B, frames_per_second=Fraction(30000, 1001)),
    "mov-h264": replace(_H264_B, suffix=".mov"),
    "mkv-h264": replace(_H264_B, suffix=".mkv"),
    "flv-h264": replace(_H264_B, suffix=".flv"),
    "mp4-hevc": Recipe(codec="libx265", codec_options=_X265),
    "mkv-hevc-10-bit": Recipe(
        suffix=".mkv", codec="libx265", codec_options=_X265, pixel_format="yuv420p10le"
    ),
    "webm-vp9": Recipe(
        suffix=".webm",
        codec="libvpx-vp9",
        codec_options={"deadline": "realtime", "cpu-used": "8", "g": "50", "crf": "30", "b": "0"},
    ),
    "webm-vp9-alt-ref": Recipe(
        suffix=".webm",
        codec="libvpx-vp9",
        codec_options={
            "deadline": "good",
            "cpu-used": "5",
            "g": "50",
            "b": "300k",
            "auto-alt-ref": "1",
            "lag-in-frames": "16",
        },
    ),
    "webm-vp8": Recipe(
        suffix=".webm",
        codec="libvpx",
        codec_options={
            "deadline": "good",
            "cpu-used": "5",
            "g": "50",
            "b": "300k",
            "auto-alt-ref": "1",
            "lag-in-frames": "16",
        },
    ),
    "mov-mjpeg": Recipe(suffix=".mov", codec="mjpeg", pixel_format="yuvj420p", codec_options={"q:v": "4"}),
    "mov-prores": Recipe(suffix=".mov", codec="prores", pixel_format="yuv422p10le"),
    "mp4-mpeg4": Recipe(codec="mpeg4", codec_options={"bf": "2", "g": "50", "b": "800k"}),
    "mp4-av1": Recipe(codec="libsvtav1", codec_options={"preset": "8", "crf": "20", "g": "50"}),
    "webm-av1": Recipe(
        suffix=".webm", codec="libsvtav1", codec_options={"preset": "8", "crf": "20", "g": "50"}
    ),
    "ts-h264": replace(_H264_B, suffix=".ts"),
    "ts-h264-start-1000": replace(_H264_B, suffix=".ts", start_ticks=25000),
    "ts-h264-interlaced": replace(
        _H264_B, suffix=".ts", codec_options={**_B_FRAMES, "flags": "+ildct+ilme"}, interlaced=True
    ),
    "ts-mpeg2": Recipe(suffix=".ts", codec="mpeg2video", codec_options={"bf": "2", "g": "12", "b": "3M"}),
    "ts-mpeg2-interlaced": Recipe(
        suffix=".ts",
        codec="mpeg2video",
        codec_options={"bf": "2", "g": "12", "b": "3M", "flags": "+ildct+ilme"},
    ),
    "avi-mpeg4-b-frames": Recipe(
        suffix=".avi", codec="mpeg4", codec_options={"bf": "2", "g": "50", "b": "800k"}
    ),
    "avi-h264-b-frames": replace(_H264_B, suffix=".avi"),
    "avi-mjpeg": Recipe(suffix=".avi", codec="mjpeg", pixel_format="yuvj420p"),
    "gif": Recipe(suffix=".gif", codec="gif", pixel_format="rgb8", frame_count=120),
    "raw-h264": Recipe(suffix=".h264", codec_options=_B_FRAMES),
    "mp4-odd-size": replace(_H264_B, width=163, height=131, pixel_format="yuv444p"),
    "mp4-one-frame": replace(_H264, frame_count=1),
    "mp4-short": replace(_H264_B, frame_count=20),
    "mp4-vfr": replace(
        _H264_B, frame_ticks=tuple(int(i + 40 * (i // 20)) for i in range(160)), frame_count=160
    ),
    "mkv-vfr": replace(
        _H264_B,
        suffix=".mkv",
        frame_ticks=tuple(int(i + 40 * (i // 20)) for i in range(160)),
        frame_count=160,
    ),
    "mp4-long-audio": replace(_H264_B, audio_seconds=20.0),
    "mkv-long-audio": replace(_H264_B, suffix=".mkv", audio_seconds=20.0),
}

# Made by a function of their own: what PyAV's muxers do not write by themselves.


def make_edit_list(path: Path) -> MadeVideo:
    """A cut at frame 60, in the middle of a group of pictures."""
    whole = make(path, _H264_B)
    patch_edit_list(path, 60)
    times = tuple(seconds - 2.4 for seconds in whole.times_seconds[60:])
    return MadeVideo(path, times, whole.numbers[60:], whole.end_seconds - 2.4)


def make_webm_without_duration(path: Path) -> MadeVideo:
    """As a browser's recorder writes it."""
    return make_unseekable(path, RECIPES["webm-vp9"])


SPECIAL: dict[str, tuple[str, Callable[[Path], MadeVideo]]] = {
    "mp4-edit-list": (".mp4", make_edit_list),
    "webm-no-duration": (".webm", make_webm_without_duration),
}


def make_named(name: str, folder: Path) -> MadeVideo:
    """Make the video called ``name`` of RECIPES or SPECIAL in ``folder``."""
    if name in SPECIAL:
        suffix, maker = SPECIAL[name]
        return maker(folder / f"{name}{suffix}")
    recipe = RECIPES[name]
    return make(folder / f"{name}{recipe.suffix}", recipe)


def sound_only(path: Path) -> None:
    """An M4A file: sound, no picture."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        _write_audio(output, output.add_stream("aac", rate=48000), 2.0)
    path.write_bytes(buffer.getvalue())
