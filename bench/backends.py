"""What runs the picture half how fast: each backend in a process of its own, timed in turn on the same batches.

Beside them: the model's matrix products alone, as plain torch products of the same shapes (what attention adds,
norms and activations are left out), which no backend of that precision can be much faster than.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.grid import Grid, timed
from bench.speed import SPEED_MODEL
from indexer.encoder import OpenClipEncoder
from indexer.errors import InputError
from indexer.settings import BACKENDS
from indexer.vectors import UInt8, unit

BATCHES = (1, 8, 32)
#: The batch of `vclip index` on a CPU.
USUAL = 8
PLAIN = "torch"
SPINNING = "torch, its threads spin"
PRODUCTS = {"float32": "limit: products alone, float32", "bfloat16": "limit: products alone, bfloat16"}
_ROWS = (PLAIN, SPINNING, *(name for name in BACKENDS if name not in ("auto", PLAIN)), *PRODUCTS.values())
_CHECKED = 32
_SPAWN = multiprocessing.get_context("spawn")

Features = Callable[[UInt8], np.ndarray[Any, np.dtype[Any]]]


@dataclass
class BackendSpeed:
    """One backend's figures.

    Attributes:
        name: as ``--backend`` takes it, or a line for comparison.
        first_seconds, again_seconds: from loaded weights to the first batch's vectors, with an empty cache and
            with the one that the first time left.
        alone, beside: seconds of each round by batch size; alone, and beside one busy process a core.
        cosines: of each checked picture's vector with torch's in float32. megabytes: of the process, ready.
        why: what kept it from being measured.
    """

    name: str
    first_seconds: float = 0.0
    again_seconds: float = 0.0
    alone: dict[int, list[float]] = field(default_factory=dict)
    beside: dict[int, list[float]] = field(default_factory=dict)
    cosines: Sequence[float] = ()
    megabytes: float = 0.0
    why: str = ""

    def rate(self, batch: int, busy: bool = False) -> float:
        """Pictures a second: the median of the rounds."""
        return batch / statistics.median((self.beside if busy else self.alone)[batch])


def backend_speed(model: str = SPEED_MODEL, rounds: int = 5) -> list[BackendSpeed]:
    """Every backend of this machine, in turn; those that cannot run say why."""
    with _own_caches(), contextlib.ExitStack() as running:
        begun = {name: _begin(name, model, running) for name in _ROWS}
        speeds = [speed for speed, _ in begun.values()]
        ways = [(speed, way) for speed, way in begun.values() if way is not None]
        pictures = _pictures(_size_of(model), max(BATCHES))
        for batch in BATCHES:
            _time(ways, pictures[:batch], rounds, lambda speed: speed.alone)
        with _busy_cores():
            _time(ways, pictures[:USUAL], rounds, lambda speed: speed.beside)
    return speeds


def _begin(name: str, model: str, running: contextlib.ExitStack) -> tuple[BackendSpeed, _Way | None]:
    speed = BackendSpeed(name)
    try:
        with _Way(name, model) as first:
            speed.first_seconds = first.seconds
        way = running.enter_context(_Way(name, model))
    except _NotHereError as error:
        speed.why = str(error)
        return speed, None
    speed.again_seconds, speed.cosines, speed.megabytes = way.seconds, way.cosines, way.megabytes
    return speed, way


def _time(
    ways: Sequence[tuple[BackendSpeed, _Way]],
    pictures: UInt8,
    rounds: int,
    where: Callable[[BackendSpeed], dict[int, list[float]]],
) -> None:
    """``rounds`` times in turn, after one that does not count."""
    for number in range(rounds + 1):
        for speed, way in ways:
            seconds = way.time(pictures)
            if number:
                where(speed).setdefault(len(pictures), []).append(seconds)


# ---- processes


class _NotHereError(Exception):
    """A backend that this machine has not."""


class _Way:
    """A process that has one backend ready and times the batches it is given."""

    def __init__(self, name: str, model: str) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        self._process: SpawnProcess = _SPAWN.Process(target=_answer, args=(theirs, name, model), daemon=True)
        self._process.start()
        theirs.close()
        told = self._connection.recv()
        if isinstance(told, str):
            self._process.join()
            raise _NotHereError(told)
        self.seconds, self.cosines, self.megabytes = told

    def time(self, pictures: UInt8) -> float:
        """Seconds of one batch, measured there."""
        self._connection.send(pictures)
        seconds: float = self._connection.recv()
        return seconds

    def __enter__(self) -> _Way:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.send(None)
        self._process.join()


def _answer(connection: Connection, name: str, model: str) -> None:
    """A process's life: make ready, say so, time what comes, until None does."""
    try:
        work, ready = _ready(name, model)
    except (InputError, RuntimeError) as error:
        connection.send(str(error))
        return
    connection.send(ready)
    while (pictures := connection.recv()) is not None:
        connection.send(timed(lambda: work(pictures))[1])


def _ready(name: str, model: str) -> tuple[Features, tuple[float, list[float], float]]:
    """What runs a batch, with: seconds to make it ready, cosines to torch, megabytes."""
    if name == SPINNING:
        import torch  # noqa: F401 - before the encoder could tell its threads to sleep
    if name in PRODUCTS.values():
        work = _products(OpenClipEncoder(model, "cpu", backend=PLAIN).network.visual, name == PRODUCTS["bfloat16"])
        return work, (0.0, [], _megabytes())
    encoder = OpenClipEncoder(model, "cpu", backend=PLAIN if name == SPINNING else name)
    expected = _expected(model, encoder)
    problems = _Problems()
    logging.getLogger("indexer").addHandler(problems)
    _, seconds = timed(lambda: encoder.encode_pictures(expected[0][:USUAL]))
    if problems.texts:
        raise RuntimeError("; ".join(problems.texts))
    vectors = np.concatenate([encoder.encode_pictures(part) for part in np.split(expected[0], _CHECKED // USUAL)])
    cosines = np.sum(unit(vectors) * expected[1], axis=1)
    return encoder.encode_pictures, (seconds, cosines.tolist(), _megabytes())


def _expected(model: str, encoder: OpenClipEncoder) -> tuple[UInt8, np.ndarray[Any, np.dtype[np.float32]]]:
    """Pictures, and torch's vectors of them in float32: made by the first process, kept for the others."""
    pictures = _pictures((encoder.picture.height, encoder.picture.width), _CHECKED)
    file = Path(os.environ["XDG_CACHE_HOME"]) / "expected.npy"
    if not file.exists():
        assert encoder.backend == PLAIN  # noqa: S101 - the first row
        np.save(file, encoder.encode_pictures(pictures))
    return pictures, np.load(file)


class _Problems(logging.Handler):
    """Keeps what the indexer warns of: a backend that torch had to take the place of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.texts.append(record.getMessage())


def _products(visual: Any, rounded: bool) -> Features:
    """A vision transformer's products with its weights: for each layer in_proj, out_proj, c_fc, c_proj."""
    import torch

    width, layers = visual.transformer.width, visual.transformer.layers
    tokens = visual.positional_embedding.shape[0]
    hidden = visual.transformer.resblocks[0].mlp.c_fc.out_features
    kind = torch.bfloat16 if rounded else torch.float32
    weights = [
        torch.randn(a, b, dtype=kind)
        for a, b in ((width, 3 * width), (width, width), (width, hidden), (hidden, width))
    ]

    def work(pictures: UInt8) -> np.ndarray[Any, np.dtype[Any]]:
        rows = tokens * len(pictures)
        inputs = {size: torch.randn(rows, size, dtype=kind) for size in (width, hidden)}
        for _ in range(layers):
            for weight in weights:
                torch.mm(inputs[weight.shape[0]], weight)
        return np.empty(0)

    return work


def _megabytes() -> float:
    """What this process holds in memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def _own_caches() -> Iterator[None]:
    """Exports and compiled programs of this run only."""
    names = ("XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(dict.fromkeys(names, folder))
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _busy_cores() -> Iterator[None]:
    """One process a core that does nothing but count: what decode processes leave to the encoder."""
    busy = [_SPAWN.Process(target=_count, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.terminate()
            process.join()


def _count() -> None:
    while True:
        sum(range(1_000_000))


def _size_of(model: str) -> tuple[int, int]:
    picture = OpenClipEncoder(model, "cpu", backend=PLAIN).picture
    return picture.height, picture.width


def _pictures(size: tuple[int, int], count: int) -> UInt8:
    """(count, H, W, 3): random colours from large patches to single pixels."""
    rng = np.random.default_rng(0)
    height, width = size
    coarse = (rng.integers(0, 256, (2 + 7 * (i % 32), 2 + 7 * (i % 32), 3), np.uint8) for i in range(count))
    bicubic = Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(part).resize((width, height), bicubic)) for part in coarse])


# ---- the table


def backend_table(speeds: Sequence[BackendSpeed], model: str = SPEED_MODEL) -> Grid:
    """One line a backend; what was not measured says why."""
    by_name = {speed.name: speed for speed in speeds}
    rounds = len(by_name[PLAIN].alone[USUAL])
    return Grid(
        f"{model} on {os.cpu_count()} cores ({_processor()}), {rounds} rounds in turn, medians; {_versions()}",
        (
            "backend",
            *(f"pictures/s at {batch}" for batch in BATCHES),
            f"× torch at {USUAL}",
            f"of its limit at {USUAL}",
            f"beside busy cores at {USUAL}",
            "× torch",
            "ready in, first / again",
            "least cosine",
            "mean",
            "MB",
        ),
        tuple(_line(speed, by_name) for speed in speeds),
    )


def _line(speed: BackendSpeed, by_name: dict[str, BackendSpeed]) -> tuple[str, ...]:
    if speed.why:
        return (f"{speed.name}: {speed.why}", *[""] * (len(BATCHES) + 8))
    plain, is_limit = by_name[PLAIN], speed.name in PRODUCTS.values()
    limit = by_name[PRODUCTS["bfloat16" if "bf16" in speed.name else "float32"]]
    cosines = speed.cosines
    return (
        speed.name,
        *(f"{speed.rate(batch):.1f}" for batch in BATCHES),
        f"{speed.rate(USUAL) / plain.rate(USUAL):.2f}",
        "" if is_limit else f"{speed.rate(USUAL) / limit.rate(USUAL):.2f}",
        f"{speed.rate(USUAL, busy=True):.1f}",
        f"{speed.rate(USUAL, busy=True) / plain.rate(USUAL, busy=True):.2f}",
        "" if is_limit else f"{speed.first_seconds:.1f} / {speed.again_seconds:.1f} s",
        f"{min(cosines):.6f}" if cosines else "",
        f"{statistics.fmean(cosines):.6f}" if cosines else "",
        f"{speed.megabytes:.0f}",
    )


def _processor() -> str:
    """The CPU's name and what of it matters here."""
    text = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    words = set(text.split())
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in words]
    return ", ".join([*(names[:1] or [platform.processor()]), *flags])


def _versions() -> str:
    found = []
    for package in ("torch", "open_clip_torch", "onnxruntime", "openvino"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return ", ".join(found)
