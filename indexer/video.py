"""Open, probe and decode one video: the frames shown at 0, T, 2T … seconds.

Times are presentation times relative to the first frame shown, never a frame's number divided by a
rate. decord decodes what it was measured to be right about; PyAV decodes the rest, in order, and
takes over where decord gives up. ``import indexer.video`` loads neither.

Decoding a hostile file can hang or crash a decoder: callers decode in a worker process under a
watchdog that counts the time between frames.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import stat
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from indexer.errors import InputError, VideoError
from indexer.frames import SLACK_SECONDS, sample_times

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

DecoderName = Literal["decord", "pyav"]
DurationSource = Literal["picture", "file", "none"]

_CONTAINERS = {"mov": "mp4", "matroska": "matroska", "mpegts": "mpegts", "mpeg": "mpeg"}
"""Short names for FFmpeg's lists of aliases (``mov,mp4,m4a,3gp,3g2,mj2``), by their first member."""
_NOT_VIDEO_CONTAINERS = frozenset({"hls", "concat", "dash", "tty", "image2", "lavfi", "sdp", "rtsp"})
"""Playlists lead to other files or to the network; the others are text and still pictures."""

_DECORD_CONTAINERS = frozenset({"mp4", "matroska", "flv"})
_DECORD_CODECS = frozenset({"h264", "hevc", "vp9", "mjpeg"})
_DISCONTINUOUS_CONTAINERS = frozenset({"mpegts", "mpeg"})
"""Broadcast formats: their clocks may jump, and a recording may begin anywhere."""
_DECODE_TIME_CONTAINERS = frozenset({"avi"})
"""Formats that store no presentation times: what the demuxer makes up is out of order."""
_HDR_TRANSFERS = frozenset({16, 18})
"""Numbers of ITU-T H.273: 16 is PQ (SMPTE ST 2084), 18 is HLG (ARIB STD-B67)."""

_INDEXED_CONTAINERS = frozenset({"mp4", "matroska", "flv"})
"""Formats with presentation times and marked keyframes, where packets may be skipped."""
_CLEAN_START_CODECS = frozenset({"vp9", "av1", "mjpeg", "prores", "ffv1", "dnxhd", "png"})
"""Codecs in which every keyframe is a clean start."""
_CLEAN_START_UNITS = {"h264": frozenset({5}), "hevc": frozenset({20})}
"""NAL unit types that are clean starts: IDR; in HEVC the kind that no earlier-shown frame follows."""

_CLOCK_JUMP_SECONDS = 10.0
_BROADCAST_CLOCK_BACK_SECONDS = 1.0
_SLOWEST_BYTES_PER_MICROSECOND = 100e-6
"""Less than 100 bytes per second is no video but a broken guess from clocks that jumped."""
_KEYFRAMES_LOOKED_AT = 8
_REORDER_PACKETS = 32
"""No codec stores a frame more than 16 frames away from its place in time."""
_PENDING_BYTES = 64 * 2**20
_PROBE_PACKETS = 500
_DEMUX_RETRIES = 16


@dataclass(frozen=True)
class VideoInfo:
    """What a cheap look at a file's header and first frame tells.

    Attributes:
        path: the file.
        container: short name of the format: ``mp4`` (also MOV), ``matroska`` (also WebM), ``mpegts`` …
        codec: short name of the picture's codec: ``h264``, ``hevc``, ``vp9``, ``av1`` …
        width, height: in pixels, as displayed: upright and with square pixels.
        duration_seconds: of the picture as the header tells it, or None.
        duration_source: ``picture`` where the header tells the picture's own duration, ``file`` where it
            tells only that of the longest stream, ``none`` where it tells nothing.
        frames_per_second: average, 0.0 where unknown.
        rotation_degrees: how far players turn the picture clockwise: 0, 90, 180 or 270.
        is_mirrored: whether players also mirror it (left and right change places before the turn).
        sample_aspect_ratio: width of a stored pixel divided by its height.
        pixel_format: FFmpeg's name, for example ``yuv420p10le``.
        is_hdr: PQ or HLG transfer.
        has_edit_list: an edit list that hides or delays something.
        has_b_frames: frames are stored in another order than shown.
        has_open_groups: some keyframe is no clean start: frames after it need frames before it. Judged from
            keyframes spread over the file, for H.264 and HEVC only.
        first_stamp_seconds: when the first frame is shown on the file's own clock, or None.
        video_stream_count: moving pictures in the file; the first by FFmpeg's ranking is decoded.
        stream_index: which of the file's streams is decoded.
    """

    path: Path
    container: str
    codec: str
    width: int
    height: int
    duration_seconds: float | None
    duration_source: DurationSource
    frames_per_second: float
    rotation_degrees: int = 0
    is_mirrored: bool = False
    sample_aspect_ratio: Fraction = Fraction(1)
    pixel_format: str = ""
    is_hdr: bool = False
    has_edit_list: bool = False
    has_b_frames: bool = False
    has_open_groups: bool = False
    first_stamp_seconds: float | None = None
    video_stream_count: int = 1
    stream_index: int = 0


@dataclass(frozen=True)
class SampledFrame:
    """The picture shown at ``index * period_seconds``: RGB, upright, square pixels."""

    index: int
    image: Image.Image


@dataclass(frozen=True)
class DecodeOutcome:
    """How a decoding ended.

    Attributes:
        complete: whether everything that the file claims to hold was decoded.
        reason: why not, empty when complete.
        duration_seconds: from the first frame shown to the end of the last one.
        decoder: who gave the last frame.
    """

    complete: bool
    reason: str
    duration_seconds: float
    decoder: DecoderName


# ------------------------------------------------------------------------------------------ probe


def probe(path: Path) -> VideoInfo:
    """Look at a file's header and decode its first frame.

    Raises:
        VideoError: not a regular file, not readable, not a video, or a video without pictures.
    """
    _demand_regular_file(path)
    with _opened(path) as container:
        stream = _picture_stream(container, path)
        return _describe(path, container, stream)


def _demand_regular_file(path: Path) -> None:
    """Opening a FIFO would wait for ever: look first.

    Raises:
        VideoError: one line that says what the path is instead.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        what = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise VideoError(f"{_shown(path)} {what}", "Check the path") from None
    except OSError as error:
        raise VideoError(f"{_shown(path)} cannot be read: {error.strerror}", "Check the path") from None
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{_shown(path)} is {_file_kind(status.st_mode)}, not a file", "Give a video file")
    if status.st_size == 0:
        raise VideoError(f"{_shown(path)} is empty (0 bytes)", "Copy or download it again")
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise VideoError(f"{_shown(path)} may not be read by you", "Change its permissions")


def _file_kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")


def _shown(path: Path) -> str:
    """The path as text that can always be printed, whatever bytes the name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _opened(path: Path, **options: str) -> Any:
    """An open container; the caller closes it.

    Raises:
        VideoError: FFmpeg does not know the format.
    """
    import av

    # An absolute path, so that FFmpeg does not take "talk: part 1.mp4" for a protocol; and no
    # protocol but files, so that a playlist in a video's clothes fetches nothing.
    location = os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps "..", which is right here too
    try:
        return av.open(location, "r", options={"protocol_whitelist": "file", **options})
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "It may be damaged, cut off, or no video at all"
        raise VideoError(f"{_shown(path)} cannot be opened as a video: {reason}", hint) from None


def _picture_stream(container: Any, path: Path) -> Any:
    name = _container_name(container)
    if name in _NOT_VIDEO_CONTAINERS or name.endswith("_pipe"):
        raise VideoError(f"{_shown(path)} is not a video but {name}", "Give a video file")
    streams = _moving_streams(container)
    if not streams:
        raise VideoError(f"{_shown(path)} holds no moving pictures", "Give a file with a video stream")
    best = container.streams.best("video")
    return best if best in streams else streams[0]


def _moving_streams(container: Any) -> list[Any]:
    """Video streams that are no cover art."""
    return [s for s in container.streams.video if not s.disposition & type(s.disposition).attached_pic]


def _container_name(container: Any) -> str:
    first = str(container.format.name).split(",")[0]
    return _CONTAINERS.get(first, first)


_CODECS = {"libdav1d": "av1", "libaom-av1": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}
"""PyAV names some codecs by their decoder."""


def _codec_name(stream: Any) -> str:
    name = str(stream.codec_context.name)
    return _CODECS.get(name, name)


def _describe(path: Path, container: Any, stream: Any) -> VideoInfo:
    context = stream.codec_context
    container_name = _container_name(container)
    duration, source = _header_duration(container, stream, container_name)
    aspect = _sane_aspect(stream.sample_aspect_ratio)
    has_edit_list = container_name == "mp4" and _edit_list_matters(path, stream)
    frame = _first_frame(container, stream)
    rotation, is_mirrored = _orientation(frame)
    width, height = _displayed_size(context.width, context.height, aspect, rotation)
    if width < 1 or height < 1:
        raise VideoError(f"{_shown(path)} does not tell the size of its picture", "It may be damaged")
    return VideoInfo(
        path=path,
        container=container_name,
        codec=_codec_name(stream),
        width=width,
        height=height,
        duration_seconds=duration,
        duration_source=source,
        frames_per_second=float(stream.average_rate or stream.guessed_rate or 0),
        rotation_degrees=rotation,
        is_mirrored=is_mirrored,
        sample_aspect_ratio=aspect,
        pixel_format=context.pix_fmt or "",
        is_hdr=_is_hdr(context, frame),
        has_edit_list=has_edit_list,
        has_b_frames=bool(context.has_b_frames),
        has_open_groups=_has_open_groups(container, stream, container_name, duration),
        first_stamp_seconds=_stamp_seconds(frame.pts, stream.time_base) if frame is not None else None,
        video_stream_count=len(_moving_streams(container)),
        stream_index=stream.index,
    )


def _header_duration(container: Any, stream: Any, container_name: str) -> tuple[float | None, DurationSource]:
    start = float((stream.start_time or 0) * stream.time_base)
    tagged = _tagged_seconds(stream.metadata.get("DURATION", ""))
    if tagged is not None:  # Matroska: when the track ends, counted from zero
        return max(0.0, tagged - start), "picture"
    if stream.duration and container_name not in {"matroska", *_DISCONTINUOUS_CONTAINERS}:
        return float(stream.duration * stream.time_base), "picture"
    if container.duration and container.size / container.duration > _SLOWEST_BYTES_PER_MICROSECOND:
        from_zero = start if container_name in {"matroska", "flv"} else 0.0
        is_alone = container_name in _INDEXED_CONTAINERS and len(container.streams) == 1
        return max(0.0, container.duration / 1_000_000 - from_zero), "picture" if is_alone else "file"
    return None, "none"


def _tagged_seconds(text: str) -> float | None:
    """Seconds of a Matroska tag such as ``00:00:12.040000000``."""
    hours, _, rest = text.partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _sane_aspect(ratio: Fraction | None) -> Fraction:
    """Nonsense ratios (0, or thinner than 1 : 8) count as square."""
    return ratio if ratio and Fraction(1, 8) <= ratio <= 8 else Fraction(1)


def _edit_list_matters(path: Path, stream: Any) -> bool:
    """Whether an MP4's edit list hides or delays pictures.

    Nearly every MP4 has an edit list that only says where the first frame is; that one changes nothing.
    """
    with _opened(path, ignore_editlist="1") as raw_container:
        raw = raw_container.streams[stream.index]
        half_frame = 0.5 / float(stream.average_rate or 25)
        hidden = abs((raw.duration or 0) * raw.time_base - (stream.duration or 0) * stream.time_base)
        delay = (stream.start_time or 0) * stream.time_base
        is_delayed = delay > half_frame and stream.start_time != raw.start_time
        return bool(hidden > half_frame or is_delayed)


def _first_frame(container: Any, stream: Any) -> Any:
    """The first frame that decodes, or None: its side data tells more than the header."""
    import av

    with contextlib.suppress(av.FFmpegError, EOFError):
        for count, packet in enumerate(container.demux(stream)):
            with contextlib.suppress(av.FFmpegError):
                for frame in packet.decode():
                    return frame
            if count > _PROBE_PACKETS:
                break
    return None


def _stamp_seconds(stamp: int | None, time_base: Fraction) -> float | None:
    return None if stamp is None else float(stamp * time_base)


def _has_open_groups(
    container: Any, stream: Any, container_name: str, duration_seconds: float | None
) -> bool:
    """Whether one of a few keyframes, spread over the file, is no clean start."""
    codec = _codec_name(stream)
    if codec not in _CLEAN_START_UNITS or container_name not in _INDEXED_CONTAINERS:
        return False
    places = np.linspace(0, duration_seconds or 0.0, _KEYFRAMES_LOOKED_AT, endpoint=False)
    return not all(_starts_clean_at(container, stream, codec, float(seconds)) for seconds in places)


def _starts_clean_at(container: Any, stream: Any, codec: str, seconds: float) -> bool:
    packet = _packet_at(container, stream, int(seconds / stream.time_base) + (stream.start_time or 0))
    if packet is None or packet.size == 0:
        return True  # a damaged place tells nothing
    return _is_clean_start(packet, codec, stream.codec_context.extradata)


def _is_clean_start(packet: Any, codec: str, extradata: bytes | None) -> bool:
    """Whether nothing after this packet needs anything before it, nor is shown before it."""
    if not packet.is_keyframe:
        return False
    if codec in _CLEAN_START_CODECS:
        return True
    kind = _first_slice_kind(bytes(packet), codec, bytes(extradata or b""))
    return kind in _CLEAN_START_UNITS.get(codec, frozenset())


def _first_slice_kind(data: bytes, codec: str, extradata: bytes) -> int | None:
    """NAL unit type of the first slice of an H.264 or HEVC packet, stored with length prefixes."""
    if len(extradata) < 23 or extradata[0] != 1:
        return None
    is_h264 = codec == "h264"
    prefix = (extradata[4 if is_h264 else 21] & 3) + 1
    place = 0
    while place + prefix < len(data):
        header = data[place + prefix]
        kind = header & 31 if is_h264 else header >> 1 & 63
        if (1 <= kind <= 5) if is_h264 else kind < 32:
            return kind
        place += prefix + int.from_bytes(data[place : place + prefix], "big")
    return None


def _orientation(frame: Any) -> tuple[int, bool]:
    """(degrees clockwise, mirrored) of a frame's display matrix."""
    if frame is None:
        return 0, False
    try:
        side_data = frame.side_data["DISPLAYMATRIX"]
    except KeyError:
        return 0, False
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), dtype=np.int32)[:5])
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    if abs(a) >= abs(b):
        return (180 if a < 0 else 0), is_mirrored
    return (90 if b > 0 else 270), is_mirrored


def _displayed_size(width: int, height: int, aspect: Fraction, rotation_degrees: int) -> tuple[int, int]:
    """Size with square pixels and upright; the longer side of a pixel grows, so nothing is thrown away."""
    if aspect > 1:
        width = round(width * aspect)
    elif aspect < 1:
        height = round(height / aspect)
    return (height, width) if rotation_degrees in (90, 270) else (width, height)


def _is_hdr(context: Any, frame: Any) -> bool:
    transfers = {context.color_trc, getattr(frame, "color_trc", None)}  # older PyAV: not on frames
    return not transfers.isdisjoint(_HDR_TRANSFERS)


# --------------------------------------------------------------------------------- choose a decoder


def choose_decoder(info: VideoInfo) -> DecoderName:
    """decord for what it was measured to decode rightly, PyAV for everything else.

    decord 0.6 was silently wrong on MPEG-TS, on edit lists, on AVI with B-frames, and wherever it jumps
    to a keyframe that is no clean start (open groups of pictures, the default of HEVC encoders); it
    refuses AV1, files without a duration and names that are not UTF-8; and it knows no HDR.
    """
    return "decord" if _decord_is_right_about(info) and _has_decord() else "pyav"


def _decord_is_right_about(info: VideoInfo) -> bool:
    return (
        info.container in _DECORD_CONTAINERS
        and info.codec in _DECORD_CODECS
        and info.duration_seconds is not None
        and info.video_stream_count == 1
        and not (info.has_edit_list or info.has_open_groups or info.is_hdr or info.is_mirrored)
        and _is_utf8(info.path)
    )


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _has_decord() -> bool:
    return importlib.util.find_spec("decord") is not None


# ----------------------------------------------------------------------------------------- decode


@dataclass
class _Progress:
    """What a decoding has reached; the decoders fill it in as they go."""

    next_index: int = 0
    end_seconds: float = 0.0
    damage: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.damage.append(what)


Decoding = Generator[SampledFrame, None, DecodeOutcome]
_Samples = Generator[SampledFrame, None, None]


def decode(path: Path, info: VideoInfo, period_seconds: float, *, threads: int = 1) -> Decoding:
    """The frames shown at 0, T, 2T … until the picture's real end, one at a time.

    Nothing is collected: one decoded frame is held. How it ended is the generator's return value,
    which ``yield from`` gives, or ``StopIteration.value``.

    Args:
        path: the file, as probed.
        info: what :func:`probe` said of it.
        period_seconds: T, above 0.
        threads: decoding threads, at least 1.

    Yields:
        every index from 0, in order and once.

    Returns:
        whether the file was complete, and if not, why.

    Raises:
        VideoError: no frame at all can be decoded.
        InputError: the period or the number of threads cannot be used.
    """
    sample_times(0.0, period_seconds)
    if threads < 1:
        raise InputError(f"threads must be 1 or more, not {threads}")
    progress = _Progress()
    decoder = choose_decoder(info)
    if decoder == "decord":
        try:
            yield from _decord_samples(path, info, period_seconds, threads, progress)
        except _DecordGaveUpError:
            decoder = "pyav"
    if decoder == "pyav":
        yield from _pyav_samples(path, info, period_seconds, threads, progress)
    if progress.next_index == 0:
        raise VideoError(f"no picture of {_shown(path)} can be decoded", "It may be damaged or cut off")
    return _outcome(info, progress, decoder)


def _outcome(info: VideoInfo, progress: _Progress, decoder: DecoderName) -> DecodeOutcome:
    reason = _shortfall(info, progress.end_seconds)
    if not reason and progress.damage:
        reason = f"{len(progress.damage)} damaged places, the first: {progress.damage[0]}"
    return DecodeOutcome(not reason, reason, progress.end_seconds, decoder)


def _shortfall(info: VideoInfo, end_seconds: float) -> str:
    """Why a picture that ended at ``end_seconds`` is shorter than its header claims, or nothing."""
    if info.duration_source != "picture" or info.duration_seconds is None:
        return ""
    three_frames = 3 / info.frames_per_second if info.frames_per_second else 0.0
    if info.duration_seconds - end_seconds <= max(0.5, three_frames):
        return ""
    return f"stops after {end_seconds:.1f} of {info.duration_seconds:.1f} seconds"


# ----------------------------------------------------------------------------------------- decord


class _DecordGaveUpError(Exception):
    """decord failed, or said something that cannot be true: PyAV goes on."""


def _decord_samples(
    path: Path, info: VideoInfo, period_seconds: float, threads: int, progress: _Progress
) -> _Samples:
    reader = _decord_reader(path, threads)
    starts, last_seconds = _decord_times(reader)
    end_seconds = _end_seconds(info, float(starts[-1]), last_seconds)
    for index, seconds in enumerate(sample_times(end_seconds, period_seconds)):
        place = int(np.searchsorted(starts, seconds + SLACK_SECONDS, side="right")) - 1
        image = _square_pixels(
            _decord_picture(reader, place), info.sample_aspect_ratio, info.rotation_degrees
        )
        progress.next_index, progress.end_seconds = index + 1, float(seconds)
        yield SampledFrame(index, image)
    progress.end_seconds = end_seconds


def _decord_reader(path: Path, threads: int) -> Any:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    try:
        return decord.VideoReader(str(path.absolute()), ctx=decord.cpu(0), num_threads=threads)
    except Exception as error:  # decord raises what it likes: DECORDError, RuntimeError, AssertionError
        raise _DecordGaveUpError from error


def _decord_times(reader: Any) -> tuple[npt.NDArray[np.float64], float]:
    """(starts, last): when each frame begins, (n,) float64 seconds from the first; how long the last lasts."""
    try:
        spans = np.asarray(reader.get_frame_timestamp(range(len(reader))), dtype=np.float64)
    except Exception as error:
        raise _DecordGaveUpError from error
    steps = np.diff(spans[:, 0])
    if not np.isfinite(spans).all() or (steps < 0).any() or spans[0, 0] < -SLACK_SECONDS:
        raise _DecordGaveUpError
    last_seconds = max(spans[-1, 1] - spans[-1, 0], float(np.median(steps)) if len(steps) else 0.0)
    return spans[:, 0] - spans[0, 0], float(last_seconds)


def _decord_picture(reader: Any, place: int) -> Image.Image:
    from PIL import Image

    try:
        return Image.fromarray(reader[place].asnumpy())
    except Exception as error:
        raise _DecordGaveUpError from error


# ------------------------------------------------------------------------------------------- PyAV


class _TimedFrame(NamedTuple):
    start_seconds: float
    end_seconds: float
    frame: Any


def _pyav_samples(
    path: Path, info: VideoInfo, period_seconds: float, threads: int, progress: _Progress
) -> _Samples:
    if _may_skip_packets(info):
        try:
            yield from _pyav_pass(path, info, period_seconds, threads, progress, _wanted_only)
        except _NotAsExpectedError:
            pass
        else:
            return
    yield from _pyav_pass(path, info, period_seconds, threads, progress, _in_order)


def _may_skip_packets(info: VideoInfo) -> bool:
    return (
        info.container in _INDEXED_CONTAINERS
        and info.codec in _CLEAN_START_CODECS | set(_CLEAN_START_UNITS)
        and info.first_stamp_seconds is not None
        and not (info.has_edit_list or info.has_open_groups)
    )


_Strategy = Callable[[Any, Any, VideoInfo, float, _Progress], Iterator["_TimedFrame"]]


def _pyav_pass(
    path: Path,
    info: VideoInfo,
    period_seconds: float,
    threads: int,
    progress: _Progress,
    strategy: _Strategy,
) -> _Samples:
    """One reading of the file, which gives the samples from ``progress.next_index`` on."""
    with _opened(path) as container:
        stream = container.streams[info.stream_index]
        _set_threads(stream, info, threads)
        frames = strategy(container, stream, info, period_seconds, progress)
        picture: tuple[Any, Image.Image] | None = None
        for index, frame in _shown_at(frames, period_seconds, progress):
            if picture is None or picture[0] is not frame:
                picture = (frame, _upright(frame, info))
            progress.next_index = index + 1
            yield SampledFrame(index, picture[1])


def _set_threads(stream: Any, info: VideoInfo, threads: int) -> None:
    stream.thread_count = threads
    # Frame threads blur the decode times on which formats without presentation times depend.
    stream.thread_type = "SLICE" if info.container in _DECODE_TIME_CONTAINERS else "AUTO"


def _shown_at(
    frames: Iterator[_TimedFrame], period_seconds: float, progress: _Progress
) -> Iterator[tuple[int, Any]]:
    """Which frame is on screen at each sampled time from ``progress.next_index`` on."""
    index = progress.next_index
    current: _TimedFrame | None = None
    for timed in frames:
        while current is not None and index * period_seconds < timed.start_seconds - SLACK_SECONDS:
            yield index, current.frame
            index += 1
        current = timed
        progress.end_seconds = timed.end_seconds
    while current is not None and (
        index == 0 or index * period_seconds < progress.end_seconds - SLACK_SECONDS
    ):
        yield index, current.frame
        index += 1


def _in_order(
    container: Any, stream: Any, info: VideoInfo, period_seconds: float, progress: _Progress
) -> Iterator[_TimedFrame]:
    """Every frame with its time, from the start or the one reached. Damage is noted and passed over."""
    zero = _jump_to(container, stream, info, progress.next_index * period_seconds)
    clock = _Clock(info, stream.time_base, zero)
    for packet in _packets(container, stream, info, progress):
        for frame in _decoded(packet, stream, info, clock, progress):
            timed = clock.timed(frame)
            if timed is not None:
                yield timed


def _jump_to(container: Any, stream: Any, info: VideoInfo, seconds: float) -> float | None:
    """Go to the last clean start before ``seconds``, so that a late failure does not cost the whole again.

    Returns what the file's clock says at its first frame; None where the decoding begins at the start.
    """
    if seconds <= 0 or info.first_stamp_seconds is None or not _may_skip_packets(info):
        return None
    place = int((info.first_stamp_seconds + seconds) / stream.time_base)
    packet = _packet_at(container, stream, place)
    is_right = (
        packet is not None
        and packet.pts is not None
        and packet.pts <= place
        and _is_clean_start(packet, info.codec, stream.codec_context.extradata)
    )
    container.seek(packet.pts if is_right else int(stream.start_time or 0), stream=stream)
    return info.first_stamp_seconds if is_right else None


def _packet_at(container: Any, stream: Any, place: int) -> Any:
    """The packet on which a jump to ``place`` lands, or None."""
    import av

    try:
        container.seek(place, stream=stream)
        return next(container.demux(stream))
    except (av.FFmpegError, OSError, StopIteration):
        return None


class _NotAsExpectedError(Exception):
    """A file is damaged or not made as its header says: packets may not be skipped."""


def _wanted_only(
    container: Any, stream: Any, info: VideoInfo, period_seconds: float, progress: _Progress
) -> Iterator[_TimedFrame]:
    """As :func:`_in_order`, but what is stored after a group's last wanted frame is not decoded.

    Raises:
        _NotAsExpectedError: something is odd; the samples given so far are right.
    """
    import av

    clock = _Clock(info, stream.time_base, info.first_stamp_seconds)
    selection = _Selection(info, period_seconds, progress.next_index)
    try:
        for packet in _wanted_packets(container, stream, info, selection):
            frames = stream.decode(packet)
            if packet is None:
                stream.codec_context.flush_buffers()
            for frame in frames:
                yield _expected(clock.timed(frame), frame, info)
    except (av.FFmpegError, OSError) as error:
        raise _NotAsExpectedError from error
    progress.end_seconds = selection.end_seconds


def _expected(timed: _TimedFrame | None, frame: Any, info: VideoInfo) -> _TimedFrame:
    if timed is None or frame.is_corrupt:
        raise _NotAsExpectedError
    return timed


def _wanted_packets(container: Any, stream: Any, info: VideoInfo, selection: _Selection) -> Iterator[Any]:
    """Packets to decode, in order; None where the decoder is to give all it holds."""
    extradata = stream.codec_context.extradata
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        if _is_clean_start(packet, info.codec, extradata):
            yield from selection.close_group(selection.start_of(packet))
        selection.add(packet)
        yield from selection.ripe()
    yield from selection.close_group(selection.end_seconds)


class _Selection:
    """Holds packets back until it is known whether anything of them is wanted.

    A frame is wanted when it is the last one that starts at or before a sampled time. Holds the packets
    of at most one period, and never more than 64 MiB.
    """

    def __init__(self, info: VideoInfo, period_seconds: float, next_index: int) -> None:
        self._info = info
        self._period_seconds = period_seconds
        self._index = next_index
        self._pending: list[tuple[float, Any]] = []
        self._pending_bytes = 0
        self._is_decoding = False
        self._last_start = 0.0
        self.end_seconds = 0.0

    def start_of(self, packet: Any) -> float:
        """When the packet's frame is shown, in seconds from the first frame.

        Raises:
            _NotAsExpectedError: it does not say, or is marked as damaged or hidden.
        """
        stamp = _stamp_seconds(packet.pts, packet.time_base)
        if stamp is None or packet.is_corrupt or packet.is_discard:
            raise _NotAsExpectedError
        return stamp - (self._info.first_stamp_seconds or 0.0)

    def add(self, packet: Any) -> None:
        """Take a packet, in the order of the file."""
        start = self.start_of(packet)
        if start < -SLACK_SECONDS:
            raise _NotAsExpectedError
        self._pending.append((start, packet))
        self._pending_bytes += packet.size
        if start >= self._last_start:
            self._last_start = start
            duration = _stamp_seconds(packet.duration or None, packet.time_base) or _step_seconds(self._info)
            self.end_seconds = _end_seconds(self._info, start, duration)

    def ripe(self) -> Iterator[Any]:
        """Packets that are certainly needed, or too many to hold."""
        if self._pending_bytes > _PENDING_BYTES:
            yield from self._release(len(self._pending))
        while self._pending and self._pending[-1][0] > self._limit() and self._is_settled():
            yield from self._release(self._count_until(self._limit()))
            self._index += 1

    def close_group(self, next_start_seconds: float) -> Iterator[Any]:
        """What is needed for the sampled times before the next group starts; the rest is dropped."""
        limit = None
        while self._limit() < next_start_seconds:
            limit = self._limit()
            self._index += 1
        if limit is not None:
            yield from self._release(self._count_until(limit))
        self._pending.clear()
        self._pending_bytes = 0
        if self._is_decoding:
            self._is_decoding = False
            yield None

    def _limit(self) -> float:
        return self._index * self._period_seconds + SLACK_SECONDS

    def _is_settled(self) -> bool:
        """Whether no packet to come can be shown at the next sampled time."""
        return sum(start > self._limit() for start, _ in self._pending) > _REORDER_PACKETS

    def _count_until(self, limit: float) -> int:
        """Packets, in the file's order, up to the last one that starts by ``limit``."""
        wanted = [place for place, (start, _) in enumerate(self._pending) if start <= limit]
        return wanted[-1] + 1 if wanted else 0

    def _release(self, count: int) -> Iterator[Any]:
        released, self._pending = self._pending[:count], self._pending[count:]
        for _, packet in released:
            self._pending_bytes -= packet.size
            self._is_decoding = True
            yield packet


def _packets(container: Any, stream: Any, info: VideoInfo, progress: _Progress) -> Iterator[Any]:
    """Packets to the end of the file, the last one empty (it drains the decoder)."""
    import av

    for _ in range(_DEMUX_RETRIES):
        try:
            for packet in container.demux(stream):
                # Where two recordings were joined, MPEG-TS counts as corrupt what is not.
                if packet.is_corrupt and info.container not in _DISCONTINUOUS_CONTAINERS:
                    progress.note("a corrupt packet")
                yield packet
        except (av.FFmpegError, OSError) as error:  # noqa: PERF203
            progress.note(str(getattr(error, "strerror", None) or error))
        else:
            return
    yield None


def _decoded(packet: Any, stream: Any, info: VideoInfo, clock: _Clock, progress: _Progress) -> list[Any]:
    import av

    try:
        frames: list[Any] = stream.decode(packet)
    except (av.FFmpegError, EOFError) as error:
        # A recording of a broadcast begins in the middle of a group of pictures: no damage.
        if clock.has_started or info.container not in _DISCONTINUOUS_CONTAINERS:
            progress.note(str(getattr(error, "strerror", None) or error))
        return []
    if any(frame.is_corrupt for frame in frames):
        progress.note("a corrupt frame")
    return frames


class _Clock:
    """Turns frames' own times into seconds since the first frame shown.

    That is the first frame it sees, unless it is told what the file's own clock said then.
    """

    def __init__(self, info: VideoInfo, time_base: Fraction, zero_seconds: float | None = None) -> None:
        self._info = info
        self._time_base = time_base  # the stream's: frames drained from a decoder carry none
        self._step_seconds = _step_seconds(info)
        self._offset_seconds = zero_seconds or 0.0
        self._last_seconds = 0.0
        self.has_started = zero_seconds is not None

    def timed(self, frame: Any) -> _TimedFrame | None:
        """The frame with its start and end in seconds; frames come in display order.

        None for a frame that belongs before the last one: a decoder's confusion after damage.
        """
        stamp = self._stamp(frame)
        if not self.has_started:
            self._offset_seconds = stamp or 0.0
        start = self._next_start(stamp)
        if start is None:
            return None
        self.has_started = True
        self._last_seconds = start
        return _TimedFrame(start, _end_seconds(self._info, start, self._duration(frame)), frame)

    def _stamp(self, frame: Any) -> float | None:
        stamp = frame.dts if self._info.container in _DECODE_TIME_CONTAINERS else frame.pts
        return _stamp_seconds(stamp, self._time_base)

    def _next_start(self, stamp_seconds: float | None) -> float | None:
        if not self.has_started:
            return 0.0
        one_frame_later = self._last_seconds + self._step_seconds
        if stamp_seconds is None:
            return one_frame_later
        start = stamp_seconds - self._offset_seconds
        if self._is_jump(start - self._last_seconds):
            self._offset_seconds = stamp_seconds - one_frame_later
            return one_frame_later
        return start if start >= self._last_seconds else None

    def _is_jump(self, step_seconds: float) -> bool:
        """Whether the file's clock was set anew: the picture goes on, the times start again."""
        if self._info.container in _DISCONTINUOUS_CONTAINERS:
            return not -_BROADCAST_CLOCK_BACK_SECONDS < step_seconds < _CLOCK_JUMP_SECONDS
        return step_seconds < -_CLOCK_JUMP_SECONDS

    def _duration(self, frame: Any) -> float:
        return _stamp_seconds(frame.duration or None, self._time_base) or self._step_seconds


def _end_seconds(info: VideoInfo, start_seconds: float, duration_seconds: float) -> float:
    """When a frame would end if it were the last one.

    Durations are stored in decoding order, so that with B-frames and a variable rate a frame may carry
    another one's: the header knows better, as long as the frame begins before the header's end.
    """
    end_seconds = start_seconds + duration_seconds
    if info.duration_source == "picture" and info.duration_seconds and start_seconds < info.duration_seconds:
        return min(end_seconds, info.duration_seconds)
    return end_seconds


def _step_seconds(info: VideoInfo) -> float:
    return 1 / info.frames_per_second if info.frames_per_second > 0 else 0.04


# --------------------------------------------------------------------------------- make it upright


def _upright(frame: Any, info: VideoInfo) -> Image.Image:
    """A decoded frame as an RGB picture: tone-mapped, upright, square pixels."""
    from PIL import Image

    pixels = _hdr_pixels(frame) if info.is_hdr else frame.to_ndarray(format="rgb24")
    image = _turned(Image.fromarray(pixels), info.rotation_degrees, info.is_mirrored)
    return _square_pixels(image, info.sample_aspect_ratio, info.rotation_degrees)


def _turned(image: Image.Image, rotation_degrees: int, is_mirrored: bool) -> Image.Image:
    from PIL.Image import Transpose

    turns = {  # Pillow counts counterclockwise
        (90, False): Transpose.ROTATE_270,
        (180, False): Transpose.ROTATE_180,
        (270, False): Transpose.ROTATE_90,
        (0, True): Transpose.FLIP_LEFT_RIGHT,
        (90, True): Transpose.TRANSVERSE,
        (180, True): Transpose.FLIP_TOP_BOTTOM,
        (270, True): Transpose.TRANSPOSE,
    }
    turn = turns.get((rotation_degrees, is_mirrored))
    return image if turn is None else image.transpose(turn)


def _square_pixels(image: Image.Image, aspect: Fraction, rotation_degrees: int) -> Image.Image:
    """Stretch an upright picture whose stored pixels were ``aspect`` times as wide as high."""
    from PIL import Image

    if aspect == 1:
        return image
    upright_aspect = 1 / aspect if rotation_degrees in (90, 270) else aspect
    return image.resize(
        _displayed_size(image.width, image.height, upright_aspect, 0), Image.Resampling.BICUBIC
    )


_HDR_SHORT_SIDE = 720
"""Tone mapping is arithmetic on every pixel; no model looks at more than this."""
_DIFFUSE_WHITE_NITS = 203.0
"""Brightness of white paper in HDR programmes (ITU-R BT.2408)."""
_PEAK_NITS = 1000.0
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def _hdr_pixels(frame: Any) -> npt.NDArray[np.uint8]:
    """A PQ or HLG frame as (H, W, 3) uint8 sRGB, at most 720 on its short side."""
    scale = min(1.0, _HDR_SHORT_SIDE / min(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    levels = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    nits = _hlg_nits() if getattr(frame, "color_trc", None) == 18 else _pq_nits()
    light = (nits / _DIFFUSE_WHITE_NITS).astype(np.float32)[levels] @ _BT2020_TO_BT709.T
    return _srgb_levels(_tone_mapped(np.maximum(light, 0.0)))


def _tone_mapped(light: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Reinhard's curve with a white point: shadows keep their light, the peak becomes white.

    Takes and gives linear light, 1.0 is diffuse white before and the brightest white after.
    """
    white = _PEAK_NITS / _DIFFUSE_WHITE_NITS
    return np.minimum(light * (1 + light / white**2) / (1 + light), 1.0)


def _srgb_levels(light: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    curved = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curved * 255 + 0.5).astype(np.uint8)


def _pq_nits() -> npt.NDArray[np.float64]:
    """Brightness of the 256 levels of a PQ picture (SMPTE ST 2084), (256,) float64 nits."""
    root = np.linspace(0, 1, 256) ** (32 / 2523)
    return 10000.0 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (8192 / 1305)


def _hlg_nits() -> npt.NDArray[np.float64]:
    """Brightness of the 256 levels of an HLG picture on a 1000-nit screen (BT.2100), (256,) float64 nits."""
    signal = np.linspace(0, 1, 256)
    scene = np.where(
        signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
    )
    return np.asarray(_PEAK_NITS * scene**1.2, dtype=np.float64)
