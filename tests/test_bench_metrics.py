"""The scorer on windows whose scores can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import (
    IOU_THRESHOLDS,
    Windows,
    average_precision,
    ranked_average_precision,
    score_frames,
    score_highlights,
    score_moments,
    score_moments_by_length,
    temporal_iou,
)

Spans = list[tuple[float, ...]]


def windows(*rows: Spans) -> Windows:
    return Windows.pad([np.array(row, dtype=float).reshape(len(row), len(row[0]) if row else 3) for row in rows])


def test_iou_of_spans() -> None:
    # 0-10 and 5-15: 5 s shared of 15 s covered.
    assert temporal_iou(np.array([0.0, 10.0]), np.array([5.0, 15.0])) == pytest.approx(5 / 15)
    assert temporal_iou(np.array([0.0, 10.0]), np.array([10.0, 20.0])) == 0
    assert temporal_iou(np.array([3.0, 3.0]), np.array([3.0, 3.0])) == 0


def test_perfect_answer_scores_one_everywhere() -> None:
    scores = score_moments(windows([(2, 12, 0.9)]), windows([(2, 12)]))
    assert scores.first_iou.tolist() == [1.0]
    assert scores.average_precision.tolist() == [[1.0] * 10]


def test_first_window_counts_for_recall_even_when_another_scores_higher() -> None:
    # R1 takes the first line of the file: 0-10 against 0-20 is 10/20.
    scores = score_moments(windows([(0, 10, 0.1), (0, 20, 0.9)]), windows([(0, 20)]))
    assert scores.first_iou[0] == pytest.approx(0.5)
    assert scores.recall_at_one(0.5) == 1.0
    assert scores.recall_at_one(0.7) == 0.0
    # AP ranks by score instead: the perfect window comes first.
    assert scores.average_precision[0].tolist() == [1.0] * 10


def test_a_moment_is_found_once() -> None:
    # Both windows match the only moment; the second is a false positive behind full recall.
    assert average_precision(windows([(0, 10, 0.9), (0, 10, 0.8)]), windows([(0, 10)]))[0, 0] == 1.0
    # With a miss in front, the only hit stands at rank 2: precision 1/2 at recall 1.
    assert average_precision(windows([(50, 60, 0.9), (0, 10, 0.8)]), windows([(0, 10)]))[0, 0] == 0.5


def test_two_moments_one_found_late() -> None:
    # Ranks: hit, miss, hit. Precisions 1, 1/2, 2/3; recall grows at ranks 1 and 3: (1 + 2/3) / 2.
    predicted = windows([(0, 10, 3.0), (40, 50, 2.0), (20, 30, 1.0)])
    truth = windows([(0, 10), (20, 30)])
    assert average_precision(predicted, truth)[0, 0] == pytest.approx((1 + 2 / 3) / 2)


def test_interpolation_lifts_an_early_dip() -> None:
    # Ranks: miss, hit, hit. Precisions 0, 1/2, 2/3; the hit at rank 2 takes the better 2/3 behind it.
    predicted = windows([(40, 50, 3.0), (0, 10, 2.0), (20, 30, 1.0)])
    truth = windows([(0, 10), (20, 30)])
    assert average_precision(predicted, truth)[0, 0] == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_double_match_takes_the_better_moment_and_leaves_the_other() -> None:
    # 0-10 overlaps 0-10 fully and 0-12 by 10/12; it takes the first, so 0-12 is free for the second window.
    predicted = windows([(0, 10, 0.9), (0, 12, 0.8)])
    truth = windows([(0, 12), (0, 10)])
    assert average_precision(predicted, truth)[0, 0] == 1.0


def test_equal_scores_keep_the_order_given() -> None:
    hit_first = windows([(0, 10, 0.5), (50, 60, 0.5)])
    miss_first = windows([(50, 60, 0.5), (0, 10, 0.5)])
    assert average_precision(hit_first, windows([(0, 10)]))[0, 0] == 1.0
    assert average_precision(miss_first, windows([(0, 10)]))[0, 0] == 0.5


def test_an_empty_answer_is_a_miss_not_a_gap() -> None:
    scores = score_moments(windows([(0, 10, 1.0)], []), windows([(0, 10)], [(0, 10)]))
    assert scores.first_iou.tolist() == [1.0, 0.0]
    assert scores.recall_at_one(0.5) == 0.5
    assert scores.mean_average_precision() == 0.5


def test_nobody_answers_anything() -> None:
    scores = score_moments(windows([], []), windows([(0, 10)], [(0, 10)]))
    assert scores.mean_iou() == 0.0
    assert scores.mean_average_precision(0.5) == 0.0


def test_lengths_are_open_below_and_closed_above() -> None:
    # 10 s is short, 30 s is middle, 31 s is long; each query keeps only its moments of that length.
    truth = windows([(0, 10)], [(0, 30), (50, 60)], [(0, 31)])
    predicted = windows([(0, 10, 1)], [(0, 30, 1)], [(0, 31, 1)])
    by_length = score_moments_by_length(predicted, truth)
    assert by_length["short"].first_iou.tolist() == [1.0, 0.0]
    assert by_length["middle"].first_iou.tolist() == [1.0]
    assert by_length["long"].first_iou.tolist() == [1.0]


def plain_average_precision(predicted: Spans, moments: Spans, threshold: float) -> float:
    """The definition, one window at a time."""
    free = list(range(len(moments)))
    hits = []
    for start, end, _ in sorted(predicted, key=lambda w: -w[2]):
        overlaps = [(temporal_iou(np.array([start, end]), np.array(moments[m])), m) for m in free]
        best = max((o for o in overlaps if o[0] >= threshold), default=None)
        hits.append(best is not None)
        if best is not None:
            free.remove(best[1])
    precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
    return sum(max(precision[k:]) for k, hit in enumerate(hits) if hit) / len(moments)


span = st.tuples(st.integers(0, 20), st.integers(1, 15)).map(lambda p: (2.0 * p[0], 2.0 * (p[0] + p[1])))
prediction = st.lists(st.tuples(span, st.integers(0, 3)).map(lambda p: (*p[0], float(p[1]))), max_size=10)
moments = st.lists(span, min_size=1, max_size=5)


@settings(max_examples=150)
@given(st.lists(st.tuples(prediction, moments), min_size=1, max_size=4))
def test_padded_blocks_score_as_one_query_at_a_time(queries: list[tuple[Spans, Spans]]) -> None:
    found = average_precision(windows(*(p for p, _ in queries)), windows(*(m for _, m in queries)))
    for row, (predicted, true) in zip(found, queries, strict=True):
        expected = [plain_average_precision(predicted, true, iou) for iou in IOU_THRESHOLDS]
        assert row.tolist() == pytest.approx(expected)


@settings(max_examples=100)
@given(prediction, moments)
def test_scores_lie_in_their_range_and_fall_with_the_threshold_at_rank_one(predicted: Spans, true: Spans) -> None:
    scores = score_moments(windows(predicted), windows(true))
    assert 0 <= scores.first_iou[0] <= 1
    assert (scores.average_precision >= 0).all()
    assert (scores.average_precision <= 1).all()
    recalls = [scores.recall_at_one(iou) for iou in IOU_THRESHOLDS]
    assert recalls == sorted(recalls, reverse=True)


# --- highlights


def test_highlight_hit_and_precision_by_hand() -> None:
    # Clips marked 4, 0, 2 by all three; ranked clip 1 (wrong), clip 0, clip 2.
    marks = np.array([[4, 4, 4], [0, 0, 0], [2, 2, 2]])
    scores = score_highlights([np.array([0.5, 0.9, 0.1])], [marks])
    # Fair (>= 2): hits at ranks 2 and 3: precisions 1/2, 2/3, interpolated to 2/3 and 2/3.
    assert scores["Fair"].average_precision[0] == pytest.approx(2 / 3)
    # VeryGood (>= 4): one hit at rank 2.
    assert scores["VeryGood"].average_precision[0] == pytest.approx(1 / 2)
    assert scores["Fair"].hit_at_one[0] == 0


def test_one_annotator_is_enough_for_a_hit_but_precision_averages_all_three() -> None:
    marks = np.array([[4, 0, 0], [0, 0, 0]])
    scores = score_highlights([np.array([1.0, 0.0])], [marks])["VeryGood"]
    assert scores.hit_at_one[0] == 1
    assert scores.average_precision[0] == pytest.approx(1 / 3)


def test_short_saliency_is_filled_with_zeros_and_long_is_cut() -> None:
    marks = np.array([[0, 0, 0], [4, 4, 4]])
    # Filled: -1, 0 → the unscored clip ranks first. Cut: the third score is past the video.
    assert score_highlights([np.array([-1.0])], [marks])["Fair"].average_precision[0] == 1
    cut = score_highlights([np.array([0.1, 0.2, 0.9])], [marks])["Fair"]
    assert cut.average_precision[0] == 1
    assert cut.hit_at_one[0] == 0


def test_unanswered_queries_have_no_highlights() -> None:
    marks = np.array([[4, 4, 4]])
    scores = score_highlights([None, np.array([1.0])], [marks, marks])["Fair"]
    assert scores.average_precision.tolist() == [0, 1]
    assert scores.hit_at_one.tolist() == [0, 1]


def test_equal_scores_are_one_threshold() -> None:
    # All tied: one threshold, precision 1/4 at full recall.
    found = ranked_average_precision(
        np.zeros((1, 4)), np.array([[[True], [False], [False], [False]]]), np.ones((1, 4), dtype=bool)
    )
    assert found[0, 0] == pytest.approx(0.25)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12))
def test_highlight_precision_equals_its_definition(clips: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in clips])
    labels = np.array([label for _, label in clips])
    found = ranked_average_precision(scores[None], labels[None, :, None], np.ones((1, len(clips)), dtype=bool))
    levels = sorted(set(scores), reverse=True)
    points = [(labels[scores >= level].sum(), labels[scores >= level].mean()) for level in levels]
    steps = [
        max(precision for _, precision in points[place:])
        for place, (recalled, _) in enumerate(points)
        if recalled > (points[place - 1][0] if place else 0)
    ]
    assert found[0, 0] == pytest.approx(np.mean(steps) if steps else 0.0)


# --- frames


def test_frame_scores_by_hand() -> None:
    # 5 frames; selected 0 1 2, relevant 1 2 3: 2 shared, 4 in either, frame 4 rightly left out.
    scores = score_frames(
        np.array([[1, 1, 1, 0, 0]], dtype=bool),
        np.array([[0, 1, 1, 1, 0]], dtype=bool),
        np.ones((1, 5), dtype=bool),
    )
    assert scores.report() == pytest.approx(
        {
            "accuracy": 3 / 5,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "F1": 2 / 3,
            "IoU": 2 / 4,
            "AP@0.5": 0.0,
            "AP@0.7": 0.0,
        }
    )


def test_frames_past_the_video_do_not_count() -> None:
    selected = np.array([[True, True]])
    scores = score_frames(selected, np.array([[True, False]]), np.array([[True, False]]))
    assert scores.report()["accuracy"] == 1.0
    assert scores.share_above(0.5) == 1.0


def test_nothing_selected_is_zero_not_undefined() -> None:
    nothing, something = np.zeros((1, 3), dtype=bool), np.ones((1, 3), dtype=bool)
    scores = score_frames(nothing, something, something)
    assert scores.precision[0] == scores.recall[0] == scores.f1[0] == scores.iou[0] == 0
