"""Inputs for the speed figures: real clips joined, scaled and encoded as people's videos are.

Made once into a folder; a file that is there is taken as it is.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

_FRAME_RATE = 30

_ENCODERS = {
    "libx264": {"preset": "faster"},
    "libx265": {"preset": "faster", "x265-params": "log-level=error"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "6", "crf": "32", "b": "0"},
    "libsvtav1": {"preset": "9", "svtav1-params": "lp=1"},
}


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
        return {"g": str(self.keyframe_frames), **_ENCODERS[self.codec]}


INPUTS = (
    Input("h264-1080p-gop250.mp4", "libx264", 1080, 60, 250),
    Input("h264-1080p-gop60.mp4", "libx264", 1080, 30, 60),
    Input("h264-2160p-gop250.mp4", "libx264", 2160, 12, 250),
    Input("h264-360p-gop250.mp4", "libx264", 360, 60, 250),
    Input("hevc-1080p-gop250.mp4", "libx265", 1080, 20, 250),
)

#: What :mod:`bench.hour_cost` asks beside them: other codecs, and sizes between.
MORE_INPUTS = (
    Input("h264-720p-gop250.mp4", "libx264", 720, 20, 250),
    Input("hevc-360p-gop250.mp4", "libx265", 360, 20, 250),
    Input("hevc-2160p-gop250.mp4", "libx265", 2160, 8, 250),
    Input("vp9-360p-gop250.mp4", "libvpx-vp9", 360, 20, 250),
    Input("vp9-1080p-gop250.mp4", "libvpx-vp9", 1080, 12, 250),
    Input("av1-360p-gop250.mp4", "libsvtav1", 360, 20, 250),
    Input("av1-1080p-gop250.mp4", "libsvtav1", 1080, 12, 250),
)


def can_make(one: Input) -> bool:
    """Whether FFmpeg has the encoder here."""
    import av

    try:
        return bool(av.codec.Codec(one.codec, "w").name)
    except av.codec.codec.UnknownCodecError:
        return False


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

    os.environ.setdefault("SVT_LOG", "1")  # errors only
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
