"""Does a library get slower to add to as it grows? Synthetic videos through the real tables and index."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from bench.speed import Grid
from bench.synthetic import CHUNK_ROWS, DIMENSION, FRAMES_PER_VIDEO, frames_from
from indexer import manifest, segments
from indexer.manifest import Manifest
from indexer.store import Store, VideoFrames, VideoRow
from indexer.vectors import Float16

PERIOD_SECONDS = 2.0
#: What one run of ``vclip index`` adds here: ten videos.
ROWS_PER_STEP = 10 * FRAMES_PER_VIDEO
MODEL = "synthetic"


@dataclass(frozen=True)
class Step:
    """One addition to a library.

    Attributes:
        rows: frames in the library afterwards. videos: added.
        commit_seconds: to the tables, merging of small files included. index_seconds: to the index on disk.
        fragments: files of the frames table. memory_bytes: what the process holds, files mapped apart.
    """

    rows: int
    videos: int
    commit_seconds: float
    index_seconds: float
    fragments: int
    memory_bytes: int

    @property
    def per_video(self) -> float:
        """Seconds a video."""
        return (self.commit_seconds + self.index_seconds) / self.videos


def by_doubling(steps: Sequence[Step]) -> list[Step]:
    """Steps between two doublings of the library as one, so that a figure is of many runs, merges included."""
    groups: list[list[Step]] = []
    for step in steps:
        if not groups or step.rows > 2 * groups[-1][0].rows:
            groups.append([])
        groups[-1].append(step)
    return [_together(group) for group in groups]


def _together(steps: Sequence[Step]) -> Step:
    return replace(
        steps[-1],
        videos=sum(step.videos for step in steps),
        commit_seconds=sum(step.commit_seconds for step in steps),
        index_seconds=sum(step.index_seconds for step in steps),
        memory_bytes=max(step.memory_bytes for step in steps),
    )


def grow(
    folder: Path, rows: int, rows_per_step: int = ROWS_PER_STEP, videos_per_commit: int = 72
) -> Iterator[Step]:
    """Add synthetic videos of 30 minutes until the library in ``folder`` has ``rows`` frames.

    A library that is there already is added to. Making the vectors is not timed.

    Args:
        folder: the library.
        rows: the size to reach, rounded up to whole videos.
        rows_per_step: frames between two updates of the index, as after one run of ``vclip index``.
        videos_per_commit: videos of one commit, as the pipeline writes them.
    """
    store = open_store(folder)
    done = store.count_frames()
    while done < rows:
        step_rows, commit_seconds, videos = min(rows_per_step, rows - done), 0.0, 0
        for group in _commits(done, step_rows, videos_per_commit):
            started = time.perf_counter()
            store.commit(group)
            store.compact()
            commit_seconds += time.perf_counter() - started
            videos += len(group)
            done += sum(row.frames for row, _ in group)
        started = time.perf_counter()
        segments.follow(folder, store, store.videos())
        index_seconds = time.perf_counter() - started
        yield Step(done, videos, commit_seconds, index_seconds, store.fragments(), memory_bytes())


def open_store(folder: Path) -> Store:
    """The tables of a synthetic library, made where there are none."""
    if manifest.exists(folder):
        return Store(folder, DIMENSION, PERIOD_SECONDS)
    folder.mkdir(parents=True, exist_ok=True)
    store = Store.create(folder, DIMENSION, PERIOD_SECONDS)
    manifest.save(Manifest(MODEL, "", DIMENSION, PERIOD_SECONDS), folder)
    return store


def _commits(start: int, rows: int, videos_per_commit: int) -> Iterator[list[tuple[VideoRow, VideoFrames]]]:
    group: list[tuple[VideoRow, VideoFrames]] = []
    for first in range(start, start + rows, FRAMES_PER_VIDEO):
        group.append(_video(first))
        if len(group) == videos_per_commit:
            yield group
            group = []
    if group:
        yield group


def _video(first: int) -> tuple[VideoRow, VideoFrames]:
    number = first // FRAMES_PER_VIDEO
    chunk, place = divmod(first, CHUNK_ROWS)
    vectors = _chunk(chunk)[place : place + FRAMES_PER_VIDEO]
    path = Path(f"/films/{number // 100:05d}/{number:07d}.mp4")
    row = VideoRow(
        number, f"{number}", (path,), len(vectors), PERIOD_SECONDS * len(vectors), indexed_unix=float(number)
    )
    return row, VideoFrames.of(number, vectors)


@lru_cache(maxsize=2)
def _chunk(number: int) -> Float16:
    return frames_from(number * CHUNK_ROWS, CHUNK_ROWS)


def memory_bytes() -> int:
    """Memory of this process that is no mapped file."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def table(steps: Sequence[Step]) -> Grid:
    """One line each time that the library has doubled."""
    header = (
        "frames up to",
        "videos",
        "commit ms/video",
        "index ms/video",
        "together",
        "table files",
        "memory MB",
    )
    lines = tuple(
        (
            f"{s.rows:,}",
            f"{s.videos}",
            f"{1e3 * s.commit_seconds / s.videos:.1f}",
            f"{1e3 * s.index_seconds / s.videos:.1f}",
            f"{1e3 * s.per_video:.1f}",
            f"{s.fragments}",
            f"{s.memory_bytes / 1e6:.0f}",
        )
        for s in by_doubling(steps)
    )
    return Grid("One more video of 30 minutes (900 frames), by the size of the library", header, lines)


def draw(steps: Sequence[Step], file: Path) -> None:
    """Milliseconds a video against frames in the library, as SVG: runs are dots, means between doublings lines."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
    axes.scatter([s.rows for s in steps], [1e3 * s.per_video for s in steps], s=6, color="0.7", label="each run")
    doubled = by_doubling(steps)
    sizes = [s.rows for s in doubled]
    axes.plot(sizes, [1e3 * s.per_video for s in doubled], marker="o", label="tables and index")
    axes.plot(sizes, [1e3 * s.commit_seconds / s.videos for s in doubled], marker="o", label="tables")
    axes.set(
        xlabel="frames in the library", ylabel="ms for one more 30-minute video", xscale="log", ylim=(0, None)
    )
    axes.legend()
    figure.savefig(file)
    pyplot.close(figure)
