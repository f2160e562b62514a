"""What a run through Ray costs beside a plain one: the same files, this machine, in turn."""

from __future__ import annotations

import contextlib
import importlib.util
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.grid import Grid, timed
from bench.speed import DIMENSION, SPEED_MODEL
from indexer import manifest
from indexer.build import IndexReport, carry_out, index_files
from indexer.catalogue import Catalogue
from indexer.cluster import LOCAL, connected, index_on
from indexer.discover import find_videos
from indexer.encoder import Encoder, OpenClipEncoder
from indexer.manifest import Manifest
from indexer.plan import make_plan
from indexer.settings import IndexSettings
from indexer.storage import Folder
from indexer.store import Store
from indexer.worker import Charge


@dataclass(frozen=True)
class Overhead:
    """Seconds of one round; both ways begin by loading the model.

    Attributes:
        plain: the pipeline in this process. ray: worker processes through Ray, from a connection that stands.
        frames: that each of them stored.
    """

    plain: float
    ray: float
    frames: int


def is_installed() -> bool:
    """Whether the extra ``ray`` is there."""
    return all(importlib.util.find_spec(name) for name in ("ray", "lance"))


def overhead(videos: Path, rounds: int, period_seconds: float = 2.0) -> tuple[list[Overhead], float]:
    """Time both ways in turn, ``rounds`` times; also the seconds that starting Ray here took, once."""
    files = find_videos([videos])
    connection = connected(LOCAL)
    ray, start_seconds = timed(connection.__enter__)
    with contextlib.ExitStack() as held:
        held.push(connection)
        return [_one_round(ray, files, period_seconds) for _ in range(rounds)], start_seconds


def _one_round(ray: Any, files: Sequence[Path], period_seconds: float) -> Overhead:
    plain, plain_seconds = timed(lambda: _index(None, files, period_seconds))
    spread, ray_seconds = timed(lambda: _index(ray, files, period_seconds))
    if plain.frames != spread.frames:
        raise AssertionError(f"through Ray {spread.frames} frames were stored, without it {plain.frames}")
    return Overhead(plain_seconds, ray_seconds, plain.frames)


def _index(ray: Any | None, files: Sequence[Path], period_seconds: float) -> IndexReport:
    with tempfile.TemporaryDirectory() as folder:
        storage, settings, plan = Folder(Path(folder)), IndexSettings(), make_plan(files, Catalogue.of([]), [])
        store = Store.create(storage, DIMENSION, period_seconds)
        if ray is None:
            return index_files(plan, store, lambda: [_load(SPEED_MODEL, "cpu")], settings)
        made = Manifest(SPEED_MODEL, "", DIMENSION, period_seconds)
        manifest.save(made, storage)
        charge = Charge(storage, manifest.load(storage), _load, "cpu", settings)
        return carry_out(plan, store, lambda jobs, sink: index_on(ray, charge, store, jobs, sink, lambda _: None))


def _load(model: str, device: str) -> Encoder:
    return OpenClipEncoder(model, device)


def overhead_table(rounds: Sequence[Overhead], start_seconds: float) -> Grid:
    """Seconds of both ways (median, range) and the median of the rounds' ratios."""

    def line(name: str, seconds: Sequence[float]) -> tuple[str, ...]:
        return name, f"{statistics.median(seconds):.1f}", f"{min(seconds):.1f} - {max(seconds):.1f}"

    ratios = [r.ray / r.plain for r in rounds]
    return Grid(
        f"Indexing {rounds[0].frames} frames on this machine, {len(rounds)} rounds in turn; "
        "ViT-B-32, random weights",
        ("way", "seconds", "range"),
        (
            line("plain", [r.plain for r in rounds]),
            line("through Ray", [r.ray for r in rounds]),
            ("Ray / plain", f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} - {max(ratios):.2f}"),
            ("starting Ray, once", f"{start_seconds:.1f}", ""),
        ),
    )
