"""An hour of video: the arithmetic of the figures, and a real file through the measurement."""

from __future__ import annotations

import pytest

from bench import hour_cost
from bench.hour_cost import FrameCost, HourCost
from bench.inputs import INPUTS, Input, can_make
from tests.fakes import make_film


def test_a_file_is_measured_and_scaled_to_an_hour(tmp_path):
    film = make_film(tmp_path / "a.mp4", [("red", 6), ("blue", 6)])
    cost = hour_cost.hour_cost(film, rounds=1)
    assert (cost.name, cost.codec) == ("a", "h264")
    assert cost.decode_seconds > 0
    # 12 s have 6 sampled pictures: 300 times as many in an hour; a drawn one is a JPEG of some hundred bytes
    assert 300 * 6 * 100 < cost.thumbnail_bytes < 300 * 6 * 50_000


def test_the_tables_arithmetic(tmp_path):
    costs = [HourCost("a", "h264", 1920, 1080, 300.0, 100.0, 2e7), HourCost("b", "hevc", 640, 360, 30.0, 0.0, 1e7)]
    lines = hour_cost.hour_table(costs).lines
    assert lines[0] == ("a", "1920 × 1080", "300", "100", "25%", "20.0")  # 100 / (300 + 100)
    frames = hour_cost.frame_table(FrameCost(0.1, 1000.0, 2000.0)).lines  # 3600 / 2 = 1800 frames
    assert [value for _, value in frames] == ["180 s of one core", "1.80 MB", "3.60 MB"]
    hour_cost.draw(costs, 180.0, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()


def test_what_cannot_be_encoded_here_is_told():
    assert can_make(INPUTS[0])
    assert not can_make(Input("a.mp4", "no such encoder", 90, 1, 10))


@pytest.mark.slow
def test_the_cost_of_a_frame_is_that_of_its_bytes():
    cost = hour_cost.frame_cost(pictures=4)
    # 512 float16 numbers are 1,024 bytes; beside them a row of the table has 24
    assert 1_024 < cost.index_bytes < 1_080
    assert 1_024 < cost.table_bytes < 1_080
