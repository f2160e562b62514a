"""``vclip serve`` with the colour encoder in place of CLIP: ``python -m tests.serve_colours --port N``."""

from __future__ import annotations

import sys

from tests.fakes import load_fake
from vclipper import cli
from vclipper.web.service import Service

if __name__ == "__main__":
    Service.__init__.__defaults__ = ("cpu", load_fake)
    sys.exit(cli.run(["serve", *sys.argv[1:]]))
