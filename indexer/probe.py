"""What a file's header and its first frame tell about a video."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Any

from indexer.container import (
    DISCONTINUOUS_CONTAINERS,
    INDEXED_CONTAINERS,
    codec_name,
    container_format,
    demand_regular_file,
    in_seconds,
    moving_streams,
    open_container,
    picture_stream,
    recorded_unix,
)
from indexer.discover import printable
from indexer.errors import ContentError
from indexer.keyframes import has_open_groups
from indexer.matroska import missing_bytes
from indexer.picture import displayed_size, is_hdr, orientation
from indexer.video_types import DurationSource, VideoInfo

_SLOWEST_BYTES_PER_MICROSECOND = 100e-6
"""Less than 100 bytes per second is no video but a broken guess from clocks that jumped."""
_PROBE_PACKETS = 500
_LEAST_BYTES_PER_SECOND = 10
"""A slide show of ten hours has more: a small file that claims days of pictures lies about its times."""
_SHORT_SECONDS = 600.0
"""Too short to do harm: believed of a file of any size."""
_MOST_PIXELS = 16_384 * 8_192
"""Larger pictures are no video: four times 8K."""


def probe(path: Path) -> VideoInfo:
    """Look at a file's header and decode its first frame.

    Raises:
        VideoError: not a regular file, not readable, not a video, or a video without pictures.
    """
    demand_regular_file(path)
    with open_container(path) as container:
        stream = picture_stream(container, path)
        return _describe(path, container, stream)


def _describe(path: Path, container: Any, stream: Any) -> VideoInfo:
    context = stream.codec_context
    if context is None:
        raise ContentError(f"{printable(path)} holds pictures in a format that nothing here can decode")
    container_name = container_format(container)
    _demand_sane_size(path, context)
    longest_seconds = max(_SHORT_SECONDS, path.stat().st_size / _LEAST_BYTES_PER_SECOND)
    duration, source = _header_duration(container, stream, container_name)
    if duration is not None and duration > longest_seconds:
        duration, source = None, "none"
    aspect = _sane_aspect(stream.sample_aspect_ratio)
    has_edit_list = container_name == "mp4" and _edit_list_matters(path, stream)
    frame = _first_frame(container, stream)
    rotation, is_mirrored = orientation(frame)
    width, height = displayed_size(context.width, context.height, aspect, rotation)
    if width < 1 or height < 1:
        raise ContentError(f"{printable(path)} does not tell the size of its picture", "It may be damaged")
    return VideoInfo(
        path=path,
        container=container_name,
        codec=codec_name(stream),
        width=width,
        height=height,
        duration_seconds=duration,
        duration_source=source,
        frames_per_second=float(stream.average_rate or stream.guessed_rate or 0),
        rotation_degrees=rotation,
        is_mirrored=is_mirrored,
        sample_aspect_ratio=aspect,
        pixel_format=context.pix_fmt or "",
        is_hdr=is_hdr(context, frame),
        has_edit_list=has_edit_list,
        has_b_frames=bool(context.has_b_frames),
        has_open_groups=has_open_groups(container, stream, container_name, duration),
        first_stamp_seconds=in_seconds(frame.pts, stream.time_base) if frame is not None else None,
        video_stream_count=len(moving_streams(container)),
        stream_index=stream.index,
        recorded_unix=recorded_unix(container, path),
        longest_seconds=longest_seconds,
        missing_bytes=missing_bytes(path) if container_name == "matroska" else 0,
    )


def _demand_sane_size(path: Path, context: Any) -> None:
    if context.width * context.height > _MOST_PIXELS:
        raise ContentError(
            f"{printable(path)} claims pictures of {context.width} × {context.height}",
            "Pictures of more than 134 million pixels are not decoded",
        )


def _header_duration(container: Any, stream: Any, container_name: str) -> tuple[float | None, DurationSource]:
    start = float((stream.start_time or 0) * stream.time_base)
    tagged = _tagged_seconds(stream.metadata.get("DURATION", ""))
    if tagged is not None:  # Matroska: when the track ends, counted from zero
        return max(0.0, tagged - start), "picture"
    if stream.duration and container_name not in {"matroska", *DISCONTINUOUS_CONTAINERS}:
        return float(stream.duration * stream.time_base), "picture"
    if container.duration and container.size / container.duration > _SLOWEST_BYTES_PER_MICROSECOND:
        from_zero = start if container_name in {"matroska", "flv"} else 0.0
        is_alone = container_name in INDEXED_CONTAINERS and len(container.streams) == 1
        return max(0.0, container.duration / 1_000_000 - from_zero), "picture" if is_alone else "file"
    return None, "none"


def _tagged_seconds(text: str) -> float | None:
    """Seconds of a Matroska tag such as ``00:00:12.040000000``."""
    hours, _, rest = text.partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _sane_aspect(ratio: Fraction | None) -> Fraction:
    """Nonsense ratios (0, or thinner than 1 : 8) count as square."""
    return ratio if ratio and Fraction(1, 8) <= ratio <= 8 else Fraction(1)


def _edit_list_matters(path: Path, stream: Any) -> bool:
    """Whether an MP4's edit list hides or delays pictures.

    Nearly every MP4 has an edit list that only says where the first frame is; that one changes nothing.
    """
    with open_container(path, ignore_editlist="1") as raw_container:
        if stream.index >= len(raw_container.streams):
            return True
        raw = raw_container.streams[stream.index]
        half_frame = 0.5 / float(stream.average_rate or 25)
        hidden = abs((raw.duration or 0) * raw.time_base - (stream.duration or 0) * stream.time_base)
        delay = (stream.start_time or 0) * stream.time_base
        is_delayed = delay > half_frame and stream.start_time != raw.start_time
        return bool(hidden > half_frame or is_delayed)


def _first_frame(container: Any, stream: Any) -> Any:
    """The first frame that decodes, or None: its side data tells more than the header."""
    import av

    with contextlib.suppress(av.FFmpegError, EOFError):
        for count, packet in enumerate(container.demux(stream)):
            with contextlib.suppress(av.FFmpegError):
                for frame in packet.decode():
                    return frame
            if count > _PROBE_PACKETS:
                break
    return None
