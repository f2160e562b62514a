"""LanceDB's own index as a library's: no vectors on this machine's disk, in a folder or a bucket, after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from indexer import index_choice, manifest, moment_blocks, segments, table_index
from indexer.errors import LibraryDamagedError
from indexer.frame_index import Moments, NumpyIndex
from indexer.manifest import Manifest
from indexer.moment_blocks import MomentBlocks
from indexer.repair import repair
from indexer.settings import IndexSettings
from indexer.storage import Folder, at
from indexer.store import Store, VideoFrames
from indexer.table_search import TableSearch
from indexer.verify import verify
from searcher.settings import SearchSettings
from tests.fakes import make_films, open_library
from tests.test_codes import QUERIES, VIDEOS, D, recall, row_of, video

LANCE = IndexSettings(index_type="lance")
SHARP = SearchSettings(method="vc1", postprocess="norm", threshold=0.8, fold=False)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return make_films(tmp_path_factory.mktemp("films"), ["red", "lime", "blue"])


#: The stores differ in what indexer.storage hides; what is tried here is much the same on each.
PLACES = ["folder", "s3", *(pytest.param(scheme, marks=pytest.mark.slow) for scheme in ("gs", "az"))]


@pytest.fixture(params=PLACES)
def place(request, tmp_path, address_on):
    return tmp_path / "lib" if request.param == "folder" else address_on(request.param)


@pytest.fixture
def small(monkeypatch):
    """4,000 frames stand for millions: LanceDB's index holds them, and three blocks of sums."""
    monkeypatch.setattr(table_index, "UNINDEXED_ROWS", 500)
    monkeypatch.setattr(table_index, "_FEW_ROWS", 500)
    monkeypatch.setattr(table_index, "_AT_LEAST", 400)
    monkeypatch.setattr(moment_blocks, "BLOCK_ROWS", 1_500)
    monkeypatch.setattr("indexer.coders.LISTS_PER_PROBE", 1)  # LanceDB draws its lists anew each time


def filled(where: Path | str, videos: list[VideoFrames]) -> Store:
    store = Store.create(where, D, 2.0)
    store.commit([(row_of(frames), frames) for frames in videos])
    return store


def found(moments) -> list[tuple[str, float, float]]:
    return [(m.path.name, m.start_seconds, m.end_seconds) for m in moments]


def no_vectors_on_disk(path: Path) -> bool:
    return not list(path.rglob("*.faiss")) and not (path / segments.FOLDER / "index.json").exists()


def damage_of(library: Path) -> list[str]:
    """What is damaged; these tests' videos have no fingerprints, which is damage too."""
    found = verify(library, library)
    return [problem.what for problem in found if problem.is_damage and "fingerprint" not in problem.what]


def test_a_library_is_searched_without_an_index_on_this_machine(place, films):
    open_library(place).index([films], settings=LANCE)
    library = open_library(place)
    assert found(library.search("blue", settings=SHARP))[0] == ("2.mp4", 0.0, 6.0)  # blue for 4 + 2 seconds
    assert no_vectors_on_disk(library.path)
    assert "lance is set" in library.info().index
    assert (library.info().index_rows, library.info().index_is_current) == (library.info().frames, True)
    assert library.verify() == []


def test_it_answers_as_the_exact_index_does(place, films):
    library = open_library(place)
    library.index([films], settings=LANCE)
    queries = ["blue", "magenta", "red"]
    in_table = [library.search(text) for text in queries]
    assert "exact is set" in library.reindex("exact")
    exact = [open_library(place).search(text) for text in queries]
    assert [found(moments) for moments in in_table] == [found(moments) for moments in exact]
    scores = [[m.score for m in moments] for moments in (*in_table, *exact)]
    assert np.allclose(scores[0], scores[3], atol=1e-3)


def test_whoever_has_the_library_open_sees_another_type_at_the_next_search(tmp_path, films):
    reader, other = open_library(tmp_path / "lib"), open_library(tmp_path / "lib")
    reader.index([films], settings=IndexSettings(index_type="exact"))
    answer = found(reader.search("blue"))
    for setting, kind in (("lance", "LanceDB"), ("exact", "exact"), ("lance", "LanceDB")):
        other.reindex(setting)
        assert found(reader.search("blue")) == answer
        assert kind in reader.corpus().index.kind


def test_the_setting_can_be_changed_there_and_back(place, films):
    library = open_library(place)
    library.index([films], settings=IndexSettings(index_type="exact"))
    library.search("red")
    library.reindex("lance")
    assert no_vectors_on_disk(library.path)
    library.reindex("auto")
    assert "FAISS exact" in library.info().index
    assert not library.storage.exists(f"{moment_blocks.FOLDER}/list.json")
    assert found(library.search("blue", settings=SHARP))[0] == ("2.mp4", 0.0, 6.0)


def test_added_and_removed_videos_are_followed(place, films):
    library = open_library(place)
    library.index([films / "0.mp4", films / "1.mp4"], settings=LANCE)
    library.index([films / "2.mp4"])
    assert found(library.search("blue", settings=SHARP))[0][0] == "2.mp4"
    library.remove([films / "2.mp4"])
    assert {name for name, _, _ in found(library.search("blue"))} <= {"0.mp4", "1.mp4"}
    assert library.verify() == []


def test_a_reader_sees_what_another_process_committed_before_the_index_follows(place, films):
    library = open_library(place)
    library.index([films / "0.mp4", films / "1.mp4"], settings=LANCE)
    assert library.search("red")
    writer = open_library(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_choice, "bring_along", lambda *args, **kwargs: None)  # killed before that
        writer.index([films / "2.mp4"])
    assert found(library.search("blue", settings=SHARP))[0][0] == "2.mp4"
    exact = NumpyIndex(library._current.store().frames(library.videos()), 7)
    query = library.encoder.encode_texts(["blue"])[0]
    assert library.corpus().index.background(query) == pytest.approx(exact.background(query), abs=1e-5)


def test_a_search_reads_the_ranked_videos_at_once(place, films, monkeypatch):
    library = open_library(place)
    library.index([films], settings=LANCE)
    library.search("red")  # warm
    library._current.forget()
    reads = []
    whole = Store.frames
    monkeypatch.setattr(
        Store, "frames", lambda self, videos, *rest: reads.append(len(videos)) or whole(self, videos, *rest)
    )
    library.search("blue")
    library.search("lime")
    assert [number for number in reads if number] == [3]  # the second search has them


class TestSums:
    def expected(self, videos: list[VideoFrames]) -> Moments:
        return Moments.of(np.concatenate([v.vectors for v in videos]))

    def same(self, moments: Moments, videos: list[VideoFrames]) -> bool:
        want = self.expected(videos)
        return (
            moments.rows == want.rows
            and np.allclose(moments.total, want.total, atol=1e-3)
            and np.allclose(moments.products, want.products, atol=1e-3)
        )

    def test_new_videos_cost_the_last_block_and_removed_ones_theirs(self, tmp_path, small, monkeypatch):
        store, blocks = filled(tmp_path, VIDEOS), MomentBlocks(Folder(tmp_path), D)
        blocks.follow(store, store.videos())
        # 100 videos of 40 frames: 38 fill 1,500 rows (1,520), 38 more, and 24
        assert [block.rows for block in blocks.load()[0].blocks] == [1_520, 1_520, 960]
        reads = []
        whole = Store.frames
        monkeypatch.setattr(
            Store, "frames", lambda self, videos, *rest: reads.append(len(videos)) or whole(self, videos, *rest)
        )
        more = video(200)
        store.commit([(row_of(more), more)])
        blocks.follow(store, store.videos())
        assert reads == [1]
        assert [block.rows for block in blocks.load()[0].blocks] == [1_520, 1_520, 1_000]
        gone = next(iter(blocks.load()[0].blocks[0].videos))
        store.remove([v for v in store.videos() if v.video_id == gone])
        moments = blocks.follow(store, store.videos())
        assert reads == [1, 37]  # the others of its block
        left = [v for v in [*VIDEOS, more] if v.video_id != gone]
        assert self.same(moments, left)
        assert self.same(blocks.load()[1], left)

    def test_files_that_nobody_needs_are_deleted(self, tmp_path, small):
        store, blocks = filled(tmp_path, VIDEOS), MomentBlocks(Folder(tmp_path), D)
        for _ in range(3):
            blocks.follow(store, store.videos(), anew=True)
        listed = blocks.load()[0]
        names = {f"{n}.f64" for n in (listed.total, *(block.number for block in listed.blocks))}
        assert {file.name for file in (tmp_path / moment_blocks.FOLDER).iterdir()} == names | {"list.json"}
        blocks.drop()
        assert list((tmp_path / moment_blocks.FOLDER).iterdir()) == []
        assert blocks.load() is None

    @pytest.mark.parametrize("name", ["list.json", "total", "block"])
    @pytest.mark.parametrize("damage", ["cut", "gone"])
    def test_damaged_sums_are_named_and_made_anew(self, tmp_path, small, name, damage):
        store, blocks = filled(tmp_path, VIDEOS), MomentBlocks(Folder(tmp_path), D)
        blocks.follow(store, store.videos())
        listed = blocks.load()[0]
        number = listed.total if name == "total" else listed.blocks[0].number
        file = tmp_path / moment_blocks.FOLDER / (name if name == "list.json" else f"{number}.f64")
        file.write_bytes(file.read_bytes()[:50]) if damage == "cut" else file.unlink()
        if (name, damage) == ("list.json", "gone"):
            assert blocks.load() is None
        elif name != "block":
            with pytest.raises(LibraryDamagedError, match="vclip reindex"):
                blocks.load()
        store.remove([v for v in store.videos() if v.video_id in listed.blocks[0].videos][:1])
        left = [v for v in VIDEOS if v.video_id in {row.video_id for row in store.videos()}]
        assert self.same(blocks.follow(store, store.videos()), left)
        assert self.same(table_index.opened(Folder(tmp_path), store, store.videos()).moments, left)


def test_vectors_of_no_video_are_never_found(tmp_path, small):
    store = filled(tmp_path, VIDEOS[:50])
    visible = [row for row in store.videos() if row.video_id % 2]
    index = table_index.follow(Folder(tmp_path), store, visible)  # as if a run had died before it named the others
    left = [v for v in VIDEOS[:50] if v.video_id % 2]
    hits, exact = index.search(QUERIES, 50), NumpyIndex(left, D).search(QUERIES, 50)
    assert index.search(QUERIES, 900).scores.shape == (20, 900)
    assert set(np.unique(hits.video_ids).tolist()) <= {v.video_id for v in left}
    assert recall(hits, exact) >= 0.9


def test_an_index_goes_on_answering_from_the_state_it_was_opened_at(tmp_path, small):
    store = filled(tmp_path, VIDEOS)
    index = table_index.follow(Folder(tmp_path), store, store.videos())
    store.remove(store.videos()[:50])
    assert recall(index.search(QUERIES, 50), NumpyIndex(VIDEOS, D).search(QUERIES, 50)) >= 0.9
    assert index.vectors(3).shape == (40, D)


def test_new_rows_are_put_into_the_index_without_training_again(tmp_path, small, monkeypatch):
    store = filled(tmp_path, VIDEOS)
    table_index.follow(Folder(tmp_path), store, store.videos())
    monkeypatch.setattr(TableSearch, "make", lambda *args: pytest.fail("trained again"))
    few, many = [video(i) for i in range(100, 110)], [video(i) for i in range(110, 160)]
    store.commit([(row_of(v), v) for v in few])
    index = table_index.follow(Folder(tmp_path), store, store.videos())
    assert (index.rows, index.coded_rows) == (4_400, 4_000)  # 400 new frames wait
    store.commit([(row_of(v), v) for v in many])
    index = table_index.follow(Folder(tmp_path), store, store.videos())
    assert (index.rows, index.coded_rows) == (6_400, 6_400)
    everything = [*VIDEOS, *few, *many]
    # 0.86 to 0.89 with lists drawn at random before these rows came; without them it would be about 0.6.
    assert recall(index.search(QUERIES, 50), NumpyIndex(everything, D).search(QUERIES, 50)) >= 0.75


def test_it_is_told_what_answers(tmp_path, small):
    store = filled(tmp_path, VIDEOS)
    index = table_index.follow(Folder(tmp_path), store, store.videos())
    assert index_choice.explained(index, "lance") == (
        "LanceDB IVF-PQ in the table, re-scored exactly, CPU (lance is set; the newest 0 frames exactly)"
    )
    assert not index.has_outgrown
    (tmp_path / moment_blocks.FOLDER / "trained.json").write_text('{"rows": 499}')
    outgrown = table_index.opened(Folder(tmp_path), store, store.videos())  # 4,000 > 8 * 499
    assert "trained when the library was far smaller: vclip reindex" in index_choice.explained(outgrown, "lance")


def test_killed_at_any_step_the_next_run_mends_it(tmp_path, small):
    script = (
        "import os, sys, signal\nfrom pathlib import Path\n"
        "from indexer import moment_blocks, table_index\n"
        "from indexer.storage import Folder\nfrom indexer.store import Store\n"
        "table_index.UNINDEXED_ROWS, moment_blocks.BLOCK_ROWS = 500, 1_500\n"
        "left = int(sys.argv[2])\n"
        "write = Folder.write\n"
        "def counted(self, name, data):\n"
        "    global left\n"
        "    left -= 1\n"
        "    if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    write(self, name, data)\n"
        "Folder.write = counted\n"
        "store = Store(Path(sys.argv[1]), 32, 2.0)\n"
        "table_index.follow(Folder(Path(sys.argv[1])), store, store.videos())\n"
    )
    store = filled(tmp_path, VIDEOS)
    exact = NumpyIndex(VIDEOS, D).search(QUERIES, 20)
    for writes in (0, 1, 3, 4):  # before trained.json, the first block, the sum and the list
        child = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(writes)], check=False)
        assert child.returncode == -signal.SIGKILL
        store.refresh()
        index = table_index.opened(Folder(tmp_path), store, store.videos())
        assert recall(index.search(QUERIES, 20), exact) >= 0.9
        assert index.background(QUERIES[0]) == pytest.approx(
            NumpyIndex(VIDEOS, D).background(QUERIES[0]), abs=1e-5
        )
    index = table_index.follow(Folder(tmp_path), store, store.videos())
    assert index.coded_rows == 4_000
    listed = MomentBlocks(Folder(tmp_path), D).load()[0]
    assert listed.videos == {v.video_id: 40 for v in VIDEOS}


def test_the_bucket_holds_index_and_sums(s3, small):
    store = filled(s3, VIDEOS)
    storage = at(s3)
    table_index.follow(storage, store, store.videos())
    index = table_index.opened(storage, Store(s3, D, 2.0), store.videos())
    assert index.coded_rows == 4_000
    assert recall(index.search(QUERIES, 20), NumpyIndex(VIDEOS, D).search(QUERIES, 20)) >= 0.9
    only = set(range(5, 80))
    assert recall(index.search(QUERIES, 20, only), NumpyIndex(VIDEOS, D).search(QUERIES, 20, only)) >= 0.9


@pytest.mark.parametrize("index", ["vector_idx", "video_id_idx"])
@pytest.mark.parametrize("damage", ["gone", "zeroed"])
def test_damaged_indexes_of_lancedb_cost_no_video(tmp_path, small, index, damage):
    store = filled(tmp_path, VIDEOS)
    manifest.save(Manifest("colours", "", D, 2.0), tmp_path)
    index_choice.write_setting(Folder(tmp_path), "lance")
    table_index.follow(Folder(tmp_path), store, store.videos())
    exact = NumpyIndex(VIDEOS, D).search(QUERIES, 20)
    folders = {folder.name: folder for folder in (tmp_path / "tables" / "frames.lance" / "_indices").iterdir()}
    trees = [name for name, folder in folders.items() if any("page" in file.name for file in folder.iterdir())]
    hit = [f for name, f in folders.items() if (name in trees) == (index == "video_id_idx")]
    for file in (file for folder in hit for file in folder.iterdir()):
        file.unlink() if damage == "gone" else file.write_bytes(bytes(file.stat().st_size))
    assert damage_of(tmp_path)
    done = repair(tmp_path)
    assert done.lost == []
    fresh = Store(tmp_path, D, 2.0)
    assert len(fresh.videos()) == 100
    mended = table_index.opened(Folder(tmp_path), fresh, fresh.videos())
    assert mended.coded_rows == 4_000
    assert recall(mended.search(QUERIES, 20), exact) >= 0.9
    assert damage_of(tmp_path) == []


def test_dropping_it_leaves_nothing_behind(tmp_path, small):
    store = filled(tmp_path, VIDEOS)
    table_index.follow(Folder(tmp_path), store, store.videos())
    (tmp_path / moment_blocks.FOLDER / "trained.json").unlink()
    table_index.drop(Folder(tmp_path), store)
    assert store.frames_search.indexed_rows == 0
    assert list((tmp_path / moment_blocks.FOLDER).iterdir()) == []


def test_sums_are_of_the_state_that_was_opened(tmp_path, small):
    store = filled(tmp_path, VIDEOS)
    table_index.follow(Folder(tmp_path), store, store.videos()[:90])
    index = table_index.opened(Folder(tmp_path), store, store.videos())
    store.remove(store.videos()[:50])  # by an index run of the same process
    assert index.background(QUERIES[0]) == pytest.approx(NumpyIndex(VIDEOS, D).background(QUERIES[0]), abs=1e-5)


def test_purge_and_repair_make_it_anew(tmp_path, films):
    library = open_library(tmp_path / "lib")
    library.index([films], settings=LANCE)
    library.remove([films / "0.mp4"], purge=True)
    assert library.verify() == []
    assert found(library.search("blue", settings=SHARP))[0][0] == "2.mp4"
    sums = next((library.path / moment_blocks.FOLDER).glob("*.f64"))
    sums.write_bytes(b"x")
    for file in (library.path / moment_blocks.FOLDER).glob("*.f64"):
        file.write_bytes(b"x")
    assert any("table-index is damaged" in problem.what for problem in library.verify())
    library.repair()
    assert open_library(tmp_path / "lib").verify() == []
    assert no_vectors_on_disk(library.path)


def test_a_table_that_cannot_be_searched_is_named_with_the_reason(tmp_path):
    store = filled(tmp_path, VIDEOS[:5])
    index = table_index.follow(Folder(tmp_path), store, store.videos())
    (data,) = (tmp_path / "tables" / "frames.lance" / "data").iterdir()
    data.unlink()
    says = rf"cannot search its table of frames: .*{data.name}.*vclip repair"
    with pytest.raises(LibraryDamagedError, match=says):
        index.search(QUERIES, 5)
