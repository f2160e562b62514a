"""Hours in minutes: many small runs of everything, and nothing grows, leaks or lies.

``VCLIP_SOAK_ROUNDS`` sets how many runs; with ``-s`` the figures are printed. Old versions of the tables are
kept for a second instead of an hour: that is the only thing that is hurried.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from indexer import store
from indexer.frame_index import NumpyIndex
from indexer.settings import IndexSettings
from searcher.settings import SearchSettings
from tests.fakes import COLOURS, make_film, open_library
from vclipper.library import Library

ONE_WORKER = IndexSettings(workers=1)
EVERYTHING = SearchSettings(method="vc1", postprocess="norm", min_score=-1000, fold=False, top=1000, videos=1000)
FILES_AT_MOST = 24


@dataclass
class World:
    """The films on disk, and what the library should hold of them."""

    folder: Path
    contents: list[Path]
    library: Library
    rng: random.Random
    expected: dict[Path, int] = field(default_factory=dict)
    numbers: itertools.count = field(default_factory=itertools.count)

    def index(self, **options: bool) -> None:
        report = self.library.index([self.folder], settings=IndexSettings(workers=1, **options))
        assert report.ok, report.failed

    # ---- what happens to a folder over the years

    def add(self) -> None:
        if len(self.expected) < FILES_AT_MOST:
            content = self.rng.randrange(len(self.contents))
            path = self.folder / f"{next(self.numbers)}.mp4"
            shutil.copy(self.contents[content], path)
            self.expected[path] = content
        self.index()

    def rename(self) -> None:
        if self.expected:
            old = self.rng.choice(list(self.expected))
            new = old.with_name(f"renamed-{next(self.numbers)}.mp4")
            old.rename(new)
            self.expected[new] = self.expected.pop(old)
        self.index()

    def replace(self) -> None:
        if self.expected:
            path = self.rng.choice(list(self.expected))
            content = self.rng.randrange(len(self.contents))
            shutil.copy(self.contents[content], path)
            self.expected[path] = content
        self.index()

    def delete_and_prune(self) -> None:
        if len(self.expected) > 1:
            path = self.rng.choice(list(self.expected))
            path.unlink()
            del self.expected[path]
            self.index(prune=True)

    def take_out(self) -> None:
        """Out of the library with all its copies; the files go too, or the next run would take them in again."""
        if len(self.expected) > 1:
            path = self.rng.choice(list(self.expected))
            self.library.remove([path])
            copies = [p for p, content in self.expected.items() if content == self.expected[path]]
            for copy in copies:
                copy.unlink()
                del self.expected[copy]

    def nothing_new(self) -> None:
        if self.expected:
            self.index()

    def search(self) -> None:
        if self.expected:
            self.library.search(text=self.rng.choice(COLOURS), settings=EVERYTHING)

    # ---- what must hold

    def check(self) -> None:
        held = {path for video in self.library.videos() for path in video.paths}
        assert held == set(self.expected)
        contents = set(self.expected.values())
        assert len(self.library.videos()) == len(contents)

    def check_all(self) -> None:
        assert self.library.verify() == []
        corpus, tables = self.library.corpus(), self.library._current.store()
        videos = tables.videos()
        judge = NumpyIndex(tables.frames(videos), tables.dimension)
        query = self.library.embed(self.rng.choice(COLOURS))[None]
        ours, right = corpus.index.search(query, 20), judge.search(query, 20)
        np.testing.assert_allclose(ours.scores, right.scores, atol=1e-3)


@dataclass(frozen=True)
class Size:
    """What must not grow."""

    disk_bytes: int
    files: int
    handles: int
    memory_bytes: int
    fragments: int

    @classmethod
    def of(cls, library: Library) -> Size:
        on_disk = [f.stat().st_size for f in library.path.rglob("*") if f.is_file()]
        return cls(
            disk_bytes=sum(on_disk),
            files=len(on_disk),
            handles=len(list(Path("/proc/self/fd").iterdir())),
            memory_bytes=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
            fragments=library.info().fragments,
        )


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    monkeypatch.setattr(store, "_OLD_VERSIONS_KEPT", timedelta(seconds=1))
    folder, source = tmp_path / "films", tmp_path / "contents"
    folder.mkdir()
    pairs = list(itertools.permutations(COLOURS, 2))[:12]
    contents = [make_film(source / f"{i}.mp4", [(a, 4), (b, 2 + i % 5)]) for i, (a, b) in enumerate(pairs)]
    return World(folder, contents, open_library(tmp_path / "lib"), random.Random(5))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files through /proc")
def test_nothing_grows(world):
    rounds = int(os.environ.get("VCLIP_SOAK_ROUNDS", "200"))
    world.add()
    acts = (world.add, world.add, world.rename, world.replace, world.delete_and_prune, world.take_out)
    calm = (world.nothing_new, world.search, world.search)
    sizes: list[Size] = []
    for number in range(1, rounds + 1):
        world.rng.choice(acts + calm)()
        world.check()
        if number % max(1, rounds // 10) == 0:
            world.check_all()
            sizes.append(Size.of(world.library))
    print(f"\n{rounds} runs of index, search and remove")
    print("   runs  disk kB  files  handles  memory MB  table files")
    for tenth, s in enumerate(sizes, 1):
        counts = f"{s.disk_bytes // 1000:7d}  {s.files:5d}  {s.handles:7d}  {s.memory_bytes // 1_000_000:9d}"
        print(f"{tenth * (rounds // 10):7d}  {counts}  {s.fragments:11d}")
    # In the first tenths the tables have not been cleaned up once.
    early, late = sizes[3:6], sizes[-3:]
    for what, slack in (("disk_bytes", 2.0), ("files", 2.0), ("handles", 1.2), ("memory_bytes", 1.3)):
        before, after = (max(getattr(s, what) for s in some) for some in (early, late))
        assert after <= slack * before, f"{what} grew from {before} to {after}"
    assert max(s.fragments for s in sizes) <= store.MAX_FRAGMENTS + 1
