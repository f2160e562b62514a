"""Which videos are worth a closer look: from the best frames of the corpus to the top videos."""

from __future__ import annotations

from collections.abc import Collection

from indexer.frame_index import FrameIndex
from searcher.settings import SearchSettings
from searcher.similarity import Float32

#: Videos looked at more closely for each one that is wanted, and how many at least.
_POOL = 4
_MIN_POOL = 100
#: Frames asked of the index at first, for each video of the pool.
_FRAMES_PER_VIDEO = 16
_MIN_FRAMES = 512


def candidates(
    index: FrameIndex, query: Float32, settings: SearchSettings, videos: Collection[int] | None = None
) -> list[int]:
    """Ids of the videos that own the best frames, in the order of their single best frame.

    Args:
        index: the frames of the corpus.
        query: (D,) float32 unit vector.
        settings: ``videos``, how many are wanted; four times as many come back, at least 100, so that a
            ranking by several frames can choose among them.
        videos: look only at these.
    """
    pool = max(settings.videos * _POOL, _MIN_POOL)
    rows = index.rows
    k = min(rows, max(_MIN_FRAMES, pool * _FRAMES_PER_VIDEO))
    while k:
        hits = index.search(query[None, :], k, videos)
        owners = hits.video_ids[0]
        found = list(dict.fromkeys(owners.tolist()))
        if len(found) >= pool or len(owners) < k or k == rows:
            return found[:pool]
        k = min(rows, 4 * k)  # a long video's near-identical frames filled the list
    return []
