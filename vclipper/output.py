"""What the commands print: tables at the terminal's width, JSON, CSV."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.discover import one_line, path_text, printable
from indexer.failures import NOT_TRIED

if TYPE_CHECKING:
    from rich.console import Console

    from indexer.build import FileNote, IndexReport
    from indexer.catalogue import VideoRow
    from indexer.relink import Relinking
    from indexer.verify import Problem
    from searcher.rank import Moment
    from vclipper.library import LibraryInfo


_USUAL_WIDTH = 80
"""Of a terminal, in characters; in narrower ones long names lose their middle."""
_LEAST_FILE_WIDTH = 20
_UNBOUNDED = 1 << 20
"""What another program reads is neither wrapped nor shortened."""


def timecode(seconds: float) -> str:
    """``H:MM:SS.s``, the hours left out below one hour."""
    tenths = round(seconds * 10)
    hours, rest = divmod(tenths, 36_000)
    minutes, rest = divmod(rest, 600)
    text = f"{minutes:02d}:{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{text}" if hours else text


def length(seconds: float) -> str:
    """A long duration in words: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in words: ``512 B``, ``3.4 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def console(stderr: bool = False) -> Console:
    """A terminal that takes its width from the real one; plain and without bounds where there is none."""
    from rich.console import Console

    out = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not out.is_terminal:
        out.width = _UNBOUNDED
    return out


def short_path(path: Path, folder: Path | None = None) -> str:
    """Relative to ``folder`` (default: the current one) where it lies below it; one line, whatever the name."""
    with contextlib.suppress(ValueError):
        path = path.relative_to(folder or Path.cwd())
    return one_line(path)


def common_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder that all files share: said once, instead of in every row."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def print_data(text: str) -> None:
    """JSON or CSV, byte for byte what a program is to read; at a terminal with escapes for what would steer it."""
    if sys.stdout.isatty():
        click.echo("\n".join(map(one_line, text.split("\n"))))
    else:
        click.echo(text.encode())  # of text, click takes colours out, also where they are part of a name


def _say(out: Console, line: str) -> None:
    """A line; wrapped at a terminal only: a path that another program reads on two lines is none."""
    out.print(line, markup=False, soft_wrap=not out.is_terminal)


@dataclass(frozen=True)
class _Files:
    """A table of figures with a file in each row.

    Attributes:
        columns: the figures, by heading.
        files: what stands last: a path, and what is said behind it.
        spared: headings of columns that go, in this order, where the terminal has no room for the files.
    """

    columns: Mapping[str, Sequence[str]]
    files: Sequence[tuple[Path, Sequence[str]]]
    spared: Sequence[str]

    def print(self) -> None:
        """The folder that all files share, and the table."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        out, folder = console(), common_folder(path for path, _ in self.files)
        if folder != Path.cwd():
            out.print(f"in {short_path(folder)}/", markup=False, soft_wrap=True)
        names = [short_path(path, folder) for path, _ in self.files]
        columns, room = self._fitted(names, out.width)
        if out.width < _USUAL_WIDTH:
            names = [_shortened(name, room) for name in names]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in columns:
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("file", overflow="fold")
        for place, (name, (_, marks)) in enumerate(zip(names, self.files, strict=True)):
            said = Text(name + "".join(f"  ({mark})" for mark in marks))
            table.add_row(*(cells[place] for cells in columns.values()), said)
        out.print(table)

    def _fitted(self, names: Sequence[str], width: int) -> tuple[Mapping[str, Sequence[str]], int]:
        """The columns that there is room for, and how many characters they leave to the files."""
        from rich.cells import cell_len

        columns, wanted = dict(self.columns), min(_LEAST_FILE_WIDTH, max(map(cell_len, names)))
        for heading in self.spared:
            if _room(columns, width) >= wanted:
                break
            del columns[heading]
        return columns, _room(columns, width)


def _room(columns: Mapping[str, Sequence[str]], width: int) -> int:
    """What columns leave of a line: three blanks stand before the next one, and one at each end of the line."""
    return width - 2 - sum(max(map(len, (heading, *cells))) + 3 for heading, cells in columns.items())


def _shortened(name: str, width: int) -> str:
    """A name without its middle, where it is too long."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(name) <= width:
        return name
    half = max(1, width - 1) // 2
    return f"{set_cell_size(name, half)}…{set_cell_size(name[::-1], half)[::-1]}"


# ---- moments


def moment_dict(moment: Moment, rank: int, query: str = "") -> dict[str, Any]:
    """Plain values for JSON and CSV; ``vclip export`` reads them."""
    return {
        "rank": rank,
        "query": query,
        "path": path_text(moment.path),
        "start_seconds": round(moment.start_seconds, 3),
        "end_seconds": round(moment.end_seconds, 3),
        "score": round(moment.score, 4),
        "confidence": round(moment.confidence, 4),
        "video_score": round(moment.video_score, 4),
        "video_seconds": round(moment.video_seconds, 3),
        "similar": moment.similar,
        "offline": moment.is_offline,
    }


def moments_json(moments: Sequence[Moment], query: str = "") -> str:
    """A JSON array, one object a moment, best first."""
    return json.dumps([moment_dict(m, i, query) for i, m in enumerate(moments, 1)], indent=1, ensure_ascii=False)


def moments_csv(moments: Sequence[Moment], query: str = "") -> str:
    """A header and one line a moment, best first."""
    names = [
        "rank",
        "start_seconds",
        "end_seconds",
        "score",
        "confidence",
        "video_score",
        "video_seconds",
        "similar",
        "offline",
        "query",
        "path",
    ]
    return _csv(names, (moment_dict(m, i, query) for i, m in enumerate(moments, 1)))


def _csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().rstrip("\n")


def print_moments(moments: Sequence[Moment]) -> None:
    """A table: rank, time codes, length, score, file."""
    columns = {
        "": [str(rank) for rank, _ in enumerate(moments, 1)],
        "start": [timecode(m.start_seconds) for m in moments],
        "end": [timecode(m.end_seconds) for m in moments],
        "length": [f"{m.end_seconds - m.start_seconds:.1f} s" for m in moments],
        "score": [f"{m.score:.2f}" for m in moments],
    }
    _Files(columns, [(m.path, _marks(m)) for m in moments], ("length", "score", "end")).print()


# ---- index runs


def print_report(report: IndexReport) -> None:
    """Counts in one line, then every file that needs attention."""
    out = console()
    nothing = "no video is finished yet" if report.interrupted else "no videos found"
    _say(out, ", ".join(_counts(report)) or nothing)
    if report.frames:
        _say(
            out,
            f"{report.frames} frames of {length(report.video_seconds)} video in {report.elapsed_seconds:.1f} s: "
            f"{report.frames / report.elapsed_seconds:.0f} frames/s, "
            f"{report.video_seconds / report.elapsed_seconds:.0f} × real time",
        )
    for note in report.notes:
        _say(out, f"  note  {note}")
    for name in ("relinked", "partial", "failed", "missing", "pruned"):
        _print_notes(out, name, getattr(report, name))
    if any(note.note.endswith(NOT_TRIED) for note in report.failed):
        _say(out, "What is unchanged is tried again with: vclip index --force FILE")
    if any(not note.note for note in report.missing):
        _say(out, "Missing files stay in the library until: vclip index --prune FOLDER")
    if report.interrupted:
        _say(out, "Interrupted. What is finished is in the library; the same command goes on from here.")


def _counts(report: IndexReport) -> Iterator[str]:
    """Each file once: those indexed in part are among the added and updated ones."""
    partial = {note.path for note in report.partial}
    for name in report.LISTS:
        paths = [note.path for note in getattr(report, name)]
        if paths and name != "partial":
            some = sum(path in partial for path in paths)
            yield f"{len(paths)} {name}" + (f" ({some} of them in part)" if some else "")


def _print_notes(out: Console, name: str, notes: Iterable[FileNote]) -> None:
    """A line each; where it is too long for a terminal the reason stands below the path, wrapped."""
    for note in notes:
        path, because = f"  {name}  {short_path(note.path)}", _reason(note)
        line = f"{path}: {because}" if because else path
        if because and out.is_terminal and len(line) > out.width:
            indent = " " * (len(name) + 4)
            wrapped = textwrap.wrap(
                because,
                max(out.width, 40),
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            line = "\n".join([path, *wrapped])
        out.print(line, markup=False, soft_wrap=True)


def _reason(note: FileNote) -> str:
    """Why, without the file's path: it stands before it."""
    path = re.escape(printable(note.path))
    because = re.sub(rf"^{path}:? ", "", note.note)
    return one_line(re.sub(rf"(?<!\w){path}(?![\w/-]|\.\w)", "it", because))  # not in a longer path


def _marks(moment: Moment) -> list[str]:
    """What is said behind the file's name."""
    alike = [f"+{moment.similar} alike"] if moment.similar else []
    return alike + (["offline"] if moment.is_offline else [])


# ---- library


def print_info(info: LibraryInfo) -> None:
    """One fact a line."""
    behind = "" if info.index_is_current else " (behind the table; the next search brings it up to date)"
    partial = f", {info.partial} of them partial" if info.partial else ""
    inexact = f", {info.inexact} decoded with --tolerance or --no-loop-filter" if info.inexact else ""
    facts = {
        "library": str(info.path),
        "model": f"{info.model}, {info.dimension} dimensions",
        "sampling": f"{info.fps:g} frames a second (one every {1 / info.fps:g} s)",
        "videos": f"{info.videos}, {length(info.video_seconds)}{partial}{inexact}",
        "frames": f"{info.frames} in {info.fragments} table {'file' if info.fragments == 1 else 'files'}",
        "index": f"{info.index}, {info.index_rows} rows{behind}",
        "on disk": size(info.bytes_on_disk),
        "thumbnails": size(info.thumbnail_bytes) if info.thumbnail_bytes else "none",
    }
    out = console()
    for name, value in facts.items():
        lines = [value]
        if out.is_terminal:
            lines = textwrap.wrap(value, max(out.width - 12, 20), break_long_words=False, break_on_hyphens=False)
        out.print(f"{name:>10}  " + f"\n{'':12}".join(lines), markup=False, soft_wrap=True)


def info_json(info: LibraryInfo) -> str:
    """The same as JSON."""
    return json.dumps({**dataclasses.asdict(info), "path": os.fspath(info.path)}, indent=1)


def videos_json(videos: Sequence[VideoRow]) -> str:
    """All columns of the videos table."""
    rows = [
        {**vars(v), "paths": [path_text(p) for p in v.paths], "offline": v.present_path() is None} for v in videos
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def videos_csv(videos: Sequence[VideoRow]) -> str:
    """A header and one line a path, the same columns."""
    from indexer.catalogue import VideoRow

    names = [field.name for field in dataclasses.fields(VideoRow) if field.name != "paths"]
    rows = (
        {
            **{name: getattr(v, name) for name in names},
            "offline": not os.path.lexists(path),
            "path": path_text(path),
        }
        for v in videos
        for path in v.paths
    )
    return _csv([*names, "offline", "path"], rows)


def print_videos(videos: Sequence[VideoRow]) -> None:
    """A table: length, frames, picture, date, file; of a video with several paths, one below the other."""
    rows: list[tuple[str, ...]] = []
    files = []
    for v in videos:
        day = time.strftime("%Y-%m-%d", time.localtime(v.indexed_unix))
        figures = timecode(v.duration_seconds), str(v.frames), f"{v.width}×{v.height} {v.codec}", day
        for place, path in enumerate(v.paths):
            rows.append(figures if place == 0 else ("",) * len(figures))
            marks = ["same content as above"] if place else []
            marks += [] if v.complete else ["partial"]
            marks += [v.shortcuts] if v.shortcuts else []
            marks += [] if os.path.lexists(path) else ["offline"]
            files.append((path, marks))
    columns = dict(zip(("length", "frames", "picture", "indexed"), zip(*rows, strict=True), strict=True))
    _Files(columns, files, ("frames", "indexed", "picture", "length")).print()


def print_relinking(relinking: Relinking, dry_run: bool) -> None:
    """Old and new path of each, then what stays as it is and why."""
    out = console()
    for old, new in relinking.relinked:
        out.print(f"  {one_line(old)} → {one_line(new)}", markup=False, soft_wrap=True)
    for old, reason in relinking.kept:
        out.print(f"  kept  {one_line(old)}: {one_line(reason)}", markup=False, soft_wrap=True)
    done = "would be relinked" if dry_run else "relinked"
    _say(out, f"{len(relinking.relinked)} {done}, {len(relinking.kept)} kept")
    if not relinking.was_checked:
        _say(out, "The new place is away, so no content was compared; `vclip verify` tells when it is there.")


def relinking_json(relinking: Relinking) -> str:
    """The same as JSON."""
    values = {
        "relinked": [{"old": path_text(old), "new": path_text(new)} for old, new in relinking.relinked],
        "kept": [{"path": path_text(old), "reason": reason} for old, reason in relinking.kept],
        "checked": relinking.was_checked,
    }
    return json.dumps(values, indent=1, ensure_ascii=False)


def print_problems(problems: Sequence[Problem]) -> None:
    """Two lines a problem: what, and how to mend it."""
    out = console()
    for problem in problems:
        _say(out, f"✗ {one_line(problem.what)}\n  → {one_line(problem.mend)}")
    if not problems:
        _say(out, "Table, index and files agree.")
