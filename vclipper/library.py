"""The class ``Library``: the one place where encoder, store, index and searcher are wired together."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer import cache, failures, index_choice, manifest, segments
from indexer.backends import AUTO
from indexer.build import IndexReport, OnProgress, carry_out, index_files
from indexer.catalogue import VideoRow
from indexer.devices import device_of_a_worker
from indexer.discover import PathLike, Paths, find_videos, printable, refuse_address, several
from indexer.encoder import Encoder
from indexer.errors import REPAIR, InputError, LibraryDamagedError, LibraryError, VideoError
from indexer.frames import check_tolerance
from indexer.lock import has_been_written, holder, is_held, writing
from indexer.manifest import Manifest
from indexer.migrations import migrate
from indexer.plan import Plan, absolute, make_plan
from indexer.relink import Relinking, plan_relinking
from indexer.repair import Repair, repair
from indexer.rewrite import write_tables
from indexer.settings import DEFAULT_MODEL, IndexSettings, check_index_type, period_of
from indexer.stills import pictures_at
from indexer.storage import TABLES, Folder, Where, at, failures_said
from indexer.store import Store
from indexer.thumbnails import Thumbnails
from indexer.vectors import Float32, UInt8
from indexer.verify import Problem, verify
from searcher.filters import VideoFilter
from searcher.query import parse
from searcher.rank import Moment
from searcher.rankers import load_rankers
from searcher.refine import refined
from searcher.search import Corpus, Scenes, Timeline, scenes, search, search_sequence, timeline
from searcher.settings import SearchSettings
from vclipper import __version__
from vclipper.asking import Asking, Like, OpenPicture, Question
from vclipper.current import Current
from vclipper.embedding import Embedding
from vclipper.files import Files, likely_path
from vclipper.images import open_image
from vclipper.models import LoadEncoder, canonical_name, fingerprint_of, load_encoder, with_backend
from vclipper.naming import video_of, videos_below

if TYPE_CHECKING:
    from PIL.Image import Image

    from indexer.watch import WatchSettings


@dataclass(frozen=True)
class LibraryInfo:
    """What a library is and holds.

    Attributes:
        path: its folder or address. model, dimension, fps: what made it.
        videos, frames, video_seconds: what it holds. partial: videos indexed only in part.
        index: which engine answers and why; index_rows: frames in it; index_is_current: whether it
            matches the tables.
        bytes_on_disk: of the whole folder or prefix. thumbnail_bytes: of the thumbnails on this machine.
        fragments: files of the frames table.
        inexact: videos indexed with a tolerance or without loop filter.
    """

    path: str
    model: str
    dimension: int
    fps: float
    videos: int
    frames: int
    video_seconds: float
    partial: int
    index: str
    index_rows: int
    index_is_current: bool
    bytes_on_disk: int
    thumbnail_bytes: int
    fragments: int
    inexact: int


class Library:
    """A folder, or a prefix in a bucket, with the searchable frames of many videos.

    >>> library = Library.open("~/film-library")                         # doctest: +SKIP
    >>> library.index(["~/videos"])                                      # doctest: +SKIP
    >>> for moment in library.search(text="man in yellow blanket"):      # doctest: +SKIP
    ...     print(moment.path, moment.start_seconds, moment.end_seconds)

    Use :meth:`open`. What is wrong with a value is said in a :class:`vclipper.VClipperError`; an argument of
    another type than its annotation is a bare TypeError or AttributeError. Paths are ``str`` or ``os.PathLike``,
    and one may stand where several may. Several threads may search one object at once; a thread that indexes has
    one of its own.

    Args:
        where, device, backend: as in :meth:`open`.
        load: makes the encoder of a name.
        open_picture: reads a picture that a query names; default: the file of that name.

    Attributes:
        storage: where it lies. files: tells whether files are still what was indexed; reads each of them once.
    """

    def __init__(
        self,
        where: Where,
        device: str = "auto",
        load: LoadEncoder = load_encoder,
        *,
        open_picture: OpenPicture | None = None,
        backend: str = AUTO,
    ) -> None:
        self.storage = at(where)
        self._path: Path | None = None
        load = with_backend(load, backend, device)
        self._device, self._load_encoder = device, load
        self._embedding = Embedding(self.storage, lambda: self.path, load, device)
        self._asking = Asking(self._embedding, open_picture or open_image)
        self.files = Files()
        self._current = Current(self.storage, lambda: self.path)
        # More searches at once than cores take turns at Python's lock, and each is slower for it.
        self._searching = threading.BoundedSemaphore(os.cpu_count() or 1)

    @classmethod
    def open(cls, path: PathLike | None = None, device: str = "auto", backend: str = AUTO) -> Library:
        """The library at ``path``, which :meth:`index` makes when there is none yet.

        Args:
            path: its folder, or ``s3://bucket/prefix`` (``gs://``, ``az://``); None means ``$VCLIP_LIBRARY`` or
                the platform's user data directory.
            device: where the model runs: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, several GPUs
                (``cuda:0,cuda:1``) or ``all`` GPUs, which index side by side; the first answers queries.
            backend: what runs the model's picture half, one of :data:`indexer.settings.BACKENDS`.
        """
        return cls(default_place() if path is None else path, device, backend=backend)

    @property
    def path(self) -> Path:
        """Where its derived files lie: its folder; for a library in a bucket, a folder in this machine's cache."""
        if self._path is None:
            self._path = self._local_folder()
        return self._path

    @property
    def thumbnails(self) -> Thumbnails:
        """The videos' small pictures, made when they were indexed."""
        return Thumbnails(self.path)

    def thumbnail(self, video_id: int, seconds: float) -> bytes | None:
        """The picture kept of the last sampled frame up to ``seconds``, as a JPEG; None where there is none."""
        return self.thumbnails.at(video_id, int(seconds / self.corpus().period_seconds))

    def _local_folder(self) -> Path:
        if isinstance(self.storage, Folder):
            return self.storage.path
        return cache.folder_of(self.storage.uri, manifest.load(self.storage).created_unix)

    # ---- indexing

    def index(
        self,
        paths: Paths,
        model: str | None = None,
        fps: float | None = None,
        settings: IndexSettings | None = None,
        on_progress: OnProgress = lambda progress: None,
        on_scan: Callable[[Path], None] = lambda path: None,
        ray: str | None = None,
    ) -> IndexReport:
        """Index videos: folders recursively, files, globs. Running it again does only what is new.

        Args:
            paths: what to index.
            model, fps: of a new library (default ViT-B-32/laion2b_s34b_b79k, 0.5); for an existing one
                they must be what made it.
            settings: batch size, workers and so on.
            on_progress: called while videos are decoded and embedded.
            on_scan: called with each file while files are compared with the library.
            ray: a Ray cluster that does the work, see :func:`indexer.cluster.connected`; None: this machine does.

        Returns:
            what was done, file by file; ``report.ok`` when nothing failed.

        Raises:
            InputError: a path that does not exist, a setting out of bounds.
            ModelError: the model cannot be loaded.
            LibraryMismatchError: the library was made with another model or sampling rate.
            LibraryLockedError: another process is writing to the library.
        """
        settings = settings or IndexSettings()
        self._demand_tolerance(settings, fps)
        unreadable: dict[Path, str] = {}
        named = several(paths)
        files, roots = find_videos(named, settings.exclude, unreadable.__setitem__), absolute(named)
        with self._workers(ray) as connection:
            # The machine that drives a cluster may have none of the devices that are named.
            self._make_or_require(model, fps, None if connection is None else "auto")
            with self._writer("vclip index") as store:
                if settings.index_type is not None:
                    index_choice.write_setting(self.storage, settings.index_type)
                plan = make_plan(files, store.catalogue(), roots, settings.force, settings.prune, on_scan)
                plan.failed += unreadable.items()
                known = failures.Failures(self.storage, __version__, settings.shortcuts)
                known.recall(plan, again=settings.force)
                if connection is None:
                    thumbnails = self.thumbnails if settings.thumbnails else None
                    report = index_files(
                        plan, store, lambda: self._embedding.encoders, settings, on_progress, thumbnails
                    )
                else:
                    report = self._index_on(connection, plan, store, settings, on_progress)
                self._bring_along(store)
                known.remember(plan.jobs, report.failed)
        return report

    def _workers(self, ray: str | None) -> contextlib.AbstractContextManager[Any]:
        """A connection to a cluster; None where this machine does the work."""
        if ray is None:
            return contextlib.nullcontext()
        from indexer.cluster import connected

        device_of_a_worker(self._device)  # said before anything is started
        return connected(ray)

    def _index_on(
        self, connection: Any, plan: Plan, store: Store, settings: IndexSettings, on_progress: OnProgress
    ) -> IndexReport:
        from indexer.cluster import index_on
        from indexer.worker import Charge

        device = device_of_a_worker(self._device)
        charge = Charge(self.storage, manifest.load(self.storage), self._load_encoder, device, settings)
        return carry_out(
            plan, store, lambda jobs, sink: index_on(connection, charge, store, jobs, sink, on_progress)
        )

    def watch(
        self,
        paths: Paths,
        settings: IndexSettings | None = None,
        watching: WatchSettings | None = None,
        on_report: Callable[[IndexReport], None] = lambda report: None,
        on_note: Callable[[str], None] = lambda text: None,
        stop: threading.Event | None = None,
        model: str | None = None,
        fps: float | None = None,
    ) -> None:
        """Index what is below ``paths`` and what comes there, until ``stop`` is set. One watcher a library.

        Args:
            paths: folders, or files; those that are away, and whose videos the library knows, are waited for.
            settings: of the index runs.
            watching: how long a file must not have changed, and so on.
            on_report: called after each index run.
            on_note: called with what a person should know: a drive that is away, a library that is locked.
            stop: ends it; an index run under way keeps what is finished.
            model, fps: as in :meth:`index`.

        Raises:
            InputError: a path that is not there, and below which the library knows nothing.
            LibraryLockedError: another process watches for this library.
        """
        from indexer.watch import WatchSettings as Defaults
        from vclipper.watching import Watch

        options = (settings or IndexSettings(), watching or Defaults())
        named = several(paths)
        for path in named:
            refuse_address(path)
        roots = absolute(named)
        self._demand_known(roots)
        self._demand_tolerance(options[0], fps)
        self._make_or_require(model, fps)
        self._demand_writable()
        Watch(self, roots, *options, on_report, on_note, stop or threading.Event()).run()

    def _demand_known(self, roots: Sequence[Path]) -> None:
        """Refuse a root that is neither there nor a drive or folder that the library knows and that is away."""
        away = [root for root in roots if not os.path.exists(root)]  # noqa: PTH110 - a dead mount is away
        if away and manifest.exists(self.storage):
            known = [path for video in self.videos() for path in video.paths]
            away = [root for root in away if not any(root == path or root in path.parents for path in known)]
        if away:
            hint = "Check the name; a drive is waited for once something on it was indexed"
            raise InputError(f"there is no {printable(away[0])}, and the library knows nothing below it", hint)

    def watch_state(self, paused: bool | None = None) -> str:
        """Who watches for this library, in words; ``paused`` lets watchers pause or go on first."""
        from vclipper import watching

        manifest.load(self.storage)
        if paused is not None:
            watching.set_paused(self.path, paused)
        return watching.describe(self.path)

    def _demand_tolerance(self, settings: IndexSettings, fps: float | None) -> None:
        """Refuse a tolerance that the library's period, or that of the one to be made, does not allow."""
        is_there = manifest.exists(self.storage)
        period_seconds = manifest.load(self.storage).period_seconds if is_there else period_of(fps)
        check_tolerance(settings.tolerance_seconds, period_seconds)

    def _make_or_require(self, model: str | None, fps: float | None, device: str | None = None) -> None:
        """Make the library where there is none; else refuse a model or rate that did not make it."""
        period_seconds = period_of(fps)
        if not manifest.exists(self.storage):
            self._refuse_strange_place()
            encoder = self._embedding.encoder_called(model or DEFAULT_MODEL, device)  # before anything is written
            self._create(encoder, period_seconds)
        self._require(model, fps)

    @contextlib.contextmanager
    def _writer(self, what: str) -> Iterator[Store]:
        """The tables under the write lock: as the last writer left them, of this schema, without leftovers."""
        self._current.store()  # before the lock is made: a wrong path stays as it is
        self._demand_writable()
        with writing(self.storage, what), failures_said(self.storage):
            store = self._current.store()  # again: another writer may have put new tables in place
            store.refresh()
            migrate(self.storage, store)
            store.recover()
            yield store
            self.thumbnails.sweep(self._current.store().catalogue().ids.tolist())

    def _require(self, model: str | None, fps: float | None) -> None:
        """Refuse a model or sampling rate that did not make this library."""
        made = manifest.load(self.storage)
        if fps is not None:
            made.require_period(period_of(fps))
        if model is not None:
            made.require_model(canonical_name(model), fingerprint_of(model))

    def _create(self, encoder: Encoder, period_seconds: float) -> None:
        with contextlib.ExitStack() as held:
            held.enter_context(failures_said(self.storage))
            if isinstance(self.storage, Folder):
                self.storage.path.mkdir(parents=True, exist_ok=True)
            held.enter_context(writing(self.storage, "vclip index"))
            if manifest.exists(self.storage):  # another process was quicker
                return
            Store.create(self.storage, encoder.dimension, period_seconds)
            made = Manifest(encoder.name, encoder.fingerprint, encoder.dimension, period_seconds)
            manifest.save(made, self.storage)

    def _refuse_strange_place(self) -> None:
        if isinstance(self.storage, Folder) and self.storage.path.is_file():
            raise LibraryError(f"{self.storage} is a file", "Name a folder for the library: --library DIR")
        self._demand_writable()
        if not self.storage.is_empty() and not has_been_written(self.storage):
            raise LibraryError(
                f"{self.storage} holds other files and is not a library",
                "Name a new or empty folder: --library DIR",
            )
        if isinstance(self.storage, Folder) and any(self.storage.path.glob(f"{TABLES}/*.lance/data/*")):
            raise LibraryDamagedError(
                f"{self.storage}/{manifest.FILE_NAME} is missing, its tables are there", REPAIR
            )

    def _demand_writable(self) -> None:
        """Refuse a folder that may not be made or written: known before a model is loaded for it."""
        if not isinstance(self.storage, Folder):
            return
        folder = self.storage.path
        nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        if not (os.path.isdir(nearest) and os.access(nearest, os.W_OK | os.X_OK)):  # noqa: PTH112 - raises nothing
            reason = "cannot be written by you" if os.path.isdir(nearest) else "is no folder"  # noqa: PTH112
            where = "" if nearest == folder else f"{printable(folder)} cannot be made: "
            hint = "Change that, or name another folder: --library DIR"
            raise LibraryError(f"{where}{printable(nearest)} {reason}", hint)

    @property
    def encoder(self) -> Encoder:
        """The model that made this library, loaded on first use.

        Raises:
            LibraryError: there is no library yet.
            LibraryMismatchError: the model found under that name has other weights.
        """
        return self._embedding.encoder

    # ---- searching

    def search(
        self,
        text: str | None = None,
        image: PathLike | Image | UInt8 | None = None,
        settings: SearchSettings | None = None,
        within: Paths | VideoFilter | None = None,
        model: str | None = None,
        like: Like | None = None,
        templates: Sequence[str] = ("{}",),
        refine: bool = False,
    ) -> list[Moment]:
        """The moments that answer a query, best first; [] means nothing was found.

        Args:
            text: what is to be seen, in the language of :mod:`searcher.query`: words, or
                ``"dog running" + ./ball.jpg - "snow"``, or ``"a dog" then "a cat" within 30 s``.
            image: a file in any format Pillow reads, a Pillow image, or an array (H, W, 3) uint8.
            settings: method, postprocessing, thresholds, how many.
            within: only these videos are searched: a :class:`VideoFilter`, or its first field alone, folders,
                files or globs over paths such as ``*/holiday/*``.
            model: refuse unless the library was made with it.
            like: ``VIDEO@TIME`` or (video, seconds): more like this moment of a video in the library, which
                is not among the answers itself.
            templates: each text is put in place of ``{}`` in each of these (or this), and the embeddings averaged.
            refine: decode more frames around the ends of what was found and move the ends there.

        Raises:
            InputError: an empty or wrong query, an unreadable image, a filter that no video matches.
            LibraryError: no library, or an empty one.
        """
        self._require(model, None)
        question = Question.of(text, image, like, templates)
        corpus = self._filled_corpus()
        videos = within if isinstance(within, VideoFilter) else VideoFilter(within)
        found = self._answer(question, corpus, settings or SearchSettings(), videos)
        lies = {key: _as_meant(corpus.videos[key], videos) for key in {moment.video_id for moment in found}}
        places = (lies[moment.video_id] for moment in found)
        moments = [
            replace(one, path=path, is_offline=away) for one, (path, away) in zip(found, places, strict=True)
        ]
        return [self._refined(moment, corpus) for moment in moments] if refine else moments

    def _refined(self, moment: Moment, corpus: Corpus) -> Moment:
        """The moment with its ends looked at again; as it was where its file cannot be read."""
        vectors = corpus.vectors(moment.video_id)

        def look(times_seconds: Sequence[float]) -> Float32:
            pictures = list(pictures_at(moment.path, times_seconds))
            return self._embedding.pictures(pictures) if pictures else vectors[:0]

        try:
            if moment.is_offline:
                return moment
            self.files.demand_unchanged(corpus.videos[moment.video_id], moment.path)
            return refined(moment, vectors, corpus.period_seconds, look)
        except VideoError:
            return moment

    def _answer(
        self, question: Question, corpus: Corpus, settings: SearchSettings, videos: VideoFilter
    ) -> list[Moment]:
        if settings.ranker_file is not None:
            load_rankers(settings.ranker_file)  # what is wrong with it is said where nothing is found too
        chosen = None if videos == VideoFilter() else videos.choose(corpus.videos.values())
        first, *then = self._asking.vectors(question, corpus)
        with self._searching:
            if question.query is None or not then:
                return search(first(), corpus, settings, chosen, question.example(corpus))
            return search_sequence(first(), then[0](), question.query.within_seconds, corpus, settings, chosen)

    def timeline(
        self,
        video: PathLike | int,
        text: str | None = None,
        image: PathLike | Image | UInt8 | None = None,
        settings: SearchSettings | None = None,
        like: Like | None = None,
        templates: Sequence[str] = ("{}",),
    ) -> Timeline:
        """One video under one query: S_c, its postprocessed form, the cuts of CFS_c, the windows.

        Args:
            video: its id, its path or the end of it, or a part of the file's name. The rest as in :meth:`search`;
                of A-then-B the curve shows A.

        Raises:
            InputError: an empty or wrong query, a video that the library does not know.
        """
        question = Question.of(text, image, like, templates).start()
        corpus = self._filled_corpus()
        row = video_of(video, corpus.videos)
        (vector,) = self._asking.vectors(question, corpus)
        return timeline(row.video_id, vector(), corpus, settings or SearchSettings())

    def scenes(self, video: PathLike | int, settings: SearchSettings | None = None) -> Scenes:
        """How one video changes: CFS_c and its cuts; no query, no model.

        Args:
            video: as in :meth:`timeline`. settings: its ``cut_threshold`` counts.

        Raises:
            InputError: a video that the library does not know.
        """
        corpus = self._filled_corpus()
        return scenes(video_of(video, corpus.videos).video_id, corpus, settings or SearchSettings())

    def _filled_corpus(self) -> Corpus:
        corpus = self.corpus()
        if not corpus.videos:
            raise self._empty()
        return corpus

    def _empty(self) -> LibraryError:
        if is_held(self.storage):
            return LibraryError(
                f"the library at {self.storage} is empty: {holder(self.storage)} is filling it",
                "Wait for its first videos",
            )
        return LibraryError(f"the library at {self.storage} is empty", "Fill it: vclip index FOLDER")

    def embed(self, text: str, templates: Sequence[str] = ("{}",)) -> Float32:
        """A text query's unit vector, (D,) float32.

        Raises:
            InputError: an empty or wrong query, or an A-then-B.
        """
        query = parse(text)
        if query.second:
            raise InputError("A-then-B has two vectors, not one", "Embed its parts")
        return self._asking.of_terms(query.first, templates)

    def corpus(self) -> Corpus:
        """Index and videos as they are now; the index is brought up to date where it is not."""
        return self._current.corpus()

    @property
    def versions(self) -> tuple[int, int]:
        """Versions of the tables that :meth:`corpus` saw last: they change with every commit."""
        return self._current.versions

    def _bring_along(self, store: Store) -> None:
        """Derived files after a change, under the write lock; of a bucket each machine has its own."""
        here = isinstance(self.storage, Folder)
        index_choice.bring_along(self.storage, self.path, store, here=here)
        if here:
            self._embedding.export_text()

    @property
    def index_type(self) -> str:
        """The index type set for this library; ``auto`` chooses by size."""
        return self._current.index_type

    def reindex(
        self, index_type: str | None = None, on_codes: Callable[[int, int], None] = lambda done, total: None
    ) -> str:
        """Make the search index anew, of the type set or of another from now on.

        Args:
            index_type: one of :data:`indexer.settings.INDEX_TYPES`; None leaves the setting as it is.
            on_codes: called with frames done and frames to do.

        Returns:
            what answers now, in words.

        Raises:
            InputError: no such index type.
        """
        if index_type is not None:
            check_index_type(index_type)
        setting = index_type or self.index_type
        with self._writer("vclip reindex") as store:
            if index_type is not None:
                index_choice.write_setting(self.storage, setting)
            with self._index_lock("vclip reindex"):
                index_choice.bring_along(self.storage, self.path, store, anew=True, on_codes=on_codes)
        self._current.forget()
        return index_choice.explained(self._current.engine()[0], setting)

    def _index_lock(self, what: str) -> contextlib.AbstractContextManager[None]:
        """The index lies under the library's own lock, or in this machine's cache under that folder's."""
        return contextlib.nullcontext() if isinstance(self.storage, Folder) else writing(self.path, what)

    # ---- keeping

    def videos(self) -> list[VideoRow]:
        """The videos of the library, by path."""
        return self._current.videos()

    def info(self) -> LibraryInfo:
        """What this library is and holds."""
        made, videos = manifest.load(self.storage), self.videos()
        store = self._current.store()
        engine, current = self._current.engine()
        return LibraryInfo(
            path=str(self.storage),
            model=made.model,
            dimension=made.dimension,
            fps=made.fps,
            videos=len(videos),
            frames=sum(video.frames for video in videos),
            video_seconds=sum(video.duration_seconds for video in videos),
            partial=sum(not video.complete for video in videos),
            index=index_choice.explained(engine, self.index_type),
            index_rows=engine.rows,
            index_is_current=current,
            bytes_on_disk=self.storage.size_bytes(),
            thumbnail_bytes=self.thumbnails.size_bytes(),
            fragments=store.fragments(),
            inexact=sum(bool(video.shortcuts) for video in videos),
        )

    def remove(self, paths: Paths, purge: bool = False) -> list[VideoRow]:
        """Take videos out of the library: files, or whole folders; the files themselves stay.

        Args:
            paths: files or folders; none to purge what was removed before, as after a purge that was killed.
            purge: leave no trace of them: tables and index are written anew without them. Otherwise their bytes
                stay in files that nothing reads any more, until the tables are compacted.

        Returns:
            the videos that are gone.

        Raises:
            InputError: a path that the library does not know, or none without ``purge``; nothing is removed then.
            LibraryError: ``purge`` of a library in a bucket, which may keep versions of its own.
        """
        if purge and not isinstance(self.storage, Folder):
            raise LibraryError(f"{self.storage} is in a bucket: --purge is for folders", "Remove without it")
        places = absolute(several(paths))
        if not (places or purge):
            raise InputError("nothing to remove", "Name files or folders: vclip remove PATHS")
        with self._writer("vclip remove") as store:
            gone = videos_below(places, store.videos())
            if purge:
                _delete_copies(gone)  # first: afterwards nobody knows whose they were
            store.remove(gone)
            if purge:
                self._purge(store)
            else:
                self._bring_along(store)
        return gone

    def _purge(self, store: Store) -> None:
        """Write everything anew from what is in the library now (under the write lock)."""
        videos = store.videos()
        write_tables(self.path, manifest.load(self.path), zip(videos, store.frames(videos), strict=True))
        self._current.forget()
        fresh = self._current.store()
        segments.drop(self.path)
        failures.forget(self.storage)
        index_choice.bring_along(self.storage, self.path, fresh, anew=True)
        self._current.whitening_file.unlink(missing_ok=True)

    def relink(
        self,
        old: PathLike,
        new: PathLike,
        dry_run: bool = False,
        on_scan: Callable[[Path], None] = lambda path: None,
    ) -> Relinking:
        """Put the root ``new`` in place of ``old`` in all paths where a file of that name has that content.

        While ``new`` is away, the names alone decide.

        Args:
            old, new: folders (or files), before and after.
            dry_run: say only what would be done.
            on_scan: called with each file before it is read.

        Raises:
            InputError: the library knows nothing below ``old``.
        """
        roots = absolute([old, new])
        if dry_run:
            return plan_relinking(self.videos(), roots[0], roots[1], on_scan)
        with self._writer("vclip relink") as store:
            plan = plan_relinking(store.videos(), roots[0], roots[1], on_scan)
            if plan.rows:
                store.commit([], plan.rows)
                self._bring_along(store)
        return plan

    def verify(self, contents: bool = False) -> list[Problem]:
        """Check manifest, tables, index and files against each other.

        Args:
            contents: also read all files again and compare their fingerprints.
        """
        if not isinstance(self.storage, Folder):  # a machine that has not searched it yet has no index of it
            store = self._current.store()
            self._current.index(store)
        return list(verify(self.storage, self.path, contents))

    def repair(self, model: str | None = None) -> Repair:
        """Mend what :meth:`verify` finds, each part from the others; says what is lost.

        Args:
            model: what made the library, in case nothing on disk tells.

        Raises:
            LibraryError: no library, or nothing tells which model made it.
            LibraryDamagedError: tables in a bucket that cannot be read; they are mended in a folder only.
        """
        if not isinstance(self.storage, Folder):
            return self._repair_bucket()
        if not has_been_written(self.storage):
            manifest.load(self.storage)
        self._demand_writable()
        named = (canonical_name(model), fingerprint_of(model)) if model else ("", "")
        with writing(self.storage, "vclip repair"):
            done = repair(self.path, *named)
        self._current.forget()
        self._embedding.forget_text_tower()
        return done

    def _repair_bucket(self) -> Repair:
        """Leftovers and this machine's index; tables that cannot be read have to be mended in a folder."""
        with self._writer("vclip repair") as store:
            orphans = store.delete_orphans()
            with self._index_lock("vclip repair"):
                segments.drop(self.path)
                index_choice.bring_along(self.storage, self.path, store, anew=True)
        return Repair([f"{orphans} frames that belong to no video were deleted", "the index was rebuilt"])


def default_place() -> str:
    """``$VCLIP_LIBRARY`` (a folder or an address), else the platform's user data directory."""
    if named := os.environ.get("VCLIP_LIBRARY"):
        return named
    from platformdirs import user_data_path

    return os.fspath(user_data_path("vclipper") / "library")


def _as_meant(video: VideoRow, videos: VideoFilter) -> tuple[Path, bool]:
    """The path to show of a video, and whether it is offline: of those where its file is, the one meant."""
    meant = videos.paths_of(video)
    present = likely_path(video, (*meant, *video.paths))
    return present or meant[0], present is None


def _delete_copies(videos: Iterable[VideoRow]) -> None:
    """`vclip serve` keeps copies for browsers in the user's cache."""
    for video in videos:
        for proxy in cache.proxy_folder().glob(f"{video.video_id}.*"):
            proxy.unlink(missing_ok=True)
