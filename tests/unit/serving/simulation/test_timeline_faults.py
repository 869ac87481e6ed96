"""Faults of a timeline in simulated time: silent links, lost devices, clocks, controllers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cluster.demand import Phase
from cluster.timeline import TimelineEvent
from planner.policies import solve
from planner.solution import Solution
from serving.deploy.health_checks import HEALTH_PERIOD_S, LOOKS
from serving.errors import PlanningError
from serving.experiments.health import health_of
from serving.node.links.peer_connection import UplinkTimeouts
from serving.replan.change_policy import REACTIVE
from serving.replan.decision import Decision
from serving.replan.decision_input import DecisionInput, Ground
from serving.replan.options import ReplanOptions
from serving.replan.replanner import Look
from serving.report.regret import PERIOD_S as BOUND_PERIOD_S
from serving.report.regret import regret_of
from serving.rollout.mend import PERIOD_S
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun, simulate_live
from serving.simulation.simulate import simulate
from serving.simulation.simulated_faults import CONTROLLER_AWAY_S, RESTART_S
from serving.traffic.measurement import Measurements
from serving.traffic.summary import summarise_run
from support.demo_setting import demo_demand

FAULT_S = 6.0
LIGHT = 0.4
"""of the demo's load: as many queries as show what becomes of them"""
REPLACED_S = LOOKS * HEALTH_PERIOD_S + RESTART_S
"""from the loss of a device until a new process looks for it, at most"""


def run(
    setting: Setting, solution: Solution, duration_s: float, *events: dict[str, Any]
) -> Measurements:
    rates_qps = {
        client: {task: LIGHT * qps for task, qps in rates.items()}
        for client, rates in demo_demand().phases[0].rates_qps.items()
    }
    phase = Phase(duration_s=duration_s, rates_qps=rates_qps)
    timeline = [TimelineEvent.model_validate(event) for event in events]
    return simulate(setting, solution.plan, [phase], seed=5, timeline=timeline)


def same(one: Measurements, other: Measurements) -> bool:
    return bool(
        np.array_equal(one.done_s, other.done_s) and np.array_equal(one.answered, other.answered)
    )


def test_an_edge_without_device_answers_nothing_until_it_is_back_and_no_query_fails(
    setting: Setting, solution: Solution
) -> None:
    back_s = FAULT_S + REPLACED_S + 3.0
    rows = run(
        setting, solution, back_s + 14.0,
        {"at_s": FAULT_S, "lose_device": "edge-0"}, {"at_s": back_s, "restore_device": "edge-0"},
    )  # fmt: skip
    assert summarise_run(rows).errors == 0
    of_edge = rows.answered & (rows.node == "edge-0")
    assert of_edge[rows.scheduled_s < FAULT_S].any()
    assert not of_edge[(rows.done_s > FAULT_S) & (rows.done_s < back_s)].any()
    assert of_edge[rows.scheduled_s > back_s + PERIOD_S + 2.0].any()
    lost = (rows.scheduled_s > FAULT_S) & (rows.scheduled_s < back_s)
    assert rows.answered[lost].mean() > 0.3  # elsewhere
    # A node without device passes queries on, but for the time of its restart.
    assert np.any(lost & rows.answered & (rows.node == "cloud"))


def test_a_device_that_is_back_at_once_costs_a_new_process_and_no_more(
    setting: Setting, solution: Solution
) -> None:
    rows = run(
        setting, solution, FAULT_S + REPLACED_S + 12.0,
        {"at_s": FAULT_S, "lose_device": "edge-0"},
        {"at_s": FAULT_S + 2.0, "restore_device": "edge-0"},
    )  # fmt: skip
    of_edge = rows.answered & (rows.node == "edge-0")
    again_s = rows.done_s[of_edge & (rows.done_s > FAULT_S + 0.5)].min()
    assert again_s > FAULT_S + (LOOKS - 1) * HEALTH_PERIOD_S + RESTART_S
    assert again_s < FAULT_S + REPLACED_S + 4.0
    assert summarise_run(rows).errors == 0


def test_queries_go_round_a_silent_link_and_it_is_used_again_when_it_carries(
    setting: Setting, solution: Solution
) -> None:
    ends, carries_s = ["client-1", "edge-0"], 18.0
    rows = run(
        setting, solution, 26.0,
        {"at_s": FAULT_S, "silence_link": ends}, {"at_s": carries_s, "restore_link": ends},
    )  # fmt: skip
    assert summarise_run(rows).errors == 0
    above = rows.answered & (rows.client == "client-1") & (rows.node != "client-1")
    assert above[rows.scheduled_s < FAULT_S].any()
    assert not above[(rows.done_s > FAULT_S + 0.1) & (rows.done_s < carries_s)].any()
    assert above[rows.scheduled_s > carries_s + 1.0].any()
    given_up_s = FAULT_S + UplinkTimeouts().silence_s + UplinkTimeouts().queue_s + 0.5
    mine = (rows.client == "client-1") & (rows.scheduled_s > given_up_s)
    mine &= rows.scheduled_s < carries_s - 2.0
    assert rows.answered[mine].mean() > 0.3
    others = rows.answered & (rows.client != "client-1") & (rows.node != rows.client)
    assert others[(rows.scheduled_s > given_up_s) & (rows.scheduled_s < carries_s)].any()


def test_a_link_is_silent_as_a_peer_that_stands_still_is(
    setting: Setting, solution: Solution
) -> None:
    """What the client sees is the same, and so is what it does, until the edge answers others."""
    ends = ["client-1", "edge-0"]
    first_s = FAULT_S + UplinkTimeouts().silence_s
    rows = [
        run(setting, solution, 12.0, {"at_s": FAULT_S, **event})
        for event in ({"silence_link": ends}, {"stop_node": "edge-0"})
    ]
    for each in rows:
        out = each.answered & (each.client == "client-1") & (each.node != "client-1")
        assert not np.any(out & (each.done_s > FAULT_S + 0.1))
        late = (each.client == "client-1") & (each.scheduled_s > first_s + 1.5)
        assert set(each.node[late & each.answered]) == {"client-1"}


@pytest.mark.parametrize(
    "fault", [{"lose_device": "edge-0"}, {"silence_link": ["edge-0", "cloud"]}], ids=str
)
def test_the_clairvoyant_bound_knows_what_a_fault_took_and_still_holds(
    setting: Setting, solution: Solution, fault: dict[str, Any]
) -> None:
    event = {"at_s": FAULT_S, **fault}
    rows = run(setting, solution, 16.0, event)
    problem = setting.problem(demo_demand().phases[0])
    health = health_of(problem, [TimelineEvent.model_validate(event)], 16.0, BOUND_PERIOD_S)
    found, unaware = regret_of(rows, setting, health=health), regret_of(rows, setting)
    assert found is not None
    assert unaware is not None
    assert found.reached <= 1.0
    assert found.clairvoyant_bound <= unaware.clairvoyant_bound + 1e-9


def test_clocks_that_jump_change_not_one_answer(setting: Setting, solution: Solution) -> None:
    calm = run(setting, solution, 6.0)
    jumps = [
        {"at_s": at_s, "jump_clock": {"node": node, "by_s": by_s}}
        for at_s, node, by_s in (
            (2.0, "client-0", 3600.0), (3.0, "edge-0", -3600.0), (4.0, "cloud", 86400.0),
        )
    ]  # fmt: skip
    assert same(calm, run(setting, solution, 6.0, *jumps))


def test_a_dead_controller_costs_nothing_but_the_start_of_nodes(
    setting: Setting, solution: Solution
) -> None:
    calm = run(setting, solution, 6.0)
    dying = [{"at_s": 3.0, "kill_controller": each} for each in ("serve", "store", "loop")]
    assert same(calm, run(setting, solution, 6.0, *dying))
    killed = {"at_s": FAULT_S, "kill_node": "edge-0"}
    begun_s = []
    for events in ([killed], [{"at_s": FAULT_S - 0.5, "kill_controller": "serve"}, killed]):
        rows = run(setting, solution, 24.0, *events)
        again = rows.answered & (rows.node == "edge-0") & (rows.scheduled_s > FAULT_S)
        begun_s.append(rows.done_s[again].min())
    assert begun_s[1] - begun_s[0] > 0.6 * (CONTROLLER_AWAY_S - 0.5)


def undecided(ground: Ground, given: DecisionInput) -> Decision:
    """Planning takes its time, and is not what is tested here."""
    raise PlanningError("no plan today")


def looks(
    setting: Setting, solution: Solution, event: dict[str, Any]
) -> tuple[list[Look], Measurements]:
    """Of a loop that runs for 12 s and changes nothing."""
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 12.0})
    run = simulate_live(
        setting, solution.plan, [phase], ReplanOptions(), seed=1, planning_s=0.1,
        timeline=[TimelineEvent.model_validate(event)], policy=replace(REACTIVE, decide=undecided),
    )  # fmt: skip
    assert summarise_run(run.measurements).errors == 0
    return run.looks, run.measurements


def test_a_loop_that_is_killed_looks_no_more_and_the_plan_in_force_serves_on(
    setting: Setting, solution: Solution
) -> None:
    last = [
        looks(setting, solution, {"at_s": 5.0, "kill_controller": controller})
        for controller in ("store", "loop")
    ]
    (lives, _), (dies, rows) = last
    assert lives[-1].at_s > 10.0
    assert dies[-1].at_s <= 5.0
    assert rows.answered[rows.scheduled_s > 6.0].mean() > 0.5


def test_the_loop_counts_a_node_without_device_as_away(
    setting: Setting, solution: Solution
) -> None:
    seen, _ = looks(setting, solution, {"at_s": 5.0, "lose_device": "edge-0"})
    assert all(look.absent == () for look in seen if look.at_s < 5.0)
    assert all(look.absent == ("edge-0",) for look in seen if look.at_s > 7.0)


def test_a_loss_in_the_middle_of_a_change_breaks_it_off_and_the_loop_goes_on(
    setting: Setting,
) -> None:
    phase = demo_demand().phases[0]
    first = solve(setting.problem(phase), "all-local").plan
    other = solve(setting.problem(phase.scaled(1.5)), "baj3o").plan  # for more than is estimated
    assert set(other.onloading["edge-0"]) - set(first.onloading.get("edge-0", ()))  # to be loaded

    def change_once(ground: Ground, given: DecisionInput) -> Decision:
        if given.number > 1:
            raise PlanningError("no plan today")
        return Decision.model_construct(plan=other, meanwhile=None)  # all that is read

    def live(*timeline: TimelineEvent) -> LiveRun:
        short = phase.model_copy(update={"duration_s": 10.0})
        return simulate_live(
            setting, first, [short], ReplanOptions(), seed=1, planning_s=0.1,
            timeline=timeline, policy=replace(REACTIVE, decide=change_once),
        )  # fmt: skip

    whole = live()
    decided_s = next(look.at_s for look in whole.looks if look.made is not None)
    broken = live(TimelineEvent(at_s=decided_s + 0.15, lose_device="edge-0"))
    assert [len(run.changes) for run in (whole, broken)] == [1, 0]
    assert broken.looks[-1].at_s > decided_s + 2.0
    assert summarise_run(broken.measurements).errors == 0
