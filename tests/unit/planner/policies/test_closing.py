"""The closing step of the alternations: never worse, and better where iterates complement."""

from __future__ import annotations

import numpy as np
import pytest

from planner.allocation import Allocation
from planner.evaluate import evaluate
from planner.instances import sample_problem
from planner.options import Options
from planner.policies import closing, solve
from planner.policies.closing import best_of_models
from planner.programs.prices import Prices
from support.planner_cases import one_client


@pytest.mark.parametrize(("policy", "form"), [("baj3o", "batched"), ("j3o", "unbatched")])
def test_it_is_better_than_the_plain_method_and_never_worse(policy: str, form: str) -> None:
    gains = []
    options = Options(overrun=None)
    for regime in ("mixed", "communication", "compute"):
        problem = sample_problem("random", regime, 1, 8, 1, models=18)
        plain, closed = (solve(problem, name, options) for name in (f"{policy}-plain", policy))
        assert closed.edge_form == plain.edge_form == form
        assert closed.evaluation.feasible
        gains.append(closed.objective / plain.objective - 1)
    assert min(gains) >= -1e-9
    assert max(gains) > 1e-3


def test_two_plans_that_need_each_other_are_put_together() -> None:
    """The client's memory holds one small model, which serves one task; the edge can serve the
    other. Of two iterates each has one half of the best plan."""
    problem = one_client(
        accuracy_mt=[[0.9, 0.0], [0.0, 0.9], [0.5, 0.5]], client_memory_c=[10.0],
        edge_memory_e=[10.0], cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1],
    )  # fmt: skip
    options = Options(overrun=None, fill=1.0)
    plan = Allocation.empty(problem)
    plan.onloaded_cm[0, 0] = plan.onloaded_em[0, 0] = True
    plan.local_ctm[0, 0, 0] = 1.0
    models = (np.array([[True, False, False]]), np.array([[True, True, False]]))
    free = Prices.zero(problem)
    found = best_of_models(problem, plan, models, free, "batched", options, 5.0)
    assert evaluate(problem, found).objective == pytest.approx(0.9)
    own = (plan.onloaded_cm, plan.onloaded_em)
    alone = best_of_models(problem, plan, own, free, "batched", options, 5.0)
    assert evaluate(problem, alone).objective == pytest.approx(0.9)  # the edge may hold any model
    plan.onloaded_cm[:] = False
    nothing = (plan.onloaded_cm, plan.onloaded_em)
    alone = best_of_models(problem, Allocation.empty(problem), nothing, free, "batched", options, 5)
    assert evaluate(problem, alone).objective == pytest.approx(0.54)  # the edge has room for one


def test_without_time_the_plan_stays_as_it_is() -> None:
    problem = sample_problem("random", "mixed", 1, 3, 0)
    plan = solve(problem, "all-local", Options(overrun=None)).allocation
    everything = (np.ones_like(plan.onloaded_cm), np.ones_like(plan.onloaded_em))
    free = Prices.zero(problem)
    kept = best_of_models(problem, plan, everything, free, "batched", Options(), 0.0)
    assert np.array_equal(kept.local_ctm, plan.local_ctm)


def test_where_the_cloud_couples_too_much_the_plan_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cloud would be best for one task, and has time for a sixth of its queries."""
    problem = one_client(
        accuracy_mt=[[0.9, 0.0], [0.0, 0.9], [0.5, 0.5]], client_memory_c=[10.0],
        edge_memory_e=[10.0], cloud_accuracy_t=[0.96, 0.0], cloud_compute=0.01,
    )  # fmt: skip
    free = Prices.zero(problem)
    plan = Allocation.empty(problem)
    models = (np.ones((1, 3), dtype=bool), np.ones((1, 3), dtype=bool))
    options = Options(overrun=None, fill=1.0)
    found = best_of_models(problem, plan, models, free, "batched", options, 5.0)
    assert evaluate(problem, found).objective == pytest.approx(0.906)  # 1 of 10 queries at 0.96
    assert evaluate(problem, found).feasible
    monkeypatch.setattr(closing, "JOINT_SIZE", 5)
    assert best_of_models(problem, plan, models, free, "batched", options, 5.0) is plan
