"""One score over videos, queries and corpora; folding and limits."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from searcher.rank import (
    NOISE_PER_LOG_FRAME,
    Moment,
    Ranked,
    best_first,
    best_score,
    directions,
    moment_scores,
    noise_level,
)
from searcher.relevance import Background
from searcher.select import Window
from searcher.settings import SearchSettings

WINDOW = Window(1, 3, 2.0, 6.0, 0.9)


def ranked(video_id: int, score: float, towards=(1.0, 0.0), start: float = 0.0) -> Ranked:
    moment = Moment(Path(f"/{video_id}.mp4"), video_id, start, start + 4, score, 0.5, 0.5, 60.0)
    return Ranked(moment, np.array(towards, np.float32))


def test_moment_score_by_hand():
    # Window frames 1 and 2: (0.6 + 0.8)/2 = 0.7, which is (0.7 - 0.2)/0.1 = 5 deviations; with the video's 3: 4.
    s = np.array([0.1, 0.6, 0.8, 0.1])
    assert moment_scores(3.0, s, [WINDOW], Background(0.2, 0.1, 100)) == pytest.approx([4.0])
    chance = noise_level(10_000)
    assert moment_scores(3.0, s, [WINDOW], Background(0.2, 0.1, 10_000)) == pytest.approx([4.0 - chance])


def test_a_window_that_is_trusted_less_scores_no_higher():
    # Frames 0 and 3 alone: (0.1 - 0.2)/0.1 = -1, with the video's 3: 1. Then frames 1 and 2, which have 4.
    s = np.array([0.1, 0.6, 0.8, 0.1])
    windows = [Window(0, 1, 0.0, 2.0, 1.0), WINDOW]
    assert moment_scores(3.0, s, windows, Background(0.2, 0.1, 100)) == pytest.approx([1.0, 1.0])


def test_no_window_scores_above_the_best_frame_alone():
    # The best frame, 0.8, is 6 deviations above the mean; with the video's 3: 4.5. The window had 4.
    s = np.array([0.1, 0.6, 0.8, 0.1])
    assert best_score(3.0, s, Background(0.2, 0.1, 100)) == pytest.approx(4.5)


def test_noise_grows_with_the_logarithm_of_the_corpus():
    assert noise_level(299) == 0
    assert noise_level(10 * 1000) - noise_level(1000) == pytest.approx(NOISE_PER_LOG_FRAME * math.log(10))


def test_direction_is_the_unit_mean_of_the_window():
    vectors = np.array([[9, 9], [1, 0], [0, 1], [0, 0]], np.float32)
    found = directions(vectors, [WINDOW, Window(3, 4, 6.0, 8.0, 0.1)])
    assert found.tolist() == [pytest.approx([math.sqrt(0.5), math.sqrt(0.5)]), [0, 0]]


def test_near_duplicates_of_other_videos_fold_into_the_best():
    found = [ranked(1, 3.0), ranked(2, 2.0, (0.999, 0.04)), ranked(3, 1.0, (0.0, 1.0)), ranked(1, 0.5, start=30)]
    moments = best_first(found, SearchSettings(), 1000)
    assert [(m.video_id, m.similar) for m in moments] == [(1, 1), (3, 0), (1, 0)]  # its own video's stays
    assert len(best_first(found, SearchSettings(fold=False), 1000)) == 4


def test_overlapping_moments_of_one_video_are_one_answer():
    # 4 s each: from 0 and from 1 they share 3 of 4 s; from 0 and from 2, half, which is not more than half.
    found = [ranked(1, 3.0), ranked(1, 2.0, start=1), ranked(1, 1.0, start=2), ranked(2, 0.5, (0, 1), start=1)]
    assert [m.score for m in best_first(found, SearchSettings(), 1000)] == [3.0, 1.0, 0.5]


def test_limits():
    found = [ranked(1, 3.0), ranked(1, 2.0, start=10), ranked(2, 1.0, (0, 1)), ranked(3, -0.95, (0.7, 0.7))]
    assert [m.score for m in best_first(found, SearchSettings(per_video=1), 1000)] == [3.0, 1.0]
    assert [m.score for m in best_first(found, SearchSettings(min_score=1.5), 1000)] == [3.0, 2.0]
    assert [m.score for m in best_first(found, SearchSettings(top=2), 1000)] == [3.0, 2.0]
    assert len(best_first(found, SearchSettings(), 1000)) == 3  # -0.95 is below the default cut-off
    assert len(best_first(found, SearchSettings(min_score=-1000), 1000)) == 4
    assert len(best_first(found, SearchSettings(), 299)) == 4  # too few frames to judge by
