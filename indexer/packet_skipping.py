"""Which packets must be decoded to see the frames at 0, T, 2T …; the rest need not be."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from indexer.clock import frame_end, usual_step
from indexer.container import INDEXED_CONTAINERS, in_seconds
from indexer.frames import SLACK_SECONDS
from indexer.keyframes import UNDERSTOOD_CODECS, is_clean_start, is_disposable
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
    extradata = stream.codec_context.extradata
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        if is_clean_start(packet, info.codec, extradata):
            yield from selection.close_group(selection.start_of(packet))
        selection.add(packet, is_disposable(packet, info.codec, extradata))
        yield from selection.ripe()
    yield from selection.close_group(selection.end_seconds)


class Selection:
    """Holds packets back until it is known whether anything of them is wanted.

    A frame is wanted when it is the last one that starts at or before a sampled time. A disposable one, which
    no other frame needs, is given out only if it is wanted. Holds the packets of at most one period, and never
    more than 64 MiB.
    """

    def __init__(self, info: VideoInfo, period_seconds: float, next_index: int) -> None:
        self._info = info
        self._period_seconds = period_seconds
        self._index = next_index
        self._pending: list[_Held] = []
        self._pending_bytes = 0
        self._is_decoding = False
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
        self._pending.append(_Held(start, packet, is_disposable))
        self._pending_bytes += packet.size
        if start >= self._last_start:
            self._last_start = start
            duration = in_seconds(packet.duration or None, packet.time_base) or usual_step(self._info)
            self.end_seconds = frame_end(self._info, start, duration)

    def ripe(self) -> Iterator[Any]:
        """Packets that are certainly needed, or too many to hold."""
        if self._pending_bytes > _PENDING_BYTES:
            yield from self._release(len(self._pending), [])
        while self._pending and self._pending[-1].start > self._limit() and self._is_settled():
            yield from self._release_until([self._limit()])
            self._index += 1

    def close_group(self, next_start_seconds: float) -> Iterator[Any]:
        """What is needed for the sampled times before the next group starts; the rest is dropped."""
        limits = []
        while self._limit() < next_start_seconds:
            limits.append(self._limit())
            self._index += 1
        yield from self._release_until(limits)
        self._pending.clear()
        self._pending_bytes = 0
        if self._is_decoding:
            self._is_decoding = False
            yield None

    def _limit(self) -> float:
        return self._index * self._period_seconds + SLACK_SECONDS

    def _is_settled(self) -> bool:
        """Whether no packet to come can be shown at the next sampled time."""
        return sum(held.start > self._limit() for held in self._pending) > _REORDER_PACKETS

    def _release_until(self, limits: Sequence[float]) -> Iterator[Any]:
        """What is needed for the frames shown at ``limits``, in the file's order."""
        needed = [place for place, held in enumerate(self._pending) if limits and held.start <= limits[-1]]
        if needed:
            yield from self._release(needed[-1] + 1, limits)

    def _release(self, count: int, limits: Sequence[float]) -> Iterator[Any]:
        released, self._pending = self._pending[:count], self._pending[count:]
        passed_by = self._passed_by(released, limits)
        for held in released:
            self._pending_bytes -= held.packet.size
            if not (held.is_disposable and held.start in passed_by):
                self._is_decoding = True
                yield held.packet

    @staticmethod
    def _passed_by(released: Sequence[_Held], limits: Sequence[float]) -> set[float]:
        """Starts of frames that are over before the last of ``limits`` and shown at none of them."""
        starts = sorted(held.start for held in released if limits and held.start <= limits[-1])
        shown = {starts[place - 1] for limit in limits if (place := bisect_right(starts, limit))}
        return set(starts) - shown


class _Held(NamedTuple):
    start: float
    packet: Any
    is_disposable: bool
