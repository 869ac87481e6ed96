"""The simulator: exact on small cases, and the paper's promise under Poisson traffic."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
import pytest

from cluster.demand import Phase
from cluster.topology import Topology
from planner.plan import Plan, Route, TierName
from serving.simulation.simulated_device import BatchLog
from serving.simulation.simulated_system import SimulatedSystem
from serving.simulation.virtual_time import VirtualTimeLoop, run_in_virtual_time
from serving.system import Answer, Outcome, Query
from serving.traffic.driver import Record, drive
from serving.traffic.schedule import build_schedule

QUERY_BYTES = 1_000.0


def topology(batching: str = "window", window_s: float = 1.0) -> Topology:
    def node(name: str, tier: str, **more: object) -> dict[str, object]:
        return {"name": name, "tier": tier, "memory": "1GiB", "compute": 1, **more}

    return Topology.parse(
        {
            "name": "t",
            "nodes": [
                node("c", "client", window_s=0.5),
                node("e", "edge", window_s=window_s, batching=batching),
                node("o", "cloud", window_s=0.5),
            ],
            "links": [
                {"source": "c", "target": "e", "bandwidth": 100_000, "rtt_s": 0.02},
                {"source": "e", "target": "o", "bandwidth": 100_000, "rtt_s": 0.10},
            ],
        }
    )


def system(
    where: Topology,
    node: str,
    tier: TierName,
    latency: Callable[[int], float] = lambda batch: 0.1 + 0.01 * batch,
) -> SimulatedSystem:
    plan = Plan(
        problem_digest="d",
        policy="p",
        onloading={node: ("m",)},
        routes=(Route(client="c", task="depth", tier=tier, node=node, model="m", share=1.0),),
    )
    return SimulatedSystem(where, plan, lambda n, m, batch: latency(batch), {"depth": QUERY_BYTES})


def test_time_jumps_from_timer_to_timer() -> None:
    async def an_hour() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.gather(asyncio.sleep(3_600), asyncio.sleep(1_800))
        return loop.time()

    assert run_in_virtual_time(an_hour()) == pytest.approx(3_600)


def test_a_program_that_waits_for_nothing_is_told_so() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    loop = VirtualTimeLoop()
    with pytest.raises(RuntimeError, match="simulated time stands still"):
        loop.run_until_complete(forever())
    loop.close()


def test_a_window_is_one_batch_and_every_second_is_accounted_for() -> None:
    async def scenario() -> tuple[list[tuple[Answer, float]], list[BatchLog]]:
        loop = asyncio.get_running_loop()
        simulated = system(topology(), "e", "edge")

        async def one(at_s: float) -> tuple[Answer, float]:
            await asyncio.sleep(at_s)
            answer = await simulated.send(Query("c", "depth", b""))
            return answer, loop.time() - at_s

        return list(await asyncio.gather(one(0.2), one(0.7))), simulated.batches("e")

    (first, second), batches = run_in_virtual_time(scenario())
    (batch,) = batches
    assert (batch.size, batch.closed_s, batch.started_s) == (2, 1.0, 1.0)
    assert batch.spent_s == pytest.approx(0.12)
    for (answer, latency_s), at_s in ((first, 0.2), (second, 0.7)):
        assert latency_s == pytest.approx(1.0 + 0.12 + 0.01 - at_s)
        timing = answer.timing
        assert timing.link_s == pytest.approx(0.01 + 0.02)
        assert timing.queue_s == pytest.approx(1.0 - at_s - 0.02)
        assert timing.compute_s == pytest.approx(0.12)
        assert answer.bound_s == pytest.approx(2.0 + 0.01 + 0.02)


def test_the_cloud_is_two_links_away() -> None:
    async def scenario() -> tuple[Answer, float]:
        loop = asyncio.get_running_loop()
        answer = await system(topology(), "o", "cloud").send(Query("c", "depth", b""))
        return answer, loop.time()

    answer, spent_s = run_in_virtual_time(scenario())
    assert answer.timing.link_s == pytest.approx(0.01 + 0.02 + 0.01 + 0.10)
    assert spent_s == pytest.approx(0.14 + 0.11)


def test_a_client_of_two_edges_takes_the_link_that_its_plan_says() -> None:
    whole = topology(batching="greedy").model_dump(mode="json")
    whole["nodes"].append({**whole["nodes"][1], "name": "e2"})
    whole["links"] += [
        {"source": "c", "target": "e2", "bandwidth": 50_000, "rtt_s": 0.2},
        {"source": "e2", "target": "o", "bandwidth": 100_000, "rtt_s": 0.0},
    ]
    ways: tuple[tuple[TierName, str, str | None], ...]
    ways = (("edge", "e", None), ("edge", "e2", None), ("cloud", "o", "e"), ("cloud", "o", "e2"))
    plan = Plan(
        problem_digest="d",
        policy="p",
        onloading=dict.fromkeys(("e", "e2", "o"), ("m",)),
        routes=tuple(
            Route(client="c", task="depth", tier=tier, node=node, model="m", share=0.25, via=via)
            for tier, node, via in ways
        ),
    )
    simulated = SimulatedSystem(
        Topology.parse(whole), plan, lambda n, m, batch: 0.1, {"depth": QUERY_BYTES}
    )

    async def scenario() -> list[Answer]:
        return [await simulated.send(Query("c", "depth", b"")) for _ in range(4)]

    answers = run_in_virtual_time(scenario())
    found = sorted((answer.node, round(answer.timing.link_s, 6)) for answer in answers)
    assert found == [("e", 0.03), ("e2", 0.22), ("o", 0.14), ("o", 0.23)]
    slowest_s = 2 * 0.5 + 0.22 + 0.01  # a node's promise is that of the slowest way to it
    assert answers[-1].bound_s == pytest.approx(slowest_s)


def test_a_link_or_a_device_that_is_too_small_refuses() -> None:
    async def scenario(simulated: SimulatedSystem) -> list[Answer]:
        return await asyncio.gather(*(simulated.send(Query("c", "depth", b"")) for _ in range(200)))

    answers = run_in_virtual_time(scenario(system(topology(), "e", "edge")))
    refused = [answer.reason for answer in answers if answer.outcome is Outcome.SHED]
    assert set(refused) == {"link_full"}
    assert 40 <= 200 - len(refused) <= 60


MODELS = {"m0": (0.02, 0.004), "m1": (0.03, 0.006), "m2": (0.015, 0.003)}
TASK_OF = dict(zip(MODELS, ("depth", "edges", "normals"), strict=True))


def three_models(batching: str, window_s: float) -> SimulatedSystem:
    """An edge with one model a task: nu and c as in `MODELS`."""
    plan = Plan(
        problem_digest="d",
        policy="p",
        onloading={"e": tuple(MODELS)},
        routes=tuple(
            Route(client="c", task=task, tier="edge", node="e", model=model, share=1.0)
            for model, task in TASK_OF.items()
        ),
    )
    where = topology(batching, window_s)
    fast = [link.model_copy(update={"bandwidth": 10**9}) for link in where.links]

    def latency_s(_: str, model: str, batch: int) -> float:
        setup_s, marginal_s = MODELS[model]
        return setup_s + marginal_s * batch

    return SimulatedSystem(
        where.model_copy(update={"links": tuple(fast)}),
        plan,
        latency_s,
        dict.fromkeys(TASK_OF.values(), QUERY_BYTES),
    )


def window_work_s(rate_qps: float, window_s: float, quantile: float) -> float:
    """F11: what a window's work stays below with the quantile's probability."""
    mean = variance = 0.0
    for setup_s, marginal_s in MODELS.values():
        n = rate_qps * window_s
        p = 1 - math.exp(-n)
        mean += setup_s * p + marginal_s * n
        variance += setup_s**2 * p * (1 - p) + marginal_s**2 * n
        variance += 2 * setup_s * marginal_s * n * (1 - p)
    return mean + quantile * math.sqrt(variance)


def rate_of_f11(window_s: float) -> float:
    """Queries/s of each task at which a window is overrun with a chance of 5 %."""
    low, high = 0.0, 1_000.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        if window_work_s(middle, window_s, 1.6449) > window_s:
            high = middle
        else:
            low = middle
    return low


def drive_poisson(
    simulated: SimulatedSystem, rate_qps: float, duration_s: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Latencies and bounds of what was answered, and the number of queries sent."""
    rates = dict.fromkeys(TASK_OF.values(), rate_qps)
    phase = Phase(duration_s=duration_s, rates_qps={"c": rates})
    schedule = build_schedule([phase], seed=5, image_count=1)

    async def scenario() -> list[Record]:
        loop = asyncio.get_running_loop()
        return await drive(
            simulated, schedule, [b""], clock=loop.time,
            max_outstanding=100_000,
        )  # fmt: skip

    records = run_in_virtual_time(scenario())
    answered = [r for r in records if r.answer.outcome is Outcome.ANSWERED]
    latency_s = np.array([record.done_s - record.scheduled_s for record in answered])
    bound_s = np.array([record.answer.bound_s for record in answered])
    return latency_s, bound_s, len(records)


def test_windows_planned_with_five_percent_overrun_keep_their_promise() -> None:
    """And a work-conserving device is twice as fast in the middle, at the very same load."""
    rate_qps = rate_of_f11(0.4)
    median_s = {}
    for batching in ("window", "greedy"):
        latency_s, bound_s, sent = drive_poisson(three_models(batching, 0.4), rate_qps, 40.0)
        assert np.sum(latency_s <= bound_s) / sent >= 0.99
        median_s[batching] = np.median(latency_s)
    assert median_s["greedy"] / median_s["window"] <= 0.6


@pytest.mark.parametrize("batching", ["window", "greedy"])
def test_goodput_does_not_fall_when_load_triples(batching: str) -> None:
    full_qps = rate_of_f11(0.4)
    goodput_qps = {}
    for factor in (1.2, 1.4, 4.2):
        simulated = three_models(batching, 0.4)
        latency_s, bound_s, _ = drive_poisson(simulated, factor * full_qps, 8.0)
        goodput_qps[factor] = np.sum(latency_s <= bound_s) / 8.0
    assert goodput_qps[4.2] >= 0.95 * max(goodput_qps.values())


def test_tasks_of_one_image_share_a_pass_and_its_way_up() -> None:
    plan = Plan(
        problem_digest="d",
        policy="p",
        onloading={"e": ("m",)},
        routes=tuple(
            Route(client="c", task=task, tier="edge", node="e", model="m", share=1.0)
            for task in ("depth", "edges")
        ),
    )

    def ask(shared_passes: bool) -> tuple[dict[str, Answer], list[BatchLog]]:
        async def scenario() -> tuple[dict[str, Answer], list[BatchLog]]:
            simulated = SimulatedSystem(
                topology(),
                plan,
                lambda n, m, batch: 0.1 + 0.01 * batch,
                {"depth": QUERY_BYTES, "edges": QUERY_BYTES},
                shared_passes=shared_passes,
            )
            answers = await simulated.send_all(Query("c", "depth", b""), ("depth", "edges"))
            return answers, simulated.batches("e")

        return run_in_virtual_time(scenario())

    answers, (batch,) = ask(True)
    assert set(answers) == {"depth", "edges"}
    assert {answer.outcome for answer in answers.values()} == {Outcome.ANSWERED}
    assert batch.size == 1
    assert max(a.timing.link_s for a in answers.values()) == pytest.approx(0.01 + 0.02)
    answers, (batch,) = ask(False)
    assert batch.size == 2
    assert max(a.timing.link_s for a in answers.values()) == pytest.approx(0.02 + 0.02)


def test_a_deadline_is_kept_or_the_query_refused() -> None:
    async def scenario() -> list[tuple[Outcome, str, float]]:
        loop = asyncio.get_running_loop()
        simulated = system(topology(), "e", "edge")

        async def one(at_s: float, within_s: float) -> tuple[Outcome, str, float]:
            await asyncio.sleep(at_s)
            answer = await simulated.send(Query("c", "depth", b"", within_s=within_s))
            return answer.outcome, answer.reason, loop.time() - at_s

        asked = ((0.2, 0.5), (0.2, 1.1), (0.95, 0.2), (0.9, 0.02))
        return await asyncio.gather(*(one(at_s, within_s) for at_s, within_s in asked))

    impossible, kept, kept_too, link_alone = run_in_virtual_time(scenario())
    assert impossible[:2] == (Outcome.SHED, "deadline")
    assert impossible[2] < 0.1  # at once
    assert kept[0] is kept_too[0] is Outcome.ANSWERED
    assert kept[2] <= 1.1
    assert kept_too[2] <= 0.2
    assert link_alone[:2] == (Outcome.SHED, "deadline")
    assert link_alone[2] == pytest.approx(0.0)


@pytest.mark.parametrize(("batching", "within"), [("window", 0.99), ("greedy", 0.99)])
def test_two_windows_are_kept_at_a_load_with_headroom(batching: str, within: float) -> None:
    where = topology(batching, window_s=0.2)

    def latency(batch: int) -> float:
        return 0.02 + 0.004 * batch

    schedule = build_schedule(
        [Phase(duration_s=300.0, rates_qps={"c": {"depth": 20.0}})], seed=5, image_count=1
    )

    async def scenario() -> list[Record]:
        loop = asyncio.get_running_loop()
        simulated = system(where, "e", "edge", latency)
        return await drive(simulated, schedule, [b""], clock=loop.time)

    records = run_in_virtual_time(scenario())
    latency_s = np.array([record.done_s - record.scheduled_s for record in records])
    bound_s = np.array([record.answer.bound_s for record in records])
    assert {record.answer.outcome for record in records} == {Outcome.ANSWERED}
    assert np.mean(latency_s <= bound_s) >= within
