"""Every kind of index at a size, in one run: build, memory, disk, recall@k against exact, time of one query.

The frames are synthetic (:mod:`bench.synthetic`) and lie in memory-mapped float16 segments as in a library.
Queries go to all contenders in turn, so that what else the machine does hits all alike; or, where together they
outgrow its memory, to one after another, each of which then has the memory to itself. What a run before left in
the work folder (frames, codes) is opened again, with the time that it took to make. That is the processor's time
of all threads: what else the machine does lengthens the wall clock, not this.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench import plots
from bench.contenders import CONTENDERS, Ask, Contender, Ids, coded, row_numbers, table_of
from bench.grid import Grid
from bench.growth import memory_bytes
from bench.synthetic import CHUNK_ROWS, DIMENSION, FRAMES_PER_VIDEO, frames_from, queries
from indexer.frame_index import FlatIndex, FrameIndex, Moments, Rows, Segment
from indexer.segments import read_segment, write_segment
from indexer.vectors import Float32

Note = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """One contender at one size.

    Attributes:
        name: which. why_not: why it was not measured; then the figures are 0.
        build_seconds: processor time of all threads, from float16 frames on disk to the first answer.
        memory_bytes: that is no mapped file. disk_bytes: of its own files, the float16 frames apart.
        recall: of the best k, against exact. milliseconds: of each single query.
    """

    name: str
    build_seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    recall: float = 0.0
    milliseconds: tuple[float, ...] = ()
    why_not: str = ""


def measure(
    folder: Path,
    rows: int,
    names: Sequence[str],
    count: int = 100,
    k: int = 100,
    cap_seconds: float = 60.0,
    note: Note = lambda text: None,
    apart: bool = False,
    slow_too: bool = False,
) -> list[Result]:
    """Make each contender of ``names`` over ``rows`` synthetic frames and ask all of them ``count`` queries.

    Args:
        folder: where frames and indexes lie. rows: how many frames. names: of :data:`CONTENDERS`.
        count: of queries. k: frames wanted of each. cap_seconds: a contender that has answered for so long is
            asked no more. note: told what is done.
        apart: one contender after another, rather than all in turn; each is gone before the next is made.
        slow_too: those too that take long to build at this size.
    """
    flat, asked = make_frames(folder / f"frames-{rows}", rows), queries(count, rows)
    note(f"{rows:,} frames are there")
    results = {name: Result(name, why_not=_reason(CONTENDERS[name], rows, apart, slow_too)) for name in names}
    able = [name for name in names if not results[name].why_not]
    exact = truth(folder / f"frames-{rows}", flat, asked, k)
    for group in [[name] for name in able] if apart else [able]:
        results |= _measured(group, folder, flat, asked, exact, 1e3 * cap_seconds, note)
    return list(results.values())


def _measured(
    names: Sequence[str],
    folder: Path,
    flat: FlatIndex,
    asked: Float32,
    exact: Ids,
    cap_milliseconds: float,
    note: Note,
) -> dict[str, Result]:
    """Contenders made, then asked in turn; none is held afterwards."""
    asks, results = dict[str, Ask](), dict[str, Result]()
    for name in names:
        asks[name], results[name] = _make(name, CONTENDERS[name], flat, folder / f"{name}-{flat.rows}")
        note(f"{name} made in {results[name].build_seconds:.0f} s")
    found, times = _ask_all(asks, asked, exact.shape[1], cap_milliseconds)
    for name, rows in found.items():
        recall = mean_recall(rows, list(exact[: len(rows)]))
        results[name] = replace(results[name], recall=recall, milliseconds=tuple(times[name]))
    return results


#: Of the machine's memory, what one contender may take: alone, and beside others.
_ALONE, _BESIDE = 0.9, 0.7


def _reason(contender: Contender, rows: int, apart: bool, slow_too: bool) -> str:
    needed, memory = contender.bytes_per_row * rows, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory * (_ALONE if apart else _BESIDE):
        return f"needs {needed / 1e9:.0f} GB of memory, this machine has {memory / 1e9:.0f}"
    return contender.why_not if rows > contender.max_rows and not slow_too else ""


def _make(name: str, contender: Contender, flat: FlatIndex, folder: Path) -> tuple[Ask, Result]:
    before, started = memory_bytes(), time.process_time()
    folder.mkdir(parents=True, exist_ok=True)
    ask = contender.make(flat, folder)
    ask(queries(1, flat.rows)[0], 10)
    seconds = time.process_time() - started
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != "build.json")
    seconds = _first_seconds(folder / "build.json", seconds) if disk else seconds
    return ask, Result(name, seconds, max(0, memory_bytes() - before), disk)


def _first_seconds(file: Path, seconds: float) -> float:
    """What is opened again tells how long it took to make."""
    if not file.exists():
        file.write_text(json.dumps(seconds))
    return float(json.loads(file.read_text()))


#: Queries asked before any is timed: what they read is then in memory.
_WARMING = 3


def _ask_all(
    contenders: Mapping[str, Ask], asked: Float32, k: int, cap_milliseconds: float
) -> tuple[dict[str, list[Ids]], dict[str, list[float]]]:
    found: dict[str, list[Ids]] = {name: [] for name in contenders}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for ask in contenders.values():
        for query in asked[:_WARMING]:
            ask(query, k)
    for query in asked:
        for name, ask in contenders.items():
            if sum(times[name]) > cap_milliseconds:
                continue
            started = time.perf_counter()
            rows = ask(query, k)
            times[name].append(1e3 * (time.perf_counter() - started))
            found[name].append(rows)
    return found, times


def mean_recall(found: Sequence[Ids], exact: Sequence[Ids]) -> float:
    """The share of the exact rows that were found, averaged over queries."""
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True)]))


# ---- frames and the truth


def make_frames(folder: Path, rows: int) -> FlatIndex:
    """Synthetic frames as segments on disk, memory-mapped; made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{start:010d}" for start in range(0, rows, CHUNK_ROWS)]
    for start, name in zip(range(0, rows, CHUNK_ROWS), names, strict=True):
        if not (folder / f"{name}.done").exists():
            write_segment(folder, _segment(name, start, min(CHUNK_ROWS, rows - start)))
            (folder / f"{name}.done").touch()
    return FlatIndex([read_segment(folder, name, DIMENSION) for name in names], DIMENSION)


def _segment(name: str, start: int, rows: int) -> Segment:
    """As :meth:`Segment.build`, without what only a score needs (CFS_c, moments)."""
    import faiss

    index = faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index.add(frames_from(start, rows).astype(np.float32))
    first = start // FRAMES_PER_VIDEO
    counts = [min(FRAMES_PER_VIDEO, rows - place) for place in range(0, rows, FRAMES_PER_VIDEO)]
    nothing = Moments(rows, np.zeros(DIMENSION), np.zeros((DIMENSION, DIMENSION)))
    return Segment(
        name,
        Rows(np.arange(first, first + len(counts)), counts),
        index,
        np.zeros(rows, np.float32),
        lambda: nothing,
    )


def truth(folder: Path, flat: FlatIndex, asked: Float32, k: int) -> Ids:
    """As :func:`judge`, kept beside the frames."""
    file = folder / f"truth-{len(asked)}-{k}.npy"
    if not file.exists():
        np.save(file, judge(flat, asked, k))
    return np.asarray(np.load(file), np.int64)


def judge(flat: FlatIndex, asked: Float32, k: int) -> Ids:
    """(q, k) row numbers of the best frames: matrix products in float32, piece by piece."""
    scores, rows, start = np.zeros((len(asked), 0), np.float32), np.zeros((len(asked), 0), np.int64), 0
    for segment in flat.segments:
        here = asked @ segment.stored.astype(np.float32).T
        best = np.argpartition(-here, min(k, here.shape[1] - 1), axis=1)[:, :k]
        scores = np.concatenate([scores, np.take_along_axis(here, best, 1)], axis=1)
        rows = np.concatenate([rows, best + start], axis=1)
        start += len(segment.rows)
        order = np.argsort(-scores, axis=1)[:, :k]
        scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
    return rows


# ---- tables


def table(results: Sequence[Result], rows: int, k: int = 100) -> Grid:
    """One line a contender."""
    sizes = ("build CPU s", "memory MB", "own files MB")
    header = ("index", *sizes, f"recall@{k}", "queries", "median ms", "p95 ms", "")
    return Grid(f"One query, best {k} of {rows:,} × {DIMENSION}", header, tuple(_line(one) for one in results))


def _line(one: Result) -> tuple[str, ...]:
    if one.why_not:
        return (one.name, *["–"] * 7, one.why_not)
    return (
        one.name,
        f"{one.build_seconds:.0f}",
        f"{one.memory_bytes / 1e6:.0f}",
        f"{one.disk_bytes / 1e6:.0f}",
        f"{one.recall:.4f}",
        f"{len(one.milliseconds)}",
        f"{statistics.median(one.milliseconds):.1f}",
        f"{np.quantile(one.milliseconds, 0.95):.1f}",
        "",
    )


def draw(by_rows: Mapping[int, Sequence[Result]], file: Path) -> None:
    """Median milliseconds and recall against the number of frames, as SVG; one line an index."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(6.4, 5), sharex=True, layout="constrained", height_ratios=(3, 2)
    )
    for name in dict.fromkeys(one.name for results in by_rows.values() for one in results):
        points = [(rows, one) for rows, some in by_rows.items() for one in some if one.name == name]
        points = [(rows, one) for rows, one in points if one.milliseconds]
        sizes = [rows for rows, _ in points]
        above.plot(sizes, [statistics.median(one.milliseconds) for _, one in points], marker="o", label=name)
        below.plot(sizes, [one.recall for _, one in points], marker="o")
    above.set(xscale="log", yscale="log", ylabel="ms for one query (median)")
    below.set(xlabel="frames", ylabel="recall of the best 100", ylim=(None, 1.005))
    above.grid(alpha=0.3)
    below.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    plots.save(figure, file)
    pyplot.close(figure)


# ---- filters


@dataclass(frozen=True)
class Filtered:
    """One index under a filter.

    Attributes:
        share: of the videos that pass it. returned: answers of k, at the fewest. recall: against exact with
            the same filter. milliseconds: median. ratio: to the same index without a filter.
    """

    name: str
    share: float
    returned: int
    recall: float
    milliseconds: float
    ratio: float


def measure_filters(
    folder: Path, rows: int, names: Sequence[str], shares: Sequence[float], count: int = 40, k: int = 100
) -> list[Filtered]:
    """Ask each of our indexes under filters that let random videos pass."""
    flat, asked = make_frames(folder / f"frames-{rows}", rows), queries(count, rows)
    results = []
    for name in names:
        index = _opened(name, flat, folder / f"{name}-{rows}")
        usual = _asked(index, asked, k, None)[1]
        for share in shares:
            videos = _drawn_videos(flat, share)
            found, milliseconds = _asked(index, asked, k, videos)
            exact = [row_numbers(flat.search(query[None], k, videos))[0] for query in asked]
            recall = float(
                np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True)])
            )
            fewest = min(len(one) for one in found)
            results.append(Filtered(name, share, fewest, recall, milliseconds, milliseconds / usual))
    return results


def _opened(name: str, flat: FlatIndex, folder: Path) -> FrameIndex:
    if name == "exact":
        return flat
    folder.mkdir(parents=True, exist_ok=True)
    return table_of(flat, folder) if name == "lance" else coded(flat, folder, name)


def _drawn_videos(flat: FlatIndex, share: float) -> frozenset[int]:
    ids = np.array(sorted(flat.video_ids))
    return frozenset(np.random.default_rng(7).choice(ids, max(1, round(share * len(ids))), replace=False).tolist())


def _asked(index: FrameIndex, asked: Float32, k: int, videos: frozenset[int] | None) -> tuple[list[Ids], float]:
    index.search(asked[:1], k, videos)
    found, times = [], []
    for query in asked:
        started = time.perf_counter()
        hits = index.search(query[None], k, videos)
        times.append(1e3 * (time.perf_counter() - started))
        found.append(row_numbers(hits)[0])
    return found, statistics.median(times)


def filter_table(results: Sequence[Filtered], rows: int) -> Grid:
    """One line an index and share."""
    header = ("index", "videos that pass", "answers of 100", "recall", "median ms", "to unfiltered")
    lines = (
        (
            r.name,
            f"{100 * r.share:g} %",
            f"{r.returned}",
            f"{r.recall:.4f}",
            f"{r.milliseconds:.1f}",
            f"{r.ratio:.2f}",
        )
        for r in results
    )
    return Grid(f"Filters before the search, {rows:,} × {DIMENSION}", header, tuple(lines))
