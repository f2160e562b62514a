"""Moments as an OpenTimelineIO timeline, one after the other, each a clip of its source.

Times in a source count from its start time code (0 where it has none), as editing programs count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from vclipper.export.rates import DROP_RATES, FrameRate
from vclipper.export.source import Cut, Source

START_SECONDS = 3600
"""Timelines begin at 01:00:00:00, as tapes did."""


def timeline_rate(cuts: Sequence[Cut]) -> tuple[FrameRate, bool]:
    """The commonest rate of the sources, and whether most of those count drop-frame."""
    counted = Counter((cut.source.rate.per_second, cut.source.is_drop_frame) for cut in cuts)
    commonest = counted.most_common(1)[0][0]
    rate = next(cut.source.rate for cut in cuts if cut.source.rate.per_second == commonest[0])
    return rate, commonest[1]


def start_frame(rate: FrameRate, is_drop_frame: bool) -> int:
    """The frame that is called 01:00:00:00."""
    whole = round(rate.per_second)
    dropped = 108 * (2 if whole == 60 else 1) if is_drop_frame and rate.per_second in DROP_RATES else 0
    return START_SECONDS * whole - dropped


def first_frame(source: Source) -> int:
    """The number that a source's time code gives its first frame; 0 where it has none that can be read."""
    return _coded_frame(source) or 0


def has_odd_timecode(source: Source) -> bool:
    """Whether a source has a time code that cannot be read: of a rate other than the picture's, or nonsense."""
    return bool(source.start_timecode) and _coded_frame(source) is None


def _coded_frame(source: Source) -> int | None:
    from opentimelineio.opentime import from_timecode

    code = source.start_timecode if source.is_drop_frame else source.start_timecode.replace(";", ":")
    try:
        return int(from_timecode(code, float(source.rate.per_second)).value)
    except ValueError:
        return None


def build(cuts: Sequence[Cut], title: str, *, whole_rates: bool = False) -> Any:
    """A timeline with a picture track and, where sources have sound, an audio track.

    Args:
        cuts: in order.
        title: its name.
        whole_rates: count non-drop 29.97 as 30 and so on, as time codes do: the numbers are the same.
    """
    from opentimelineio import schema

    rate, is_drop_frame = timeline_rate(cuts)
    start = _time(start_frame(rate, is_drop_frame), _counted(rate, is_drop_frame, whole_rates))
    timeline = schema.Timeline(name=title, global_start_time=start)
    picture = schema.Track(name="V1", kind=schema.TrackKind.Video)
    sound = schema.Track(name="A1", kind=schema.TrackKind.Audio)
    for cut in cuts:
        per_second = _counted(cut.source.rate, cut.source.is_drop_frame, whole_rates)
        picture.append(_clip(cut, per_second, with_marker=True))
        sound.append(
            _clip(cut, per_second, with_marker=False) if cut.source.audio_channels else _gap(cut, per_second)
        )
    timeline.tracks.append(picture)
    if any(cut.source.audio_channels for cut in cuts):
        timeline.tracks.append(sound)
    return timeline


def _counted(rate: FrameRate, is_drop_frame: bool, whole_rates: bool) -> float:
    return float(round(rate.per_second) if whole_rates and not is_drop_frame else rate.per_second)


def _time(frame: int, per_second: float) -> Any:
    from opentimelineio.opentime import RationalTime

    return RationalTime(frame, per_second)


def _range(first: int, stop: int, per_second: float) -> Any:
    from opentimelineio.opentime import TimeRange

    return TimeRange(_time(first, per_second), _time(stop - first, per_second))


def _clip(cut: Cut, per_second: float, *, with_marker: bool) -> Any:
    from opentimelineio import schema

    source, zero = cut.source, first_frame(cut.source)
    first, stop = cut.frames
    length = max(stop, source.rate.frame(source.duration_seconds))
    media = schema.ExternalReference(
        target_url=source.path.as_uri(), available_range=_range(zero, zero + length, per_second)
    )
    media.name = cut.moment.file_name
    clip = schema.Clip(
        name=cut.moment.file_name,
        media_reference=media,
        source_range=_range(zero + first, zero + stop, per_second),
        metadata={"vclipper": facts(cut)},
    )
    if with_marker:
        moment_first, moment_stop = cut.moment_frames
        clip.markers.append(
            schema.Marker(
                name=cut.moment.label,
                marked_range=_range(zero + moment_first, zero + moment_stop, per_second),
                color=schema.MarkerColor.GREEN,
                comment=remark(cut),
                metadata={"vclipper": facts(cut)},
            )
        )
    return clip


def _gap(cut: Cut, per_second: float) -> Any:
    from opentimelineio import schema

    first, stop = cut.frames
    return schema.Gap(source_range=_range(0, stop - first, per_second))


def facts(cut: Cut) -> dict[str, Any]:
    """What VClipper knows of a clip, for the metadata."""
    return {
        "query": cut.moment.query,
        "score": cut.moment.score,
        "note": cut.moment.note,
        "source_rate": cut.source.rate.described,
        "counted_at": cut.source.rate.name,
        "start_timecode": cut.source.start_timecode,
    }


def remark(cut: Cut) -> str:
    """Score and note in one line, and how the frames are counted where that is not the source's own rate."""
    rate = cut.source.rate
    counted = "" if rate.is_own else f"{rate.described} frame rate, counted at {rate.name}"
    return "; ".join(filter(None, [cut.moment.comment, counted]))
