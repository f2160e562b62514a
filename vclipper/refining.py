"""``--refine``: frames between those of the library, decoded around the ends of a moment, move its ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from indexer.errors import VideoError
from indexer.stills import pictures_at
from indexer.vectors import Float32
from searcher.rank import Moment
from searcher.refine import moved_end, sides, times_around

if TYPE_CHECKING:
    from PIL.Image import Image

#: Each interval between two frames of the library is divided into so many parts: half a second at 2 s.
STEPS = 4

Encode = Callable[[Sequence["Image"]], Float32]


def refined(moment: Moment, vectors: Float32, period_seconds: float, encode: Encode) -> Moment:
    """A moment with its ends between the frames of the library; as it was where its file cannot be read.

    At most ``4 · STEPS - 4`` pictures are encoded for it, and what lies between them and the clean start before
    them is decoded.

    Args:
        moment: a found one, with the path at which its file lies.
        vectors: V_E of its video, (n, D). period_seconds: T of the library.
        encode: pictures → (b, D) unit vectors.
    """
    if moment.is_offline:
        return moment
    first = round(moment.start_seconds / period_seconds)
    end = min(len(vectors), max(first + 1, round(moment.end_seconds / period_seconds)))

    def end_at(is_start: bool, unmoved: float) -> float:
        place = first if is_start else end
        around = sides(vectors, first, end, is_start)
        times = times_around(place, period_seconds, moment.video_seconds, STEPS)
        pictures = [] if around is None else list(pictures_at(moment.path, times.tolist()))
        if around is None or not pictures:
            return unmoved
        places = times[: len(pictures)] / period_seconds
        low, high = moved_end(place, encode(pictures), places, vectors, *around)
        return min((low + high) / 2 * period_seconds, moment.video_seconds)

    try:
        start_seconds, end_seconds = end_at(True, moment.start_seconds), end_at(False, moment.end_seconds)
    except VideoError:
        return moment
    if start_seconds >= end_seconds:
        return moment
    return replace(moment, start_seconds=start_seconds, end_seconds=end_seconds)
