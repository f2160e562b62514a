"""Tables: whose figure is whose, in every format."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from bench.run import Row
from bench.tables import (
    PUBLISHED,
    THESIS_FRAMES,
    THESIS_WINDOWS,
    Results,
    comparison_table,
    frame_table,
    length_table,
    read_results,
    save_results,
    window_table,
)
from indexer.errors import InputError

OURS = Row("vc1", "norm", {"R1@0.5": 39.35, "R1@0.7": 24.58, "mAP": 23.46, "short": 1.0})


def test_the_thesis_has_eight_combinations() -> None:
    assert len(THESIS_WINDOWS) == len(THESIS_FRAMES) == 8
    assert THESIS_WINDOWS[3].values["R1@0.5"] == 57.38
    assert THESIS_FRAMES[7].values["IoU"] == 0.527


def test_ours_stands_before_the_thesis_row_of_the_same_name() -> None:
    cells = window_table([OURS]).cells()
    assert cells[0][:5] == ["vc1", "norm", "measured here", "val", "39.35"]
    assert cells[1][:5] == ["vc1", "norm", "from the thesis", "val", "37.26"]
    assert len(cells) == 9


def test_every_published_row_says_so_and_names_its_split() -> None:
    for cells in comparison_table([OURS]).cells()[1:]:
        assert cells[2] in ("from the thesis", "from its paper")
        assert cells[3] in ("val", "test")
    assert all(row.split == "test" and row.origin == "paper" for row in PUBLISHED)
    assert "test figures" in comparison_table([]).markdown()


def test_figures_of_another_data_set_stand_alone() -> None:
    assert len(window_table([OURS], "holiday.jsonl, features").cells()) == 1
    assert [table.title.split(":")[0] for table in Results("holiday.jsonl", windows=(OURS,)).tables()] == [
        "Windows per video",
        "Windows by length, mAP",
    ]


def test_missing_figures_are_dashes_in_text_and_empty_in_csv() -> None:
    table = length_table([OURS])
    assert "| vc1 | norm | measured here | val | – | – | 1.00 |" in table.markdown()
    rows = list(csv.reader(io.StringIO(table.csv())))
    assert rows[0] == ["method", "postprocessing", "figures", "split", "long", "middle", "short"]
    assert rows[1][4:] == ["", "", "1.00"]


def test_markdown_rows_have_as_many_cells_as_the_head() -> None:
    for table in (frame_table([]), window_table([OURS]), comparison_table([OURS])):
        lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1


def test_results_read_back_and_merge(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.json"
    save_results(path, Results("QVHighlights val", windows=(OURS,), provenance={"run": 1}))
    back = read_results(path)
    assert back.windows == (OURS,)
    newer = Row("vc1", "norm", {"R1@0.5": 1.0})
    merged = Results.together([back, Results("QVHighlights val", windows=(newer,), baselines=(OURS,))])
    assert [row.values for row in merged.windows] == [newer.values]
    assert [row.values for row in merged.baselines] == [OURS.values]
    assert merged.source == "QVHighlights val"


def test_the_same_line_of_two_sources_stays_twice_and_says_whose_it_is() -> None:
    first, second = (
        Results(f"QVHighlights val, {curves}", windows=(Row("vc1", "norm", {"R1@0.5": value}),))
        for curves, value in (("features in a", 36.0), ("features in b", 26.67))
    )
    for parts in ([first, second], [second, first]):
        comparison = Results.together(parts).tables()[-1]
        assert comparison.title == "Comparison: QVHighlights, several sources"
        assert [(cells[2], cells[4]) for cells in comparison.cells()[:2]] == [
            ("measured here: QVHighlights val, features in a", "36.00"),
            ("measured here: QVHighlights val, features in b", "26.67"),
        ]


def test_only_a_table_of_several_sources_says_whose_each_row_is() -> None:
    tuned = Results("QVHighlights val, tuned by 5-fold CV", windows=(OURS,))
    others = Results("QVHighlights val, tuned by 2-fold CV", baselines=(OURS,))
    windows, _, baselines, comparison = Results.together([tuned, others]).tables()
    assert windows.title == "Windows per video: QVHighlights val, tuned by 5-fold CV"
    assert baselines.title == "Baselines: QVHighlights val, tuned by 2-fold CV"
    assert windows.cells()[0][2] == baselines.cells()[0][2] == "measured here"
    assert comparison.cells()[1][2] == "measured here: QVHighlights val, tuned by 2-fold CV"


def test_published_figures_are_left_out_where_a_source_is_of_another_data_set() -> None:
    merged = Results.together([Results("QVHighlights val", (OURS,)), Results("s50.jsonl", (OURS,))])
    assert [table.title for table in merged.tables()] == [
        "Windows per video: several sources",
        "Windows by length, mAP: several sources",
    ]
    assert len(merged.tables()[0].cells()) == 2


def test_two_rows_of_one_file_stay_though_they_have_the_same_name() -> None:
    other = Row("vc1", "norm", {"R1@0.5": 1.0})
    assert len(Results.together([Results("QVHighlights val", (OURS, other))]).windows) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"windows": []}', '{"windows": [{"a": 1}], "frames": []}'])
def test_what_is_no_results_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not a results file"):
        read_results(path)
