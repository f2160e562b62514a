"""One worker of a cluster: decodes and embeds its share with the pipeline that a single machine runs.

What it writes are fragments (:mod:`indexer.fragments`): no reader sees them until the driver commits them
(:mod:`indexer.cluster`). A worker never commits and holds no lock, so it may die at any moment.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from indexer import manifest
from indexer.build import Indexed, Pipeline, Progress
from indexer.catalogue import VideoRow
from indexer.encoder import Encoder
from indexer.errors import LibraryError, VClipperError
from indexer.fragments import Fragment
from indexer.manifest import Manifest
from indexer.plan import Job
from indexer.settings import IndexSettings
from indexer.storage import Storage
from indexer.store import Store

#: What a lost worker can cost: finished videos are written at the latest after this time.
FLUSH_SECONDS = 20.0
_PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class Charge:
    """What every worker of a run is told once.

    Attributes:
        storage: where the library lies, for all nodes.
        made: its manifest, as the driver read it.
        load: gives the encoder for (model, device).
        device: where the model runs.
        settings: of the run.
    """

    storage: Storage
    made: Manifest
    load: Callable[[str, str], Encoder]
    device: str
    settings: IndexSettings


@dataclass(frozen=True)
class Written:
    """Videos whose frames lie in ``fragments``, to be committed."""

    videos: tuple[tuple[Job, VideoRow], ...]
    fragments: tuple[Fragment, ...]


@dataclass(frozen=True)
class Rejected:
    """A file that cannot be indexed."""

    job: Job
    error: VClipperError


@dataclass(frozen=True)
class Unseen:
    """A file that is not there for this worker: its node lacks the folder."""

    job: Job


@dataclass(frozen=True)
class Heard:
    """How far the share is, and which files were begun since the last time."""

    progress: Progress
    begun: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Noted:
    """Something that befell this worker, which goes on."""

    text: str


Event = Written | Rejected | Unseen | Heard | Noted


class Worker:
    """An actor: made once a node (or GPU), then given one share of the videos after the other."""

    _store: Store
    _encoder: Encoder

    def __init__(self, charge: Charge, decoders: int) -> None:
        self._charge = charge
        workers = charge.settings.workers or decoders
        self._settings = replace(charge.settings, workers=workers, flush_seconds=FLUSH_SECONDS)

    def prepare(self) -> None:
        """Open the library and load the model.

        Raises:
            LibraryError: this node does not see the library.
            ModelError, LibraryMismatchError: it has not the model that made it.
        """
        storage, made = self._charge.storage, manifest.load(self._charge.storage)
        if made != self._charge.made or made.created_unix != self._charge.made.created_unix:
            raise LibraryError(f"{storage} is another library here", "It must lie on storage that all nodes share")
        self._store = Store(storage, made.dimension, made.period_seconds)
        self._encoder = self._charge.load(made.model, self._charge.device)
        made.require_model(self._encoder.name, self._encoder.fingerprint)

    def index(self, jobs: Sequence[Job]) -> Iterator[Event]:
        """Decode, embed and write ``jobs``; what happens comes as it happens."""
        if unseen := [job for job in jobs if not os.path.lexists(job.path)]:
            yield Unseen(unseen[0])
            return
        events = _Events(self._store)
        thread = threading.Thread(target=self._run, args=(jobs, events), daemon=True)
        thread.start()
        yield from events.until_the_end()
        thread.join()

    def _run(self, jobs: Sequence[Job], events: _Events) -> None:
        try:
            period_seconds = self._store.period_seconds
            Pipeline(period_seconds, [self._encoder], self._settings, events, events.progress).run(jobs)
            events.end(None)
        except BaseException as error:
            events.end(error)


@dataclass
class _Events:
    """The pipeline's sink: writes fragments, and hands on what happened."""

    store: Store
    _queue: queue.SimpleQueue[Event | BaseException | None] = field(default_factory=queue.SimpleQueue)
    _begun: set[Path] = field(default_factory=set)
    _told: float = 0.0

    def commit(self, videos: Sequence[Indexed]) -> None:
        """See :class:`indexer.build.Sink`."""
        fragments = self.store.write_fragments([video.frames for video in videos])
        self._queue.put(Written(tuple((video.job, video.row) for video in videos), tuple(fragments)))

    def fail(self, job: Job, error: VClipperError) -> None:
        """See :class:`indexer.build.Sink`."""
        self._queue.put(Rejected(job, error))

    def note(self, text: str) -> None:
        """See :class:`indexer.build.Sink`."""
        self._queue.put(Noted(text))

    def progress(self, progress: Progress) -> None:
        """Pass on how far it is, now and then; a file that is begun is told at once."""
        new = (progress.path,) if progress.path and progress.path not in self._begun else ()
        self._begun.update(new)
        if new or time.monotonic() - self._told > _PROGRESS_SECONDS:
            self._told = time.monotonic()
            self._queue.put(Heard(progress, new))

    def end(self, error: BaseException | None) -> None:
        """Nothing more comes."""
        self._queue.put(error)

    def until_the_end(self) -> Iterator[Event]:
        """Each event as it comes; raises what the pipeline raised."""
        while (event := self._queue.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
