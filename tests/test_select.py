"""VC1 and VC2 against windows worked out by hand, and by properties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.postprocess import postprocess
from searcher.select import cut_positions, runs, select, top_share_mean
from searcher.settings import POSTPROCESSES, SearchSettings
from searcher.similarity import Curve

#: Their windows are disjoint and may be none; `proposals` has tests of its own.
THESIS_METHODS = ("vc1", "vc2")


def curve(similarity, next_similarity=None, period=2.0, duration=None) -> Curve:
    s = np.asarray(similarity, np.float32)
    following = np.full(len(s) - 1, 0.9) if next_similarity is None else next_similarity
    return Curve(s, np.asarray(following, np.float32), period, duration or len(s) * period, (-1.0, 1.0))


def windows(found):
    return [(w.first_frame, w.end_frame, pytest.approx(w.confidence, abs=1e-6)) for w in found]


def test_vc1_runs_above_lambda_by_falling_mean():
    #        0    1    2    3    4    5    6
    scores = [0.1, 0.6, 0.8, 0.2, 0.9, 0.5, 0.7]
    found = select(curve(scores), SearchSettings(method="vc1", threshold=0.5))
    # 0.5 is not above 0.5. Runs: {4}: 0.9; {1,2}: (0.6+0.8)/2 = 0.7; {6}: 0.7. Equal means: earlier first.
    assert windows(found) == [(4, 5, 0.9), (1, 3, 0.7), (6, 7, 0.7)]
    assert [(w.start_seconds, w.end_seconds) for w in found] == [(8, 10), (2, 6), (12, 14)]


def test_vc1_drops_windows_not_above_beta():
    settings = SearchSettings(method="vc1", threshold=0.5, min_confidence=0.7)
    # Means 0.9, 0.65 and 0.75; only those above 0.7 stay.
    assert windows(select(curve([0.9, 0.1, 0.6, 0.7, 0.1, 0.75]), settings)) == [(0, 1, 0.9), (5, 6, 0.75)]


def test_the_last_window_ends_with_the_video():
    # Three frames every 2 s of a video of 5 s: the last stands for 4 s to 5 s.
    found = select(curve([0.1, 0.9, 0.9], duration=5.0), SearchSettings(method="vc1", threshold=0.5))
    assert (found[0].start_seconds, found[0].end_seconds) == (2.0, 5.0)


def test_cuts_are_the_ends_of_low_runs():
    #      cfs: 0-1  1-2  2-3  3-4  4-5  5-6
    cosines = [0.9, 0.2, 0.3, 0.1, 0.9, 0.9]
    # Low at places 1, 2, 3. Place 1 has 0.9 on its left, place 3 has 0.9 on its right; place 2 has neither.
    assert cut_positions(np.array(cosines), 0.8).tolist() == [2, 4]
    # One low value is both ends of its run.
    assert cut_positions(np.array([0.9, 0.2, 0.9]), 0.8).tolist() == [2]
    # At the border only the neighbour that exists counts.
    assert cut_positions(np.array([0.2, 0.9]), 0.8).tolist() == [1]
    assert cut_positions(np.array([0.2, 0.2]), 0.8).tolist() == []
    assert cut_positions(np.array([0.2]), 0.8).tolist() == []
    # Equal to alpha is neither below nor above it.
    assert cut_positions(np.array([0.8, 0.2, 0.8]), 0.8).tolist() == []


def test_vc2_scenes_selected_and_neighbours_fused():
    scores = [0.1, 0.2, 0.8, 0.6, 0.9, 0.1, 0.7, 0.0]
    #      cuts after:  1          3         5 -> scenes [0,2) [2,4) [4,6) [6,8)
    cosines = [0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9]
    # p = 1: means 0.15, 0.70, 0.50, 0.35; above 0.4: scenes 1 and 2, fused: (0.7*2 + 0.5*2)/4 = 0.6.
    found = select(curve(scores, cosines), SearchSettings(method="vc2", threshold=0.4, top_share=1.0))
    assert windows(found) == [(2, 6, 0.6)]
    # p = 0.5: top 1 of 2: 0.2, 0.8, 0.9, 0.7; above 0.6: scenes 1, 2, 3: (0.8 + 0.9 + 0.7)/3 = 0.8.
    found = select(curve(scores, cosines), SearchSettings(method="vc2", threshold=0.6, top_share=0.5))
    assert windows(found) == [(2, 8, 0.8)]


def test_vc2_fusing_weighs_by_length():
    # Scenes of 1 and 3 frames: (0.9*1 + 0.5*3)/4 = 0.6.
    found = select(
        curve([0.9, 0.5, 0.5, 0.5], [0.1, 0.9, 0.9]), SearchSettings(method="vc2", threshold=0.4, top_share=1.0)
    )
    assert windows(found) == [(0, 4, 0.6)]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, 2.5), (0.5, 3.5), (0.01, 4.0), (0.26, 3.5)],  # 0.26 * 4 = 1.04, rounded up to 2 values
)
def test_top_share_mean(share, expected):
    assert top_share_mean(np.array([1.0, 4.0, 2.0, 3.0]), share) == expected


def test_top_share_is_not_fooled_by_rounding():
    assert 0.07 * 100 > 7  # in floating point
    assert top_share_mean(np.arange(100.0), 0.07) == sum(range(93, 100)) / 7


def test_nothing_selected_is_an_empty_list():
    for method in THESIS_METHODS:
        assert select(curve([0.1, 0.2]), SearchSettings(method=method, threshold=0.9)) == []


def test_runs():
    assert runs(np.array([1, 1, 0, 1], bool)).tolist() == [[0, 2], [3, 4]]
    assert runs(np.zeros(3, bool)).tolist() == []


values = st.floats(-1, 1, width=32)


@st.composite
def curves(draw):
    n = draw(st.integers(1, 40))
    scores = draw(st.lists(values, min_size=n, max_size=n))
    cosines = draw(st.lists(values, min_size=n - 1, max_size=n - 1))
    period = draw(st.sampled_from([0.5, 1.0, 2.0]))
    return curve(scores, cosines, period, (n - draw(st.floats(0, 0.9))) * period)


settings_drawn = st.builds(
    SearchSettings,
    method=st.sampled_from(THESIS_METHODS),
    postprocess=st.sampled_from(POSTPROCESSES),
    threshold=st.floats(-1, 1),
    cut_threshold=st.floats(-1, 1),
    top_share=st.floats(0.01, 1),
    smooth_window=st.integers(1, 20).map(lambda i: 2 * i + 1),
)


@given(curves(), settings_drawn)
def test_windows_lie_inside_disjoint_and_ordered(video, settings):
    found = select(postprocess(video, settings), settings)
    assert all(0 <= w.start_seconds < w.end_seconds <= video.duration_seconds for w in found)
    assert [w.confidence for w in found] == sorted((w.confidence for w in found), reverse=True)
    spans = sorted((w.first_frame, w.end_frame) for w in found)
    assert all(a_end <= b_first for (_, a_end), (b_first, _) in itertools.pairwise(spans))


@given(curves(), settings_drawn)
def test_a_higher_lambda_never_selects_more(video, settings):
    processed = postprocess(video, settings)
    higher = SearchSettings.from_dict({**settings.to_dict(), "threshold": min(1.0, settings.threshold + 0.3)})
    selected = {f for w in select(processed, settings) for f in range(w.first_frame, w.end_frame)}
    fewer = {f for w in select(processed, higher) for f in range(w.first_frame, w.end_frame)}
    assert fewer <= selected


@given(curves())
def test_vc2_windows_begin_and_end_at_cuts(video):
    settings = SearchSettings(method="vc2", threshold=-0.5, cut_threshold=0.3)
    edges = {0, len(video), *cut_positions(video.next_similarity, 0.3).tolist()}
    for window in select(video, settings):
        assert {window.first_frame, window.end_frame} <= edges


def test_mean_is_not_hurt_by_length():
    # float32 sums of 10 million equal values drift; means are taken in float64.
    assert math.isclose(
        select(curve(np.full(200_000, 0.3)), SearchSettings(method="vc1", threshold=0.1))[0].confidence,
        float(np.float32(0.3)),
        rel_tol=1e-12,
    )
