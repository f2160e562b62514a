"""Makes docs/page.png, the picture of the page in the README: the demo's films in a real browser.

Run after `make demo`: .venv/bin/python docs/page_picture.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "demo-videos" / "library"
PICTURE = ROOT / "docs" / "page.png"
SIZE = {"width": 1440, "height": 900}
#: As in the demo: drawn scenes end in hard cuts.
SETTINGS = "set.method=%22vc1%22&set.smooth_window=5&set.threshold=0.7"
QUERIES = ("an orange fish under water", "a red lighthouse at night", "a red rocket in space")
COLOURS = 256


def main() -> None:
    """Serve the demo's library, search, keep three moments, save the screen."""
    command = [sys.executable, "-u", "-m", "vclipper.cli", "serve", "--port", "0", "--library", str(LIBRARY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())[0]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
        for query in QUERIES:
            _search(page, f"{address}?q={query}&{SETTINGS}")
            page.keyboard.press("b")
        page.keyboard.press("Shift+B")
        _search_shown(page)
        page.screenshot(path=PICTURE)
        browser.close()
        server.terminate()
    Image.open(PICTURE).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


def _search(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#timeline").wait_for()
    page.wait_for_load_state("networkidle")


def _search_shown(page: Page) -> None:
    page.locator("#toasts .toast").wait_for(state="detached")
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main()
