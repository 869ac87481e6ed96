"""Verbs that judge a plan take the load it was made for from the plan, not from a demand."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.demand import Demand
from cluster.errors import InputError
from cluster.specs import SPECS
from planner.plan import Plan
from planner.policies import Options, solve
from serving.cli.inputs import planned_phase
from support.demo_setting import demo_demand, demo_setting

FILE = Path("out/plan.json")


def test_a_plan_says_for_what_load_it_was_made(tmp_path: Path) -> None:
    setting = demo_setting()
    second = demo_demand().phases[1]
    second = second.model_copy(update={"dispersion": {"client-1": 3.0}, "burst_correlation": 0.5})
    made = solve(setting.problem(second), "all-local", Options()).plan
    made.save(tmp_path / "plan.json")
    read = Plan.load(tmp_path / "plan.json")
    phase = planned_phase(read, FILE, None)
    assert phase.rates_qps == second.rates_qps
    assert phase.dispersion_of("client-1", 0.1) == 3.0
    assert phase.dispersion_of("client-0", 0.1) == 1.0
    assert phase.common_bursts == 0.5
    assert setting.problem(phase).digest == read.problem_digest


def test_a_demand_that_is_named_counts_instead() -> None:
    setting = demo_setting()
    made = solve(setting.problem(demo_demand().phases[1]), "all-local", Options()).plan
    named = SPECS / "demo-demand.yaml"
    assert planned_phase(made, FILE, named) == Demand.load(named).phases[0]
    assert planned_phase(made, FILE, named, 1) == Demand.load(named).phases[1]


def test_a_plan_of_an_older_version_asks_for_its_demand() -> None:
    setting = demo_setting()
    made = solve(setting.problem(demo_demand().phases[0]), "all-local", Options()).plan
    older = made.model_copy(update={"load_qps": {}})
    with pytest.raises(InputError, match=r"plan\.json: .*name it with --demand"):
        planned_phase(older, FILE, None)
