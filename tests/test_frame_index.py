"""One contract for every index: the judge, FAISS on CPU and GPU; and how segments follow the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from indexer import frame_index, segments, table_index
from indexer.catalogue import VideoRow
from indexer.errors import LibraryDamagedError
from indexer.frame_index import (
    FlatIndex,
    GpuIndex,
    NumpyIndex,
    Segment,
    all_gpus,
    gpu_reason,
    similarity_range,
)
from indexer.storage import Folder
from indexer.store import Store, VideoFrames
from indexer.table_index import TableIndex
from indexer.vectors import unit

D = 16


def video(video_id: int, n: int, seed: int = 0) -> VideoFrames:
    rng = np.random.default_rng((seed, video_id))
    return VideoFrames.of(video_id, unit(rng.standard_normal((n, D))))


def flat(videos: list[VideoFrames], per_segment: int = 2) -> FlatIndex:
    parts = [videos[i : i + per_segment] for i in range(0, len(videos), per_segment)]
    return FlatIndex([Segment.build(f"s{i}", part) for i, part in enumerate(parts)], D)


def gpu(videos: list[VideoFrames]) -> GpuIndex:
    return GpuIndex(flat(videos))


def sharded(videos: list[VideoFrames]) -> GpuIndex:
    """Over all GPUs; twice over the first where there is only one."""
    gpus = all_gpus()
    return GpuIndex(flat(videos), gpus if len(gpus) > 1 else [0, 0])


def gpu_lists(videos: list[VideoFrames]) -> GpuIndex:
    """One list, so that all of it is looked through."""
    return GpuIndex(flat(videos), lists=1)


KINDS = [
    pytest.param(lambda videos: NumpyIndex(videos, D), id="numpy"),
    pytest.param(flat, id="faiss-cpu"),
    pytest.param("table", id="lance"),
    pytest.param(gpu, id="faiss-gpu", marks=pytest.mark.gpu),
    pytest.param(sharded, id="faiss-gpus", marks=pytest.mark.gpu),
    pytest.param(gpu_lists, id="faiss-gpu-ivf", marks=pytest.mark.gpu),
]
VIDEOS = [video(i, n) for i, n in [(7, 5), (3, 1), (11, 40), (2, 8), (5, 17)]]
QUERIES = unit(np.random.default_rng(1).standard_normal((4, D)))


def judge(k, videos=None):
    return NumpyIndex(VIDEOS, D).search(QUERIES, k, videos)


@pytest.fixture(params=KINDS)
def make(request, tmp_path):
    """Makes an index of some videos."""

    def in_the_table(videos: list[VideoFrames]) -> TableIndex:
        store = Store.create(tmp_path, D, 2.0)
        store.commit([(row(v), v) for v in videos])
        return table_index.follow(Folder(tmp_path), store, store.videos())

    return in_the_table if request.param == "table" else request.param


class TestContract:
    @pytest.mark.parametrize("k", [1, 10, 71, 500])
    @pytest.mark.parametrize("only", [None, {3}, {2, 11}, {2, 3, 5, 7, 11}])
    def test_agrees_with_the_judge(self, make, k, only):
        hits, expected = make(VIDEOS).search(QUERIES, k, only), judge(k, only)
        assert np.array_equal(hits.video_ids, expected.video_ids)
        assert np.array_equal(hits.frames, expected.frames)
        assert np.allclose(hits.scores, expected.scores, atol=1e-5)

    def test_scores_are_inner_products_best_first(self, make):
        hits = make(VIDEOS).search(QUERIES[:1], 71)
        scores = [
            float(next(v for v in VIDEOS if v.video_id == i).vectors[f].astype(np.float32) @ QUERIES[0])
            for i, f in zip(hits.video_ids[0].tolist(), hits.frames[0].tolist(), strict=True)
        ]
        assert hits.scores[0].tolist() == pytest.approx(scores, abs=1e-5)
        assert scores == sorted(scores, reverse=True)

    def test_gives_back_each_video(self, make):
        index = make(VIDEOS)
        assert index.rows == 5 + 1 + 40 + 8 + 17
        assert index.video_ids == {2, 3, 5, 7, 11}
        for one in VIDEOS:
            assert np.array_equal(index.vectors(one.video_id), one.vectors.astype(np.float32))
            assert np.array_equal(index.next_similarity(one.video_id), one.next_similarity)
        with pytest.raises(KeyError):
            index.vectors(99)

    def test_background_is_mean_and_spread_of_all_scores(self, make):
        scores = np.concatenate([v.vectors.astype(np.float32) for v in VIDEOS]) @ QUERIES[1]
        assert make(VIDEOS).background(QUERIES[1]) == pytest.approx((scores.mean(), scores.std()), abs=1e-5)

    def test_a_filter_that_nothing_passes(self, make):
        assert make(VIDEOS).search(QUERIES, 3, {99}).scores.shape == (4, 0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 40), st.integers(1, 4))
@hypothesis_settings(max_examples=40)
def test_faiss_equals_the_judge_on_any_corpus(lengths, k, per_segment):
    videos = [video(i, n, seed=k) for i, n in enumerate(lengths)]
    got, expected = flat(videos, per_segment).search(QUERIES, k), NumpyIndex(videos, D).search(QUERIES, k)
    assert np.allclose(got.scores, expected.scores, atol=1e-5)
    assert got.video_ids.shape == expected.video_ids.shape


def test_similarity_range():
    scores = np.concatenate([v.vectors.astype(np.float32) for v in VIDEOS]) @ QUERIES[0]
    assert similarity_range(flat(VIDEOS), QUERIES[0]) == pytest.approx((scores.min(), scores.max()), abs=1e-5)
    assert similarity_range(FlatIndex([], D), QUERIES[0]) == (0.0, 0.0)


def test_the_gpu_is_refused_with_a_reason_or_works():
    reason = gpu_reason()
    assert reason == "" or any(word in reason for word in ("no NVIDIA GPU", "without GPU", "probe search"))


# ---- segments on disk follow the table


def row(frames: VideoFrames, age: int = 0) -> VideoRow:
    n = len(frames.vectors)
    path = Path(f"/films/{frames.video_id}.mp4")
    return VideoRow(frames.video_id, f"f{frames.video_id}", (path,), n, 2.0 * n, indexed_unix=float(age))


@pytest.fixture
def store(tmp_path):
    made = Store.create(tmp_path, D, 2.0)
    made.commit([(row(v), v) for v in VIDEOS])
    return made


def same_as_table(library, store) -> bool:
    index, state = segments.load(library, D)
    expected = NumpyIndex(store.frames(store.videos()), D)
    got, want = index.search(QUERIES, 1000), expected.search(QUERIES, 1000)
    return segments.is_current(state, store) and np.array_equal(got.video_ids, want.video_ids)


def names(library) -> set[str]:
    return set(json.loads((library / "index" / "index.json").read_text())["segments"])


def test_made_from_the_table_and_opened_again(tmp_path, store):
    assert segments.follow(tmp_path, store).rows == 71
    assert same_as_table(tmp_path, store)


def test_large_segments_stay_when_videos_are_added(tmp_path, store, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 30)
    segments.follow(tmp_path, store)
    before = names(tmp_path)
    more = video(20, 4)
    store.commit([(row(more, 1), more)])
    segments.follow(tmp_path, store)
    assert same_as_table(tmp_path, store)
    assert names(tmp_path) & before  # not everything was written anew


def test_an_id_that_comes_back_with_other_frames_is_not_answered_from_the_old_ones(tmp_path):
    store = Store.create(tmp_path, D, 2.0)

    def put(video_id: int, seed: int, gone: int | None = None) -> VideoFrames:
        vectors = unit(np.random.default_rng(seed).standard_normal((5, D)))
        frames = VideoFrames.of(video_id, vectors)
        old = [replace(one, paths=()) for one in store.videos() if one.video_id == gone]
        store.commit([(replace(row(frames), digest=frames.digest()), frames)], old)
        return frames

    put(1, seed=1)
    segments.follow(tmp_path, store)
    put(2, seed=2, gone=1)  # the same file indexed again has another id, and indexed once more the first one;
    last = put(1, seed=3, gone=2)  # an index on another machine may see the last state only
    assert np.array_equal(segments.follow(tmp_path, store).vectors(1), last.vectors.astype(np.float32))


def test_small_segments_are_merged_like_a_binary_counter(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 32)  # from 16 rows on a segment is large and stays
    store, sizes = Store.create(tmp_path, D, 2.0), []
    for number in range(1, 14):
        store.commit([(row(one := video(number, 2), number), one)])
        index = segments.follow(tmp_path, store)
        sizes.append([len(segment.rows) for segment in index.segments])
    # videos of 2 rows: two make 4; the 4 stays beside 2 new rows; then 2 + 2 + 4 = 8; and so on up to 16
    assert sizes[:4] == [[2], [4], [4, 2], [8]]
    assert sizes[6:8] == [[8, 4, 2], [16]]
    assert sizes[12] == [16, 8, 2]  # 13 videos = 0b1101
    assert same_as_table(tmp_path, store)


def test_a_run_reads_old_segments_once_and_new_ones_once(tmp_path, store, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 30)
    segments.follow(tmp_path, store)
    before = names(tmp_path)
    more = video(20, 4)
    store.commit([(row(more, 1), more)])
    opened, read = [], segments.read_segment
    monkeypatch.setattr(
        segments, "read_segment", lambda folder, name, d: opened.append(name) or read(folder, name, d)
    )
    index = segments.follow(tmp_path, store)
    assert sorted(opened) == sorted(before | names(tmp_path))
    assert {segment.name for segment in index.segments} == names(tmp_path)
    wanted = NumpyIndex(store.frames(store.videos()), D).search(QUERIES, 1000)
    assert np.array_equal(index.search(QUERIES, 1000).video_ids, wanted.video_ids)


def test_removed_videos_leave_the_index_and_their_files_go(tmp_path, store):
    segments.follow(tmp_path, store)
    store.remove([v for v in store.videos() if v.video_id in (7, 11)])
    segments.follow(tmp_path, store)
    assert same_as_table(tmp_path, store)
    listed = {file.name.split(".")[0] for file in (tmp_path / "index").iterdir()} - {"index"}
    assert listed == names(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "garbage", "gone", "list", "no folder"])
def test_a_damaged_index_is_named_and_made_anew(tmp_path, store, damage):
    segments.follow(tmp_path, store)
    folder = tmp_path / "index"
    file = next(folder.glob("*.faiss"))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "garbage":
        file.write_bytes(b"\x00garbage" * 100)
    elif damage == "gone":
        file.unlink()
    elif damage == "list":
        (folder / "index.json").write_text("{")
    else:
        for one in folder.iterdir():
            one.unlink()
        folder.rmdir()
    with pytest.raises(LibraryDamagedError):
        segments.load(tmp_path, D)
    segments.follow(tmp_path, store)
    assert same_as_table(tmp_path, store)


@pytest.mark.parametrize("damage", ["other numbers", "gone after opening"])
def test_damaged_moments_are_worked_out_anew_and_named(tmp_path, store, damage):
    expected = segments.follow(tmp_path, store).moments
    index, _ = segments.load(tmp_path, D)
    name = index.segments[0].name
    file = tmp_path / "index" / f"{name}.moments.npy"
    if damage == "other numbers":
        file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
        index, _ = segments.load(tmp_path, D)
    else:
        file.unlink()
    assert np.allclose(index.moments.products, expected.products, atol=1e-3)
    assert np.allclose(index.moments.total, expected.total, atol=1e-3)
    assert not segments.are_moments_sound(tmp_path / "index", name)


def test_in_memory_when_nothing_may_be_written(tmp_path, store):
    index = segments.follow(tmp_path, store, persist=False)
    assert index.rows == 71
    assert not (tmp_path / "index").exists()


def test_the_index_on_disk_is_memory_mapped(tmp_path, store):
    segments.follow(tmp_path, store)
    segments.load(tmp_path, D)
    index, _ = segments.load(tmp_path, D)
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".faiss" in line}
    assert {f"{s.name}.faiss" for s in index.segments} <= {path.rsplit("/", 1)[-1] for path in mapped}


def test_module_says_its_kinds():
    assert "CPU" in frame_index.FlatIndex.kind
