"""What is exported, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.discover import one_line, printable
from indexer.errors import InputError, SettingError
from vclipper.export.footage import Footage

if TYPE_CHECKING:
    from searcher.rank import Moment


@dataclass(frozen=True)
class ExportMoment:
    """One moment of one video.

    Attributes:
        path: the video's file.
        start_seconds, end_seconds: counted from the first frame shown; the frame on screen at the end is the
            first that no longer belongs to it.
        query: what was searched for. score: how well it answers, None where that is not known.
        note: what a person wrote beside it.

    Raises:
        InputError: times that are no stretch of a video.
    """

    path: Path
    start_seconds: float
    end_seconds: float
    query: str = ""
    score: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        times = (self.start_seconds, self.end_seconds)
        if not all(map(math.isfinite, times)) or not 0 <= self.start_seconds < self.end_seconds:
            what = f"{printable(self.path)} from {self.start_seconds} to {self.end_seconds} s"
            raise InputError(f"{what} is no moment", "It must start at 0 or later and end after its start")

    @classmethod
    def of(cls, moment: Moment, query: str = "", note: str = "") -> ExportMoment:
        """A moment that a search found."""
        return cls(moment.path, moment.start_seconds, moment.end_seconds, query, moment.score, note)

    @property
    def file_name(self) -> str:
        """The file's name as text in one line, whatever bytes it is made of."""
        return one_line(self.path.name)

    @property
    def label(self) -> str:
        """What it is called in lists: the query, or the video's name where there is none."""
        return " ".join(self.query.split()) or one_line(self.path.stem)

    @property
    def comment(self) -> str:
        """Score and note in one line, as far as there are any."""
        score = "" if self.score is None else f"score {self.score:.2f}"
        return ", ".join(filter(None, [score, " ".join(self.note.split())]))

    @property
    def title(self) -> str:
        """What it is called, and in brackets the rest that is known of it."""
        return f"{self.label} ({self.comment})" if self.comment else self.label


@dataclass(frozen=True)
class ExportOptions:
    """How moments are exported.

    Attributes:
        exact: clips are encoded anew from the very first frame to the very last, not copied from a keyframe on.
        pad_seconds: handles: so much is added before and after each moment, as far as the video goes.
        overwrite: files of the same name are replaced; sources never are.
        title: names the timeline, the page, and a format's one file.
        footage: where the videos are read.

    Raises:
        InputError: a padding that is negative or not finite, an empty title.
    """

    exact: bool = False
    pad_seconds: float = 0.0
    overwrite: bool = False
    title: str = "moments"
    footage: Footage = field(default_factory=Footage, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.pad_seconds < math.inf:
            raise SettingError(f"pad_seconds is {self.pad_seconds}", "It must be 0 seconds or more")
        if not self.title.strip():
            raise InputError("the title is empty", "Give it a word")
