"""vclip repair: each part of a library mended from the others; what no part holds is named."""

from __future__ import annotations

import json
import shutil

import pytest

from indexer import manifest
from indexer.errors import LibraryDamagedError, LibraryError
from searcher.settings import SearchSettings
from tests import old_library
from tests.fakes import make_film, open_library, rows_of
from tests.test_cli import colours, vclip  # noqa: F401 - fixtures

SHARP = SearchSettings(method="vc1", postprocess="norm", threshold=0.8, fold=False)


@pytest.fixture
def films(tmp_path):
    make_film(tmp_path / "films" / "a.mp4", [("red", 4), ("blue", 4)])
    make_film(tmp_path / "films" / "b.mp4", [("lime", 4), ("white", 4)])
    return tmp_path / "films"


@pytest.fixture
def library(films, tmp_path):
    library = open_library(tmp_path / "lib")
    library.index([films / "a.mp4"])
    library.index([films])
    return library


def spoil(folder, pattern: str) -> None:
    """Random-looking bytes in every file that matches."""
    files = [f for f in folder.rglob(pattern) if f.is_file()]
    assert files
    for file in files:
        file.write_bytes(bytes((i * 97 + 13) % 251 for i in range(max(64, file.stat().st_size))))


def mended(library, expected) -> list[str]:
    """Repair and compare; what was done."""
    assert [p for p in open_library(library.path).verify() if p.is_damage] != []
    done = open_library(library.path).repair()
    assert done.lost == []
    again = open_library(library.path)
    assert again.verify() == []
    assert rows_of(again) == expected
    assert again.search("lime", settings=SHARP)[0].path.name == "b.mp4"
    return done.mended


def test_a_sound_library_is_left_alone(library):
    before = {
        f: f.stat().st_mtime_ns for f in library.path.rglob("*") if f.name not in ("writer.json", "writer.lock")
    }
    assert library.repair().mended == []
    after = {
        f: f.stat().st_mtime_ns for f in library.path.rglob("*") if f.name not in ("writer.json", "writer.lock")
    }
    assert {f for f in before if before[f] != after.get(f)} <= {library.path}


@pytest.mark.parametrize("pattern", ["frames.lance/data/*.lance", "frames.lance/_versions/*.manifest"])
def test_frames_come_from_the_index(library, pattern):
    expected = rows_of(library)
    spoil(library.path / "tables", pattern)
    assert "the tables were written anew with 2 videos" in mended(library, expected)


@pytest.mark.parametrize("pattern", ["videos.lance/data/*.lance", "videos.lance/_versions/*.manifest"])
def test_videos_come_from_the_snapshot(library, pattern):
    expected = rows_of(library)
    spoil(library.path / "tables", pattern)
    assert "the list of videos was taken from start/videos.json" in mended(library, expected)


def test_both_tables_gone(library):
    expected = rows_of(library)
    for name in ("videos.lance", "frames.lance"):
        shutil.rmtree(library.path / "tables" / name)
    mended(library, expected)


@pytest.mark.parametrize("name", ["library.json", "tables/library.copy"])
def test_a_manifest_comes_from_the_other(library, name):
    expected = rows_of(library)
    (library.path / name).write_bytes(b"\x00" * 90)
    assert any("written anew" in line for line in mended(library, expected))
    assert manifest.load(library.path) == manifest.load(library.path, manifest.COPY_NAME)


def test_one_turned_bit_in_the_manifest_is_undone(library):
    expected = rows_of(library)
    made = manifest.load(library.path)
    text = (library.path / "library.json").read_text()
    (library.path / "library.json").write_text(text.replace('"period_seconds": 2.0', '"period_seconds": 3.0'))
    mended(library, expected)
    assert manifest.load(library.path) == made


def test_a_run_does_not_begin_anew_over_tables_that_are_there(library, films):
    expected = rows_of(library)
    (library.path / "library.json").unlink()
    with pytest.raises(LibraryDamagedError, match=r"library\.json is missing, its tables are there"):
        open_library(library.path).index([films])
    mended(library, expected)


def test_both_manifests_gone_the_tables_and_the_user_tell(library):
    expected = rows_of(library)
    made = manifest.load(library.path)
    for name in (manifest.FILE_NAME, manifest.COPY_NAME):
        (library.path / name).unlink()
    with pytest.raises(LibraryError, match=r"tells which model made it\. Name it: vclip repair --model"):
        open_library(library.path).repair()
    open_library(library.path).repair("ViT-B-32/laion2b_s34b_b79k")
    assert manifest.load(library.path) == made  # dimension and period are those of the frames
    assert rows_of(open_library(library.path)) == expected


def test_a_damaged_journal_and_leftovers(library):
    expected = rows_of(library)
    store = library._current.store()
    store._frames.add(store._frames.search().limit(2).to_arrow().set_column(0, "video_id", [[5, 5]]))
    (library.path / "doubtful.json").write_text("[")
    assert "2 frames that belong to no video were deleted" in mended(library, expected)


def test_one_turned_bit_in_a_vector_is_named_and_taken_from_the_index(library):
    expected = rows_of(library)
    vector = next(iter(library._current.store().frames(library.videos()))).vectors[1].tobytes()
    for file in (library.path / "tables" / "frames.lance" / "data").iterdir():
        data = bytearray(file.read_bytes())
        if (place := data.find(vector)) >= 0:
            data[place] ^= 1
            file.write_bytes(data)
            break
    with pytest.raises(LibraryDamagedError, match=r"frames of .*a\.mp4 are damaged in the table"):
        list(open_library(library.path)._current.store().frames(library.videos()))
    mended(library, expected)


def test_what_no_part_holds_is_named_and_indexed_again(library, films):
    expected = rows_of(library)
    spoil(library.path / "tables" / "frames.lance", "data/*.lance")
    spoil(library.path / "index", "*.faiss")
    done = open_library(library.path).repair()
    assert sorted(line.split(":")[0].split("/")[-1] for line in done.lost) == ["a.mp4", "b.mp4"]
    again = open_library(library.path)
    assert again.verify() == []
    assert len(again.index([films]).added) == 2
    assert rows_of(again) == expected


def test_names_that_no_part_holds_are_counted(library, films):
    expected = rows_of(library)
    spoil(library.path / "tables" / "videos.lance", "data/*.lance")
    (library.path / "start" / "videos.json").unlink()
    assert open_library(library.path).repair().lost == [
        "the names of 2 videos: index their folders again, vclip index FOLDER"
    ]
    again = open_library(library.path)
    again.index([films])
    assert rows_of(again) == expected


@pytest.mark.parametrize("name", ["*.faiss", "*.videos.npy", "*.next.npy", "*.moments.npy", "index.json"])
@pytest.mark.parametrize("how", ["one bit", "cut short", "gone"])
def test_a_damaged_index_is_not_believed(library, name, how):
    """FAISS is not given a file whose head or length is not what FAISS writes."""
    expected = rows_of(library)
    file = next((library.path / "index").glob(name))
    data = bytearray(file.read_bytes())
    data[9] ^= 1  # in FAISS's file: the number of vectors
    file.write_bytes(data if how == "one bit" else data[: len(data) // 2])
    if how == "gone":
        file.unlink()
    mended(library, expected)


def test_damaged_thumbnails_are_deleted(library):
    expected = rows_of(library)
    spoil(library.path / "thumbnails", "*.jpegs")
    assert "damaged thumbnails of 2 videos were deleted" in mended(library, expected)


def test_a_damaged_choice_of_index(library):
    expected = rows_of(library)
    (library.path / "settings.json").write_text('{"index_type": 7')
    assert "the damaged settings.json was set to the index type auto" in mended(library, expected)


def test_damaged_codes_are_not_given_to_faiss(library, monkeypatch):
    from indexer import codes, index_choice

    monkeypatch.setattr(codes, "TAIL_ROWS", 0)
    library.reindex("hnsw")
    assert open_library(library.path).verify() == []
    expected = rows_of(library)
    monkeypatch.setattr(index_choice.codes, "_read", lambda *args, **kwargs: pytest.fail("FAISS was asked"))
    for file in (library.path / "codes").glob("*.faiss"):
        data = bytearray(file.read_bytes())
        data[5] ^= 4
        file.write_bytes(data)
    assert any("codes were deleted" in line for line in mended(library, expected))


def test_a_library_of_schema_1(tmp_path):
    library = open_library(old_library.unpack(1, tmp_path))
    expected = rows_of(library)
    assert library.repair().mended == []
    spoil(library.path / "index", "*.next.npy")
    again = open_library(library.path)
    assert again.repair().lost == []
    assert rows_of(open_library(library.path)) == expected


def test_the_command(library, vclip, monkeypatch):  # noqa: F811
    monkeypatch.setenv("VCLIP_LIBRARY", str(library.path))
    values = json.loads((library.path / "library.json").read_text())
    (library.path / "library.json").write_text("{")
    code, _, err = vclip("search", "red")
    assert (code, err.endswith("See what: vclip verify; mend it: vclip repair\n")) == (1, True)
    code, out, _ = vclip("verify")
    assert (code, "→ vclip repair" in out) == (1, True)
    code, out, _ = vclip("repair")
    assert (code, out.splitlines()[0]) == (0, "library.json and its copy were written anew")
    assert json.loads((library.path / "library.json").read_text()) == values
