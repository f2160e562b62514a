"""The baselines' rules on curves whose answer can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.baselines import (
    BASELINES,
    fixed_windows,
    gaussian_otsu,
    histogram_spans,
    otsu_threshold,
    shots_sliding,
    shots_watershed,
    suppress,
)
from searcher.similarity import Curve


def curve(similarity: list[float], cuts: tuple[int, ...] = ()) -> Curve:
    """A curve with scene changes before the frames ``cuts``."""
    values = np.array(similarity, dtype=np.float32)
    following = np.full(len(values) - 1, 0.95, dtype=np.float32)
    following[[cut - 1 for cut in cuts]] = 0.1
    return Curve(values, following, 2.0, 2.0 * len(values))


def spans(windows: list) -> list[tuple[int, int]]:  # type: ignore[type-arg]
    return [(w.first_frame, w.end_frame) for w in windows]


def test_otsu_cuts_between_the_two_groups() -> None:
    # 0, 0, 1 | 9, 10: between 1 and 9.
    assert otsu_threshold(np.array([9.0, 0, 1, 10, 0])) == 5.0
    assert otsu_threshold(np.array([4.0, 4, 4])) == 4.0


def test_histogram_threshold_takes_the_highest_edge_with_enough_frames() -> None:
    # Normalised already. Bins of 0.1; 3 frames at 0.9 or more, 4 at 0.5 or more: top 4 gives edge 0.5.
    values = [0.0, 0.95, 1.0, 0.92, 0.0, 0.0, 0.0, 0.55, 0.0]
    windows = histogram_spans(curve(values), top=4, gap=1)
    assert spans(windows) == [(1, 4), (7, 8)]
    # Half the share of selected frames (3 of 4), half the mean of the selected ones.
    assert windows[0].confidence == pytest.approx(0.5 * 3 / 4 + 0.5 * (0.95 + 1.0 + 0.92) / 3)


def test_histogram_spans_merge_over_small_gaps() -> None:
    values = [0.0, 1.0, 0.0, 0.9, 0.0, 0.0, 0.0, 0.9]
    assert spans(histogram_spans(curve(values), top=3, gap=2)) == [(1, 4), (7, 8)]
    assert spans(histogram_spans(curve(values), top=3, gap=4)) == [(1, 8)]


def test_shots_are_matched_as_wholes() -> None:
    # Three shots of four frames; the middle one answers, one weak frame inside does not matter.
    values = [0.1] * 4 + [0.9, 0.2, 1.0, 0.9] + [0.1] * 4
    windows = shots_sliding(curve(values, cuts=(4, 8)), cut_threshold=0.5, shots=1, level=0.5)
    assert spans(windows) == [(4, 8)]


def test_sliding_over_two_shots_merges_neighbours() -> None:
    values = [0.0] * 4 + [1.0] * 4 + [0.9] * 4 + [0.0] * 4
    windows = shots_sliding(curve(values, cuts=(4, 8, 12)), cut_threshold=0.5, shots=2, level=0.8)
    assert spans(windows) == [(4, 12)]


def test_watershed_bridges_a_dry_shot_when_enough_is_above_water() -> None:
    # Shots of 4, 1 and 4 frames: 8 of 9 above water at the dip; tolerance 0.8 lets the basin through.
    values = [0.0] * 4 + [1.0] * 4 + [0.3] + [1.0] * 4 + [0.0] * 4
    cuts = (4, 8, 9, 13)
    assert spans(shots_watershed(curve(values, cuts), 0.5, tolerance=0.8))[0] == (4, 13)
    strict = spans(shots_watershed(curve(values, cuts), 0.5, tolerance=1.0))
    assert (4, 8) in strict


def test_fixed_windows_find_the_best_place() -> None:
    values = [0.0] * 6 + [1.0] * 4 + [0.0] * 6
    windows = fixed_windows(curve(values), seconds=8)
    assert spans(windows)[0] == (6, 10)
    assert windows[0].end_seconds - windows[0].start_seconds == 8


def test_gaussian_otsu_finds_two_moments() -> None:
    values = [0.0] * 8 + [1.0] * 8 + [0.0] * 8 + [0.9] * 8 + [0.0] * 8
    windows = gaussian_otsu(curve(values))
    assert spans(windows) == [(8, 16), (24, 32)]


def test_suppression_keeps_the_better_of_two_that_overlap() -> None:
    assert suppress([(0, 10, 0.5), (1, 10, 0.9), (20, 30, 0.1)], 0.5) == [(1, 10, 0.9), (20, 30, 0.1)]


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40),
    st.lists(st.integers(1, 39), max_size=6),
    st.sampled_from(sorted(BASELINES)),
)
def test_every_rule_gives_ranked_windows_inside_the_video(values: list[float], cuts: list[int], name: str) -> None:
    seen = curve(values, tuple(cut for cut in set(cuts) if cut < len(values)))
    baseline = BASELINES[name]
    for chosen in baseline.settings()[::7]:
        windows = baseline.rule(seen, **chosen)
        assert all(0 <= w.first_frame < w.end_frame <= len(values) for w in windows)
        confidences = [w.confidence for w in windows]
        assert confidences == sorted(confidences, reverse=True)
