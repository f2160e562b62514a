"""Decode with decord, which jumps to the frames that are wanted.

Only for files of which decord was measured to be right: see :func:`indexer.video.choose_decoder`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.clock import frame_end
from indexer.frames import SLACK_SECONDS, sample_times
from indexer.picture import StillPicture, square_pixels
from indexer.video_types import DecodeProgress, SampledFrame, Samples, VideoInfo

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image


class DecordGaveUpError(Exception):
    """decord failed, or said something that cannot be true: PyAV goes on."""


def decord_samples(
    path: Path, info: VideoInfo, period_seconds: float, threads: int, progress: DecodeProgress
) -> Samples:
    """Every sampled frame, from the first.

    Raises:
        DecordGaveUpError: what was given so far is right; ``progress`` tells where to go on.
    """
    reader = _decord_reader(path, threads)
    starts, last_seconds = _decord_times(reader)
    end_seconds = frame_end(info, float(starts[-1]), last_seconds)
    if end_seconds > info.longest_seconds:
        raise DecordGaveUpError
    for index, seconds in enumerate(sample_times(end_seconds, period_seconds)):
        place = int(np.searchsorted(starts, seconds + SLACK_SECONDS, side="right")) - 1
        image = square_pixels(_decord_picture(reader, place), info.sample_aspect_ratio, info.rotation_degrees)
        progress.next_index, progress.end_seconds = index + 1, float(seconds)
        yield SampledFrame(index, StillPicture(image))
    progress.end_seconds = end_seconds


def _decord_reader(path: Path, threads: int) -> Any:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    try:
        return decord.VideoReader(str(path.absolute()), ctx=decord.cpu(0), num_threads=threads)
    except Exception as error:  # decord raises what it likes: DECORDError, RuntimeError, AssertionError
        raise DecordGaveUpError from error


def _decord_times(reader: Any) -> tuple[npt.NDArray[np.float64], float]:
    """(starts, last): when each frame begins, (n,) float64 seconds from the first; how long the last lasts."""
    try:
        spans = np.asarray(reader.get_frame_timestamp(range(len(reader))), dtype=np.float64)
    except Exception as error:
        raise DecordGaveUpError from error
    steps = np.diff(spans[:, 0])
    if not np.isfinite(spans).all() or (steps < 0).any() or spans[0, 0] < -SLACK_SECONDS:
        raise DecordGaveUpError
    last_seconds = max(spans[-1, 1] - spans[-1, 0], float(np.median(steps)) if len(steps) else 0.0)
    return spans[:, 0] - spans[0, 0], float(last_seconds)


def _decord_picture(reader: Any, place: int) -> Image.Image:
    from PIL import Image

    try:
        return Image.fromarray(reader[place].asnumpy())
    except Exception as error:
        raise DecordGaveUpError from error
