"""Batches of nodes on one host share its cores, and what they would have taken alone is found."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.policies import solve
from profiling.profile import WayCost
from profiling.shared_hosts import SharedHost, shared_hosts
from serving.simulation.shared_cores import SharedCores
from serving.simulation.simulate import simulate
from serving.simulation.virtual_time import run_in_virtual_time
from serving.traffic.crowding import Crowding
from serving.traffic.measurement import Measurements
from serving.verdicts.observed import served_by
from support.demo_setting import demo_demand, demo_setting
from support.measured_models import on_one_host

HOST = SharedHost(frozenset({"a", "b", "c", "d"}), at_once=2)


def ends_of(
    jobs: list[tuple[float, float]], door_at_s: tuple[float, ...] = (), door_s: float = 0.0
) -> list[float]:
    """When jobs (when they begin, what they take alone) are done."""

    async def scenario() -> list[float]:
        cores, loop = SharedCores(HOST, door_s=door_s), asyncio.get_running_loop()
        ends_s = [0.0] * len(jobs)

        def begin(place: int) -> None:
            def done() -> None:
                ends_s[place] = loop.time()

            cores.begin(jobs[place][1], done)

        for place, (begin_s, _) in enumerate(jobs):
            loop.call_at(begin_s, begin, place)
        for at_s in door_at_s:
            loop.call_at(at_s, cores.occupy)
        await asyncio.sleep(1000.0)
        return ends_s

    return run_in_virtual_time(scenario())


def test_as_many_as_there_are_cores_take_what_they_take_alone() -> None:
    assert ends_of([(0.0, 1.0), (0.5, 2.0), (1.0, 1.0)]) == pytest.approx([1.0, 2.5, 2.0])


def test_one_more_slows_all_while_it_runs() -> None:
    """Three on two cores from 1 s on: each gets two thirds of a core until the last of the first
    two is done, at 2.5 s."""
    assert ends_of([(0.0, 2.0), (0.0, 2.0), (1.0, 3.0)]) == pytest.approx([2.5, 2.5, 4.5])


def test_a_query_at_a_door_takes_a_core() -> None:
    ends_s = ends_of([(0.0, 2.0), (0.0, 2.0)], door_at_s=(1.0,), door_s=0.3)
    assert ends_s == pytest.approx([2.1, 2.1])


def test_a_job_that_is_taken_away_says_what_it_has_left() -> None:
    async def scenario() -> tuple[float, float]:
        cores, loop = SharedCores(HOST), asyncio.get_running_loop()
        ended_s = []
        jobs = [cores.begin(3.0, lambda: ended_s.append(loop.time())) for _ in range(3)]
        await asyncio.sleep(1.5)
        left_s = cores.stop(jobs[0])
        await asyncio.sleep(100.0)
        return left_s, ended_s[0]

    left_s, ended_s = run_in_virtual_time(scenario())
    assert left_s == pytest.approx(2.0)
    assert ended_s == pytest.approx(3.5)


def rows_of(
    jobs: list[tuple[float, float]], ends_s: list[float], door_at_s: tuple[float, ...] = ()
) -> Measurements:
    """Answers of batches that ran from and until then, each on a node of its own; queries at doors
    that were refused."""
    waits = len(door_at_s)
    columns = {
        "answered": np.array([True] * len(jobs) + [False] * waits, bool),
        "node": np.array(["abcd"[place] for place in range(len(jobs))] + [""] * waits, str),
        "client": np.array(["elsewhere"] * len(jobs) + ["a"] * waits, str),
        "done_s": np.array(ends_s + [0.0] * waits),
        "compute_s": np.array(
            [end_s - begin_s for end_s, (begin_s, _) in zip(ends_s, jobs, strict=True)]
            + [0.0] * waits
        ),
        "scheduled_s": np.array([0.0] * len(jobs) + list(door_at_s)),
    }
    return cast(Measurements, SimpleNamespace(**columns))


times_s = st.floats(0.0, 10.0).map(lambda value: round(value, 3))


@given(
    st.lists(st.tuples(times_s, times_s.map(lambda value: 0.1 + value)), min_size=1, max_size=4),
    st.lists(times_s, max_size=5).map(tuple),
)
def test_what_batches_take_alone_is_found_from_when_they_ran(
    jobs: list[tuple[float, float]], door_at_s: tuple[float, ...]
) -> None:
    door_s = 0.4
    ends_s = ends_of(jobs, door_at_s, door_s)
    crowding = Crowding(rows_of(jobs, ends_s, door_at_s), HOST, door_s)
    alone_s = crowding.alone_s(np.array([begin_s for begin_s, _ in jobs]), np.array(ends_s))
    np.testing.assert_allclose(alone_s, [work_s for _, work_s in jobs], rtol=1e-6)


def test_nothing_is_slow_where_nothing_ran() -> None:
    crowding = Crowding(rows_of([], []), HOST)
    assert crowding.slowdown_at(np.array([0.0, 3.0])).tolist() == [1.0, 1.0]
    assert crowding.alone_s(np.array([1.0]), np.array([3.0])).tolist() == [2.0]


def test_things_are_slow_as_long_as_others_run() -> None:
    jobs = [(0.0, 2.0), (0.0, 2.0), (1.0, 3.0)]
    crowding = Crowding(rows_of(jobs, ends_of(jobs)), HOST)
    at_s = np.array([-1.0, 0.5, 1.5, 3.0, 9.0])
    assert crowding.slowdown_at(at_s).tolist() == [1.0, 1.0, 1.5, 1.0, 1.0]


def test_nodes_of_a_host_with_one_core_wait_for_each_other_as_verdicts_expect() -> None:
    setting, phase = demo_setting(), demo_demand().phases[0]
    phase = phase.model_copy(update={"duration_s": 20.0})
    plan = solve(setting.problem(phase), "certified").plan
    shared = replace(setting, profiles=on_one_host(setting.profiles, cores=1))
    (host,) = shared_hosts(shared.profiles)
    apart, together = (simulate(each, plan, [phase], seed=3) for each in (setting, shared))
    assert np.median(together.compute_s) > 1.1 * np.median(apart.compute_s)
    for known, least, most in (((), 1.1, 9.9), ((host,), 0.98, 1.02)):
        ratios = []
        for each in served_by(together, known):
            profile = setting.profiles.find(each.node, each.model)
            assert profile is not None
            ratios.append(np.mean(each.spent_s_q / each.expected_s_q(profile)))
        assert least < np.median(ratios) < most


def test_a_query_at_its_clients_door_does_not_slow_its_own_batch() -> None:
    """Its batch is between what the door does before and after it."""
    setting, phase = demo_setting(), demo_demand().phases[0]
    plan = solve(setting.problem(phase), "certified").plan
    phase = phase.scaled(0.02).model_copy(update={"duration_s": 400.0})
    profiles = on_one_host(setting.profiles, cores=1)
    profiles = profiles.model_copy(update={"way": WayCost(door_s=0.02, hop_s=0.0)})
    rows = simulate(replace(setting, profiles=profiles), plan, [phase], seed=3)
    for each in served_by(rows):
        profile = profiles.find(each.node, each.model)
        assert profile is not None
        assert np.quantile(each.spent_s_q / each.expected_s_q(profile), 0.8) < 1.05
