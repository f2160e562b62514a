"""Decode with PyAV: forward through the file, skipping what nobody sees where that is safe.

Where a file turns out damaged or not made as its header says, every frame is decoded instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from indexer.clock import Clock, TimedFrame
from indexer.container import DECODE_TIME_CONTAINERS, DISCONTINUOUS_CONTAINERS, open_container, packet_at
from indexer.frames import SLACK_SECONDS
from indexer.keyframes import is_clean_start
from indexer.packet_skipping import NotAsExpectedError, SampleTimes, Selection, may_skip_packets, wanted_packets
from indexer.picture import FramePicture
from indexer.video_types import EXACT, DecodeProgress, SampledFrame, Samples, Shortcuts, VideoInfo

_DEMUX_RETRIES = 16

_Strategy: TypeAlias = Callable[[Any, Any, VideoInfo, SampleTimes, DecodeProgress], Iterator[TimedFrame]]
"""One way to read a file: (container, stream, info, sampled times, progress) → frames in display order."""


def pyav_samples(
    path: Path,
    info: VideoInfo,
    period_seconds: float,
    threads: int,
    progress: DecodeProgress,
    shortcuts: Shortcuts = EXACT,
) -> Samples:
    """The sampled frames from ``progress.next_index`` on; damage goes into ``progress``.

    Where a file turns out damaged, frames are shown at their times from there on.
    """
    way = threads, shortcuts.loop_filter
    if may_skip_packets(info):
        times = SampleTimes(period_seconds, shortcuts.tolerance_seconds)
        try:
            yield from _pyav_pass(path, info, times, way, progress, _wanted_only)
        except NotAsExpectedError:
            pass
        else:
            return
    yield from _pyav_pass(path, info, SampleTimes(period_seconds), way, progress, _in_order)


def _pyav_pass(
    path: Path,
    info: VideoInfo,
    times: SampleTimes,
    way: tuple[int, bool],
    progress: DecodeProgress,
    strategy: _Strategy,
) -> Samples:
    """One reading of the file, which gives the samples from ``progress.next_index`` on.

    ``way``: the number of threads, and whether with the loop filter.
    """
    from av.video.reformatter import VideoReformatter

    with open_container(path) as container:
        stream = container.streams[info.stream_index]
        _set_up(stream, info, *way)
        frames = strategy(container, stream, info, times, progress)
        scaler = VideoReformatter()
        for index, frame in _shown_at(frames, times, progress):
            progress.next_index = index + 1
            yield SampledFrame(index, FramePicture(frame, info, scaler))


def _set_up(stream: Any, info: VideoInfo, threads: int, loop_filter: bool) -> None:
    if not loop_filter:
        stream.codec_context.options = {"skip_loop_filter": "all"}
    stream.thread_count = threads
    # Frame threads blur the decode times on which formats without presentation times depend.
    stream.thread_type = "SLICE" if info.container in DECODE_TIME_CONTAINERS else "AUTO"


def _shown_at(
    frames: Iterator[TimedFrame], times: SampleTimes, progress: DecodeProgress
) -> Iterator[tuple[int, Any]]:
    """Which frame is on screen at each sampled time from ``progress.next_index`` on."""
    index = progress.next_index
    current: TimedFrame | None = None
    for timed in frames:
        while current is not None and times.of(index) < timed.start_seconds - SLACK_SECONDS:
            yield index, current.frame
            index += 1
        current = timed
        progress.end_seconds = timed.end_seconds
    while current is not None and (index == 0 or times.due(index) < progress.end_seconds - SLACK_SECONDS):
        yield index, current.frame
        index += 1


def _wanted_only(
    container: Any, stream: Any, info: VideoInfo, times: SampleTimes, progress: DecodeProgress
) -> Iterator[TimedFrame]:
    """As :func:`_in_order`, but what is stored after a group's last wanted frame is not decoded.

    Raises:
        NotAsExpectedError: something is odd; the samples given so far are right.
    """
    import av

    clock = Clock(info, stream.time_base, info.first_stamp_seconds)
    selection = Selection(info, times, progress.next_index)
    try:
        for packet in wanted_packets(container, stream, info, selection):
            frames = stream.decode(packet)
            if packet is None:
                stream.codec_context.flush_buffers()
            for frame in frames:
                yield _expected(clock.timed(frame), frame, info)
    except (av.FFmpegError, OSError) as error:
        raise NotAsExpectedError from error
    progress.end_seconds = selection.end_seconds


def _expected(timed: TimedFrame | None, frame: Any, info: VideoInfo) -> TimedFrame:
    if timed is None or frame.is_corrupt:
        raise NotAsExpectedError
    return timed


def _in_order(
    container: Any, stream: Any, info: VideoInfo, times: SampleTimes, progress: DecodeProgress
) -> Iterator[TimedFrame]:
    """Every frame from the start or the one reached."""
    return frames_in_order(container, stream, info, times.due(progress.next_index), progress)


def frames_in_order(
    container: Any, stream: Any, info: VideoInfo, from_seconds: float, progress: DecodeProgress
) -> Iterator[TimedFrame]:
    """Every frame with its time, from a clean start at or before ``from_seconds`` on.

    Damage is noted in ``progress`` and passed over.
    """
    zero = _jump_to(container, stream, info, from_seconds)
    clock = Clock(info, stream.time_base, zero)
    for packet in _packets(container, stream, info, progress):
        for frame in _decoded(packet, stream, info, clock, progress):
            timed = clock.timed(frame)
            if timed is not None:
                yield timed


def _jump_to(container: Any, stream: Any, info: VideoInfo, seconds: float) -> float | None:
    """Go to the last clean start before ``seconds``, so that a late failure does not cost the whole again.

    Returns what the file's clock says at its first frame; None where the decoding begins at the start.
    """
    if seconds <= 0 or info.first_stamp_seconds is None or not may_skip_packets(info):
        return None
    place = int((info.first_stamp_seconds + seconds) / stream.time_base)
    packet = packet_at(container, stream, place)
    is_right = (
        packet is not None
        and packet.pts is not None
        and packet.pts <= place
        and is_clean_start(packet, info.codec, stream.codec_context.extradata)
    )
    container.seek(packet.pts if is_right else int(stream.start_time or 0), stream=stream)
    return info.first_stamp_seconds if is_right else None


def _packets(container: Any, stream: Any, info: VideoInfo, progress: DecodeProgress) -> Iterator[Any]:
    """Packets to the end of the file, the last one empty (it drains the decoder)."""
    import av

    for _ in range(_DEMUX_RETRIES):
        try:
            for packet in container.demux(stream):
                # Where two recordings were joined, MPEG-TS counts as corrupt what is not.
                if packet.is_corrupt and info.container not in DISCONTINUOUS_CONTAINERS:
                    progress.note("a corrupt packet")
                yield packet
        except (av.FFmpegError, OSError) as error:  # noqa: PERF203
            progress.note(str(getattr(error, "strerror", None) or error))
        else:
            return
    yield None


def _decoded(packet: Any, stream: Any, info: VideoInfo, clock: Clock, progress: DecodeProgress) -> list[Any]:
    import av

    try:
        frames: list[Any] = stream.decode(packet)
    except (av.FFmpegError, EOFError) as error:
        # A recording of a broadcast begins in the middle of a group of pictures: no damage.
        if clock.has_started or info.container not in DISCONTINUOUS_CONTAINERS:
            progress.note(str(getattr(error, "strerror", None) or error))
        return []
    if any(frame.is_corrupt for frame in frames):
        progress.note("a corrupt frame")
    return frames
