"""Corpus-level scores through the library's tables and FAISS index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.corpus import (
    CorpusScores,
    build_corpus,
    corpus_folder,
    moment_place,
    open_corpus,
    score_corpus,
    video_key,
    video_place,
)
from bench.curves import load_features
from bench.datasets import Query, load_dataset
from searcher.rank import Moment
from searcher.settings import SearchSettings
from tests.bench_data import write_small_dataset

NO_SCORES = (np.zeros(0), np.zeros(0), np.zeros(0, bool))


def test_auc_and_cutoffs_by_hand():
    ranks = np.ones(4, dtype=np.int64)
    present, absent = np.array([3.0, 2.0, 1.0, 0.0]), np.array([2.0, 0.5, 0.25, -np.inf])
    right = np.array([True, False, True, False])
    scores = CorpusScores(ranks, {}, np.zeros(0), present, absent, right)
    # Pairs won: 3 beats 4, 2 beats 3 and ties 1, 1 beats 3, 0 beats 1: (4 + 3.5 + 3 + 1) / 16
    assert scores.auc(present) == pytest.approx(11.5 / 16)
    [at_one_in_four] = scores.cutoffs((0.25,))
    # The 0.75 quantile of -inf, 0.25, 0.5, 2 lies a quarter of the way from 0.5 to 2: 0.875.
    assert at_one_in_four["min_score"] == pytest.approx(0.875)
    assert at_one_in_four["answered"] == 3 / 4
    assert at_one_in_four["right first answers kept"] == 1.0  # 3 and 1


def moment(video: str, start: float, end: float, video_score: float = 0.5) -> Moment:
    return Moment(Path(video), video_key(video), start, end, 0.5, 0.5, video_score, 100.0)


QUERY = Query(1, "q", "right", 100.0, ((10.0, 20.0), (50.0, 60.0)))


def test_a_moment_counts_in_the_right_video_only() -> None:
    moments = [moment("wrong", 10, 20), moment("right", 30, 40), moment("right", 50, 60)]
    assert moment_place(moments, QUERY, video_key("right"), 0.5) == 3
    assert moment_place(moments[:2], QUERY, video_key("right"), 0.5) == 0


def test_the_iou_decides() -> None:
    # 10-20 against 10-16: 6 of 10 s.
    moments = [moment("right", 10, 16)]
    assert moment_place(moments, QUERY, video_key("right"), 0.5) == 1
    assert moment_place(moments, QUERY, video_key("right"), 0.7) == 0


def test_videos_are_placed_by_their_own_score() -> None:
    moments = [moment("a", 0, 1, 0.3), moment("b", 0, 1, 0.9), moment("a", 5, 6, 0.3)]
    assert video_place(moments, video_key("b")) == 1
    assert video_place(moments, video_key("a")) == 2
    assert video_place(moments, video_key("c")) == 0


def test_recall_counts_what_was_never_found_as_a_miss() -> None:
    ranks = np.array([1, 3, 0, 7])
    scores = CorpusScores(ranks, {0.5: ranks, 0.7: ranks}, np.array([0.1]), *NO_SCORES)
    assert scores.recall(ranks, 1) == 0.25
    assert scores.recall(ranks, 5) == 0.5
    assert scores.report()["video R@10"] == 75.0
    assert scores.report()["median search ms"] == 100.0


def test_the_whole_way(tmp_path: Path) -> None:
    annotations = write_small_dataset(tmp_path / "data")
    dataset = load_dataset(annotations)
    features = load_features(tmp_path / "data", dataset)
    library = corpus_folder(tmp_path / "cache", features)
    library.mkdir(parents=True)
    (library / "left by an interrupted run").touch()
    build_corpus(features, dataset, library)
    assert open_corpus(library).index.rows == 200
    settings = SearchSettings(postprocess="smooth_norm", smooth_window=5, threshold=0.55)
    alone = score_corpus(library, features, dataset, settings)
    # Each query's direction shows only in its own moment: the right video is first.
    assert alone.report()["video R@1"] >= 95.0
    assert alone.report()["moment R@1 IoU 0.5"] >= 85.0
    together = score_corpus(library, features, dataset, settings, workers=2)
    assert (together.video_rank == alone.video_rank).all()


def test_other_vectors_get_another_library(tmp_path: Path) -> None:
    dataset = load_dataset(write_small_dataset(tmp_path / "a"))
    other = load_dataset(write_small_dataset(tmp_path / "b", seed=5))
    first = corpus_folder(tmp_path, load_features(tmp_path / "a", dataset))
    assert first == corpus_folder(tmp_path, load_features(tmp_path / "a", dataset))
    assert first != corpus_folder(tmp_path, load_features(tmp_path / "b", other))


def test_a_query_without_a_vector_is_a_miss(tmp_path: Path) -> None:
    dataset = load_dataset(write_small_dataset(tmp_path / "data"))
    (tmp_path / "data" / "clip_text_features" / "qid4.npz").unlink()
    features = load_features(tmp_path / "data", dataset)
    assert features.silent == (4,)
    library = tmp_path / "library"
    build_corpus(features, dataset, library)
    scores = score_corpus(library, features, dataset, SearchSettings())
    assert scores.video_rank[4] == 0
    assert len(scores.seconds) == 19
