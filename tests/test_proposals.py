"""Proposals: level sets and scenes worked out by hand, invariances by property, hours of video."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import InputError
from searcher.level_sets import level_sets
from searcher.postprocess import postprocess
from searcher.proposals import WINDOWS_PER_CONTEXT, choose, describe, overlaps, propose
from searcher.rankers import CURVE_FEATURES, FEATURES, SHIPPED, Parameters, load_rankers
from searcher.reel import WIDTHS_SECONDS, Reel, smoothed
from searcher.select import Window, select
from searcher.settings import POSTPROCESSES, SearchSettings
from searcher.similarity import Curve
from searcher.structure import LONGEST_SECONDS, Structure, scenes


def curve(similarity, period=2.0, vectors=None, duration=None) -> Curve:
    s = np.asarray(similarity, np.float32)
    following = np.full(len(s) - 1, 0.9, np.float32)
    if vectors is not None:
        following = np.einsum("ij,ij->i", vectors[:-1], vectors[1:]).astype(np.float32)
    return Curve(s, following, period, duration or len(s) * period, vectors=vectors)


def spans(candidates):
    return list(zip(candidates.first.tolist(), candidates.end.tolist(), strict=True))


def test_level_sets_are_all_that_any_threshold_cuts_out():
    #        0    1    2    3    4
    row = [0.1, 0.6, 0.8, 0.2, 0.9]
    found = level_sets(np.array([row]), longest_frames=5)
    # Threshold 0.1 keeps all; 0.2 keeps 1-4; 0.6 keeps 1-2 and 4; 0.8 keeps 2 and 4; 0.9 keeps 4.
    assert spans(found) == [(0, 5), (1, 3), (1, 5), (2, 3), (4, 5)]


def test_equal_frames_stay_together():
    assert spans(level_sets(np.array([[0.0, 1.0, 1.0, 0.0]]), 4)) == [(0, 4), (1, 3)]


def test_a_window_of_several_curves_comes_once():
    # First curve: 0-3 and 1-2. Second: 0-3, 1-3, 2-3.
    found = level_sets(np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0]]), 3)
    assert spans(found) == [(0, 3), (1, 2), (1, 3), (2, 3)]


def test_longer_level_sets_are_left_out():
    assert spans(level_sets(np.array([[0.1, 0.6, 0.8, 0.2, 0.9]]), 2)) == [(1, 3), (2, 3), (4, 5)]


levels = st.lists(st.integers(0, 4), min_size=1, max_size=12)


@given(levels)
def test_level_sets_equal_runs_of_every_threshold(values):
    row = np.array(values, float)
    expected = set()
    for threshold in set(values):
        above = np.flatnonzero(row >= threshold)
        for run in np.split(above, np.flatnonzero(np.diff(above) > 1) + 1):
            expected.add((int(run[0]), int(run[-1]) + 1))
    assert set(spans(level_sets(row[None], len(row)))) == expected


def test_scenes_are_all_stretches_between_the_strongest_changes():
    #  between frames: 0-1  1-2  2-3  3-4  4-5
    change = np.array([0.1, 0.9, 0.2, 0.8, 0.1])

    def found(longest):
        first, end = scenes(change, np.array([0, 6]), longest)
        return list(zip(first.tolist(), end.tolist(), strict=True))

    # Peaks after frames 1 and 3: places 2 and 4, with the ends 0 and 6.
    assert found(6) == [(0, 2), (0, 4), (0, 6), (2, 4), (2, 6), (4, 6)]
    assert found(2) == [(0, 2), (2, 4), (4, 6)]


def test_windows_between_scenes_join_the_level_sets_each_once():
    both = level_sets(np.array([[0.0, 1.0, 0.0]]), 3, scenes(np.array([0.9, 0.1]), np.array([0, 3]), 3))
    assert spans(both) == [(0, 1), (0, 3), (1, 2), (1, 3)]
    assert both.level_set.tolist() == [False, True, True, False]


def test_overlaps():
    # 0-4 and 2-6 share 2 of 6 frames; 0-4 and 8-9 share none.
    iou = overlaps(np.array([0, 2, 8]), np.array([4, 6, 9]))
    assert iou[0].tolist() == pytest.approx([1, 2 / 6, 0])


def test_the_first_window_has_the_largest_expected_overlap():
    # 20-30 has the highest odds, 1 against 0.9 each; but 0-10, 0-9 and 1-10 support each other:
    # IoU² is 0.81 or more between any two of them but 0.64 for 0-9 with 1-10.
    first, end = np.array([20, 0, 0, 1]), np.array([30, 10, 9, 10])
    places, confidences = choose(first, end, np.log([1.0, 0.9, 0.9, 0.9]))
    assert places[0] == 1
    assert places[1] == 0  # the others are lowered by their overlap with 0-10
    assert confidences[0] == 1
    assert sorted(places.tolist()) == [0, 1, 2, 3]
    assert (np.diff(confidences) <= 0).all()


def step(n=75, first=30, end=40, noise=0.0, seed=0):
    random = np.random.default_rng(seed)
    values = 0.2 + noise * random.standard_normal(n)
    values[first:end] += 0.1
    return values


def iou(window, first, end):
    window = (window.first_frame, window.end_frame) if isinstance(window, Window) else window
    both = max(0, min(window[1], end) - max(window[0], first))
    return both / (window[1] - window[0] + end - first - both)


@pytest.mark.parametrize("ranker", ["fitted", "formula"])
def test_a_clear_step_is_found(ranker):
    found = propose([curve(step(noise=0.01))], ranker)[0]
    assert iou(found[0], 30, 40) >= 10 / 12  # one frame more on each side at most
    assert found[0][2] == 1


def test_two_moments_are_both_near_the_top():
    values = step(noise=0.005) + step(noise=0.005, first=60, end=68, seed=1)
    for ranker in ("fitted", "formula"):
        top = propose([curve(values)], ranker)[0][:4]
        assert max(iou(window, 30, 40) for window in top) >= 10 / 12
        assert max(iou(window, 60, 68) for window in top) >= 8 / 10


@pytest.mark.parametrize("ranker", ["fitted", "formula"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_videos_of_few_frames(ranker, n):
    vectors = np.eye(3, dtype=np.float32)[:n]
    for video in (curve([0.3] * n), curve([0.3] * n, vectors=vectors)):
        assert propose([video], ranker)[0][0][:2] == (0, n)


def test_a_constant_curve_has_finite_features():
    _, values = describe(curve(np.full(50, 0.25)))
    assert np.isfinite(values).all()


videos = st.tuples(st.integers(1, 90), st.integers(0, 10_000), st.booleans())


def random_video(drawn) -> Curve:
    n, seed, with_vectors = drawn
    random = np.random.default_rng(seed)
    vectors = None
    if with_vectors:
        vectors = np.repeat(random.standard_normal((n // 5 + 1, 8)), 5, axis=0)[:n]
        vectors = vectors + 0.3 * random.standard_normal(vectors.shape)
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return curve(random.uniform(0.1, 0.4, n), vectors=vectors, duration=2 * n - random.uniform(0, 1.5))


@given(videos, st.sampled_from(["fitted", "formula"]))
@settings(max_examples=60)
def test_windows_lie_inside_and_fall_in_confidence(drawn, ranker):
    video = random_video(drawn)
    found = select(video, SearchSettings(method="proposals", ranker=ranker))
    stretches = max(1, round(len(video) * 2 / 150))
    assert 1 <= len(found) <= WINDOWS_PER_CONTEXT * stretches
    assert all(0 <= w.first_frame < w.end_frame <= len(video) for w in found)
    assert all(0 <= w.start_seconds < w.end_seconds <= video.duration_seconds for w in found)
    confidences = [w.confidence for w in found]
    assert confidences == sorted(confidences, reverse=True)
    assert 0 < min(confidences) <= max(confidences) == 1
    assert len({(w.first_frame, w.end_frame) for w in found}) == len(found)


@given(videos, st.sampled_from([0.25, 8.0]), st.sampled_from([-0.5, 0.0, 2.0]))
@settings(max_examples=40)
def test_scale_and_shift_of_the_similarity_change_nothing(drawn, scale, shift):
    video = random_video(drawn)
    exact = np.round(video.similarity.astype(np.float64) * 2**12) / 2**12  # so that scaling rounds nothing
    one, other = video.with_similarity(exact), video.with_similarity(exact * scale + shift)
    one, other = (
        Curve(c.similarity, c.next_similarity, 2.0, c.duration_seconds, vectors=c.vectors) for c in (one, other)
    )
    (candidates, values), (moved, moved_values) = describe(one), describe(other)
    if len(candidates) == len(moved):  # smoothing may break ties in the last bit
        assert spans(candidates) == spans(moved)
        np.testing.assert_allclose(values, moved_values, atol=1e-6)


def test_time_has_no_direction():
    values = step(noise=0.02)
    (candidates, there), (_, back) = describe(curve(values)), describe(curve(values[::-1]))
    mirrored = sorted(range(len(candidates)), key=lambda k: (75 - candidates.end[k], 75 - candidates.first[k]))
    np.testing.assert_allclose(there[mirrored], back, atol=1e-6)


@pytest.mark.parametrize("process", POSTPROCESSES)
def test_postprocessing_does_not_matter(process):
    video = Curve(
        *(getattr(curve(step(noise=0.02)), name) for name in ("similarity", "next_similarity")),
        2.0,
        150.0,
        (0.0, 1.0),
    )
    chosen = SearchSettings(method="proposals", postprocess=process)
    assert select(postprocess(video, chosen), chosen) == select(video, chosen)


@given(videos)
@settings(max_examples=30)
def test_a_structure_at_hand_changes_nothing(drawn):
    video = random_video((drawn[0], drawn[1], True))
    at_hand = replace(video, structure=Structure.of(video.vectors, 2.0))
    assert propose([at_hand])[0] == propose([video])[0]


def test_lambda_cuts_by_confidence():
    video = curve(step(noise=0.02))
    everything = select(video, SearchSettings(method="proposals"))
    best = select(video, SearchSettings(method="proposals", threshold=0.99))
    assert [w for w in everything if w.confidence > 0.99] == best


@pytest.mark.parametrize("period", [0.5, 1.0, 2.0])
def test_lengths_are_seconds_at_every_sampling_rate(period):
    times = np.arange(0, 150, period)
    values = 0.2 + 0.1 * ((times >= 60) & (times < 80)) + 0.01 * np.sin(times * 1.7)
    best = propose([curve(values, period)])[0][0]
    assert best[0] * period == pytest.approx(60, abs=2)
    assert best[1] * period == pytest.approx(80, abs=2)


def test_hours_of_video_give_moments_of_sensible_length():
    random = np.random.default_rng(0)
    values = 0.2 + 0.01 * random.standard_normal(5400)  # 3 h at 2 s
    places = [(400, 410), (2500, 2508), (5000, 5020)]
    for first, end in places:
        values[first:end] += 0.1
    found = propose([curve(values)])[0]
    for first, end in places:
        assert max(iou(window, first, end) for window in found[:6]) >= 0.8
    assert max(end - first for first, end, _ in found) * 2.0 <= LONGEST_SECONDS
    repeats = overlaps(np.array([w[0] for w in found]), np.array([w[1] for w in found]))
    # Nothing comes back twice where two stretches meet.
    assert (repeats > 0.999).sum() == len(found)


def test_shipped_parameters_are_readable_and_say_where_they_come_from():
    record = json.loads(SHIPPED.read_text(encoding="utf-8"))
    assert "CC BY-NC-SA 4.0" in record["licence"]
    assert record["fitted_on"]["dataset"] == "QVHighlights"
    rankers = load_rankers()
    assert rankers.frames.names == FEATURES
    assert rankers.curve.names == CURVE_FEATURES


def test_parameters_survive_writing_and_reading():
    parameters = load_rankers().curve
    again = Parameters.from_dict(json.loads(json.dumps(parameters.to_dict())))
    _, values = describe(curve(step(noise=0.02)))
    np.testing.assert_array_equal(parameters.score(values), again.score(values))


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not a file"), ("{}", "not a file"), ('{"rankers": {"curve": {}, "frames": {}}}', "lack 'features'")],
)
def test_a_file_that_holds_no_rankers_is_refused(tmp_path, text, words):
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        load_rankers(path)
    with pytest.raises(InputError, match="does not exist"):
        load_rankers(tmp_path / "absent.json")


def test_a_ranker_file_of_ones_own_is_used(tmp_path):
    record = json.loads(SHIPPED.read_text(encoding="utf-8"))
    for ranker in record["rankers"].values():
        ranker["output"] = [-weight for weight in ranker["output"]]
    path = tmp_path / "upside-down.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    video = curve(step(noise=0.01))
    assert iou(select(video, SearchSettings())[0], 30, 40) >= 10 / 12
    assert iou(select(video, SearchSettings(ranker_file=str(path)))[0], 30, 40) < 0.5
    with pytest.raises(InputError, match="no use to the ranker 'formula'"):
        SearchSettings(ranker="formula", ranker_file=str(path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"clip": float("nan")}, "not a number"),
        ({"clip": 0}, "not above 0"),
        ({"output": [1.0]}, "do not belong to"),
        ({"features": {"colour": {"centre": 0, "scale": 1, "hidden": [0] * 16}}}, "unknown feature"),
    ],
)
def test_wrong_numbers_are_refused_with_the_file_named(tmp_path, change, words):
    record = json.loads(SHIPPED.read_text(encoding="utf-8"))
    record["rankers"]["curve"] |= change
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=f"wrong.json: .*{words}"):
        load_rankers(path)


def test_the_ranker_for_curves_may_not_read_vectors(tmp_path):
    record = json.loads(SHIPPED.read_text(encoding="utf-8"))
    record["rankers"]["curve"] = record["rankers"]["frames"]
    path = tmp_path / "swapped.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match="only frame vectors tell"):
        load_rankers(path)


def test_a_ranker_may_read_fewer_features():
    some = load_rankers().curve
    names = some.names[:3]
    fewer = Parameters(names, some.centre[:3], some.scale[:3], some.hidden[:, :3], some.bias, some.output)
    _, values = describe(curve(step(noise=0.02)))
    assert fewer.score(values).shape == (len(values),)
    with pytest.raises(InputError, match="unknown feature"):
        Parameters(("colour",), some.centre[:1], some.scale[:1], some.hidden[:, :1], some.bias, some.output)
    with pytest.raises(InputError, match="do not belong"):
        Parameters(names, some.centre[:2], some.scale[:3], some.hidden[:, :3], some.bias, some.output)


@pytest.mark.parametrize("period", [0.5, 2.0, 30.0])
def test_each_curve_is_smoothed_by_itself_as_scipy_does(period):
    from scipy.ndimage import gaussian_filter1d

    curves = [curve(np.random.default_rng(frames).random(frames), period) for frames in (1, 2, 7, 75)]
    expected = [
        [gaussian_filter1d(c.raw.astype(np.float64), w / period, mode="nearest") if w else c.raw for c in curves]
        for w in WIDTHS_SECONDS
    ]
    assert np.allclose(smoothed(Reel.of(curves)), [np.concatenate(row) for row in expected], atol=1e-12)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 10_000)), min_size=1, max_size=5), st.booleans())
@settings(max_examples=40)
def test_videos_asked_together_get_what_each_gets_alone(drawn, with_vectors):
    curves = [random_video((n, seed, with_vectors)) for n, seed in drawn]
    alone = [propose([one])[0] for one in curves]
    for found, expected in zip(propose(curves), alone, strict=True):
        assert [window[:2] for window in found] == [window[:2] for window in expected]
        assert [window[2] for window in found] == pytest.approx([window[2] for window in expected], abs=1e-6)


def test_curves_with_and_without_vectors_and_long_ones_may_be_mixed():
    drawn = [(75, 1, True), (75, 2, False), (5000, 3, True), (20, 4, True)]
    curves = [random_video(one) for one in drawn]
    assert [[w[:2] for w in found] for found in propose(curves)] == [
        [w[:2] for w in propose([one])[0]] for one in curves
    ]
