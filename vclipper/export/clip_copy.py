"""Clips without encoding: the stored packets from the last keyframe before the wanted frame on."""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from indexer.container import DECODE_TIME_CONTAINERS
from indexer.discover import printable
from indexer.errors import VideoError
from vclipper.export.source import Cut, Source
from vclipper.export.stored import FrameReader, StoredFrame, TimedPacket

_SUFFIXES = {"matroska": ".mkv", "mp4": ".mp4", "mpegts": ".ts", "mpeg": ".mpg", "flv": ".flv", "avi": ".avi"}
_MUXERS = {
    ".mkv": "matroska",
    ".webm": "webm",
    ".mp4": "mp4",
    ".mov": "mov",
    ".ts": "mpegts",
    ".mpg": "mpeg",
    ".flv": "flv",
    ".avi": "avi",
}
"""PyAV would judge by the temporary file's name."""
_REORDERED_FRAMES = 4
_SAME = 1e-6
"""Two times in seconds closer than this are one."""

_Ordered: TypeAlias = tuple[float, Any]
"""When a packet is to be decoded, in seconds, and the packet."""


def copied_suffix(source: Source) -> str:
    """The suffix of a copied clip: the source's where its name says what it is."""
    usual = _SUFFIXES.get(source.info.container, ".mkv")
    own = source.path.suffix.lower()
    return own if own in {".mov", ".webm"} and usual in {".mp4", ".mkv"} else usual


@dataclass(frozen=True)
class _Part:
    """What is copied.

    Attributes:
        start_seconds: when the keyframe is shown with which it begins.
        frames: from the keyframe on, in the order they are stored.
        end_seconds: when the last of them ends.
    """

    start_seconds: float
    frames: Sequence[StoredFrame]
    end_seconds: float


def write_copy(cut: Cut, target: Path) -> list[str]:
    """Copy picture and sound of a moment, from the last keyframe at or before its first frame on.

    Returns:
        how far the clip begins before and ends after the moment, where it does.

    Raises:
        VideoError: the container cannot hold these streams, or nothing can be copied.
    """
    import av

    part = _part(cut)
    path, suffix = cut.source.path, copied_suffix(cut.source)
    try:
        with contextlib.ExitStack() as stack:
            given = cut.source.open(stack)
            made = stack.enter_context(av.open(str(target), "w", format=_MUXERS[suffix]))
            picture = _copied_stream(made, given.streams[cut.source.info.stream_index])
            sounds = [(sound, _copied_stream(made, sound)) for sound in given.streams.audio]
            streams = [_picture_packets(cut, part, picture, stack)]
            streams += [_sound_packets(cut, part, sound.index, copied, stack) for sound, copied in sounds]
            for _, packet in heapq.merge(*streams, key=lambda timed: timed[0]):
                made.mux(packet)
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{printable(path)} cannot be copied into {suffix}: {reason}", "Use --exact") from error
    return _remarks(cut, part)


def _part(cut: Cut) -> _Part:
    frames, slack = cut.stretch.frames, _order_slack_seconds(cut.source)
    start, stop = max(0.0, cut.first_seconds - slack) + _SAME, cut.stop_seconds + slack - _SAME
    keys = [k for k, frame in enumerate(frames) if frame.is_keyframe and frame.start_seconds <= start]
    if not keys:
        raise VideoError(f"{printable(cut.source.path)} has no keyframe before the moment", "Use --exact")
    last = _closed(frames, max(k for k, frame in enumerate(frames) if frame.start_seconds < stop))
    copied = frames[keys[-1] : last + 1]
    latest = max(copied)
    return _Part(
        copied[0].start_seconds,
        copied,
        latest.start_seconds + (latest.duration_seconds or cut.source.step_seconds),
    )


def _order_slack_seconds(source: Source) -> float:
    """Formats that store no presentation times may show a frame some frames later than they say."""
    is_blurred = source.info.container in DECODE_TIME_CONTAINERS and source.info.has_b_frames
    return _REORDERED_FRAMES * source.step_seconds if is_blurred else 0.0


def _closed(frames: Sequence[StoredFrame], last: int) -> int:
    """The first place at or after ``last`` where nothing stored later is shown earlier: no gap at the end."""
    starts = [frame.start_seconds for frame in frames]
    earliest_from = [*itertools.accumulate(reversed(starts), min)][::-1]
    latest = max(starts[: last + 1])
    while last + 1 < len(starts) and earliest_from[last + 1] < latest:
        last += 1
        latest = max(latest, starts[last])
    return last


def _copied_stream(made: Any, given: Any) -> Any:
    """A stream like ``given``: codec, colours, display matrix and language."""
    stream = made.add_stream_from_template(given, opaque=True)
    if given.type == "video" and given.codec_context.name == "hevc" and made.format.name in {"mp4", "mov"}:
        stream.codec_context.codec_tag = "hvc1"  # the only tag that Apple's players take
    if given.language:
        stream.metadata["language"] = given.language
    return stream


def _packets_of(
    cut: Cut, stream_index: int, from_seconds: float, stack: contextlib.ExitStack
) -> Iterator[TimedPacket]:
    """Packets of one stream with their times, read from a container of its own."""
    container = cut.source.open(stack)
    reader = FrameReader(container, container.streams[stream_index], cut.source.info, cut.source.step_seconds)
    return reader.packets_from(max(0.0, from_seconds))


def _picture_packets(cut: Cut, part: _Part, copied: Any, stack: contextlib.ExitStack) -> Iterator[_Ordered]:
    """From the keyframe on; frames shown before it are left out: they need what is not there."""
    packets = _packets_of(cut, cut.source.info.stream_index, cut.first_seconds, stack)
    from_key = itertools.dropwhile(lambda one: one[0].start_seconds != part.start_seconds, packets)
    stored = itertools.islice(from_key, len(part.frames))
    shown = [frame for frame in part.frames if frame.start_seconds >= part.start_seconds]
    decode_seconds = iter(_decode_seconds([frame.start_seconds for frame in shown]))
    for frame, packet in stored:
        if frame.start_seconds >= part.start_seconds:
            yield _moved(frame, packet, next(decode_seconds), part, copied)


def _decode_seconds(starts_seconds: Sequence[float]) -> list[float]:
    """Decode times for frames shown at these times, given in the order of decoding.

    Some demuxers only guess them. They rise, and none is later than the frame is shown: the times themselves in
    order, moved back as far as the most delayed frame needs.
    """
    in_order = sorted(starts_seconds)
    delay = max(early - shown for early, shown in zip(in_order, starts_seconds, strict=True))
    return [seconds - delay for seconds in in_order]


def _sound_packets(
    cut: Cut, part: _Part, index: int, copied: Any, stack: contextlib.ExitStack
) -> Iterator[_Ordered]:
    """What begins while the clip lasts."""
    for frame, packet in _packets_of(cut, index, part.start_seconds, stack):
        if frame.start_seconds >= cut.stop_seconds:
            break
        if frame.start_seconds >= part.start_seconds:
            yield _moved(frame, packet, frame.start_seconds, part, copied)


def _moved(frame: StoredFrame, packet: Any, decode_seconds: float, part: _Part, copied: Any) -> _Ordered:
    """A packet of the new file, in which the keyframe is the start; with when it is to be decoded."""
    if packet.pts is None and packet.dts is None:
        raise ValueError("it stores no times")
    packet.dts = round((decode_seconds - part.start_seconds) / packet.time_base)
    packet.pts = round((frame.start_seconds - part.start_seconds) / packet.time_base)
    packet.stream = copied
    return decode_seconds, packet


def _remarks(cut: Cut, part: _Part) -> list[str]:
    before, after = cut.first_seconds - part.start_seconds, part.end_seconds - cut.stop_seconds
    remarks = []
    if before > _SAME:
        remarks.append(f"begins {before:.2f} s before the moment, at the keyframe before it")
    if after > _SAME:
        remarks.append(f"ends {after:.2f} s after it")
    return remarks
