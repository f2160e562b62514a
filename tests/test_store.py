"""The tables: a video is visible whole or not at all, whatever was interrupted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer import store as store_module
from indexer.catalogue import VideoRow
from indexer.errors import LibraryDamagedError
from indexer.grouping import grouped
from indexer.store import Store, VideoFrames
from indexer.vectors import unit

D = 8


def one(video_id: int, n: int = 3, path: str = "", seed: int = 0) -> tuple[VideoRow, VideoFrames]:
    vectors = unit(np.random.default_rng((seed, video_id)).standard_normal((n, D)))
    row = VideoRow(video_id, f"print-{video_id}", (Path(path or f"/films/{video_id}.mp4"),), n, 2.0 * n)
    return row, VideoFrames.of(video_id, vectors)


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path, D, 2.0)


def test_what_is_committed_comes_back(store):
    added = [one(1), one(2, 5), one(3, 1)]
    store.commit(added)
    assert store.videos() == [row for row, _ in added]
    for (_, expected), got in zip(added, store.frames(store.videos()), strict=True):
        assert np.array_equal(got.vectors, expected.vectors)
        assert np.array_equal(got.next_similarity, expected.next_similarity)
    assert store.count_frames() == 3 + 5 + 1


def test_the_videos_at_hand_follow_every_commit_of_whoever(store, tmp_path):
    """What was read once is brought along with own commits; it is what a fresh look at the table gives."""

    def fresh() -> list[VideoRow]:
        return Store(tmp_path, D, 2.0).videos()

    assert store.videos() == []
    store.commit([one(1), one(2, 5)])
    assert store.videos() == fresh()
    store.commit([one(3)], [replace(one(1)[0], paths=(Path("/z.mp4"), Path(os.fsdecode(b"/\xff.mp4"))))])
    assert store.videos() == fresh()
    assert [row.video_id for row in store.videos()] == [2, 3, 1]  # by path
    store.remove([one(2, 5)[0]])
    assert store.videos() == fresh()
    other = Store(tmp_path, D, 2.0)
    other.commit([one(4)])
    store.refresh()
    assert [row.video_id for row in store.videos()] == [3, 4, 1]
    store.compact(0)
    store.commit([one(5)])
    assert store.videos() == fresh()


def test_next_similarity_is_the_cosine_of_neighbours():
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    # 1*0.6 + 0*0.8 = 0.6; 0.6*0 + 0.8*1 = 0.8; rounded to float16
    assert VideoFrames.of(1, vectors).next_similarity.tolist() == pytest.approx([0.6, 0.8], abs=1e-3)


def test_columns_as_others_read_them(store):
    store.commit([one(9, 3)])
    table = store._frames.search().limit(None).to_arrow()
    assert table.column("start_seconds").to_pylist() == [0.0, 2.0, 4.0]
    assert table.column("frame_index").to_pylist() == [0, 1, 2]
    assert np.isnan(table.column("next_similarity").to_pylist()[2])
    assert str(table.schema.field("vector").type).replace(" ", "") in {
        "fixed_size_list<item:halffloat>[8]",
        "fixed_size_list<item:halffloat[8]>",
    }


def test_replacing_is_one_commit_and_leaves_no_old_frames(store):
    old, _ = one(1, 4, "/films/a.mp4")
    store.commit([(old, one(1, 4)[1])])
    new = one(2, 2, "/films/a.mp4")
    store.commit([new], [replace(old, paths=())])
    assert store.videos() == [new[0]]
    assert store.count_frames() == 2


def test_removing(store):
    store.commit([one(1), one(2)])
    store.remove([store.videos()[0]])
    assert [v.video_id for v in store.videos()] == [2]
    assert store.count_frames() == 3


class Crash(Exception):
    pass


@pytest.mark.parametrize("step", ["_merge", "_forget"])
def test_a_crash_between_the_steps_shows_old_or_new_and_is_cleaned_up(tmp_path, store, step, monkeypatch):
    old, frames = one(1, 4, "/films/a.mp4")
    store.commit([(old, frames)])
    new = one(2, 2, "/films/a.mp4")

    def crash(*args):
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(store, step, crash)
        with pytest.raises(Crash):
            store.commit([new], [replace(old, paths=())])
    reopened = Store(tmp_path, D, 2.0)
    # Before the merge the old video is there, after it the new one; never both, never neither.
    expected = [old] if step == "_merge" else [new[0]]
    assert reopened.videos() == expected
    assert reopened.count_frames() == 6  # leftovers of the other one
    reopened.recover()
    assert reopened.videos() == expected
    assert reopened.count_frames() == expected[0].frames
    if step == "_merge":  # the next run does it again
        reopened.commit([new], [replace(old, paths=())])
    assert reopened.videos() == [new[0]]
    assert reopened.count_frames() == 2


def test_leftovers_of_a_failed_commit_are_remembered_through_the_next_one(tmp_path, store, monkeypatch):
    """A disk that fills up for a moment: the run's last commit succeeds after one that failed."""
    with monkeypatch.context() as patched:
        patched.setattr(store, "_merge", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.commit([one(1, 4)])
    store.commit([one(2, 3)])
    reopened = Store(tmp_path, D, 2.0)
    assert reopened.count_frames() == 4 + 3
    reopened.recover()
    assert [v.video_id for v in reopened.videos()] == [2]
    assert reopened.count_frames() == 3


def test_orphans_are_found_without_the_journal(store):
    store.commit([one(1)])
    store._frames.add(store._frames.search().limit(None).to_arrow().set_column(0, "video_id", [[77, 77, 77]]))
    assert store.delete_orphans() == 3
    assert store.count_frames() == 3


def test_fragments_are_bounded_by_compaction(store):
    for i in range(12):
        store.commit([one(i)])
    assert store.fragments() == 12
    assert store.compact(max_fragments=10)
    assert store.fragments() == 1
    assert not store.compact(max_fragments=10)
    assert len(list(store.frames(store.videos()))) == 12


def test_names_that_are_not_utf8(store):
    path = os.fsdecode(b"/films/caf\xe9.mp4")
    store.commit([one(1, path=path)])
    assert store.videos()[0].path == Path(path)


def test_missing_frames_are_said(store):
    store.commit([one(1), one(2)])
    store._frames.delete("video_id = 2 AND frame_index = 1")
    with pytest.raises(LibraryDamagedError, match=r"2 of 3 frames of /films/2\.mp4"):
        list(store.frames(store.videos()))


def test_a_table_that_is_not_there_is_said(tmp_path):
    with pytest.raises(LibraryDamagedError, match="'videos'"):
        Store(tmp_path, D, 2.0)
    Store.create(tmp_path, D, 2.0)
    with pytest.raises(LibraryDamagedError, match="'frames'"):
        Store(tmp_path, D + 1, 2.0)


def test_memory_of_reading_is_bounded_by_groups(store):
    store.commit([one(i, 4) for i in range(10)])
    small = [f.video_id for f in store.frames(store.videos(), rows_at_once=8)]
    assert small == [v.video_id for v in store.videos()]


def files_of_frames(where: Path) -> set[str]:
    return {file.name for file in (where / "tables" / "frames.lance" / "data").iterdir()}


def test_full_files_stay_as_they_are_when_small_ones_are_merged(tmp_path, monkeypatch):
    """Of 20 rows and more a file is full: merging costs what came since, whatever the library holds."""
    monkeypatch.setattr(store_module, "MERGED_ROWS", 20)
    store, added = Store.create(tmp_path, D, 2.0), []
    for number in range(8):
        added.append(one(number, 5))
        store.commit([added[-1]])
    store.compact(0)
    assert store.fragments() == 2  # 8 * 5 = 2 * 20
    full = files_of_frames(tmp_path)
    for number in range(8, 11):
        added.append(one(number, 5))
        store.commit([added[-1]])
    store.compact(0)
    assert store.fragments() == 3  # 20, 20, and 3 * 5
    live = {Path(f.path).name for fragment in lance_files(store) for f in fragment.data_files()}
    assert len(live & full) == 2
    assert store.videos() == sorted((row for row, _ in added), key=lambda row: str(row.path))
    for (_, expected), got in zip(
        sorted(added, key=lambda a: str(a[0].path)), store.frames(store.videos()), strict=True
    ):
        assert np.array_equal(got.vectors, expected.vectors)
    assert Store(tmp_path, D, 2.0).count_frames() == 55


def test_where_pylance_does_not_understand_the_table_lancedb_merges_all(tmp_path, monkeypatch):
    def too_new(*args, **options):
        raise OSError("LanceError(NotSupported): this dataset cannot be read by this version of Lance")

    monkeypatch.setattr(store_module.fragments, "merge", too_new)
    store, added = Store.create(tmp_path, D, 2.0), [one(number, 5) for number in range(4)]
    for some in added:
        store.commit([some])
    assert store.compact(0)
    assert (store.fragments(), store.count_frames()) == (1, 20)
    assert [video.video_id for video in store.videos()] == [0, 1, 2, 3]


def test_many_merged_files_are_copied_into_a_full_one(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "MERGED_ROWS", 10)
    monkeypatch.setattr(store_module, "_MAX_MERGED", 2)
    monkeypatch.setattr(store_module, "_small_files", lambda table: 0)  # LanceDB calls fewer than 100,000 rows few
    store = Store.create(tmp_path, D, 2.0)
    added = [one(number, 10) for number in range(4)]
    for some in added:
        store.commit([some])
    store.compact(-1)
    assert store.fragments() == 1  # 4 files of 10 are more than 2
    store.remove([added[1][0]])
    store.compact(-1)
    assert [frames.video_id for frames in store.frames(store.videos())] == [0, 2, 3]
    assert store.count_frames() == 30


@pytest.mark.parametrize("which", [[3, 4], [4], [0, 4], [2], [1, 2, 3, 4]])
@pytest.mark.parametrize("is_killed", [False, True])
def test_the_newest_frames_are_found_at_the_end_or_anywhere(tmp_path, which, is_killed):
    """Before some were removed, moved and merged, and with rows of a killed run behind them."""
    store, added = Store.create(tmp_path, D, 2.0), [one(number, 3 + number) for number in range(6)]
    for some in added:
        store.commit([some])
    store.remove([added[5][0]])
    store.compact(0)
    if is_killed:
        with pytest.MonkeyPatch.context() as patched, pytest.raises(Crash):
            patched.setattr(store, "_merge", lambda rows: (_ for _ in ()).throw(Crash))
            store.commit([one(9, 4)])
    got = list(store.frames([added[number][0] for number in which], are_newest=True))
    assert [frames.video_id for frames in got] == which
    assert all(np.array_equal(f.vectors, added[f.video_id][1].vectors) for f in got)


def lance_files(store: Store) -> list:
    import lance

    return lance.dataset(store._frames.uri).get_fragments()


def test_groups_end_once_they_weigh_enough():
    assert list(grouped([3, 1, 5, 1], int, 4)) == [[3, 1], [5], [1]]
    assert list(grouped([3, 1, 5, 1], int, 100, most=3)) == [[3, 1, 5], [1]]
    assert list(grouped([], int, 4)) == []
