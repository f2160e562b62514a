"""One settings class: its bounds, and what reads them."""

from __future__ import annotations

import pytest

from indexer.errors import InputError
from searcher.postprocess import POSTPROCESS
from searcher.select import SELECT
from searcher.settings import DEFAULT_THRESHOLD, METHODS, POSTPROCESSES, SearchSettings, knobs


def test_tables_and_choices_agree():
    assert tuple(SELECT) == METHODS
    assert tuple(POSTPROCESS) == POSTPROCESSES
    assert set(DEFAULT_THRESHOLD) == {(m, p) for m in METHODS for p in POSTPROCESSES}


def test_defaults_lie_within_their_bounds():
    for knob in knobs():
        knob.check(knob.default)
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
    ],
)
def test_out_of_bounds_is_an_input_error(values, says):
    with pytest.raises(InputError, match=says):
        SearchSettings(**values)


def test_round_trip_and_unknown_names():
    settings = SearchSettings(method="vc2", threshold=0.3)
    assert SearchSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(InputError, match="unknown setting 'lambda'"):
        SearchSettings.from_dict({"lambda": 0.5})
