"""Approximate search for libraries in which reading every vector takes too long.

Vectors are written a second time as short codes (:mod:`indexer.coders` has the kinds). A search looks through
the codes, takes many more frames than asked for, and scores these exactly from the float16 vectors of the
:class:`FlatIndex`: scores are exact, only the choice of frames is approximate. Three kinds of search never
leave the exact path: frames that have no code yet (the newest), filters that leave few frames, and answers
that the codes could not fill.

On disk, in ``codes/``: a trained coder and runs of codes, each of some hundred thousand frames and written
once. ``codes.json`` lists them and is replaced last. Codes are found again by video id, so they fit any state
of the table: videos without codes are searched exactly, codes of videos that are gone are passed over.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.checksum import head_sum
from indexer.coders import CODERS, Coder
from indexer.errors import LibraryDamagedError, first_line
from indexer.frame_index import (
    FlatIndex,
    FrameHits,
    Moments,
    Rows,
    is_member,
    merge,
    search_threads,
    selector,
    sorted_ids,
)
from indexer.manifest import write_json_atomically
from indexer.vectors import Float32

FOLDER = "codes"
LIST_NAME = "codes.json"
#: So many frames may wait without codes: an exact search of them takes about 10 ms on two cores.
TAIL_ROWS = 262_144
#: The largest run: what is held in memory while it is made, as codes.
RUN_ROWS = 1_048_576
#: Frames scored exactly: this many for each one wanted, and at least so many.
_PER_WANTED, _AT_LEAST = 4, 4_000
#: A run gives at most so many times its share of them: answers need not be spread evenly, but ten runs that each
#: give as many as all together make a search a tenth slower.
_UNEVENNESS = 3
#: A run with a larger share of videos that are gone is made anew.
_MAX_GONE = 0.25
_ROWS_AT_ONCE = 65_536
_GONE = -1

OnCodes = Callable[[int, int], None]


@dataclass(frozen=True)
class Run:
    """Codes of some videos, in a FAISS index whose ids are row numbers.

    ``rows_name`` names the file that says which video each row belongs to: it is written anew when a video
    goes, the codes are not.
    """

    name: str
    rows_name: str
    rows: Rows
    index: Any

    def without(self, live: NDArray[np.int64]) -> Run:
        """The same codes with the rows of videos that are not ``live`` (sorted ids) marked."""
        ids = np.where(is_member(self.rows.video_ids, live), self.rows.video_ids, _GONE)
        if np.array_equal(ids, self.rows.video_ids):
            return self
        return replace(self, rows_name=_new_name(), rows=Rows(ids, self.rows.counts))

    @property
    def gone(self) -> float:
        """The share of rows whose video is gone."""
        return float(self.rows.counts[self.rows.video_ids == _GONE].sum()) / max(len(self.rows), 1)

    def candidates(
        self, coder: Coder, queries: Float32, k: int, probes: Any, wanted: NDArray[np.bool_]
    ) -> FrameHits:
        """The most promising rows of the videos that are ``wanted`` by their codes; scores are approximate.

        Where there are fewer than k, the list ends in rows with the score -inf.
        """
        chosen = None if wanted.all() else selector(np.repeat(wanted, self.rows.counts))
        scores, rows = coder.search(self.index, queries, min(k, len(self.rows)), probes, chosen)
        scores = np.where(rows >= 0, scores, -np.inf)
        return FrameHits(scores, *self.rows.locate(np.maximum(rows, 0)))


class CodedIndex:
    """A :class:`FrameIndex` that finds frames by codes and scores them exactly."""

    def __init__(self, flat: FlatIndex, coder: Coder, runs: Sequence[Run], trained_rows: int) -> None:
        self.kind = f"{coder.title} codes, re-scored exactly from float16, CPU"
        self.flat, self.coder, self.runs, self.trained_rows = flat, coder, list(runs), trained_rows
        live = sorted_ids(flat.video_ids)
        coded = np.concatenate([run.rows.video_ids for run in self.runs] or [np.zeros(0, np.int64)])
        self._coded = np.unique(coded[is_member(coded, live)])
        self._uncoded = live[~is_member(live, self._coded)]
        newest = [s for s in flat.segments if is_member(s.rows.video_ids, self._uncoded).any()]
        self._tail = FlatIndex(newest, flat.dimension)

    @property
    def rows(self) -> int:
        """See :class:`FrameIndex`."""
        return self.flat.rows

    @property
    def coded_rows(self) -> int:
        """Frames that have codes."""
        return self.flat.count(self._coded)

    @property
    def has_outgrown(self) -> bool:
        """Whether the library has become so much larger since training that lists are long."""
        return self.rows > 8 * self.trained_rows

    @property
    def video_ids(self) -> frozenset[int]:
        """See :class:`FrameIndex`."""
        return self.flat.video_ids

    def search(self, queries: Float32, k: int, videos: Collection[int] | None = None) -> FrameHits:
        """See :class:`FrameIndex`; the frames are nearly always the best ones, the scores always exact."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        wanted = None if videos is None else sorted_ids(videos)
        if wanted is not None and self.flat.count(wanted) <= TAIL_ROWS:
            return self.flat.search(queries, k, wanted)
        hits = merge([*self._by_codes(queries, k, wanted), self._newest(queries, k, wanted)], len(queries), k)
        allowed = self.rows if wanted is None else self.flat.count(wanted)
        if np.isneginf(hits.scores).any() or hits.scores.shape[1] < min(k, allowed):
            return self.flat.search(queries, k, wanted)
        return hits

    def _newest(self, queries: Float32, k: int, wanted: NDArray[np.int64] | None) -> FrameHits:
        uncoded = self._uncoded if wanted is None else wanted[is_member(wanted, self._uncoded)]
        return self._tail.search(queries, k, uncoded)

    def _by_codes(self, queries: Float32, k: int, wanted: NDArray[np.int64] | None) -> list[FrameHits]:
        coded = self._coded if wanted is None else wanted[is_member(wanted, self._coded)]
        count = max(_PER_WANTED * k, _AT_LEAST)
        probes = self.coder.probes(queries)

        def of_run(run: Run, share: float, videos: NDArray[np.bool_]) -> FrameHits:
            most = min(count, max(k, math.ceil(_UNEVENNESS * share * count)))
            return run.candidates(self.coder, queries, most, probes, videos)

        found = list(search_threads().map(lambda part: of_run(*part), self._shares(coded)))
        return [self._exact(queries, merge(found, len(queries), count))] if found else []

    def _shares(self, videos: NDArray[np.int64]) -> list[tuple[Run, float, NDArray[np.bool_]]]:
        """Runs that hold frames of ``videos`` (sorted ids): which part of these frames, in which of its videos."""
        masks = [is_member(run.rows.video_ids, videos) for run in self.runs]
        rows = [int(run.rows.counts[mask].sum()) for run, mask in zip(self.runs, masks, strict=True)]
        parts = zip(self.runs, rows, masks, strict=True)
        return [(run, held / sum(rows), mask) for run, held, mask in parts if held]

    def _exact(self, queries: Float32, near: FrameHits) -> FrameHits:
        """The same frames with their true scores; a place that holds no frame keeps -inf."""
        scores = np.full(near.scores.shape, -np.inf, np.float32)
        for number, query in enumerate(queries):
            real = np.isfinite(near.scores[number])
            scores[number, real] = self.flat.scores(query, near.video_ids[number, real], near.frames[number, real])
        return FrameHits(scores, near.video_ids, near.frames)

    def load(self, video_ids: Collection[int]) -> None:
        """See :class:`FrameIndex`; they are here."""

    def vectors(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self.flat.vectors(video_id)

    def next_similarity(self, video_id: int) -> Float32:
        """See :class:`FrameIndex`."""
        return self.flat.next_similarity(video_id)

    def background(self, query: Float32) -> tuple[float, float]:
        """See :class:`FrameIndex`."""
        return self.flat.background(query)

    @property
    def moments(self) -> Moments:
        """See :class:`FrameIndex`."""
        return self.flat.moments


# ---- on disk


def load(library: Path, flat: FlatIndex) -> CodedIndex | None:
    """The codes as they lie on disk, over ``flat``; None where there are none.

    Raises:
        LibraryDamagedError: the files do not fit together.
    """
    folder = library / FOLDER
    if not (folder / LIST_NAME).exists():
        return None
    try:
        return _load(folder, flat)
    except Exception as error:  # FAISS raises RuntimeError, JSON ValueError, NumPy its own
        reason = first_line(error)
        raise LibraryDamagedError(
            f"the codes in {folder} cannot be read: {reason}", "Make them anew: vclip reindex"
        ) from error


def _load(folder: Path, flat: FlatIndex) -> CodedIndex:
    values = json.loads((folder / LIST_NAME).read_text(encoding="utf-8"))
    for name, sum_ in values.get("sums", {}).items():
        if head_sum(folder / name) != sum_:
            raise ValueError(f"{name} is damaged")
    coder = CODERS[values["kind"]].opened(_read(folder / f"{values['coder']}.faiss", mapped=False))
    runs = [_load_run(folder, str(name), str(rows_name)) for name, rows_name in values["runs"]]
    return CodedIndex(flat, coder, runs, int(values["trained_rows"]))


def _load_run(folder: Path, name: str, rows_name: str) -> Run:
    index = _read(folder / f"{name}.faiss", mapped=True)
    rows = Rows(*np.load(folder / f"{rows_name}.npy", allow_pickle=False))
    if index.ntotal != len(rows):
        raise ValueError(f"run {name} has {index.ntotal} codes for {len(rows)} rows")
    return Run(name, rows_name, rows, index)


def _read(file: Path, mapped: bool) -> Any:
    """A FAISS index; what was mapped cannot be added to."""
    import faiss

    return faiss.read_index(os.fspath(file), faiss.IO_FLAG_MMAP_IFC if mapped else 0)


def drop(library: Path) -> None:
    """Delete all codes."""
    folder = library / FOLDER
    (folder / LIST_NAME).unlink(missing_ok=True)
    if folder.is_dir():
        _sweep(folder, [])


def follow(
    library: Path, flat: FlatIndex, kind: str, anew: bool = False, on_codes: OnCodes = lambda done, total: None
) -> CodedIndex:
    """Codes of ``kind`` for ``flat``, on disk: new frames get codes, old codes stay as they are.

    Args:
        library: the library directory; the caller holds its write lock.
        flat: the exact index, as it is now.
        kind: one of :data:`indexer.coders.CODERS`.
        anew: train again and write all codes again.
        on_codes: called with rows done and rows to do.
    """
    old = None if anew else _load_or_none(library, flat)
    if old is None or old.coder.name != kind:
        old = CodedIndex(flat, CODERS[kind].trained(flat.sample, flat.dimension, flat.rows), [], flat.rows)
    live = sorted_ids(flat.video_ids)
    kept = [run for run in (run.without(live) for run in old.runs) if run.gone <= _MAX_GONE]
    (library / FOLDER).mkdir(exist_ok=True)
    added = list(_new_runs(library / FOLDER, flat, old.coder, kept, on_codes))
    made = CodedIndex(flat, old.coder, [*kept, *added], old.trained_rows)
    _save(library / FOLDER, made)
    return made


def _load_or_none(library: Path, flat: FlatIndex) -> CodedIndex | None:
    try:
        return load(library, flat)
    except LibraryDamagedError:
        return None


def _new_runs(
    folder: Path, flat: FlatIndex, coder: Coder, kept: Sequence[Run], on_codes: OnCodes
) -> Iterator[Run]:
    coded = np.unique(np.concatenate([run.rows.video_ids for run in kept] or [np.zeros(0, np.int64)]))
    waiting = np.concatenate([s.rows.video_ids for s in flat.segments] or [np.zeros(0, np.int64)])
    groups = list(_groups(flat, waiting[~is_member(waiting, coded)]))
    done, total = 0, sum(flat.count(videos) for videos in groups)
    for videos in groups:
        run = _encode(flat, coder, videos, lambda n, done=done: on_codes(done + n, total))  # type: ignore[misc]
        _write_run(folder, run)
        done += len(run.rows)
        yield _load_run(folder, run.name, run.rows_name)


def _groups(flat: FlatIndex, videos: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Videos of one run each, as they lie; what is left waits unless it is too much for an exact search."""
    ends = np.cumsum([flat.count(videos[i : i + 1]) for i in range(len(videos))])
    first = 0
    while first < len(videos):
        before = int(ends[first - 1]) if first else 0
        if ends[-1] - before <= TAIL_ROWS:
            return
        end = max(first + 1, int(np.searchsorted(ends, before + RUN_ROWS, side="right")))
        yield videos[first:end]
        first = end


def _encode(flat: FlatIndex, coder: Coder, videos: NDArray[np.int64], on_rows: Callable[[int], None]) -> Run:
    index, waiting = coder.empty(), list[Float32]()
    for video_id in videos.tolist():
        waiting.append(flat.vectors(video_id))
        if sum(map(len, waiting)) >= _ROWS_AT_ONCE:
            _add(index, waiting)
            on_rows(index.ntotal)
    _add(index, waiting)
    on_rows(index.ntotal)
    counts = np.array([flat.count(videos[i : i + 1]) for i in range(len(videos))])
    return Run(_new_name(), _new_name(), Rows(videos, counts), index)


def _add(index: Any, waiting: list[Float32]) -> None:
    import faiss

    if waiting:
        vectors = np.concatenate(waiting)
        faiss.omp_set_num_threads(os.cpu_count() or 1 if len(vectors) > _ROWS_AT_ONCE // 4 else 1)
        index.add(vectors)
        waiting.clear()


def _save(folder: Path, made: CodedIndex) -> None:
    import faiss

    coder_name = _new_name()
    faiss.write_index(made.coder.index, os.fspath(folder / f"{coder_name}.faiss"))
    for run in made.runs:
        if not (folder / f"{run.rows_name}.npy").exists():
            _write_rows(folder, run)
    _flush(folder / f"{coder_name}.faiss")
    runs = [(run.name, run.rows_name) for run in made.runs]
    files = [f"{coder_name}.faiss", *(file for one, rows in runs for file in (f"{one}.faiss", f"{rows}.npy"))]
    values = {
        "kind": made.coder.name,
        "coder": coder_name,
        "trained_rows": made.trained_rows,
        "runs": runs,
        "sums": {file: head_sum(folder / file) for file in files},
    }
    write_json_atomically(folder / LIST_NAME, values)
    _sweep(folder, [coder_name, *(name for pair in runs for name in pair)])


def _write_run(folder: Path, run: Run) -> None:
    import faiss

    faiss.write_index(run.index, os.fspath(folder / f"{run.name}.faiss"))
    _flush(folder / f"{run.name}.faiss")
    _write_rows(folder, run)


def _write_rows(folder: Path, run: Run) -> None:
    file = folder / f"{run.rows_name}.npy"
    np.save(file, np.stack([run.rows.video_ids, run.rows.counts]))
    _flush(file)


def _flush(file: Path) -> None:
    with file.open("rb+") as written:
        os.fsync(written.fileno())


def _sweep(folder: Path, names: Sequence[str]) -> None:
    """Delete what is not listed, and what an interrupted write left."""
    for file in folder.iterdir():
        if file.name != LIST_NAME and file.name.split(".")[0] not in names:
            file.unlink(missing_ok=True)


def _new_name() -> str:
    return secrets.token_hex(8)
