"""A simulated run keeps what its plan predicts, repeats, and refuses what cannot be simulated."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from cluster.demand import Phase
from cluster.errors import InputError
from planner.problem import ProblemError
from planner.solution import Solution
from profiling.profile import Profiles, WayCost
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from serving.traffic.summary import summarise_run
from support.demo_setting import demo_demand
from support.same_rows import assert_same_rows


@pytest.fixture(scope="module")
def phase() -> Phase:
    return demo_demand().phases[0]


def test_what_was_predicted_comes_back(setting: Setting, phase: Phase, solution: Solution) -> None:
    predicted = solution.evaluation.summary()
    measured = summarise_run(simulate(setting, solution.plan, [phase], seed=2))
    assert measured.errors == 0
    assert measured.queries == pytest.approx(phase.total_qps * phase.duration_s, rel=0.1)
    assert measured.answered_share >= 0.97 * (1 - predicted.shed_share)
    assert measured.accuracy == pytest.approx(predicted.objective, rel=0.05)
    assert measured.deadline_met_share is not None
    assert measured.deadline_met_share >= 0.98
    for node, busy in predicted.utilization_by_node.items():
        assert measured.utilization_by_node[node] == pytest.approx(busy, rel=0.3, abs=0.02)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(
    setting: Setting, phase: Phase, solution: Solution
) -> None:
    short = [phase.model_copy(update={"duration_s": 5.0})]
    first, again, other = (simulate(setting, solution.plan, short, seed=s) for s in (3, 3, 4))
    assert_same_rows(first, again)
    assert first.run.busy_s == again.run.busy_s
    assert len(first) != len(other) or (first.scheduled_s != other.scheduled_s).any()


def test_phases_follow_one_another_and_what_a_plan_does_not_serve_is_shed(
    setting: Setting, phase: Phase, solution: Solution
) -> None:
    silent = solution.plan.model_copy(update={"routes": ()})
    phases = [phase.model_copy(update={"duration_s": 2.0})] * 2
    rows = simulate(setting, silent, phases)
    assert rows.run.phase_starts_s == (0.0, 2.0)
    assert set(rows.outcome) == {"shed"}
    assert set(rows.phase) == {0, 1}
    assert set(rows.run.busy_s.values()) == {0}


def test_it_waits_on_an_event_loop_too_as_in_a_notebook(
    setting: Setting, phase: Phase, solution: Solution
) -> None:
    short = [phase.model_copy(update={"duration_s": 1.0})]

    async def cell() -> int:
        return len(simulate(setting, solution.plan, short))

    assert asyncio.run(cell()) == len(simulate(setting, solution.plan, short)) > 0


def test_names_that_the_setting_lacks_are_refused_before_anything_runs(
    setting: Setting, phase: Phase, solution: Solution
) -> None:
    strange = Phase(duration_s=1.0, rates_qps={"client-9": {"depth": 1.0}})
    with pytest.raises(ProblemError, match="client-9"):
        simulate(setting, solution.plan, [strange])
    used = solution.plan.routes[0].model
    few = replace(setting, cards=tuple(card for card in setting.cards if card.name != used))
    with pytest.raises(ValueError, match=f"routes.0: '{used}' has no card"):
        simulate(few, solution.plan, [phase])
    measured = [p for p in setting.profiles.profiles if p.model != used]
    profiles = Profiles(
        topology=setting.topology.name,
        profiles=tuple(measured),
        provenance=setting.profiles.provenance,
    )
    with pytest.raises(ValueError, match=f"'{used}' was not profiled on"):
        simulate(replace(setting, profiles=profiles), solution.plan, [phase])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"routing": "quickest"}, "routing: there is no 'quickest'; one of shares"),
    ],
)
def test_what_cannot_be_simulated_is_named(
    setting: Setting, solution: Solution, phase: Phase, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        simulate(setting, solution.plan, [phase], **options)


def test_routing_may_be_named_in_words(setting: Setting, solution: Solution, phase: Phase) -> None:
    short = [phase.model_copy(update={"duration_s": 4.0})]
    named: Any = "shorter"
    rows = simulate(setting, solution.plan, short, routing=named)
    assert_same_rows(rows, simulate(setting, solution.plan, short, routing=RoutingMode.SHORTER))


def test_a_run_without_queries_has_no_rows(setting: Setting, solution: Solution) -> None:
    silent = Phase(duration_s=1.0, rates_qps={"client-0": {}})
    way = WayCost(door_s=0.01, hop_s=0.0, scatter_s=(-0.005, 0.005))
    known = replace(setting, profiles=setting.profiles.model_copy(update={"way": way}))
    assert len(simulate(known, solution.plan, [silent])) == 0


def test_no_query_takes_less_than_no_time() -> None:
    with pytest.raises(ValueError, match=r"a query would take -4\.99 s at the door"):
        WayCost(door_s=0.01, hop_s=0.0, scatter_s=(-5.0, 0.0))
