"""Does a library get slower to add to as it grows? Synthetic videos through the real planning, tables and index.

The library is filled in bulk up to each size, as a first ``vclip index`` of a large folder fills it. There some
runs are timed as a later ``vclip index`` makes them: the tables opened, files compared with the library, a commit,
and all that lies beside the tables brought along. Decoding and embedding are left out: they know nothing of the
library.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

from bench import plots
from bench.grid import Grid, timed
from bench.synthetic import CHUNK_ROWS, DIMENSION, frames_from
from indexer import fragments, index_choice, manifest
from indexer.catalogue import VideoRow
from indexer.manifest import Manifest
from indexer.plan import make_plan
from indexer.storage import TABLES, Folder
from indexer.store import Store, VideoFrames
from indexer.vectors import Float16

PERIOD_SECONDS = 2.0
#: Clips of 150 s: a million frames are 13,333 of them, so that what grows with videos shows too.
CLIP_FRAMES = 75
SIZES = (10_000, 100_000, 1_000_000)
VIDEOS_PER_RUN = (1, 10)
MODEL = "synthetic"


@dataclass(frozen=True)
class Run:
    """One run of ``vclip index``, in seconds of its parts.

    Attributes:
        rows: frames before it. videos: added.
        opened: the tables opened, and what a killed run left looked for.
        planned: the files compared with the library.
        committed: the tables written. followed: index and list of videos.
        processor: seconds of the processor, all together, which other work on the machine hardly changes.
    """

    rows: int
    videos: int
    opened: float
    planned: float
    committed: float
    followed: float
    processor: float

    @property
    def seconds(self) -> float:
        """All together."""
        return self.opened + self.planned + self.committed + self.followed


@dataclass(frozen=True)
class Merging:
    """The small files of the frames table merged, by a process of its own.

    Attributes:
        rows: frames. files: before. seconds: it took. peak_bytes: most memory meanwhile that is no mapped file.
    """

    rows: int
    files: int
    seconds: float
    peak_bytes: int


def measure(
    folder: Path,
    sizes: Sequence[int] = SIZES,
    runs: int = 20,
    video_frames: int = CLIP_FRAMES,
    on_done: Callable[[Run | Merging], None] = lambda done: None,
) -> tuple[list[Run], list[Merging]]:
    """Grow the library in ``folder``; ``runs`` of one video and half as many of ten at each of ``sizes``.

    ``video_frames``, of each video, divides CHUNK_ROWS.
    """
    found: tuple[list[Run], list[Merging]] = [], []
    library = folder / "library"
    for size in sizes:
        fill(library, size, video_frames)
        for videos in VIDEOS_PER_RUN:
            for _ in range(runs if videos == 1 else runs // 2):
                found[0].append(run(folder, videos, video_frames))
                on_done(found[0][-1])
        found[1].append(merge(library))
        on_done(found[1][-1])
    return found


def fill(library: Path, rows: int, video_frames: int = CLIP_FRAMES) -> None:
    """Add videos until there are about ``rows`` frames; a library that is there is added to."""
    store = open_store(library)
    done = store.count_frames()
    numbers, at_once = range(done // video_frames, rows // video_frames), CHUNK_ROWS // video_frames
    for start in range(0, len(numbers), at_once):
        store.commit([_video(number, video_frames) for number in numbers[start : start + at_once]])
    index_choice.bring_along(Folder(library), library, store)
    forget_old_versions(library)


def forget_old_versions(library: Path) -> None:
    """Delete what merging left for readers that opened the tables before, as a later run would."""
    for table in (library / TABLES).glob("*.lance"):
        fragments.forget_old_versions(os.fspath(table), {}, timedelta(0))


def open_store(library: Path) -> Store:
    """The tables of a synthetic library, made where there are none."""
    if manifest.exists(library):
        return Store(library, DIMENSION, PERIOD_SECONDS)
    library.mkdir(parents=True, exist_ok=True)
    store = Store.create(library, DIMENSION, PERIOD_SECONDS)
    manifest.save(Manifest(MODEL, "", DIMENSION, PERIOD_SECONDS), library)
    return store


def run(folder: Path, videos: int, video_frames: int = CLIP_FRAMES) -> Run:
    """Add new files as ``vclip index`` does, the library in ``folder / "library"`` opened for it."""
    library = folder / "library"
    rows = open_store(library).count_frames()
    first = rows // video_frames
    made = [_video(first + n, video_frames) for n in range(videos)]  # not timed
    files = [_file(folder / "files" / f"{first + n:08d}.mp4") for n in range(videos)]
    begun = time.process_time()
    store, opened = timed(lambda: _opened(library))
    plan, planned = timed(lambda: make_plan(files, store.catalogue(), files))
    if len(plan.jobs) != videos:
        raise AssertionError(f"{len(plan.jobs)} of {videos} files are new")
    _, committed = timed(lambda: store.commit(made))
    _, followed = timed(lambda: index_choice.bring_along(Folder(library), library, store))
    return Run(rows, videos, opened, planned, committed, followed, time.process_time() - begun)


def _opened(library: Path) -> Store:
    made = manifest.load(library)
    store = Store(library, made.dimension, made.period_seconds)
    store.refresh()
    store.recover()
    return store


def _file(path: Path) -> Path:
    """A file that the library does not know."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode() * 100)
    return path


def _video(number: int, video_frames: int) -> tuple[VideoRow, VideoFrames]:
    chunk, place = divmod(number * video_frames, CHUNK_ROWS)
    vectors = _chunk(chunk)[place : place + video_frames]
    frames = VideoFrames.of(number, vectors)
    return row_of(frames), frames


def row_of(frames: VideoFrames) -> VideoRow:
    """The row of a synthetic video, as if it lay in a folder."""
    number, n = frames.video_id, len(frames.vectors)
    path = Path(f"/films/{number // 100:05d}/{number:07d}.mp4")
    return VideoRow(number, f"{number}", (path,), n, PERIOD_SECONDS * n, indexed_unix=float(number))


@lru_cache(maxsize=2)
def _chunk(number: int) -> Float16:
    return frames_from(number * CHUNK_ROWS, CHUNK_ROWS)


def merge(library: Path) -> Merging:
    """Merge the small files of the frames table, as happens once in a while, and watch the memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_merged, (library,))


def _merged(library: Path) -> Merging:
    store = open_store(library)
    files, before, peak, is_done = store.fragments(), memory_bytes(), [0], threading.Event()

    def watch() -> None:
        while not is_done.wait(0.005):
            peak[0] = max(peak[0], memory_bytes() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, seconds = timed(lambda: store.compact(0))
    is_done.set()
    watcher.join()
    return Merging(store.count_frames(), files, seconds, peak[0])


def memory_bytes() -> int:
    """Memory of this process that is no mapped file."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def at_sizes(runs: Sequence[Run], videos: int) -> Iterator[list[Run]]:
    """Runs of so many videos, those of one size together: none began at twice the frames of the first."""
    group: list[Run] = []
    for one in runs:
        if one.videos != videos:
            continue
        if group and one.rows > 2 * group[0].rows:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def table(runs: Sequence[Run]) -> Grid:
    """One line for each size and number of new videos: medians over the runs."""
    header = ("frames", "videos a run", "open ms", "plan ms", "commit ms", "index ms", "together", "processor ms")
    lines = [_line(group) for videos in VIDEOS_PER_RUN for group in at_sizes(runs, videos)]
    return Grid("A later run of `vclip index` without decoding and embedding", header, tuple(lines))


def _line(group: Sequence[Run]) -> tuple[str, ...]:
    parts = [[r.opened, r.planned, r.committed, r.followed, r.seconds, r.processor] for r in group]
    medians = [f"{1e3 * statistics.median(values):.0f}" for values in zip(*parts, strict=True)]
    return (f"{group[0].rows:,}", f"{group[0].videos}", *medians)


def merging_table(mergings: Sequence[Merging]) -> Grid:
    """What merging the small files of the table takes."""
    lines = tuple((f"{m.rows:,}", f"{m.files}", f"{m.seconds:.2f}", f"{m.peak_bytes / 1e6:.0f}") for m in mergings)
    return Grid("Small files of the frames table merged", ("frames", "files", "s", "memory MB"), lines)


def draw(runs: Sequence[Run], file: Path) -> None:
    """Milliseconds of the processor a run against frames in the library, as SVG: dots, and medians of a size."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
    for number, videos in enumerate(VIDEOS_PER_RUN):
        groups, colour = list(at_sizes(runs, videos)), f"C{number}"
        some = [one for group in groups for one in group]
        axes.scatter([r.rows for r in some], [1e3 * r.processor for r in some], s=6, alpha=0.4, color=colour)
        medians = [1e3 * statistics.median(one.processor for one in group) for group in groups]
        label = f"{videos} new video{'s' if videos > 1 else ''} a run, median"
        axes.plot([group[0].rows for group in groups], medians, marker="o", color=colour, label=label)
    axes.set(xlabel="frames in the library", ylabel="processor ms a run", xscale="log", ylim=(0, None))
    axes.legend()
    plots.save(figure, file)
    pyplot.close(figure)
