"""The live loop in simulated time: it gains where the mix moves, and else loses nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache

import pytest

from cluster.arrivals import Arrivals, MmppArrivals, MmppState, PoissonArrivals
from cluster.demand import Phase
from planner.plan import Plan
from planner.policies import Options, solve
from serving.replan.change_policy import REACTIVE
from serving.replan.decision import Decision, decide
from serving.replan.decision_input import DecisionInput, Ground
from serving.replan.options import ReplanOptions
from serving.routing.routes import RoutingMode
from serving.simulation.live_run import LiveRun, simulate_live
from support.demo_setting import demo_demand, demo_setting

LOOP = ReplanOptions()
BURSTS = MmppArrivals(
    kind="mmpp",
    states=(MmppState(factor=3.4, dwell_s=2.0), MmppState(factor=0.25, dwell_s=5.0)),
    correlation=1.0,
)


@cache
def plan() -> Plan:
    setting = demo_setting()
    return solve(setting.problem(demo_demand().phases[0]), "certified", Options()).plan


@cache  # a run without a loop is what several tests compare with
def run(
    options: ReplanOptions | None,
    seed: int,
    arrivals: Arrivals,
    *,
    flips: bool,
    routing: RoutingMode = RoutingMode.SHARES,
) -> LiveRun:
    phases = list(demo_demand().phases) if flips else [demo_demand().phases[0]]
    phases = [
        Phase(duration_s=30.0, rates_qps=phase.rates_qps, arrivals={"*": arrivals})
        for phase in phases
    ]
    return simulate_live(
        demo_setting(), plan(), phases, options, seed=seed, routing=routing, planning_s=0.3
    )


def test_a_flip_of_the_mix_is_followed_and_gains() -> None:
    frozen = run(None, 1, PoissonArrivals(), flips=True)
    live = run(LOOP, 1, PoissonArrivals(), flips=True)
    assert len(live.measurements) == len(frozen.measurements)
    after = [change.in_force_s for change in live.changes if change.in_force_s > 30.0]
    assert after[0] < 36.0
    assert live.accuracy > frozen.accuracy


@pytest.mark.parametrize(
    "arrivals",
    [
        PoissonArrivals(),
        pytest.param(BURSTS, marks=pytest.mark.slow),  # row L2.bursts.loop of `make bench-live`
    ],
    ids=["poisson", "bursts"],
)
def test_without_a_change_of_the_mean_the_loop_does_not_lose(arrivals: Arrivals) -> None:
    frozen = run(None, 2, arrivals, flips=False)
    live = run(LOOP, 2, arrivals, flips=False)
    assert live.accuracy >= frozen.accuracy - 0.002
    assert live.models_moved <= 1


@pytest.mark.slow  # `make test-slow`; rows L2.*.loop of `make bench-live` measure the same
@pytest.mark.parametrize("arrivals", [PoissonArrivals(), BURSTS], ids=["poisson", "bursts"])
def test_routers_that_follow_their_queues_gain_with_the_loop_and_without(
    arrivals: Arrivals,
) -> None:
    by_shares = run(None, 2, arrivals, flips=False)
    by_queues = run(None, 2, arrivals, flips=False, routing=RoutingMode.PENALTY)
    live = run(LOOP, 2, arrivals, flips=False, routing=RoutingMode.PENALTY)
    assert by_queues.accuracy > 1.02 * by_shares.accuracy
    assert live.accuracy >= by_queues.accuracy - 0.002


@pytest.mark.slow
def test_a_decision_takes_as_long_as_the_planner_took_or_as_it_is_given() -> None:
    def slow(ground: Ground, given: DecisionInput) -> Decision:
        time.sleep(0.3)
        return decide(ground, given)

    phase = demo_demand().phases[0].model_copy(update={"duration_s": 14.0})
    for planning_s in (None, 2.0):
        live = simulate_live(
            demo_setting(), plan(), [phase], LOOP,
            policy=replace(REACTIVE, decide=slow), planning_s=planning_s,
        )  # fmt: skip
        assert live.decisions_s
        for spent_s in live.decisions_s:
            assert spent_s == pytest.approx(2.0) if planning_s else spent_s >= 0.3


def test_the_loop_goes_on_looking_while_models_are_thought_about() -> None:
    """A mix that flips meanwhile gets new shares at once, and what was decided about the old one
    changes nothing."""
    first, second = demo_demand().phases
    phases = [phase.model_copy(update={"duration_s": 6.0}) for phase in (first, second)]
    live = simulate_live(demo_setting(), plan(), phases, LOOP, planning_s=5.0)
    made = [(look.at_s, look.made) for look in live.looks if look.made is not None]
    about_shares = [each.question.given.shares_only for _, each in made]
    first_slow = about_shares.index(False)
    assert first_slow >= 1
    assert all(at_s > 6.0 for at_s, _ in made[:first_slow])
    asked_s, slow = made[first_slow]
    assert asked_s < 6.0
    assert slow.overtaken
    looks_s = [look.at_s for look in live.looks if look.made is None]
    assert looks_s[:6] == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert not [change for change in live.changes if change.look.made is slow]


def test_a_run_without_a_loop_has_no_looks_and_is_the_same_twice() -> None:
    first = run(None, 2, PoissonArrivals(), flips=False)
    assert first.looks == []
    again = run.__wrapped__(None, 2, PoissonArrivals(), flips=False)
    assert first.accuracy == again.accuracy
    assert list(first.measurements.done_s) == list(again.measurements.done_s)
