"""FCPXML for Final Cut Pro and DaVinci Resolve.

Written here, not by OpenTimelineIO's adapter (otio-fcpx-xml-adapter 1.0.0): that one knows no true NTSC rates,
places clips of sources with a time code outside their media, and breaks on an apostrophe in a name.
"""

from __future__ import annotations

import xml.etree.ElementTree as Xml
from collections.abc import Sequence
from fractions import Fraction

from vclipper.export.destination import Output
from vclipper.export.moment import ExportMoment, ExportOptions
from vclipper.export.rates import FrameRate
from vclipper.export.source import Cut, Source
from vclipper.export.timeline import first_frame, remark, timeline_rate
from vclipper.export.timeline_files import noted_cuts

_VERSION = "1.8"
"""Final Cut Pro 10.4 and all later ones read it, Resolve too."""
_CONTROL = {code: None for code in range(32) if code not in (9, 10, 13)}
"""Characters that XML 1.0 cannot hold."""


def write_fcpxml(moments: Sequence[ExportMoment], output: Output, options: ExportOptions) -> None:
    """One project whose clips follow each other; the moment itself is a marker on its clip."""
    if cuts := noted_cuts(moments, output, options):
        document = _document(cuts, options.title)
        Xml.indent(document)
        text = Xml.tostring(document, encoding="unicode")
        output.text(".fcpxml", f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n')


def _document(cuts: Sequence[Cut], title: str) -> Xml.Element:
    rate, is_drop_frame = timeline_rate(cuts)
    root = Xml.Element("fcpxml", version=_VERSION)
    resources = _Resources(Xml.SubElement(root, "resources"))
    event = Xml.SubElement(Xml.SubElement(root, "library"), "event", name=_text(title))
    project = Xml.SubElement(event, "project", name=_text(title))
    sequence = Xml.SubElement(project, "sequence", format=resources.format_of(cuts[0].source, rate))
    sequence.attrib |= {"tcStart": "0s", "tcFormat": _display(is_drop_frame)}
    spine, place = Xml.SubElement(sequence, "spine"), 0
    for cut in cuts:
        length = _frames_in(cut, rate)
        clip = _clip(cut, resources)
        clip.attrib |= {"offset": _time(place, rate), "duration": _time(length, rate)}
        spine.append(clip)
        place += length
    sequence.set("duration", _time(place, rate))
    return root


def _frames_in(cut: Cut, rate: FrameRate) -> int:
    """How many frames of the timeline a cut lasts; at least one."""
    first, stop = cut.frames
    return max(1, round((stop - first) * rate.per_second / cut.source.rate.per_second))


def _clip(cut: Cut, resources: _Resources) -> Xml.Element:
    source, zero = cut.source, first_frame(cut.source)
    clip = Xml.Element("asset-clip", name=_text(source.path.name), ref=resources.asset_of(source))
    clip.attrib |= {
        "format": resources.format_of(source, source.rate),
        "start": _time(zero + cut.frames[0], source.rate),
        "tcFormat": _display(source.is_drop_frame),
    }
    Xml.SubElement(clip, "note").text = _text(": ".join(filter(None, [cut.moment.label, remark(cut)])))
    first, stop = cut.moment_frames
    Xml.SubElement(
        clip,
        "marker",
        start=_time(zero + first, source.rate),
        duration=_time(stop - first, source.rate),
        value=_text(cut.moment.label),
        note=_text(remark(cut)),
    )
    return clip


class _Resources:
    """Formats and assets, each listed once."""

    def __init__(self, element: Xml.Element) -> None:
        self._element = element
        self._ids: dict[object, str] = {}

    def format_of(self, source: Source, rate: FrameRate) -> str:
        """The id of a format: picture size and frame rate."""
        size = source.info.width, source.info.height
        key = "format", size, rate.per_second
        if key not in self._ids:
            self._ids[key] = f"r{len(self._ids) + 1}"
            Xml.SubElement(
                self._element,
                "format",
                id=self._ids[key],
                frameDuration=f"{rate.per_second.denominator * 100}/{rate.per_second.numerator * 100}s",
                width=str(size[0]),
                height=str(size[1]),
            )
        return self._ids[key]

    def asset_of(self, source: Source) -> str:
        """The id of a source file."""
        format_id = self.format_of(source, source.rate)
        if source.path not in self._ids:
            self._ids[source.path] = f"r{len(self._ids) + 1}"
            asset = Xml.SubElement(self._element, "asset", id=self._ids[source.path], name=_text(source.path.name))
            asset.attrib |= {
                "src": source.path.as_uri(),
                "start": _time(first_frame(source), source.rate),
                "duration": _time(max(1, source.rate.frame(source.duration_seconds)), source.rate),
                "hasVideo": "1",
                "format": format_id,
            }
            if source.audio_channels:
                asset.attrib |= {
                    "hasAudio": "1",
                    "audioSources": str(len(source.audio_channels)),
                    "audioChannels": str(source.audio_channels[0]),
                }
        return self._ids[source.path]


def _time(frames: int, rate: FrameRate) -> str:
    """Frames as an exact number of seconds: ``1001/30000s``."""
    seconds = Fraction(frames) / rate.per_second
    return f"{seconds.numerator}/{seconds.denominator}s" if seconds.denominator > 1 else f"{seconds.numerator}s"


def _display(is_drop_frame: bool) -> str:
    return "DF" if is_drop_frame else "NDF"


def _text(text: str) -> str:
    return text.translate(_CONTROL).encode("utf-8", "backslashreplace").decode("utf-8")
