"""The bench of the pipeline and its halves, on films of the colour encoder."""

from __future__ import annotations

import time

import pytest

from bench.pipeline import PipelineSpeed, pipeline_speed, pipeline_table
from tests.fakes import ColourEncoder, make_films


class Slow(ColourEncoder):
    """Takes 50 ms a batch."""

    def encode_pictures(self, pictures):
        time.sleep(0.05)
        return super().encode_pictures(pictures)


def test_halves_and_whole_are_timed_on_the_same_frames(tmp_path):
    (one,) = pipeline_speed(make_films(tmp_path, ["red", "blue"]), Slow(), period_seconds=0.5, rounds=1)
    # Films of 4 + 6 s and of 5 + 6 s, two frames a second: 20 + 22.
    assert one.frames == 42
    assert one.video_seconds == pytest.approx(21, abs=0.2)
    assert one.encode <= 42 / (6 * 0.05)  # 42 frames are six batches of eight
    assert one.pipeline < one.encode
    assert 0 < one.first_picture_seconds < 42 / one.pipeline
    assert 0 < one.at_work < one.at_work_once_fed <= 1


def test_shares_are_of_the_slower_half_and_of_decoding():
    slow_encoder = PipelineSpeed(40.0, 10.0, 9.0, 36.0, 0.5, 0.97, 0.99, 300, 600.0)
    assert slow_encoder.share == 0.9
    assert slow_encoder.free_share == 0.9
    slow_decoder = PipelineSpeed(10.0, 40.0, 8.0, 9.5, 0.5, 0.2, 0.2, 300, 600.0)
    assert slow_decoder.share == 0.8
    lines = [line.split("  ") for line in pipeline_table([slow_encoder, slow_encoder]).text().splitlines()]
    cells = {line[0]: [cell.strip() for cell in line[1:] if cell] for line in lines}
    assert cells["pipeline / slower half"][0] == "0.90"
    assert cells["whole pipeline"] == ["9.0", "9.0 - 9.0", "18"]  # 9 × 600 / 300
