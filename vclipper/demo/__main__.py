"""``python -m vclipper.demo [FOLDER]``: run the demo; exit code 1 when it finds too little."""

from __future__ import annotations

import sys
from pathlib import Path

from vclipper.demo.run import run

if __name__ == "__main__":
    sys.exit(0 if run(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-videos")) else 1)
