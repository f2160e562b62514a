"""How people name videos, times and moments of a library."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from indexer.catalogue import VideoRow
from indexer.discover import PathLike, one_line, printable
from indexer.errors import InputError

_LISTED = 5
_NAMING = "Give a path, the end of one, or a part of a name: vclip list shows them"


def video_and_time(like: str) -> tuple[str, float]:
    """The two halves of ``VIDEO@TIME``, the time in seconds.

    Raises:
        InputError: it is not of that form.
    """
    name, found, time_code = like.rpartition("@")
    if not found:
        raise InputError(f"{like}: a time is missing", "Write VIDEO@TIME: --like film.mp4@1:23")
    return name, parse_time(time_code)


def parse_time(time_code: str) -> float:
    """``83``, ``83.5``, ``1:23`` or ``1:02:03.5`` → seconds.

    Raises:
        InputError: it is none of these.
    """
    if not re.fullmatch(r"\d+(:[0-5]?\d){0,2}(\.\d+)?", time_code):
        raise InputError(f"{time_code!r} is not a time", "Write seconds, M:SS or H:MM:SS")
    seconds = 0.0
    for part in time_code.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def video_called(name: str, videos: Iterable[VideoRow]) -> VideoRow:
    """The video with this path, or the only one whose path ends with it, or whose file's name contains it.

    Paths may be written as ``vclip list`` shows them, with escapes.

    Raises:
        InputError: the name is empty, or there is no such video, or there are several.
    """
    if not name:
        raise InputError("the name of the video is empty", _NAMING)
    every = list(videos)
    path, part = Path(name).expanduser().absolute(), name.casefold()
    ways: tuple[Callable[[Path], bool], ...] = (
        lambda known: known == path,
        lambda known: str(known).endswith(f"/{name}"),
        lambda known: f"/{one_line(known)}".endswith(f"/{name}"),
        lambda known: part in known.name.casefold(),
        lambda known: part in one_line(known.name).casefold(),
    )
    fitting = ([video for video in every if any(map(fits, video.paths))] for fits in ways)
    found = next(filter(None, fitting), [])
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"{name} is not in the library", _NAMING)
    some = ", ".join(printable(video.path) for video in found[:_LISTED]) + (", …" if len(found) > _LISTED else "")
    raise InputError(f"{name} could be {len(found)} videos: {some}", "Give a path, or more of it")


def video_of(video: PathLike | int, videos: Mapping[int, VideoRow]) -> VideoRow:
    """The video with this id, or called so; errors as :func:`video_called`."""
    if isinstance(video, str | os.PathLike):
        return video_called(os.fspath(video), videos.values())
    if video not in videos:
        raise InputError(f"no video of the library has the id {video}", "See the ids: vclip list --json")
    return videos[video]


def videos_below(paths: Sequence[Path], videos: Sequence[VideoRow]) -> list[VideoRow]:
    """The videos with these paths, or in these folders; each once.

    Raises:
        InputError: a path that names none of them.
    """
    below: dict[int, VideoRow] = {}
    for path in paths:
        found = [v for v in videos if any(p == path or path in p.parents for p in v.paths)]
        if not found:
            raise InputError(f"{printable(path)} is not in the library", "See the paths: vclip list")
        below.update({video.video_id: video for video in found})
    return list(below.values())
