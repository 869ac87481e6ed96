"""What every `System` keeps, asked of the simulator and of live clusters alike, on loopback and in
network namespaces."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pytest

from cluster.demand import Phase
from cluster.topology import Topology
from leftovers import Traces, left
from models.benchmarks.rooms import Rooms
from models.tasks import find_task
from models.zoo.registry import list_models
from planner.plan import Plan, Route
from profiling.profile import Profiles
from serving.setting.query_sizes import query_bytes_of
from serving.simulation.simulated_device import profiled_latency
from serving.simulation.simulated_system import SimulatedSystem
from serving.simulation.virtual_time import run_in_virtual_time
from serving.system import Answer, Outcome, Query, SharingSystem
from serving.traffic.driver import Record, drive
from serving.traffic.images import load_images
from serving.traffic.live_system import HttpSystem
from serving.traffic.schedule import Schedule, build_schedule
from support.namespaces import NEEDS_NETNS
from support.paths import ROOT
from support.testbed_process import Testbed

pytestmark = pytest.mark.cluster

T = TypeVar("T")
Scenario: TypeAlias = Callable[[SharingSystem, list[bytes]], Coroutine[Any, Any, T]]


@dataclass
class Case:
    """A system under a plan, and how to run a coroutine that takes it."""

    kind: str
    plan: Plan
    topology: Topology
    bodies: list[bytes]
    bench: Testbed

    def run(self, scenario: Scenario[T]) -> T:
        if self.kind == "simulated":
            profiles = Profiles.load(self.bench.file("profiles.json"))
            system = SimulatedSystem(
                self.topology, self.plan, profiled_latency(profiles), query_bytes_of(list_models())
            )
            return run_in_virtual_time(scenario(system, self.bodies))

        async def live() -> T:
            async with HttpSystem(self.urls) as system:
                return await scenario(system, self.bodies)

        return asyncio.run(live())

    @cached_property
    def urls(self) -> dict[str, str]:
        nodes = json.loads(self.bench.run("status", "--json").stdout)["nodes"]
        return {node["node"]: node["url"] for node in nodes if node["url"]}

    @cached_property
    def driven(self) -> tuple[Schedule, list[Record]]:
        """Eight seconds of every task of every client, and what became of each query."""
        schedule = schedule_of(self.plan, qps=1.0, duration_s=8.0)
        return schedule, drive_it(self, schedule)


# That of namespaces costs a cluster of its own, two minutes: `make drills` has it.
NETNS = pytest.param("netns", marks=[NEEDS_NETNS, pytest.mark.slow])
EVERYWHERE = pytest.mark.parametrize(
    "case", ["simulated", "live", NETNS], indirect=True, scope="module"
)


@pytest.fixture(scope="module")
def case(
    request: pytest.FixtureRequest, walked: Testbed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    with ExitStack() as stack:
        bench = walked
        if request.param == "netns":
            bench = stack.enter_context(in_namespaces(walked, tmp_path_factory.mktemp("netns")))
        if request.param != "simulated":
            deployed = bench.run("deploy")
            assert deployed.returncode == 0, deployed.stderr
        yield Case(
            request.param,
            Plan.load(walked.file("plan.json")),
            Topology.load(ROOT / "cluster/specs/demo.yaml"),
            list(load_images([Rooms("test")], 4).bodies),
            bench,
        )


@contextmanager
def in_namespaces(walked: Testbed, folder: Path) -> Iterator[Testbed]:
    """A cluster with real links and the runs of the other one; nothing is left of it."""
    bench = Testbed(folder)
    before = Traces.look(bench.state)
    shutil.copytree(walked.folder / "out", folder / "out")
    came_up = bench.run("up", "--provider", "netns")
    try:
        assert came_up.returncode == 0, came_up.stderr
        yield bench
    finally:
        ended = bench.run("down", timeout_s=60)
    assert ended.returncode == 0, ended.stderr
    assert left(bench.state, before) == []


def schedule_of(plan: Plan, qps: float, duration_s: float) -> Schedule:
    rates: dict[str, dict[str, float]] = {}
    for route in plan.routes:
        rates.setdefault(route.client, {})[route.task] = qps
    return build_schedule([Phase(duration_s=duration_s, rates_qps=rates)], seed=3, image_count=4)


def drive_it(case: Case, schedule: Schedule) -> list[Record]:
    async def scenario(system: SharingSystem, bodies: list[bytes]) -> list[Record]:
        loop = asyncio.get_running_loop()
        return await drive(system, schedule, bodies, clock=loop.time)

    return case.run(scenario)


@EVERYWHERE
def test_every_query_is_answered_or_refused(case: Case) -> None:
    schedule, records = case.driven
    outcomes = Counter(record.answer.outcome for record in records)
    assert len(records) == len(schedule) > 50
    assert outcomes[Outcome.ERROR] == 0
    assert outcomes[Outcome.ANSWERED] > 0


@EVERYWHERE
def test_answers_say_the_way_they_took_and_it_is_one_of_the_plan(case: Case) -> None:
    schedule, records = case.driven
    ways = {(r.client, r.task, r.node, r.model) for r in case.plan.routes}
    for record in records:
        answer = record.answer
        if answer.outcome is not Outcome.ANSWERED:
            assert answer.reason
            continue
        client = schedule.clients[schedule.client_q[record.place]]
        task = schedule.tasks[schedule.task_q[record.place]]
        assert (client, task, answer.node, answer.model) in ways
        assert answer.batch_size >= 1
        assert answer.bound_s > 0
        timing = answer.timing
        spent_s = timing.queue_s + timing.batch_wait_s + timing.compute_s + timing.link_s
        assert 0 < spent_s <= record.done_s - record.scheduled_s + 1e-6
        assert (timing.link_s > 0) == (answer.tier != "client")


@EVERYWHERE
def test_shares_are_followed(case: Case) -> None:
    """A low-discrepancy router is within a few queries of its shares after any number."""
    by_task: dict[tuple[str, str], list[Route]] = {}
    for route in case.plan.routes:
        by_task.setdefault((route.client, route.task), []).append(route)
    (client, task), routes = max(by_task.items(), key=lambda item: len(item[1]))

    async def scenario(system: SharingSystem, bodies: list[bytes]) -> list[Answer]:
        return [await system.send(Query(client, task, bodies[0])) for _ in range(24)]

    taken = Counter(answer.model + answer.node for answer in case.run(scenario))
    for route in routes:
        assert abs(taken[route.model + route.node] - 24 * route.share) <= len(routes) + 2


@EVERYWHERE
def test_low_load_is_answered_within_the_promise(case: Case) -> None:
    records = drive_it(case, schedule_of(case.plan, qps=0.3, duration_s=8.0))
    answered = [r for r in records if r.answer.outcome is Outcome.ANSWERED]
    within = [r.done_s - r.scheduled_s <= r.answer.bound_s for r in answered]
    assert np.mean(within) >= 0.9


def two_tasks(plan: Plan) -> tuple[str, tuple[str, ...]]:
    """A client and two tasks of which the plan sheds least."""
    served: dict[tuple[str, str], float] = defaultdict(float)
    for route in plan.routes:
        served[route.client, route.task] += route.share
    best: dict[str, list[tuple[float, str]]] = {}
    for (client, task), share in served.items():
        best.setdefault(client, []).append((share, task))
    tops = {client: sorted(tasks)[-2:] for client, tasks in best.items() if len(tasks) > 1}
    client = max(tops, key=lambda name: min(tops[name]))
    return client, tuple(sorted(task for _, task in tops[client]))


@EVERYWHERE
def test_tasks_of_one_image_are_answered_together_or_not_at_all(case: Case) -> None:
    client, tasks = two_tasks(case.plan)
    ways = {(r.client, r.task, r.node, r.model) for r in case.plan.routes}

    async def scenario(system: SharingSystem, bodies: list[bytes]) -> list[dict[str, Answer]]:
        query = Query(client, tasks[0], bodies[0])
        return [await system.send_all(query, tasks) for _ in range(12)]

    requests = case.run(scenario)
    together = [{answer.outcome for answer in answers.values()} for answers in requests]
    assert all(len(outcomes) == 1 for outcomes in together)
    assert {Outcome.ANSWERED} in together
    assert {Outcome.ERROR} not in together
    for answers in requests:
        assert set(answers) == set(tasks)
        for task, answer in answers.items():
            if answer.outcome is Outcome.ANSWERED:
                assert (client, task, answer.node, answer.model) in ways
                assert answer.batch_size >= 1
            else:
                assert answer.reason
        models = {(a.node, a.model) for a in answers.values() if a.outcome is Outcome.ANSWERED}
        spent_s = {(a.node, a.model, a.timing.compute_s) for a in answers.values() if a.model}
        assert len(spent_s) == len(models)  # one pass a model


@EVERYWHERE
def test_a_deadline_is_kept_or_the_query_refused(case: Case) -> None:
    client, (task, _) = two_tasks(case.plan)

    async def scenario(
        system: SharingSystem, bodies: list[bytes]
    ) -> tuple[list[tuple[Answer, float]], list[tuple[Answer, float]]]:
        loop = asyncio.get_running_loop()

        async def ask(within_s: float) -> tuple[Answer, float]:
            started_s = loop.time()
            answer = await system.send(Query(client, task, bodies[0], within_s=within_s))
            return answer, loop.time() - started_s

        await ask(30.0)  # the first query finds connections closed
        return [await ask(1e-4) for _ in range(4)], [await ask(30.0) for _ in range(6)]

    hopeless, patient = case.run(scenario)
    for answer, spent_s in hopeless:
        assert (answer.outcome, answer.reason) in {
            (Outcome.SHED, "deadline"),
            (Outcome.SHED, "shed"),
        }
        assert spent_s < 1.0  # refused, not waited for
    assert any(answer.outcome is Outcome.ANSWERED for answer, _ in patient)
    assert all(answer.outcome is not Outcome.ERROR for answer, _ in patient)


@EVERYWHERE
def test_an_unknown_task_is_not_answered(case: Case) -> None:
    async def scenario(system: SharingSystem, bodies: list[bytes]) -> Answer:
        return await system.send(Query(case.topology.clients[0].name, "weather", bodies[0]))

    assert case.run(scenario).outcome is not Outcome.ANSWERED


@EVERYWHERE
def test_live_predictions_are_arrays_of_the_task(case: Case) -> None:
    if case.kind == "simulated":
        pytest.skip("the simulator predicts nothing")
    schedule, records = case.driven
    for record in records:
        if record.answer.outcome is Outcome.ANSWERED:
            task = find_task(schedule.tasks[schedule.task_q[record.place]])
            assert record.answer.prediction is not None
            assert record.answer.prediction.shape == task.answer_shape(96, 96)
            assert record.answer.prediction.dtype == np.dtype(task.answer_dtype)
