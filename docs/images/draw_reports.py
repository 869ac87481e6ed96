"""Take the pictures of reports that the pages of docs/ show: docs/images/reports/ and report.png.

    python docs/images/draw_reports.py demo=out/demo/report.html comparison=out/beside.html ...

Each page is shown by the Chromium of this machine (`make system` installs it), at two widths, light
and dark, and kept with few colours. The page named `demo` gives report.png as well, its top.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

__all__ = ["SCHEMES", "WIDTHS", "chromium", "opened", "take"]

FOLDER = Path(__file__).parent
WIDTHS = (1200, 400)
SCHEMES = ("light", "dark")
TALLEST = {1200: 3200, 400: 2400}
"""pixels of a page that are shown in docs/; what comes below is much the same"""
COLOURS = 256
FONT = "*, svg { font-family: 'DejaVu Sans', sans-serif !important; }"
"""of pictures that are compared: the default differs from machine to machine"""


def chromium() -> str | None:
    """Path of the browser, that of CHROMIUM first; None where there is none."""
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def opened(program: str) -> Iterator[Any]:
    """A browser without a window; ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        )
        try:
            yield browser
        finally:
            browser.close()


def take(
    browser: Any, page: Path, width: int, scheme: str, *, tallest: int | None = None, css: str = ""
) -> Image.Image:
    """The file `page` at `width` CSS pixels, one to a pixel, whole or its top `tallest` pixels."""
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        tab.goto(page.resolve().as_uri())
        if css:
            tab.add_style_tag(content=css)
        height = tab.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, tallest or height)}
        shot = tab.screenshot(full_page=True, clip=clip)
    finally:
        tab.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def few_colours(picture: Image.Image) -> Image.Image:
    """A picture of flat colours needs no more."""
    return picture.quantize(COLOURS, dither=Image.Dither.NONE)


def main(named: dict[str, Path]) -> None:
    """Take every picture of the pages in `named`."""
    program = chromium()
    if program is None:
        sys.exit("there is no chromium on this machine; `make system` installs it")
    target = FOLDER / "reports"
    target.mkdir(exist_ok=True)
    with opened(program) as browser:
        for name, page in named.items():
            for width in WIDTHS:
                for scheme in SCHEMES:
                    shot = take(browser, page, width, scheme, tallest=TALLEST[width])
                    few_colours(shot).save(target / f"{name}-{width}-{scheme}.png", optimize=True)
            if name == "demo":
                top = take(browser, page, 1200, "light", tallest=1080)
                few_colours(top).save(FOLDER / "report.png", optimize=True)
    print(*sorted(target.iterdir()), sep="\n")


if __name__ == "__main__":
    main({name: Path(page) for name, page in (word.split("=", 1) for word in sys.argv[1:])})
