"""One settings class: its bounds, and what reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import InputError
from searcher.postprocess import POSTPROCESS
from searcher.select import SELECT
from searcher.settings import DEFAULT_THRESHOLD, METHODS, POSTPROCESSES, SearchSettings, knobs
from searcher.settings_file import read_settings


def test_tables_and_choices_agree():
    assert tuple(SELECT) == METHODS
    assert tuple(POSTPROCESS) == POSTPROCESSES
    assert set(DEFAULT_THRESHOLD) == {(m, p) for m in METHODS for p in POSTPROCESSES}


def test_defaults_lie_within_their_bounds():
    for knob in knobs():
        assert knob.plain(knob.default) == knob.default
    assert SearchSettings().effective_threshold == DEFAULT_THRESHOLD[SearchSettings().method, "smooth_norm"]
    assert SearchSettings(threshold=0.1).effective_threshold == 0.1


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"method": "vc3"}, "vc1, vc2"),
        ({"postprocess": "log"}, "log_smooth_norm"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"threshold": float("nan")}, "not a number"),
        ({"top_share": 0.0}, "top_share is 0"),
        ({"smooth_window": 12}, "odd"),
        ({"smooth_window": 13.5}, "whole number"),
        ({"videos": 0}, "videos is 0"),
        ({"top": "5"}, "not a number"),
        ({"ranker_file": 5}, "not a name"),
        ({"top": float("inf")}, "top is inf. It must lie between 1 and 100000"),
        ({"top": 10**400}, "It must lie between 1 and 100000"),
        ({"top": np.float32(2.5)}, "top is 2.5, not a whole number"),
        ({"threshold": np.float32("nan")}, "not a number"),
    ],
)
def test_out_of_bounds_is_an_input_error(values, says):
    with pytest.raises(InputError, match=says):
        SearchSettings(**values)


def test_values_are_kept_in_pythons_own_types():
    given = SearchSettings(
        top=2.0,
        videos=np.int64(3),
        best_frames=np.float32(4),
        threshold=np.float32(0.5),
        ranker_file=Path("r.json"),
    )
    plain = SearchSettings(top=2, videos=3, best_frames=4, threshold=0.5, ranker_file="r.json")
    assert json.dumps(given.to_dict()) == json.dumps(plain.to_dict())
    assert range(9)[: given.top] == range(2)


def test_round_trip_and_unknown_names():
    settings = SearchSettings(method="vc2", threshold=0.3)
    assert SearchSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(InputError, match="unknown setting 'lambda'"):
        SearchSettings.from_dict({"lambda": 0.5})


def test_a_ranker_file_lies_beside_the_settings_file_that_names_it(tmp_path):
    file = tmp_path / "settings.json"
    for named, lies in [
        ("mine.json", tmp_path / "mine.json"),
        ("../mine.json", tmp_path / "../mine.json"),
        ("/data/mine.json", Path("/data/mine.json")),
        ("~/mine.json", Path.home() / "mine.json"),
    ]:
        file.write_text(json.dumps({"settings": {"ranker_file": named}}))
        assert read_settings(file).ranker_file == str(lies)
    assert read_settings(file, {"ranker_file": "mine.json"}).ranker_file == "mine.json"
