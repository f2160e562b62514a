"""What this machine's processor can do."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def instructions() -> frozenset[str]:
    """The sets of instructions it has, by their names in Linux (``avx512f``); none where Linux does not say."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return frozenset()
