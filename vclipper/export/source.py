"""The videos behind the moments: their clocks, rates and time codes, and which frames a moment means."""

from __future__ import annotations

import bisect
import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.container import DECODE_TIME_CONTAINERS
from indexer.discover import printable
from indexer.errors import VideoError
from vclipper.export.destination import Output
from vclipper.export.footage import Footage
from vclipper.export.moment import ExportMoment, ExportOptions
from vclipper.export.rates import DROP_RATES, FrameRate, frame_rate
from vclipper.export.stored import FrameReader, Stretch

if TYPE_CHECKING:
    from indexer.video_types import VideoInfo

_SLACK_SECONDS = 1e-3
_ROUNDING = 1e-3
"""Sums of binary fractions may lie just below the whole number meant."""


@dataclass(frozen=True)
class Source:
    """One video file.

    Attributes:
        path: the file. info: what probing said.
        rate: how its frames are counted.
        duration_seconds: of the picture.
        start_timecode: what the file calls its first frame, such as ``01:00:00;00``; empty where it does not.
        audio_streams: which of the file's streams are sound. audio_channels: of each of them.
        time_base: in which the file counts the picture's times, in seconds.
        clock_seconds: what the file's own clock says at the first frame shown.
        lead_seconds: from the start of the file's first stream, be it sound, to the first frame shown.
        footage: where the file is read.
    """

    path: Path
    info: VideoInfo
    rate: FrameRate
    duration_seconds: float
    start_timecode: str = ""
    audio_streams: tuple[int, ...] = ()
    audio_channels: tuple[int, ...] = ()
    time_base: Fraction = Fraction(1, 90_000)
    clock_seconds: float = 0.0
    lead_seconds: float = 0.0
    footage: Footage = field(default_factory=Footage)

    def open(self, stack: contextlib.ExitStack) -> Any:
        """The file in a container of its own, closed with ``stack``.

        Raises:
            VideoError: it may not be read any more.
        """
        from indexer.container import open_container

        return stack.enter_context(open_container(stack.enter_context(self.footage.opened(self.path))))

    @property
    def is_drop_frame(self) -> bool:
        """Whether its time codes leave out numbers, so that they follow the clock."""
        return ";" in self.start_timecode and self.rate.per_second in DROP_RATES

    @property
    def step_seconds(self) -> float:
        """From one frame to the next."""
        return 1 / float(self.rate.per_second)


@dataclass(frozen=True)
class Cut:
    """Which frames of a source a moment means.

    Attributes:
        moment, source: whose.
        first_seconds: when the first frame of the padded moment begins.
        stop_seconds: when the first frame after it begins, or the picture ends.
        moment_first_seconds, moment_stop_seconds: the same without padding.
        stretch: the frames around it, as stored.
    """

    moment: ExportMoment
    source: Source
    first_seconds: float
    stop_seconds: float
    moment_first_seconds: float
    moment_stop_seconds: float
    stretch: Stretch

    @property
    def frames(self) -> tuple[int, int]:
        """First frame and first frame after it, at the source's rate."""
        first = self.source.rate.frame(self.first_seconds)
        return first, max(first + 1, self.source.rate.frame(self.stop_seconds))

    @property
    def moment_frames(self) -> tuple[int, int]:
        """The same without padding."""
        first = self.source.rate.frame(self.moment_first_seconds)
        return first, max(first + 1, self.source.rate.frame(self.moment_stop_seconds))

    def milliseconds_from(self, zero_seconds: float) -> tuple[int, int]:
        """Start and end where the source's first frame is at ``zero_seconds``.

        Rounded down: a player that jumps there shows the frame that begins next.
        """
        first, stop = (zero_seconds + seconds for seconds in (self.first_seconds, self.stop_seconds))
        return math.floor(1000 * first + _ROUNDING), math.floor(1000 * stop + _ROUNDING)


def cuts_of(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> list[Cut]:
    """The frames meant, in the order of the moments; each file is opened once.

    A moment whose file is away or damaged, or that lies behind the video's end, becomes a failure of ``output``.
    """
    places: dict[Path, list[int]] = {}
    for place, moment in enumerate(moments):
        places.setdefault(moment.path, []).append(place)
    found: dict[int, Cut] = {}
    for path, some in places.items():
        found.update(_cuts_in(path, {place: moments[place] for place in some}, output, options))
    return [found[place] for place in sorted(found)]


def whole_video(path: Path) -> Cut:
    """All frames of a file as one cut; its ``stretch`` is left empty.

    Raises:
        VideoError: the file cannot be read.
    """
    with _opened(path, Footage()) as (source, _):
        end = source.duration_seconds
        return Cut(ExportMoment(path, 0.0, end), source, 0.0, end, 0.0, end, Stretch((), True))


def _cuts_in(
    path: Path, moments: dict[int, ExportMoment], output: Output, options: ExportOptions
) -> Iterator[tuple[int, Cut]]:
    try:
        with _opened(path, options.footage) as (source, reader):
            for place, moment in moments.items():
                if cut := _cut_or_failure(moment, source, reader, options.pad_seconds, output):
                    yield place, cut
    except VideoError as error:
        for moment in moments.values():
            output.failure(moment, error)


def _cut_or_failure(
    moment: ExportMoment, source: Source, reader: FrameReader, pad_seconds: float, output: Output
) -> Cut | None:
    try:
        return _cut(moment, source, reader, pad_seconds)
    except VideoError as error:
        output.failure(moment, error)
        return None


@contextlib.contextmanager
def _opened(path: Path, footage: Footage) -> Iterator[tuple[Source, FrameReader]]:
    from indexer.clock import usual_step
    from indexer.container import open_container
    from indexer.probe import probe

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(footage.opened(path))
        info = probe(file)
        container = stack.enter_context(open_container(file))
        stream = container.streams[info.stream_index]
        reader = FrameReader(container, stream, info, usual_step(info))
        yield replace(_source(path, info, container, stream, reader), footage=footage), reader


def _source(path: Path, info: VideoInfo, container: Any, stream: Any, reader: FrameReader) -> Source:
    head = reader.head()
    told = [stream.guessed_rate, stream.average_rate, stream.base_rate]
    rate = frame_rate(head.gapless_seconds, [Fraction(r) if r else None for r in told])
    clock, lead = _clock_and_lead(info, container)
    return Source(
        path=path,
        info=info,
        rate=rate,
        duration_seconds=_duration(info, head, reader, 1 / float(rate.per_second)),
        start_timecode=_start_timecode(container, stream),
        audio_streams=tuple(audio.index for audio in container.streams.audio),
        time_base=Fraction(stream.time_base),
        clock_seconds=clock,
        lead_seconds=lead,
        audio_channels=tuple(audio.codec_context.channels for audio in container.streams.audio),
    )


def _duration(info: VideoInfo, head: Stretch, reader: FrameReader, step_seconds: float) -> float:
    """Of the picture: to the end of its last frame, or as the header tells it."""
    if head.reaches_end:
        return head.end_seconds(step_seconds)
    return info.duration_seconds or reader.everything().end_seconds(step_seconds)


def _clock_and_lead(info: VideoInfo, container: Any) -> tuple[float, float]:
    """When the first frame is shown: on the file's own clock, and after the start of the file's first stream."""
    stamp = info.first_stamp_seconds
    if stamp is None or info.container in DECODE_TIME_CONTAINERS:  # no clock, so all streams begin together
        return 0.0, 0.0
    return stamp, 0.0 if container.start_time is None else max(0.0, stamp - container.start_time / 1_000_000)


def _start_timecode(container: Any, stream: Any) -> str:
    """The time code of a track of its own (MOV, MP4), of the stream, or of the whole file (MKV, MXF)."""
    tagged = [stream.metadata, container.metadata, *(data.metadata for data in container.streams.data)]
    for tags in tagged:
        for name, value in tags.items():
            if name.lower() == "timecode" and len(value) >= 11:
                return str(value)
    return ""


def _cut(moment: ExportMoment, source: Source, reader: FrameReader, pad_seconds: float) -> Cut:
    wanted_start = max(0.0, moment.start_seconds - pad_seconds)
    wanted_end = moment.end_seconds + pad_seconds
    stretch = reader.around(wanted_start, wanted_end)
    starts, end = stretch.starts_seconds, stretch.end_seconds(source.step_seconds)
    if not starts or moment.start_seconds >= end - _SLACK_SECONDS:
        raise VideoError(f"{printable(source.path)} has nothing at {moment.start_seconds:.1f} s", "Index it again")
    first, stop = _meant(wanted_start, wanted_end, starts, end)
    moment_first, moment_stop = _meant(moment.start_seconds, moment.end_seconds, starts, end)
    rate = source.rate
    if rate.is_own and not _on_grid([first, stop], rate):
        source = replace(source, rate=replace(rate, is_own=False, described="variable", is_exact=False))
    return Cut(moment, source, first, stop, moment_first, moment_stop, stretch)


def _meant(start: float, end: float, starts: Sequence[float], picture_end: float) -> tuple[float, float]:
    """Start of the frame shown at ``start``; start of the one shown at ``end``, which no longer belongs."""
    first = max(0, bisect.bisect_right(starts, start + _SLACK_SECONDS) - 1)
    if end >= picture_end - _SLACK_SECONDS:
        return starts[first], picture_end
    stop = max(first + 1, bisect.bisect_right(starts, end + _SLACK_SECONDS) - 1)
    return starts[first], starts[stop] if stop < len(starts) else picture_end


def _on_grid(seconds: Sequence[float], rate: FrameRate) -> bool:
    places = [float(one * rate.per_second) for one in seconds]
    return all(abs(place - round(place)) < 0.25 for place in places)
