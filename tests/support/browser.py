"""A headless Chromium: that of the system, since a driver's own cannot be fetched everywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["AXE", "chromium", "faults_of_axe"]

AXE = "axe_playwright_python"
"""the package that has axe-core in it"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; the test is skipped where there is none, but in CI it fails."""
    path = shutil.which("chromium")
    if path is None:
        words = "no Chromium here: `apt-get install chromium`"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def faults_of_axe(page: Page) -> list[str]:
    """What axe-core finds that some reader cannot use, a line each."""
    page.evaluate((files(AXE) / "axe.min.js").read_text())
    found = page.evaluate("() => axe.run()")
    return [
        f"{each['id']} at {node['target']}: {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]
