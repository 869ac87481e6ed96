"""Record docs/replays/demo and take the pictures of docs/watch.md, from a run on this machine.

    python docs/replays/record_demo.py profiles.json      # what `testbed profile` measured

Five minutes: the demo's hierarchy comes up with a plan for the mix of the second phase, then the
live loop runs beside the demo's traffic, whose mix flips half-way. Meanwhile a headless Chromium
does from the page what a visitor would: a link is cut and mended, a load doubled, the loop paused,
a plan asked for, and the edge's process killed. The plan that is planned first fits the first
phase badly, so that there is something for the loop to find.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
DEMO, IMAGES = HERE / "demo", HERE.parent / "images"
PHASE_S = 42
KEPT = ("watch.jsonl.gz", "measurements.parquet")


def verb(folder: Path, *arguments: str) -> None:
    """A verb of the command line."""
    subprocess.run([sys.executable, "-m", "testbed", *arguments], cwd=folder, check=True)


def choose(page: Page, node: str) -> None:
    """Choose a node by keyboard."""
    page.focus(f'.machine[data-node="{node}"]')
    page.keyboard.press("Enter")


def act(page: Page, selector: str) -> None:
    """Press a button, and say what the page says then."""
    page.click(selector)
    page.wait_for_function("() => document.getElementById('done').textContent !== '…'")
    page.wait_for_timeout(300)
    print(f"{selector}: {page.inner_text('#done')}", flush=True)


def visit(page: Page) -> None:
    """What a visitor does, at the seconds of the traffic that are named."""
    began_s = time.monotonic()

    def at(seconds: float) -> None:
        page.wait_for_timeout(max(0.0, began_s + seconds - time.monotonic()) * 1e3)

    at(22)
    page.screenshot(path=IMAGES / "watch-live.png")
    choose(page, "client-0")
    act(page, '#chosen [data-act="cut_link"]')
    at(31)
    page.screenshot(path=IMAGES / "watch-cut.png")
    act(page, '#chosen [data-act="restore_link"]')
    choose(page, "client-1")
    act(page, '#chosen-load button:text("× 2")')
    at(42)
    act(page, '#chosen-load button:text("× 1")')
    act(page, "#pause")
    at(46)
    act(page, "#pause")
    act(page, "#plan_now")
    at(58)
    choose(page, "edge-0")
    act(page, '#chosen [data-act="kill_node"]')
    page.wait_for_selector('.machine[data-node="edge-0"].bad', timeout=15_000)
    page.wait_for_selector('.machine[data-node="edge-0"]:not(.bad)', timeout=60_000)
    print(f"edge-0 is back {time.monotonic() - began_s - 58:.1f} s later", flush=True)
    page.wait_for_timeout(2_000)


def drive(folder: Path) -> None:
    """The live loop with its traffic, and the visitor at its page."""
    command = [
        sys.executable, "-m", "testbed", "live", "--drive", "--watch", "--routing", "shares",
        "--duration", str(PHASE_S), "--images", "120", "--json",
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as live:
        assert live.stderr is not None
        address = next(
            found.group() for line in live.stderr if (found := re.search(r"http://\S+", line))
        )
        with sync_playwright() as driver:
            chromium = shutil.which("chromium")
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1200, "height": 1000})
            page.on("console", lambda message: print("console:", message.text, flush=True))
            page.goto(address)
            page.wait_for_selector("#connection:text('live')", timeout=30_000)
            try:
                visit(page)
            finally:
                browser.close()
        sys.stderr.writelines(live.stderr)


def main() -> None:
    """Record it."""
    profiles = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TESTBED_STATE_DIR"] = str(folder / "state")
        verb(folder, "up")
        try:
            verb(folder, "plan", "--phase", "1", "--profiles", str(profiles))
            verb(folder, "deploy")
            drive(folder)
        finally:
            verb(folder, "down")
        (run,) = (folder / "out" / "runs").iterdir()
        DEMO.mkdir(exist_ok=True)
        for file in KEPT:
            shutil.copy(run / file, DEMO / file)


if __name__ == "__main__":
    main()
