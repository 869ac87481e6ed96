"""F13: paths that cannot keep a deadline are closed to every policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.allocation import Allocation
from planner.evaluate import evaluate
from planner.explanation.explain import explain
from planner.paths import cloud_open_at, edge_open_at, local_open_cmt
from planner.policies import POLICIES, Options, solve
from planner.problem import Problem
from support.planner_cases import one_client, random_problem

FEW = settings(max_examples=3, deadline=None, derandomize=True, database=None)


def test_the_latency_bound_of_each_path_by_hand() -> None:
    # client: big takes 0.05 s; edge: rtt 0.1 + 100 B / 1 kB/s + 2 x 0.5 = 1.2 s;
    # cloud: 0.2 + (0.2 + 100 B / 1 kB/s) + 0.01 = 0.51 s.
    problem = one_client(
        rtt_a=[0.1], edge_rtt_e=[0.2], client_uplink_c=[1000.0], edge_uplink_e=[1000.0]
    )
    for deadline_s, local, edge, cloud in (
        (0.04, False, False, False), (0.06, True, False, False),
        (0.52, True, False, True), (1.21, True, True, True),
    ):  # fmt: skip
        timed = replace(problem, deadline_t=np.full(2, deadline_s))
        assert local_open_cmt(timed)[0, 2, 0] == local
        assert edge_open_at(timed)[0, 0] == edge
        assert cloud_open_at(timed)[0, 0] == cloud


def test_a_deadline_moves_the_optimum_to_the_paths_in_time() -> None:
    # Two windows are 1 s: with 0.5 s only the client (0.05 s) and the cloud are left.
    problem = one_client(deadline_t=[0.5, 0.5], client_memory_c=[10.0])
    solution = solve(problem, "exact", Options(overrun=None, fill=1.0))
    assert solution.evaluation.share_by_tier["edge"] == 0.0
    assert solution.objective == pytest.approx((6 * 0.9 + 4 * 0.4) / 10, abs=1e-6)
    late = one_client(deadline_t=[np.inf, 0.001])
    told = explain(late, solve(late, "exact")).tasks
    assert told[0].reasons == {"no path is in time for its deadline": pytest.approx(1.0)}


def test_evaluate_sees_a_late_share() -> None:
    plan = Allocation.empty(one_client())
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, 0, 2] = 1.0
    labels = [v.label for v in evaluate(one_client(deadline_t=[0.9, 0.9]), plan).violations()]
    assert labels == ["F13"]


@FEW
@given(seed=st.integers(0, 10_000))
def test_every_policy_honours_deadlines(seed: int) -> None:
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    problem = replace(
        problem,
        deadline_t=rng.choice([0.02, 0.12, 0.5, np.inf], len(problem.tasks)),
        rtt_a=rng.uniform(0, 0.02, len(problem.clients)),
        edge_rtt_e=rng.uniform(0, 0.05, len(problem.edges)),
    )
    best = solve(problem, "exact", Options(overrun=None, gap=1e-6)).certificate
    for name in POLICIES:
        solution = solve(problem, name, Options(overrun=None, gap=1e-3))
        assert solution.evaluation.feasible
        assert solution.objective <= best.upper_bound * (1 + 1e-7), name
    bound = solve(problem, "certified", Options(overrun=None, gap=1e-3)).certificate.upper_bound
    assert best.objective <= bound * (1 + 1e-7)


def test_deadlines_survive_the_file(tmp_path: Path) -> None:
    problem = one_client(deadline_t=[0.5, np.inf], rtt_a=[0.01])
    again = Problem.load(problem.save(tmp_path / "problem.json"))
    assert again.digest == problem.digest
    assert again.deadline_t.tolist() == [0.5, np.inf]
