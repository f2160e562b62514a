"""What probing and decoding say to each other and to their callers."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from indexer.frames import PictureSpec

DecoderName = Literal["decord", "pyav", "torchcodec"]
DurationSource = Literal["picture", "file", "none"]


@dataclass(frozen=True)
class VideoInfo:
    """What a cheap look at a file's header and first frame tells.

    Attributes:
        path: the file.
        container: short name of the format: ``mp4`` (also MOV), ``matroska`` (also WebM), ``mpegts`` …
        codec: short name of the picture's codec: ``h264``, ``hevc``, ``vp9``, ``av1`` …
        width, height: in pixels, as displayed: upright and with square pixels.
        duration_seconds: of the picture as the header tells it, or None.
        duration_source: ``picture`` where the header tells the picture's own duration, ``file`` where it
            tells only that of the longest stream, ``none`` where it tells nothing.
        frames_per_second: average, 0.0 where unknown.
        rotation_degrees: how far players turn the picture clockwise: 0, 90, 180 or 270.
        is_mirrored: whether players also mirror it (left and right change places before the turn).
        sample_aspect_ratio: width of a stored pixel divided by its height.
        pixel_format: FFmpeg's name, for example ``yuv420p10le``.
        is_hdr: PQ or HLG transfer.
        has_edit_list: an edit list that hides or delays something.
        has_b_frames: frames are stored in another order than shown.
        has_open_groups: some keyframe is no clean start: frames after it need frames before it. Judged from
            keyframes spread over the file, for H.264 and HEVC only.
        first_stamp_seconds: when the first frame is shown on the file's own clock, or None.
        video_stream_count: moving pictures in the file; the first by FFmpeg's ranking is decoded.
        stream_index: which of the file's streams is decoded.
        recorded_unix: when it was recorded, see :func:`indexer.container.recorded_unix`.
        longest_seconds: no file of this size shows pictures for longer; times beyond are not believed.
        missing_bytes: how many the file lacks of those that it says it has.
    """

    path: Path
    container: str
    codec: str
    width: int
    height: int
    duration_seconds: float | None
    duration_source: DurationSource
    frames_per_second: float
    rotation_degrees: int = 0
    is_mirrored: bool = False
    sample_aspect_ratio: Fraction = Fraction(1)
    pixel_format: str = ""
    is_hdr: bool = False
    has_edit_list: bool = False
    has_b_frames: bool = False
    has_open_groups: bool = False
    first_stamp_seconds: float | None = None
    video_stream_count: int = 1
    stream_index: int = 0
    recorded_unix: float | None = None
    longest_seconds: float = math.inf
    missing_bytes: int = 0


@dataclass(frozen=True)
class Shortcuts:
    """What a decoding may spare at the price of exactness; by default nothing.

    Attributes:
        tolerance_seconds: a frame may be shown up to this much before or after its sampled time where that is
            cheaper to decode; at most half the period. Only PyAV makes use of it, and only where packets can be
            skipped.
        loop_filter: smooth the edges of blocks, as H.264, HEVC and VP8 want it. Without, a fifth of the time is
            saved, and frames drift from the true ones until the next keyframe. Only PyAV can leave it out.
    """

    tolerance_seconds: float = 0.0
    loop_filter: bool = True

    @property
    def as_options(self) -> str:
        """As the command line has them: ``--tolerance 0.5 --no-loop-filter``; empty for none."""
        tolerance = f"--tolerance {self.tolerance_seconds:g}" if self.tolerance_seconds else ""
        return f"{tolerance} {'' if self.loop_filter else '--no-loop-filter'}".strip()


EXACT = Shortcuts()


class Picture(Protocol):
    """A decoded frame as players show it: upright, square pixels, RGB."""

    def full(self) -> Image.Image:
        """All pixels."""
        ...

    def fitted(self, spec: PictureSpec) -> NDArray[np.uint8]:
        """As a model wants it, (spec.height, spec.width, 3) uint8 RGB, C-contiguous."""
        ...


@dataclass(frozen=True)
class SampledFrame:
    """The picture shown at ``index * period_seconds``."""

    index: int
    picture: Picture

    @property
    def image(self) -> Image.Image:
        """All pixels: RGB, upright, square."""
        return self.picture.full()


@dataclass(frozen=True)
class DecodeOutcome:
    """How a decoding ended.

    Attributes:
        complete: whether everything that the file claims to hold was decoded.
        reason: why not, empty when complete.
        duration_seconds: from the first frame shown to the end of the last one.
        decoder: who gave the last frame.
    """

    complete: bool
    reason: str
    duration_seconds: float
    decoder: DecoderName


@dataclass
class DecodeProgress:
    """What a decoding has reached; the decoders fill it in as they go."""

    next_index: int = 0
    end_seconds: float = 0.0
    damage: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Remember a damaged place."""
        self.damage.append(what)


Samples = Generator[SampledFrame, None, None]
"""What one decoder gives; how far it came stands in its :class:`DecodeProgress`."""
