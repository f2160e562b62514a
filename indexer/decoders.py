"""Decode processes under a watchdog: what one broken file can cost is that file.

Each decode runs in a process of its own kind, a worker, fed one file after the other. A thread per worker
carries its messages to one bounded queue: the queue is what lets decoding run ahead of the encoder, and
its bound is what keeps memory flat. A worker that says nothing for ``timeout_seconds`` or dies is
replaced and its file reported.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from indexer.decode_torchcodec import why_not
from indexer.errors import VClipperError, VideoError
from indexer.frames import FrameBatch, PictureSpec, sample_count
from indexer.probe import probe
from indexer.thumbnails import ThumbnailWriter, thumbnail_spec
from indexer.video import decode
from indexer.video_types import EXACT, DecodeOutcome, Shortcuts, VideoInfo

#: Frames of one message: few enough that a slow decoder reports in time, many enough to be cheap.
FRAMES_PER_MESSAGE = 16
#: A message goes out at the latest after this time, so that silence means trouble.
MESSAGE_SECONDS = 0.5
#: Messages that may wait between decoders and encoder.
QUEUED_MESSAGES = 16
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Opened:
    """The file is a video; frames will follow."""

    job: int
    info: VideoInfo


@dataclass(frozen=True)
class Decoded:
    """Some frames of the file, in order."""

    job: int
    batch: FrameBatch


@dataclass(frozen=True)
class Finished:
    """The file's last frame was sent."""

    job: int
    outcome: DecodeOutcome


@dataclass(frozen=True)
class Failed:
    """The file cannot be indexed."""

    job: int
    error: VClipperError


Message = Opened | Decoded | Finished | Failed
_Job = tuple[int, Path, Path | None]
"""The file's place, its path, where its thumbnails go."""


@dataclass(frozen=True)
class _Task:
    """What is the same for all files of a run; see :func:`indexer.video.decode`."""

    period_seconds: float
    shortcuts: Shortcuts
    picture: PictureSpec
    threads: int


def decode_all(
    files: Sequence[Path],
    period_seconds: float,
    picture: PictureSpec,
    workers: int,
    timeout_seconds: float,
    thumbnails: Sequence[Path] | None = None,
    gpus: Sequence[str] = (),
    on_note: Callable[[str], None] = lambda text: None,
    shortcuts: Shortcuts = EXACT,
) -> Iterator[Message]:
    """Decode ``files`` side by side; each message's ``job`` is the file's place in ``files``.

    ``thumbnails`` tells where each file's thumbnails are written, see :mod:`indexer.thumbnails`; None for none.

    Of one file the messages come in order: Opened, Decoded…, then Finished or Failed. Closing the
    iterator stops the workers. ``workers`` counts cores: where there are fewer files, each is decoded by
    several threads. Each of ``gpus`` gets one more worker, which decodes there what it can; one that cannot be
    used is told to ``on_note`` (from another thread). ``shortcuts``: see :func:`indexer.video.decode`.
    """
    jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
    for job, path in enumerate(files):
        jobs.put((job, path, thumbnails[job] if thumbnails else None))
    cores, workers = workers, max(1, min(workers, len(files)))
    task = _Task(period_seconds, shortcuts, picture, max(1, cores // workers))
    devices = [None] * workers + list(gpus)
    for _ in devices:
        jobs.put(None)
    out: queue.Queue[Message | None] = queue.Queue(QUEUED_MESSAGES)
    stop = threading.Event()
    keepers = [_Keeper(jobs, out, stop, task, timeout_seconds, device, on_note) for device in devices]
    for keeper in keepers:
        keeper.start()
    try:
        yield from _until_all_done(out, len(files), len(keepers))
    finally:
        stop.set()
        for keeper in keepers:
            keeper.join()


def _until_all_done(out: queue.Queue[Message | None], files: int, keepers: int) -> Iterator[Message]:
    """Until every file is done, or there is nobody left who would do it."""
    while files and keepers:
        message = out.get()
        if message is None:
            keepers -= 1
            continue
        files -= isinstance(message, (Finished, Failed))
        yield message


class _Keeper(threading.Thread):
    """Feeds one worker process and replaces it when it hangs or dies, one that used a GPU by one that does not."""

    def __init__(
        self,
        jobs: queue.SimpleQueue[_Job | None],
        out: queue.Queue[Message | None],
        stop: threading.Event,
        task: _Task,
        timeout_seconds: float,
        device: str | None,
        on_note: Callable[[str], None],
    ) -> None:
        super().__init__(name="decode-keeper", daemon=True)
        self._jobs, self._out, self._stop_requested = jobs, out, stop
        self._task, self._device, self._note = task, device, on_note
        self._timeout_seconds = timeout_seconds
        self._process: Any = None
        self._pipe: Any = None

    def run(self) -> None:
        """Work through the queue of files."""
        try:
            if self._device is not None and not self._has_gpu():
                return
            while (job := self._jobs.get()) is not None and not self._stop_requested.is_set():
                self._one_file(*job)
        finally:
            self._end_worker()
            self._put(None)

    def _has_gpu(self) -> bool:
        """Start the worker; whether it can decode on its GPU."""
        try:
            self._start_worker()
        except (VideoError, EOFError, OSError) as error:
            if not self._stop_requested.is_set():
                self._note(f"videos are decoded on the CPU only: {error}")
            return False
        return True

    def _one_file(self, job: int, path: Path, thumbnails: Path | None) -> None:
        try:
            if self._process is None:
                self._start_worker()
            self._pipe.send((job, path, thumbnails))
            while not self._stop_requested.is_set():
                message = self._receive(path)
                self._put(message)
                if isinstance(message, (Finished, Failed)):
                    return
        except VideoError as error:
            self._end_worker()
            self._put(Failed(job, error))
        except (EOFError, OSError):
            self._process.join()
            self._put(Failed(job, VideoError(f"the decoder crashed ({_exit(self._process.exitcode)})")))
            self._end_worker()

    def _receive(self, path: Path) -> Message:
        """The worker's next message; the clock runs only while it has nothing to say."""
        deadline = time.monotonic() + self._timeout_seconds
        while not self._pipe.poll(0.2):
            if self._stop_requested.is_set():
                raise VideoError(f"{path.name} was interrupted")
            if time.monotonic() > deadline:
                raise VideoError(f"the decoder gave nothing for {self._timeout_seconds:g} seconds and was stopped")
        message: Message = self._pipe.recv()
        return message

    def _put(self, message: Message | None) -> None:
        while not self._stop_requested.is_set():
            with contextlib.suppress(queue.Full):
                self._out.put(message, timeout=0.2)
                return

    def _start_worker(self) -> None:
        context = multiprocessing.get_context("spawn")  # fork would copy the threads' locks of torch and Lance
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._task, self._device), daemon=True)
        try:
            with _no_main():
                self._process.start()
        except OSError as error:  # no memory or no process left
            self._process = None
            raise VideoError(f"the decode process did not start: {error.strerror}") from error
        theirs.close()
        if trouble := self._trouble():
            raise VideoError(f"the decode process did not start: {trouble}")

    def _trouble(self) -> str:
        """What hinders the worker that was just started; empty when it is ready."""
        deadline = time.monotonic() + _START_SECONDS
        while not self._pipe.poll(0.2):
            if self._stop_requested.is_set():
                return "it is not needed any more"
            if time.monotonic() > deadline:
                return f"it said nothing for {_START_SECONDS:.0f} seconds"
        return str(self._pipe.recv())

    def _end_worker(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process, self._device = None, None


_MAIN = threading.Lock()


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Processes that are spawned meanwhile do not run the caller's script again: it may not be made for that."""
    with _MAIN:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


# ---- in the worker process


def _work(pipe: Connection, task: _Task, device: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    threading.Thread(target=die_with_parent, daemon=True).start()
    pipe.send("" if device is None else why_not(device))
    with contextlib.suppress(EOFError, OSError):  # the main process is gone
        while True:
            job, path, thumbnails = pipe.recv()
            for message in _messages(job, path, task, device, thumbnails):
                pipe.send(message)


def die_with_parent() -> None:
    """Wait for the parent process to end, then end this one: a thread of every worker process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _messages(job: int, path: Path, task: _Task, device: str | None, thumbnails: Path | None) -> Iterator[Message]:
    try:
        info = probe(path)
        yield Opened(job, info)
        frames = sample_count(min(info.duration_seconds or 0.0, 1e9), task.period_seconds)
        with contextlib.nullcontext() if thumbnails is None else ThumbnailWriter(thumbnails, frames) as writer:
            outcome = yield from _batches(job, info, task, device, writer)
        yield Finished(job, outcome)
    except VClipperError as error:
        yield Failed(job, error)
    except Exception as error:  # a decoder's surprise costs this file only
        yield Failed(job, VideoError(f"{path.name} cannot be decoded: {type(error).__name__}: {error}"))


def _batches(
    job: int, info: VideoInfo, task: _Task, device: str | None, thumbnails: ThumbnailWriter | None
) -> Generator[Message, None, DecodeOutcome]:
    decoding = decode(
        info.path,
        info,
        task.period_seconds,
        threads=task.threads,
        device=device,
        shortcuts=task.shortcuts,
    )
    waiting: list[Any] = []
    first_index, since = 0, time.monotonic()
    while True:
        try:
            frame = next(decoding)
        except StopIteration as end:
            if waiting:
                yield Decoded(job, FrameBatch(first_index, np.stack(waiting)))
            outcome: DecodeOutcome = end.value
            return outcome
        waiting.append(frame.picture.fitted(task.picture))
        if thumbnails is not None and thumbnails.wants(frame.index):
            thumbnails.add(frame.index, frame.picture.fitted(thumbnail_spec(info.width, info.height)))
        if len(waiting) >= FRAMES_PER_MESSAGE or time.monotonic() - since > MESSAGE_SECONDS:
            yield Decoded(job, FrameBatch(first_index, np.stack(waiting)))
            first_index, waiting, since = frame.index + 1, [], time.monotonic()
