"""Which videos a search may look at, decided before it looks: by path, length and date.

Nothing is filtered afterwards, so the answer is as long and as exact as without a filter.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from indexer.catalogue import VideoRow
from indexer.discover import Paths, one_line, several
from indexer.errors import InputError

Named = TypeVar("Named")
_DATE_FORMATS = ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True)
class VideoFilter:
    """Limits that a video must keep, all of those given.

    Attributes:
        within: a path or a folder, or a glob over paths (the whole path, or its end); of several one is enough.
            What is called so, wildcards and all, goes before what matches. Names may hold the escapes of
            ``vclip list``.
        min_seconds, max_seconds: length of the video, both included.
        after_unix, before_unix: when it was recorded, seconds since 1970; the start included, the end not. A
            video whose date is not known keeps no limit of this kind.

    Raises:
        InputError: a limit that no video can keep, or two that exclude each other.
    """

    within: Paths | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    after_unix: float | None = None
    before_unix: float | None = None

    def __post_init__(self) -> None:
        """Refuse what nothing can match."""
        for name, seconds in (("--min-length", self.min_seconds), ("--max-length", self.max_seconds)):
            if seconds is not None and not 0 <= seconds < float("inf"):
                raise InputError(f"{name} is {seconds:g}", "Lengths are seconds, 0 or more")
        if not all(pattern.strip() for pattern in self._patterns):
            raise InputError("--in is empty", 'Name a folder or a glob: --in "holiday/*"')
        if _both(self.min_seconds, self.max_seconds, lambda low, high: low > high):
            raise InputError(
                f"--min-length {self.min_seconds:g} is more than --max-length {self.max_seconds:g}",
                "No video is both; change one",
            )
        if _both(self.after_unix, self.before_unix, lambda start, end: start >= end):
            raise InputError(
                f"--after {_day(self.after_unix)} does not lie before --before {_day(self.before_unix)}",
                "No video is both; change one",
            )

    def matches(self, video: VideoRow) -> bool:
        """Whether a video keeps all limits."""
        return self._keeps_length(video) and self._keeps_date(video) and bool(self.paths_of(video))

    def paths_of(self, video: VideoRow) -> tuple[Path, ...]:
        """Those of a video's paths that ``within`` means; all where it names nothing."""
        if not self._patterns:
            return video.paths
        meant = {path for pattern in self._patterns for path in _meant(pattern, video.paths, lambda one: (one,))}
        return tuple(path for path in video.paths if path in meant)

    def choose(self, videos: Iterable[VideoRow]) -> frozenset[int]:
        """Ids of the videos that keep all limits.

        Raises:
            InputError: none does.
        """
        kept = [video for video in videos if self._keeps_length(video) and self._keeps_date(video)]
        chosen = frozenset(video.video_id for video in self._within(kept))
        if not chosen:
            raise InputError(f"no video matches {self}", "See paths, lengths and dates: vclip list")
        return chosen

    def __str__(self) -> str:
        """The limits as the command line writes them."""
        parts = (
            *(("--in", repr(pattern)) for pattern in self._patterns),
            ("--min-length", None if self.min_seconds is None else f"{self.min_seconds:g}"),
            ("--max-length", None if self.max_seconds is None else f"{self.max_seconds:g}"),
            ("--after", _day(self.after_unix)),
            ("--before", _day(self.before_unix)),
        )
        return " ".join(f"{option} {value}" for option, value in parts if value)

    def _keeps_length(self, video: VideoRow) -> bool:
        low = 0.0 if self.min_seconds is None else self.min_seconds
        high = float("inf") if self.max_seconds is None else self.max_seconds
        return low <= video.duration_seconds <= high

    @property
    def _patterns(self) -> tuple[str, ...]:
        return () if self.within is None else tuple(several(self.within))

    def _within(self, videos: Sequence[VideoRow]) -> list[VideoRow]:
        """The videos with a path that one of the patterns means."""
        if not self._patterns:
            return list(videos)
        return [video for pattern in self._patterns for video in _meant(pattern, videos, lambda one: one.paths)]

    def _keeps_date(self, video: VideoRow) -> bool:
        if self.after_unix is None and self.before_unix is None:
            return True
        recorded = video.recorded_unix
        start = float("-inf") if self.after_unix is None else self.after_unix
        end = float("inf") if self.before_unix is None else self.before_unix
        return recorded is not None and start <= recorded < end


def parse_date(text: str) -> float:
    """``2024``, ``2024-05``, ``2024-05-01`` or ``2024-05-01 18:30``, local time → its start, seconds since 1970.

    Raises:
        InputError: it is none of these.
    """
    for form in _DATE_FORMATS:
        if (start := _start(text.strip(), form)) is not None:
            return start
    raise InputError(f"{text!r} is not a date", "Write YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DD HH:MM")


def _start(text: str, form: str) -> float | None:
    try:
        return datetime.strptime(text, form).timestamp()
    except (ValueError, OverflowError):
        return None


def _both(low: float | None, high: float | None, are_wrong: Callable[[float, float], bool]) -> bool:
    return low is not None and high is not None and are_wrong(low, high)


def _meant(pattern: str, ones: Sequence[Named], paths: Callable[[Named], Iterable[Path]]) -> list[Named]:
    """Those called so, or in a folder called so; where there are none, those that match."""
    ways: tuple[Callable[[Path], str], ...] = (str, one_line) if "\\" in pattern else (str,)
    for expression in dict.fromkeys((_expression(glob.escape(pattern)), _expression(pattern))):
        if found := [
            one for one in ones if any(expression.match(way(path)) for path in paths(one) for way in ways)
        ]:
            return found
    return []


@lru_cache(maxsize=64)
def _expression(pattern: str) -> re.Pattern[str]:
    """The whole path, its end, or a folder on its way."""
    bare = pattern.rstrip("/") or "/"
    here = _absolute(bare)
    globs = (bare, f"*/{bare}", f"{bare}/*", f"*/{bare}/*", here, f"{here}/*")
    return re.compile("|".join(fnmatch.translate(one) for one in globs))


def _absolute(pattern: str) -> str:
    """As seen from the current folder, whose own name is no pattern; ``..`` is resolved, wildcards stay."""
    return os.path.normpath(Path(glob.escape(str(Path.cwd())), Path(pattern).expanduser()))


def _day(unix: float | None) -> str:
    if unix is None:
        return ""
    moment = datetime.fromtimestamp(unix)
    return f"{moment:%Y-%m-%d}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%Y-%m-%d %H:%M}"
