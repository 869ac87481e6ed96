"""One small Ray cluster for all drills: two clients, an edge and a cloud, and two plans to change
between. The edge holds the models of one of them only, so a change takes two stages."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from drill_changer import read_setting

from cluster.environment import MARK
from cluster.providers import lifecycle, ray_driver
from cluster.providers.state import control_folder
from cluster.topology import Topology
from models.benchmarks.rooms import Rooms
from models.zoo.registry import find_model
from planner.plan import Plan, Route
from profiling.profile import Profiles
from serving.deploy.assignment_record import AssignmentRecord
from serving.deploy.assignment_store import FILE
from serving.rollout.assignment import find_mending
from serving.rollout.refuges import refuges_of
from serving.rollout.stages import route_tables
from serving.traffic.images import load_images
from support.demo_setting import PROVENANCE, demo_profiles
from support.paths import ROOT

if TYPE_CHECKING:
    from serving.deploy.fleet import Fleet

MODELS = ("rooms-small-depth", "rooms-small-segmentation", "rooms-middle-geometry",
          "rooms-middle-all")  # fmt: skip
WORKSPACE_BYTES = 10_000_000
CLIENTS = ("client-0", "client-1")
TOPOLOGY = """
name: drills
nodes:
  - {name: client-0, tier: client, memory: 24MiB, compute: 0.2, window_s: 0.4, max_batch: 2}
  - {name: client-1, tier: client, memory: 24MiB, compute: 0.2, window_s: 0.4, max_batch: 2}
  - {name: edge-0, tier: edge, memory: 30MB, compute: 0.4, window_s: 0.4, max_batch: 4}
  - {name: cloud, tier: cloud, memory: 120MiB, compute: 0.4, window_s: 0.4, max_batch: 4}
links:
  - {source: client-0, target: edge-0, bandwidth: 2MB, rtt_s: 0.002}
  - {source: client-1, target: edge-0, bandwidth: 2MB, rtt_s: 0.002}
  - {source: edge-0, target: cloud, bandwidth: 2MB, rtt_s: 0.01}
"""
BACK_S = 30.0
"""for Ray to start a process anew"""
PROCESSES = {
    "controller": "ray::ServeController",
    "store": "ray::AssignmentStore",
    **{name: f"ray::ServeReplica:testbed-{name}:" for name in (*CLIENTS, "edge-0", "cloud")},
}
"""what the command line of each kind of the cluster's processes begins with"""


class Worker:
    """A process of ours that is spoken to by lines."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        )  # fmt: skip

    def say(self, words: str) -> None:
        """Send a line; a process that is gone does not hear it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{words}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return

    def hear(self) -> str:
        """The next line; empty if the process has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str, str]:
        """Close its input and wait; (exit status, what it printed last, its errors)."""
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err

    def kill(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.communicate()


@dataclass
class DrillCluster:
    """The running cluster, and what drills ask of it."""

    folder: Path
    topology: Topology
    fleet: Fleet
    mark: str
    plans: Mapping[str, Plan]

    def pid(self, kind: str) -> int:
        """The process of that kind; the newest, where one that hangs was replaced. What an earlier
        drill killed may still be on its way back."""
        ends_s = time.monotonic() + BACK_S
        while (pid := self._pid(kind)) is None:
            if time.monotonic() > ends_s:
                raise LookupError(f"there is no process of the {kind}")
            time.sleep(0.1)
        return pid

    def _pid(self, kind: str) -> int | None:
        found: list[tuple[float, int]] = []
        for process in psutil.process_iter(["cmdline", "environ", "status", "create_time"]):
            words = " ".join(process.info["cmdline"] or ())
            if not words.startswith(PROCESSES[kind]):
                continue
            environment = process.info["environ"] or {}
            if environment.get(MARK) == self.mark and process.info["status"] != "zombie":
                found.append((process.info["create_time"], process.pid))
        return max(found)[1] if found else None

    def record(self) -> AssignmentRecord:
        """The file of the store, as it is on the disk."""
        return AssignmentRecord.load(control_folder() / FILE)

    def plan_path(self, name: str) -> str:
        """The file of a plan."""
        return str(self.folder / f"{name}.json")

    def in_force(self) -> str:
        """Name of the plan that the nodes are told; empty in the middle of a change."""
        record = self.record()
        setting, _ = read_setting(self.folder)
        for name, plan in self.plans.items():
            refuges = refuges_of(setting.topology, plan, setting.accuracy)
            tables = route_tables(plan, record.version, CLIENTS, refuges)
            told = {
                node: (tuple(sorted(plan.onloading.get(node, ()))), tables.get(node))
                for node in record.nodes
            }
            if told == {n: (tuple(sorted(a.models)), a.table) for n, a in record.nodes.items()}:
                return name
        return ""

    def put_in_force(self, name: str) -> str:
        """Change to a plan; its name."""
        setting, phase = read_setting(self.folder)
        self.fleet.apply(self.plans[name], setting, phase)
        return name

    def differences(self) -> list[str]:
        """What keeps the nodes from holding what the store's file says, a line each."""
        record = self.record()
        if record.change is not None:
            return [f"a change by {record.change.owner} is open"]
        return asyncio.run(self._differences(record))

    def wait_until_settled(self, timeout_s: float) -> list[str]:
        """What is left of `differences` after that time; nothing if they end earlier."""
        ends_s = time.monotonic() + timeout_s
        while True:
            found = self.differences()
            if not found or time.monotonic() > ends_s:
                return found
            time.sleep(0.25)

    async def _differences(self, record: AssignmentRecord) -> list[str]:
        async def difference(name: str) -> str:
            node = self.fleet._nodes[name]
            try:
                async with asyncio.timeout(5):
                    seen, table = await node.snapshot(), await node.table()
            except Exception as error:  # noqa: BLE001 - it is a difference, whatever it was
                return f"{name}: {type(error).__name__}: {str(error)[:100]}"
            told = record.nodes[name]
            lacking = find_mending(told, seen, table)
            version = seen.plan_version == told.version
            follows = told.table is None or told.table == table
            if lacking or not version or not follows:
                return f"{name}: {lacking}; version {seen.plan_version} for {told.version}"
            return ""

        return [words for words in await asyncio.gather(*map(difference, record.nodes)) if words]


def make_plans(topology: Topology, best: Mapping[str, str]) -> dict[str, Plan]:
    """Two plans with other models at clients and edge; `best` are the cloud's models by task."""

    def route(client: str, task: str, tier: str, node: str, model: str, share: float) -> Route:
        return Route.model_validate(
            {"client": client, "task": task, "tier": tier, "node": node, "model": model,
             "share": share}
        )  # fmt: skip

    def plan(policy: str, small: str, local_task: str, middle: str, edge_task: str) -> Plan:
        held = dict.fromkeys(CLIENTS, (small,))
        routes = [
            each
            for client in CLIENTS
            for each in (
                route(client, local_task, "client", client, small, 0.5),
                route(client, "depth", "edge", "edge-0", middle, 0.4),
                route(client, edge_task, "cloud", "cloud", best[edge_task], 0.5),
            )
        ]
        cloud = tuple(sorted(set(best.values())))
        return Plan(
            problem_digest="", policy=policy, routes=tuple(routes),
            onloading={**held, "edge-0": (middle,), "cloud": cloud},
        )  # fmt: skip

    return {
        "one": plan("one", MODELS[0], "depth", MODELS[2], "segmentation"),
        "two": plan("two", MODELS[1], "segmentation", MODELS[3], "segmentation"),
    }


@contextmanager
def drill_cluster(folder: Path) -> Iterator[DrillCluster]:
    """The cluster with the plan `one` in force; its state folder is in `folder`."""
    os.environ["TESTBED_STATE_DIR"] = str(folder / "state")
    path = folder / "topology.yaml"
    path.write_text(TOPOLOGY)
    topology = Topology.load(path)
    cards = tuple(find_model(name) for name in MODELS)
    # What models cost is not what is drilled, and measuring it takes minutes.
    made_up = [
        profile.model_copy(update={"workspace_bytes": WORKSPACE_BYTES})
        for profile in demo_profiles(topology, cards).profiles
    ]
    Profiles(topology=topology.name, provenance=PROVENANCE, profiles=tuple(made_up)).save(
        folder / "profiles.json"
    )
    state = lifecycle.up(topology)
    try:
        ray_driver.connect()
        from serving.deploy.fleet import Fleet

        setting, phase = read_setting(folder)
        problem = setting.problem(phase)
        best = {
            task: problem.models[index]
            for task, index in zip(problem.tasks, problem.cloud_model_t, strict=True)
            if task in ("depth", "segmentation")
        }
        plans = make_plans(setting.topology, best)
        for name, plan in plans.items():
            plan.save(folder / f"{name}.json")
        fleet = Fleet.launch(
            setting.topology, setting.base_tasks, setting.largest_query_bytes, state.link_token
        )
        fleet.apply(plans["one"], setting, phase)
        bodies = load_images([Rooms("test")], 1).bodies
        (folder / "picture.png").write_bytes(bodies[0])
        yield DrillCluster(folder, setting.topology, fleet, state.mark, plans)
    finally:
        ray_driver.disconnect()
        lifecycle.down()


def as_json(urls: Mapping[str, str]) -> str:
    """For a command line."""
    return json.dumps(dict(urls))
