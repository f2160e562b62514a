"""The side-by-side comparison: every approach sees the same frames, and the table says what was measured."""

from __future__ import annotations

import shutil

import av
import pytest

from bench import peers
from bench.inputs import Input, make_inputs
from bench.peers import APPROACHES, CHEAP_MODEL, Cost, peers_table
from tests.fakes import make_film

pytest.importorskip("cv2", reason="OpenCV is not installed")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    return make_film(folder / "a.mp4", [("red", 3), ("blue", 5)])


@pytest.mark.parametrize("name", [*peers.OURS, "ours, by decord", *peers.PEERS])
def test_every_approach_embeds_one_frame_every_two_seconds(name, film):
    if name in peers._NEEDS_FFMPEG and not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    cost = peers.run(name, CHEAP_MODEL, film, 2.0)
    assert cost.frames == 4  # at 0, 2, 4 and 6 of 8 s
    assert cost.wall_seconds > 0  # CPU time is counted in steps of 10 ms


def test_the_approaches_see_the_same_pictures(film):
    seen = {}
    for name in ("ours", "clip-video-encode's way", "OpenCV loop"):
        seen[name] = []
        APPROACHES[name](
            film, 2.0, lambda tensor, name=name: seen[name].extend(tensor.mean((1, 2, 3)).tolist()) or tensor
        )
    assert seen["clip-video-encode's way"] == pytest.approx(seen["ours"], abs=0.05)
    assert seen["OpenCV loop"] == pytest.approx(seen["ours"], abs=0.05)


def test_the_limits_count_every_frame(film):
    assert peers.run("decode everything (PyAV)", CHEAP_MODEL, film, 2.0).frames == 80
    assert peers.run("read the packets only", CHEAP_MODEL, film, 2.0).frames == 80


def test_the_table():
    costs = {name: [Cost(4, 2.0, 2.0)] for name in APPROACHES} | {"ours": [Cost(4, 0.5, 0.5), Cost(4, 0.5, 0.6)]}
    table = peers_table({"a": costs}, "title").text(markdown=True)
    assert "| lighthouse's way | 2.00 (4.00) |" in " ".join(table.split()).replace(
        "| lighthouse's way |", "| lighthouse's way |"
    )
    assert table.count("4.00") == len(APPROACHES) - 1 + 2  # every other line, and both ratios to ours


def test_inputs_are_made_once(film, tmp_path):
    wanted = [Input("x.mp4", "libx264", 90, 2, 30)]
    (path,) = make_inputs([film], tmp_path, wanted)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert (frames[0].width, frames[0].height, len(frames)) == (160, 90, 60)
    assert sum(frame.key_frame for frame in frames) >= 2  # at most 30 frames from one to the next
    written = path.stat().st_mtime_ns
    make_inputs([film], tmp_path, wanted)
    assert path.stat().st_mtime_ns == written
