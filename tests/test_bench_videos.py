"""The bench on real files: the same indexer, missing and broken videos named, SSIM, models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.curves import curves_from_features
from bench.datasets import Dataset, load_dataset
from bench.models import LEVELS, assess
from bench.run import Replay, window_row
from bench.videos import features_from_videos, scene_curves, video_files
from indexer.errors import InputError, LibraryMismatchError
from searcher.settings import SearchSettings
from tests.fakes import ColourEncoder, make_film

FILMS = {
    "a": [("black", 2), ("red", 3), ("black", 3)],
    "b": [("blue", 2), ("lime", 4), ("blue", 2)],
}
ROWS = [("red", "a", 8, [2, 5]), ("lime", "b", 8, [2, 6]), ("yellow", "gone", 8, [0, 2])]


@pytest.fixture
def films(tmp_path: Path) -> tuple[Path, Dataset]:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name, shots in FILMS.items():
        make_film(folder / f"{name}.mp4", shots)
    path = tmp_path / "films_val.jsonl"
    path.write_text(
        "".join(
            json.dumps({"qid": i, "query": text, "vid": vid, "duration": length, "relevant_windows": [window]})
            + "\n"
            for i, (text, vid, length, window) in enumerate(ROWS)
        )
    )
    return folder, load_dataset(path)


def test_colours_are_found_where_they_are(films: tuple[Path, Dataset], tmp_path: Path) -> None:
    folder, dataset = films
    found = features_from_videos(folder, dataset, ColourEncoder(), tmp_path / "library", 0.5)
    assert found.features.missing == ("gone",)
    assert found.failed == {}
    assert {name: len(rows) for name, rows in found.features.frames.items()} == {"a": 16, "b": 16}
    replay = Replay(curves_from_features(found.features, dataset))
    row = window_row(replay, SearchSettings(method="vc1", postprocess="norm", threshold=0.6))
    # Two of three found to the frame, the video that is not there is a miss.
    assert row.values["R1@0.7"] == 66.67
    assert row.split == "val"


def test_a_second_run_decodes_nothing_and_another_model_is_refused(
    films: tuple[Path, Dataset], tmp_path: Path
) -> None:
    folder, dataset = films
    first = features_from_videos(folder, dataset, ColourEncoder(), tmp_path / "library", 0.5)
    decoded: list[int] = []
    again = features_from_videos(
        folder, dataset, ColourEncoder(), tmp_path / "library", 0.5, lambda progress: decoded.append(1)
    )
    assert decoded == []
    assert (again.features.frames["a"] == first.features.frames["a"]).all()
    with pytest.raises(LibraryMismatchError):
        features_from_videos(folder, dataset, ColourEncoder("other"), tmp_path / "library", 0.5)


def test_a_broken_file_is_named_and_its_video_missing(films: tuple[Path, Dataset], tmp_path: Path) -> None:
    folder, dataset = films
    (folder / "gone.mp4").write_bytes(b"no video at all" * 100)
    found = features_from_videos(folder, dataset, ColourEncoder(), tmp_path / "library", 0.5)
    assert list(found.failed) == ["gone.mp4"]
    assert found.features.missing == ("gone",)


def test_a_folder_without_the_videos_is_refused(films: tuple[Path, Dataset], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    make_film(tmp_path / "other" / "z.mp4", [("red", 1)])
    with pytest.raises(InputError, match="none of the 3 videos"):
        video_files(tmp_path / "other", films[1])


def test_model_assessment(films: tuple[Path, Dataset], tmp_path: Path) -> None:
    folder, dataset = films
    found = features_from_videos(folder, dataset, ColourEncoder(), tmp_path / "library", 0.5)
    scored = assess("colours", curves_from_features(found.features, dataset))
    assert tuple(scored.by_level) == LEVELS
    # A perfect colour model finds every frame of two of the three queries at every threshold.
    assert scored.mean == pytest.approx(2 / 3, abs=0.05)


def test_scene_changes_show_in_both_curves(films: tuple[Path, Dataset]) -> None:
    pytest.importorskip("skimage", reason="the extra [bench] is not installed")
    curves = scene_curves(films[0] / "b.mp4", ColourEncoder(), 0.5)
    assert len(curves.ssim) == len(curves.next_similarity) == 15
    # blue to lime after 2 s, back after 6 s: between frames 3 and 4, and 11 and 12.
    for curve in (curves.next_similarity, curves.ssim):
        assert sorted(np.argsort(curve)[:2].tolist()) == [3, 11]


def test_one_frame_makes_no_curve(films: tuple[Path, Dataset]) -> None:
    pytest.importorskip("skimage", reason="the extra [bench] is not installed")
    with pytest.raises(InputError, match="a curve needs two"):
        scene_curves(films[0] / "a.mp4", ColourEncoder(), 60.0)
