"""``vclip search --plot``."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from indexer.discover import printable
from indexer.errors import InputError

if TYPE_CHECKING:
    from searcher.rank import Moment
    from searcher.settings import SearchSettings
    from vclipper.export.destination import Exported, Output
    from vclipper.library import Library

_MOST_VIDEOS = 5


class Question(NamedTuple):
    """What was searched for."""

    text: str | None
    image: str | None
    like: str | None
    templates: tuple[str, ...]

    @property
    def words(self) -> str:
        """The query as typed, or the file or moment that stands for it, as UTF-8 whatever bytes it holds."""
        return printable(self.text or self.image or self.like or "")


def plot_output(name: str, overwrite: bool) -> Output:
    """Where the picture goes; says before the search what would be said after it.

    Raises:
        InputError: matplotlib is missing, the file has another ending or is there already.
    """
    from vclipper.export.destination import Output
    from vclipper.export.moment import ExportOptions

    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("plots need matplotlib", "Install it: pip install 'vclipper[bench]'")
    if not name.lower().endswith(".png"):
        raise InputError(f"{name} does not end with .png", "Write --plot FILE.png")
    output = Output.at(Path(name), ".png", ExportOptions(overwrite=overwrite), [], lambda done, total: None)
    output.claim(output.file_name, ".png")
    return output


def plot_found(
    library: Library, moments: Sequence[Moment], question: Question, settings: SearchSettings, output: Output
) -> Exported:
    """Draw the first videos of a result."""
    from bench.plots import plot_timelines, save

    ids = list(dict.fromkeys(moment.video_id for moment in moments))[:_MOST_VIDEOS]
    timelines = [
        library.timeline(video_id, question.text, question.image, settings, question.like, question.templates)
        for video_id in ids
    ]
    found = [
        [(rank, m.start_seconds, m.end_seconds) for rank, m in enumerate(moments, 1) if m.video_id == video_id]
        for video_id in ids
    ]
    figure = plot_timelines(timelines, found, question.words, settings)
    path = output.folder / f"{output.file_name}.png"
    with output.written(path) as temporary:
        save(figure, temporary)
    return output.finished()
