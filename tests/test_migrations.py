"""Libraries of older schemas: read as they are, brought up by the next writer; newer ones are refused."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import pytest

from indexer import manifest, migrations
from indexer.errors import LibraryMismatchError
from indexer.manifest import SCHEMA_VERSION
from indexer.probe import probe
from searcher.settings import SearchSettings
from tests import old_library
from tests.fakes import make_film, open_library, rows_of

SHARP = SearchSettings(method="vc1", postprocess="norm", threshold=0.8, fold=False)
OLD = sorted(int(file.stem.split("-")[1]) for file in old_library.FOLDER.glob("schema-*.zip"))


def first(library) -> tuple[str, float, float]:
    moment = library.search("lime", settings=SHARP)[0]
    return moment.path.name, moment.start_seconds, moment.end_seconds


def bytes_of(library: Path) -> dict[str, bytes]:
    """All that a library holds, but for what makes the next search start sooner."""
    files = [f for f in library.rglob("*") if f.is_file() and library / "start" not in f.parents]
    return {
        str(f.relative_to(library)): f.read_bytes() for f in files if f.name not in ("writer.json", "writer.lock")
    }


def test_every_schema_before_this_one_is_kept():
    assert list(range(1, SCHEMA_VERSION)) == OLD


@pytest.mark.parametrize("version", OLD)
def test_reading_changes_nothing(version, tmp_path):
    path = old_library.unpack(version, tmp_path)
    before = bytes_of(path)
    library = open_library(path)
    assert [[p.name for p in v.paths] for v in library.videos()] == [
        ["again.mp4", "twice.mp4"],
        ["cut.mkv"],
        ["plain.mp4"],
    ]
    assert [v.complete for v in library.videos()] == [True, False, True]
    assert all(v.recorded_unix is None for v in library.videos())
    assert first(library) == ("plain.mp4", 4.0, 8.0)
    assert [p.what for p in library.verify() if p.is_damage] == []
    assert bytes_of(path) == before


@pytest.mark.parametrize("version", OLD)
def test_the_next_writer_brings_it_up_and_goes_on(version, tmp_path):
    library = open_library(old_library.unpack(version, tmp_path))
    vectors = rows_of(library)
    new = make_film(tmp_path / "films" / "new.mp4", [("magenta", 4), ("cyan", 4)])
    shutil.copy(tmp_path / "plain.mp4", new.parent)
    report = library.index([new.parent])
    assert [n.path.name for n in report.added] == ["new.mp4"]
    assert [n.path.name for n in report.relinked] == ["plain.mp4"]  # known by its content
    assert manifest.load(library.path).schema_version == SCHEMA_VERSION
    dates = {v.path.name: v.recorded_unix for v in library.videos()}
    # what is away keeps its unknown date, what was indexed now has that of the file
    assert dates["cut.mkv"] is None
    assert dates["new.mp4"] == new.stat().st_mtime
    assert [row[2:] for row in rows_of(library) if row[1] in {v[1] for v in vectors}] == [v[2:] for v in vectors]
    assert [p.what for p in open_library(library.path).verify() if p.is_damage] == []
    assert open_library(library.path).search("cyan", settings=SHARP)[0].path == new


def test_dates_of_files_that_are_there_are_read(tmp_path):
    library = open_library(old_library.unpack(1, tmp_path))
    library.index([tmp_path / "plain.mp4"])  # now known under this path
    migrations.STEPS[1](library._current.store())
    dates = {v.path.name: v.recorded_unix for v in library.videos()}
    assert dates == {"plain.mp4": (tmp_path / "plain.mp4").stat().st_mtime, "again.mp4": None, "cut.mkv": None}


def test_a_migration_cut_short_is_repeated(tmp_path, monkeypatch):
    path = old_library.unpack(1, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(manifest, "save", lambda *args: pytest.fail("power cut"))
        with pytest.raises(pytest.fail.Exception):
            migrations.migrate(path, open_library(path)._current.store())
    assert manifest.load(path).schema_version == 1
    library = open_library(path)
    assert first(library) == ("plain.mp4", 4.0, 8.0)
    library.remove(["/films/twice.mp4"])
    assert manifest.load(path).schema_version == SCHEMA_VERSION
    assert [v.path.name for v in library.videos()] == ["cut.mkv", "plain.mp4"]


def test_a_newer_library_is_refused(tmp_path):
    path = old_library.unpack(1, tmp_path)
    values = json.loads((path / "library.json").read_text())
    (path / "library.json").write_text(json.dumps({**values, "schema_version": SCHEMA_VERSION + 1}))
    for use in (lambda lib: lib.search("red"), lambda lib: lib.index([tmp_path]), lambda lib: lib.verify()):
        with pytest.raises(LibraryMismatchError, match=rf"schema version {SCHEMA_VERSION + 1}, .* Upgrade: pip"):
            use(open_library(path))


# ---- when a video was recorded


def tagged(path: Path, text: str) -> Path:
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = text
        stream = container.add_stream("libx264", rate=Fraction(5))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_the_date_of_the_recording_is_the_tag_in_the_file(tmp_path, name):
    # 2024-05-01 12:00 UTC: 19,844 days (54 years of 365, 13 leap days, 121 days) and a half
    film = tagged(tmp_path / name, "2024-05-01T12:00:00.000000Z")
    assert probe(film).recorded_unix == (54 * 365 + 13 + 121) * 86_400 + 43_200


@pytest.mark.parametrize("text", ["", "1904-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", "yesterday"])
def test_a_date_that_no_camera_can_mean_gives_way_to_the_file_s(tmp_path, text):
    film = tagged(tmp_path / "a.mkv", text)
    assert probe(film).recorded_unix == film.stat().st_mtime
