"""The Python API on real files: index, search, changes on disk, refusals."""

from __future__ import annotations

import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vclipper.library
from indexer import decoders
from indexer.errors import (
    InputError,
    LibraryError,
    LibraryLockedError,
    LibraryMismatchError,
    ModelError,
)
from indexer.lock import is_held, writing
from indexer.settings import IndexSettings
from searcher.settings import SearchSettings
from tests.fakes import ColourEncoder, make_film, make_three_films, open_library, picture, rows_of
from tests.rights import needs_modes, run_with_modes
from vclipper.library import Library, default_place

SHARP = SearchSettings(method="vc1", postprocess="norm", threshold=0.8, fold=False)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return make_three_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def filled(films, tmp_path_factory):
    library = open_library(tmp_path_factory.mktemp("library") / "lib")
    library.index([films])
    return library


@pytest.fixture
def own_films(tmp_path):
    """Two films that a test may change."""
    folder = tmp_path / "films"
    make_film(folder / "a.mp4", [("red", 4), ("blue", 4)])
    make_film(folder / "b.mp4", [("lime", 4), ("white", 4)])
    return folder


def names(notes) -> list[str]:
    return [note.path.name for note in notes]


def found(moments) -> list[tuple[str, float, float]]:
    return [(m.path.name, m.start_seconds, m.end_seconds) for m in moments]


def test_a_replaced_index_is_freed_at_once(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films / "a.mp4"])
    library.search(text="red")
    old = weakref.ref(library.corpus().index)
    gc.disable()  # a cycle would wait for the collector, with the files of the old index open
    try:
        library.index([own_films / "b.mp4"])
        library.search(text="red")
        assert old() is None
    finally:
        gc.enable()


# ---- one video under one query


def test_a_timeline_shows_curve_cuts_and_windows(filled):
    seen = filled.timeline("one.mp4", text="lime", settings=SHARP)
    assert seen.video.path.name == "one.mp4"
    assert (seen.curve.similarity.min(), seen.curve.similarity.max()) == (0, 1)  # `norm`
    assert seen.curve.raw.max() == pytest.approx(1, abs=0.01)  # a cosine of lime with lime
    # red 0-6 s, lime 6-14 s, blue 14-20 s: new scenes at frames 3 and 7
    assert seen.cuts.tolist() == [3, 7]
    assert [(w.start_seconds, w.end_seconds) for w in seen.windows] == [(6, 14)]


def test_a_timeline_by_id_picture_and_moment(filled, tmp_path):
    video = next(v for v in filled.videos() if v.path.name == "one.mp4")
    by_picture = filled.timeline(video.video_id, image=picture(tmp_path / "lime.png", "lime"), settings=SHARP)
    by_moment = filled.timeline(video.video_id, like="one.mp4@0:08", settings=SHARP)
    assert [(w.start_seconds, w.end_seconds) for w in by_picture.windows] == [(6, 14)]
    assert [(w.start_seconds, w.end_seconds) for w in by_moment.windows] == [(6, 14)]


def test_a_timeline_of_a_stranger_is_refused(filled):
    with pytest.raises(InputError, match="no video of the library has the id 7"):
        filled.timeline(7, text="red")
    with pytest.raises(InputError, match="is not in the library"):
        filled.timeline("nine.mp4", text="red")


def test_what_a_search_found_is_asked_for_by_its_path(filled):
    (moment,) = filled.search("lime", within=["one.mp4"], settings=SHARP)
    assert filled.timeline(moment.path, "lime", settings=SHARP).video.video_id == moment.video_id
    assert filled.scenes(moment.path).cuts.tolist() == [3, 7]  # red 0-6 s, lime 6-14 s, blue: a frame is 2 s
    likes = [filled.search(like=(named, 8.0), settings=SHARP) for named in (moment.path, moment.video_id)]
    assert found(likes[0]) == found(likes[1])
    for within in (moment.path, [moment.path], moment.path.parent):
        assert filled.search("lime", within=within, settings=SHARP)[0] == moment


# ---- index


def test_every_sampled_frame_is_there(filled):
    rows = {video.path.name: (video.frames, video.duration_seconds) for video in filled.videos()}
    # 20 s at one frame every 2 s: 0, 2 … 18. 9 s: 0, 2, 4, 6, 8.
    assert rows == {
        "one.mp4": (10, pytest.approx(20)),
        "two.mkv": (10, pytest.approx(20)),
        "three.mov": (5, pytest.approx(9)),
    }


def test_frames_are_the_ones_shown_at_their_times(filled):
    index = filled.corpus().index
    video = next(v for v in filled.videos() if v.path.name == "one.mp4")
    likeness = index.vectors(video.video_id) @ np.stack([filled.embed(c) for c in ("red", "lime", "blue")]).T
    # red 0-6 s: frames 0 1 2; lime 6-14 s: 3 4 5 6; blue 14-20 s: 7 8 9
    assert likeness.argmax(1).tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]


def test_a_second_run_does_nothing_and_needs_no_model(filled, films):
    again = Library(filled.path, "cpu", lambda name, device: pytest.fail("the model was loaded"))
    report = again.index([films])
    assert names(report.skipped) == ["one.mp4", "two.mkv", "three.mov"] or len(report.skipped) == 3
    assert report.ok
    assert report.frames == 0


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_may_stand_alone(own_films, tmp_path, kind):
    library = open_library(tmp_path / "lib")
    assert library.index(kind(own_films)).ok
    assert [video.path.name for video in library.remove(kind(own_films / "a.mp4"))] == ["a.mp4"]


def test_a_moved_file_is_relinked(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    before = {v.video_id for v in library.videos()}
    (own_films / "deep").mkdir()
    (own_films / "a.mp4").rename(own_films / "deep" / "c.mp4")
    report = library.index([own_films])
    assert names(report.relinked) == ["c.mp4"]
    assert "a.mp4" in report.relinked[0].note
    assert report.frames == 0
    assert report.missing == []
    assert {v.video_id for v in library.videos()} == before
    assert library.search("red", settings=SHARP)[0].path == own_films / "deep" / "c.mp4"


def test_a_moved_file_that_is_indexed_by_force_is_told_once(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    (own_films / "a.mp4").rename(own_films / "c.mp4")
    report = library.index([own_films], settings=IndexSettings(force=True))
    assert [(n.path.name, n.note) for n in report.relinked] == [("c.mp4", f"moved from {own_films / 'a.mp4'}")]
    assert (sorted(names(report.updated)), report.added, report.missing) == (["b.mp4", "c.mp4"], [], [])
    assert sorted(path.name for video in library.videos() for path in video.paths) == ["b.mp4", "c.mp4"]
    (own_films / "copy.mp4").write_bytes((own_films / "c.mp4").read_bytes())
    library.index([own_films])
    report = library.index([own_films], settings=IndexSettings(force=True))
    assert (len(report.updated), report.relinked) == (2, [])  # both paths of one video are known
    assert library.verify() == []


def test_a_copy_is_one_video_with_two_paths(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    (own_films / "copy.mp4").write_bytes((own_films / "a.mp4").read_bytes())
    report = library.index([own_films])
    assert len(report.added) == 2
    assert names(report.relinked) == ["copy.mp4"]
    (own_films / "later.mp4").write_bytes((own_films / "a.mp4").read_bytes())
    assert names(library.index([own_films]).relinked) == ["later.mp4"]
    video = next(v for v in library.videos() if len(v.paths) > 1)
    assert sorted(p.name for p in video.paths) == ["a.mp4", "copy.mp4", "later.mp4"]
    assert library.verify() == []


def test_two_files_that_changed_names(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    (own_films / "a.mp4").rename(own_films / "x")
    (own_films / "b.mp4").rename(own_films / "a.mp4")
    (own_films / "x").rename(own_films / "b.mp4")
    report = library.index([own_films])
    assert report.frames == 0
    assert sorted(note.note for note in report.relinked) == [
        f"moved from {own_films / name}" for name in ("a.mp4", "b.mp4")
    ]
    assert {len(v.paths) for v in library.videos()} == {1}
    assert library.search("red", settings=SHARP)[0].path.name == "b.mp4"
    assert library.verify() == []


@pytest.mark.parametrize("force", [False, True])
def test_a_moved_file_whose_old_place_holds_something_else(own_films, tmp_path, force):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    (own_films / "a.mp4").rename(own_films / "Old.mp4")  # found before the other
    make_film(own_films / "a.mp4", [("yellow", 6)])
    report = library.index([own_films], settings=IndexSettings(force=force))
    assert [(note.path.name, note.note) for note in report.relinked] == [
        ("Old.mp4", f"moved from {own_films / 'a.mp4'}")
    ]
    assert report.missing == []
    assert sorted([p.name for p in v.paths] for v in library.videos()) == [["Old.mp4"], ["a.mp4"], ["b.mp4"]]
    assert library.search("yellow", settings=SHARP)[0].path.name == "a.mp4"
    assert library.search("red", settings=SHARP)[0].path.name == "Old.mp4"
    assert library.verify() == []


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("which", ["a.mp4", "b.mp4"])
def test_a_path_that_two_videos_have_is_left_to_the_one_it_holds(own_films, tmp_path, which, force):
    """As an older `index --force` left it of a moved file."""
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    row = next(video for video in library.videos() if video.path.name != which)
    with writing(library.path, "x"):
        library._current.store().commit([], [replace(row, paths=(own_films / which, row.path))])
    report = library.index([own_films], settings=IndexSettings(force=force))
    assert (report.relinked, len(report.skipped)) == ([], 0 if force else 2)
    assert sorted([p.name for p in v.paths] for v in library.videos()) == [["a.mp4"], ["b.mp4"]]
    assert library.search("red", settings=SHARP)[0].path.name == "a.mp4"
    assert library.verify() == []


def test_a_changed_file_replaces_the_old_rows(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    make_film(own_films / "a.mp4", [("yellow", 6)])
    report = library.index([own_films])
    assert names(report.updated) == ["a.mp4"]
    assert names(report.skipped) == ["b.mp4"]
    assert {v.path.name: v.frames for v in library.videos()} == {"a.mp4": 3, "b.mp4": 4}
    assert found(library.search("yellow", settings=SHARP)) != []
    assert library.info().frames == 7
    assert library.verify() == []


def test_a_changed_file_that_cannot_be_read_keeps_the_old_rows(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    (own_films / "a.mp4").write_text("half a download")
    report = library.index([own_films])
    assert names(report.failed) == ["a.mp4"]
    assert not report.ok
    assert sorted(v.path.name for v in library.videos()) == ["a.mp4", "b.mp4"]


def test_deleted_files_are_reported_and_pruned_on_request(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    (own_films / "a.mp4").unlink()
    report = library.index([own_films])
    assert names(report.missing) == ["a.mp4"]
    assert report.ok
    assert len(library.videos()) == 2
    report = library.index([own_films], settings=IndexSettings(prune=True))
    assert names(report.pruned) == ["a.mp4"]
    assert [v.path.name for v in library.videos()] == ["b.mp4"]
    assert library.verify() == []


def test_prune_does_not_take_an_empty_mount_point_for_deleted_files(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    for file in own_films.iterdir():
        file.unlink()
    with pytest.raises(InputError, match="Is the drive mounted"):
        library.index([own_films], settings=IndexSettings(prune=True))
    assert len(library.videos()) == 2


def test_only_files_below_the_named_folders_can_be_missing(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    other = make_film(tmp_path / "other" / "c.mp4", [("cyan", 4)])
    library.index([own_films, other])
    other.unlink()
    assert library.index([own_films]).missing == []


def test_force_indexes_again_and_gives_the_same_rows(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    before = rows_of(library)
    report = library.index([own_films], settings=IndexSettings(force=True))
    assert sorted(names(report.updated)) == ["a.mp4", "b.mp4"]
    drop_id = [(path, *rest) for path, _, *rest in before]
    assert [(path, *rest) for path, _, *rest in rows_of(library)] == drop_id
    assert library.verify() == []


def test_bad_files_cost_only_themselves(own_films, tmp_path):
    (own_films / "text.mp4").write_text("not a video")
    (own_films / "empty.mp4").touch()
    os.mkfifo(own_films / "pipe.mp4")
    (own_films / "dangling.mp4").symlink_to("nowhere")
    library = open_library(tmp_path / "lib")
    report = library.index([own_films])
    assert sorted(names(report.failed)) == ["dangling.mp4", "empty.mp4", "pipe.mp4", "text.mp4"]
    assert all(note.note for note in report.failed)
    assert sorted(names(report.added)) == ["a.mp4", "b.mp4"]


def test_a_cut_off_file_is_indexed_as_far_as_it_goes(tmp_path):
    film = make_film(tmp_path / "films" / "long.mkv", [("red", 20), ("blue", 20)])
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 6 // 10])
    library = open_library(tmp_path / "lib")
    report = library.index([film])
    assert names(report.partial) == names(report.added) == ["long.mkv"]
    assert "of 40.0 seconds" in report.partial[0].note
    assert 5 < library.videos()[0].frames < 20
    assert library.info().partial == 1


def test_batch_size_and_workers_do_not_change_the_rows(films, tmp_path):
    rows = []
    for i, (batch, workers) in enumerate([(1, 1), (7, 2), (64, 3)]):
        library = open_library(tmp_path / str(i))
        library.index([films], settings=IndexSettings(batch_size=batch, workers=workers, flush_rows=4))
        rows.append(rows_of(library))
    assert rows[0] == rows[1] == rows[2]


def test_sampling_rate(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films / "three.mov"], fps=2)
    assert library.videos()[0].frames == 18  # 9 s at 2 a second
    assert library.info().fps == 2


def test_progress_is_reported(films, tmp_path):
    seen = []
    open_library(tmp_path / "lib").index([films], on_progress=seen.append)
    assert seen[-1].files_done == seen[-1].files == 3
    assert seen[-1].frames == 25
    assert seen[-1].bytes_done == seen[-1].bytes_total
    assert all(a.bytes_done <= b.bytes_done for a, b in itertools.pairwise(seen))


def strike_the_first_worker(monkeypatch, number: signal.Signals) -> None:
    """The first decode process gets this signal as soon as it is ready; the one that replaces it does not."""
    start, struck = decoders._Keeper._start_worker, []

    def start_and_strike(keeper):
        start(keeper)
        if not struck:
            struck.append(keeper._process.pid)
            os.kill(keeper._process.pid, number)

    monkeypatch.setattr(decoders._Keeper, "_start_worker", start_and_strike)


def test_a_hanging_decoder_costs_its_file(own_films, tmp_path, monkeypatch):
    """A decode process that is stopped dead says nothing more; the watchdog replaces it."""
    strike_the_first_worker(monkeypatch, signal.SIGSTOP)
    library = open_library(tmp_path / "lib")
    report = library.index([own_films], settings=IndexSettings(workers=1, decode_timeout_seconds=1.0))
    assert names(report.failed) == ["a.mp4"]
    assert "gave nothing for 1 seconds" in report.failed[0].note
    assert names(report.added) == ["b.mp4"]
    assert threading.active_count() < 50
    assert names(library.index([own_films]).added) == ["a.mp4"]  # what may pass is tried again


def test_a_crashing_decoder_costs_its_file(own_films, tmp_path, monkeypatch):
    strike_the_first_worker(monkeypatch, signal.SIGSEGV)
    report = open_library(tmp_path / "lib").index([own_films], settings=IndexSettings(workers=1))
    assert names(report.failed) == ["a.mp4"]
    assert "SIGSEGV" in report.failed[0].note
    assert names(report.added) == ["b.mp4"]


class Cramped(ColourEncoder):
    """Has memory for ``room`` pictures at once."""

    def __init__(self, room: int, name: str = "colours") -> None:
        super().__init__(name)
        self.room, self.sizes = room, []

    def encode_pictures(self, pictures):
        self.sizes.append(len(pictures))
        if len(pictures) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().encode_pictures(pictures)


def test_batches_halve_when_the_memory_does_not_suffice(films, filled, tmp_path):
    cramped = Cramped(3)
    library = Library(tmp_path / "lib", "cpu", lambda name, device: cramped)
    assert library.index([films], settings=IndexSettings(batch_size=16, workers=1)).ok
    assert rows_of(library) == rows_of(filled)
    assert cramped.sizes[:3] == [16, 8, 4]
    assert set(cramped.sizes[3:]) == {2}


def test_no_memory_for_one_picture_is_said_and_costs_nothing(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films / "a.mp4"])
    cramped = Library(tmp_path / "lib", "cpu", lambda name, device: Cramped(0, name))
    with pytest.raises(ModelError, match="memory of cpu does not suffice for one picture"):
        cramped.index([own_films])
    assert library.verify() == []
    assert names(library.index([own_films]).added) == ["b.mp4"]


def test_ctrl_c_keeps_what_is_finished(own_films, tmp_path):
    library = open_library(tmp_path / "lib")

    def interrupt(progress):
        if progress.frames > 4 * 8:  # of a.mp4; at most one picture waits for the encoder and one is in it
            raise KeyboardInterrupt

    settings = IndexSettings(workers=1, batch_size=1)
    report = library.index([own_films], fps=4, settings=settings, on_progress=interrupt)
    assert report.interrupted
    assert not report.ok
    assert [v.path.name for v in library.videos()] == ["a.mp4"]
    assert library.verify() == []
    assert names(library.index([own_films]).added) == ["b.mp4"]


# ---- search


@pytest.mark.parametrize("method", ["vc1", "vc2"])
@pytest.mark.parametrize("postprocess", ["none", "norm", "adjust_norm"])
def test_every_method_finds_the_scene(filled, method, postprocess):
    settings = SearchSettings(method=method, postprocess=postprocess, threshold=0.9, top_share=1.0)
    assert found(filled.search("lime", settings=settings))[0] == ("one.mp4", 6.0, 14.0)


@pytest.mark.parametrize("method", ["vc1", "vc2"])
@pytest.mark.parametrize("postprocess", ["smooth_norm", "log_smooth_norm"])
def test_smoothing_methods_find_it_too(filled, method, postprocess):
    settings = SearchSettings(method=method, postprocess=postprocess, smooth_window=3, threshold=0.95)
    first = filled.search("yellow", settings=settings)[0]
    assert (first.path.name, first.start_seconds) == ("two.mkv", 0.0)
    assert abs(first.end_seconds - 10) <= 2


def test_moments_of_all_videos_best_first(filled):
    moments = filled.search("red", settings=SHARP)
    assert sorted(found(moments)[:2]) == [("one.mp4", 0, 6), ("two.mkv", 10, 14)]
    assert [m.score for m in moments] == sorted((m.score for m in moments), reverse=True)


def test_more_like_a_moment_leaves_the_moment_out(filled):
    # Red: 0 to 6 s of one.mp4, 10 to 14 s of two.mkv. Folded into its example, the other would not be seen.
    assert found(filled.search(like="one.mp4@5.9", settings=SHARP))[0] == ("two.mkv", 10, 14)
    assert ("one.mp4", 0, 6) not in found(filled.search(like="one.mp4@5.9", settings=SHARP))
    assert found(filled.search(like="two.mkv@10", settings=SHARP))[0] == ("one.mp4", 0, 6)
    assert ("one.mp4", 0, 6) in found(filled.search("red", settings=SHARP))


def test_top_and_videos_limit(filled):
    assert (
        len(filled.search("red", settings=SearchSettings(method="vc1", postprocess="norm", threshold=0.8, top=1)))
        == 1
    )
    only_one = filled.search(
        "lime", settings=SearchSettings(method="vc1", postprocess="norm", threshold=0.1, videos=1)
    )
    assert {m.path.name for m in only_one} == {"one.mp4"}


@pytest.mark.parametrize(
    ("name", "mode"), [("q.png", "RGB"), ("q.jpg", "L"), ("q.webp", "RGBA"), ("q.bmp", "RGB"), ("q.gif", "RGB")]
)
def test_image_queries_in_any_format(filled, tmp_path, name, mode):
    image = picture(tmp_path / name, "white", mode)
    assert found(filled.search(image=image, settings=SHARP))[0][0] == "three.mov"


def test_a_pillow_image_is_a_query_too(filled):
    from PIL import Image

    moments = filled.search(image=Image.new("RGB", (9, 9), "magenta"), settings=SHARP)
    assert found(moments)[0] == ("three.mov", 0.0, 4.0)


def test_an_array_is_a_picture_too(filled):
    magenta = np.full((9, 12, 3), (255, 0, 255), np.uint8)
    assert found(filled.search(image=magenta, settings=SHARP))[0] == ("three.mov", 0.0, 4.0)


def test_what_is_no_picture_is_one_line(filled):
    from PIL import Image

    for image, says in [
        (
            np.zeros((9, 9), np.uint8),
            r"the picture is an array \(9, 9\) of uint8. Give an array \(height, width, 3\)",
        ),
        (np.zeros((9, 9, 3)), r"the picture is an array \(9, 9, 3\) of float64"),
        (np.zeros((0, 9, 3), np.uint8), "the picture has no pixels: it is 9x0"),
        (Image.new("RGB", (0, 0)), "the picture has no pixels: it is 0x0"),
        ("x" * 5000, "cannot be read as an image: File name too long"),
        (3, "int is no picture"),
    ]:
        with pytest.raises(InputError, match=says):
            filled.search(image=image)


def test_within_a_glob(filled):
    assert {m.path.name for m in filled.search("red", within="sub/*", settings=SHARP)} == {"two.mkv"}
    assert {m.path.name for m in filled.search("red", within="*.mp4", settings=SHARP)} == {"one.mp4"}
    with pytest.raises(InputError, match="no video matches"):
        filled.search("red", within="*.avi")


def test_nothing_found_is_an_empty_list(filled):
    assert filled.search("cyan", settings=SearchSettings(method="vc1", postprocess="none", threshold=0.9)) == []


@pytest.mark.parametrize("query", ["", "  "])
def test_empty_query(filled, query):
    with pytest.raises(InputError, match="the query is empty"):
        filled.search(query)


def test_text_or_image_not_both_nor_none(filled):
    with pytest.raises(InputError, match="one thing to search for"):
        filled.search()
    with pytest.raises(InputError, match="one thing to search for"):
        filled.search("red", image="x.png")


def test_unreadable_images(filled, tmp_path):
    (tmp_path / "text.png").write_text("no")
    with pytest.raises(InputError, match="no such file"):
        filled.search(image=tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot be read as an image"):
        filled.search(image=tmp_path / "text.png")
    with pytest.raises(InputError, match="cannot be read as an image"):
        filled.search(image=tmp_path)


def test_templates_average(filled):
    once = filled.embed("red")
    assert np.allclose(filled.embed("red", templates=["{}", "{}"]), once, atol=1e-6)
    mixed = filled.embed("blue", templates=["{}", "light{}"])
    assert mixed @ filled.embed("blue") < 1 - 1e-3
    assert np.array_equal(filled.embed("red", templates="{}"), once)


def test_templates_are_checked_wherever_they_are_given(filled):
    for templates, says in [((), "there is no template"), (["a photo"], "a template has no {}")]:
        with pytest.raises(InputError, match=says):
            filled.search("red", templates=templates)
        with pytest.raises(InputError, match=says):
            filled.embed("red", templates=templates)


def test_copies_of_a_scene_fold_into_one_with_a_count(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    make_film(own_films / "again.mkv", [("red", 4), ("cyan", 6)])
    library.index([own_films])
    folded = library.search("red", settings=SearchSettings(method="vc1", postprocess="norm", threshold=0.8))
    apart = library.search("red", settings=SHARP)
    assert folded[0].similar == 1
    assert len(apart) == len(folded) + 1


def test_scores_are_deviations_above_the_corpus(filled):
    """A frame score of mean + 2 deviations scores 2, whatever the query's own scale."""
    corpus, query = filled.corpus(), filled.embed("lime")
    frames = np.concatenate([corpus.index.vectors(v) for v in sorted(corpus.videos)]) @ query
    best = filled.search("lime", settings=SHARP)[0]
    inside = 1.0  # lime frames answer "lime" with a cosine of 1, but for noise
    expected = (best.video_score + (inside - frames.mean()) / frames.std()) / 2
    assert best.score == pytest.approx(expected, abs=0.01)


def test_no_library_and_empty_library(tmp_path):
    with pytest.raises(LibraryError, match="no library at"):
        open_library(tmp_path / "none").search("red")
    empty = open_library(tmp_path / "lib")
    (tmp_path / "films").mkdir()
    assert empty.index([tmp_path / "films"]).added == []
    with pytest.raises(LibraryError, match="is empty"):
        empty.search("red")


def test_search_sees_what_another_process_committed(own_films, tmp_path):
    reader, writer = open_library(tmp_path / "lib"), open_library(tmp_path / "lib")
    writer.index([own_films / "a.mp4"])
    assert reader.search("lime", settings=SHARP)[0].path.name == "a.mp4"
    writer.index([own_films])
    assert reader.search("lime", settings=SHARP)[0].path.name == "b.mp4"
    writer.remove([own_films / "b.mp4"])
    assert reader.search("lime", settings=SHARP)[0].path.name == "a.mp4"


def test_searches_during_an_index_run_see_each_video_whole_or_not_at_all(films, filled, tmp_path):
    whole = {video.video_id: video.frames for video in filled.videos()}
    library = open_library(tmp_path / "lib")
    library.index([films / "three.mov"])
    settings = IndexSettings(workers=1, batch_size=2, flush_rows=1, force=True)
    run = threading.Thread(
        target=open_library(tmp_path / "lib").index, args=([films],), kwargs={"settings": settings}
    )
    run.start()
    seen = []
    while run.is_alive():
        corpus = library.corpus()
        assert corpus.index.video_ids == set(corpus.videos)
        for video_id, video in corpus.videos.items():
            assert len(corpus.index.vectors(video_id)) == video.frames
            assert video.path.name in {"one.mp4", "two.mkv", "three.mov"}
        seen.append(len(corpus.videos))
    run.join()
    assert seen[0] >= 1  # what was there stays there while it is done again
    assert seen == sorted(seen)
    assert sorted(v.frames for v in library.videos()) == sorted(whole.values())


def test_search_while_the_library_is_being_written(filled):
    with writing(filled.path, "vclip index"):
        fresh = open_library(filled.path)
        (filled.path / "index" / "index.json").rename(filled.path / "kept.json")
        try:
            assert fresh.search("lime", settings=SHARP)[0].path.name == "one.mp4"
        finally:
            (filled.path / "kept.json").rename(filled.path / "index" / "index.json")


# ---- refusals


def test_another_model_is_refused_naming_both(filled, films):
    with pytest.raises(LibraryMismatchError, match="made with model colours, not other"):
        _filled_as_colours(filled).index([films], model="other")
    with pytest.raises(LibraryMismatchError, match="made with model colours, not other"):
        _filled_as_colours(filled).search("red", model="other")


def _filled_as_colours(library):
    path = library.path / "library.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "model": "colours"}))
    return open_library(library.path)


def test_another_sampling_rate_is_refused_naming_both(filled, films):
    with pytest.raises(LibraryMismatchError, match=r"made with --fps 0\.5, not 1\b"):
        filled.index([films], fps=1)
    with pytest.raises(InputError, match="fps is 0"):
        open_library(filled.path.parent / "new").index([films], fps=0)


def test_a_model_that_cannot_be_loaded_leaves_nothing_behind(films, tmp_path):
    with pytest.raises(ModelError):
        open_library(tmp_path / "lib").index([films], model="broken")
    assert not (tmp_path / "lib").exists()


def test_a_folder_with_other_things_is_not_made_a_library(films):
    with pytest.raises(LibraryError, match="is not a library"):
        open_library(films).index([films])


COMMAND = """
import sys
from pathlib import Path
from indexer.errors import LibraryError
from vclipper.library import Library
library = Library(Path(sys.argv[1]), "cpu", lambda name, device: print("a model is loaded"))
for step in (lambda: library.index([sys.argv[2]]), library.videos, library.verify, library.repair):
    try:
        step()
    except LibraryError as error:
        print(error.message)
"""


@needs_modes
@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (0o555, ["LIB cannot be made: PARENT cannot be written by you", *["no library at LIB"] * 3]),
        (0o000, ["LIB: you may not read or write it"] * 4),
    ],
    ids=["read only", "closed"],
)
def test_a_place_that_may_not_be_used_is_one_line(films, tmp_path, mode, says):
    (tmp_path / "closed").mkdir(mode)
    said = run_with_modes(COMMAND, tmp_path / "closed" / "lib", films).splitlines()
    places = {"LIB": str(tmp_path / "closed" / "lib"), "PARENT": str(tmp_path / "closed")}
    assert said == [line.replace("LIB", places["LIB"]).replace("PARENT", places["PARENT"]) for line in says]


WRITERS = """
import sys, threading
from pathlib import Path
from indexer.errors import LibraryError
from tests.fakes import load_fake
from vclipper.library import Library
library = Library(Path(sys.argv[1]), "cpu", lambda *which: (print("a model is loaded"), load_fake(*which))[1])
films = Path(sys.argv[2])
stop = threading.Event()
stop.set()
for step in (
    lambda: library.index([films]),
    lambda: library.watch([films], stop=stop),
    lambda: library.remove([films / "b.mp4"]),
    lambda: library.relink(films, films.parent / "elsewhere"),
    library.reindex,
    library.repair,
):
    try:
        step()
    except LibraryError as error:
        print(error.message)
print(library.verify(), [video.path.name for video in library.videos()])
"""


@needs_modes
def test_a_library_that_may_not_be_written_is_one_line(own_films, tmp_path):
    open_library(tmp_path / "lib").index([own_films])
    make_film(own_films / "c.mp4", [("yellow", 6)])
    (tmp_path / "lib").chmod(0o555)
    said = run_with_modes(WRITERS, tmp_path / "lib", own_films).splitlines()
    (tmp_path / "lib").chmod(0o755)
    assert said == [*[f"{tmp_path / 'lib'} cannot be written by you"] * 6, "[] ['a.mp4', 'b.mp4']"]


def test_a_newer_schema_is_refused(filled):
    path = filled.path / "library.json"
    old = path.read_text()
    try:
        path.write_text(json.dumps({**json.loads(old), "schema_version": 99}))
        with pytest.raises(LibraryMismatchError, match="schema version 99"):
            open_library(filled.path).search("red")
        path.write_text("{")
        with pytest.raises(LibraryError, match="damaged"):
            open_library(filled.path).search("red")
    finally:
        path.write_text(old)


def test_two_writers(filled, films):
    with (
        writing(filled.path, "vclip index"),
        pytest.raises(LibraryLockedError, match=rf"`vclip index` \(process {os.getpid()} "),
    ):
        open_library(filled.path).index([films])


# ---- keeping


def test_info(filled):
    info = filled.info()
    assert (info.videos, info.frames, info.index_rows, info.dimension) == (3, 25, 25, 7)
    assert info.video_seconds == pytest.approx(49)
    assert info.index_is_current
    assert "FAISS" in info.index


def test_remove_files_and_folders(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    with pytest.raises(InputError, match="not in the library"):
        library.remove([own_films / "a.mp4", own_films / "z.mp4"])
    assert len(library.videos()) == 2
    assert [v.path.name for v in library.remove([own_films / "a.mp4"])] == ["a.mp4"]
    assert [v.path.name for v in library.remove([own_films])] == ["b.mp4"]
    assert library.info().frames == 0
    assert (own_films / "a.mp4").exists()
    assert library.verify() == []


def test_verify_names_what_does_not_agree(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    assert library.verify(contents=True) == []
    (own_films / "a.mp4").unlink()
    (own_films / "b.mp4").write_bytes(b"changed")
    said = [(p.what.rsplit("/", 1)[-1], p.is_damage) for p in library.verify()]
    assert said == [("a.mp4 is not there", False), ("b.mp4 has changed since it was indexed", False)]


def test_verify_finds_and_mends_damage(own_films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    segment = next((tmp_path / "lib" / "index").glob("*.faiss"))
    data = bytearray(segment.read_bytes())
    data[-4] ^= 0x55  # one bit pattern in the last vector: only a comparison with the table can see it
    segment.write_bytes(bytes(data))
    fresh = open_library(tmp_path / "lib")
    assert any("other vectors than the table" in p.what and p.is_damage for p in fresh.verify())
    assert fresh.repair().lost == []
    assert fresh.verify() == []
    store = fresh._current.store()
    store._frames.add(store._frames.search().limit(2).to_arrow().set_column(0, "video_id", [[5, 5]]))
    assert any("2 frames belong to no video" in p.what for p in fresh.verify())
    assert fresh.repair().lost == []
    assert fresh.verify() == []


def test_a_copied_library_works(filled, tmp_path):
    import shutil

    shutil.copytree(filled.path, tmp_path / "copy")
    assert found(open_library(tmp_path / "copy").search("lime", settings=SHARP))[0] == ("one.mp4", 6.0, 14.0)


def test_default_path(monkeypatch, tmp_path):
    monkeypatch.setenv("VCLIP_LIBRARY", str(tmp_path / "x"))
    assert default_place() == str(tmp_path / "x")
    assert Library.open().path == tmp_path / "x"
    monkeypatch.delenv("VCLIP_LIBRARY")
    assert "vclipper" in default_place()
    assert Library.open("~/lib").path == Path.home() / "lib"


def test_a_plain_script_indexes_too(films, filled, tmp_path):
    """One without ``if __name__ == "__main__"``: decode processes do not run it again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom tests.fakes import open_library\nfrom pathlib import Path\n"
        "report = open_library(Path(sys.argv[1])).index([sys.argv[2]])\nprint(len(report.added), report.failed)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, script, tmp_path / "lib", films],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout == f"{len(rows_of(filled))} []\n"
    assert "Traceback" not in done.stderr


def test_texts_of_a_query_that_fails_are_not_computed_with_the_next_one(own_films, tmp_path, monkeypatch):
    asked = []
    encode = ColourEncoder.encode_texts

    def noted(self: ColourEncoder, texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(ColourEncoder, "encode_texts", noted)
    library = open_library(tmp_path / "lib")
    library.index([own_films])
    for query in ('"red" + ./none.jpg', '"red" then ./none.jpg'):
        with pytest.raises(InputError, match="no such file"):
            library.search(query)
    library.search("blue")
    assert asked == ["blue"]


def test_whoever_looks_whether_a_library_is_written_refuses_no_writer(tmp_path):
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    looks, done = 0, threading.Event()

    def look() -> None:
        nonlocal looks
        while not done.is_set():
            looks += not is_held(tmp_path)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(200):  # without the writer's patience one in six is refused
            with writing(tmp_path, "vclip index"):
                assert is_held(tmp_path)
    finally:
        done.set()
        looker.join()
    assert looks
    with writing(tmp_path, "vclip index"), pytest.raises(LibraryLockedError), writing(tmp_path, "another"):
        pytest.fail("two writers")


# ---- files that cannot be decoded


def only_fails(report) -> str:
    """The one failure of a run that did nothing else but skip."""
    assert (report.added, report.updated, report.frames) == ([], [], 0)
    (failure,) = report.failed
    return failure.note


def test_a_file_known_to_fail_is_told_without_the_model(tmp_path):
    film, bad = make_film(tmp_path / "a.mp4", [("red", 4)]), tmp_path / "bad.mp4"
    bad.write_text("no video")
    library = open_library(tmp_path / "lib")
    first = only_fails_beside_one(library.index([film, bad]))
    calm = Library(library.path, "cpu", lambda name, device: pytest.fail("the model was loaded"))
    for _ in range(2):
        again = calm.index([film, bad])
        assert only_fails(again) == f"{first} (unchanged, so not tried again)"
        assert not again.ok


def only_fails_beside_one(report) -> str:
    assert len(report.added) == len(report.failed) == 1
    return report.failed[0].note


@pytest.mark.parametrize("change", ["time", "content", "options", "version", "force"])
def test_a_file_known_to_fail_is_tried_again_when_something_changed(tmp_path, monkeypatch, change):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    library = open_library(tmp_path / "lib")
    note = only_fails(library.index([bad]))
    settings = IndexSettings(loop_filter=change != "options", force=change == "force")
    if change == "time":
        os.utime(bad, (1, 1))
    elif change == "content":
        make_film(bad, [("red", 4)])
    elif change == "version":
        monkeypatch.setattr(vclipper.library, "__version__", "99")
    report = library.index([bad], settings=settings)
    if change == "content":
        assert [len(report.added), len(report.failed)] == [1, 0]
        assert not library.index([bad]).failed
    else:
        assert only_fails(report) == note


def test_every_copy_of_a_file_that_cannot_be_decoded_is_named(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("no video")
    library = open_library(tmp_path / "lib")
    for _ in range(2):
        report = library.index([tmp_path / "a.mp4", tmp_path / "b.mp4"])
        assert [note.path.name for note in report.failed] == ["a.mp4", "b.mp4"]
        assert all(str(note.path) in note.note for note in report.failed)


def test_a_damaged_list_of_failures_costs_one_more_try(tmp_path):
    bad, library = tmp_path / "bad.mp4", open_library(tmp_path / "lib")
    bad.write_text("no video")
    note = only_fails(library.index([bad]))
    for damage in (b"{", b"[]", b'{"made_by": 1, "files": 2}', b"\xff"):
        (library.path / "failures.json").write_bytes(damage)
        assert only_fails(library.index([bad])) == note
    library.index([bad])
    assert library.remove([], purge=True) == []
    assert not (library.path / "failures.json").exists()
