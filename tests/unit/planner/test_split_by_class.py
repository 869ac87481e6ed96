"""F20: a deadline class is a task of its own, and F13 closes its ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.allocation import Allocation
from planner.deadline_classes import split_by_class, tasks_served_m
from planner.evaluate import evaluate
from planner.policies import Options, solve
from planner.problem import Problem, ProblemError
from support.planner_cases import one_client, random_problem

FEW = settings(max_examples=6, deadline=None, derandomize=True, database=None)
PLAIN = Options(overrun=None, fill=1.0, gap=1e-6)


def one_task() -> Problem:
    """Six queries/s of `a`: 0.5 at home, where only a small model fits, and 0.8 at the edge, which
    takes two windows of half a second."""
    return one_client(
        load_ct=[[6.0, 0.0]], client_memory_c=[10.0],
        cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1],
    )  # fmt: skip


def parted(problem: Problem, seed: int) -> Problem:
    """Some of the queries of the first two tasks in classes, without deadlines."""
    rng = np.random.default_rng(seed)
    load_of = {}
    for t, task in enumerate(problem.tasks[:2]):
        shares = rng.dirichlet(np.ones(3 - t), len(problem.clients)).T
        for name, share_c in zip((task, f"{task}@x", f"{task}@y"), shares, strict=False):
            load_of[name] = share_c * problem.load_ct[:, t]
    return split_by_class(problem, load_of)


def test_the_fast_class_is_answered_at_home_and_the_rest_by_the_edge() -> None:
    whole = one_task()
    assert solve(whole, "exact", PLAIN).objective == pytest.approx(0.8)
    load_of = {"a": np.array([4.0]), "a@fast": np.array([2.0])}
    problem = split_by_class(whole, load_of, {"a@fast": 0.1})
    assert problem.tasks == ("a", "a@fast", "b")
    for policy in ("exact", "certified", "baj3o"):
        solution = solve(problem, policy, PLAIN)
        assert solution.objective == pytest.approx((4 * 0.8 + 2 * 0.5) / 6), policy
        ways = {(r.task, r.node, r.model): r.share for r in solution.plan.routes}
        assert ways == pytest.approx({("a", "e0", "big"): 1.0, ("a@fast", "c0", "small-a"): 1.0})
        assert solution.plan.deadlines_s == {"a@fast": 0.1}


def test_classes_of_a_task_share_its_batches() -> None:
    whole, plan = one_task(), Allocation.empty(one_task())
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, 0, 2] = 1.0
    problem = split_by_class(whole, {"a": np.array([4.0]), "a@slow": np.array([2.0])})
    same = Allocation.empty(problem)
    same.onloaded_em[0, 2] = True
    same.edge_atm[0, :2, 2] = 1.0
    used, again = (
        evaluate(*each).summary().tightest_by_constraint
        for each in ((whole, plan), (problem, same))
    )
    assert again == pytest.approx(used)
    assert used["F9"] == pytest.approx((0.02 + 0.003 * 3) / 0.5)  # one setup for three queries


@FEW
@given(seed=st.integers(0, 10_000), reach=st.sampled_from([1, 2]))
def test_classes_without_deadlines_change_neither_objective_nor_bound(
    seed: int, reach: int
) -> None:
    whole = random_problem(seed, tasks=3, reach=reach)
    problem = parted(whole, seed)
    assert problem.total_load_qps == pytest.approx(whole.total_load_qps)
    one, other = (solve(each, "exact", PLAIN) for each in (whole, problem))
    assert other.objective == pytest.approx(one.objective, rel=5e-6, abs=1e-9)
    bounds = [each.certificate.upper_bound for each in (one, other)]
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-5, abs=1e-9)
    for policy in ("certified", "baj3o"):
        found = solve(problem, policy, Options(overrun=None, fill=1.0, gap=1e-3))
        assert found.evaluation.feasible
        assert found.objective <= bounds[0] * (1 + 1e-7)
        assert found.certificate.upper_bound >= one.objective * (1 - 1e-7)


def test_what_is_not_given_is_the_tasks() -> None:
    whole = random_problem(3)
    timed = whole.changed(deadline_t=np.array([0.7, np.inf, 0.2]))
    first = timed.load_ct[:, 0] / 2
    problem = split_by_class(timed, {"task-0": first, "task-0@x": first}, {"task-2": 0.4})
    assert problem.tasks == ("task-0", "task-0@x", "task-1", "task-2")
    assert problem.deadline_t.tolist() == [0.7, 0.7, np.inf, 0.4]
    np.testing.assert_array_equal(problem.load_ct[:, 2:], whole.load_ct[:, 1:])
    for name in ("cloud_accuracy_t", "cloud_model_t", "query_bytes_t", "answer_bytes_t"):
        assert getattr(problem, name)[0] == getattr(problem, name)[1] == getattr(whole, name)[0]
    np.testing.assert_array_equal(problem.accuracy_mt[:, 1], whole.accuracy_mt[:, 0])


def test_a_class_of_no_task_or_without_its_rest_is_refused() -> None:
    load_c = np.array([1.0])
    with pytest.raises(ProblemError, match=r"load_of\.z@x: the problem has no task 'z'"):
        split_by_class(one_task(), {"z": load_c, "z@x": load_c})
    with pytest.raises(ProblemError, match=r"load_of\.a@x: state what of 'a' is in no class"):
        split_by_class(one_task(), {"a@x": load_c})


def test_a_model_of_one_task_stays_one_with_classes() -> None:
    whole = one_task()
    load_of = {"a": np.array([4.0]), "a@x": np.array([2.0])}
    problem = split_by_class(whole, load_of)
    assert tasks_served_m(problem).tolist() == tasks_served_m(whole).tolist() == [1, 1, 2]
    before, after = (solve(each, "single-task-only", PLAIN) for each in (whole, problem))
    assert after.objective == pytest.approx(before.objective)
    assert after.objective == pytest.approx(0.5)  # without `big`
