"""Files that mean harm: seeded mutations of real ones, and headers that lie."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

Mutation = Callable[[bytes, bytes, random.Random], bytes]


def flip_bytes(data: bytes, _: bytes, rng: random.Random) -> bytes:
    """Other values in 1 to 200 places anywhere."""
    return _flipped(data, rng, range(len(data)))


def flip_header(data: bytes, _: bytes, rng: random.Random) -> bytes:
    """Other values among the first 2,000 bytes, where containers keep their structure."""
    return _flipped(data, rng, range(min(len(data), 2000)))


def flip_tail(data: bytes, _: bytes, rng: random.Random) -> bytes:
    """Other values among the last 2,000 bytes: MP4's index, Matroska's cues."""
    return _flipped(data, rng, range(max(0, len(data) - 2000), len(data)))


def _flipped(data: bytes, rng: random.Random, places: range) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 200)):
        changed[rng.choice(places)] = rng.randrange(256)
    return bytes(changed)


def truncate(data: bytes, _: bytes, rng: random.Random) -> bytes:
    """Cut off anywhere."""
    return data[: rng.randrange(1, len(data))]


def splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """A piece of another file in the middle."""
    place, start = rng.randrange(len(data)), rng.randrange(len(other))
    return data[:place] + other[start : start + rng.randrange(1, 50_000)] + data[place:]


def remove_piece(data: bytes, _: bytes, rng: random.Random) -> bytes:
    """A piece is missing."""
    place = rng.randrange(len(data))
    return data[:place] + data[place + rng.randrange(1, 20_000) :]


def zero_block(data: bytes, _: bytes, rng: random.Random) -> bytes:
    """A sector that reads as zeros."""
    place = rng.randrange(len(data))
    size = min(4096, len(data) - place)
    return data[:place] + bytes(size) + data[place + size :]


def big_numbers(data: bytes, _: bytes, rng: random.Random) -> bytes:
    """Lengths, counts and times near the ends of their ranges."""
    changed = bytearray(data)
    for _unused in range(rng.randint(1, 8)):
        number = rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\x3b\x9a\xca\x00"])
        near_an_end = rng.choice([0, max(0, len(data) - 2000)])
        place = near_an_end + rng.randrange(min(2000, len(data) - near_an_end))
        changed[place : place + 4] = number
    return bytes(changed[: len(data)])


MUTATIONS: tuple[Mutation, ...] = (
    flip_bytes,
    flip_header,
    flip_tail,
    truncate,
    splice,
    remove_piece,
    zero_block,
    big_numbers,
)


# ---- headers that lie


def _box_at(data: bytes, name: bytes) -> int:
    """Where the contents of an MP4 box start (after its version and flags)."""
    return data.index(name) + 8


def mp4_with_sample_count(data: bytes, count: int) -> bytes:
    """Every sample table claims ``count`` frames of one size and one duration."""
    changed = bytearray(data)
    stsz = _box_at(data, b"stsz")
    struct.pack_into(">II", changed, stsz, 100, count)  # sample_size, sample_count
    stts = _box_at(data, b"stts")
    struct.pack_into(">II", changed, stts + 4, count, struct.unpack_from(">I", data, stts + 8)[0])
    return bytes(changed)


def mp4_with_frame_duration(data: bytes, ticks: int) -> bytes:
    """Every frame claims to stay on screen for ``ticks``: times of a thousand years."""
    changed = bytearray(data)
    stts = _box_at(data, b"stts")
    entries = struct.unpack_from(">I", data, stts)[0]
    for entry in range(entries):
        struct.pack_into(">I", changed, stts + 8 + 8 * entry, ticks)
    return bytes(changed)


def png_header(width: int, height: int) -> bytes:
    """A PNG of few bytes that claims a size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def gif_header(width: int, height: int) -> bytes:
    """A GIF of few bytes that claims a size."""
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6) + b";"


def write_mutations(
    folder: Path, originals: list[bytes], suffixes: list[str], rounds: int, seed: int
) -> list[Path]:
    """``rounds`` mutated files, each original and each mutation in turn."""
    rng = random.Random(seed)
    files = []
    for number in range(rounds):
        which = number % len(originals)
        mutate = MUTATIONS[(number // len(originals)) % len(MUTATIONS)]
        path = folder / f"{number:05d}-{mutate.__name__}{suffixes[which]}"
        path.write_bytes(mutate(originals[which], rng.choice(originals), rng))
        files.append(path)
    return files
