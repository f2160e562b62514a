"""The five postprocessings against values worked out by hand, and by properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.postprocess import min_max, postprocess, smooth, window_in_frames
from searcher.select import select
from searcher.settings import POSTPROCESSES, SearchSettings
from searcher.similarity import Curve


def curve(similarity, corpus_range=None, period=2.0) -> Curve:
    s = np.asarray(similarity, np.float32)
    return Curve(s, np.full(len(s) - 1, 0.9, np.float32), period, len(s) * period, corpus_range)


def process(similarity, name, **more):
    settings = SearchSettings(
        method="vc1", postprocess=name, **{k: v for k, v in more.items() if k == "smooth_window"}
    )
    return postprocess(curve(similarity, more.get("corpus_range")), settings).similarity


def test_none_changes_nothing():
    assert process([0.3, 0.1], "none").tolist() == pytest.approx([0.3, 0.1])


def test_norm():
    # (0.2-0.2)/0.4 = 0, (0.3-0.2)/0.4 = 0.25, (0.6-0.2)/0.4 = 1
    assert process([0.2, 0.3, 0.6], "norm").tolist() == pytest.approx([0, 0.25, 1], abs=1e-6)


def test_adjust_norm_uses_the_corpus():
    # over 0.1 … 0.5: (0.2-0.1)/0.4 = 0.25, (0.4-0.1)/0.4 = 0.75
    assert process([0.2, 0.4], "adjust_norm", corpus_range=(0.1, 0.5)).tolist() == pytest.approx([0.25, 0.75])


def test_adjust_norm_without_a_corpus_says_so():
    with pytest.raises(ValueError, match="corpus_range"):
        process([0.2, 0.4], "adjust_norm")


def test_savitzky_golay_by_hand():
    # Window 5, order 2: middle weights (-3, 12, 17, 12, -3)/35. A spike of 35 at the middle becomes 17.
    assert smooth(np.array([0, 0, 35.0, 0, 0]), 5)[2] == pytest.approx(17)
    # The fitted parabola goes on to the ends: symmetric, through 17 at 0. Its other values at ±1: 12, ±2: -3.
    assert smooth(np.array([0, 0, 35.0, 0, 0]), 5).tolist() == pytest.approx([-3, 12, 17, 12, -3])


def test_smooth_norm():
    # Smoothed: -3, 12, 17, 12, -3 (in 35ths); min-max over 20: 0, 0.75, 1, 0.75, 0
    got = process([0, 0, 1, 0, 0], "smooth_norm", smooth_window=5)
    assert got.tolist() == pytest.approx([0, 0.75, 1, 0.75, 0], abs=1e-6)


def test_log_smooth_norm_is_norm_of_the_smoothed_logarithm():
    # Logarithms of e^-3, e^-3, e^-1 …: -3, -3, -1, -3, -3 = -3 + 2 * spike; as above: 0, 0.75, 1, 0.75, 0
    values = np.exp([-3, -3, -1, -3, -3])
    got = process(values, "log_smooth_norm", smooth_window=5)
    assert got.tolist() == pytest.approx([0, 0.75, 1, 0.75, 0], abs=1e-5)


def test_the_logarithm_has_a_floor():
    # -0.5 and 0 count as 0.001: log 1e-3 = -6.91, log 1 = 0. Two frames are not smoothed.
    assert process([-0.5, 1.0], "log_smooth_norm").tolist() == pytest.approx([0, 1])
    assert process([0.0, 0.0005], "log_smooth_norm").tolist() == pytest.approx([0, 0])


@pytest.mark.parametrize("name", ["norm", "adjust_norm", "smooth_norm", "log_smooth_norm"])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 40])
def test_constant_curves_become_zeros_or_stay_finite(name, n):
    got = process(np.full(n, 0.25), name, corpus_range=(0.25, 0.25))
    assert got.shape == (n,)
    assert np.abs(got).max() <= 1


@pytest.mark.parametrize(
    ("period", "frames", "expected"),
    [
        (2.0, 75, 13),  # the thesis's grid
        (2.0, 10, 9),  # the largest odd window that fits
        (2.0, 2, 1),  # below 3 frames none
        (1.0, 400, 25),  # 26 s of 1 s frames: 25 and 27 are equally near, the smaller one
        (0.5, 400, 51),  # 52 frames: 51
        (4.0, 100, 7),  # 6.5 frames: 7
        (30.0, 100, 3),  # never below order + 1
    ],
)
def test_smoothing_window_keeps_its_length_in_seconds(period, frames, expected):
    assert window_in_frames(13, period, frames) == expected


arrays = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60).map(lambda v: np.array(v, np.float32))


@given(arrays, st.sampled_from(POSTPROCESSES))
def test_shape_and_range(values, name):
    got = process(values, name, corpus_range=(-1.0, 1.0))
    assert got.shape == values.shape
    assert got.dtype == np.float32
    if name != "none":
        assert got.min() >= 0
        assert got.max() <= 1


@given(arrays, st.floats(0.01, 100), st.floats(-1, 1))
def test_scaling_and_shifting_change_nothing_after_norm(values, factor, shift):
    values = np.round(values, 2)  # differences that survive the shift in float32
    a = min_max(values.astype(np.float64), values.min(), values.max())
    moved = values.astype(np.float64) * factor + shift
    b = min_max(moved, moved.min(), moved.max())
    assert np.allclose(a, b, atol=1e-6)


@given(arrays, st.floats(0.05, 0.9))
def test_windows_do_not_depend_on_the_scale_after_norm(values, threshold):
    values = np.round(values, 2)
    settings = SearchSettings(method="vc1", postprocess="norm", threshold=threshold)
    here, scaled = (select(postprocess(curve(v), settings), settings) for v in (values, values / 4))
    assert [(w.first_frame, w.end_frame) for w in here] == [(w.first_frame, w.end_frame) for w in scaled]


@given(arrays)
def test_smoothing_keeps_parabolas(values):
    n = max(5, len(values))
    t = np.linspace(-1, 1, n)
    parabola = 0.3 * t**2 - 0.2 * t + 0.1
    assert np.allclose(smooth(parabola, window_in_frames(13, 2.0, n)), parabola, atol=1e-9)
