"""Tuning: folds, studies that go on where they stopped, settings files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.curves import CurveSet, curves_from_features, load_features
from bench.datasets import load_dataset
from bench.folds import Split, folds_by_video
from bench.run import Replay
from bench.tune import (
    Tuning,
    cross_validate,
    open_study,
    run_studies,
    save_settings,
    search_space,
    settings_record,
    tune_and_validate,
)
from indexer.errors import InputError
from searcher.settings import POSTPROCESSES, SearchSettings
from searcher.settings_file import read_settings
from tests.bench_data import write_small_dataset


@pytest.fixture
def small(tmp_path: Path) -> CurveSet:
    dataset = load_dataset(write_small_dataset(tmp_path / "data"))
    return curves_from_features(load_features(tmp_path / "data", dataset), dataset)


def tuning(tmp_path: Path, trials: int = 6, **other: object) -> Tuning:
    values = {"combinations": [("vc1", "norm")], "target": "windows", "seed": 3, "workers": 1} | other
    return Tuning(trials=trials, storage=tmp_path / "studies.db", **values)  # type: ignore[arg-type]


def test_folds_never_share_a_video(small: CurveSet) -> None:
    folds = folds_by_video(small, 5)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(len(small)))
    for fold in folds:
        train = {small.queries[int(p)].video for p in fold.train}
        assert train.isdisjoint({small.queries[int(p)].video for p in fold.test})
        assert len(fold.train) + len(fold.test) == len(small)


def test_folds_are_the_same_for_the_same_seed(small: CurveSet) -> None:
    first, second, other = folds_by_video(small, 5, 1), folds_by_video(small, 5, 1), folds_by_video(small, 5, 2)
    assert all((a.test == b.test).all() for a, b in zip(first, second, strict=True))
    assert any(len(a.test) != len(b.test) or (a.test != b.test).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("count", [0, 1, 11])
def test_folds_need_videos(small: CurveSet, count: int) -> None:
    with pytest.raises(InputError):
        folds_by_video(small, count)


@pytest.mark.parametrize("method", ["vc1", "vc2"])
@pytest.mark.parametrize("process", POSTPROCESSES)
def test_the_space_holds_the_knobs_that_matter(small: CurveSet, method: str, process: str) -> None:
    space = search_space(Replay(small), method, process, np.arange(len(small)))
    expected = {"threshold"} | ({"min_confidence"} if method == "vc1" else {"cut_threshold", "top_share"})
    if process in ("smooth_norm", "log_smooth_norm"):
        expected |= {"smooth_window"}
    assert set(space.bounds) == expected
    assert space.settings(space.defaults()).method == method


def test_a_study_goes_on_where_it_stopped(small: CurveSet, tmp_path: Path) -> None:
    everything = np.arange(len(small))
    split = Split("all", everything, everything)
    counted: list[int] = []
    run_studies(tuning(tmp_path, 4), small, [split], lambda done, total, name: counted.append(total))
    more = tuning(tmp_path, 7)
    run_studies(more, small, [split], lambda done, total, name: counted.append(total))
    run_studies(more, small, [split], lambda done, total, name: counted.append(total))
    assert counted == [4, 3]
    study = open_study(more.study_name(small, "vc1", "norm", split), more.url)
    assert len(study.trials) == 7
    plain = SearchSettings(method="vc1", postprocess="norm")  # the defaults come first
    assert study.trials[0].params["threshold"] == pytest.approx(plain.effective_threshold, abs=0.05)


def test_the_same_seed_finds_the_same(small: CurveSet, tmp_path: Path) -> None:
    first = cross_validate(tuning(tmp_path / "a"), small, 2)[0]
    second = cross_validate(tuning(tmp_path / "b", workers=2), small, 2)[0]
    assert first.settings == second.settings
    assert first.by_fold == second.by_fold
    assert first.held_out == second.held_out
    assert first.row().values["R1@0.5"] > 30


def test_train_to_val(small: CurveSet, tmp_path: Path) -> None:
    dataset = load_dataset(write_small_dataset(tmp_path / "val", seed=1))
    val = curves_from_features(load_features(tmp_path / "val", dataset), dataset)
    tuned = tune_and_validate(tuning(tmp_path, target="frames"), small, val)[0]
    assert tuned.by_fold == [tuned.settings]
    assert 0 < tuned.held_out_frames["IoU"] <= 1
    assert tuned.row(frames=True).values["AP@0.5"] == tuned.held_out_frames["AP@0.5"]


def test_a_settings_file_reads_back(small: CurveSet, tmp_path: Path) -> None:
    plan = tuning(tmp_path, 3)
    tuned = cross_validate(plan, small, 2)[0]
    path = tmp_path / "out" / "settings.json"
    save_settings(path, settings_record(tuned, plan, small, 2))
    assert read_settings(path) == tuned.settings
    record = json.loads(path.read_text())
    assert SearchSettings.from_dict(record["settings"]) == tuned.settings
    assert record["provenance"]["trials"] == 3
    assert record["provenance"]["annotations"] == "small_val.jsonl"
    assert len(record["provenance"]["settings_by_fold"]) == 2


def test_a_settings_file_names_the_trials_done_though_fewer_are_asked_for(small: CurveSet, tmp_path: Path) -> None:
    cross_validate(tuning(tmp_path, 4), small, 2)
    plan = tuning(tmp_path, 2)
    record = settings_record(cross_validate(plan, small, 2)[0], plan, small, 2)
    assert record["provenance"]["trials"] == 4


def test_bare_settings_read_too(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"method": "vc2", "threshold": 0.5}')
    assert read_settings(path) == SearchSettings(method="vc2", threshold=0.5)


@pytest.mark.parametrize("text", ["{", "[]", '{"lambda": 1}', '{"threshold": 7}'])
def test_bad_settings_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_settings(path)


def test_unknown_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="windows, map, frames"):
        tuning(tmp_path, target="beauty")
