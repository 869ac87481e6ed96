"""Verbs that judge a plan take the load it was made for from the plan, not from a demand."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.demand import BundleLoad, Demand
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


def test_a_plan_says_what_it_expects_of_one_image_together() -> None:
    setting = demo_setting()
    first = demo_demand().phases[0]
    client, (one, other) = next(iter(first.rates_qps)), setting.base_tasks[:2]
    bundle = BundleLoad(client=client, tasks=(one, other), qps=2.0)
    asked = first.model_copy(update={"bundles": (bundle,)})
    made = solve(setting.problem(asked), "all-local", Options(overrun=None)).plan
    phase = planned_phase(made, FILE, None)
    assert phase.bundles == (bundle,)
    assert setting.problem(phase).digest == made.problem_digest


def test_a_plan_says_what_it_expects_of_each_deadline_class() -> None:
    demand = demo_demand()
    task = next(iter(demand.phases[0].rates_qps["client-0"]))
    split = demand.phases[0].model_copy(
        update={"rates_qps": {"client-0": {task: 2.0, f"{task}@fast": 1.0}}}
    )
    setting = demo_setting().with_deadlines({f"{task}@fast": 0.2})
    made = solve(setting.problem(split), "all-local", Options(overrun=None)).plan
    phase = planned_phase(made, FILE, None)
    assert phase.rates_qps["client-0"] == {task: 2.0, f"{task}@fast": 1.0}
    assert setting.with_deadlines(made.deadlines_s).problem(phase).digest == made.problem_digest
