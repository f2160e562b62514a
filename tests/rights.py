"""Python in a process that may read, write and enter only what modes allow, also where tests run as root."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

_DROP_BOUND, _READ_AND_WRITE_ALL, _READ_AND_ENTER_ALL = 24, 1, 2
"""Of Linux: PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH."""

needs_modes = pytest.mark.skipif(sys.platform != "linux", reason="root's rights are given up as Linux does it")


def run_with_modes(code: str, *arguments: str | Path) -> str:
    """What the code prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        preexec_fn=_give_up_rights,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _give_up_rights() -> None:
    """Who is not root has no such rights, and may not give them up: no error."""
    for right in (_READ_AND_WRITE_ALL, _READ_AND_ENTER_ALL):
        ctypes.CDLL(None).prctl(_DROP_BOUND, right, 0, 0, 0)
