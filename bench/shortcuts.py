"""What shortcuts in decoding do to the vectors of sampled pictures, beside what a moment's delay does to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.grid import Grid
from bench.peers import batches
from indexer.container import open_container
from indexer.encoder import Encoder
from indexer.packet_skipping import SampleTimes, Selection, may_skip_packets, wanted_packets
from indexer.probe import probe
from indexer.vectors import Float32
from indexer.video import decode
from indexer.video_types import EXACT, Shortcuts, VideoInfo

PERIOD_SECONDS = 2.0
_STEP_SECONDS = 0.25
_LATER_SECONDS = (0.25, 0.5, 1.0)
_WAYS = {
    "up to 0.25 s off": Shortcuts(0.25),
    "up to 0.5 s off": Shortcuts(0.5),
    "up to 1 s off": Shortcuts(1.0),
    "no loop filter": Shortcuts(loop_filter=False),
    "up to 0.5 s off, no loop filter": Shortcuts(0.5, loop_filter=False),
}


@dataclass(frozen=True)
class Likeness:
    """One line of the table.

    Attributes:
        name: what was done. packets: that were decoded; None where nothing was skipped to sample.
        cosines: to the exact picture's vector, one a sampled picture.
        own_first: share of the pictures to which no exact one is nearer than that of their own time.
    """

    name: str
    packets: int | None
    cosines: NDArray[np.float32]
    own_first: float


def likeness(videos: Sequence[Path], encoder: Encoder) -> tuple[int, list[Likeness]]:
    """How many of the videos can be sampled without decoding all of them, and what happens to their vectors."""
    infos = [info for info in map(probe, videos) if may_skip_packets(info)]
    fine = [_vectors(info, encoder, _STEP_SECONDS, EXACT) for info in infos]
    step = round(PERIOD_SECONDS / _STEP_SECONDS)
    exact = [vectors[::step] for vectors in fine]
    lines = [_line("exact", _packets(infos, EXACT), exact, exact)]
    for name, shortcuts in _WAYS.items():
        found = [_vectors(info, encoder, PERIOD_SECONDS, shortcuts) for info in infos]
        lines.append(_line(name, _packets(infos, shortcuts), found, exact))
    for seconds in _LATER_SECONDS:
        found = [vectors[round(seconds / _STEP_SECONDS) :: step] for vectors in fine]
        lines.append(_line(f"the exact picture {seconds:g} s later", None, found, exact))
    return len(infos), lines


def _vectors(info: VideoInfo, encoder: Encoder, period_seconds: float, shortcuts: Shortcuts) -> Float32:
    frames = decode(info.path, info, period_seconds, shortcuts=shortcuts)
    pictures = (frame.picture.fitted(encoder.picture) for frame in frames)
    return np.concatenate([encoder.encode_pictures(batch) for batch in batches(pictures, 8)])


def _packets(infos: Sequence[VideoInfo], shortcuts: Shortcuts) -> int:
    return sum(_packets_of(info, SampleTimes(PERIOD_SECONDS, shortcuts.tolerance_seconds)) for info in infos)


def _packets_of(info: VideoInfo, times: SampleTimes) -> int:
    with open_container(info.path) as container:
        stream = container.streams[info.stream_index]
        return sum(
            packet is not None for packet in wanted_packets(container, stream, info, Selection(info, times))
        )


def _line(name: str, packets: int | None, found: Sequence[Float32], exact: Sequence[Float32]) -> Likeness:
    """``found`` may lack a video's last picture: later than it there is none."""
    everything = np.concatenate(exact)
    starts = np.cumsum([0, *map(len, exact)])
    own = np.concatenate([start + np.arange(len(some)) for start, some in zip(starts, found, strict=False)])
    similarity = np.concatenate(list(found)) @ everything.T
    cosines = similarity[np.arange(len(own)), own]
    own_first = cosines >= similarity.max(axis=1) - 1e-6  # the same picture twice is no miss
    return Likeness(name, packets, cosines, float(own_first.mean()))


def likeness_table(videos: int, lines: Sequence[Likeness], model: str) -> Grid:
    """One line a way; packets as a share of what the exact pictures need."""
    header = ("pictures", "packets", "cosine, mean", "5 % below", "least", "own time nearest")
    body = tuple(
        (
            one.name,
            "" if one.packets is None else f"{one.packets / (lines[0].packets or 1):.2f}",
            f"{one.cosines.mean():.4f}",
            f"{np.quantile(one.cosines, 0.05):.4f}",
            f"{one.cosines.min():.4f}",
            f"{one.own_first:.2f}",
        )
        for one in lines
    )
    title = f"{len(lines[0].cosines)} pictures of {videos} videos, one every {PERIOD_SECONDS:g} s, by {model}"
    return Grid(title, header, body)
