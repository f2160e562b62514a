"""Search under load: a real server and many clients; queries one by one beside queries joined."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import numpy as np

from bench.grid import Grid
from bench.speed import export_text, make_library, save_random_model
from bench.synthetic import queries
from indexer.batcher import BatchedIndex
from indexer.frame_index import FlatIndex, FrameIndex
from indexer.segments import load
from indexer.vectors import Float32

Request = TypeVar("Request")

_START_SECONDS = 120.0
_K = 512
_PATH = "/api/v1/search"
_ALONE, _JOINED = "each by itself", "joined"
_WARM_REQUESTS = 20
#: Nothing is hidden, so that all of a page's 50 videos are localised: the most that a search has to do.
_SETTINGS = {"min_score": -1000}


@dataclass(frozen=True)
class Load:
    """Requests of several clients at once.

    Attributes:
        what: what was asked. clients: how many at once. milliseconds: of each request. seconds: all together.
    """

    what: str
    clients: int
    milliseconds: tuple[float, ...]
    seconds: float


def measure(rows: int, clients: int, requests: int) -> Iterator[Load]:
    """A library of synthetic frames (ViT-B-32, random weights): its server, then its index alone.

    Each is asked by one client and by ``clients``, with and without joining queries that wait at the same time.

    Args:
        rows: frames. clients: threads that ask, each its next request when the last is answered.
        requests: of each measurement, all clients together; texts that were never asked before.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        library = make_library(folder / "library", rows, save_random_model(folder / "model"))
        export_text(library)
        for is_joined in (False, True):
            yield from _served(library, (1, clients), requests, is_joined)
        flat, _ = load(library, 512)
        yield from _indexed(flat, clients, requests)


def _served(library: Path, clients: Sequence[int], requests: int, is_joined: bool) -> Iterator[Load]:
    name = _JOINED if is_joined else _ALONE
    with _server(library, is_joined) as address:
        for number in range(_WARM_REQUESTS):
            _search(address, f"warm {name} {number}")
        for count in clients:
            texts = [f"{count} clients, {name}, number {n}" for n in range(requests)]
            yield _load(f"{_PATH}, {name}", count, texts, lambda text: _search(address, text))


@contextlib.contextmanager
def _server(library: Path, is_joined: bool) -> Iterator[tuple[str, int]]:
    """`vclip serve` as a process of its own, ended afterwards."""
    command = [sys.executable, "-u", "-m", "vclipper.cli", "serve", "--port", "0", "--library", str(library)]
    environment = os.environ if is_joined else {**os.environ, "VCLIP_MAX_BATCH": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = process.stdout.readline()
        parts = urlsplit(line.split()[-1])
        yield str(parts.hostname), int(parts.port or 0)
    finally:
        process.terminate()
        process.wait(30)


def _search(address: tuple[str, int], text: str) -> None:
    connection = http.client.HTTPConnection(*address, timeout=_START_SECONDS)
    headers = {"Content-Type": "application/json", "X-VClip": "1"}
    connection.request("POST", _PATH, json.dumps({"text": text, "settings": _SETTINGS}), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise AssertionError(f"the server answered {answer.status}: {body[:200]!r}")


def _indexed(flat: FlatIndex, clients: int, requests: int) -> Iterator[Load]:
    """The index alone, under the same load, each query by itself and joined."""
    asked = queries(requests, flat.rows)
    indexes: dict[str, FrameIndex] = {_ALONE: flat, _JOINED: BatchedIndex(flat)}
    for name, index in indexes.items():
        ask: Callable[[Float32], object] = partial(_ask, index)
        yield _load(f"exact index, best {_K}, {name}", clients, list(asked), ask)


def _ask(index: FrameIndex, query: Float32) -> object:
    return index.search(query[None], _K)


def _load(what: str, clients: int, requests: Sequence[Request], ask: Callable[[Request], object]) -> Load:
    def one(request: Request) -> float:
        started = time.perf_counter()
        ask(request)
        return 1e3 * (time.perf_counter() - started)

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = tuple(pool.map(one, requests))
    return Load(what, clients, times, time.perf_counter() - started)


def table(loads: Sequence[Load], rows: int) -> Grid:
    """One line a load."""
    header = ("what", "clients", "requests", "requests/s", "p50 ms", "p99 ms")
    lines = tuple(
        (
            one.what,
            f"{one.clients}",
            f"{len(one.milliseconds)}",
            f"{len(one.milliseconds) / one.seconds:.1f}",
            f"{np.quantile(one.milliseconds, 0.5):.0f}",
            f"{np.quantile(one.milliseconds, 0.99):.0f}",
        )
        for one in loads
    )
    return Grid(f"Search under load, {rows:,} frames, loopback", header, lines)
