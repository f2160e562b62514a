"""Faults, injected: ``python -m tests.faults NAME --rounds N``. docs/reliability.md has the figures.

Each round starts from films that are known, does harm, lets the next run or ``vclip repair`` mend it, and compares
all rows and the answers to all queries with those of an undisturbed library. Rounds run in processes forked from
one that has imported everything: what a round costs is the round.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import errno
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["LANCEDB_LOG"] = "error"
import faiss  # noqa: F401 - imported once, here
import lancedb  # noqa: F401
import pyarrow  # noqa: F401

import indexer.decoders
from indexer.errors import LibraryError, LibraryLockedError, ModelError, VClipperError
from indexer.settings import IndexSettings
from searcher.settings import SearchSettings
from tests.fakes import COLOURS, ColourEncoder, make_film, open_library, rows_of
from vclipper.library import Library

SHARP = SearchSettings(method="vc1", postprocess="norm", threshold=0.8, fold=False)
#: Several commits a run, so that a fault can fall between two.
SETTINGS = IndexSettings(workers=2, batch_size=4, flush_rows=6, decode_timeout_seconds=2)
ROUND_SECONDS = 120
SCORE_TOLERANCE = 1e-3


@dataclass
class Outcome:
    """What became of some rounds.

    Attributes:
        injected: faults. survived: rounds after which everything was as in an undisturbed library.
        rows_lost: rows of the undisturbed library that were not there in the end.
        notes: how often what was seen. failures: what went wrong, one text a round.
    """

    injected: int = 0
    survived: int = 0
    rows_lost: int = 0
    notes: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Truth:
    """The films, an undisturbed library of them, and what it holds and answers."""

    films: Path
    library: Path
    rows: list[tuple[Any, ...]]
    answers: list[Any]
    seconds: float


def answers(library: Library) -> list[Any]:
    """The moments of every query, by query, file and time, each with its score."""
    return sorted(
        (colour, m.path.name, m.start_seconds, m.end_seconds, m.score)
        for colour in COLOURS
        for m in library.search(colour, settings=SHARP)
    )


def are_same(found: list[Any], expected: list[Any]) -> bool:
    """Scores are sums over all frames, whose order depends on when each video came: floats differ a little."""
    return [one[:-1] for one in found] == [one[:-1] for one in expected] and all(
        abs(one[-1] - other[-1]) < SCORE_TOLERANCE for one, other in zip(found, expected, strict=True)
    )


def in_child(work: Callable[[], Any], seconds: float = ROUND_SECONDS) -> Any:
    """What ``work`` returns in a forked process; an error in it is raised here as RuntimeError."""
    ours, theirs = multiprocessing.Pipe()
    pid = _fork(lambda: theirs.send(_result_of(work)))
    theirs.close()
    try:
        if not ours.poll(seconds):
            raise RuntimeError("hung")
        kind, value = ours.recv()
    except EOFError:
        raise RuntimeError("died without a word") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if kind == "error":
        raise RuntimeError(value)
    return value


def _fork(work: Callable[[], None]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    return pid


def _result_of(work: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "value", work()
    except BaseException:
        return "error", traceback.format_exc()


def index(library: Path, films: Path) -> Any:
    """One index run; decode processes are forked too."""
    context = multiprocessing.get_context("fork")
    indexer.decoders.multiprocessing = types.SimpleNamespace(
        get_context=lambda kind: context, parent_process=multiprocessing.parent_process
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return open_library(library).index([films], settings=SETTINGS)


def index_whole(library: Path, films: Path, truth: Truth | None = None) -> None:
    """An index run; then, given the truth, the library must be as if nothing had happened."""
    index(library, films)
    if truth is not None:
        demand_same(library, truth)


def make_truth(folder: Path) -> Truth:
    """Eight films of two scenes each; one is there twice."""
    films = folder / "films"
    for i, colour in enumerate(COLOURS):
        make_film(films / f"{i}.mp4", [(colour, 4 + i), ("red", 6)])
    shutil.copy(films / "0.mp4", films / "again.mp4")
    started = time.monotonic()
    in_child(lambda: index_whole(folder / "undisturbed", films))
    seconds = time.monotonic() - started
    rows, found = in_child(lambda: _state(folder / "undisturbed"))
    return Truth(films, folder / "undisturbed", rows, found, seconds)


def _state(library: Path) -> tuple[list[Any], list[Any]]:
    opened = open_library(library)
    return rows_of(opened), answers(opened)


def demand_same(library: Path, truth: Truth) -> None:
    """Raise AssertionError unless verify passes and all rows and answers are those of the undisturbed library."""
    problems = [p.what for p in open_library(library).verify() if p.is_damage]
    assert problems == [], problems
    rows, found = _state(library)
    lost = [row[0] for row in truth.rows if row[2:] not in [other[2:] for other in rows]]
    assert lost == [], f"rows lost: {lost}"
    # A video done again has another id, and which of two copies is shown first may differ: contents count.
    assert [row[2:] for row in rows] == [row[2:] for row in truth.rows]
    assert are_same(found, truth.answers), f"answers changed: {set(found) ^ set(truth.answers)}"


# ---- kill -9, hangs


def kill(truth: Truth, folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """kill -9 of one process of the pipeline, or of all, or a decoder that is stopped dead, at a random moment."""
    outcome = Outcome()
    for number in range(rounds):
        library = folder / f"kill{number}"
        pid = _fork(lambda library=library: index(library, truth.films))
        time.sleep(rng.uniform(0.02, 1.0) * truth.seconds)
        outcome.notes[_harm(pid, rng)] += 1
        _wait(pid)
        _judge(outcome, lambda library=library: index_whole(library, truth.films, truth))
        shutil.rmtree(library, ignore_errors=True)
    return outcome


def _harm(pid: int, rng: random.Random) -> str:
    """Kill or stop something of the run ``pid``; says what."""
    workers = sorted(children_of(pid))
    what = rng.choice(["main", "all", "decoder", "hang"])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if what in ("decoder", "hang") and workers:
            os.kill(rng.choice(workers), signal.SIGKILL if what == "decoder" else signal.SIGSTOP)
            return f"{what}"
        os.kill(pid, signal.SIGKILL) if what == "main" else os.killpg(pid, signal.SIGKILL)
        return "main" if what == "main" else "all"
    return "had finished"


def _wait(pid: int) -> None:
    """Until the run has ended; what is left of its group is killed."""
    deadline = time.monotonic() + ROUND_SECONDS
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def children_of(pid: int) -> set[int]:
    """Process ids whose parent is ``pid``."""
    with contextlib.suppress(OSError):
        return {int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()} | {
            int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()
        }
    return set()


def _judge(outcome: Outcome, work: Callable[[], Any], what: str = "") -> None:
    """Count a round by whether ``work`` passes in a child."""
    outcome.injected += 1
    try:
        seen = in_child(work)
    except RuntimeError as error:
        outcome.failures.append(f"{what} {error}")
        if "rows lost" in str(error):
            outcome.rows_lost += 1
    else:
        outcome.survived += 1
        if seen:
            outcome.notes[str(seen)] += 1


# ---- damaged files


def damage(truth: Truth, folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """One file of the library with random bytes, cut short, one bit turned, or gone; then it is mended."""
    outcome = Outcome()
    in_child(lambda: _state(truth.library))  # the query cache is a file like others
    files = sorted(
        f.relative_to(truth.library) for f in truth.library.rglob("*") if f.is_file() and f.stat().st_size
    )
    order = [files[i % len(files)] for i in range(rounds)]
    for number, (file, how) in enumerate(zip(order, itertools.cycle(HARMS), strict=False)):
        library = folder / f"damage{number}"
        shutil.copytree(truth.library, library)
        HARMS[how](library / file, rng)
        _judge(outcome, lambda library=library: _mended(library, truth), f"{how}: {file}")
        shutil.rmtree(library)
    return outcome


def _randomise(file: Path, rng: random.Random) -> None:
    file.write_bytes(rng.randbytes(file.stat().st_size))


def _truncate(file: Path, rng: random.Random) -> None:
    os.truncate(file, rng.randrange(file.stat().st_size))


def _turn_a_bit(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


HARMS: dict[str, Callable[[Path, random.Random], None]] = {
    "random bytes": _randomise,
    "cut short": _truncate,
    "one bit": _turn_a_bit,
    "gone": lambda file, rng: file.unlink(),
}


def _mended(library: Path, truth: Truth) -> str:
    """Search, verify, repair, index; what was seen on the way. Wrong answers that nothing names are a failure."""
    try:
        is_right = are_same(answers(open_library(library)), truth.answers)
        seen = "answers stay right" if is_right else "answers change"
    except VClipperError:
        seen = "search says the damage"
    named = bool(_damage_of(library))
    assert named or seen == "answers stay right", f"{seen} and verify names nothing"
    done = open_library(library).repair("ViT-B-32/laion2b_s34b_b79k")
    assert not _damage_of(library)
    if done.lost:
        index(library, truth.films)
    demand_same(library, truth)
    fate = "lost, named, indexed again" if done.lost else "mended" if named else "nothing to mend"
    return f"{seen}; {fate}"


def _damage_of(library: Path) -> list[str]:
    try:
        return [p.what for p in open_library(library).verify() if p.is_damage]
    except VClipperError as error:
        return [error.message]


# ---- a full disk


def disk_full(truth: Truth, folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """A drive that fills up somewhere in the run: each round has a little more room; then there is enough."""
    outcome = Outcome()
    place = folder / "drive"
    place.mkdir()
    needed = sum(f.stat().st_size for f in truth.library.rglob("*") if f.is_file()) // 1024
    for number in range(rounds):
        room = 8 + (needed + 200) * number // rounds
        _mount(place, "-t", "tmpfs", "-o", f"size={room}k", "drive")
        try:
            outcome.notes[in_child(lambda: _index_somehow(place / "lib", truth.films))] += 1
            _mount(place, "-o", "remount,size=64m")
            _judge(outcome, lambda: index_whole(place / "lib", truth.films, truth))
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)
    return outcome


def _index_somehow(library: Path, films: Path) -> str:
    try:
        report = index(library, films)
    except LibraryError as error:
        return "said so" if "no space is left" in str(error) else f"other error: {error}"
    return "enough room" if report.ok else "files failed"


def _mount(place: Path, *options: str) -> None:
    subprocess.run(["mount", *options, str(place)], check=True)


def may_mount(folder: Path) -> bool:
    """Whether this user may mount."""
    place = folder / "probe"
    place.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "probe", str(place)], capture_output=True).returncode:
        return False
    subprocess.run(["umount", str(place)], check=True)
    return True


# ---- drives that err, clocks that jump, two writers, places that cannot be written


def read_errors(truth: Truth, folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """EIO while a film is fingerprinted or decoded; the file is named, the next run does it."""
    outcome = Outcome()
    for number in range(rounds):
        library = folder / f"eio{number}"
        where, film = rng.choice(["fingerprint", "decode"]), f"{rng.randrange(1, 8)}.mp4"

        def work(library: Path = library, where: str = where, film: str = film) -> str:
            with _failing(where, film):
                report = index(library, truth.films)
            assert [note.path.name for note in report.failed] == [film], report.failed
            assert len(report.failed[0].note.splitlines()) == 1
            index(library, truth.films)
            demand_same(library, truth)
            return where

        _judge(outcome, work)
        shutil.rmtree(library, ignore_errors=True)
    return outcome


@contextlib.contextmanager
def _failing(where: str, film: str) -> Iterator[None]:
    import indexer.plan

    module, name = (indexer.plan, "fingerprint") if where == "fingerprint" else (indexer.decoders, "decode")
    real = getattr(module, name)

    def failing(path: Path, *rest: Any, **options: Any) -> Any:
        if path.name != film:
            return real(path, *rest, **options)
        if where == "decode":
            return _one_and_error(real(path, *rest, **options))
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    setattr(module, name, failing)
    try:
        yield
    finally:
        setattr(module, name, real)


def _one_and_error(decoding: Any) -> Iterator[Any]:
    yield next(decoding)
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def clock_jumps(truth: Truth, folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """A wall clock that jumps by up to ten years at every look."""
    outcome = Outcome()
    real = time.time
    for number in range(rounds):
        library = folder / f"clock{number}"

        def work(library: Path = library, seed: int = number) -> None:
            jumps = random.Random(seed)
            time.time = lambda: real() + jumps.uniform(-3e8, 3e8)
            index(library, truth.films)
            index(library, truth.films)
            demand_same(library, truth)

        _judge(outcome, work)
        shutil.rmtree(library, ignore_errors=True)
    return outcome


def two_writers(truth: Truth, folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """Two index runs of one library at the same time, and a search beside them."""
    outcome = Outcome()
    for number in range(rounds):
        library = folder / f"two{number}"
        pids = [_fork(lambda library=library: index(library, truth.films)) for _ in range(2)]
        seen = in_child(lambda library=library, pids=pids: _watch_while(library, pids, truth))
        for pid in pids:
            _wait(pid)
        outcome.notes[f"{seen}"] += 1
        _judge(outcome, lambda library=library: index_whole(library, truth.films, truth))
        shutil.rmtree(library, ignore_errors=True)
    return outcome


def _watch_while(library: Path, pids: list[int], truth: Truth) -> str:
    """Search until the runs have ended: every video that is seen is whole."""
    whole = {row[1]: row[2] for row in truth.rows}
    while any(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z" for pid in pids):
        with contextlib.suppress(LibraryError):
            corpus = open_library(library).corpus()
            for video_id, video in corpus.videos.items():
                assert len(corpus.index.vectors(video_id)) == video.frames == whole[video_id]
            assert corpus.index.video_ids == set(corpus.videos)
    return "videos seen whole"


def read_only(truth: Truth, folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """A library that cannot be written, its index current or gone: it answers; writers are refused."""
    outcome = Outcome()
    for number in range(rounds):
        library = folder / f"ro{number}"
        shutil.copytree(truth.library, library)
        if number % 2:
            shutil.rmtree(library / "index")
        _mount(library, "--bind", str(library))
        _mount(library, "-o", "remount,ro,bind")
        try:

            def work(library: Path = library) -> str:
                assert are_same(answers(open_library(library)), truth.answers)
                try:
                    index(library, truth.films)
                except LibraryLockedError:
                    raise
                except LibraryError as error:
                    return "refused" if "cannot be written" in str(error) else str(error)
                return "was written"

            _judge(outcome, work)
        finally:
            subprocess.run(["umount", "-l", str(library)], check=True)
            shutil.rmtree(library)
    return outcome


def other_machine(truth: Truth, folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """Library and films copied to other paths: it answers; relinking makes it whole."""
    outcome = Outcome()
    for number in range(rounds):
        library, films = folder / f"moved{number}", folder / f"films{number}"
        shutil.copytree(truth.library, library)
        shutil.copytree(truth.films, films)

        def work(library: Path = library, films: Path = films) -> None:
            demand_same(library, truth)
            done = open_library(library).relink(truth.films, films)
            assert len(done.relinked) == len(truth.rows) + 1  # the copy
            assert open_library(library).verify(contents=True) == []
            demand_same(library, truth)

        _judge(outcome, work)
        shutil.rmtree(library)
        shutil.rmtree(films)
    return outcome


def encoder_memory(truth: Truth, folder: Path, rounds: int, rng: random.Random) -> Outcome:
    """An encoder that runs out of memory at random calls: batches halve; at one picture it says so."""
    outcome = Outcome()
    for number in range(rounds):
        library = folder / f"memory{number}"

        def work(library: Path = library, seed: int = number) -> str:
            chance, real = random.Random(seed), ColourEncoder.encode_pictures
            failed = [0]

            def cramped(encoder: ColourEncoder, pictures: Any) -> Any:
                if chance.random() < 0.05:
                    failed[0] += 1
                    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
                return real(encoder, pictures)

            ColourEncoder.encode_pictures = cramped  # type: ignore[method-assign]
            try:
                index(library, truth.films)
                seen = "halved" if failed[0] else "enough"
            except ModelError:
                seen = "said so at one picture"
            finally:
                ColourEncoder.encode_pictures = real  # type: ignore[method-assign]
            index_whole(library, truth.films, truth)
            return seen

        _judge(outcome, work)
        shutil.rmtree(library, ignore_errors=True)
    return outcome


FAULTS: dict[str, Callable[[Truth, Path, int, random.Random], Outcome]] = {
    "kill": kill,
    "damage": damage,
    "disk-full": disk_full,
    "read-errors": read_errors,
    "clock-jumps": clock_jumps,
    "two-writers": two_writers,
    "read-only": read_only,
    "other-machine": other_machine,
    "encoder-memory": encoder_memory,
}
NEED_MOUNT = frozenset({"disk-full", "read-only"})


def run(name: str, rounds: int, seed: int = 0) -> Outcome:
    """Inject one kind of fault in a scratch folder of its own."""
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        folder = Path(scratch)
        return FAULTS[name](make_truth(folder), folder, rounds, random.Random(seed))


def main() -> int:
    """Print one line of JSON for each kind of fault; exit 1 if a round was not survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(FAULTS), help=", ".join(FAULTS))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    for name in options.names:
        outcome = run(name, options.rounds, options.seed)
        bad += len(outcome.failures)
        facts = {"injected": outcome.injected, "survived": outcome.survived, "rows lost": outcome.rows_lost}
        print(json.dumps({"fault": name, **facts, "seen": dict(outcome.notes)}), flush=True)
        for text in outcome.failures:
            print(text, file=sys.stderr)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
