"""The videos in columns: what is found in them is what a look at every row finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.catalogue import Catalogue, VideoRow

NAMES = ("a", "ab", "a b", "b\udcff", "c.mp4")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(lambda parts: Path("/", *parts))


@st.composite
def videos(draw) -> list[VideoRow]:
    """Some with no path: they are gone; no path twice."""
    paths = draw(st.lists(PATHS, unique=True, max_size=12))
    owners = [draw(st.integers(0, 5)) for _ in paths]
    return [
        VideoRow(i * 7, f"print-{i}", tuple(p for p, o in zip(paths, owners, strict=True) if o == i), i + 1, 2.0)
        for i in range(6)
    ]


def is_below(path: Path, root: Path) -> bool:
    return path == root or root in path.parents


@settings(max_examples=60)
@given(videos(), st.sets(st.integers(0, 7)), st.sets(PATHS, max_size=3), st.sets(PATHS, max_size=2), st.booleans())
def test_it_finds_what_a_look_at_every_row_finds(rows, numbers, paths, roots, everywhere):
    contents = {f"print-{number}" for number in numbers}
    roots = roots | {Path("/")} if everywhere else roots - paths
    expected = {
        row.video_id
        for row in rows
        if row.paths
        and (
            row.fingerprint in contents
            or any(path in paths or any(is_below(path, root) for root in roots) for path in row.paths)
        )
    }
    found = Catalogue.of(rows).find(contents, paths, roots)
    assert {row.video_id for row in found} == expected
    assert all(row in rows for row in found)


@settings(max_examples=40)
@given(videos(), videos(), st.sets(st.integers(0, 5)))
def test_changes_are_what_a_table_with_them_would_be(before, after, gone):
    """Some rows take the paths of others, new ones come, some go."""
    after = [replace(row, video_id=row.video_id + 14) for row in after]
    gone_ids = [7 * number for number in gone]
    known = Catalogue.of(before).changed(1, after, gone_ids)
    table = {row.video_id: row for row in (*before, *after) if row.video_id not in gone_ids}
    fresh = Catalogue.of(list(table.values()))
    assert known.rows() == fresh.rows()
    assert np.array_equal(known.ids, fresh.ids)
    assert np.array_equal(known.frames, fresh.frames)
    assert [row.frames for row in known.of_ids(known.ids[:2])] == [
        row.frames for row in fresh.of_ids(fresh.ids[:2])
    ]
    assert (known.version, known.read_version, len(known)) == (1, 0, len(fresh))
