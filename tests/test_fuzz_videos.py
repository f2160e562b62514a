"""Hostile videos: no crash, no hang past the watchdog, no runaway memory or work; each failure one line.

``VCLIP_FUZZ_ROUNDS`` sets how many mutated files the slow test makes, ``VCLIP_FUZZ_SEED`` which ones;
with ``-s`` it prints what became of them.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import pytest

from indexer.decoders import Decoded, Failed, Finished, decode_all
from indexer.frames import PictureSpec
from tests.hostile import gif_header, mp4_with_frame_duration, mp4_with_sample_count, write_mutations
from tests.media import RECIPES, can_encode, flat_picture, make

SECONDS = 2
PERIOD_SECONDS = 0.5
TIMEOUT_SECONDS = 10.0
#: What a file may come to claim grows with its size: 10 bytes for each second, 10 minutes at the least.
BYTES_PER_SECOND, SHORT_SECONDS = 10, 600
MOST_BYTES = 2 << 30
BASES = (
    "mp4-h264-faststart",
    "mp4-h264-fragmented",
    "mov-h264",
    "mkv-h264",
    "flv-h264",
    "mp4-hevc-closed-groups",
    "webm-vp9",
    "webm-vp8",
    "mov-mjpeg",
    "mov-prores",
    "mp4-av1",
    "ts-h264",
    "mpg-mpeg2",
    "avi-mpeg4",
    "gif",
    "raw-h264",
    "mkv-variable-rate",
    "mp4-long-audio",
)


@dataclass
class Tally:
    """What became of the files."""

    whole: int = 0
    partial: int = 0
    refused: int = 0
    crashed: int = 0
    silent: int = 0
    most_frames: int = 0
    peak_bytes: int = 0
    reasons: Counter[str] = None  # type: ignore[assignment]


def decode(files: Sequence[Path]) -> Tally:
    tally, frames = Tally(reasons=Counter()), Counter()
    picture = PictureSpec(height=16, width=16)
    for message in decode_all(files, PERIOD_SECONDS, picture, 2, TIMEOUT_SECONDS):
        if isinstance(message, Decoded):
            frames[message.job] += len(message.batch)
            file = files[message.job]
            assert frames[message.job] <= most_frames(file), f"{file.name} gives pictures without end"
        elif isinstance(message, Finished):
            tally.whole += message.outcome.complete
            tally.partial += not message.outcome.complete
            assert "\n" not in message.outcome.reason
        elif isinstance(message, Failed):
            count_failure(tally, files[message.job], str(message.error))
        tally.peak_bytes = max(tally.peak_bytes, *(peak_of(pid) for pid in children()), 0)
    tally.most_frames = max(frames.values(), default=0)
    return tally


def most_frames(file: Path) -> int:
    seconds = max(SHORT_SECONDS, file.stat().st_size / BYTES_PER_SECOND)
    return int(seconds / PERIOD_SECONDS) + 16  # a message of frames


def count_failure(tally: Tally, file: Path, text: str) -> None:
    assert text, file
    assert "\n" not in text, text
    assert len(text) < 500, text
    tally.crashed += "crashed" in text
    tally.silent += "gave nothing" in text
    tally.refused += not ("crashed" in text or "gave nothing" in text)
    tally.reasons[text.replace(str(file), "FILE").replace(file.name, "FILE")[:90]] += 1


def children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task")
    found: list[str] = []
    for task in tasks.iterdir() if tasks.exists() else []:
        with contextlib.suppress(OSError):  # a thread may end between two looks
            found += (task / "children").read_text().split()
    return [int(pid) for pid in found]


def peak_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    small = {
        name: replace(RECIPES[name], frame_count=25 * SECONDS, width=96, height=64, audio_seconds=0.0)
        for name in BASES
        if can_encode(RECIPES[name].codec)
    }
    return {
        name: make(folder / f"{name}{recipe.suffix}", recipe).path.read_bytes() for name, recipe in small.items()
    }


def mutated(originals: dict[str, bytes], folder: Path, rounds: int, seed: int) -> list[Path]:
    suffixes = [RECIPES[name].suffix for name in originals]
    return write_mutations(folder, list(originals.values()), suffixes, rounds, seed)


def check(tally: Tally, files: int) -> None:
    assert tally.whole + tally.partial + tally.refused + tally.crashed + tally.silent == files
    assert (tally.crashed, tally.silent) == (0, 0)
    assert tally.peak_bytes < MOST_BYTES


def test_mutated_videos(originals, tmp_path):
    files = mutated(originals, tmp_path, 2 * len(originals), seed=1)
    check(decode(files), len(files))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_mutated_videos(originals, tmp_path):
    rounds, seed = int(os.environ.get("VCLIP_FUZZ_ROUNDS", "600")), int(os.environ.get("VCLIP_FUZZ_SEED", "7"))
    tally = decode(mutated(originals, tmp_path, rounds, seed))
    print(
        f"\n{rounds} mutated videos (seed {seed}): {tally.whole} decoded whole, {tally.partial} in part, "
        f"{tally.refused} refused in one line, {tally.crashed} crashes, {tally.silent} hangs; "
        f"largest worker {tally.peak_bytes / 2**20:.0f} MiB, most pictures of one file {tally.most_frames}"
    )
    for reason, count in tally.reasons.most_common(20):
        print(f"{count:6d}  {reason}")
    check(tally, rounds)


# ---- headers that lie


def one(path: Path) -> Tally:
    tally = decode([path])
    check(tally, 1)
    return tally


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("honest") / "a.mp4"
    return make(path, replace(RECIPES["mp4-h264-no-b-frames"], frame_count=50)).path.read_bytes()


@pytest.mark.parametrize("count", [10**9, 2**32 - 1, 0])
def test_an_mp4_that_claims_a_number_of_frames(count, honest, tmp_path):
    path = tmp_path / "claims.mp4"
    path.write_bytes(mp4_with_sample_count(honest, count))
    one(path)


@pytest.mark.parametrize("ticks", [2**31 - 1, 10**9, 10**7])
def test_an_mp4_whose_frames_last_for_years(ticks, honest, tmp_path):
    path = tmp_path / "years.mp4"
    path.write_bytes(mp4_with_frame_duration(honest, ticks))
    one(path)


def test_a_gif_that_claims_a_huge_picture(tmp_path):
    path = tmp_path / "huge.gif"
    path.write_bytes(gif_header(65_535, 65_535))
    assert one(path).refused == 1


@pytest.mark.slow
def test_a_small_file_with_an_enormous_picture(tmp_path):
    # 16,384 × 12,288 plain grey pixels: a few hundred kB of JPEG, 600 MB as RGB.
    recipe = replace(
        RECIPES["mp4-h264-no-b-frames"],
        codec="mjpeg",
        pixel_format="yuvj420p",
        codec_options={},
        suffix=".mov",
        width=16_384,
        height=12_288,
        frame_count=2,
        frames_per_second=Fraction(1),
        paint=flat_picture(99),
    )
    assert one(make(tmp_path / "enormous.mov", recipe).path).refused == 1
