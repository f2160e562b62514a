"""Queries dealt into training parts and what is held out from them, video by video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.curves import CurveSet
from indexer.errors import InputError

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """One training part and the queries that are held out from it (positions in a curve set)."""

    name: str
    train: Places
    test: Places


def folds_by_video(curve_set: CurveSet, count: int, seed: int = 0) -> list[Split]:
    """``count`` folds in which all queries of a video are together; the videos are dealt out at random.

    Raises:
        InputError: fewer than two folds, or more than videos.
    """
    videos = sorted({query.video for query in curve_set.queries})
    if not 2 <= count <= len(videos):
        raise InputError(f"{count} folds over {len(videos)} videos", "Choose between 2 and the number of videos")
    order = np.random.default_rng(seed).permutation(len(videos))
    fold_of = {videos[int(video)]: place % count for place, video in enumerate(order)}
    folds = np.array([fold_of[query.video] for query in curve_set.queries])
    return [
        Split(f"fold{k + 1}of{count}", np.flatnonzero(folds != k), np.flatnonzero(folds == k))
        for k in range(count)
    ]
