"""No run scores above what the clairvoyant could have (F21)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluster.arrivals import MmppArrivals, MmppState
from cluster.demand import EVERY_CLIENT, Phase
from planner.policies import Options, solve
from serving.report.regret import regret_of
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from support.demo_setting import demo_demand, demo_setting

BURSTS = MmppArrivals(
    kind="mmpp",
    states=(MmppState(factor=0.3, dwell_s=3), MmppState(factor=4, dwell_s=0.8)),
    correlation=1.0,
    hold_mean=True,
)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return demo_setting()


def bursty(duration_s: float, factor: float = 1.0) -> Phase:
    rates = {
        client: {task: factor * rate for task, rate in by_task.items()}
        for client, by_task in demo_demand().phases[0].rates_qps.items()
    }
    return Phase(duration_s=duration_s, rates_qps=rates, arrivals={EVERY_CLIENT: BURSTS})


def test_the_bound_is_near_what_a_good_plan_reaches_under_a_steady_load(setting: Setting) -> None:
    phase = demo_demand().phases[0]
    plan = solve(setting.problem(phase), "certified", Options()).plan
    regret = regret_of(simulate(setting, plan, [phase], seed=3), setting)
    assert regret is not None
    assert regret.reached >= 0.8  # a plan leaves three tenths of every link free for bursts


def test_late_answers_and_refusals_score_nothing(setting: Setting) -> None:
    phase = bursty(6.0)
    plan = solve(setting.problem(phase), "certified", Options()).plan
    rows = simulate(setting, plan, [phase], seed=3)
    late = replace(rows, done_s=rows.done_s + 100.0)
    regret = regret_of(late, setting)
    assert regret is not None
    assert regret.accuracy == 0.0
    some = regret_of(replace(rows, outcome=np.full(len(rows), "shed")), setting)
    assert some is not None
    assert some.accuracy == 0.0
    assert some.clairvoyant_bound == regret.clairvoyant_bound


def test_the_bound_knows_of_the_whole_link_and_not_of_what_plans_leave_free(
    setting: Setting,
) -> None:
    """A plan that fills the links has to stay below it as well."""

    def with_share(budget_share: float) -> Setting:
        links = tuple(
            link.model_copy(update={"budget_share": budget_share})
            for link in setting.topology.links
        )
        topology = setting.topology.model_copy(update={"links": links})
        return Setting(topology, setting.cards, setting.profiles)

    phase = bursty(10.0, 2.0)
    full, sparing = with_share(1.0), with_share(0.4)
    plan = solve(full.problem(phase), "certified", Options()).plan
    rows = simulate(full, plan, [phase], seed=4)
    bounds = [regret_of(rows, each) for each in (full, sparing)]
    assert all(bound is not None and bound.reached <= 1.0 + 1e-9 for bound in bounds)
    assert bounds[0] == bounds[1]
