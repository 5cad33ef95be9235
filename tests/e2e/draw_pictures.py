"""The pictures of the README and of the guide: pages and a report as they are now, with pictures that the program drew.

python -m tests.e2e.draw_pictures FOLDER [--home HOME]

Without a home one is made: the sample artworks are drawn and two runs trained on them, which takes minutes.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.browser import ROOT, Server, at_rest
from tests.e2e.conftest import CHROMIUM_FLAGS

DATASET = "sample-artworks"
PAGES = {
    "home": "/",
    "data": "/data",
    "architecture": "/architecture",
    "train": "/train",
    "results": "/results",
    "try-it": "/try_it",
}
COLOURS = 256  # of a picture that is kept in the repository
REPORT_WIDTH, REPORT_HEIGHT, REPORT_COLUMNS = 794, 1123, 4  # A4 at 96 points an inch; sheets side by side
WORDS = "# Question\nDoes flipping left to right help on drawn artworks?\n\n# Conclusion\nIt does not harm.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        home = asked.home or Path(made)
        if asked.home is None:
            fill(home)
        with sync_playwright() as playwright:
            path = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS.split())
            draw_pages(browser, home, asked.folder)
            draw_report(browser, home, asked.folder)
            browser.close()


def fill(home: Path) -> None:
    """The samples, and two runs on them that differ in one setting."""
    command(home, "data", "add", DATASET)
    command(home, "train", "--data", DATASET, "--preset", "quick", "--guess", "70 %")
    command(home, "train", "--data", DATASET, "--preset", "quick", "--set", "train.augment=flip", "--guess", "+1 point")


def command(home: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "core", *words], cwd=ROOT, env=os.environ | {"ATELIER_HOME": str(home)}, check=True
    )


def draw_pages(browser: Browser, home: Path, folder: Path) -> None:
    server = Server(home, threads=None)
    try:
        page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
        page.set_default_timeout(180_000)
        for name, address in PAGES.items():
            page.goto(server.address + address)
            at_rest(page)
            page.wait_for_timeout(3000)  # charts that move into place
            at_rest(page)
            save(Image.open(io.BytesIO(page.screenshot())), folder / f"{name}.png")
        page.close()
    finally:
        server.kill()


def draw_report(browser: Browser, home: Path, folder: Path) -> None:
    """The first sheets of a report of the newest run, side by side, as they are printed."""
    with tempfile.TemporaryDirectory() as made:
        report, words = Path(made) / "report.html", Path(made) / "words.md"
        words.write_text(WORDS, encoding="utf-8")
        names = ("--title", "Does flipping help on drawn artworks?", "--author", "A. Student")
        command(home, "report", "latest", "--out", str(report), "--words", str(words), *names)
        page = browser.new_page(viewport={"width": REPORT_WIDTH, "height": REPORT_HEIGHT})
        page.goto(report.as_uri())
        whole = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
        page.close()
    sheet = Image.new("RGB", (REPORT_COLUMNS * (REPORT_WIDTH + 12), REPORT_HEIGHT), "#888888")
    for place in range(REPORT_COLUMNS):
        piece = whole.crop((0, place * REPORT_HEIGHT, REPORT_WIDTH, (place + 1) * REPORT_HEIGHT))
        sheet.paste(piece, (place * (REPORT_WIDTH + 12), 0))
    save(sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), Image.Resampling.LANCZOS), folder / "report.png")


def save(picture: Image.Image, path: Path) -> None:
    picture.convert("RGB").quantize(COLOURS).save(path, "PNG", optimize=True)


if __name__ == "__main__":
    main()
