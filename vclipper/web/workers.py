"""Worker processes that open video files for the server, under a watchdog.

A hostile file can hang or crash a decoder: that costs one process and one answer, never the server. A worker gets
the file as an open descriptor, so what it reads is what was verified, whatever happens to the path meanwhile.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Any, Protocol

from indexer.decoders import die_with_parent
from indexer.errors import VClipperError, VideoError

_POLL_SECONDS = 0.1
_START_SECONDS = 60.0


class Task(Protocol):
    """What a worker does with a file: gives floats while it goes on (progress, 0 to 1), at last the result."""

    def __call__(self, path: Path) -> Iterator[Any]:
        """Work on the file that ``path`` opens."""
        ...


class CancelledError(VideoError):
    """Somebody asked for the work to stop."""


class Workers:
    """At most ``count`` processes, started on demand and used again.

    Args:
        count: how many tasks run at once; others wait.
        silence_seconds: a worker that says nothing for this long is killed.
    """

    def __init__(self, count: int, silence_seconds: float) -> None:
        self._silence_seconds = silence_seconds
        self._places = threading.Semaphore(count)
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def run(
        self,
        task: Task,
        descriptor: int,
        on_progress: Callable[[float], None] = lambda share: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Any:
        """Do ``task`` on an open file and return its result; blocks.

        Raises:
            VideoError: the file cannot be used, or its decoder hung or crashed.
            CancelledError: ``cancelled`` or :meth:`close` said so.
        """
        while not self._places.acquire(timeout=_POLL_SECONDS):
            self._demand_wanted(cancelled)
        try:
            worker = self._take()
            try:
                result = self._follow(worker, task, descriptor, on_progress, cancelled)
            except VClipperError as error:
                self._give_back(worker) if worker.is_free else worker.kill()
                raise error
            except BaseException:
                worker.kill()
                raise
            self._give_back(worker)
            return result
        finally:
            self._places.release()

    def close(self) -> None:
        """Stop what runs and end the processes."""
        self._closing.set()
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()

    def _take(self) -> _Worker:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Worker()

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closing.is_set():
                self._idle.append(worker)
                return
        worker.kill()

    def _demand_wanted(self, cancelled: Callable[[], bool]) -> None:
        if cancelled() or self._closing.is_set():
            raise CancelledError("stopped on request")

    def _follow(
        self,
        worker: _Worker,
        task: Task,
        descriptor: int,
        on_progress: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> Any:
        worker.send(task, descriptor)
        last = time.monotonic()
        while True:
            message = worker.receive(_POLL_SECONDS)
            self._demand_wanted(cancelled)
            if message is not None:
                last = time.monotonic()
                kind, value = message
                if kind == "done":
                    return value
                if kind == "failed":
                    raise value
                on_progress(value)
            elif time.monotonic() - last > self._silence_seconds:
                raise VideoError(f"the decoder gave nothing for {self._silence_seconds:g} seconds and was stopped")


class _Worker:
    """One process; ``is_free`` while it waits for a task."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.is_free = False
        if self.receive(_START_SECONDS) is None:
            self.kill()
            raise VideoError("the decode process did not start")

    def send(self, task: Task, descriptor: int) -> None:
        """Hand over a task and the file."""
        self.is_free = False
        self._pipe.send(task)
        send_handle(self._pipe, descriptor, self._process.pid)

    def receive(self, timeout_seconds: float) -> tuple[str, Any] | None:
        """The next message; None when none came in time."""
        try:
            if not self._pipe.poll(timeout_seconds):
                return None
            message: tuple[str, Any] = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise VideoError(f"the decoder crashed (exit code {self._process.exitcode})") from None
        self.is_free = message[0] != "progress"
        return message

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


# ---- in the worker process


def _work(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    os.nice(5)  # a search in the server comes first
    threading.Thread(target=die_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # the server is gone
        pipe.send(("ready", None))
        while True:
            task = pipe.recv()
            descriptor = recv_handle(pipe)
            try:
                _do(task, descriptor, pipe)
            finally:
                os.close(descriptor)


def _do(task: Task, descriptor: int, pipe: Connection) -> None:
    result: Any = None
    try:
        for result in task(Path(f"/proc/self/fd/{descriptor}")):
            if isinstance(result, float):
                pipe.send(("progress", result))
    except VClipperError as error:
        pipe.send(("failed", error))
    except Exception as error:  # a decoder's surprise costs this answer only
        pipe.send(("failed", VideoError(f"it cannot be decoded: {type(error).__name__}: {error}")))
    else:
        pipe.send(("done", result))
