"""Which packets must be decoded to see the frames at 0, T, 2T …; the rest need not be.

Sampled times may have a tolerance: then any frame on screen within it serves, and the cheapest is taken. That is a
clean start, which needs no other packet; else, where nothing wanted follows in its group, the frame stored
first; else the nearest one that others need, because it is decoded anyway.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from indexer.clock import frame_end, usual_step
from indexer.container import INDEXED_CONTAINERS, in_seconds
from indexer.frames import SLACK_SECONDS
from indexer.keyframes import UNDERSTOOD_CODECS, is_clean_start, is_disposable, is_leading, is_open_start
from indexer.video_types import VideoInfo

_REORDER_PACKETS = 32
"""No codec stores a frame more than 16 frames away from its place in time."""
_PENDING_BYTES = 64 * 2**20


class NotAsExpectedError(Exception):
    """A file is damaged or not made as its header says: packets may not be skipped."""


def may_skip_packets(info: VideoInfo) -> bool:
    """Whether presentation times and clean starts can be told from the packets alone."""
    return (
        info.container in INDEXED_CONTAINERS
        and info.codec in UNDERSTOOD_CODECS
        and info.first_stamp_seconds is not None
        and not info.has_edit_list
    )


def wanted_packets(container: Any, stream: Any, info: VideoInfo, selection: Selection) -> Iterator[Any]:
    """Packets to decode, in order; None where the decoder is to give all it holds."""
    kind = info.codec, stream.codec_context.extradata
    for first, *leading in _with_leading(container.demux(stream), *kind):
        if is_clean_start(first, *kind):
            yield from selection.close_group(selection.start_of(first), selection.start_of(first))
        elif is_open_start(first, *kind) and selection.can_do_without(leading, selection.start_of(first)):
            last_end = min(selection.start_of(packet) for packet in (first, *leading))
            yield from selection.close_group(last_end, selection.start_of(first))
            leading = []
        for packet in (first, *leading):
            selection.add(packet, is_disposable(packet, *kind))
            yield from selection.ripe()
    # Sample 0 is taken of the shortest picture too.
    yield from selection.close_group(max(selection.end_seconds, 2 * SLACK_SECONDS))


def _with_leading(packets: Iterable[Any], codec: str, extradata: bytes | None) -> Iterator[list[Any]]:
    """Packets one by one, each together with the leading ones that follow it."""
    waiting: list[Any] = []
    for packet in packets:
        if packet.size == 0:
            continue
        if waiting and (len(waiting) > _REORDER_PACKETS or not is_leading(packet, codec, extradata)):
            yield waiting
            waiting = []
        waiting.append(packet)
    if waiting:
        yield waiting


@dataclass
class SampleTimes:
    """When the picture of each sample is shown, in seconds from the first frame.

    Attributes:
        period_seconds: T, the time from sample to sample.
        tolerance_seconds: how far from ``index * T`` it may be, at most T / 2.
        moved: by index, of those that are not the frame shown at ``index * T``: when that frame starts.
    """

    period_seconds: float
    tolerance_seconds: float = 0.0
    moved: dict[int, float] = field(default_factory=dict)

    def of(self, index: int) -> float:
        """When the sample's frame is on screen."""
        return self.moved.get(index, self.due(index))

    def due(self, index: int) -> float:
        """When the sample is due: ``index * T``."""
        return index * self.period_seconds

    def earliest(self, index: int) -> float:
        """The frame must be on screen at this time or later."""
        return self.due(index) - self.tolerance_seconds

    def latest(self, index: int) -> float:
        """The frame must start at this time or before."""
        return self.due(index) + self.tolerance_seconds


class _Frame(NamedTuple):
    start: float
    place: int
    """In the order of the file, counted from the start of its group."""
    is_disposable: bool
    packet: Any
    """None once it was given out."""


_Plan: TypeAlias = dict[int, _Frame]
"""Which frame is taken for each sample."""
_NEXT_GROUP = -1
"""Instead of a place: the frame is the clean start of the next group."""


class Selection:
    """Holds packets back until it is known whether anything of them is wanted.

    A disposable frame, which no other frame needs, is given out only if it is wanted itself. Whichever frame is
    taken for a sample stands in ``times`` before it, or one shown after it, is given out: frames wait until the
    sample after theirs is known not to lie in the next group. With a tolerance never more is given out than
    without. Holds the packets of one period, with a tolerance of two and a half, and never more than 64 MiB.
    """

    def __init__(self, info: VideoInfo, times: SampleTimes, next_index: int = 0) -> None:
        self._info = info
        self._times = times
        self._index = next_index
        self._frames: list[_Frame] = []  # of the group: those held, and those given out that may still be wanted
        self._held_bytes = 0
        self._next_place = 0
        self._given_place = -1
        self._wants_start = False
        self._last_start = 0.0
        self.end_seconds = 0.0

    def start_of(self, packet: Any) -> float:
        """When the packet's frame is shown, in seconds from the first frame.

        Raises:
            NotAsExpectedError: it does not say, or is marked as damaged or hidden.
        """
        stamp = in_seconds(packet.pts, packet.time_base)
        if stamp is None or packet.is_corrupt or packet.is_discard:
            raise NotAsExpectedError
        return stamp - (self._info.first_stamp_seconds or 0.0)

    def add(self, packet: Any, is_disposable: bool = False) -> None:
        """Take a packet, in the order of the file."""
        start = self.start_of(packet)
        if not -SLACK_SECONDS <= start <= self._info.longest_seconds:
            raise NotAsExpectedError
        self._frames.append(_Frame(start, self._next_place, is_disposable, packet))
        self._next_place += 1
        self._held_bytes += packet.size
        if start >= self._last_start:
            self._last_start = start
            duration = in_seconds(packet.duration or None, packet.time_base) or usual_step(self._info)
            self.end_seconds = frame_end(self._info, start, duration)

    def ripe(self) -> Iterator[Any]:
        """Packets that are certainly needed, or too many to hold."""
        if self._wants_start or self._held_bytes > _PENDING_BYTES:
            self._wants_start = False
            yield from self._give(self._frames, -math.inf)
        ahead = 1 if self._times.tolerance_seconds else 0
        while self._is_settled(self._times.latest(self._index + ahead)):
            wanted = self._announced({self._index: self._passed(self._index, self._bound(self._index + 1))})
            known = self._times.latest(self._index + ahead)
            self._index += 1
            yield from self._give(wanted, self._shown_at(min(known, self._times.earliest(self._index))).start)

    def can_do_without(self, leading: Sequence[Any], next_start_seconds: float) -> bool:
        """Whether no sample needs one of these frames, which are shown before the next group starts."""
        starts = [self.start_of(packet) for packet in leading]
        first = min([next_start_seconds, *starts])
        if self._frames and first <= self._last_start:
            return False
        if len(starts) >= _REORDER_PACKETS or any(start >= next_start_seconds for start in starts):
            return False
        index = self._index
        while (due := self._times.due(index) + SLACK_SECONDS) < next_start_seconds:
            if due >= first and self._times.latest(index) + SLACK_SECONDS < next_start_seconds:
                return False
            index += 1
        return True

    def close_group(self, end_seconds: float, next_start_seconds: float = math.inf) -> Iterator[Any]:
        """What is needed for the sampled times before the group's end; the rest is dropped.

        Args:
            end_seconds: when its last frame ends.
            next_start_seconds: when the clean start that follows is shown; infinite at the end of the file. It
                stands for samples due between the two, and may for the last one before.
        """
        indices = self._take_due_before(end_seconds)
        between = self._take_due_before(next_start_seconds) if next_start_seconds < math.inf else []
        self._times.moved.update(dict.fromkeys(between, next_start_seconds))
        self._wants_start = bool(between)
        if indices and self._frames:
            wanted = self._announced(self._cheapest(indices, next_start_seconds))
            self._wants_start |= _takes_next(wanted)
            yield from self._give(wanted, math.inf)
        was_decoding = self._given_place >= 0
        self._frames.clear()
        self._held_bytes = self._next_place = 0
        self._given_place = -1
        if was_decoding:
            yield None

    def _take_due_before(self, seconds: float) -> list[int]:
        """The samples due before this time that are not settled yet; now they are."""
        indices = []
        while self._times.due(self._index) + SLACK_SECONDS < seconds:
            indices.append(self._index)
            self._index += 1
        return indices

    def _is_settled(self, seconds: float) -> bool:
        """Whether no packet of the group to come can be shown at ``seconds``."""
        last = self._frames[-_REORDER_PACKETS - 1 :]
        return len(last) > _REORDER_PACKETS and all(frame.start > seconds + SLACK_SECONDS for frame in last)

    def _give(self, wanted: Collection[_Frame], keep_from: float) -> Iterator[Any]:
        """What the ``wanted`` need; of the disposable others only what starts at ``keep_from`` or later."""
        last = max(frame.place for frame in wanted)
        reached = [frame for frame in self._frames if frame.place <= last]
        beyond = [frame for frame in self._frames if frame.place > last]
        self._frames = [frame._replace(packet=None) for frame in reached if frame.start >= keep_from] + beyond
        self._given_place = max(self._given_place, last)
        for frame in reached:
            if frame.packet is not None:
                self._held_bytes -= frame.packet.size
                if frame.start >= keep_from or not frame.is_disposable or frame in wanted:
                    yield frame.packet

    # ---- which frame is taken for a sample

    def _announced(self, plan: _Plan) -> Collection[_Frame]:
        """The plan's frames; ``times`` is told where they are not the exact ones."""
        self._times.moved.update((i, frame.start) for i, frame in plan.items() if frame is not self._exact(i))
        return plan.values()

    def _cheapest(self, indices: Sequence[int], next_start_seconds: float) -> _Plan:
        """For the last samples of a group: the exact frames, unless others are cheaper."""
        plans: list[_Plan] = [{index: self._exact(index) for index in indices}]
        if self._times.tolerance_seconds:
            plans.append(self._plan(indices))
            if next_start_seconds <= self._times.latest(indices[-1]) + SLACK_SECONDS:
                next_start = _Frame(next_start_seconds, _NEXT_GROUP, False, None)
                plans.append({**self._plan(indices[:-1]), indices[-1]: next_start})
        return min(plans, key=self._cost)

    def _plan(self, indices: Sequence[int]) -> _Plan:
        """For the last sample the frame stored first, for those before what is decoded on the way."""
        plan: _Plan = {}
        bound = -1
        for index in reversed(indices):
            plan[index] = self._passed(index, bound) if plan else self._first_stored(index)
            bound = max(bound, plan[index].place)
        return plan

    def _cost(self, plan: _Plan) -> int:
        """How many more packets are decoded."""
        wanted = plan.values()
        last = max(frame.place for frame in wanted)
        held = [frame for frame in self._frames if frame.packet is not None and frame.place <= last]
        return sum(not frame.is_disposable or frame in wanted for frame in held) + _takes_next(wanted)

    def _first_stored(self, index: int) -> _Frame:
        return min(self._candidates(index), key=lambda frame: frame.place)

    def _passed(self, index: int, bound: int) -> _Frame:
        """The nearest frame of those that are decoded anyway when the one at ``bound`` is, else the exact one."""
        exact = self._exact(index)
        due = self._times.due(index)
        free = [f for f in self._candidates(index) if f.place <= bound and not f.is_disposable]
        return exact if exact in free else min(free, key=lambda f: abs(f.start - due), default=exact)

    def _bound(self, index: int) -> int:
        """Place of the first frame stored of those that this sample or a later one may take."""
        first = self._shown_at(self._times.earliest(index)).start
        return min(frame.place for frame in self._frames if frame.start >= first)

    def _candidates(self, index: int) -> list[_Frame]:
        """The exact frame and, within the tolerance, those that others need.

        Where one was given out already it may be past, and there is only the exact one.
        """
        exact = self._exact(index)
        if self._bound(index) <= self._given_place:
            return [exact]
        first = self._shown_at(self._times.earliest(index)).start
        last = self._times.latest(index) + SLACK_SECONDS
        return [f for f in self._frames if f is exact or (first <= f.start <= last and not f.is_disposable)]

    def _exact(self, index: int) -> _Frame:
        return self._shown_at(self._times.due(index))

    def _shown_at(self, seconds: float) -> _Frame:
        """The frame on screen, or the group's first one."""
        before = [frame for frame in self._frames if frame.start <= seconds + SLACK_SECONDS]
        return max(before) if before else min(self._frames)


def _takes_next(wanted: Collection[_Frame]) -> bool:
    return any(frame.place == _NEXT_GROUP for frame in wanted)
