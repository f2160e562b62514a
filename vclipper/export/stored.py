"""Where frames begin, read from a file's packets: nothing is decoded.

Times are seconds since the first frame shown, as everywhere (:mod:`indexer.clock`).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from indexer.container import DECODE_TIME_CONTAINERS, DISCONTINUOUS_CONTAINERS, INDEXED_CONTAINERS, in_seconds

if TYPE_CHECKING:
    from indexer.video_types import VideoInfo

_HEAD_FRAMES = 300
_MOST_REORDERED = 16
"""Frames that H.264 and HEVC may hold back."""
_CLOCK_JUMP_SECONDS = 10.0
_CLOCK_BACK_SECONDS = 1.0
_SAME_SECONDS = 1e-6


class StoredFrame(NamedTuple):
    """A frame as the file stores it.

    ``start_seconds`` is when it is shown, ``decode_seconds`` orders the frames as they are stored, and
    ``duration_seconds`` is what the file says (0.0 where it does not).
    """

    start_seconds: float
    decode_seconds: float
    duration_seconds: float
    is_keyframe: bool


TimedPacket: TypeAlias = tuple[StoredFrame, Any]
"""When a packet's frame is shown, and the packet."""


@dataclass(frozen=True)
class Stretch:
    """Some frames of a video, in the order they are stored.

    Attributes:
        frames: at least those shown in the stretch asked for, and the next one if there is one.
        reaches_end: whether the last frame of the file is among them.
    """

    frames: tuple[StoredFrame, ...]
    reaches_end: bool

    @functools.cached_property
    def starts_seconds(self) -> list[float]:
        """When the frames begin, in the order they are shown; those before the first one shown are left out."""
        return sorted(frame.start_seconds for frame in self.frames if frame.start_seconds > -_SAME_SECONDS)

    @property
    def gapless_seconds(self) -> list[float]:
        """As ``starts_seconds``, without the last ones: some shown between them may be stored later."""
        return self.starts_seconds if self.reaches_end else self.starts_seconds[:-_MOST_REORDERED]

    def end_seconds(self, step_seconds: float) -> float:
        """When the last frame ends; infinity where it is not among these."""
        if not self.reaches_end or not self.frames:
            return math.inf
        last = max(self.frames)
        return last.start_seconds + (last.duration_seconds or step_seconds)


class FrameReader:
    """Finds stored frames in one open file.

    Args:
        container, stream: open, see :mod:`indexer.container`.
        info: what probing said of it.
        step_seconds: from one frame to the next, where the file does not tell.
    """

    def __init__(self, container: Any, stream: Any, info: VideoInfo, step_seconds: float) -> None:
        self._container, self._stream, self._info = container, stream, info
        self._step_seconds = step_seconds
        self._all: Stretch | None = None

    def head(self) -> Stretch:
        """The first frames of the file."""
        if self._info.container not in INDEXED_CONTAINERS:
            return self.everything()
        frames = list(itertools.islice(_frames(self.packets_from(0.0)), _HEAD_FRAMES))
        return Stretch(tuple(frames), len(frames) < _HEAD_FRAMES)

    def around(self, start_seconds: float, end_seconds: float) -> Stretch:
        """The frames from the last keyframe at or before ``start_seconds`` to the first one after ``end_seconds``.

        Formats in which jumps go astray are read from their start; that is done once.
        """
        if self._info.container not in INDEXED_CONTAINERS:
            return self.everything()
        return _until(end_seconds, _frames(self.packets_from(start_seconds)))

    def everything(self) -> Stretch:
        """All frames, read once."""
        if self._all is None:
            self._all = Stretch(tuple(_frames(self.packets_from(0.0))), True)
        return self._all

    def packets_from(self, seconds: float) -> Iterator[TimedPacket]:
        """Packets from a keyframe at or before ``seconds`` on, or from the file's start."""
        if self._info.container not in INDEXED_CONTAINERS:
            return self._read_on()
        back = 0.0
        while True:
            self._jump(seconds - back)
            packets = self._read_on()
            first = next(packets, None)
            if first is not None and (first[0].start_seconds <= seconds + _SAME_SECONDS or back > seconds):
                return itertools.chain([first], packets)
            if back > seconds:
                return iter(())
            back = 2 * back + 1

    def _jump(self, seconds: float) -> None:
        place = max(0.0, seconds) + (self._info.first_stamp_seconds or 0.0)
        self._container.seek(int(place / self._stream.time_base), stream=self._stream)

    def _read_on(self) -> Iterator[TimedPacket]:
        packets = self._container.demux(self._stream)
        return timed_packets(packets, self._info, Fraction(self._stream.time_base), self._step_seconds)


def _frames(packets: Iterable[TimedPacket]) -> Iterator[StoredFrame]:
    return (frame for frame, _ in packets)


def _until(end_seconds: float, frames: Iterable[StoredFrame]) -> Stretch:
    """Frames until everything shown up to ``end_seconds``, and the one after, has been seen."""
    seen: list[StoredFrame] = []
    after: list[float] = []
    for frame in frames:
        seen.append(frame)
        if frame.start_seconds > end_seconds + 1e-3:
            after.append(frame.start_seconds)
        # What is stored later is shown later; but after a jump Matroska's decode times are guesses at first.
        if len(after) > _MOST_REORDERED and frame.decode_seconds >= min(after):
            return Stretch(tuple(seen), False)
    return Stretch(tuple(seen), True)


def timed_packets(
    packets: Iterable[Any], info: VideoInfo, time_base: Fraction, step_seconds: float
) -> Iterator[TimedPacket]:
    """Packets of one stream with their times; a clock that jumps in a broadcast is carried on.

    What an edit list hides before the first frame shown is among them: the keyframe that the shown ones need.
    What it hides later is not.

    Args:
        packets: from the demuxer, from wherever it stands on.
        info: of the video, whose first frame is time zero for sound too.
        time_base: of the stream. step_seconds: see :class:`FrameReader`.
    """
    zero = None if info.container in DECODE_TIME_CONTAINERS else info.first_stamp_seconds
    last: float | None = None
    for count, packet in enumerate(_full(packets)):
        decode = in_seconds(packet.dts, time_base)
        shown = decode if info.container in DECODE_TIME_CONTAINERS else in_seconds(packet.pts, time_base)
        if shown is None:  # a raw stream has no times
            shown = decode = count * step_seconds
            zero = zero or 0.0
        if packet.is_discard and (zero is None or shown > zero - _SAME_SECONDS):
            continue
        if zero is None:
            zero = shown
        if decode is not None and last is not None and _jumps(decode - last, info):
            zero += decode - last - step_seconds
        last = last if decode is None else decode
        duration = in_seconds(packet.duration or 0, time_base) or 0.0
        order = -math.inf if decode is None else decode - zero
        yield StoredFrame(shown - zero, order, duration, bool(packet.is_keyframe)), packet


def _full(packets: Iterable[Any]) -> Iterator[Any]:
    """Packets with something in them."""
    import av

    try:
        for packet in packets:
            if packet.size:
                yield packet
    except (av.FFmpegError, OSError):  # damaged from here on: what was read counts
        return


def _jumps(step_seconds: float, info: VideoInfo) -> bool:
    is_usual = -_CLOCK_BACK_SECONDS < step_seconds < _CLOCK_JUMP_SECONDS
    return info.container in DISCONTINUOUS_CONTAINERS and not is_usual
