"""One index run at a time, in a thread of the server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from indexer.build import Progress
from indexer.discover import find_videos, printable
from indexer.errors import LibraryLockedError, VClipperError
from vclipper.library import Library
from vclipper.web.schemas import ErrorBody, IndexState

_WAIT_SECONDS = 0.2


class IndexRuns:
    """Starts, follows and stops runs over one library."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._state = IndexState(state="idle")
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None

    def state(self) -> IndexState:
        """The current run, or the last one."""
        with self._lock:
            return self._state.model_copy()

    def start(self, paths: Sequence[str]) -> IndexState:
        """Begin a run.

        Raises:
            InputError: a path that does not exist; known before anything starts.
            LibraryLockedError: a run of this server is under way.
        """
        find_videos(list(paths))
        with self._lock:
            if self._state.state in ("running", "cancelling"):
                raise LibraryLockedError("an index run is under way", "Wait for it, or stop it")
            self._cancelled.clear()
            self._state = IndexState(state="running")
            self._thread = threading.Thread(target=self._run, args=(list(paths),), daemon=True)
            self._thread.start()
            return self._state.model_copy()

    def cancel(self) -> IndexState:
        """Stop after what is being written."""
        with self._lock:
            if self._state.state == "running":
                self._cancelled.set()
                self._state.state = "cancelling"
            return self._state.model_copy()

    def close(self) -> None:
        """Stop, and wait until what is finished is in the library.

        A run that has no frame yet has nothing to keep, and may be loading the model, which cannot be stopped: it
        is not waited for.
        """
        self.cancel()
        if self._thread is not None:
            self._thread.join(_WAIT_SECONDS)
            while self._thread.is_alive() and self.state().frames:
                self._thread.join(_WAIT_SECONDS)

    def _run(self, paths: list[str]) -> None:
        try:
            report = self._library.index(paths, on_progress=self._on_progress, on_scan=self._on_scan)
            state, told, error = "cancelled" if report.interrupted else "done", report.to_dict(), None
        except KeyboardInterrupt:  # stopped before anything was decoded
            state, told, error = "cancelled", None, None
        except VClipperError as problem:
            body = ErrorBody(kind=type(problem).__name__, message=problem.message, hint=problem.hint)
            state, told, error = "failed", None, body
        except Exception as problem:
            body = ErrorBody(
                kind=type(problem).__name__, message="something unexpected happened", hint=str(problem)
            )
            state, told, error = "failed", None, body
        self._tell(state=state, report=told, error=error)

    def _tell(self, **changes: object) -> None:
        with self._lock:
            self._state = self._state.model_copy(update=changes)

    def _on_scan(self, path: Path) -> None:
        self._demand_wanted()
        self._tell(files_scanned=self._state.files_scanned + 1, path=printable(path))

    def _on_progress(self, progress: Progress) -> None:
        self._demand_wanted()
        done = progress.bytes_done / max(1, progress.bytes_total)
        left = progress.elapsed_seconds * (1 - done) / done if done > 0 else None
        self._tell(
            files_done=progress.files_done,
            files=progress.files,
            frames=progress.frames,
            elapsed_seconds=progress.elapsed_seconds,
            eta_seconds=left,
            path=printable(progress.path) if progress.path else "",
        )

    def _demand_wanted(self) -> None:
        """Stop the run as Ctrl-C does: what is finished is committed."""
        if self._cancelled.is_set():
            raise KeyboardInterrupt
