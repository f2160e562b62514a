"""Makes docs/page.png, the picture of the page in the README: the demo's films in a real browser.

Run after `make demo`: .venv/bin/python docs/page_picture.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "demo-videos" / "library"
PICTURE = ROOT / "docs" / "page.png"
CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1440, "height": 930}
COLOURS = 256
#: As in the demo: drawn scenes end in hard cuts.
SETTINGS = "set.method=%22vc1%22&set.smooth_window=5&set.threshold=0.7"
NOTES = {
    "an orange fish under water": "titles",
    "a red lighthouse at night": "",
    "a red rocket in space": "last shot",
}


def main() -> None:
    """Serve the demo's library, keep a moment of three searches, save the screen."""
    command = [sys.executable, "-u", "-m", "vclipper.cli", "serve", "--port", "0", "--library", str(LIBRARY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        address = _address(server)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
        for query in NOTES:
            page.goto(f"{address}?q={query}&{SETTINGS}")
            page.locator("#timeline").wait_for()
            page.wait_for_load_state("networkidle")
            page.keyboard.press("b")
        _open_basket(page)
        page.screenshot(path=PICTURE)
        browser.close()
        server.terminate()
    Image.open(PICTURE).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


def _address(server: subprocess.Popen[str]) -> str:
    """What `vclip serve` says first: "VClipper is at http://…"."""
    return (server.stdout.readline() if server.stdout else "").split()[-1]


def _open_basket(page: Page) -> None:
    """Show the basket with its notes, and wait until nothing moves."""
    page.keyboard.press("Shift+B")
    for place, note in enumerate(NOTES.values()):
        page.locator(".note").nth(place).fill(note)
        page.locator(".note").nth(place).blur()
    page.locator(".toast").wait_for(state="detached")
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main()
