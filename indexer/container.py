"""Open a video file with FFmpeg (through PyAV) and name what is in it.

Knows the families of formats: which carry presentation times, and whose clocks may jump.
"""

from __future__ import annotations

import os
import stat
import time
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

from indexer.discover import printable
from indexer.errors import ContentError, VideoError

_CONTAINERS = {"mov": "mp4", "matroska": "matroska", "mpegts": "mpegts", "mpeg": "mpeg"}
"""Short names for FFmpeg's lists of aliases (``mov,mp4,m4a,3gp,3g2,mj2``), by their first member."""
_NOT_VIDEO_CONTAINERS = frozenset({"hls", "concat", "dash", "tty", "lavfi", "sdp", "rtsp"})
"""Playlists lead to other files or to the network; the others are no files of video."""
INDEXED_CONTAINERS = frozenset({"mp4", "matroska", "flv"})
"""Formats with presentation times and marked keyframes, where packets may be skipped."""
DISCONTINUOUS_CONTAINERS = frozenset({"mpegts", "mpeg"})
"""Broadcast formats: their clocks may jump, and a recording may begin anywhere."""
DECODE_TIME_CONTAINERS = frozenset({"avi"})
"""Formats that store no presentation times: what the demuxer makes up is out of order."""
_CODECS = {"libdav1d": "av1", "libaom-av1": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}
"""PyAV names some codecs by their decoder."""
_ONE_DAY_SECONDS = 86_400.0
_FIRST_DATE_UNIX = _ONE_DAY_SECONDS
"""MP4 counts from 1904 and other clocks from 1970: what was set to nothing says one of these."""


def demand_regular_file(path: Path) -> None:
    """Opening a FIFO would wait for ever: look first.

    Raises:
        VideoError: one line that says what the path is instead.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        what = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise VideoError(f"{printable(path)} {what}", "Check the path") from None
    except OSError as error:
        raise VideoError(f"{printable(path)} cannot be read: {error.strerror}", "Check the path") from None
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{printable(path)} is {_file_kind(status.st_mode)}, not a file", "Give a video file")
    if status.st_size == 0:
        raise ContentError(f"{printable(path)} is empty (0 bytes)", "Copy or download it again")
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise VideoError(f"{printable(path)} may not be read by you", "Change its permissions")


def _file_kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")


def open_container(path: Path, **options: str) -> Any:
    """An open container; the caller closes it.

    Raises:
        VideoError: FFmpeg does not know the format.
    """
    import av

    # An absolute path, so that FFmpeg does not take "talk: part 1.mp4" for a protocol; and no
    # protocol but files, so that a playlist in a video's clothes fetches nothing.
    location = os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps "..", which is right here too
    try:
        # Tags in Latin-1 or worse are no reason to refuse a video.
        return av.open(location, "r", options={"protocol_whitelist": "file", **options}, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "It may be damaged, cut off, or no video at all"
        kind = ContentError if isinstance(error, av.InvalidDataError) else VideoError  # or the drive's fault
        raise kind(f"{printable(path)} cannot be opened as a video: {reason}", hint) from None


def picture_stream(container: Any, path: Path) -> Any:
    """The stream to decode: the first of the moving pictures by FFmpeg's ranking.

    Raises:
        VideoError: a playlist, a text, a still, or nothing but sound.
    """
    name = container_format(container)
    if name == "image2" or name.endswith("_pipe"):
        raise ContentError(
            f"{printable(path)} is not a video but a picture", "To search with it: vclip search --image FILE"
        )
    if name in _NOT_VIDEO_CONTAINERS:
        raise ContentError(f"{printable(path)} is not a video but {name}", "Give a video file")
    streams = moving_streams(container)
    if not streams:
        raise ContentError(f"{printable(path)} holds no moving pictures", "Give a file with a video stream")
    best = container.streams.best("video")
    return best if best in streams else streams[0]


def moving_streams(container: Any) -> list[Any]:
    """Video streams that are no cover art."""
    return [s for s in container.streams.video if not s.disposition & type(s.disposition).attached_pic]


def container_format(container: Any) -> str:
    """Short name of an open container's format, as in ``VideoInfo.container``."""
    first = str(container.format.name).split(",")[0]
    return _CONTAINERS.get(first, first)


def codec_name(stream: Any) -> str:
    """Short name of a stream's codec, as in ``VideoInfo.codec``."""
    name = str(stream.codec_context.name)
    return _CODECS.get(name, name)


def in_seconds(stamp: int | None, time_base: Fraction) -> float | None:
    """A time that a file gives in units of ``time_base``, or None where it gives none."""
    # As exact as float(stamp * time_base), at a fifth of its time: every packet comes through here.
    return None if stamp is None else stamp * time_base.numerator / time_base.denominator


def recorded_unix(container: Any, path: Path) -> float:
    """When a video was recorded, seconds since 1970: by its ``creation_time`` tag, else the file's own date."""
    streams = [stream.metadata for stream in container.streams]
    for metadata in (container.metadata, *streams):
        stamp = _tagged_date(metadata.get("creation_time", ""))
        if stamp is not None:
            return stamp
    return path.stat().st_mtime


def _tagged_date(text: str) -> float | None:
    """Seconds since 1970 of ``2024-05-01T12:00:00.000000Z``; None for what a camera without a clock writes."""
    try:
        date = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    stamp = (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    return stamp if _FIRST_DATE_UNIX < stamp < time.time() + _ONE_DAY_SECONDS else None


def packet_at(container: Any, stream: Any, place: int) -> Any:
    """The packet on which a jump to ``place`` lands, or None."""
    import av

    try:
        container.seek(place, stream=stream)
        return next(container.demux(stream))
    except (av.FFmpegError, OSError, StopIteration):
        return None
