"""When a frame is shown, in seconds since the first one, made of the times that files carry."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from indexer.container import DECODE_TIME_CONTAINERS, DISCONTINUOUS_CONTAINERS, in_seconds
from indexer.video_types import VideoInfo

_CLOCK_JUMP_SECONDS = 10.0
_BROADCAST_CLOCK_BACK_SECONDS = 1.0


class TimedFrame(NamedTuple):
    """A decoded frame, on screen from ``start_seconds`` to ``end_seconds`` after the first one's start."""

    start_seconds: float
    end_seconds: float
    frame: Any


class Clock:
    """Turns frames' own times into seconds since the first frame shown.

    That is the first frame it sees, unless it is told what the file's own clock said then.
    """

    def __init__(self, info: VideoInfo, time_base: Fraction, zero_seconds: float | None = None) -> None:
        self._info = info
        self._time_base = time_base  # the stream's: frames drained from a decoder carry none
        self._step_seconds = usual_step(info)
        self._offset_seconds = zero_seconds or 0.0
        self._last_seconds = 0.0
        self.has_started = zero_seconds is not None

    def timed(self, frame: Any) -> TimedFrame | None:
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
        return TimedFrame(start, frame_end(self._info, start, self._duration(frame)), frame)

    def _stamp(self, frame: Any) -> float | None:
        stamp = frame.dts if self._info.container in DECODE_TIME_CONTAINERS else frame.pts
        return in_seconds(stamp, self._time_base)

    def _next_start(self, stamp_seconds: float | None) -> float | None:
        if not self.has_started:
            return 0.0
        one_frame_later = self._last_seconds + self._step_seconds
        if stamp_seconds is None:
            return one_frame_later
        start = stamp_seconds - self._offset_seconds
        if self._is_jump(start - self._last_seconds) or start > self._info.longest_seconds:
            self._offset_seconds = stamp_seconds - one_frame_later
            return one_frame_later
        return start if start >= self._last_seconds else None

    def _is_jump(self, step_seconds: float) -> bool:
        """Whether the file's clock was set anew: the picture goes on, the times start again."""
        if self._info.container in DISCONTINUOUS_CONTAINERS:
            return not -_BROADCAST_CLOCK_BACK_SECONDS < step_seconds < _CLOCK_JUMP_SECONDS
        return step_seconds < -_CLOCK_JUMP_SECONDS

    def _duration(self, frame: Any) -> float:
        return in_seconds(frame.duration or None, self._time_base) or self._step_seconds


def frame_end(info: VideoInfo, start_seconds: float, duration_seconds: float) -> float:
    """When a frame would end if it were the last one.

    Durations are stored in decoding order, so that with B-frames and a variable rate a frame may carry
    another one's: the header knows better, as long as the frame begins before the header's end.
    """
    end_seconds = start_seconds + duration_seconds
    if info.duration_source == "picture" and info.duration_seconds and start_seconds < info.duration_seconds:
        return min(end_seconds, info.duration_seconds)
    return end_seconds


def usual_step(info: VideoInfo) -> float:
    """Seconds from one frame to the next on average; 0.04 where the header does not tell."""
    return 1 / info.frames_per_second if info.frames_per_second > 0 else 0.04
