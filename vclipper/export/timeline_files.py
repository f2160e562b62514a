"""Timelines through OpenTimelineIO: its own format, EDL (CMX 3600), Final Cut Pro 7 XML (Premiere)."""

from __future__ import annotations

import xml.etree.ElementTree as Xml
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from indexer.discover import one_line, printable
from indexer.errors import VideoError
from vclipper.export.destination import Output
from vclipper.export.moment import ExportMoment, ExportOptions
from vclipper.export.source import Cut, Source, cuts_of
from vclipper.export.timeline import build, first_frame, has_odd_timecode, remark, start_frame, timeline_rate

_MOST_EVENTS = 999
_FASTEST_TIMECODE = 60
_WITH_SOUND = 2
"""Audio tracks of an XML timeline; further channels of a source stay in the source."""


def write_otio(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """OpenTimelineIO's own format: everything, in clips' metadata too."""
    if cuts := noted_cuts(moments, output, options):
        output.text(".otio", build(cuts, options.title).to_json_string(indent=1) + "\n")


def noted_cuts(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> list[Cut]:
    """The frames meant; sources that cannot be counted exactly, or not as their time code says, are noted."""
    cuts = cuts_of(moments, output, options)
    for cut in cuts:
        source, rate = cut.source, cut.source.rate
        name = printable(Path(source.path.name))
        if not rate.is_exact:
            counted = f"its frame rate is {rate.described}; frames are counted at {rate.name} a second"
            output.note(f"{name}: {counted}, so that ends may lie up to one frame late")
        if has_odd_timecode(source):
            told = f"its time code {source.start_timecode} is none at {rate.name} frames a second"
            output.note(f"{name}: {told}; its frames are counted from 00:00:00:00")
    return cuts


def _timecoded_cuts(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> list[Cut]:
    """The frames meant; a source of more frames a second than time codes count becomes a failure of ``output``."""
    cuts = []
    for cut in noted_cuts(moments, output, options):
        if cut.source.rate.per_second > _FASTEST_TIMECODE:
            fast = f"has {cut.source.rate.name} frames a second, time codes count at most {_FASTEST_TIMECODE}"
            output.failure(cut.moment, VideoError(f"{printable(cut.source.path)} {fast}", "Use --format otio"))
        else:
            cuts.append(cut)
    return cuts


# ---- EDL


def write_edl(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """CMX 3600, a file for each frame rate: an EDL counts in one only. It names picture cuts alone."""
    by_rate: dict[tuple[Fraction, bool], list[Cut]] = {}
    for cut in _timecoded_cuts(moments, output, options):
        by_rate.setdefault((cut.source.rate.per_second, cut.source.is_drop_frame), []).append(cut)
    if len(by_rate) > 1:
        output.note("an EDL counts in one frame rate, so there is one for each rate of the videos")
    for cuts in by_rate.values():
        rate, is_drop_frame = timeline_rate(cuts)
        name = f"{rate.name}{'df' if is_drop_frame else ''}"
        stem = output.file_name if len(by_rate) == 1 else f"{output.file_name} {name}"
        if len(cuts) > _MOST_EVENTS:
            output.note(
                f"{stem}.edl has {len(cuts)} events; CMX 3600 counts to {_MOST_EVENTS}, older programs stop there"
            )
        output.text(".edl", _edl(cuts, options.title), stem)


def _edl(cuts: Sequence[Cut], title: str) -> str:
    """As the adapter writes it, but drop-frame only where the source is, with an FCM line, from 01:00:00:00 on."""
    from opentimelineio import adapters

    rate, is_drop_frame = timeline_rate(cuts)
    timeline = build(cuts, " ".join(title.split()), whole_rates=True)
    clips, record = list(timeline.tracks[0]), start_frame(rate, is_drop_frame)
    timeline.tracks[0].insert(0, _leader(timeline))
    for clip, cut in zip(clips, cuts, strict=True):
        clip.media_reference.target_url = ""  # the adapter would turn a name's \ into /
        clip.name = cut.moment.file_name
        clip.metadata["cmx_3600"] = {"reel": "AX", "comments": _comments(cut, record, clip)}
        clip.markers.clear()
        record += cut.frames[1] - cut.frames[0]
    text: str = adapters.write_to_string(timeline, "cmx_3600", style="nucoda")
    first, _, rest = text.partition("\n")
    return f"{first}\nFCM: {'DROP FRAME' if is_drop_frame else 'NON-DROP FRAME'}\n{rest}"


def _leader(timeline: Any) -> Any:
    """A gap up to the timeline's start: the adapter counts record times from zero."""
    from opentimelineio import opentime, schema

    start = timeline.global_start_time
    return schema.Gap(source_range=opentime.TimeRange(opentime.RationalTime(0, start.rate), start))


def _comments(cut: Cut, record: int, clip: Any) -> list[str]:
    """The file, a locator at the moment's first frame, and the words in full."""
    from opentimelineio.opentime import RationalTime, to_timecode

    per_second = clip.source_range.start_time.rate
    place = RationalTime(record + cut.moment_frames[0] - cut.frames[0], per_second)
    return [
        f"FROM FILE: {one_line(cut.source.path)}",
        f"LOC: {to_timecode(place, per_second)} GREEN   {cut.moment.label}",
        *([f"COMMENT: {words}"] if (words := remark(cut)) else []),
    ]


# ---- Final Cut Pro 7 XML


def write_premiere(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """Final Cut Pro 7 XML, which Premiere Pro and DaVinci Resolve read."""
    from opentimelineio import adapters

    if cuts := _timecoded_cuts(moments, output, options):
        text = adapters.write_to_string(_premiere(cuts, options.title), "fcp_xml")
        output.text(".xml", _linked(text))


def _premiere(cuts: Sequence[Cut], title: str) -> Any:
    """The timeline with what the adapter takes from metadata: picture size, drop-frame, channels, ids, links."""
    timeline = build(cuts, title)
    _, is_drop_frame = timeline_rate(cuts)
    timeline.metadata["fcp_xml"] = {
        "timecode": _display(is_drop_frame),
        "media": {"video": {"format": {"samplecharacteristics": _size(cuts[0].source)}}},
    }
    picture, *sounds = timeline.tracks
    tracks = [picture, *_channel_tracks(timeline, sounds, cuts)]
    for place, cut in enumerate(cuts):
        used = tracks[: 1 + _channels(cut)]
        for number, track in enumerate(used):
            _describe(track[place], cut, place, number)
    return timeline


def _channel_tracks(timeline: Any, sounds: Sequence[Any], cuts: Sequence[Cut]) -> list[Any]:
    """An audio track for each channel, as this format has it: gaps where a source has fewer."""
    from opentimelineio import schema

    tracks = list(sounds)
    while tracks and len(tracks) < max(map(_channels, cuts)):
        track = sounds[0].deepcopy()
        track.name = f"A{len(tracks) + 1}"
        for place, cut in enumerate(cuts):
            if _channels(cut) <= len(tracks):
                track[place] = schema.Gap(source_range=track[place].source_range)
        timeline.tracks.append(track)
        tracks.append(track)
    return tracks


def _channels(cut: Cut) -> int:
    """How many audio tracks a clip is on."""
    return min(_WITH_SOUND, sum(cut.source.audio_channels[:1]))


def _describe(clip: Any, cut: Cut, place: int, number: int) -> None:
    """Ids that differ (the adapter empties clips that look alike), the source's channel, words, media."""
    clip.metadata["fcp_xml"] = {
        "@id": f"clipitem-{place * (1 + _WITH_SOUND) + number + 1}",
        "sourcetrack": {"mediatype": "audio" if number else "video", "trackindex": str(max(1, number))},
        "comments": {"mastercomment1": cut.moment.query, "mastercomment2": remark(cut)},
    }
    source = cut.source
    media: dict[str, Any] = {"video": {"samplecharacteristics": _size(source)}}
    if source.audio_channels:
        media["audio"] = {"channelcount": str(source.audio_channels[0])}
    clip.media_reference.metadata["fcp_xml"] = {"timecode": _display(source.is_drop_frame), "media": media}
    for marker in clip.markers:
        marker.metadata["fcp_xml"] = {"comment": marker.comment}
        zero = first_frame(source)
        start = marker.marked_range.start_time
        marker.marked_range = type(marker.marked_range)(
            start - type(start)(zero, start.rate), marker.marked_range.duration
        )


def _linked(text: str) -> str:
    """The adapter leaves out the links that hold picture and sound of a clip together, and says its rate twice."""
    root = Xml.fromstring(text)  # noqa: S314 - written above, by us
    for item in root.iter("clipitem"):
        for rate in item.findall("rate")[1:]:
            item.remove(rate)
    together: dict[int, list[tuple[Xml.Element, Xml.Element]]] = {}
    for kind in ("video", "audio"):
        for number, track in enumerate(root.findall(f".//media/{kind}/track"), 1):
            for place, item in enumerate(track.findall("clipitem"), 1):
                link = Xml.Element("link")
                where = (item.get("id"), kind, number, place)
                for name, value in zip(
                    ("linkclipref", "mediatype", "trackindex", "clipindex"), where, strict=True
                ):
                    Xml.SubElement(link, name).text = str(value)
                group = (int(str(item.get("id")).rpartition("-")[2]) - 1) // (1 + _WITH_SOUND)
                together.setdefault(group, []).append((item, link))
    for linked in together.values():
        for item, _ in linked:
            item.extend([link for _, link in linked] if len(linked) > 1 else [])
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n{Xml.tostring(root, encoding="unicode")}\n'


def _display(is_drop_frame: bool) -> dict[str, str]:
    return {"displayformat": "DF" if is_drop_frame else "NDF"}


def _size(source: Source) -> dict[str, str]:
    return {"width": str(source.info.width), "height": str(source.info.height)}
