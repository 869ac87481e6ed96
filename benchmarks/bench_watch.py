"""What seeing costs, and whether it is true: rows W1 to W5, in out/bench/watch.json.

Run with `make bench-watch`. W2 replays an hour, the recorded demo again and again, at ten times its
pace in a headless Chromium: six minutes. W1 and W4 take a Ray cluster of the demo's hierarchy. In
W1 the demo's traffic flows, and the page notes when it shows that so many queries have arrived at a
client; when they did is known to whoever sent them. In W4 64 callers ask a client that answers by
itself, with an open page and without in turn. W3 is of `tracing_cost`, W5 of `explained_flips`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import numpy as np
import psutil
import yaml

from cluster.demand import Demand, Phase
from cluster.provenance import collect_provenance
from cluster.providers import ray_driver
from cluster.specs import SPECS
from explained_flips import flips
from serving.traffic.driver import drive_traffic
from serving.traffic.images import LabelledImages
from serving.traffic.live_system import HttpSystem
from serving.traffic.schedule import build_schedule
from serving.watch.decision_shown import DecisionShown
from serving.watch.recorded import PlanSince, WatchEvent
from serving.watch.recording import RECORDING, RecordingWriter, read_recording
from serving.watch.sample import SystemSample
from serving_rows import median_row, merged, print_rows, write_rows
from tracing_cost import cost_of_tracing
from watch_rows import WHAT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = "chromium"
RECORDED = Path(__file__).parents[1] / "docs" / "replays" / "demo" / RECORDING
E = TypeVar("E", SystemSample, PlanSince, WatchEvent, DecisionShown)
HOUR_S, SPEED = 3600.0, 10
CALLERS, CALL_S, TURNS = 64, 8.0, 12
CASES, SEED = 200, 100
NOTE_ARRIVALS = """() => {
  window.seen = [];
  const note = () => {
    const at = performance.timeOrigin + performance.now();
    for (const each of document.querySelectorAll('.machine[data-arrived]'))
      if (each.dataset.arrived !== each.noted) {
        each.noted = each.dataset.arrived;
        window.seen.push([each.dataset.node, Number(each.dataset.arrived), at / 1000]);
      }
  };
  new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(note))).observe(
    document.getElementById('system'),
    {subtree: true, attributes: true, attributeFilter: ['data-arrived']});
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    path = shutil.which(CHROMIUM)
    if path is None:
        sys.exit("bench-watch: no Chromium here; `apt-get install chromium`")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_server(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`testbed watch` in a process of its own, started in `folder`; gives it and its address."""
    command = [sys.executable, "-m", "testbed", "watch", "--json", *arguments]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()


def repeat(source: Path, target: Path) -> None:
    """An hour that is a recording again and again; counters go back each time, as of nodes that
    are started anew."""
    recorded = read_recording(source)
    writer = RecordingWriter(target, recorded.facts, recorded.command)
    for again in range(round(HOUR_S / recorded.end_s)):
        begin_s = again * recorded.end_s

        def later(entry: E, begin_s: float = begin_s) -> E:
            return entry.model_copy(update={"at_s": entry.at_s + begin_s})

        for plan in recorded.plans:
            writer.plan(later(plan))
        for sample in recorded.samples:
            writer.sample(later(sample))
        for event in recorded.events:
            writer.event(later(event))
        for decision in recorded.decisions:
            number = decision.number + again * len(recorded.decisions)
            known_s = decision.known_s + begin_s
            moved = later(decision).model_copy(update={"number": number, "known_s": known_s})
            writer.decision(moved)
    writer.close()


def memory_of(process: psutil.Process) -> int:
    """Bytes that are the process's own."""
    return int(process.memory_full_info().uss)


def renderer_of(before: set[int]) -> psutil.Process:
    """The process that draws the page: the largest one of Chromium's that is new."""
    found = [
        child
        for child in psutil.Process().children(recursive=True)
        if child.pid not in before and "--type=renderer" in " ".join(child.cmdline())
    ]
    return max(found, key=memory_of)


def growth(seconds: float) -> dict[str, float]:
    """W2: an hour is replayed at ten times its pace; a quicker try takes only `seconds` of it."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        repeat(RECORDED, folder / RECORDED.name)
        with page_server(folder, "--replay", str(folder)) as (process, address):
            before = {child.pid for child in psutil.Process().children(recursive=True)}
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(address)
            page.wait_for_selector("#play:text('Pause')")
            page.select_option("#speed", str(SPEED))
            server, client = psutil.Process(process.pid), None
            read: list[tuple[float, int, int]] = []
            began_s = time.monotonic()
            while (now_s := time.monotonic() - began_s) < seconds / SPEED:
                page.wait_for_timeout(2_000)
                client = client or renderer_of(before)
                read.append((now_s, memory_of(server), memory_of(client)))
            told = page.inner_text("#clock")
            print(f"replayed to {told}; {len(read)} readings")
    sixth = len(read) // 6
    first, last = read[sixth : 2 * sixth], read[-sixth:]

    begin, end = (np.median([row[1:] for row in rows], axis=0) for rows in (first, last))
    return {
        "W2.growth": float(end.sum() / begin.sum() - 1.0),
        "W2.server": float(end[0] / begin[0] - 1.0),
        "W2.page": float(end[1] / begin[1] - 1.0),
    }


def verb(folder: Path, *arguments: str) -> None:
    """A verb of the command line, run in `folder`."""
    subprocess.run(
        [sys.executable, "-m", "testbed", *arguments], cwd=folder, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def deployed(profiles: Path | None, patient: bool) -> Iterator[Path]:
    """The demo on a cluster with a plan in force, as verbs leave it; gives the folder of its run.
    With a `patient` client that answers all by itself and refuses nobody who waits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        topology, demand = SPECS / "demo.yaml", SPECS / "demo-demand.yaml"
        if patient:
            topology, demand = folder / "patient.yaml", folder / "one-client.yaml"
            stated = yaml.safe_load((SPECS / "demo.yaml").read_text())
            for node in stated["nodes"]:
                node.update(compute=0.1)  # of the others, which have nothing to do
                if node["name"] == "client-0":
                    node.update(memory="256MiB", compute=1.0, window_s=1.0, max_batch=32)
            topology.write_text(yaml.safe_dump(stated))
            load = {"client-0": {"segmentation": 5.0}}
            demand.write_text(
                yaml.safe_dump({"name": "one", "phases": [{"duration_s": 10, "rates_qps": load}]})
            )
        os.environ["TESTBED_STATE_DIR"] = str(folder / "state")
        verb(folder, "up", str(topology))
        try:
            measured = profiles.absolute() if profiles else folder / "profiles.json"
            if profiles is None:
                verb(folder, "profile", "-o", str(measured))
            policy = ("--policy", "all-local") if patient else ()
            verb(
                folder, "plan", "--profiles", str(measured), "--topology", str(topology),
                "--demand", str(demand), *policy,
            )  # fmt: skip
            verb(folder, "deploy")
            yield folder
        finally:
            verb(folder, "down")


@dataclass(frozen=True)
class Doors:
    """Where clients listen."""

    urls: dict[str, str]
    token: str | None


def doors() -> Doors:
    """Those of the deployed cluster."""
    state = ray_driver.connect()
    from serving.deploy.fleet import Fleet  # which imports Ray, as is prepared now

    try:
        fleet = Fleet.attach(state.topology)
        assert fleet is not None
        return Doors(fleet.urls(), fleet.door_token())
    finally:
        ray_driver.disconnect()


def pictures(count: int) -> LabelledImages:
    """Of the demo's benchmark."""
    from models.benchmarks.rooms import Rooms
    from serving.traffic.images import load_images

    return load_images([Rooms("test")], count)


def reaction(folder: Path, seconds: float) -> list[float]:
    """W1: seconds from each query's arrival to the frame that shows it, at the demo's load."""
    phase = Demand.load(SPECS / "demo-demand.yaml").phases[0]
    images = pictures(60)
    found = doors()
    with page_server(folder) as (_, address), chromium() as browser:
        page = open_page(browser, address)
        page.evaluate(NOTE_ARRIVALS)
        page.wait_for_timeout(1_500)
        known = {name: many for name, many, _ in page.evaluate("window.seen")}
        sent = send(found, phase, images, seconds, page)
        page.wait_for_timeout(2_000)
        seen: list[tuple[str, int, float]] = page.evaluate("window.seen")
    spent = []
    for client, times_s in sent.items():
        base = known.get(client, 0)
        shown = [(many - base, at_s) for name, many, at_s in seen if name == client]
        ordered = sorted(times_s)
        for count, arrived_s in enumerate(ordered, start=1):
            first = next((at_s for many, at_s in shown if many >= count), None)
            if first is not None:
                spent.append(max(0.0, first - arrived_s))
    return spent


def open_page(browser: Browser, address: str) -> Page:
    """The page, when it shows something."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(address)
    page.wait_for_selector("#connection:text('live')", timeout=30_000)
    return page


def send(
    found: Doors, phase: Phase, images: LabelledImages, seconds: float, page: Page
) -> dict[str, list[float]]:
    """Send the phase's traffic; client -> when each of its queries was sent, by the time of day.

    On a thread: the browser's own calls must be made on this one, which waits in one of them.
    """
    whole = phase.model_copy(update={"duration_s": seconds})
    schedule = build_schedule([whole], 1, len(images), images.labelled)

    async def drive() -> dict[str, list[float]]:
        began_s = time.time()
        async with HttpSystem(found.urls, token=found.token) as system:
            driven = await drive_traffic(system, schedule, images.bodies)
        sent: dict[str, list[float]] = {}
        for place, record in enumerate(driven.records):
            client = driven.schedule.clients[driven.schedule.client_q[place]]
            sent.setdefault(client, []).append(began_s + record.sent_s)
        return sent

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lambda: asyncio.run(drive()))
        while not sending.done():
            page.wait_for_timeout(250)
        return sending.result()


def throughput(url: str, token: str | None, body: bytes, seconds: float) -> float:
    """Queries a second that 64 callers get answered, each with one out."""

    async def call(session: aiohttp.ClientSession, until_s: float) -> int:
        answered = 0
        while time.monotonic() < until_s:
            async with session.post(
                f"{url}/v2/models/segmentation/infer", data=body,
                headers={"content-type": "image/png"},
            ) as response:  # fmt: skip
                await response.read()
                answered += response.status == 200
        return answered

    async def all_of_them() -> float:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            began_s = time.monotonic()
            calls = [call(session, began_s + seconds) for _ in range(CALLERS)]
            answered = sum(await asyncio.gather(*calls))
            return answered / (time.monotonic() - began_s)

    return asyncio.run(all_of_them())


def cost(folder: Path) -> list[float]:
    """W4, a ratio for each turn: with an open page / the mean of just before and just after."""
    found = doors()
    url, body = found.urls["client-0"], pictures(1).bodies[0]
    ratios = []
    with (
        page_server(folder) as (_, address), chromium() as browser, ThreadPoolExecutor(1) as pool,
    ):  # fmt: skip

        def load() -> Future[float]:  # on a thread: the browser has this one's event loop
            return pool.submit(throughput, url, found.token, body, CALL_S)

        load().result()
        before = load().result()
        for _ in range(TURNS):
            page = open_page(browser, address)
            page.wait_for_timeout(1_000)  # until it is drawn: what it costs to be open is asked
            watched = load()
            while not watched.done():
                page.wait_for_timeout(250)
            page.close()
            after = load().result()
            ratios.append(watched.result() / ((before + after) / 2))
            before = after
    return ratios


def main() -> None:
    """Measure, print and write; rows of a part that was not asked for stay as they were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/watch.json"))
    parser.add_argument("--only", choices=("growth", "reaction", "cost", "tracing", "explain"))
    parser.add_argument("--seconds", type=float, default=60.0, help="of traffic in W1")
    parser.add_argument("--replayed", type=float, default=HOUR_S, help="of the hour in W2")
    parser.add_argument("--profiles", type=Path, help="of the demo; measured if left out")
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    if options.only in (None, "growth"):
        found |= {identity: [value] for identity, value in growth(options.replayed).items()}
    if options.only in (None, "reaction"):
        with deployed(options.profiles, patient=False) as folder:
            spent = reaction(folder, options.seconds)
        found["W1"] = [float(np.quantile(spent, 0.95))]
        found["W1.p50"] = [statistics.median(spent)]
        print(f"W1: {len(spent)} queries")
    if options.only in (None, "cost"):
        with deployed(options.profiles, patient=True) as folder:
            found["W4"] = cost(folder)
    if options.only in (None, "tracing"):
        found |= cost_of_tracing(4 * TURNS, CALL_S / 4)
    if options.only in (None, "explain"):
        found["W5"] = [sum(flip.confirmed for flip in flips(CASES, SEED)) / CASES]
    packages = ("ray", "starlette", "uvicorn", "playwright")
    provenance = collect_provenance("make bench-watch", packages=packages)
    rows = [median_row(identity, *WHAT[identity], values) for identity, values in found.items()]
    print_rows(rows)
    write_rows(options.out, provenance, merged(options.out, rows, provenance.commit))


if __name__ == "__main__":
    main()
