"""Inputs for the speed figures: real clips joined, scaled and encoded as people's videos are.

Made once into a folder; a file that is there is taken as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

_FRAME_RATE = 30


@dataclass(frozen=True)
class Input:
    """A video to make.

    Attributes:
        name: of the file, and in the tables.
        codec: PyAV's name of the encoder. height: of the picture, 16 : 9. seconds: its length.
        keyframe_frames: at most this many frames from keyframe to keyframe.
    """

    name: str
    codec: str
    height: int
    seconds: int
    keyframe_frames: int

    @property
    def options(self) -> dict[str, str]:
        """The encoder's defaults but for its speed, keyframes, and no chatter."""
        options = {"preset": "faster", "g": str(self.keyframe_frames)}
        return options | ({"x265-params": "log-level=error"} if self.codec == "libx265" else {})


INPUTS = (
    Input("h264-1080p-gop250.mp4", "libx264", 1080, 60, 250),
    Input("h264-1080p-gop60.mp4", "libx264", 1080, 30, 60),
    Input("h264-2160p-gop250.mp4", "libx264", 2160, 12, 250),
    Input("h264-360p-gop250.mp4", "libx264", 360, 60, 250),
    Input("hevc-1080p-gop250.mp4", "libx265", 1080, 20, 250),
)


def make_inputs(
    clips: Sequence[Path],
    folder: Path,
    wanted: Sequence[Input] = INPUTS,
    on_made: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Path]:
    """Write those of ``wanted`` that are not there yet; returns all paths.

    Args:
        clips: the videos that are joined, over and over.
        folder: where they go.
        wanted: what to make.
        on_made: called after each with how many are done, of how many, and its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / one.name for one in wanted]
    for done, (one, path) in enumerate(zip(wanted, paths, strict=True), 1):
        if not path.exists():
            temporary = path.with_suffix(".new.mp4")
            _encode(one, clips, temporary)
            temporary.replace(path)
        on_made(done, len(paths), one.name)
    return paths


def _encode(one: Input, clips: Sequence[Path], path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(one.codec, rate=_FRAME_RATE, options=one.options)
        stream.width, stream.height, stream.pix_fmt = one.height * 16 // 9, one.height, "yuv420p"
        frames = itertools.islice(_frames(clips), one.seconds * _FRAME_RATE)
        for number, frame in enumerate(frames):
            scaled = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
            scaled.pts, scaled.time_base = number, Fraction(1, _FRAME_RATE)
            scaled.pict_type = 0
            container.mux(stream.encode(scaled))
        container.mux(stream.encode(None))


def _frames(clips: Sequence[Path]) -> Iterator[Any]:
    import av

    for clip in itertools.cycle(clips):
        with av.open(str(clip)) as container:
            yield from container.decode(video=0)
