"""Which packets are clean starts: nothing after them needs, or is shown before, anything before them.

Only at a clean start may decoding begin and packets before it be skipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.container import INDEXED_CONTAINERS, codec_name, packet_at

_CLEAN_START_CODECS = frozenset({"vp9", "av1", "mjpeg", "prores", "ffv1", "dnxhd", "png"})
"""Codecs in which every keyframe is a clean start."""
_CLEAN_START_UNITS = {"h264": frozenset({5}), "hevc": frozenset({20})}
"""NAL unit types that are clean starts: IDR; in HEVC the kind that no earlier-shown frame follows."""
UNDERSTOOD_CODECS = _CLEAN_START_CODECS | frozenset(_CLEAN_START_UNITS)
"""Codecs of which :func:`is_clean_start` can tell."""
_KEYFRAMES_LOOKED_AT = 8


def is_clean_start(packet: Any, codec: str, extradata: bytes | None) -> bool:
    """Whether nothing after this packet needs anything before it, nor is shown before it."""
    if not packet.is_keyframe:
        return False
    if codec in _CLEAN_START_CODECS:
        return True
    kind = _first_slice_kind(bytes(packet), codec, bytes(extradata or b""))
    return kind in _CLEAN_START_UNITS.get(codec, frozenset())


def _first_slice_kind(data: bytes, codec: str, extradata: bytes) -> int | None:
    """NAL unit type of the first slice of an H.264 or HEVC packet, stored with length prefixes."""
    if len(extradata) < 23 or extradata[0] != 1:
        return None
    is_h264 = codec == "h264"
    prefix = (extradata[4 if is_h264 else 21] & 3) + 1
    place = 0
    while place + prefix < len(data):
        header = data[place + prefix]
        kind = header & 31 if is_h264 else header >> 1 & 63
        if (1 <= kind <= 5) if is_h264 else kind < 32:
            return kind
        place += prefix + int.from_bytes(data[place : place + prefix], "big")
    return None


def has_open_groups(container: Any, stream: Any, container_name: str, duration_seconds: float | None) -> bool:
    """Whether one of a few keyframes, spread over the file, is no clean start."""
    codec = codec_name(stream)
    if codec not in _CLEAN_START_UNITS or container_name not in INDEXED_CONTAINERS:
        return False
    places = np.linspace(0, duration_seconds or 0.0, _KEYFRAMES_LOOKED_AT, endpoint=False)
    return not all(_starts_clean_at(container, stream, codec, float(seconds)) for seconds in places)


def _starts_clean_at(container: Any, stream: Any, codec: str, seconds: float) -> bool:
    packet = packet_at(container, stream, int(seconds / stream.time_base) + (stream.start_time or 0))
    if packet is None or packet.size == 0:
        return True  # a damaged place tells nothing
    return is_clean_start(packet, codec, stream.codec_context.extradata)
