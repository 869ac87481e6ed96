"""The page of the made-up run in a real browser, against stored pictures: a broken layout shows.

Fails where TESTBED_CI is set and there is no Chromium, and is skipped elsewhere. If a page was
meant to change, this file stores it anew when it is run as a script: look at the pictures then.
"""

from __future__ import annotations

import os
import runpy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from serving.report.html import render_page
from support.paths import ROOT
from support.report_page import full_page
from support.synthetic_run import Synthetic, synthetic

SHOTS = runpy.run_path(str(ROOT / "docs" / "images" / "draw_reports.py"))
STORED = Path(__file__).parent / "screenshots"
VIEWS = [(width, scheme) for width in SHOTS["WIDTHS"] for scheme in SHOTS["SCHEMES"]]
TALLEST = 3600
COLOUR_STEP = 48
"""of 255, by which a channel may differ: edges of letters are drawn a little otherwise elsewhere"""
TOLERANCE = 0.01
"""share of pixels that may differ by more"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = SHOTS["chromium"]()
    if program is None:
        if os.environ.get("TESTBED_CI"):
            pytest.fail("CI has no chromium to look at pages with; `make system` installs it")
        pytest.skip("no chromium; `make system` installs it")
    with SHOTS["opened"](program) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(made: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(full_page(made)), encoding="utf-8")
    return path


def view(browser: Any, page: Path, width: int, scheme: str, css: str = "") -> Image.Image:
    shot: Image.Image = SHOTS["take"](
        browser, page, width, scheme, tallest=TALLEST, css=SHOTS["FONT"] + css
    )
    return shot


def differing_share(shot: Image.Image, stored: Image.Image) -> float:
    """Of the pixels of the larger picture; what only one of them has differs."""
    height = max(shot.height, stored.height)
    assert shot.width == stored.width
    pair = []
    for each in (shot, stored):
        pixels = np.full((height, shot.width, 3), -COLOUR_STEP - 1, np.int16)
        pixels[: each.height] = np.asarray(each.convert("RGB"))
        pair.append(pixels)
    differ = np.abs(pair[0] - pair[1]).max(axis=2) > COLOUR_STEP
    return float(differ.mean())


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_a_page_looks_as_it_was_last_looked_at(
    browser: Any, page: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    shot = view(browser, page, width, scheme)
    shot.save(tmp_path / "now.png")
    share = differing_share(shot, Image.open(stored_at(width, scheme)))
    assert share <= TOLERANCE, f"{share:.1%} of the pixels differ: {tmp_path / 'now.png'}"


@pytest.mark.parametrize(
    "broken",
    [
        ".cards { display: block; }",
        "svg.placement { width: 40% !important; min-width: 0 !important; }",
        "section { margin-top: 54px; }",
        "svg text { font-size: 15px !important; }",
    ],
)
def test_a_broken_layout_is_beyond_the_tolerance(browser: Any, page: Path, broken: str) -> None:
    shot = view(browser, page, 1200, "light", broken)
    assert differing_share(shot, Image.open(stored_at(1200, "light"))) > TOLERANCE


@pytest.mark.parametrize("width", [1200, 400, 320])
def test_nothing_hangs_out_of_the_page(browser: Any, page: Path, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.goto(page.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    tab.close()


def test_a_table_is_kept_by_a_click_without_a_server(
    browser: Any, page: Path, tmp_path: Path
) -> None:
    tab = browser.new_page()
    tab.goto(page.as_uri())
    for name, begin in (("links.csv", "source,target,"), ("placement.svg", "<svg ")):
        with tab.expect_download() as waited:
            tab.click(f'a[download="{name}"]')
        assert waited.value.suggested_filename == name
        waited.value.save_as(tmp_path / name)
        assert (tmp_path / name).read_text().startswith(begin)
    tab.close()


@pytest.mark.parametrize("scheme", SHOTS["SCHEMES"])
def test_axe_finds_no_fault(browser: Any, page: Path, scheme: str) -> None:
    tab = browser.new_page(color_scheme=scheme)
    tab.goto(page.as_uri())
    tab.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    faults = Axe().run(tab).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults] == []
    tab.close()


def test_the_keyboard_reaches_what_scrolls_and_every_file(browser: Any, page: Path) -> None:
    tab = browser.new_page(viewport={"width": 400, "height": 900})
    tab.goto(page.as_uri())
    cut = tab.evaluate(
        "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 &&"
        " getComputedStyle(e).overflowX == 'auto' && e.tabIndex < 0).length"
    )
    assert cut == 0
    assert tab.evaluate("[...document.querySelectorAll('a')].every(a => a.tabIndex == 0)")
    tab.close()


def stored_at(width: int, scheme: str) -> Path:
    return STORED / f"{width}-{scheme}.png"


def store() -> None:
    """Take what is compared anew."""
    STORED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, SHOTS["opened"](SHOTS["chromium"]()) as opened:
        written = Path(folder) / "report.html"
        written.write_text(render_page(full_page(synthetic())), encoding="utf-8")
        for width, scheme in VIEWS:
            shot = SHOTS["few_colours"](view(opened, written, width, scheme))
            shot.save(stored_at(width, scheme), optimize=True)


if __name__ == "__main__":
    store()
