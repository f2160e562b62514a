"""Where the derived files of a library in a bucket lie: its FAISS index, memory-mapped from this machine's disk.

One folder a library in the platform's cache directory, named by the library's address and birth: a library
made anew under the same address starts with an empty one. Whole folders are deleted, the longest unused
first, once all together are larger than ``VCLIP_CACHE_GB``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from indexer.errors import InputError

LIMIT = "VCLIP_CACHE_GB"
DEFAULT_LIMIT_GB = 50.0
#: Another number where the way of exporting changes (indexer.onnx_pictures).
EXPORT_VERSION = 1


def folder_of(uri: str, created_unix: float) -> Path:
    """The folder for one library, made and marked as used now."""
    name = hashlib.blake2b(f"{uri} {created_unix}".encode(), digest_size=12).hexdigest()
    folder = _root() / name
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    return folder


def shrink(keep: Path) -> None:
    """Delete the longest unused folders until all together fit the limit; ``keep`` stays."""
    folders = sorted((f for f in _root().iterdir() if f.is_dir()), key=lambda f: -f.stat().st_mtime)
    total = _bytes(keep)
    for folder in folders:
        if folder != keep:
            total += _bytes(folder)
            if total > limit_bytes():
                shutil.rmtree(folder, ignore_errors=True)


def limit_bytes() -> float:
    """The limit in force.

    Raises:
        InputError: ``VCLIP_CACHE_GB`` is not a number.
    """
    given = os.environ.get(LIMIT, "")
    try:
        return float(given or DEFAULT_LIMIT_GB) * 1e9
    except ValueError:
        raise InputError(f"{LIMIT} is {given!r}", "It must be a number of gigabytes") from None


def user_folder() -> Path:
    """Where this user's caches of VClipper lie."""
    from platformdirs import user_cache_path

    return user_cache_path("vclipper")


def proxy_folder() -> Path:
    """Copies of videos for browsers, by video id: made by `vclip serve`, deleted by a purge."""
    return user_folder() / "proxies"


def export_folder(model: str, fingerprint: str) -> Path:
    """Where the picture half of a model lies as an ONNX file: one folder a model, named anew with its weights."""
    name, weights = (
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        for text in (model, f"{EXPORT_VERSION} {fingerprint}")
    )
    return user_folder() / "onnx" / f"{name}-{weights}"


def _root() -> Path:
    return user_folder() / "libraries"


def _bytes(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another process deleted it
            total += file.stat().st_size
    return total
