"""Annotated videos in their public formats, behind one small interface.

Every loader reads files and returns a :class:`Dataset`; :data:`DATASETS` names them. A loader for a new
data set is one function ``Path → Dataset`` and one entry in that table.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import ANNOTATORS
from indexer.errors import InputError, first_line

CLIP_SECONDS = 2.0
HIGHEST_MARK = 4
_LONGEST_SECONDS = 1e7  # every clip has marks in memory


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
        return path.read_text(encoding="utf-8").split("\n")  # splitlines() also splits inside of texts
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
        yield number, _object(_json(line, path, number), f"{path}, line {number}")


def _json(text: str, path: Path, line: int = 1) -> Any:
    """What ``text`` holds, which begins on this line of the file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}, line {line + error.lineno - 1}"
        raise InputError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
        raise InputError(f"{path}, line {line}: not JSON ({first_line(error)})") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object {{...}}, found {short(value)}")
    return value


def short(value: Any) -> str:
    """A value as JSON, cut to what fits in a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def field_of(row: Mapping[str, Any], name: str, where: str) -> Any:
    """``row[name]``, or an InputError that names the place."""
    if name not in row:
        raise InputError(f"{where}: the field {name!r} is missing")
    return row[name]


def id_of(row: Mapping[str, Any], name: str, where: str) -> int | str:
    """The field ``name`` as an id. 7.0 is 7: tables write whole numbers so.

    Raises:
        InputError: neither a whole number nor a name; names the place.
    """
    value = field_of(row, name, where)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InputError(f"{where}: the {name} {short(value)} is neither a whole number nor a name")
    return value


def _text_of(row: Mapping[str, Any], name: str, where: str) -> str:
    value = field_of(row, name, where)
    if not isinstance(value, str):
        raise InputError(f"{where}: the {name} {short(value)} is not a text")
    return value


def _list_of(row: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = field_of(row, name, where)
    if not isinstance(value, list):
        raise InputError(f"{where}: {name} is {short(value)}, not a list")
    return value


def _seconds(value: Any, where: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= sys.float_info.max:
        raise InputError(f"{where}: {short(value)} is not a time in seconds")
    return float(value)


def _duration(row: Mapping[str, Any], where: str) -> float:
    duration = _seconds(field_of(row, "duration", where), where)
    if not 0 < duration <= _LONGEST_SECONDS:
        raise InputError(
            f"{where}: the duration is {duration:g} s, expected more than 0, at most {_LONGEST_SECONDS:g}"
        )
    return duration


def _times(value: Any, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{where}: {short(value)} is not a window [start, end]")
    return _seconds(value[0], where), _seconds(value[1], where)


def _span(value: Any, where: str) -> tuple[float, float]:
    start, end = _times(value, where)
    if not start < end:
        raise InputError(f"{where}: the window {value!r} is empty")
    return start, end


def _relevant_clips(row: Mapping[str, Any], clips: int, where: str) -> tuple[int, ...] | None:
    if row.get("relevant_clip_ids") is None:
        return None
    found = _list_of(row, "relevant_clip_ids", where)
    for clip in found:
        if type(clip) is not int or not 0 <= clip < clips:
            raise InputError(
                f"{where}: relevant_clip_ids holds {short(clip)}; the video has {clips} clips, counted from 0"
            )
    if len(set(found)) != len(found):
        raise InputError(f"{where}: relevant_clip_ids names a clip twice")
    return tuple(found)


def _marks(
    row: Mapping[str, Any], relevant: tuple[int, ...] | None, clips: int, where: str
) -> NDArray[np.int64] | None:
    if relevant is None or row.get("saliency_scores") is None:
        return None
    given = _list_of(row, "saliency_scores", where)
    if len(given) != len(relevant):
        raise InputError(f"{where}: {len(relevant)} relevant_clip_ids but {len(given)} saliency_scores")
    for marks_of_clip in given:
        if not _are_marks(marks_of_clip):
            raise InputError(
                f"{where}: saliency_scores holds {short(marks_of_clip)}, "
                f"expected {ANNOTATORS} whole numbers from 0 to {HIGHEST_MARK}"
            )
    marks = np.zeros((clips, ANNOTATORS), dtype=np.int64)
    if given:
        marks[list(relevant)] = given
    return marks


def _are_marks(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == ANNOTATORS
        and all(type(mark) is int and 0 <= mark <= HIGHEST_MARK for mark in value)
    )


def _qvhighlights_query(row: Mapping[str, Any], where: str) -> Query:
    duration = _duration(row, where)
    clips = int(duration / CLIP_SECONDS)
    relevant = _relevant_clips(row, clips, where)
    return Query(
        qid=id_of(row, "qid", where),
        text=_text_of(row, "query", where),
        video=str(id_of(row, "vid", where)),
        duration_seconds=duration,
        windows=tuple(_span(window, where) for window in _list_of(row, "relevant_windows", where)),
        marks=_marks(row, relevant, clips, where),
        relevant_clips=relevant,
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


_TIME = r"\d+\.?\d*"
_CHARADES_LINE = re.compile(rf"(?P<video>\S+)\s+(?P<start>{_TIME})\s+(?P<end>{_TIME})\s*##(?P<text>.*)")


def _charades_lengths(annotations: Path) -> dict[str, float]:
    """Video lengths from the ``Charades*.csv`` beside the annotations; {} where there is none."""
    lengths: dict[str, float] = {}
    for table in sorted(annotations.parent.glob("Charades*.csv")):
        rows = csv.DictReader(read_lines(table))
        for row in rows:
            if not row.get("id") or not row.get("length"):
                continue
            if not re.fullmatch(_TIME, row["length"].strip()):
                raise InputError(f"{table}, line {rows.line_num}: the length {row['length']!r} is not a number")
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
    videos = _object(_json("\n".join(read_lines(path)), path), str(path))
    queries = [
        query
        for video, captions in videos.items()
        for query in _activitynet_queries(video, captions, f"{path}, video {video}")
    ]
    return Dataset("ActivityNet Captions", path, tuple(queries))


def _activitynet_queries(video: str, captions: Any, where: str) -> Iterator[Query]:
    row = _object(captions, where)
    duration = _duration(row, where)
    spans, sentences = _list_of(row, "timestamps", where), _list_of(row, "sentences", where)
    if len(spans) != len(sentences):
        raise InputError(f"{where}: {len(spans)} timestamps but {len(sentences)} sentences")
    for place, (span, text) in enumerate(zip(spans, sentences, strict=True)):
        if not isinstance(text, str):
            raise InputError(f"{where}: the sentence {short(text)} is not a text")
        start, end = sorted(min(t, duration) for t in _times(span, where))
        if end > start:
            yield Query(f"{video}#{place}", text.strip(), video, duration, ((start, end),))


def _tvr_query(row: Mapping[str, Any], where: str) -> Query:
    start, end = _span(field_of(row, "ts", where), where)
    return Query(
        qid=id_of(row, "desc_id", where),
        text=_text_of(row, "desc", where),
        video=str(id_of(row, "vid_name", where)),
        duration_seconds=max(_duration(row, where), end),
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
