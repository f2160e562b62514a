"""What browsers cannot play, as a copy that they can: H.264 and AAC in MP4, made once, in a cache with a bound."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import Any

from indexer.catalogue import VideoRow
from indexer.decode_pyav import frames_in_order
from indexer.errors import VClipperError, VideoError
from indexer.picture import upright
from indexer.probe import probe
from indexer.video_types import DecodeProgress, VideoInfo
from vclipper.export.sound import ordered, sound_of
from vclipper.export.source import Cut, whole_video
from vclipper.web.workers import Workers

MAX_CACHE_BYTES = 8 << 30
_SHORT_SIDE = 720
_TIME_BASE = Fraction(1, 90_000)
_OPTIONS = {"preset": "veryfast", "crf": "25", "profile": "high"}
#: Matrix and range that every copy has, whatever the file's own are, as H.264 numbers them.
_BT709, _LIMITED = 1, 1
#: A keyframe so often makes jumps quick.
_KEYFRAME_SECONDS = 1.0
_SILENCE_SECONDS = 120.0
#: A part that nobody has written to for this long belongs to a process that was killed.
_LEFT_SECONDS = 5 * _SILENCE_SECONDS
_REPORT_FRAMES = 25
_PLAYED_CODECS = {"mp4": frozenset({"h264", "vp9", "av1"}), "matroska": frozenset({"vp8", "vp9", "av1"})}
#: Browsers decode 8 bits a colour with halved colour planes; the rest depends on the machine.
_PLAYED_FORMATS = frozenset({"yuv420p", "yuvj420p", ""})


@dataclass(frozen=True)
class Unplayable:
    """The task: why browsers cannot play a file; empty where they can."""

    def __call__(self, path: Path) -> Iterator[Any]:
        """Look at the file; the result is the reason."""
        yield _why_unplayable(probe(path))


def _why_unplayable(info: VideoInfo) -> str:
    codec, container = info.codec.upper(), info.container.upper()
    if info.codec not in _PLAYED_CODECS.get(info.container, ()):
        return f"Browsers do not play {codec} in {container}."
    if info.pixel_format not in _PLAYED_FORMATS:
        return f"Browsers do not play {codec} of the kind {info.pixel_format}."
    return ""


@dataclass(frozen=True)
class Proxy:
    """The task: a copy that every browser plays, written to ``target`` whole or not at all."""

    target: Path

    def __call__(self, path: Path) -> Iterator[Any]:
        """Encode it; gives the share that is done."""
        part = _part_of(self.target)
        try:
            yield from _encode(whole_video(path), part)
            part.replace(self.target)
        finally:
            part.unlink(missing_ok=True)
        yield None


def _part_of(target: Path) -> Path:
    """A name of its own beside ``target``, which says which video it is of."""
    return target.with_name(f"{target.stem}.{uuid.uuid4().hex}.part")


def _encode(cut: Cut, part: Path) -> Iterator[float]:
    import av

    try:
        with contextlib.ExitStack() as stack:
            made = stack.enter_context(av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}))
            streams = [_pictures(cut, made, stack)]
            if cut.source.audio_streams and (sound := sound_of(cut, cut.source.audio_streams[0], made, stack)):
                streams.append(sound)
            for count, (seconds, packet) in enumerate(heapq.merge(*streams, key=lambda ordered: ordered[0])):
                made.mux(packet)
                if count % _REPORT_FRAMES == 0:
                    yield min(1.0, max(0.0, seconds / cut.stop_seconds))
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"a copy cannot be encoded: {getattr(error, 'strerror', None) or error}") from error


def _pictures(cut: Cut, made: Any, stack: contextlib.ExitStack) -> Iterator[tuple[float, Any]]:
    """Encoded pictures with when they are decoded; the stream is added before the first one is asked for."""
    info = cut.source.info
    container = cut.source.open(stack)
    stream = container.streams[info.stream_index]
    stream.thread_type = "AUTO"
    frames = frames_in_order(container, stream, info, 0.0, DecodeProgress())
    first = next(frames, None)
    if first is None:
        raise VideoError("none of its pictures can be decoded")
    size = _size(upright(first.frame, info).size)
    picture = made.add_stream("libx264", rate=cut.source.rate.per_second, options=dict(_OPTIONS))
    picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
    picture.codec_context.time_base = _TIME_BASE
    picture.codec_context.colorspace, picture.codec_context.color_range = _BT709, _LIMITED
    picture.codec_context.gop_size = max(1, round(float(cut.source.rate.per_second) * _KEYFRAME_SECONDS))
    return _encoded(itertools.chain([first], frames), picture, info, size)


def _encoded(
    frames: Iterator[Any], picture: Any, info: VideoInfo, size: tuple[int, int]
) -> Iterator[tuple[float, Any]]:
    last = -1
    for timed in frames:
        frame = _shown(timed.frame, info, size)
        last = max(last + 1, round(timed.start_seconds / _TIME_BASE))
        frame.pts, frame.time_base, frame.pict_type = last, _TIME_BASE, 0
        yield from ordered(picture.encode(frame))
    yield from ordered(picture.encode(None))


def _shown(frame: Any, info: VideoInfo, size: tuple[int, int]) -> Any:
    """The frame as players show it, at the proxy's size."""
    import av

    if info.rotation_degrees or info.is_mirrored or info.is_hdr:
        frame = av.VideoFrame.from_image(upright(frame, info).resize(size))
    return frame.reformat(*size, "yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")


def _size(shown: tuple[int, int]) -> tuple[int, int]:
    """Even, and the short side no longer than 720 pixels."""
    share = min(1.0, _SHORT_SIDE / min(shown))
    return max(2, round(shown[0] * share / 2) * 2), max(2, round(shown[1] * share / 2) * 2)


@dataclass(frozen=True)
class ProxyState:
    """Where a proxy stands: ``ready``, ``making``, ``missing`` or ``failed``."""

    state: str
    progress: float = 0.0
    reason: str = ""


class Proxies:
    """The cache of proxies: one is made at a time, the one unused for longest goes first.

    Args:
        folder: where they are kept, named after their video's content.
        max_bytes: of all together; the newest one stays in any case.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._states: dict[str, ProxyState] = {}
        self._lock = threading.Lock()
        self._workers = Workers(1, _SILENCE_SECONDS)

    def path_of(self, video: VideoRow) -> Path:
        """Where the video's proxy is, or would be."""
        return self._folder / f"{video.video_id}.mp4"

    def state_of(self, video: VideoRow) -> ProxyState:
        """Whether there is one."""
        with self._lock:
            state = self._states.get(video.fingerprint, ProxyState("missing"))
        if state.state in ("making", "failed"):
            return state
        return ProxyState("ready", 1.0) if self.path_of(video).is_file() else ProxyState("missing")

    def make(self, video: VideoRow, open_file: Callable[[], FileIO]) -> ProxyState:
        """Start making one unless it is there or being made; a failed one is tried again."""
        with self._lock:
            known = self._states.get(video.fingerprint)
            if self.path_of(video).is_file() or (known is not None and known.state == "making"):
                return known or ProxyState("ready", 1.0)
            file = open_file()
            self._states[video.fingerprint] = ProxyState("making")
        threading.Thread(target=self._make, args=(video, file), daemon=True).start()
        return ProxyState("making")

    def open(self, video: VideoRow) -> FileIO:
        """The finished proxy; OSError where there is none."""
        path = self.path_of(video)
        file = FileIO(path)
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return file

    def close(self) -> None:
        """Stop what is being made."""
        self._workers.close()

    def _make(self, video: VideoRow, file: FileIO) -> None:
        def on_progress(share: float) -> None:
            with self._lock:
                self._states[video.fingerprint] = ProxyState("making", share)

        try:
            with file:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._sweep()
                self._workers.run(Proxy(self.path_of(video)), file.fileno(), on_progress)
            self._make_room(self.path_of(video))
            done = ProxyState("ready", 1.0)
        except VClipperError as error:
            done = ProxyState("failed", 0.0, error.message)
        except OSError as error:
            done = ProxyState("failed", 0.0, f"{self._folder}: {error.strerror}")
        with self._lock:
            self._states[video.fingerprint] = done

    def _sweep(self) -> None:
        """Delete what killed processes left."""
        for part in self._folder.glob("*.part"):
            with contextlib.suppress(OSError):  # another server was quicker
                if time.time() - part.stat().st_mtime > _LEFT_SECONDS:
                    part.unlink()

    def _make_room(self, newest: Path) -> None:
        """Delete the proxies unused for longest until the rest fits."""
        kept = sorted(self._folder.glob("*.mp4"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in kept:
            total += path.stat().st_size
            if total > self._max_bytes and path != newest:
                path.unlink(missing_ok=True)


def told(state: ProxyState, reason: str) -> ProxyState:
    """The state with why there is a proxy at all, unless it says something of its own."""
    return state if state.reason else replace(state, reason=reason)
