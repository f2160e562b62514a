"""Prediction files: parity with the official evaluator, strict reading, honest misses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.datasets import Dataset, Query
from bench.score import Prediction, evaluate, load_predictions, save_predictions, score_file
from indexer.errors import InputError
from tests.outside import QVHIGHLIGHTS, VAL, needs_qvhighlights


@pytest.fixture
def truth(tmp_path: Path) -> Dataset:
    marks = np.zeros((75, 3), dtype=np.int64)
    marks[:5] = 4
    queries = tuple(
        Query(qid, f"query {qid}", f"v{qid}", 150.0, ((0.0, 10.0),), marks, tuple(range(5))) for qid in (1, 2, 3)
    )
    return Dataset("hand made", tmp_path / "truth.jsonl", queries)


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


@needs_qvhighlights
@pytest.mark.parametrize("system", ["moment_detr_val", "vtg_gpt_val"])
def test_every_key_equals_the_official_evaluator(system: str) -> None:
    evaluation = score_file(QVHIGHLIGHTS / "peer_predictions" / f"{system}.jsonl", VAL)
    official = (QVHIGHLIGHTS / "peer_predictions" / f"{system}.metrics.json").read_text()
    assert json.dumps(evaluation.report()) == json.dumps(json.loads(official))
    assert evaluation.extras()["missing"] == 0


@needs_qvhighlights
def test_silence_costs_instead_of_raising_the_mean(tmp_path: Path) -> None:
    lines = (QVHIGHLIGHTS / "peer_predictions" / "vtg_gpt_val.jsonl").read_text().splitlines()
    half = tmp_path / "half.jsonl"
    half.write_text("\n".join(lines[: len(lines) // 2]))
    whole = score_file(QVHIGHLIGHTS / "peer_predictions" / "vtg_gpt_val.jsonl", VAL)
    evaluation = score_file(half, VAL)
    assert evaluation.extras()["missing"] == 775
    for key, value in evaluation.report()["brief"].items():
        assert value < whole.report()["brief"][key]


def test_missing_and_empty_are_told_apart(truth: Dataset) -> None:
    evaluation = evaluate([Prediction(1, np.array([[0.0, 10.0, 1.0]])), Prediction(2, np.zeros((0, 3)))], truth)
    assert evaluation.empty == (2,)
    assert evaluation.missing == (3,)
    # One right answer of three queries.
    assert evaluation.report()["brief"]["MR-full-R1@0.5"] == 33.33
    assert [row["state"] for row in evaluation.rows()] == ["answered", "empty", "missing"]


def test_no_saliency_no_highlight_keys(truth: Dataset) -> None:
    report = evaluate([Prediction(1, np.array([[0.0, 10.0, 1.0]]))], truth).report()
    assert not [key for key in report if key.startswith("HL")]


def test_a_file_that_was_written_reads_back(truth: Dataset, tmp_path: Path) -> None:
    predictions = [
        Prediction(1, np.array([[0.0, 10.0, 0.75], [2.5, 4.0, 0.5]]), np.array([0.25, 0.5])),
        Prediction(3, np.zeros((0, 3))),
    ]
    path = tmp_path / "out" / "predictions.jsonl"
    save_predictions(path, predictions, truth)
    back = load_predictions(path, truth)
    assert [p.qid for p in back] == [1, 3]
    assert back[0].windows.tolist() == predictions[0].windows.tolist()
    assert back[0].saliency is not None
    assert back[0].saliency.tolist() == [0.25, 0.5]
    assert len(back[1].windows) == 0


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (['{"qid": 1'], "line 1: not JSON"),
        ([{"qid": 1}, "[1, 2]"], "line 2: expected an object"),
        ([{"query": "x"}], "line 1: the field 'qid' is missing"),
        ([{"qid": 99}], "line 1: the qid 99 is not in the ground truth"),
        ([{"qid": 1}, {"qid": 2}, {"qid": 1}], "line 3: the qid 1 was already on line 1"),
        ([{"qid": 1, "pred_relevant_windows": [[1]]}], "line 1: a predicted window is not"),
        ([{"qid": 1, "pred_relevant_windows": [[1, "b", 1]]}], "line 1: pred_relevant_windows"),
        ([{"qid": 1, "pred_relevant_windows": [[9, 3, 1]]}], "[9, 3] ends before it starts"),
        ([{"qid": 1, "pred_relevant_windows": {}}], "line 1: pred_relevant_windows is not a list"),
        (['{"qid": 1, "pred_relevant_windows": [[0, NaN, 1]]}'], "not finite"),
        ([{"qid": 1, "pred_saliency_scores": [[1]]}], "line 1: pred_saliency_scores is not a list"),
        ([{"qid": 1, "pred_relevant_windows": [[[1], [2], [3]]]}], "line 1: a predicted window is not"),
        ([{"qid": 1, "pred_relevant_windows": [[0, 10**400, 1]]}], "are not numbers"),
        ([{"qid": True}], "line 1: the qid true"),
        ([{"qid": 1, "vid": "v2"}], "line 1: the qid 1 is about v1, the prediction about v2"),
    ],
)
def test_a_bad_line_is_named(truth: Dataset, tmp_path: Path, rows: list[object], problem: str) -> None:
    with pytest.raises(InputError) as error:
        load_predictions(write(tmp_path / "p.jsonl", *rows), truth)
    assert problem in str(error.value)


def test_what_means_the_same_query_is_taken(truth: Dataset, tmp_path: Path) -> None:
    rows = [{"qid": 1.0, "vid": "v1"}, {"qid": 2, "vid": None}, {"qid": 3}]
    assert [p.qid for p in load_predictions(write(tmp_path / "p.jsonl", *rows), truth)] == [1, 2, 3]


def test_windows_without_confidence_keep_their_order(truth: Dataset, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", {"qid": 1, "pred_relevant_windows": [[0, 10], [50, 60]]})
    evaluation = evaluate(load_predictions(path, truth), truth)
    assert evaluation.moments["full"].average_precision[0, 0] == 1.0


def test_a_missing_file_is_named(truth: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_predictions(tmp_path / "none.jsonl", truth)
