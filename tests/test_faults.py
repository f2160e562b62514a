"""Every injected fault is survived: see tests/faults.py, and docs/reliability.md for the figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import faults

#: Rounds of each; `python -m tests.faults NAME --rounds N --seed S` does more, or others.
ROUNDS = {
    "kill": 200,
    "damage": 120,
    "disk-full": 40,
    "read-errors": 10,
    "clock-jumps": 5,
    "two-writers": 10,
    "read-only": 4,
    "other-machine": 2,
    "encoder-memory": 10,
}


def inject(name: str, rounds: int) -> dict[str, object]:
    """In a process of its own: rounds are forked, which a process that runs tests should not be."""
    command = [sys.executable, "-m", "tests.faults", name, "--rounds", str(rounds)]
    root = Path(__file__).parent.parent
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcome: dict[str, object] = json.loads(done.stdout)
    return outcome


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", faults.FAULTS)
def test_every_round_is_survived(name, tmp_path):
    if name in faults.NEED_MOUNT and not faults.may_mount(tmp_path):
        pytest.skip("small drives are mounted, which needs root")
    outcome = inject(name, ROUNDS[name])
    assert outcome["survived"] == outcome["injected"] == ROUNDS[name]
    assert outcome["rows lost"] == 0
