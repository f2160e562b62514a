"""The public annotation formats, one small file each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.datasets import DATASETS, load_dataset
from indexer.errors import InputError
from tests.outside import QVHIGHLIGHTS, needs_qvhighlights


@needs_qvhighlights
@pytest.mark.parametrize(("split", "queries", "videos"), [("train", 7218, 7098), ("val", 1550, 1519)])
def test_qvhighlights_splits(split: str, queries: int, videos: int) -> None:
    dataset = load_dataset(QVHIGHLIGHTS / f"highlight_{split}_release.jsonl")
    assert len(dataset) == queries
    assert abs(len(dataset.videos) - videos) < 100
    assert dataset.has_marks
    assert all(q.relevant(q.clips).sum() == len(q.relevant_clips or ()) for q in dataset)


def test_qvhighlights_row(tmp_path: Path) -> None:
    path = tmp_path / "val.jsonl"
    row = {
        "qid": 7,
        "query": "a dog",
        "duration": 6,
        "vid": "v_0.0_6.0",
        "relevant_clip_ids": [1],
        "saliency_scores": [[1, 2, 3]],
        "relevant_windows": [[2, 4]],
    }
    path.write_text(json.dumps(row))
    (query,) = load_dataset(path)
    assert query.windows == ((2.0, 4.0),)
    assert query.clips == 3
    assert query.marks is not None
    assert query.marks.tolist() == [[0, 0, 0], [1, 2, 3], [0, 0, 0]]
    assert query.relevant(3).tolist() == [False, True, False]
    # Another grid than the annotated one: one frame a second, frames 2 and 3 start inside 2-4 s.
    assert query.relevant(6, 1.0).tolist() == [False, False, True, True, False, False]


def test_charades_takes_lengths_from_the_table_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "charades_sta_test.txt"
    path.write_text("AO8RW 0.0 6.9##a person opens a door.\nAO8RW 5 40##they leave\nZZZ 1.0 3.5##sits\n")
    (tmp_path / "Charades_v1_test.csv").write_text("id,subject,length\nAO8RW,X,33.67\n")
    first, second, third = load_dataset(path, "charades-sta")
    assert (first.video, first.windows, first.text) == ("AO8RW", ((0.0, 6.9),), "a person opens a door.")
    assert second.windows == ((5.0, 33.67),)
    assert third.duration_seconds == 3.5
    assert [q.qid for q in (first, second, third)] == [1, 2, 3]


def test_activitynet_mends_its_known_oddities(tmp_path: Path) -> None:
    path = tmp_path / "val_1.json"
    path.write_text(
        json.dumps(
            {
                "v_a": {
                    "duration": 10.0,
                    "timestamps": [[0, 4], [8, 12], [9, 5], [11, 12]],
                    "sentences": [" one", "two", "three", "past the end"],
                }
            }
        )
    )
    dataset = load_dataset(path, "activitynet-captions")
    assert [q.windows[0] for q in dataset] == [(0.0, 4.0), (8.0, 10.0), (5.0, 9.0)]
    assert [q.qid for q in dataset] == ["v_a#0", "v_a#1", "v_a#2"]
    assert dataset.queries[0].text == "one"


def test_tvr_row(tmp_path: Path) -> None:
    path = tmp_path / "tvr_val.jsonl"
    row = {"desc_id": 90200, "desc": "Phoebe puts one ponytail", "vid_name": "friends_s01", "duration": 61.46}
    path.write_text(json.dumps(row | {"ts": [41.3, 44.1], "type": "v"}))
    (query,) = load_dataset(path, "tvr")
    assert (query.qid, query.windows, query.duration_seconds) == (90200, ((41.3, 44.1),), 61.46)


GOOD = {"qid": 1, "query": "q", "duration": 6, "vid": "v", "relevant_windows": [[0, 2]]}
MARKED = GOOD | {"relevant_clip_ids": [0], "saliency_scores": [[1, 2, 3]]}
CAPTIONS = {"duration": 3, "timestamps": [[0, 1]], "sentences": ["one"]}


def test_ids_may_be_whole_floats_and_texts_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "val.jsonl"
    path.write_text(json.dumps(GOOD | {"qid": 7.0, "query": "a\u2028b"}, ensure_ascii=False), encoding="utf-8")
    (query,) = load_dataset(path)
    assert (query.qid, type(query.qid), query.text) == (7, int, "a\u2028b")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("qvhighlights", "", "holds no query"),
        ("qvhighlights", "{", "line 1: not JSON"),
        ("qvhighlights", json.dumps(GOOD | {"relevant_windows": [[4, 2]]}), "line 1: the window"),
        ("qvhighlights", json.dumps({"qid": 1}), "line 1: the field 'duration' is missing"),
        ("qvhighlights", json.dumps(GOOD) + "\n\n" + json.dumps(GOOD), "line 3: the query id 1 was already"),
        (
            "qvhighlights",
            json.dumps(GOOD | {"relevant_clip_ids": [9], "saliency_scores": [[1, 1, 1]]}),
            "line 1: relevant_clip_ids holds 9; the video has 3 clips",
        ),
        *(
            ("qvhighlights", json.dumps(MARKED | wrong), f"line 1: {problem}")
            for wrong, problem in [
                ({"qid": [1]}, "the qid [1] is neither a whole number nor a name"),
                ({"qid": True}, "the qid true"),
                ({"qid": 1.5}, "the qid 1.5"),
                ({"query": None}, "the query null is not a text"),
                ({"vid": None}, "the vid null"),
                ({"duration": 0}, "the duration is 0 s"),
                ({"duration": 1e300}, "the duration is 1e+300 s"),
                ({"duration": 10**400}, f"1{'0' * 56}... is not a time"),
                ({"relevant_windows": 3}, "relevant_windows is 3, not a list"),
                ({"relevant_windows": [[0, 2, 9]]}, "[0, 2, 9] is not a window"),
                ({"relevant_clip_ids": 3}, "relevant_clip_ids is 3, not a list"),
                ({"relevant_clip_ids": [-1]}, "relevant_clip_ids holds -1"),
                ({"relevant_clip_ids": [1.5]}, "relevant_clip_ids holds 1.5"),
                ({"relevant_clip_ids": [-1], "saliency_scores": None}, "relevant_clip_ids holds -1"),
                ({"relevant_clip_ids": [0, 1]}, "2 relevant_clip_ids but 1 saliency_scores"),
                (
                    {"relevant_clip_ids": [0, 0], "saliency_scores": [[1, 1, 1]] * 2},
                    "relevant_clip_ids names a clip",
                ),
                ({"saliency_scores": 4}, "saliency_scores is 4, not a list"),
                ({"saliency_scores": [[9, 1, 1]]}, "saliency_scores holds [9, 1, 1], expected 3 whole numbers"),
                ({"saliency_scores": [[1, 1]]}, "saliency_scores holds [1, 1]"),
                ({"saliency_scores": [[1.5, 1, 1]]}, "saliency_scores holds [1.5, 1, 1]"),
            ]
        ),
        ("qvhighlights", "[" * 100_000, "line 1: not JSON"),
        ("qvhighlights", "9" * 5000, "line 1: not JSON"),
        ("charades-sta", "AO8RW 0.0##x", "line 1: expected 'VIDEO start end##sentence'"),
        ("charades-sta", "AO8RW 1.2.3 4##x", "line 1: expected 'VIDEO start end##sentence'"),
        ("activitynet-captions", '{\n"v": 3 4}', "line 2: not JSON"),
        *(
            ("activitynet-captions", json.dumps({"v": wrong}), f"video v: {problem}")
            for wrong, problem in [
                (3, "expected an object {...}, found 3"),
                (CAPTIONS | {"sentences": []}, "1 timestamps but 0 sentences"),
                (CAPTIONS | {"sentences": [3]}, "the sentence 3 is not a text"),
                (CAPTIONS | {"sentences": "a"}, 'sentences is "a", not a list'),
                (CAPTIONS | {"timestamps": [1]}, "1 is not a window"),
                (CAPTIONS | {"timestamps": [[1]]}, "[1] is not a window"),
                (CAPTIONS | {"timestamps": [[-1, 2]]}, "-1 is not a time in seconds"),
            ]
        ),
        ("tvr", json.dumps({"desc_id": 1, "duration": 3, "ts": [2]}), "line 1"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_dataset(path, name)
    assert problem in str(error.value)
    assert str(path) in str(error.value)


def test_a_bad_length_is_named_with_its_table(tmp_path: Path) -> None:
    (tmp_path / "charades_sta_test.txt").write_text("AO8RW 0.0 6.9##x")
    (tmp_path / "Charades_v1_test.csv").write_text("id,length\nAO8RW,long\n")
    with pytest.raises(InputError, match=r"Charades_v1_test\.csv, line 2: the length 'long' is not a number"):
        load_dataset(tmp_path / "charades_sta_test.txt", "charades-sta")


def test_the_names_of_the_data_sets_are_offered() -> None:
    with pytest.raises(InputError, match="tvr"):
        load_dataset(Path("x"), "kinetics")
    assert set(DATASETS) == {"qvhighlights", "charades-sta", "activitynet-captions", "tvr"}
