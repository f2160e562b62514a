"""What the commands print: tables at the terminal's width, JSON, CSV."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import textwrap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.discover import printable
from indexer.failures import NOT_TRIED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from indexer.build import FileNote, IndexReport
    from indexer.catalogue import VideoRow
    from indexer.relink import Relinking
    from indexer.verify import Problem
    from searcher.rank import Moment
    from vclipper.library import LibraryInfo


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
    """A terminal that takes its width from the real one; plain where output is not a terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def short_path(path: Path, folder: Path | None = None) -> str:
    """Relative to ``folder`` (default: the current one) where it lies below it; one line, whatever the name."""
    with contextlib.suppress(ValueError):
        path = path.relative_to(folder or Path.cwd())
    text = printable(path)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def common_folder(paths: Iterable[Path]) -> Path:
    """The deepest folder that all files share: said once, instead of in every row."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def _print_with_folder(table: Table, folder: Path) -> None:
    out = console()
    if folder != Path.cwd():
        out.print(f"in {short_path(folder)}/", markup=False, soft_wrap=True)
    out.print(table)


# ---- moments


def moment_dict(moment: Moment, rank: int, query: str = "") -> dict[str, Any]:
    """Plain values for JSON and CSV; ``vclip export`` reads them."""
    return {
        "rank": rank,
        "query": query,
        "path": printable(moment.path),
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
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(moment_dict(m, i, query) for i, m in enumerate(moments, 1))
    return buffer.getvalue().rstrip("\n")


def print_moments(moments: Sequence[Moment]) -> None:
    """A table: rank, time codes, length, score, file."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for name in ("", "start", "end", "length", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    folder = common_folder(m.path for m in moments)
    for rank, m in enumerate(moments, 1):
        seconds = f"{m.end_seconds - m.start_seconds:.1f} s"
        times = timecode(m.start_seconds), timecode(m.end_seconds)
        table.add_row(str(rank), *times, seconds, f"{m.score:.2f}", _text(m.path, folder, *_marks(m)))
    _print_with_folder(table, folder)


# ---- index runs


def print_report(report: IndexReport) -> None:
    """Counts in one line, then every file that needs attention."""
    out = console()
    counts = [(name, len(getattr(report, name))) for name in report.LISTS]
    nothing = "no video is finished yet" if report.interrupted else "no videos found"
    out.print(", ".join(f"{n} {name}" for name, n in counts if n) or nothing)
    if report.frames:
        out.print(
            f"{report.frames} frames of {length(report.video_seconds)} video in {report.elapsed_seconds:.1f} s: "
            f"{report.frames / report.elapsed_seconds:.0f} frames/s, "
            f"{report.video_seconds / report.elapsed_seconds:.0f} × real time"
        )
    for note in report.notes:
        out.print(f"  note  {note}", markup=False)
    for name in ("relinked", "partial", "failed", "missing", "pruned"):
        _print_notes(out, name, getattr(report, name))
    if any(note.note.endswith(NOT_TRIED) for note in report.failed):
        out.print("What is unchanged is tried again with: vclip index --force FILE")
    if report.missing:
        out.print("Missing files stay in the library until: vclip index --prune FOLDER")
    if report.interrupted:
        out.print("Interrupted. What is finished is in the library; the same command goes on from here.")


def _print_notes(out: Console, name: str, notes: Iterable[FileNote]) -> None:
    """A line each; where it would be too long the reason stands below the path, wrapped."""
    for note in notes:
        path, because = f"  {name}  {short_path(note.path)}", _reason(note)
        line = f"{path}: {because}" if because else path
        if because and len(line) > out.width:
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
    path = printable(note.path)
    return note.note.removeprefix(f"{path} ").removeprefix(f"{path}: ").replace(path, "it")


def _text(path: Path, folder: Path, *marks: str) -> Text:
    from rich.text import Text

    return Text(short_path(path, folder) + "".join(f"  ({mark})" for mark in marks))


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
        lines = textwrap.wrap(value, max(out.width - 12, 20), break_long_words=False, break_on_hyphens=False)
        out.print(f"{name:>10}  " + f"\n{'':12}".join(lines), markup=False, soft_wrap=True)


def info_json(info: LibraryInfo) -> str:
    """The same as JSON."""
    return json.dumps({**dataclasses.asdict(info), "path": os.fspath(info.path)}, indent=1)


def videos_json(videos: Sequence[VideoRow]) -> str:
    """All columns of the videos table."""
    rows = [
        {**vars(v), "paths": [printable(p) for p in v.paths], "offline": v.present_path() is None} for v in videos
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def print_videos(videos: Sequence[VideoRow]) -> None:
    """A table: length, frames, picture, date, file."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("length", "frames", "picture", "indexed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    folder = common_folder(path for v in videos for path in v.paths)
    for v in videos:
        day = time.strftime("%Y-%m-%d", time.localtime(v.indexed_unix))
        picture = f"{v.width}×{v.height} {v.codec}"
        for place, path in enumerate(v.paths):
            first = (timecode(v.duration_seconds), str(v.frames), picture, day) if place == 0 else ("", "", "", "")
            marks = [] if v.complete else ["partial"]
            marks += [v.shortcuts] if v.shortcuts else []
            marks += [] if os.path.lexists(path) else ["offline"]
            table.add_row(*first, _text(path, folder, *marks))
    _print_with_folder(table, folder)


def print_relinking(relinking: Relinking, dry_run: bool) -> None:
    """Old and new path of each, then what stays as it is and why."""
    out = console()
    for old, new in relinking.relinked:
        out.print(f"  {printable(old)} → {printable(new)}", markup=False, soft_wrap=True)
    for old, reason in relinking.kept:
        out.print(f"  kept  {printable(old)}: {reason}", markup=False)
    done = "would be relinked" if dry_run else "relinked"
    out.print(f"{len(relinking.relinked)} {done}, {len(relinking.kept)} kept")
    if not relinking.was_checked:
        out.print("The new place is away, so no content was compared; `vclip verify` tells when it is there.")


def relinking_json(relinking: Relinking) -> str:
    """The same as JSON."""
    values = {
        "relinked": [{"old": printable(old), "new": printable(new)} for old, new in relinking.relinked],
        "kept": [{"path": printable(old), "reason": reason} for old, reason in relinking.kept],
        "checked": relinking.was_checked,
    }
    return json.dumps(values, indent=1, ensure_ascii=False)


def print_problems(problems: Sequence[Problem]) -> None:
    """Two lines a problem: what, and how to mend it."""
    out = console()
    for problem in problems:
        out.print(f"✗ {problem.what}\n  → {problem.mend}", markup=False)
    if not problems:
        out.print("Table, index and files agree.")
