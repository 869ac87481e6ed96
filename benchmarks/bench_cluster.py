"""How clusters come up and go down, what their links carry, and what nodes take: rows K1 to K7.

Run with `make bench-cluster`; needs root, for the provider netns. `--rows K3` measures some of them
and adds them to the file. K1 and K4 bring the demo up with each provider as a user does, deploy one
plan on it, and drive the same traffic. K2 ends `testbed up` at seeded moments, in each way, and
counts what is left after `testbed down`. K3 measures links without Ray (`link_ends.py`), and so
does K5, which follows the recorded capacities of `--link-trace` (`link_trace_followed.py`) and is
left out without one. K6 and K7 are in `node_rows.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.addresses import own_addresses
from cluster.provenance import collect_provenance
from cluster.providers.netns_enter import enter_command
from cluster.providers.netns_layout import Layout, lay_out
from cluster.specs import SPECS
from cluster.topology import Topology
from leftovers import Traces, left
from link_trace_followed import trace_rows
from node_rows import memory_rows, scale_rows
from serving_rows import median_row, print_rows

__all__ = ["Bench", "Interruption", "add_rows", "interruptions", "laid", "measure_link"]

ROOT = Path(__file__).resolve().parents[1]
PROVIDERS = ("local", "netns")
ALL_ROWS = ("K1", "K2", "K3", "K4", "K5", "K6", "K7")
MBITS = (1.0, 10.0, 100.0)
MOST_UP_S = 25.0
"""moments at which `up` is ended are drawn from so many seconds"""


@dataclass(frozen=True)
class Bench:
    """A folder in which commands run, with a state folder of its own."""

    folder: Path

    @property
    def state(self) -> str:
        """Its state folder."""
        return str(self.folder / "state")

    @property
    def environment(self) -> dict[str, str]:
        """That of its commands."""
        return {**os.environ, "PYTHONPATH": str(ROOT), "TESTBED_STATE_DIR": self.state}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`testbed WORDS`, begun."""
        return subprocess.Popen(
            [sys.executable, "-m", "testbed", *words], cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *words: str) -> tuple[float, str]:
        """Seconds that `testbed WORDS` took, and what it printed. Raises `RuntimeError`."""
        begun_s = time.monotonic()
        process = self.start(*words)
        told, complained = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"testbed {' '.join(words)}: {complained.strip()[-300:]}")
        return time.monotonic() - begun_s, told


@dataclass(frozen=True)
class Interruption:
    """How `up` is ended; None lets it come to its end."""

    provider: str
    after_s: float | None
    number: signal.Signals | None

    def __str__(self) -> str:
        if self.number is None or self.after_s is None:
            return f"{self.provider}: up and down"
        return f"{self.provider}: {self.number.name} after {self.after_s:.2f} s"


def interruptions(provider: str, moments: int, seed: int) -> list[Interruption]:
    """One that is not ended, then `moments` with Ctrl-C and as many with kill -9."""
    chance = random.Random(f"{provider} {seed}")
    drawn = [chance.uniform(0.5, MOST_UP_S) for _ in range(moments)]
    ended = [
        Interruption(provider, after_s, number)
        for number in (signal.SIGINT, signal.SIGKILL)
        for after_s in drawn
    ]
    return [Interruption(provider, None, None), *ended]


def left_after(bench: Bench, how: Interruption) -> list[str]:
    """What is left once `up` was ended in that way; after Ctrl-C without a `down`, unless the
    cluster had come up by then."""
    before = Traces.look(bench.state)
    process = bench.start("up", "--provider", how.provider)
    try:
        process.communicate(timeout=how.after_s)
    except subprocess.TimeoutExpired:
        assert how.number is not None
        process.send_signal(how.number)
        process.communicate()
    if process.returncode in (0, -signal.SIGKILL):
        bench.run("down")
    return left(bench.state, before)


@contextmanager
def laid(bandwidth_bytes_per_s: float) -> Iterator[Layout]:
    """A client, an edge and a cloud in namespaces, with links of that bandwidth."""
    from cluster.providers import netns_kernel

    demo = Topology.load(SPECS / "demo.yaml")
    keep = {"client-0", "edge-0", "cloud"}
    data = demo.model_dump(mode="json", exclude_none=True)
    data["nodes"] = [node for node in data["nodes"] if node["name"] in keep]
    data["links"] = [
        {**link, "bandwidth": round(bandwidth_bytes_per_s)}
        for link in data["links"]
        if link["source"] in keep
    ]
    with tempfile.TemporaryDirectory(prefix="testbed-link-") as folder:
        mark = random.randbytes(8).hex()
        layout = lay_out(Topology.parse(data), mark, folder, own_addresses())
        try:
            netns_kernel.build(layout, {**os.environ, "PYTHONPATH": str(ROOT)})
            yield layout
        finally:
            record = layout.record
            netns_kernel.remove(record.bridge, record.ports, layout.spaces[0].path.parent)


def measure_link(layout: Layout, near: Sequence[str], far: str, counts: str) -> float:
    """Bytes a second over the first link, from its source, where `link_ends.py NEAR...` runs, to
    `far`; `counts` says which of the two prints them."""
    link = layout.links[0]
    above = _begin(str(link.target.path), far, link.target_host)
    assert above.stdout is not None
    port = above.stdout.readline().strip()
    below = _begin(str(link.source.path), near[0], link.target_host, port, *near[1:])
    try:
        counting = above if counts == far else below
        told, complained = counting.communicate(timeout=60)
    finally:
        for process in (above, below):
            process.kill()
            process.communicate()
    if not told.strip():
        raise RuntimeError(f"link_ends.py: {complained.strip()[-300:]}")
    return float(told)


def _begin(namespace: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*enter_command(namespace), sys.executable, str(ROOT / "benchmarks/link_ends.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def link_rows(repetitions: int) -> list[dict[str, Any]]:
    """K3, all together and each by itself."""
    found: dict[str, list[float]] = {}
    for mbit in MBITS:
        asked = mbit * 1e6 / 8
        with laid(asked) as layout:
            for _ in range(repetitions):
                bulk = measure_link(layout, ["give"], "take", "take") / asked
                queries = measure_link(layout, ["ask", str(asked)], "answer", "ask") / asked
                found.setdefault(f"bulk at {mbit:g} Mbit/s", []).append(bulk)
                found.setdefault(f"queries of 27 KB at {mbit:g} Mbit/s", []).append(queries)
    what = "measured ÷ asked bandwidth in netns"
    every = [ratio for ratios in found.values() for ratio in ratios]
    rows = [median_row("K3", f"{what}, bulk and queries, 1 to 100 Mbit/s", "", every)]
    for words, ratios in found.items():
        name = words.replace("queries of 27 KB", "queries").replace(" at ", ".").split(" ")[0]
        rows.append(median_row(f"K3.{name}", f"{what}: {words}", "", ratios))
    return rows


def cluster_rows(bench: Bench, wanted: Sequence[str], runs: int, drive_s: float) -> list[Any]:
    """K1 and K4: one plan with each provider, as often as `runs` says, in turn."""
    bench.run("up")
    try:
        bench.run("profile")
        bench.run("plan")
    finally:
        bench.run("down")
    took_s: dict[str, list[float]] = {name: [] for name in PROVIDERS}
    goodput: dict[str, list[float]] = {name: [] for name in PROVIDERS}
    p95_s: dict[str, list[float]] = {name: [] for name in PROVIDERS}
    for seed in range(1, runs + 1):
        for name in PROVIDERS:
            up_s, _ = bench.run("up", "--provider", name)
            try:
                deploy_s, _ = bench.run("deploy")
                took_s[name].append(up_s + deploy_s)
                if "K4" in wanted:
                    length = ("--duration", str(drive_s), "--seed", str(seed), "--json")
                    told = json.loads(bench.run("drive", *length)[1])
                    goodput[name].append(told["accuracy"])  # of all queries, refused ones 0
                    p95_s[name].append(told["latency_s"]["p95"])
            finally:
                bench.run("down")
    rows = []
    if "K1" in wanted:
        what = "up and deploy of the demo"
        rows += [median_row(f"K1.{name}", what, "s", took_s[name]) for name in PROVIDERS]
    if "K4" in wanted:
        pairs = list(zip(goodput["local"], goodput["netns"], strict=True))
        apart = [abs(netns - local) for local, netns in pairs]
        rows.append(median_row("K4.accuracy", "accuracy × answered, netns - local", "", apart))
        ratios = [n / m - 1 for m, n in zip(p95_s["local"], p95_s["netns"], strict=True)]
        rows.append(median_row("K4.p95", "p95 latency, netns ÷ local - 1", "", ratios))
    return rows


def leftover_rows(bench: Bench, moments: int, seed: int) -> list[Any]:
    """K2: how much is left, by way of ending."""
    rows = []
    for name in PROVIDERS:
        counts = []
        for how in interruptions(name, moments, seed):
            stays = left_after(bench, how)
            print(f"{how}: {len(stays)} left {stays[:3]}", flush=True)
            counts.append(float(len(stays)))
        what = "left after down, Ctrl-C, and kill -9 with down: the most in one try"
        row = median_row(f"K2.{name}", what, "", counts)
        rows.append({**row, "value": max(counts)})
    return rows


def add_rows(path: Path, rows: list[dict[str, Any]], command: str) -> None:
    """Write `rows`, and keep those of the file that were not measured now."""
    new = {row["id"] for row in rows}
    kept = []
    if path.exists():
        kept = [row for row in json.loads(path.read_text())["rows"] if row["id"] not in new]
    provenance = collect_provenance(command, packages=("ray", "pyroute2"))
    found = [{**row, "commit": provenance.commit} for row in rows]
    document = {
        "provenance": provenance.model_dump(),
        "rows": sorted([*kept, *found], key=lambda row: str(row["id"])),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench/cluster.json"))
    parser.add_argument("--rows", default=",".join(ALL_ROWS), help="which, with commas between")
    parser.add_argument(
        "--runs", type=int, default=3, help="for K1 and K4 with each provider, and for K6"
    )
    parser.add_argument("--repetitions", type=int, default=3, help="of each kind, for K3")
    parser.add_argument("--moments", type=int, default=10, help="at which up is ended, for K2")
    parser.add_argument("--seed", type=int, default=1, help="of these moments")
    parser.add_argument("--drive", type=float, default=36.0, help="seconds of traffic, for K4")
    parser.add_argument("--link-trace", type=Path, help="CSV of recorded capacities, for K5")
    parser.add_argument("--nodes", default="4,8,16,32", help="of null nodes, for K7")
    parser.add_argument("--changes", type=int, default=9, help="of their plan, for K7")
    options = parser.parse_args()
    wanted = options.rows.split(",")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as folder:
        bench = Bench(Path(folder))
        if "K3" in wanted:
            rows += link_rows(options.repetitions)
        if "K1" in wanted or "K4" in wanted:
            rows += cluster_rows(bench, wanted, options.runs, options.drive)
        if "K5" in wanted and options.link_trace is not None:
            rows += trace_rows(options.link_trace, seed=options.seed)
        if "K6" in wanted:
            rows += memory_rows(bench, options.runs)
        if "K7" in wanted:
            rows += scale_rows(bench, options.nodes, options.changes)
        if "K2" in wanted:
            rows += leftover_rows(bench, options.moments, options.seed)
    add_rows(options.out, rows, "make bench-cluster")
    print_rows(rows)


if __name__ == "__main__":
    main()
