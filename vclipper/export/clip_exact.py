"""Clips encoded anew: the first and the last frame are the ones meant.

H.264 in MP4 for 8-bit pictures, HEVC for 10 bit and HDR; sound as AAC, every track. Times, pixel shape, rotation,
colour tags and mastering data stay what they were.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from indexer.container import DECODE_TIME_CONTAINERS
from indexer.discover import printable
from indexer.errors import VideoError
from vclipper.export.encoders import encoded_picture
from vclipper.export.sound import sound_of
from vclipper.export.source import Cut

if TYPE_CHECKING:
    from indexer.clock import TimedFrame
    from indexer.video_types import DecodeProgress

_SAME_SECONDS = 1e-6
_Ordered: TypeAlias = tuple[float, Any]
"""When a packet is to be decoded, in seconds, and the packet."""


def write_exact(cut: Cut, target: Path) -> list[str]:
    """Encode the frames of a cut and the sound under them into an MP4 file.

    Returns:
        remarks: what could not be kept.

    Raises:
        VideoError: none of the frames can be decoded.
    """
    import av

    from indexer.video_types import DecodeProgress

    progress = DecodeProgress()
    try:
        with contextlib.ExitStack() as stack:
            made = stack.enter_context(av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}))
            streams, remarks = _streams(cut, made, stack, progress)
            for _, packet in heapq.merge(*streams, key=lambda ordered: ordered[0]):
                made.mux(packet)
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{printable(cut.source.path)} cannot be encoded: {reason}") from error
    if progress.damage:
        remarks.append(f"may lack frames: the source is damaged there ({progress.damage[0]})")
    return remarks


def _streams(
    cut: Cut, made: Any, stack: contextlib.ExitStack, progress: DecodeProgress
) -> tuple[list[Iterator[_Ordered]], list[str]]:
    """The encoded picture and sound of the new file, lazily; and remarks."""
    frames = _pictures(cut, stack, progress)
    first = next(frames, None)
    if first is None:
        where = f"{cut.first_seconds:.2f} s"
        raise VideoError(f"{printable(cut.source.path)} cannot be decoded at {where}", "It may be damaged there")
    picture = encoded_picture(made, first.frame, cut.source)
    streams, remarks = [_encoded_pictures(cut, picture, itertools.chain([first], frames))], []
    for place, index in enumerate(cut.source.audio_streams):
        sound = sound_of(cut, index, made, stack)
        if sound is None:
            remarks.append(f"lacks audio track {place + 1}: there is no decoder for it")
        else:
            streams.append(sound)
    return streams, remarks


def _pictures(cut: Cut, stack: contextlib.ExitStack, progress: DecodeProgress) -> Iterator[TimedFrame]:
    """The decoded frames of the cut; damage goes into ``progress``."""
    from indexer.decode_pyav import frames_in_order

    info = cut.source.info
    container = cut.source.open(stack)
    stream = container.streams[info.stream_index]
    if info.container not in DECODE_TIME_CONTAINERS:  # frame threads blur the times of those
        stream.thread_type = "AUTO"
    for timed in frames_in_order(container, stream, info, cut.first_seconds, progress):
        if timed.start_seconds >= cut.stop_seconds - _SAME_SECONDS:
            return
        if timed.start_seconds >= cut.first_seconds - _SAME_SECONDS:
            yield timed


def _encoded_pictures(cut: Cut, picture: Any, frames: Iterator[TimedFrame]) -> Iterator[_Ordered]:
    """Packets of the new picture, each frame on screen as long as it was."""
    context = picture.codec_context
    durations: dict[int, int] = {}
    for timed, pts, duration in _placed(cut, frames, context.time_base):
        frame = timed.frame.reformat(format=context.pix_fmt)
        frame.pts, frame.time_base = pts, context.time_base
        frame.pict_type = 0  # the encoder chooses
        durations[pts] = duration
        yield from _ordered(picture.encode(frame), durations)
    yield from _ordered(picture.encode(None), durations)


def _placed(cut: Cut, frames: Iterator[TimedFrame], time_base: Fraction) -> Iterator[tuple[TimedFrame, int, int]]:
    """Frames with start and duration in ticks; the last one lasts to the cut's end."""
    rate, last = cut.source.rate, -1
    waiting: tuple[TimedFrame, int] | None = None
    for timed in frames:
        seconds = rate.on_grid(timed.start_seconds) - rate.on_grid(cut.first_seconds)
        last = max(last + 1, round(seconds / time_base))
        if waiting is not None:
            yield *waiting, last - waiting[1]
        waiting = timed, last
    if waiting is not None:
        end = round((rate.on_grid(cut.stop_seconds) - rate.on_grid(cut.first_seconds)) / time_base)
        yield *waiting, max(1, end - waiting[1])


def _ordered(packets: Iterable[Any], durations: dict[int, int]) -> Iterator[_Ordered]:
    for packet in packets:
        packet.duration = durations.pop(packet.pts, packet.duration)
        yield float(packet.dts * packet.time_base), packet
