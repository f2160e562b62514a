"""The table of what shortcuts do to vectors, on a film whose pictures are known."""

from __future__ import annotations

import pytest

from bench.shortcuts import likeness, likeness_table
from tests import media
from tests.fakes import ColourEncoder, make_film


def test_each_way_beside_the_exact_pictures(tmp_path):
    # One group of 80 frames, ten a second, none of them a B-frame.
    film = make_film(tmp_path / "a.mp4", [("red", 5.5), ("blue", 2.5)])
    other = media.make_named("ts-h264", tmp_path).path  # of which everything is decoded
    videos, lines = likeness([film, other], ColourEncoder())
    assert videos == 1
    by_name = {line.name: line for line in lines}
    exact = by_name["exact"]
    assert exact.packets == 61  # to 6 s
    assert exact.cosines == pytest.approx([1, 1, 1, 1])
    assert by_name["up to 0.5 s off"].packets == 56  # to 5.5 s
    assert by_name["up to 1 s off"].packets == 51
    assert by_name["up to 0.5 s off"].cosines == pytest.approx([1, 1, 1, 1], abs=0.01)
    assert by_name["up to 1 s off"].cosines[3] < 0  # red instead of blue
    assert by_name["no loop filter"].packets == 61
    assert by_name["the exact picture 1 s later"].cosines == pytest.approx([1, 1, 1, 1], abs=0.01)
    table = likeness_table(videos, lines, "colours").text(markdown=True)
    assert "4 pictures of 1 videos" in table
    assert "0.84" in table  # 51 / 61
