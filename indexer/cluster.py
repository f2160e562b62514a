"""An index run on many machines: Ray carries jobs to workers and what they report back.

The driver, which holds the library's write lock, hands each worker (:mod:`indexer.worker`) a share of the
videos at a time, smaller ones towards the end. It alone commits: the fragments that workers wrote and the
rows of their videos, in the same steps as a run on one machine (:mod:`indexer.store`). When a worker is lost,
what it had not reported goes back into the queue; a file that was being indexed when worker after worker was
lost is given up.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from indexer.build import Committer, OnProgress, Progress
from indexer.discover import printable
from indexer.errors import InputError, LibraryError, VClipperError, VideoError
from indexer.plan import Job
from indexer.store import Store
from indexer.worker import Charge, Event, Heard, Noted, Rejected, Unseen, Worker, Written

AUTO = "auto"
LOCAL = "local"
#: A file that was under way when this many workers were lost is reported as failed.
MAX_ATTEMPTS = 3
#: Workers that may be lost on one node, with no file to blame, before no more are started there.
MAX_LOSSES_PER_NODE = 3
#: How long to wait for a first worker (it may be loading the model), and for another when all are lost.
START_SECONDS = 600.0
_NONE_LEFT_SECONDS = 60.0
_LOOK_FOR_NODES_SECONDS = 2.0
_LISTEN_SECONDS = 0.5
#: Workers pass no pictures or vectors through Ray's object store, so it may be small.
_OBJECT_STORE_BYTES = 200 * 1024 * 1024


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster.

    Args:
        address: ``HOST:PORT`` or ``ray://HOST:PORT``; ``auto``: $RAY_ADDRESS, or the cluster that this machine
            is a part of; ``local``: start one on this machine for the length of the run.

    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise InputError(
            "--ray needs a package that is not installed", "Run: pip install 'vclipper[ray]'"
        ) from None
    own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES} if address == LOCAL else {}
    _demand_reachable(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(address) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _demand_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    named = os.environ.get("RAY_ADDRESS", "") if address == AUTO else address
    host, found, port = named.removeprefix("ray://").rpartition(":")
    if found:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except (OSError, ValueError):
            raise _no_cluster(named) from None


def _no_cluster(address: str) -> InputError:
    return InputError(
        "this machine is part of no Ray cluster" if address == AUTO else f"no Ray cluster answers at {address}",
        "Start one: ray start --head; name another: --ray HOST:PORT; use this machine alone: --ray local",
    )


def index_on(
    ray: Any, charge: Charge, store: Store, jobs: Sequence[Job], sink: Committer, on_progress: OnProgress
) -> None:
    """Do ``jobs`` on the cluster; the caller holds the write lock.

    Ctrl-C commits what was reported, then re-raises.

    Raises:
        LibraryError: no worker can be started, or all are lost; what was reported until then is committed.
    """
    store.expect_fragments()
    run = _Run(ray, charge, jobs, sink, on_progress)
    try:
        run.work()
    finally:
        run.end()
        store.sweep_fragments(some_were_lost=run.some_were_lost)


@dataclass(eq=False)
class _Hand:
    """A worker as the driver sees it.

    Attributes:
        actor, node, host: where it is. decoders: its decode processes.
        starting: answers when it is ready. stream: what it reports of its share.
        share: jobs that it has not reported yet, by video id. begun: files it is or was at.
        progress: of its share. frames_reported: of the share's videos that were reported.
    """

    actor: Any
    node: str
    host: str
    decoders: int
    starting: Any
    stream: Any = None
    share: dict[int, Job] = field(default_factory=dict)
    begun: set[Path] = field(default_factory=set)
    progress: Progress | None = None
    frames_reported: int = 0


class _Run:
    """The driver's side of one run."""

    def __init__(
        self, ray: Any, charge: Charge, jobs: Sequence[Job], sink: Committer, on_progress: OnProgress
    ) -> None:
        self._ray, self._sink, self._on_progress = ray, sink, on_progress
        self._charge = ray.put(charge)
        self._settings, self._device = charge.settings, charge.device
        self._waiting = deque(jobs)
        self._hands: list[_Hand] = []
        self._attempts: Counter[int] = Counter()
        self._losses: Counter[str] = Counter()
        self._left_out: dict[str, VClipperError] = {}
        self._reported: list[Written] = []
        self._tally = _Tally(jobs, charge.made.period_seconds)
        self._looked = self._committed = -_NONE_LEFT_SECONDS
        self._someone_worked = time.monotonic()
        self.some_were_lost = False

    def work(self) -> None:
        """Until every job is reported."""
        while self._waiting or any(hand.share for hand in self._hands):
            self._hire()
            self._demand_hands()
            self._assign()
            self._listen()
            if time.monotonic() - self._committed > self._settings.flush_seconds:
                self._commit()
            self._on_progress(self._tally.progress(self._hands))

    def end(self) -> None:
        """Commit what was reported and let the workers go."""
        self.some_were_lost |= any(hand.share for hand in self._hands)
        try:
            self._commit()
        finally:
            for hand in self._hands:
                self._ray.kill(hand.actor)

    # ---- workers

    def _hire(self) -> None:
        """A worker for every place of every node that has none: at the start, and of nodes that come later."""
        if time.monotonic() - self._looked < _LOOK_FOR_NODES_SECONDS:
            return
        self._looked = time.monotonic()
        staffed = {hand.node for hand in self._hands}
        for node in self._ray.nodes():
            name = node["NodeID"]
            usable = node["Alive"] and name not in self._left_out and self._losses[name] < MAX_LOSSES_PER_NODE
            if usable and name not in staffed:
                for cpus, gpus in _places(node["Resources"], self._device):
                    self._hands.append(self._start(node, cpus, gpus))

    def _start(self, node: dict[str, Any], cpus: int, gpus: int) -> _Hand:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        options = {"num_cpus": cpus, "num_gpus": gpus, "scheduling_strategy": there}
        actor = self._ray.remote(Worker).options(**options).remote(self._charge, max(1, cpus))
        host = node.get("NodeManagerHostname") or node["NodeManagerAddress"]
        return _Hand(actor, node["NodeID"], host, max(1, cpus), actor.prepare.remote())

    def _demand_hands(self) -> None:
        """Give up where nobody can work: not now, and not soon."""
        now = time.monotonic()
        if any(hand.starting is None for hand in self._hands):
            self._someone_worked = now
        patience = START_SECONDS if self._hands else _NONE_LEFT_SECONDS
        if not self._hands and self._left_out:
            raise next(iter(self._left_out.values()))
        if now - self._someone_worked > patience:
            raise LibraryError(
                f"no worker could start within {patience:.0f} seconds; {len(self._waiting)} videos are left",
                "See: ray status. Run the command again when nodes are free: it goes on where this one stopped",
            )

    def _lose(self, hand: _Hand, reason: str) -> None:
        """A worker is gone: what it had not reported is for others."""
        self.some_were_lost = True
        self._sink.note(f"a worker on {hand.host} was lost ({reason}) with {len(hand.share)} videos to do")
        at_work = [job for job in hand.share.values() if job.path in hand.begun]
        self._attempts.update(job.video_id for job in at_work)
        self._losses[hand.node] += not at_work
        self._let_go(hand)

    def _leave_out(self, hand: _Hand, error: VClipperError) -> None:
        """A node that cannot do this work."""
        self._left_out[hand.node] = error
        self._sink.note(f"{hand.host} was left out: {error}")
        self._let_go(hand)

    def _let_go(self, hand: _Hand) -> None:
        self._hands.remove(hand)
        self._ray.kill(hand.actor)
        for job in hand.share.values():
            if self._attempts[job.video_id] < MAX_ATTEMPTS:
                self._waiting.append(job)
            else:
                gone = f"{MAX_ATTEMPTS} workers were lost while it was being indexed"
                self._reject(job, VideoError(f"{job.path.name}: {gone}", "Is a node short of memory?"))
        hand.share = {}

    # ---- shares

    def _assign(self) -> None:
        for hand in self._hands:
            if hand.starting is None and hand.stream is None and self._waiting:
                share = self._next_share(hand)
                hand.share = {job.video_id: job for job in share}
                hand.begun, hand.progress, hand.frames_reported = set(), None, 0
                hand.stream = hand.actor.index.options(num_returns="streaming").remote(share)

    def _next_share(self, hand: _Hand) -> list[Job]:
        """A third of an equal part, at least a job a decode process; a file that cost a worker goes alone."""
        if self._attempts[self._waiting[0].video_id]:
            return [self._waiting.popleft()]
        fair = -(-len(self._waiting) // len(self._hands))
        size = min(fair, max(hand.decoders, fair // 3))
        share: list[Job] = []
        while self._waiting and len(share) < size and not self._attempts[self._waiting[0].video_id]:
            share.append(self._waiting.popleft())
        return share

    # ---- reports

    def _listen(self) -> None:
        busy = [ref for hand in self._hands for ref in (hand.starting, hand.stream) if ref is not None]
        if not busy:
            time.sleep(_LISTEN_SECONDS)
            return
        ready, _ = self._ray.wait(busy, num_returns=len(busy), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(busy, timeout=_LISTEN_SECONDS)
        for hand in list(self._hands):
            if hand.starting in ready or hand.stream in ready:
                self._hear(hand)

    def _hear(self, hand: _Hand) -> None:
        """Take a worker's next word; whatever Ray raises instead means that it is gone."""
        from ray.exceptions import RayError, RayTaskError

        try:
            if hand.starting is not None:
                self._ray.get(hand.starting)
                hand.starting = None
            else:
                self._take(hand, self._ray.get(next(hand.stream)))
        except StopIteration:
            hand.stream = None
            self._requeue(hand)
        except RayTaskError as error:
            self._leave_out(hand, _of_node(hand.host, error.cause))
        except RayError as error:
            if getattr(error, "actor_init_failed", False):
                self._leave_out(hand, _of_node(hand.host, error))
            else:
                self._lose(hand, type(error).__name__)

    def _take(self, hand: _Hand, event: Event) -> None:
        if isinstance(event, Heard):
            hand.progress = event.progress
            hand.begun.update(event.begun)
        elif isinstance(event, Written):
            self._reported.append(event)
            for job, row in event.videos:
                del hand.share[job.video_id]
                hand.frames_reported += row.frames
                self._tally.count(job, row.frames)
        elif isinstance(event, Rejected):
            del hand.share[event.job.video_id]
            self._reject(event.job, event.error)
        elif isinstance(event, Noted):
            self._sink.note(f"{hand.host}: {event.text}")
        else:
            self._unseen(hand, event)

    def _unseen(self, hand: _Hand, event: Unseen) -> None:
        path = printable(event.job.path)
        if os.path.lexists(event.job.path):
            error = LibraryError(
                f"{hand.host} does not see {path}", "Videos must lie on storage that all nodes share"
            )
            self._leave_out(hand, error)
        else:
            del hand.share[event.job.video_id]
            self._reject(event.job, VideoError(f"{path} is gone"))

    def _requeue(self, hand: _Hand) -> None:
        """A share is over; what was not reported of it was held up by a file that is gone."""
        self._waiting.extend(hand.share.values())
        hand.share = {}

    def _reject(self, job: Job, error: VClipperError) -> None:
        self._sink.fail(job, error)
        self._tally.count(job, 0)

    def _commit(self) -> None:
        self._committed = time.monotonic()
        if self._reported:
            reported, self._reported = self._reported, []
            videos = [video for event in reported for video in event.videos]
            self._sink.commit_fragments(videos, [fragment for event in reported for fragment in event.fragments])


def _places(resources: dict[str, float], device: str) -> list[tuple[int, int]]:
    """(CPUs, GPUs) of each worker on a node: one a GPU, or one with all CPUs."""
    cpus = int(resources.get("CPU", 0))
    gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
    if gpus:
        return [(cpus // gpus, 1)] * gpus
    return [(cpus, 0)] if cpus else []


def _of_node(host: str, cause: BaseException) -> VClipperError:
    """What a worker raised, with the node's name."""
    if isinstance(cause, VClipperError):
        return type(cause)(f"{host}: {cause.message}", cause.hint)
    reason = (str(cause).strip().splitlines() or [type(cause).__name__])[-1]
    return LibraryError(f"{host}: {reason}", "The same VClipper must be installed on all nodes")


class _Tally:
    """Sums for the progress bar: what was reported, and what workers say of their shares."""

    def __init__(self, jobs: Sequence[Job], period_seconds: float) -> None:
        self._period_seconds = period_seconds
        self._started = time.monotonic()
        self._files, self._bytes_total = len(jobs), sum(job.size_bytes for job in jobs)
        self._files_done = self._frames = self._bytes_done = 0

    def count(self, job: Job, frames: int) -> None:
        """A file is done."""
        self._files_done += 1
        self._bytes_done += job.size_bytes
        self._frames += frames

    def progress(self, hands: Sequence[_Hand]) -> Progress:
        """As it stands now; of shares under way, what is not reported yet counts too."""
        under_way = [(hand, hand.progress) for hand in hands if hand.progress is not None and hand.share]
        frames = self._frames + sum(max(0, p.frames - hand.frames_reported) for hand, p in under_way)
        ahead = sum(
            p.bytes_done - (p.bytes_total - sum(job.size_bytes for job in hand.share.values()))
            for hand, p in under_way
        )
        return Progress(
            files_done=self._files_done,
            files=self._files,
            frames=frames,
            video_seconds=frames * self._period_seconds,
            bytes_done=self._bytes_done + max(0, ahead),
            bytes_total=self._bytes_total,
            elapsed_seconds=time.monotonic() - self._started,
            path=under_way[-1][1].path if under_way else None,
        )
