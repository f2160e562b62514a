"""What a packet is to the others, told without decoding.

A clean start: nothing after it needs, or is shown before, anything before it. Only there may decoding begin
and packets before it be skipped. An open one is followed by leading frames, which are shown before it and may need
what stands before it; without these it is clean. A disposable one: no other frame needs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.container import INDEXED_CONTAINERS, codec_name, packet_at

_CLEAN_START_CODECS = frozenset({"vp9", "av1", "mjpeg", "prores", "ffv1", "dnxhd", "png"})
"""Codecs in which every keyframe is a clean start."""
_CLEAN_START_UNITS = {"h264": frozenset({5}), "hevc": frozenset({20})}
"""NAL unit types that are clean starts: IDR; in HEVC the kind that no earlier-shown frame follows."""
_HEVC_OPEN_STARTS = frozenset({19, 21})
"""IDR and CRA that leading frames may follow; what follows these needs neither them nor anything earlier."""
_HEVC_LEADING = frozenset({6, 7, 8, 9})
_HEVC_LAST_SUBLAYER_KIND = 14
UNDERSTOOD_CODECS = _CLEAN_START_CODECS | frozenset(_CLEAN_START_UNITS)
"""Codecs of which :func:`is_clean_start` can tell."""
_KEYFRAMES_LOOKED_AT = 8


def is_clean_start(packet: Any, codec: str, extradata: bytes | None) -> bool:
    """Whether nothing after this packet needs anything before it, nor is shown before it."""
    if not packet.is_keyframe:
        return False
    if codec in _CLEAN_START_CODECS:
        return True
    headers = _slice_headers(packet, codec, extradata)
    return bool(headers) and _unit_kind(headers[0], codec) in _CLEAN_START_UNITS.get(codec, frozenset())


def is_open_start(packet: Any, codec: str, extradata: bytes | None) -> bool:
    """Whether this packet would be a clean start without the leading ones that follow it: known of HEVC."""
    return bool(packet.is_keyframe) and _hevc_kind(packet, codec, extradata) in _HEVC_OPEN_STARTS


def is_leading(packet: Any, codec: str, extradata: bytes | None) -> bool:
    """Whether the frame follows a keyframe, is shown before it, and is needed by no later frame shown after it."""
    return _hevc_kind(packet, codec, extradata) in _HEVC_LEADING


def _hevc_kind(packet: Any, codec: str, extradata: bytes | None) -> int | None:
    """NAL unit type of the first slice of an HEVC packet."""
    headers = _slice_headers(packet, codec, extradata) if codec == "hevc" else []
    return _unit_kind(headers[0], codec) if headers else None


def is_disposable(packet: Any, codec: str, extradata: bytes | None) -> bool:
    """Whether no other frame needs this one: known of H.264 (nal_ref_idc 0) and HEVC without temporal layers."""
    if codec not in _CLEAN_START_UNITS or packet.is_keyframe:
        return False
    if codec == "hevc" and not _has_one_temporal_layer(extradata):
        return False
    headers = _slice_headers(packet, codec, extradata)
    return bool(headers) and not any(_is_needed(header, codec) for header in headers)


def _is_needed(header: int, codec: str) -> bool:
    if codec == "h264":
        return bool(header & 0x60)
    kind = _unit_kind(header, codec)
    return kind > _HEVC_LAST_SUBLAYER_KIND or kind % 2 == 1  # the even ones below are "sub-layer non-reference"


def _has_one_temporal_layer(extradata: bytes | None) -> bool:
    """What an hvcC record says of numTemporalLayers; a frame of a lower layer may be needed by a higher one."""
    return extradata is not None and len(extradata) > 21 and extradata[21] >> 3 & 7 == 1


def _unit_kind(header: int, codec: str) -> int:
    """NAL unit type in the first byte of a unit's header."""
    return header & 31 if codec == "h264" else header >> 1 & 63


def _slice_headers(packet: Any, codec: str, extradata: bytes | None) -> list[int]:
    """First header byte of each slice of an H.264 or HEVC packet; none unless stored with length prefixes."""
    if extradata is None or len(extradata) < 23 or extradata[0] != 1:
        return []
    data = memoryview(packet)
    prefix = (extradata[4 if codec == "h264" else 21] & 3) + 1
    headers = []
    place = 0
    while place + prefix < len(data):
        header = data[place + prefix]
        kind = _unit_kind(header, codec)
        if (1 <= kind <= 5) if codec == "h264" else kind < 32:
            headers.append(header)
        place += prefix + int.from_bytes(data[place : place + prefix], "big")
    return headers


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
