"""Makes docs/search.svg, the picture in the README: real commands and what they print.

Run after `make demo`: .venv/bin/python docs/picture.py
"""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
FILMS = ROOT / "demo-videos"
COMMANDS = (
    'vclip search "a red rocket in space" --method vc1 -M 5 --top 3',
    "vclip search --image queries/a-rainbow-in-a-meadow.png --method vc1 -M 5",
    "vclip info",
)


def main() -> None:
    """Run the commands on the demo's library and save the session."""
    console = Console(record=True, width=80, file=io.StringIO())
    for command in COMMANDS:
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(Text(_run(command).rstrip("\n").replace(f"{FILMS}/", "~/films/")))
        console.print()
    console.save_svg(str(ROOT / "docs" / "search.svg"), title="VClipper")


def _run(command: str) -> str:
    arguments = [sys.executable, "-m", "vclipper.cli", *shlex.split(command)[1:], "--library", "library"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=FILMS)
    return done.stdout


if __name__ == "__main__":
    main()
