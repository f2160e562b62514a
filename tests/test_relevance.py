"""How well a video answers: stretches, combinations and whitening, by hand and by property."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.catalogue import VideoRow
from indexer.frame_index import Moments, NumpyIndex
from indexer.recent import Remembered
from indexer.store import VideoFrames
from indexer.vectors import Float32, unit
from searcher.prepared import STRETCHES_SECONDS, Prepared
from searcher.relevance import (
    CHANCE_WEIGHT,
    COMBINATION_WEIGHT,
    Asked,
    Background,
    answers,
    best_combinations,
    best_stretches,
    chance,
    relevances,
)
from searcher.search import Corpus, search
from searcher.settings import SearchSettings
from searcher.structure import Floats
from searcher.whitening import AXES, EXPONENT, Whitening, random_vectors

X, Y, Z = np.eye(3, dtype=np.float32)


class Video(NamedTuple):
    """V_E of a video, and what ranking keeps of it."""

    vectors: Float32
    prepared: Prepared


def made_of(vectors, period=2.0, whitening=None) -> Video:
    v = np.asarray(vectors, np.float32)
    return Video(v, Prepared.of(v, period, whitening))


def stretch(query, video: Video) -> tuple[float, int]:
    best, centres = best_stretches(query[None] @ video.vectors.T, [video.prepared.spaces[0]])
    return float(best[0, 0]), int(centres[0, 0])


def combination(query, vectors, count) -> float:
    centre = np.array([[len(vectors) // 2]])
    frames = made_of(vectors).prepared.spaces[:1]
    return float(best_combinations(query[None] @ vectors.T, frames, centre, count)[0, 0])


def answers_of(queries, videos, count, whitening=None) -> Float32:
    """(spaces, b, v)"""
    return answers(queries, whitening, [v.prepared for v in videos], [v.vectors for v in videos], count)


def answer(query, video: Video, count) -> float:
    return float(answers_of(query[None], [video], count)[0, 0, 0])


def relevances_of(asked: Asked, videos, count) -> Floats:
    return relevances(asked, [v.prepared for v in videos], [v.vectors for v in videos], count)


def levels_of(video: Video, count, whitening=None) -> list[float]:
    return chance(whitening, [video.prepared], [video.vectors], count)[:, 0].tolist()


def mixed(combined, stretched) -> float:
    """What :func:`answers` makes of the two."""
    return (COMBINATION_WEIGHT * combined + stretched) / (COMBINATION_WEIGHT + 1)


def test_best_stretches_by_hand():
    # At 17 s a frame 18 s are one frame alone, 34 s one on each side; 66 s too.
    video = made_of([X, Y, Z, Z], period=17.0)
    # The frame X or Y alone has a cosine of 1/√2 with (X + Y)/√2. Around frame 0 lie X and Y, which have 1.
    assert stretch(unit(X + Y), video) == (pytest.approx((math.sqrt(0.5) + 1 + 1) / 3), 0)
    # Z alone: 1; around frame 3: Z and Z.
    assert stretch(Z, video) == (pytest.approx(1.0), 3)


def test_best_combinations_add_what_one_frame_lacks():
    vectors, query = np.stack([X, Z, Z, Y]), unit(X + Y)
    # One frame answers (X + Y)/√2 with 0.707, X and Y together with 1; a third can only be Z: (2/√2)/√3.
    assert combination(query, vectors, 1) == pytest.approx(math.sqrt(0.5))
    assert combination(query, vectors, 2) == pytest.approx(1.0)
    assert combination(query, vectors, 3) == pytest.approx(math.sqrt(2 / 3))


def test_a_video_shorter_than_the_combination_is_taken_whole():
    assert combination(unit(X + Y), np.stack([X, Y]), 5) == pytest.approx(1.0)
    assert answer(X, made_of(X[None]), 5) == pytest.approx(1.0)


def test_frames_far_from_the_best_stretch_are_not_combined():
    # 200 frames of 2 s: X for the first 20, Y only at the end, 340 s later.
    vectors = np.concatenate([np.tile(X, (20, 1)), np.tile(Z, (170, 1)), np.tile(Y, (10, 1))])
    # The best stretches are X alone, of every length; so is the best combination within 150 s: 2/√5 each.
    assert answer(unit(2 * X + Y), made_of(vectors), 2) == pytest.approx(2 / math.sqrt(5), abs=1e-6)


@given(st.integers(1, 200), st.integers(0, 1000))
def test_stretches_of_long_videos_are_those_of_the_whole(n, seed):
    """The parts in which the structure is kept do not show."""
    video = made_of(unit(np.random.default_rng(seed).standard_normal((n, 5))))
    query = unit(np.random.default_rng(seed + 1).standard_normal(5))
    expected = []
    for half in (int(seconds / 4) for seconds in STRETCHES_SECONDS):
        windows = [video.vectors[max(0, i - half) : i + half + 1].sum(axis=0) for i in range(n)]
        expected.append(max(float(w @ query) / float(np.linalg.norm(w)) for w in windows))
    assert stretch(query, video)[0] == pytest.approx(np.mean(expected), abs=1e-4)


@given(st.integers(1, 60), st.integers(0, 1000), st.integers(1, 8))
def test_a_combination_is_a_cosine_and_never_misses_the_best_frame(n, seed, count):
    vectors = unit(np.random.default_rng(seed).standard_normal((n, 6)))
    query = unit(np.random.default_rng(seed + 1).standard_normal(6))
    assert -1.0001 <= combination(query, vectors, count) <= 1.0001
    assert combination(query, vectors, 1) == pytest.approx(float((vectors @ query).max()), abs=1e-5)


@given(st.integers(1, 400), st.integers(0, 1000), st.integers(1, 6))
def test_queries_asked_together_get_what_each_gets_alone(n, seed, count):
    random = np.random.default_rng(seed)
    video, queries = made_of(unit(random.standard_normal((n, 6)))), unit(random.standard_normal((5, 6)))
    alone = [answer(query, video, count) for query in queries]
    assert answers_of(queries, [video], count)[0, :, 0] == pytest.approx(alone, abs=1e-5)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(0, 1000), st.integers(1, 6))
def test_videos_asked_together_get_what_each_gets_alone(lengths, seed, count):
    random = np.random.default_rng(seed)
    corpus, query = unit(random.standard_normal((400, 6)) + 1), unit(random.standard_normal(6))
    whitening = Whitening.of(Moments.of(corpus))
    asked = Asked.of(query, Background(0.1, 0.2, 400), whitening)
    videos = [made_of(unit(random.standard_normal((n, 6))), 2.0, whitening) for n in lengths]
    alone = [float(relevances_of(asked, [video], count)[0]) for video in videos]
    assert relevances_of(asked, videos, count) == pytest.approx(alone, abs=1e-4)


def test_more_frames_than_are_looked_at_together_make_no_difference(monkeypatch):
    random = np.random.default_rng(0)
    videos = [made_of(unit(random.standard_normal((n, 6)))) for n in (30, 80, 1, 200, 40)]
    queries = unit(random.standard_normal((3, 6)))
    together = answers_of(queries, videos, 4)
    monkeypatch.setattr("searcher.relevance._AT_ONCE", 3 * 90)
    assert answers_of(queries, videos, 4) == pytest.approx(together, abs=1e-6)


def test_an_answer_mixes_both():
    vectors, query = np.stack([X, Z, Z, Y]), unit(X + Y)
    video = made_of(vectors, 17.0)
    assert answer(query, video, 2) == pytest.approx(
        mixed(combination(query, vectors, 2), stretch(query, video)[0])
    )


def made(rows=4000, seed=0):
    """Frames that vary ten times more along the first of twelve directions."""
    random = np.random.default_rng(seed)
    spread = np.ones(12)
    spread[0] = 10
    return (random.standard_normal((rows, 12)) * spread + 3).astype(np.float32)


def whitened(vectors, whitening: Whitening) -> Float32:
    """Frames as the whitened space has them, of length 1 again."""
    return unit(whitening._shorten(vectors - whitening.mean))


def test_whitening_shortens_what_varies_most():
    corpus = made()
    whitening = Whitening.of(Moments.of(corpus))
    variances = np.linalg.eigvalsh(np.cov(corpus.T))
    strongest = variances[-1] / variances.mean()
    assert whitening.axes.shape == (min(AXES, 12), 12)
    assert whitening.loss[-1] == pytest.approx(1 - (1 + strongest) ** -EXPONENT, rel=1e-3)
    ratio = corpus.std(axis=0)[0] / corpus.std(axis=0)[1]
    after = whitening._shorten(corpus - whitening.mean).std(axis=0)
    assert after[0] / after[1] == pytest.approx(ratio * (1 + strongest) ** -EXPONENT * 1.02, rel=0.05)


def test_a_kept_whitening_is_that_of_the_moments(tmp_path, monkeypatch):
    one, other, file = Moments.of(made()), Moments.of(made(seed=1)), tmp_path / "whitening"
    assert_same(Whitening.kept(one, file), Whitening.of(one))
    expected = Whitening.of(one)
    with monkeypatch.context() as patch:
        patch.setattr(np.linalg, "eigh", None)  # the second search computes nothing
        assert_same(Whitening.kept(one, file), expected)
    assert_same(Whitening.kept(other, file), Whitening.of(other))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert_same(Whitening.kept(other, file), Whitening.of(other))
    assert_same(Whitening.kept(one, tmp_path / "no folder" / "whitening"), expected)  # nothing can be written


def assert_same(a, b):
    for name in ("mean", "axes", "loss", "covariance"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
    assert a.total == b.total


def test_the_deviation_of_whitened_cosines_is_about_right():
    corpus = made()
    whitening = Whitening.of(Moments.of(corpus))
    query = whitening.query(unit(np.ones(12)))
    assert whitening.deviation(query) == pytest.approx((whitened(corpus, whitening) @ query).std(), rel=0.2)


def test_relevance_is_the_mean_of_both_spaces_in_deviations_above_chance():
    corpus = unit(made(600))
    query = unit(np.arange(12.0))
    background = Background(float((corpus @ query).mean()), float((corpus @ query).std()), 600)
    whitening = Whitening.of(Moments.of(corpus))
    small, video = made_of(corpus[:30]), made_of(corpus[:30], whitening=whitening)
    plain = float(relevances_of(Asked.of(query, background, None), [small], 5)[0])
    both = float(relevances_of(Asked.of(query, background, whitening), [video], 5)[0])
    level = CHANCE_WEIGHT * levels_of(small, 5)[0]
    assert plain == pytest.approx(background.standard(answer(query, small, 5) - level))
    # In the whitened space the same is done with whitened frames, whitened query and whitened random vectors.
    white = made_of(whitened(corpus[:30], whitening))
    seen = whitening.query(query)
    by_chance = answers_of(whitening.queries(random_vectors(12)), [white], 5).mean()
    other = answer(seen, white, 5) - CHANCE_WEIGHT * by_chance
    assert both == pytest.approx((plain + other / whitening.deviation(seen)) / 2, rel=1e-4)


@pytest.mark.parametrize("n", [1, 2, 30, 140, 160, 500])
def test_whitened_videos_are_prepared_without_whitening_their_frames(n):
    corpus = unit(made(1000))
    whitening = Whitening.of(Moments.of(corpus))
    found = made_of(corpus[:n], whitening=whitening).prepared.spaces[1]
    expected = made_of(whitened(corpus[:n], whitening)).prepared.spaces[0]
    assert np.allclose(found.cosines, expected.cosines, atol=1e-5)
    assert np.allclose(found.lengths, expected.lengths, rtol=3e-5)
    # W(v - mean) · s is (v - mean) · s without what is lost, and its length makes it a cosine.
    lengths = np.linalg.norm(whitening._shorten(corpus[:n] - whitening.mean), axis=1)
    assert np.allclose(found.scale * lengths, 1, rtol=1e-4)


@pytest.mark.parametrize("n", [40, 76, 150, 160, 226, 400])
def test_frames_near_each_other_are_kept_whole(n):
    """At 2 s a frame, 76 on both sides; at the ends of a video 152 on one."""
    vectors = unit(np.random.default_rng(n).standard_normal((n, 8)))
    kept = made_of(vectors).prepared.spaces[0].cosines
    for frame in range(n):
        start = max(0, min(frame - 76, n - 153))
        assert np.allclose(kept[frame], vectors[start : start + 153] @ vectors[frame], atol=1e-6)


@given(st.integers(1, 900), st.sampled_from([0.25, 0.7, 2.0, 17.0, 100.0]), st.integers(0, 1000))
def test_lengths_are_those_of_the_sums_of_the_vectors(n, period, seed):
    vectors = unit(np.random.default_rng(seed).standard_normal((n, 5)))
    kept = made_of(vectors, period).prepared.spaces[0].lengths
    for lengths, seconds in zip(kept, STRETCHES_SECONDS, strict=True):
        half = int(seconds / period / 2)
        sums = [vectors[max(0, i - half) : i + half + 1].sum(axis=0) for i in range(n)]
        assert np.allclose(lengths, np.linalg.norm(sums, axis=1), rtol=1e-5, atol=1e-4)


def test_nothing_but_what_is_kept_of_videos_stays_in_memory():
    videos = [unit(np.random.default_rng(n).standard_normal((n, 4))) for n in (1200, 1300, 1400)]
    made_of(videos[0][:50])  # what is made once for all videos
    tracemalloc.start()
    kept = [Prepared.of(vectors, 0.5, None) for vectors in videos]  # 10 minutes each
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < sum(one.nbytes for one in kept) + 1e6


def test_a_video_that_shows_much_has_a_higher_level_of_chance():
    random = np.random.default_rng(0)
    one_scene = unit(random.standard_normal(40) + 0.2 * random.standard_normal((75, 40)))
    many_things = unit(random.standard_normal((75, 40)))
    assert levels_of(made_of(many_things), 5)[0] > levels_of(made_of(one_scene), 5)[0] + 0.1


def test_frames_that_are_all_alike_give_numbers():
    corpus = np.tile(X, (400, 1))
    whitening = Whitening.of(Moments.of(corpus))
    asked = Asked.of(X, Background(1.0, 0.0, 400), whitening)
    assert np.isfinite(relevances_of(asked, [made_of(corpus[:10], 2.0, whitening)], 5)).all()


def test_the_last_videos_used_are_kept():
    asked_for = []

    def prepare(video_id):
        asked_for.append(video_id)
        return Prepared.of(np.tile(X, (10, 1)), 2.0, None)

    room_for_two = 2 * prepare(0).nbytes
    videos = Remembered(prepare, room_for_two)
    for video_id in (1, 2, 1, 3, 1, 2):  # 3 drives out 2, which was used before 1
        videos(video_id)
    assert asked_for == [0, 1, 2, 3, 2]


def test_a_corpus_searched_in_groups_gives_the_same_moments(monkeypatch):
    random = np.random.default_rng(0)
    frames = [
        VideoFrames.of(key, unit(random.standard_normal((n, 8)))) for key, n in enumerate((40, 200, 1, 75, 90))
    ]
    rows = {f.video_id: VideoRow(f.video_id, "", (Path(f"{f.video_id}"),), len(f.vectors), 400.0) for f in frames}
    query, settings = unit(random.standard_normal(8)), SearchSettings(min_score=-1000, top=100)

    def found():
        return search(query, Corpus(NumpyIndex(frames, 8), rows, 2.0), settings)

    together = found()
    monkeypatch.setattr("searcher.search.FRAMES_AT_ONCE", 100)
    assert len(together) > 25
    assert [m.score for m in found()] == pytest.approx([m.score for m in together], abs=1e-5)
    assert [(m.video_id, m.start_seconds) for m in found()] == [(m.video_id, m.start_seconds) for m in together]
