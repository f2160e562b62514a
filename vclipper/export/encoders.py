"""Encoders for exact clips: a picture stream that looks as its source does."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from vclipper.export.source import Source

_KEPT = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")
"""Pixel formats that the encoders take as they are."""
_SAME_AS = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p", "nv12": "yuv420p"}
_FULL_RANGE = 2
_QUALITY = {"preset": "fast", "crf": "16"}
_FINEST_TICKS = 10_000


def encoded_picture(made: Any, frame: Any, source: Source) -> Any:
    """A picture stream in ``made`` for frames like ``frame``: size, pixel shape, colours, rotation, HDR data.

    HEVC for HDR and 10-bit 4:2:0, H.264 for everything else, as editing programs like it.
    """
    pixel_format = _encoded_format(frame)
    codec = "libx265" if source.info.is_hdr or pixel_format == "yuv420p10le" else "libx264"
    stream = made.add_stream(codec, rate=source.rate.per_second, options=_options(codec, frame))
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixel_format
    context = stream.codec_context
    context.time_base = _ticks(source)
    context.sample_aspect_ratio = source.info.sample_aspect_ratio
    _copy_colours(frame, context)
    if codec == "libx265":
        context.codec_tag = "hvc1"  # the only tag that Apple's players take
    if (matrix := _display_matrix(frame)) is not None:
        stream.set_display_matrix(matrix)
    return stream


def _encoded_format(frame: Any) -> str:
    """The frame's own pixel format where encoders take it, else the nearest; odd sizes cannot share colours."""
    name: str = _SAME_AS.get(frame.format.name, frame.format.name)
    is_deep = any(component.bits > 8 for component in frame.format.components)
    if name not in _KEPT:
        name = "yuv420p10le" if is_deep else "yuv420p"
    is_odd = frame.width % 2 or frame.height % 2
    return name.replace("420", "444").replace("422", "444") if is_odd else name


def _ticks(source: Source) -> Fraction:
    """A time base in which every frame's time is whole: the rate's, or for variable rates the file's."""
    ticks = source.rate.per_second.numerator if source.rate.is_own else source.time_base.denominator
    while ticks < _FINEST_TICKS:
        ticks *= 2
    return Fraction(1, ticks)


def _copy_colours(frame: Any, context: Any) -> None:
    context.color_primaries = frame.color_primaries
    context.color_trc = frame.color_trc
    context.colorspace = frame.colorspace
    context.color_range = _FULL_RANGE if frame.format.name.startswith("yuvj") else frame.color_range


def _options(codec: str, frame: Any) -> dict[str, str]:
    options = dict(_QUALITY)
    if codec == "libx265":
        options["x265-params"] = ":".join(["log-level=none", *_hdr_parameters(frame)])
    if frame.interlaced_frame:
        options["flags"] = "+ildct+ilme"
    return options


def _display_matrix(frame: Any) -> list[int] | None:
    import numpy as np

    data = _side_data(frame, "DISPLAYMATRIX")
    return None if data is None else [int(value) for value in np.frombuffer(data, np.int32)[:9]]


def _hdr_parameters(frame: Any) -> list[str]:
    """What the mastering screen could show and how bright the pictures get, in x265's words (CTA-861.3)."""
    import numpy as np

    parameters = []
    if (data := _side_data(frame, "MASTERING_DISPLAY_METADATA")) is not None:
        values = np.frombuffer(data, np.int32)
        pairs = values[:20].reshape(10, 2).astype(float)
        red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y, darkest, brightest = pairs[
            :, 0
        ] / np.maximum(pairs[:, 1], 1)
        places = zip(
            "GBRW", ((green_x, green_y), (blue_x, blue_y), (red_x, red_y), (white_x, white_y)), strict=True
        )
        screen = "".join(f"{name.replace('W', 'WP')}({x * 50000:.0f},{y * 50000:.0f})" for name, (x, y) in places)
        parameters.append(f"master-display={screen}L({brightest * 10000:.0f},{darkest * 10000:.0f})")
    if (data := _side_data(frame, "CONTENT_LIGHT_LEVEL")) is not None:
        peak, mean = np.frombuffer(data, np.uint32)[:2]
        parameters.append(f"max-cll={peak},{mean}")
    return parameters


def _side_data(frame: Any, name: str) -> bytes | None:
    try:
        return bytes(frame.side_data[name])
    except KeyError:
        return None
