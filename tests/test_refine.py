"""Ends of moments between the frames of the grid: by hand, on a data set, and on real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.curves import load_features
from bench.datasets import load_dataset
from bench.refinement import GRIDS, measure
from indexer.stills import pictures_at
from searcher.refine import change_point, moved_end, sides, times_around
from searcher.settings import SearchSettings
from tests.bench_data import write_small_dataset
from tests.fakes import make_film, open_library
from vclipper.demo.ends import measure as measure_ends
from vclipper.demo.videos import TrueMoment

X, Y = np.eye(2, dtype=np.float32)


def test_times_lie_between_the_frames_around_an_end():
    # Frame 5 of 2 s is at 10 s: from 8 to 12 s in steps of 0.5 s, without 8, 10 and 12, which the library has.
    assert times_around(5, 2.0, 60.0, 4).tolist() == [8.5, 9.0, 9.5, 10.5, 11.0, 11.5]
    assert times_around(5, 2.0, 11.0, 4).tolist() == [8.5, 9.0, 9.5, 10.5]  # the video is over at 11 s
    assert times_around(0, 2.0, 60.0, 4).tolist() == [0.5, 1.0, 1.5]


def test_sides_are_the_moment_and_what_lies_beside():
    vectors = np.stack([Y, Y, X, X, Y])
    before, after = sides(vectors, 2, 4, is_start=True)
    assert (before.tolist(), after.tolist()) == (Y.tolist(), X.tolist())
    before, after = sides(vectors, 2, 4, is_start=False)
    assert (before.tolist(), after.tolist()) == (X.tolist(), Y.tolist())
    assert sides(vectors, 0, 4, is_start=True) is None


def test_the_change_is_where_both_sides_fit_best():
    row = np.stack([X, X, Y, Y])
    assert change_point(row, X, Y, np.zeros(4)) == 2
    # One frame astray: parting at 3 costs 1 (frame 1), at 1 costs 1 (frame 2); a cost decides.
    row = np.stack([X, Y, X, Y])
    assert change_point(row, X, Y, np.array([0.0, 0.5, 0.5, 0.0])) == 3


def test_an_end_moves_to_the_change_and_stays_where_there_is_none():
    grid = np.stack([Y, Y, Y, X, X, X])  # the change lies between frames 2 and 3
    places = np.array([2.25, 2.5, 2.75, 3.25, 3.5, 3.75])
    fine = np.stack([Y, X, X, X, X, X])
    assert moved_end(3, fine, places, grid, Y, X) == (2.25, 2.5)
    blurred = np.tile((X + Y) / 2, (6, 1))
    assert moved_end(3, blurred, places, grid, Y, X) == (2.75, 3.0)


def test_pictures_at_any_time(tmp_path):
    film = make_film(tmp_path / "film.mp4", [("red", 3), ("blue", 3)])
    shown = [np.asarray(picture).mean(axis=(0, 1)) for picture in pictures_at(film, [0.0, 2.85, 3.05, 5.5, 9.0])]
    assert ["red" if colour[0] > colour[2] else "blue" for colour in shown] == ["red", "red", "blue", "blue"]


def test_refined_ends_lie_nearer_to_the_truth(tmp_path):
    make_film(tmp_path / "films" / "a.mp4", [("red", 5.3), ("lime", 7.4), ("blue", 9.3)])
    library = open_library(tmp_path / "library")
    library.index([tmp_path / "films"])
    settings = SearchSettings(method="vc1", postprocess="norm", threshold=0.8)
    [plain] = library.search("lime", settings=settings)
    [fine] = library.search("lime", settings=settings, refine=True)
    # Frames at 6, 8, 10 and 12 s show lime; it lasts from 5.3 to 12.7 s. Half a second between samples leaves
    # a quarter at most.
    assert (plain.start_seconds, plain.end_seconds) == (6.0, 14.0)
    assert fine.start_seconds == pytest.approx(5.3, abs=0.26)
    assert fine.end_seconds == pytest.approx(12.7, abs=0.26)
    (tmp_path / "films" / "a.mp4").unlink()
    [offline] = library.search("lime", settings=settings, refine=True)
    assert (offline.start_seconds, offline.end_seconds) == (6.0, 14.0)


def test_the_table_of_the_bench(tmp_path):
    dataset = load_dataset(write_small_dataset(tmp_path))
    rows = measure(load_features(tmp_path, dataset), dataset, SearchSettings())
    assert [row.grid for row in rows] == list(GRIDS)
    assert rows[2].recall_05 >= rows[0].recall_05
    assert all(0 <= row.recall_07 <= row.recall_05 <= 100 for row in rows)


def test_ends_are_measured_in_a_relative_folder_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film = make_film(Path("film.mp4"), [("red", 4), ("blue", 4)])
    library = open_library(tmp_path / "lib")
    library.index([film])
    settings = SearchSettings(method="vc1", postprocess="norm", threshold=0.8)
    ends = measure_ends(library, [TrueMoment(film, 0, 4, "red")], settings, refine=False)
    assert (ends["R1@0.9"], ends["end error s"]) == (100, 0)
    nowhere = measure_ends(library, [TrueMoment(Path("other.mp4"), 0, 4, "red")], settings, refine=False)
    assert nowhere["R1@0.5"] == 0
    assert np.isnan(nowhere["end error s"])
