"""Fitting the rankers: the wanted distribution by hand, a small data set from end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bench.ablation import ablation
from bench.cost import milliseconds
from bench.curves import CurveSet
from bench.datasets import Dataset, Query
from bench.fit import (
    Fitting,
    cross_validated,
    examples,
    fit_ranker,
    fit_rankers,
    wanted,
    without_vectors,
)
from bench.long_videos import films, measure
from indexer.errors import InputError
from searcher.rankers import CURVE_FEATURES, FEATURES, load_rankers
from searcher.settings import SearchSettings
from searcher.similarity import Curve
from vclipper.commands.bench import bench

QUICK = Fitting(epochs=2, networks=1, hidden=2)


def data(tmp_path, count=12):
    """Clips of 40 frames in which frames 10 to 20 answer the query."""
    random = np.random.default_rng(0)
    queries, curves = [], []
    for number in range(count):
        vectors = random.standard_normal((40, 16))
        vectors[10:20] += 3 * np.eye(16)[number]
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        queries.append(Query(number, f"query {number}", f"video{number}", 80.0, ((20.0, 40.0),)))
        following = np.einsum("ij,ij->i", vectors[:-1], vectors[1:])
        curves.append(Curve(vectors[:, number].copy(), following, 2.0, 80.0, vectors=vectors))
    dataset = Dataset("made", tmp_path / "made.jsonl", tuple(queries))
    return CurveSet(dataset, np.arange(count), tuple(curves), (), "made curves")


def test_every_moment_has_a_share_of_the_wanted_distribution():
    fitting = Fitting(sharpness=0.1, least_iou=0.5)
    spans = np.array([[0.0, 10.0], [0.0, 5.0], [20.0, 30.0]])
    share = wanted(spans, np.array([[0.0, 10.0], [20.0, 30.0]]), fitting)
    # Both moments have an exact candidate and so half of the whole each. The first one's half is divided
    # e^(1/0.1) : e^(0.5/0.1) : e^0 among the candidates, whose IoU with it is 1, 0.5 and 0.
    odds = np.exp([10.0, 5.0, 0.0])
    assert share[1] == pytest.approx(0.5 * odds[1] / odds.sum() + 0.5 * np.exp(0) / (2 + np.exp(10)), rel=1e-4)
    assert share.sum() == pytest.approx(1)
    # A moment that no candidate meets at IoU 0.5 asks for nothing beside one that is met.
    share = wanted(spans, np.array([[0.0, 10.0], [28.0, 40.0]]), fitting)
    assert share[2] < 0.001
    assert wanted(spans, np.zeros((0, 2)), fitting).tolist() == [0, 0, 0]


def test_fitting_is_repeatable_and_learns(tmp_path):
    curve_set = data(tmp_path)
    rows = examples(curve_set, QUICK)
    one, other = fit_ranker(rows, QUICK), fit_ranker(rows, QUICK)
    np.testing.assert_array_equal(one.hidden, other.hidden)
    longer = fit_ranker(rows, Fitting(epochs=40, networks=1, hidden=2))

    def expected(parameters):
        total = 0.0
        for row in rows:
            odds = np.exp(parameters.score(row.values.astype(np.float64)))
            total += float(row.wanted @ np.log(odds / odds.sum()))
        return total

    assert expected(longer) > expected(one)


def test_rankers_read_what_their_curves_carry(tmp_path):
    curve_set = data(tmp_path)
    rankers = fit_rankers([curve_set], QUICK)
    assert rankers.frames.names == FEATURES
    assert rankers.curve.names == CURVE_FEATURES
    with pytest.raises(InputError, match="no frame vectors"):
        fit_rankers([without_vectors(curve_set)], QUICK)
    with pytest.raises(InputError, match="nothing to fit"):
        fit_ranker([], QUICK)


def test_cross_validated_figures_and_ablation(tmp_path):
    curve_set = data(tmp_path)
    figures = cross_validated([curve_set], 3, QUICK)
    assert set(figures) == {"frames", "curve"}
    assert set(figures["frames"]["made curves"]) >= {"R1@0.5", "mAP", "short"}
    rows = list(ablation([curve_set], 3, QUICK))
    assert rows[0].name == "everything"
    assert {"without length", "without frame vectors", "NMS at 0.7 instead"} <= {row.name for row in rows}


def features_folder(tmp_path, curve_set):
    for name in ("clip_features", "clip_text_features"):
        (tmp_path / name).mkdir()
    lines = []
    for query, curve in zip(curve_set.queries, curve_set.curves, strict=True):
        np.savez(tmp_path / "clip_features" / f"{query.video}.npz", features=curve.vectors)
        np.savez(tmp_path / "clip_text_features" / f"qid{query.qid}.npz", pooler_output=np.eye(16)[query.qid])
        row = {
            "qid": query.qid,
            "query": query.text,
            "vid": query.video,
            "duration": 80,
            "relevant_windows": [[20, 40]],
        }
        lines.append(json.dumps(row) + "\n")
    (tmp_path / "made.jsonl").write_text("".join(lines))
    return [
        "--annotations",
        str(tmp_path / "made.jsonl"),
        "--features",
        str(tmp_path),
        "--cache",
        str(tmp_path / "c"),
    ]


def test_command_writes_a_file_that_can_be_read(tmp_path):
    options = features_folder(tmp_path, data(tmp_path))
    out = tmp_path / "rankers.json"
    done = CliRunner().invoke(bench, ["fit", *options, "--folds", "2", "--out", str(out), "--licence", "none"])
    assert done.exit_code == 0, done.output
    assert "R1@0.5" in done.output
    record = json.loads(out.read_text())
    assert record["fitted_on"]["queries"] == 12
    assert record["licence"] == "none"
    assert load_rankers(out).frames.names == FEATURES
    # Vectors survive the cache of curves: the second run reads it.
    again = CliRunner().invoke(bench, ["fit", *options, "--folds", "0", "--out", str(tmp_path / "again.json")])
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "again.json").read_text())["rankers"] == record["rankers"]


def test_long_videos(tmp_path):
    options = features_folder(tmp_path, data(tmp_path))
    # 12 clips of 80 s: a film of 0.1 h = 360 s takes 5 of them (400 s), so two films and 10 queries.
    done = CliRunner().invoke(bench, ["long", *options, "--hours", "0.1"])
    assert done.exit_code == 0, done.output
    assert "queries 10 " in done.output
    assert "R@1 " in done.output


def test_films_know_where_their_videos_start(tmp_path):
    from bench.curves import load_features

    curve_set = data(tmp_path)
    features_folder(tmp_path, curve_set)
    features = load_features(tmp_path, curve_set.dataset)
    film = films(features, curve_set.dataset, hours=0.1)[0]
    assert film.seconds == 400
    query = next(q for q in curve_set.dataset if film.starts.get(q.video) == 40)
    assert film.moments(query).tolist() == [[100, 120]]
    with pytest.raises(InputError, match="do not last"):
        films(features, curve_set.dataset, hours=10)
    assert measure(features, curve_set.dataset, SearchSettings(method="proposals"), 0.1, 4)["queries"] == 4


def test_cost_times_every_method(tmp_path):
    figures = milliseconds(data(tmp_path), clips=2, rounds=1)
    assert all(spent > 0 for spent in figures.values())
    assert {"vc1 smooth_norm", "proposals, a video asked before"} <= set(figures)
