"""The demo: make films, index them with the shipped model, search, and compare with the truth."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from searcher.settings import SearchSettings
from vclipper.demo.videos import TrueMoment, make_videos, query_picture
from vclipper.library import Library
from vclipper.models import DEMO_MODEL
from vclipper.output import console, short_path, timecode

#: An image query for every so-many-th moment.
PICTURE_EVERY = 3
HIT_IOU = 0.5
#: Drawn scenes are short and end in hard cuts: VC1 with less smoothing than real film wants.
SETTINGS = SearchSettings(method="vc1", postprocess="smooth_norm", smooth_window=5, threshold=0.7)
OPTIONS = "--method vc1 -M 5 --threshold 0.7"
PASS_SHARE = 0.9


@dataclass(frozen=True)
class Answer:
    """The first moment found for one query, beside the true one.

    ``found`` is (film's name, start, end) in seconds, or None when nothing was found; ``iou`` is 0 in
    another film.
    """

    query: str
    truth: TrueMoment
    found: tuple[str, float, float] | None
    iou: float

    @property
    def hit(self) -> bool:
        """Right film, and at least half of the union shared."""
        return self.iou >= HIT_IOU


def window_iou(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union of two windows in seconds."""
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / (max(a[1], b[1]) - min(a[0], b[0]))


def search_all(library: Library, truth: Sequence[TrueMoment], pictures: Path) -> list[Answer]:
    """One text search per true moment, and an image search for some, with pictures drawn anew."""
    answers = [_answer(library, moment, f"“{moment.query}”", text=moment.query) for moment in truth]
    for moment in truth[::PICTURE_EVERY]:
        picture = query_picture(moment, pictures)
        answers.append(_answer(library, moment, picture.name, image=picture))
    return answers


def _answer(library: Library, truth: TrueMoment, query: str, **given: str | Path) -> Answer:
    moments = library.search(settings=SETTINGS, **given)  # type: ignore[arg-type]
    if not moments:
        return Answer(query, truth, None, 0.0)
    first = moments[0]
    same_film = first.path == truth.path
    true_window = (truth.start_seconds, truth.end_seconds)
    iou = window_iou((first.start_seconds, first.end_seconds), true_window) if same_film else 0.0
    return Answer(query, truth, (first.path.name, first.start_seconds, first.end_seconds), iou)


def run(folder: Path) -> bool:
    """Make, index, search, print; True when at least nine in ten queries find the true moment first."""
    out = console()
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    truth = make_videos(folder)
    films = sorted({moment.path for moment in truth})
    out.print(f"1. Made {len(films)} films of drawn scenes in {short_path(folder)}/ ({_since(started)})")
    started = time.monotonic()
    library = Library.open(folder / "library")
    report = library.index([folder], model=DEMO_MODEL)
    indexed = f"{len(report.added)} added, {len(report.skipped)} unchanged, {len(report.failed)} failed"
    out.print(f"2. Indexed them with the shipped model: {indexed} ({_since(started)})")
    answers = search_all(library, truth, folder / "queries")
    out.print(f"3. Searched {len(answers)} times ({OPTIONS}):")
    out.print(_table(answers))
    hits = sum(answer.hit for answer in answers)
    out.print(f"{hits} of {len(answers)} queries find the true moment first (IoU ≥ {HIT_IOU:g}).\n")
    out.print(_what_next(folder), markup=False, soft_wrap=True)
    return report.ok and hits >= PASS_SHARE * len(answers)


def _table(answers: Iterable[Answer]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("query", overflow="fold")
    for name in ("film", "true", "found", "IoU"):
        table.add_column(name, justify="right", no_wrap=True)
    for a in answers:
        true = f"{timecode(a.truth.start_seconds)[:5]}-{timecode(a.truth.end_seconds)[:5]}"
        wrong_film = a.found is not None and a.found[0] != a.truth.path.name
        found = "nothing" if a.found is None else f"{timecode(a.found[1])[:5]}-{timecode(a.found[2])[:5]}"
        mark = "✓" if a.hit else "✗"
        shown = f"in {a.found[0]}" if wrong_film and a.found else found
        table.add_row(a.query, a.truth.path.stem, true, shown, f"{a.iou:.2f} {mark}")
    return table


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"


def _what_next(folder: Path) -> str:
    vclip = "vclip" if shutil.which("vclip") else short_path(Path(sys.executable).parent / "vclip")
    return f"""Search these films yourself:
  {vclip} search --library {short_path(folder)}/library {OPTIONS} "a red circle"
Your own videos (the first run downloads the default model, 600 MB):
  {vclip} index ~/Videos
  {vclip} search "man in yellow blanket"
See README.md for more."""
