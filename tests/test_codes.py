"""Every approximate index against the judge: recall, exact scores, filters, growth, removal, damage, kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from indexer import codes, index_choice, table_index
from indexer.catalogue import VideoRow
from indexer.coders import CODERS, list_count
from indexer.errors import InputError, LibraryDamagedError
from indexer.frame_index import FlatIndex, FrameHits, FrameIndex, NumpyIndex, Segment
from indexer.settings import INDEX_TYPES, IndexSettings
from indexer.storage import Folder
from indexer.store import Store, VideoFrames
from indexer.vectors import unit

D = 32
FRAMES = 40


class Codes:
    """Codes of one kind in a folder, over an exact index."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def follow(self, folder: Path, videos: list[VideoFrames]) -> FrameIndex:
        return codes.follow(folder, flat(videos), self.kind)

    def opened(self, folder: Path, videos: list[VideoFrames]) -> FrameIndex:
        index = codes.load(folder, flat(videos))
        assert index is not None
        return index

    def files(self, folder: Path) -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in runs(folder)}


class Table:
    """LanceDB's index on tables that hold exactly some videos."""

    def follow(self, folder: Path, videos: list[VideoFrames]) -> FrameIndex:
        store = self._store(folder, videos)
        return table_index.follow(Folder(folder), store, store.videos())

    def opened(self, folder: Path, videos: list[VideoFrames]) -> FrameIndex:
        store = self._store(folder, videos)
        return table_index.opened(Folder(folder), store, store.videos())

    def files(self, folder: Path) -> dict[str, int]:
        indexes = folder / "tables" / "frames.lance" / "_indices"
        return {str(file): file.stat().st_mtime_ns for file in indexes.rglob("*") if file.is_file()}

    def _store(self, folder: Path, videos: list[VideoFrames]) -> Store:
        is_new = not (folder / "tables").exists()
        store = Store.create(folder, D, 2.0) if is_new else Store(folder, D, 2.0)
        there = {row.video_id: row for row in store.videos()}
        wanted = {content_id(frames): frames for frames in videos}
        store.remove([row for row in there.values() if row.fingerprint not in wanted])
        left = {row.fingerprint for row in store.videos()}
        store.commit([(row_of(f), f) for name, f in wanted.items() if name not in left])
        return store


def content_id(frames: VideoFrames) -> str:
    return f"{frames.video_id} {frames.digest()}"


def row_of(frames: VideoFrames) -> VideoRow:
    n = len(frames.vectors)
    path = Path(f"/films/{frames.video_id}.mp4")
    return VideoRow(frames.video_id, content_id(frames), (path,), n, 2.0 * n, digest=frames.digest())


KINDS: dict[str, Codes | Table] = {**{name: Codes(name) for name in CODERS}, "lance": Table()}


def video(video_id: int, n: int = FRAMES, seed: int = 0) -> VideoFrames:
    """Scenes of near-duplicates around a topic."""
    rng = np.random.default_rng((seed, video_id))
    scenes = unit(rng.standard_normal(D)) + 0.7 * unit(rng.standard_normal((n // 8 + 1, D)))
    frames = np.repeat(scenes, 8, axis=0)[:n] + 0.02 * rng.standard_normal((n, D))
    return VideoFrames.of(video_id, unit(frames))


def flat(videos: list[VideoFrames], per_segment: int = 20) -> FlatIndex:
    parts = [videos[i : i + per_segment] for i in range(0, len(videos), per_segment)]
    return FlatIndex([Segment.build(f"s{i}", part) for i, part in enumerate(parts)], D)


VIDEOS = [video(i) for i in range(100)]
QUERIES = unit(np.random.default_rng(1).standard_normal((20, D)))


@pytest.fixture(autouse=True)
def small_runs(monkeypatch):
    """4,000 frames stand for millions: three runs, of which the last waits, and lists looked through by half."""
    monkeypatch.setattr(codes, "TAIL_ROWS", 500)
    monkeypatch.setattr(codes, "RUN_ROWS", 1_500)
    monkeypatch.setattr(codes, "_AT_LEAST", 400)
    monkeypatch.setattr("indexer.coders.LISTS_PER_PROBE", 2)
    monkeypatch.setattr(table_index, "UNINDEXED_ROWS", 500)
    monkeypatch.setattr(table_index, "_FEW_ROWS", 500)
    monkeypatch.setattr(table_index, "_AT_LEAST", 400)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def recall(found: FrameHits, exact: FrameHits) -> float:
    def rows(hits: FrameHits, number: int) -> set[tuple[int, int]]:
        return set(zip(hits.video_ids[number].tolist(), hits.frames[number].tolist(), strict=True))

    return float(
        np.mean([len(rows(found, i) & rows(exact, i)) / len(rows(exact, i)) for i in range(len(QUERIES))])
    )


class TestContract:
    @pytest.mark.parametrize("k", [1, 10, 100])
    def test_finds_what_the_judge_finds(self, tmp_path, kind, k):
        found = kind.follow(tmp_path, VIDEOS).search(QUERIES, k)
        assert recall(found, NumpyIndex(VIDEOS, D).search(QUERIES, k)) >= 0.9

    def test_scores_are_exact_and_in_order(self, tmp_path, kind):
        found = kind.follow(tmp_path, VIDEOS).search(QUERIES, 50)
        stored = {v.video_id: v.vectors.astype(np.float32) for v in VIDEOS}
        for number, query in enumerate(QUERIES):
            scores = [
                float(stored[v][f] @ query)
                for v, f in zip(found.video_ids[number].tolist(), found.frames[number].tolist(), strict=True)
            ]
            assert found.scores[number].tolist() == pytest.approx(scores, abs=1e-5)
            assert scores == sorted(scores, reverse=True)

    @pytest.mark.parametrize("only", [range(10), range(5, 80), range(0, 100, 2)], ids=["10", "75", "50"])
    def test_filters_give_the_right_count_of_the_right_videos(self, tmp_path, kind, only):
        index = kind.follow(tmp_path, VIDEOS)
        found, exact = index.search(QUERIES, 100, set(only)), NumpyIndex(VIDEOS, D).search(QUERIES, 100, set(only))
        assert found.scores.shape == exact.scores.shape == (20, 100)
        assert set(np.unique(found.video_ids).tolist()) <= set(only)
        assert recall(found, exact) >= (1.0 if len(only) * FRAMES <= 500 else 0.9)

    def test_a_filter_that_nothing_passes(self, tmp_path, kind):
        assert kind.follow(tmp_path, VIDEOS).search(QUERIES, 3, {999}).scores.shape == (20, 0)

    @pytest.mark.parametrize("k", [3_999, 4_000, 9_000])
    def test_as_many_as_there_are(self, tmp_path, kind, k):
        found = kind.follow(tmp_path, VIDEOS).search(QUERIES[:2], k)
        assert np.array_equal(found.video_ids, NumpyIndex(VIDEOS, D).search(QUERIES[:2], k).video_ids)

    def test_gives_back_each_video(self, tmp_path, kind):
        index = kind.follow(tmp_path, VIDEOS)
        assert (index.rows, index.video_ids) == (4_000, frozenset(range(100)))
        assert np.array_equal(index.vectors(7), VIDEOS[7].vectors.astype(np.float32))
        assert np.array_equal(index.next_similarity(7), VIDEOS[7].next_similarity)
        assert index.background(QUERIES[0]) == pytest.approx(
            NumpyIndex(VIDEOS, D).background(QUERIES[0]), abs=1e-5
        )

    def test_opened_again_it_answers_the_same(self, tmp_path, kind):
        made = kind.follow(tmp_path, VIDEOS)
        opened = kind.opened(tmp_path, VIDEOS)
        assert np.array_equal(opened.search(QUERIES, 30).frames, made.search(QUERIES, 30).frames)

    def test_new_videos_are_found_before_they_have_codes_and_old_codes_stay(self, tmp_path, kind):
        kind.follow(tmp_path, VIDEOS)
        before = kind.files(tmp_path)
        more = [*VIDEOS, *(video(i) for i in range(100, 110))]
        index = kind.follow(tmp_path, more)
        assert kind.files(tmp_path) == before
        probe = more[105].vectors[:1].astype(np.float32)
        assert index.search(probe, 1).video_ids[0, 0] == 105
        many = [*more, *(video(i) for i in range(110, 160))]
        kind.follow(tmp_path, many)
        after = kind.files(tmp_path)
        assert before.items() <= after.items()
        assert len(after) > len(before)

    def test_removed_videos_are_gone_and_codes_are_not_written_again_for_a_few(self, tmp_path, kind):
        kind.follow(tmp_path, VIDEOS)
        before = kind.files(tmp_path)
        left = [v for v in VIDEOS if v.video_id not in (3, 60)]
        index = kind.follow(tmp_path, left)
        assert kind.files(tmp_path) == before
        assert not {3, 60} & set(np.unique(index.search(QUERIES, 500).video_ids).tolist())
        assert index.rows == 98 * FRAMES

    def test_a_video_that_comes_back_with_other_vectors_is_found_by_these(self, tmp_path, kind):
        kind.follow(tmp_path, VIDEOS)
        kind.follow(tmp_path, [v for v in VIDEOS if v.video_id != 3])
        other = [*(v for v in VIDEOS if v.video_id != 3), video(3, seed=9)]
        index = kind.follow(tmp_path, other)
        probe = other[-1].vectors[20:21].astype(np.float32)
        assert index.search(probe, 1).video_ids[0, 0] == 3

    def test_codes_fit_a_table_that_went_on_without_them(self, tmp_path, kind):
        kind.follow(tmp_path, VIDEOS)
        now = [*VIDEOS[10:], video(200)]
        index = kind.opened(tmp_path, now)
        found = index.search(QUERIES, 100)
        assert recall(found, NumpyIndex(now, D).search(QUERIES, 100)) >= 0.9
        assert set(np.unique(found.video_ids).tolist()) <= {v.video_id for v in now}


@pytest.mark.parametrize("kind", list(CODERS))
def test_answers_that_all_lie_in_one_of_many_runs_are_found(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(codes, "RUN_ROWS", 5 * FRAMES)  # 18 runs and a tail of 400 frames; a run gives 67 of 400
    index = codes.follow(tmp_path, flat(VIDEOS), kind)
    assert len(index.runs) == 18
    middles = unit(np.stack([v.vectors.astype(np.float32).mean(axis=0) for v in VIDEOS[:20]]))
    found, exact = index.search(middles, FRAMES), NumpyIndex(VIDEOS, D).search(middles, FRAMES)
    assert (exact.video_ids == np.arange(20)[:, None]).mean() > 0.9  # nearly all of an answer is one video
    assert recall(found, exact) >= 0.95


@pytest.mark.parametrize("kind", CODERS)
def test_a_run_of_which_much_is_gone_is_made_anew(tmp_path, kind):
    codes.follow(tmp_path, flat(VIDEOS), kind)
    before = {file.name for file in runs(tmp_path)}
    index = codes.follow(tmp_path, flat(VIDEOS[20:]), kind)
    assert {file.name for file in runs(tmp_path)} != before
    exact = NumpyIndex(VIDEOS[20:], D).search(QUERIES, 20)
    assert recall(index.search(QUERIES, 20), exact) >= 0.9


def runs(library: Path) -> list[Path]:
    """The files of the codes, without the coder's."""
    folder = library / codes.FOLDER
    coder = json.loads((folder / "codes.json").read_text())["coder"]
    return [file for file in folder.glob("*.faiss") if file.stem != coder]


@pytest.mark.parametrize("damage", ["cut", "gone", "list", "rows"])
def test_damaged_codes_are_named_searched_without_and_made_anew(tmp_path, damage):
    index = flat(VIDEOS)
    codes.follow(tmp_path, index, "ivf-pq")
    file = runs(tmp_path)[0]
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "gone":
        file.unlink()
    elif damage == "list":
        (tmp_path / codes.FOLDER / "codes.json").write_text('{"kind": "ivf-pq"}')
    else:
        np.save(next((tmp_path / codes.FOLDER).glob("*.npy")), np.ones((2, 3), np.int64))
    with pytest.raises(LibraryDamagedError, match="vclip reindex"):
        codes.load(tmp_path, index)
    assert index_choice.opened(tmp_path, index, "ivf-pq") is index
    index_choice.follow(tmp_path, index, "ivf-pq")
    assert isinstance(index_choice.opened(tmp_path, index, "ivf-pq"), codes.CodedIndex)


def test_no_files_are_left_over(tmp_path):
    for kind in (*CODERS, "ivf-pq"):
        codes.follow(tmp_path, flat(VIDEOS), kind)
    values = json.loads((tmp_path / codes.FOLDER / "codes.json").read_text())
    listed = {values["coder"], *(name for pair in values["runs"] for name in pair)}
    assert {file.name.split(".")[0] for file in (tmp_path / codes.FOLDER).iterdir()} == listed | {"codes"}
    codes.drop(tmp_path)
    assert list((tmp_path / codes.FOLDER).iterdir()) == []
    assert codes.load(tmp_path, flat(VIDEOS)) is None


@pytest.mark.parametrize("count", [0, 1, 10])
def test_few_frames_have_no_codes(tmp_path, count):
    index = flat(VIDEOS[:count])
    assert index_choice.follow(tmp_path, index, "ivf-pq") is index
    assert not (tmp_path / codes.FOLDER).exists()


def test_the_type_is_chosen_by_size_unless_it_is_set(monkeypatch):
    assert index_choice.choose("auto", index_choice.EXACT_ROWS) == "exact"
    assert index_choice.choose("auto", index_choice.EXACT_ROWS + 1) == "ivf-pq"
    assert index_choice.choose("hnsw", 501) == "hnsw"
    assert index_choice.choose("hnsw", 500) == "exact"
    assert index_choice.choose("exact", 10**9) == "exact"


def test_the_setting_lies_with_the_library(tmp_path):
    place = Folder(tmp_path)
    assert index_choice.read_setting(place) == "auto"
    index_choice.write_setting(place, "hnsw")
    assert index_choice.read_setting(place) == "hnsw"
    (tmp_path / "settings.json").write_text('{"index_type": "tree"}')
    with pytest.raises(LibraryDamagedError, match="reindex --index-type auto"):
        index_choice.read_setting(place)


def test_every_kind_of_codes_can_be_set():
    assert set(KINDS) <= set(INDEX_TYPES)
    with pytest.raises(InputError, match="there is no index type 'tree'"):
        IndexSettings(index_type="tree")


def test_what_answers_is_told(tmp_path):
    index = flat(VIDEOS)
    assert "ivf-pq is not made yet: vclip reindex" in index_choice.explained(index, "ivf-pq")
    made = index_choice.follow(tmp_path, index, "ivf-pq")
    assert index_choice.explained(made, "ivf-pq") == (
        "FAISS IVF-PQ fast-scan codes, re-scored exactly from float16, CPU "
        "(ivf-pq is set; the newest 0 frames exactly)"
    )


@pytest.mark.parametrize(("rows", "lists"), [(1, 1), (4_000, 64), (10**6, 2048), (10**7, 8192)])
def test_number_of_lists(rows, lists):
    assert list_count(rows) == lists  # 3 sqrt(10^6) = 3000 -> 2048


def test_killed_while_codes_are_written_the_old_ones_answer(tmp_path):
    codes.follow(tmp_path, flat(VIDEOS), "ivf-pq")
    script = (
        "import sys\nfrom pathlib import Path\nfrom indexer import codes\n"
        "from tests.test_codes import VIDEOS, flat\n"
        "codes.TAIL_ROWS, codes.RUN_ROWS = 50, 100\n"
        "tell = lambda done, total: print(done, flush=True)\n"
        "codes.follow(Path(sys.argv[1]), flat(VIDEOS), 'ivf-pq', True, tell)\n"
    )
    for stop_after in (1, 20):
        child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(stop_after):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        index = codes.load(tmp_path, flat(VIDEOS))
        assert index is not None
        assert recall(index.search(QUERIES, 10), NumpyIndex(VIDEOS, D).search(QUERIES, 10)) >= 0.9
    codes.follow(tmp_path, flat(VIDEOS), "ivf-pq")
    test_names = {file.name.split(".")[0] for file in (tmp_path / codes.FOLDER).iterdir()}
    assert len(test_names) <= 2 + 2 * 3
