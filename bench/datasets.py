"""Annotated videos in their public formats, behind one small interface.

Every loader reads files and returns a :class:`Dataset`; :data:`DATASETS` names them. A loader for a new
data set is one function ``Path → Dataset`` and one entry in that table.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import ANNOTATORS
from indexer.errors import InputError

CLIP_SECONDS = 2.0


@dataclass(frozen=True)
class Query:
    """One question about one video and its answer.

    Attributes:
        qid: the data set's own number or name of the query, unique.
        text: the query.
        video: the video's name without suffix.
        duration_seconds: the video's length.
        windows: the true moments in seconds, (start, end) each.
        marks: (C, 3) int64, the annotators' marks 0..4 for each 2 s clip; None where the data set has none.
        relevant_clips: positions of the 2 s clips that answer the query; None where not annotated.
    """

    qid: int | str
    text: str
    video: str
    duration_seconds: float
    windows: tuple[tuple[float, float], ...]
    marks: NDArray[np.int64] | None = None
    relevant_clips: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.duration_seconds > 0:
            raise InputError(f"query {self.qid}: the duration is {self.duration_seconds}")
        for start, end in self.windows:
            if not 0 <= start < end:
                raise InputError(f"query {self.qid}: the window {start} to {end} s is empty or negative")

    @property
    def clips(self) -> int:
        """How many 2 s clips the video has, the last one whole (the evaluator's rule)."""
        return int(self.duration_seconds / CLIP_SECONDS)

    def relevant(self, frames: int, period_seconds: float = CLIP_SECONDS) -> NDArray[np.bool_]:
        """(frames,) bool: which frames answer the query.

        The annotated clips where there are any on this grid, else the frames whose start lies in a window.
        """
        if self.relevant_clips is not None and period_seconds == CLIP_SECONDS:
            flags = np.zeros(frames, dtype=bool)
            flags[[clip for clip in self.relevant_clips if clip < frames]] = True
            return flags
        times = np.arange(frames) * period_seconds
        inside = [(times >= start) & (times < end) for start, end in self.windows]
        return np.any(inside, axis=0) if inside else np.zeros(frames, dtype=bool)


@dataclass(frozen=True)
class Dataset:
    """A split of a data set: its name, where it came from and its queries in file order."""

    name: str
    source: Path
    queries: tuple[Query, ...]

    def __post_init__(self) -> None:
        if not self.queries:
            raise InputError(f"{self.source} holds no query")
        if len(self.position) != len(self.queries):
            double, _ = Counter(query.qid for query in self.queries).most_common(1)[0]
            raise InputError(f"{self.source}: the query id {double!r} occurs twice")

    def __len__(self) -> int:
        return len(self.queries)

    def __iter__(self) -> Iterator[Query]:
        return iter(self.queries)

    @cached_property
    def position(self) -> dict[int | str, int]:
        """Query id → place in :attr:`queries`."""
        return {query.qid: place for place, query in enumerate(self.queries)}

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """Every video once, in order of first appearance."""
        return tuple(dict.fromkeys(query.video for query in self.queries))

    @property
    def has_marks(self) -> bool:
        """Whether every query carries saliency marks, so that highlights can be scored."""
        return all(query.marks is not None for query in self.queries)

    def subset(self, places: NDArray[Any]) -> Dataset:
        """The queries at these places."""
        return Dataset(self.name, self.source, tuple(self.queries[int(place)] for place in places))


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file; InputError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each non-empty line.

    Raises:
        InputError: the file cannot be read, or a line is no JSON object; names the line.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error.msg} at column {error.colno})") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected an object {{...}}, found {type(row).__name__}")
        yield number, row


def field_of(row: Mapping[str, Any], name: str, where: str) -> Any:
    """``row[name]``, or an InputError that names the place."""
    if name not in row:
        raise InputError(f"{where}: the field {name!r} is missing")
    return row[name]


def _seconds(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where}: {value!r} is not a time in seconds")
    return float(value)


def _span(value: Any, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) < 2:
        raise InputError(f"{where}: {value!r} is not a window [start, end]")
    start, end = _seconds(value[0], where), _seconds(value[1], where)
    if not 0 <= start < end:
        raise InputError(f"{where}: the window {value!r} is empty or negative")
    return start, end


def _marks(row: Mapping[str, Any], clips: int, where: str) -> NDArray[np.int64] | None:
    if "saliency_scores" not in row or "relevant_clip_ids" not in row:
        return None
    marks = np.zeros((clips, ANNOTATORS), dtype=np.int64)
    try:
        marks[np.array(row["relevant_clip_ids"], dtype=np.intp)] = row["saliency_scores"]
    except (IndexError, ValueError, TypeError):
        raise InputError(f"{where}: relevant_clip_ids and saliency_scores do not belong together") from None
    return marks


def _qvhighlights_query(row: Mapping[str, Any], where: str) -> Query:
    duration = _seconds(field_of(row, "duration", where), where)
    windows = tuple(_span(window, where) for window in field_of(row, "relevant_windows", where))
    clips = row.get("relevant_clip_ids")
    return Query(
        qid=field_of(row, "qid", where),
        text=str(field_of(row, "query", where)),
        video=str(field_of(row, "vid", where)),
        duration_seconds=duration,
        windows=windows,
        marks=_marks(row, int(duration / CLIP_SECONDS), where),
        relevant_clips=None if clips is None else tuple(clips),
    )


def _queries_by_line(path: Path, parse: Callable[[Mapping[str, Any], str], Query]) -> tuple[Query, ...]:
    lines: dict[int | str, int] = {}
    queries = []
    for number, row in read_jsonl(path):
        where = f"{path}, line {number}"
        query = parse(row, where)
        if query.qid in lines:
            raise InputError(f"{where}: the query id {query.qid!r} was already on line {lines[query.qid]}")
        lines[query.qid] = number
        queries.append(query)
    return tuple(queries)


def load_qvhighlights(path: Path) -> Dataset:
    """QVHighlights (Lei et al. 2021): one JSON object a line, ``highlight_{split}_release.jsonl``."""
    return Dataset("QVHighlights", path, _queries_by_line(path, _qvhighlights_query))


_CHARADES_LINE = re.compile(r"(?P<video>\S+)\s+(?P<start>[\d.]+)\s+(?P<end>[\d.]+)\s*##(?P<text>.*)")


def _charades_lengths(annotations: Path) -> dict[str, float]:
    """Video lengths from the ``Charades*.csv`` beside the annotations; {} where there is none."""
    lengths: dict[str, float] = {}
    for table in sorted(annotations.parent.glob("Charades*.csv")):
        for row in csv.DictReader(read_lines(table)):
            if row.get("id") and row.get("length"):
                lengths[row["id"]] = float(row["length"])
    return lengths


def load_charades_sta(path: Path) -> Dataset:
    """Charades-STA (Gao et al. 2017): ``VIDEO start end##sentence`` a line.

    The format has no lengths. They are read from Charades' own tables (``Charades_v1_*.csv``: id, length)
    in the same folder; a video without one is taken to end with its last annotated moment. Windows are cut
    at the video's end. The line number is the query's id.
    """
    lengths = _charades_lengths(path)
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        match = _CHARADES_LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(f"{path}, line {number}: expected 'VIDEO start end##sentence', found {line!r}")
        found.append((number, match["video"], float(match["start"]), float(match["end"]), match["text"]))
    last: dict[str, float] = {}
    for _, video, _, end, _ in found:
        last[video] = max(end, last.get(video, 0.0))
    queries = []
    for number, video, start, end, text in found:
        duration = lengths.get(video, last[video])
        span = _span([start, min(end, duration)], f"{path}, line {number}")
        queries.append(Query(number, text.strip(), video, duration, (span,)))
    return Dataset("Charades-STA", path, tuple(queries))


def load_activitynet_captions(path: Path) -> Dataset:
    """ActivityNet Captions (Krishna et al. 2017): ``{video: {duration, timestamps, sentences}}``.

    A few of its timestamps run past the video or backwards: they are cut at the end and put in order, and
    what is then empty is left out. The id is the video's name, ``#`` and the sentence's place.
    """
    try:
        videos = json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    if not isinstance(videos, dict):
        raise InputError(f"{path}: expected an object that maps videos to their captions")
    queries = []
    for video, row in videos.items():
        where = f"{path}, video {video}"
        duration = _seconds(field_of(row, "duration", where), where)
        spans, sentences = field_of(row, "timestamps", where), field_of(row, "sentences", where)
        if len(spans) != len(sentences):
            raise InputError(f"{where}: {len(spans)} timestamps but {len(sentences)} sentences")
        for place, (span, text) in enumerate(zip(spans, sentences, strict=True)):
            start, end = sorted(min(_seconds(t, where), duration) for t in span)
            if end > start:
                queries.append(Query(f"{video}#{place}", text.strip(), video, duration, ((start, end),)))
    return Dataset("ActivityNet Captions", path, tuple(queries))


def _tvr_query(row: Mapping[str, Any], where: str) -> Query:
    start, end = _span(field_of(row, "ts", where), where)
    return Query(
        qid=field_of(row, "desc_id", where),
        text=str(field_of(row, "desc", where)),
        video=str(field_of(row, "vid_name", where)),
        duration_seconds=max(_seconds(field_of(row, "duration", where), where), end),
        windows=((start, end),),
    )


def load_tvr(path: Path) -> Dataset:
    """TVR (Lei et al. 2020): JSON lines with ``desc_id``, ``desc``, ``vid_name``, ``duration``, ``ts``."""
    return Dataset("TVR", path, _queries_by_line(path, _tvr_query))


DATASETS: Mapping[str, Callable[[Path], Dataset]] = {
    "qvhighlights": load_qvhighlights,
    "charades-sta": load_charades_sta,
    "activitynet-captions": load_activitynet_captions,
    "tvr": load_tvr,
}


def load_dataset(path: Path, name: str = "qvhighlights") -> Dataset:
    """Read the annotations of the data set ``name``, a key of :data:`DATASETS`.

    Raises:
        InputError: no such data set, or a file that is not in its format; names file and line.
    """
    if name not in DATASETS:
        raise InputError(f"unknown data set {name!r}", f"Choose one of: {', '.join(DATASETS)}")
    return DATASETS[name](path)
