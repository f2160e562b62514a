"""The 37 real clips of VCLIPPER_DATA, through the whole index run."""

from __future__ import annotations

import pytest

from indexer.frames import sample_count
from tests.fakes import open_library
from tests.outside import VIDEOS, needs_videos, real_clips

#: The manifest describes its 320×180 stream of 13.0 s; players and VClipper show the larger one of 13.013 s.
OTHER_STREAM = {"torchcodec_nasa_13013.mp4": 13.013}


@needs_videos
@pytest.mark.timeout(900)
def test_all_clips_index_with_the_right_number_of_frames(tmp_path):
    library = open_library(tmp_path / "lib")
    report = library.index([VIDEOS])
    assert [(n.path.name, n.note) for n in report.failed + report.partial] == []
    frames = {video.path.name: video.frames for video in library.videos()}
    expected = {}
    for clip in real_clips():
        seconds = OTHER_STREAM.get(clip["file"]) or clip.get("video_stream_duration_s") or clip["duration_s"]
        expected[clip["file"]] = sample_count(seconds, 2.0)
    assert len(expected) == 37
    assert frames == expected
    assert library.verify() == []
