"""The pipeline: decode → encode → write, and the report of what it did.

Decode processes run ahead of the encoder, the encoder of the writer; every hand-over is bounded. A video
enters the library whole, in one commit, when its last frame is encoded (``indexer.store``); what a killed
run leaves behind is deleted by the next one, which then goes on with the files that are missing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from indexer import decode_torchcodec
from indexer.catalogue import Catalogue, VideoRow
from indexer.decoders import Decoded, Failed, Finished, Message, Opened, decode_all
from indexer.discover import path_text, printable
from indexer.encoder import Encoder
from indexer.encoding import Encoders
from indexer.errors import ContentError, VClipperError
from indexer.fragments import Fragment
from indexer.plan import Job, Plan
from indexer.settings import IndexSettings
from indexer.store import Store, VideoFrames
from indexer.thumbnails import Thumbnails
from indexer.vectors import Float32, UInt8
from indexer.video_types import DecodeOutcome, VideoInfo


@dataclass(frozen=True)
class FileNote:
    """A file and what there is to say about it; ``is_lasting``: it would be said the next time too."""

    path: Path
    note: str = ""
    is_lasting: bool = False


@dataclass
class IndexReport:
    """What a run did, file by file.

    Attributes:
        added, updated: indexed in this run; partial ones are among them and in ``partial`` too.
        skipped: unchanged.
        relinked: known content under a new name.
        partial: indexed as far as they can be read; the note says why not further.
        failed: not indexed; the note says why.
        missing: in the library, gone from disk; the note says why they may be on a drive that is away.
        pruned: deleted files taken out.
        notes: what befell the run itself, such as a worker that was lost.
        frames: frames embedded. video_seconds: length of the videos indexed.
        elapsed_seconds: wall time. interrupted: stopped by Ctrl-C.
    """

    added: list[FileNote] = field(default_factory=list)
    updated: list[FileNote] = field(default_factory=list)
    skipped: list[FileNote] = field(default_factory=list)
    relinked: list[FileNote] = field(default_factory=list)
    partial: list[FileNote] = field(default_factory=list)
    failed: list[FileNote] = field(default_factory=list)
    missing: list[FileNote] = field(default_factory=list)
    pruned: list[FileNote] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    frames: int = 0
    video_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    interrupted: bool = False

    LISTS = ("added", "updated", "skipped", "relinked", "partial", "failed", "missing", "pruned")

    @property
    def ok(self) -> bool:
        """True when nothing failed and nothing was left undone."""
        return not self.failed and not self.interrupted

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        lists: dict[str, object] = {
            name: [{"path": path_text(n.path), "note": n.note} for n in getattr(self, name)] for name in self.LISTS
        }
        return {
            **lists,
            "notes": self.notes,
            "frames": self.frames,
            "video_seconds": round(self.video_seconds, 3),
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "interrupted": self.interrupted,
        }


@dataclass(frozen=True)
class Progress:
    """How far a run is: what a progress bar shows.

    Attributes:
        files_done, files: of those that must be decoded.
        frames: encoded so far. video_seconds: length of the pictures encoded so far.
        bytes_done, bytes_total: sizes of the files, by which the time left is estimated.
        elapsed_seconds: since decoding began. path: the file that was heard of last.
    """

    files_done: int
    files: int
    frames: int
    video_seconds: float
    bytes_done: int
    bytes_total: int
    elapsed_seconds: float
    path: Path | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Indexed:
    """A video, decoded and embedded: its row and its frames."""

    job: Job
    row: VideoRow
    frames: VideoFrames


@dataclass
class _Video:
    """A video whose frames are on their way through the encoder."""

    job: Job
    info: VideoInfo
    expected: int | None = None
    outcome: DecodeOutcome | None = None
    vectors: list[NDArray[np.float16]] = field(default_factory=list)
    frames_decoded: int = 0

    @property
    def done(self) -> bool:
        return self.outcome is not None and len(self.vectors) == self.frames_decoded


class Sink(Protocol):
    """Where a pipeline leaves what it has done."""

    def commit(self, videos: Sequence[Indexed]) -> None:
        """Make these videos part of the library; called in one thread, one call at a time."""
        ...

    def fail(self, job: Job, error: VClipperError) -> None:
        """Note a file that cannot be indexed."""
        ...

    def note(self, text: str) -> None:
        """Something that befell the run itself; any thread calls it."""
        ...


class Pipeline:
    """Decode and embed the jobs of a plan.

    Args:
        period_seconds: T, the time between two sampled frames.
        encoders: what embeds the pictures, one encoder a device: the same model on each, on devices of one kind.
        settings: sizes and bounds.
        sink: takes finished videos and failures.
        on_progress: called after each message.
        thumbnails: where they are kept; None makes none.
    """

    def __init__(
        self,
        period_seconds: float,
        encoders: Sequence[Encoder],
        settings: IndexSettings,
        sink: Sink,
        on_progress: OnProgress,
        thumbnails: Thumbnails | None = None,
    ) -> None:
        self._thumbnails = thumbnails
        self._period_seconds, self._picture, self._settings = period_seconds, encoders[0].picture, settings
        self._sink, self._on_progress = sink, on_progress
        self._batch_size = settings.batch_size_on(encoders[0].device)
        self._encoders = Encoders(encoders, sink.note)
        self._gpus = _decoding_gpus(encoders) if settings.nvdec else []
        self._encoding: deque[tuple[list[int], Future[Float32]]] = deque()
        self._open: dict[int, _Video] = {}
        self._waiting: list[tuple[int, NDArray[np.uint8]]] = []
        self._finished: list[_Video] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="lance-writer")
        self._write: Future[None] | None = None
        self._last_flush = time.monotonic()

    def run(self, jobs: Sequence[Job]) -> None:
        """Decode, encode and commit ``jobs``; on Ctrl-C commit what is finished, then re-raise."""
        messages = decode_all(
            [job.path for job in jobs],
            self._period_seconds,
            self._picture,
            self._settings.worker_count,
            self._settings.decode_timeout_seconds,
            [self._thumbnails.part(job.video_id) for job in jobs] if self._thumbnails else None,
            self._gpus,
            self._sink.note,
            self._settings.shortcuts,
        )
        meter = _Meter(jobs, self._period_seconds, self._on_progress)
        try:
            with self._encoders:
                for message in messages:
                    self._take(message, jobs)
                    self._settle(lambda vectors: vectors.done())
                    meter.count(message, self._open)
                if self._waiting:
                    self._encode(len(self._waiting))
                self._settle(lambda vectors: True)
        finally:
            messages.close()  # type: ignore[attr-defined]
            self._settle(lambda vectors: vectors.done() and vectors.exception() is None)  # after Ctrl-C
            self._flush()
            self._join_writer()
            self._writer.shutdown()

    def _take(self, message: Message, jobs: Sequence[Job]) -> None:
        job = jobs[message.job]
        if isinstance(message, Opened):
            self._open[message.job] = _Video(job, message.info)
        elif isinstance(message, Decoded):
            self._open[message.job].frames_decoded += len(message.batch)
            self._waiting += [(message.job, picture) for picture in message.batch.pictures]
            while len(self._waiting) >= self._batch_size:
                self._encode(self._batch_size)
        elif isinstance(message, Finished):
            self._open[message.job].outcome = message.outcome
            self._collect(message.job)
        elif isinstance(message, Failed):
            self._give_up(message)
            self._sink.fail(job, message.error)

    def _give_up(self, message: Failed) -> None:
        self._open.pop(message.job, None)
        self._waiting = [(job, picture) for job, picture in self._waiting if job != message.job]

    def _encode(self, count: int) -> None:
        """Hand the first ``count`` waiting pictures to a device, always in batches of one size.

        Matrix products of other shapes round differently: with padding, a frame's vector does not
        depend on where a run was interrupted.
        """
        some, self._waiting = self._waiting[:count], self._waiting[count:]
        pictures: UInt8 = np.zeros((self._batch_size, *some[0][1].shape), np.uint8)
        for place, (_, picture) in enumerate(some):
            pictures[place] = picture
        self._encoding.append(([job for job, _ in some], self._encoders.encode(pictures)))

    def _settle(self, is_ready: Callable[[Future[Float32]], bool]) -> None:
        """Take the vectors of batches in the order in which they were sent, as long as ``is_ready`` says so."""
        while self._encoding and is_ready(self._encoding[0][1]):
            jobs, vectors = self._encoding.popleft()
            for job, vector in zip(jobs, vectors.result().astype(np.float16), strict=False):  # padding is left
                if video := self._open.get(job):  # None: its file failed on the way
                    video.vectors.append(vector)
            for job in dict.fromkeys(jobs):
                self._collect(job)

    def _collect(self, job: int) -> None:
        """A video whose frames are all encoded waits for the next commit."""
        if job in self._open and self._open[job].done:
            self._finished.append(self._open.pop(job))
            rows = sum(len(video.vectors) for video in self._finished)
            late = time.monotonic() - self._last_flush > self._settings.flush_seconds
            if rows >= self._settings.flush_rows or late:
                self._flush()

    def _flush(self) -> None:
        """Hand the finished videos to the writer thread; waits for the commit before."""
        self._join_writer()
        self._last_flush = time.monotonic()
        if self._finished:
            finished, self._finished = self._finished, []
            shortcuts = self._settings.shortcuts.as_options
            self._write = self._writer.submit(
                self._sink.commit, [_indexed(video, shortcuts) for video in finished]
            )

    def _join_writer(self) -> None:
        if self._write is not None:
            write, self._write = self._write, None
            write.result()


def _decoding_gpus(encoders: Sequence[Encoder]) -> list[str]:
    """The encoders' GPUs, where the package that decodes on them is installed."""
    return [e.device for e in encoders if e.device.startswith("cuda") and decode_torchcodec.is_installed()]


def _indexed(video: _Video, shortcuts: str) -> Indexed:
    job, info, outcome = video.job, video.info, video.outcome
    assert outcome is not None  # noqa: S101 - `done` says so
    frames = VideoFrames.of(job.video_id, np.stack(video.vectors))
    row = VideoRow(
        video_id=job.video_id,
        fingerprint=job.fingerprint,
        paths=(job.path, *job.also),
        frames=len(video.vectors),
        duration_seconds=outcome.duration_seconds,
        width=info.width,
        height=info.height,
        frame_rate=info.frames_per_second,
        codec=info.codec,
        container=info.container,
        size_bytes=job.size_bytes,
        indexed_unix=time.time(),
        complete=outcome.complete,
        note="; ".join(filter(None, (outcome.reason, shortcuts))),
        recorded_unix=info.recorded_unix,
        digest=frames.digest(),
    )
    return Indexed(job, row, frames)


class Committer:
    """The sink of a run on this machine: tables and report.

    Args:
        store: the tables, under the write lock.
        report: filled in as videos are committed.
        thumbnails: those that become visible with their videos; None where none are made.
    """

    def __init__(self, store: Store, report: IndexReport, thumbnails: Thumbnails | None = None) -> None:
        self._store, self._report, self._thumbnails = store, report, thumbnails

    def commit(self, videos: Sequence[Indexed]) -> None:
        """See :class:`Sink`."""
        changed = _losers([video.row for video in videos], self._store.catalogue())
        if self._thumbnails:
            self._thumbnails.publish(video.row.video_id for video in videos)
        self._store.commit([(video.row, video.frames) for video in videos], changed)
        self._committed([(video.job, video.row) for video in videos])

    def commit_fragments(self, videos: Sequence[tuple[Job, VideoRow]], written: Sequence[Fragment]) -> None:
        """As :meth:`commit`, of videos whose frames other processes wrote."""
        rows = [row for _, row in videos]
        self._store.commit_fragments(rows, written, _losers(rows, self._store.catalogue()))
        self._committed(videos)

    def _committed(self, videos: Sequence[tuple[Job, VideoRow]]) -> None:
        for job, row in videos:
            self._note(job, row)

    def fail(self, job: Job, error: VClipperError) -> None:
        """See :class:`Sink`."""
        is_lasting = isinstance(error, ContentError)
        self._report.failed += [FileNote(path, reason, is_lasting) for path, reason in job.failed(str(error))]

    def note(self, text: str) -> None:
        """See :class:`Sink`."""
        self._report.notes.append(text)

    def _note(self, job: Job, row: VideoRow) -> None:
        report = self._report
        (report.updated if job.is_update else report.added).append(FileNote(job.path))
        twins = [path for path in job.also if path not in job.known]
        report.relinked += [FileNote(path, f"same content as {printable(row.path)}") for path in twins]
        if not row.complete:
            report.partial.append(FileNote(row.path, row.note))
        report.frames += row.frames
        report.video_seconds += row.duration_seconds


def _losers(added: Sequence[VideoRow], known: Catalogue) -> list[VideoRow]:
    """The older rows that lose paths or their content to new ones, as they are then.

    A path belongs to one video, a content to one row.
    """
    owner = {path: row.video_id for row in added for path in row.paths}
    older = known.find({row.fingerprint for row in added}, owner)
    ids = {row.video_id for row in added}
    return [
        replace(row, paths=tuple(path for path in row.paths if path not in owner))
        for row in sorted(older, key=lambda row: row.video_id)
        if row.video_id not in ids
    ]


class _Meter:
    """Sums for the progress bar."""

    def __init__(self, jobs: Sequence[Job], period_seconds: float, show: OnProgress) -> None:
        self._jobs, self._period_seconds, self._show = jobs, period_seconds, show
        self._bytes_total = sum(job.size_bytes for job in jobs)
        self._started = time.monotonic()
        self._files_done = self._frames = 0
        self._bytes: dict[int, float] = {}

    def count(self, message: Message, open_videos: Mapping[int, _Video]) -> None:
        """Count a message and pass the sums on."""
        size_bytes = self._jobs[message.job].size_bytes
        if isinstance(message, Decoded):
            self._frames += len(message.batch)
            video = open_videos.get(message.job)
            length = (video.info.duration_seconds if video else None) or float("inf")
            share = min(1.0, (message.batch.first_index + len(message.batch)) * self._period_seconds / length)
            self._bytes[message.job] = share * size_bytes
        elif isinstance(message, (Finished, Failed)):
            self._files_done += 1
            self._bytes[message.job] = size_bytes
        self._show(
            Progress(
                files_done=self._files_done,
                files=len(self._jobs),
                frames=self._frames,
                video_seconds=self._frames * self._period_seconds,
                bytes_done=int(sum(self._bytes.values())),
                bytes_total=self._bytes_total,
                elapsed_seconds=time.monotonic() - self._started,
                path=self._jobs[message.job].path,
            )
        )


def index_files(
    plan: Plan,
    store: Store,
    encoders: Callable[[], Sequence[Encoder]],
    settings: IndexSettings,
    on_progress: OnProgress = lambda progress: None,
    thumbnails: Thumbnails | None = None,
) -> IndexReport:
    """Carry out ``plan`` on this machine; ``encoders`` is called only if there is work for them.

    See :func:`carry_out`.
    """

    def work(jobs: Sequence[Job], sink: Committer) -> None:
        Pipeline(store.period_seconds, encoders(), settings, sink, on_progress, thumbnails).run(jobs)

    return carry_out(plan, store, work, thumbnails)


def carry_out(
    plan: Plan,
    store: Store,
    work: Callable[[Sequence[Job], Committer], None],
    thumbnails: Thumbnails | None = None,
) -> IndexReport:
    """Carry out ``plan`` (the caller holds the write lock); ``work`` does the jobs, if there are any.

    Ctrl-C commits what is finished and returns a report with ``interrupted`` set.
    """
    started = time.monotonic()
    report = IndexReport(
        skipped=[FileNote(path) for path in plan.skipped],
        relinked=[FileNote(path, note) for path, note in plan.relinked],
        failed=[FileNote(path, reason) for path, reason in plan.failed],
        missing=[FileNote(path, reason) for path, reason in plan.missing],
        pruned=[FileNote(path) for path in plan.pruned],
    )
    try:
        if plan.rows:
            store.commit([], plan.rows)
        if plan.jobs:
            work(plan.jobs, Committer(store, report, thumbnails))
    except KeyboardInterrupt:
        report.interrupted = True
    report.elapsed_seconds = time.monotonic() - started
    return report
