"""Search under load: a real server and many clients; queries one by one beside queries joined.

A search about videos that the server met before is one thing, one about videos that it never met is another.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from bench import growth
from bench.grid import Grid
from bench.speed import DIMENSION, export_text, save_random_model
from bench.synthetic import queries
from indexer import index_choice, manifest, text_tower
from indexer.batcher import BatchedIndex
from indexer.encoder import weights_fingerprint
from indexer.frame_index import FlatIndex, FrameIndex
from indexer.manifest import Manifest
from indexer.query_cache import QUERIES
from indexer.segments import load
from indexer.snapshot import FOLDER
from indexer.storage import Folder
from indexer.vectors import Float32
from searcher.candidates import candidates
from searcher.settings import SearchSettings

Request = TypeVar("Request")

_START_SECONDS = 120.0
_K = 512
_PATH = "/api/v1/search"
_ALONE, _JOINED = "each by itself", "joined"
#: Nothing is hidden, so that all of a page's 50 videos are localised: the most that a search has to do.
_VIDEOS = 50
_SETTINGS = {"min_score": -1000, "videos": _VIDEOS}
#: Texts that are asked again and again: what is kept of their videos fits.
_TEXTS_MET = 8
_TEXTS_TRIED, _MOST_SERVERS = 200, 8
#: An index is made in memory.
_FILLED_AT_ONCE = 1_000_000
_WORDS = (
    "man woman girl boy dog cat red blue yellow runs jumps walks plays cooks car train bridge house street "
    "kitchen tree sea snow night ball blanket"
)


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


def measure(rows: int, clients: int, requests: int, work: Path | None = None) -> Iterator[Load]:
    """A library of synthetic clips (ViT-B-32, random weights): its server, then its index alone.

    Args:
        rows: frames. clients: threads that ask, each its next request when the last is answered.
        requests: of each measurement, all clients together.
        work: where the library lies or will lie; None: made for this and deleted.
    """
    with contextlib.ExitStack() as held:
        folder = work or Path(held.enter_context(tempfile.TemporaryDirectory()))
        library = _library(folder, rows)
        flat, _ = load(library, DIMENSION)
        for is_joined in (False, True):
            yield from _met(library, (1, clients), requests, is_joined)
        first, *texts = _texts_apart(library, index_choice.opened(library, flat, index_choice.AUTO))
        if texts:  # else a text meets all that there are
            yield _unmet(library, first, texts, requests)
        yield from _indexed(flat, clients, requests)


def _met(library: Path, clients: Sequence[int], requests: int, is_joined: bool) -> Iterator[Load]:
    """Texts that the server does not know, about videos that it has met."""
    name, texts = _JOINED if is_joined else _ALONE, list(islice(_texts(seed=0), _TEXTS_MET))
    with _server(library, is_joined) as address:
        ask = partial(_search, address)
        for text in texts:
            ask(text)
        for number, count in enumerate(clients):
            places = range(number * requests, (number + 1) * requests)
            asked = [_in_other_letters(texts[place % len(texts)], place + 1) for place in places]
            yield _load(f"{_PATH}, {name}", count, asked, ask)


def _unmet(library: Path, first: str, texts: Sequence[str], requests: int) -> Load:
    """One client, and videos that the server never met: a new server once all are met."""
    loads, asked = list[Load](), 0
    while asked < requests and len(loads) < _MOST_SERVERS:
        with _server(library, is_joined=True) as address:
            ask = partial(_search, address)
            ask(first)  # opens index and model
            loads.append(_load("", 1, texts[: requests - asked], ask))
        asked += len(loads[-1].milliseconds)
    times = tuple(one for some in loads for one in some.milliseconds)
    return Load(f"{_PATH}, videos never met", 1, times, sum(one.seconds for one in loads))


# ---- what is asked of what


def _library(folder: Path, rows: int) -> Path:
    """Clips of 150 s and a model without training."""
    library, storage = folder / "library", Folder(folder / "library")
    if manifest.exists(library) and manifest.load(library).model != growth.MODEL:
        return library
    growth.open_store(library)
    index_choice.write_setting(storage, index_choice.EXACT)
    for size in (*range(_FILLED_AT_ONCE, rows, _FILLED_AT_ONCE), rows):
        growth.fill(library, size)
    index_choice.write_setting(storage, index_choice.AUTO)
    store = growth.open_store(library)  # opened before, it would not see what was filled in
    index_choice.bring_along(storage, library, store)
    model = save_random_model(folder / "model", _put_texts_apart)
    manifest.save(Manifest(model, weights_fingerprint(model), DIMENSION, growth.PERIOD_SECONDS), library)
    export_text(library)
    return library


def _put_texts_apart(network: Any) -> None:
    """Take out what a model without training makes all texts share: they would all be about the same videos."""
    import open_clip
    import torch

    states = list[Any]()
    hook = network.ln_final.register_forward_hook(lambda module, given, made: states.append(made))
    tokens = open_clip.tokenize(list(islice(_texts(seed=1), 64)))
    with torch.no_grad():
        network.encode_text(tokens)
        hook.remove()
        network.ln_final.bias -= states[0][torch.arange(len(tokens)), tokens.argmax(dim=-1)].mean(dim=0)


def _texts(seed: int) -> Iterator[str]:
    """Of twelve tokens, with their two marks."""
    draw, words = random.Random(seed), _WORDS.split()
    while True:
        yield " ".join(draw.sample(words, 10))


def _in_other_letters(text: str, number: int) -> str:
    """The same to the model, which knows no capitals, and new to what remembers texts: up to 1,023 of each."""
    words = enumerate(text.split())
    return " ".join(word.upper() if number >> place & 1 else word for place, word in words)


def _texts_apart(library: Path, index: FrameIndex) -> list[str]:
    """Texts, each about videos of which those before it met less than a fifth."""
    tower = text_tower.load(library, manifest.load(library).model_key)
    if tower is None:
        raise AssertionError("the text half is not there")
    texts, met, settings = list[str](), set[int](), SearchSettings(videos=_VIDEOS)
    for text in islice(_texts(seed=2), _TEXTS_TRIED):
        found = candidates(index, tower.encode_texts([text])[0], settings)
        if len(met.intersection(found)) < len(found) / 5:
            texts.append(text)
            met.update(found)
    return texts


@contextlib.contextmanager
def _server(library: Path, is_joined: bool) -> Iterator[tuple[str, int]]:
    """`vclip serve` as a process of its own, ended afterwards; no text is known from a server before it."""
    shutil.rmtree(library / FOLDER / QUERIES, ignore_errors=True)
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
