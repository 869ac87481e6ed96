"""F14 in problems: which tasks are asked of one image, and what a plan then brings."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import InputError
from planner.allocation import Allocation
from planner.energy import EnergyGoal, energy_of_devices
from planner.evaluate import evaluate, net_qps
from planner.passes import apart, image_loads
from planner.plan import plan_of
from planner.policies import Options, solve
from planner.problem import Problem, ProblemError
from serving.errors import NotServedError, RefusedError
from serving.rollout.stages import route_tables
from serving.routing.router import Router
from support.bundle_cases import pair, random_bundles
from support.planner_cases import one_client, random_problem


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundle_bt": [[1.0, 0.5]]}, r"^bundle_bt\.0\.1: must be 0 or 1 \(got 0\.5\)"),
        ({"bundle_bt": [[1.0, 0.0]]}, r"^bundle_bt\.0: must be of two tasks or more"),
        (
            {"bundle_bt": [[1, 1], [1, 1]], "bundle_load_cb": [[1.0, 1.0]]},
            r"^bundle_bt\.1: bundle_bt\.0 is the same set of tasks",
        ),
        ({"bundle_bt": [[1.0]]}, r"^bundle_bt: expected shape \(1, 2\), got \(1, 1\)"),
        ({"bundle_load_cb": [[1.0, 2.0]]}, r"^bundle_load_cb: expected shape \(1, 1\), got"),
        ({"bundle_load_cb": [[-1.0]]}, r"^bundle_load_cb\.0\.0: must be at least 0"),
        (
            {"load_ct": [[10.0, 9.0]]},
            r"^load_ct\.0\.1: 'c0' asks 'b' 9 times a second in all, and 10 times in its bundles",
        ),
    ],
)
def test_bundles_that_are_none_are_refused_with_their_path(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProblemError, match=message):
        pair(**changes)
    with pytest.raises(ProblemError, match=message):
        pair().changed(**changes)


def test_a_problem_without_bundles_is_what_it_was() -> None:
    problem = one_client()
    assert not problem.asks_together
    assert problem.bundle_bt.shape == (0, 2)
    assert problem.bundle_load_cb.shape == (1, 0)
    assert pair(bundle_bt=[], bundle_load_cb=[]).digest == apart(pair()).digest
    assert pair().digest != apart(pair()).digest
    assert pair().digest != pair(bundle_load_cb=[[9.0]]).digest


def test_bundles_survive_their_file(tmp_path: Path) -> None:
    path = pair().save(tmp_path / "problem.json")
    again = Problem.load(path)
    assert again.digest == pair().digest
    assert again.asks_together
    data = json.loads(path.read_text())
    assert (data["bundle_bt"], data["bundle_load_cb"]) == ([[1.0, 1.0]], [[10.0]])
    without = json.loads(apart(pair()).save(tmp_path / "apart.json").read_text())
    assert (without["bundle_bt"], without["bundle_load_cb"]) == ([], [])


def test_what_bundles_leave_of_a_load_is_asked_alone() -> None:
    problem = pair(load_ct=[[14.0, 10.0]], query_bytes_t=[100.0, 300.0])
    together, alone = image_loads(problem)
    assert (together.tasks, together.images_qps, together.image_bytes) == ((0, 1), 10.0, 300.0)
    assert (alone.tasks, alone.images_qps, alone.image_bytes) == ((0,), 4.0, 100.0)
    # Asked alone, `a` has to be sent as large as the images of which `b` is asked as well.
    assert apart(problem).query_bytes_t.tolist() == [300.0, 300.0]


def test_a_pass_and_an_upload_serve_all_tasks_of_an_image() -> None:
    problem = pair()
    plan = Allocation.empty(problem)
    plan.onloaded_em[:] = True
    plan.edge_atm[:] = 0.9
    found = evaluate(problem, plan)
    # Nine passes and nine images a second, two answers of each.
    assert found.feasible
    assert found.utilization_by_node["e0"] == pytest.approx(0.9)
    assert found.usages["F6"].use_n[0] == pytest.approx(0.9)
    assert found.usages["F7"].use_n.tolist() == pytest.approx([900.0, 0.0])
    assert found.objective == pytest.approx(0.9 * (0.8 + 0.6) / 2)
    assert found.shed_share == pytest.approx(0.1)
    alone = evaluate(apart(problem), plan)
    assert alone.utilization_by_node["e0"] == pytest.approx(1.8)
    assert alone.usages["F7"].use_n.tolist() == pytest.approx([1800.0, 0.0])


def test_a_request_that_lacks_one_answer_has_none() -> None:
    """`a` is planned for all images and `b` for .4 of them: six of ten requests are refused."""
    problem = pair()
    plan = Allocation.empty(problem)
    plan.onloaded_em[:] = True
    plan.edge_atm[0, :, 0] = (1.0, 0.4)
    found = evaluate(problem, plan)
    assert found.accuracy_t.tolist() == pytest.approx([0.4 * 0.8, 0.4 * 0.6])
    assert found.shed_share == pytest.approx(0.6)
    assert found.share_by_tier == pytest.approx({"client": 0.0, "edge": 0.4, "cloud": 0.0})
    assert found.utilization_by_node["e0"] == pytest.approx(0.4)
    assert net_qps(problem, plan) == pytest.approx(10 * 0.4 * (0.8 + 0.6))


def test_the_cloud_makes_one_pass_for_tasks_of_one_model() -> None:
    problem = pair(cloud_accuracy_t=[0.9, 0.9], cloud_model_t=[0, 0], cloud_cost_t=[0.02, 0.02])
    plan = Allocation.empty(problem)
    plan.cloud_at[0] = (0.5, 0.3)
    plan.onloaded_em[:] = True
    plan.edge_atm[0, :, 0] = (0.5, 0.7)
    found = evaluate(problem, plan)
    # Three images have both in the cloud, five at the edge, two send `a` up and `b` to the edge.
    assert found.utilization_by_node["sky"] == pytest.approx(5 * 0.02)
    assert found.usages["F7"].use_n.tolist() == pytest.approx([1000.0, 500.0])
    assert found.utilization_by_node["e0"] == pytest.approx(0.7)


def random_plan(problem: Problem, rng: np.random.Generator) -> Allocation:
    """Some share of everything that serves, shed here and there."""
    plan = Allocation.empty(problem)
    serves_tm = problem.accuracy_mt.T > 0
    plan.local_ctm[:] = rng.random(plan.local_ctm.shape) * serves_tm
    plan.edge_atm[:] = rng.random(plan.edge_atm.shape) * serves_tm
    plan.cloud_at[:] = rng.random(plan.cloud_at.shape) * (problem.cloud_model_t >= 0)
    share_ct = plan.share_ct(problem)
    total_ct = np.maximum(share_ct, 1e-12) / rng.choice([1.0, 0.7], share_ct.shape)
    plan.local_ctm[:] /= total_ct[:, :, None]
    plan.edge_atm[:] /= total_ct[problem.client_of_a][:, :, None]
    plan.cloud_at[:] /= total_ct[problem.client_of_a]
    return replace(
        plan,
        onloaded_cm=np.asarray(plan.local_ctm.any(axis=1)),
        onloaded_em=np.ones_like(plan.onloaded_em),
    )


@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("sets", [((0, 1),), ((0, 1, 2),), ((0, 1), (1, 2))])
def test_routers_do_what_evaluate_counts(sets: tuple[tuple[int, ...], ...], reach: int) -> None:
    """The asks of three thousand requests for each bundle, and of as many for what is asked
    alone, by the routers of the plan itself."""
    problem = random_bundles(5, sets=sets, clients=2, models=4, reach=reach)
    plan = random_plan(problem, np.random.default_rng(5))
    found = evaluate(problem, plan)
    tables = route_tables(plan_of(problem, plan, policy="drawn"), 1, problem.clients)
    count = 3_000
    passes: defaultdict[tuple[str, str], float] = defaultdict(float)
    answers: defaultdict[str, float] = defaultdict(float)
    for load in image_loads(problem):
        router = Router(tables[problem.clients[load.client]])
        each_qps = load.images_qps / count
        for _ in range(count):
            try:
                asks = router.pick_all(tuple(problem.tasks[t] for t in load.tasks))
            except (NotServedError, RefusedError):
                continue
            for ask in asks:
                passes[ask.target.node, ask.target.model] += each_qps
                for task in ask.tasks:
                    answers[task] += each_qps
    cost_cm = problem.client_setup_cm + problem.client_marginal_cm
    for c, client in enumerate(problem.clients):
        busy = sum(passes[client, model] * cost_cm[c, m] for m, model in enumerate(problem.models))
        assert busy == pytest.approx(found.utilization_by_node[client], rel=0.01, abs=2e-3)
    cost_em = problem.edge_setup_em + problem.edge_marginal_em
    for e, edge in enumerate(problem.edges):
        busy = sum(passes[edge, model] * cost_em[e, m] for m, model in enumerate(problem.models))
        assert busy == pytest.approx(found.usages["F6"].use_n[e], rel=0.01, abs=2e-3)
    in_cloud = sum(qps for (node, _), qps in passes.items() if node == problem.cloud)
    assert 0.01 * in_cloud == pytest.approx(found.utilization_by_node["cloud"], rel=0.01, abs=2e-3)
    answered_t = problem.load_ct.sum(axis=0) - found.shed_qps_ct.sum(axis=0)
    for t, task in enumerate(problem.tasks):
        assert answers[task] == pytest.approx(answered_t[t], rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_a_plan_for_tasks_asked_alone_keeps_every_budget(seed: int) -> None:
    problem = random_bundles(seed, sets=((0, 1), (1, 2)))
    for policy in ("exact", "all-edge", "all-cloud"):
        found = solve(apart(problem), policy, Options(overrun=None, gap=1e-3))
        assert evaluate(problem, found.allocation, fill=0.6).feasible
        alone = found.evaluation
        shared = evaluate(problem, found.allocation)
        for node, use in shared.utilization_by_node.items():
            assert use <= alone.utilization_by_node[node] * (1 + 1e-9) + 1e-12
        assert shared.objective <= alone.objective * (1 + 1e-9)


def test_without_bundles_the_work_is_that_of_every_query() -> None:
    """A set that nobody asks changes nothing."""
    plain = random_problem(7)
    plan = solve(plain, "exact", Options(overrun=None)).allocation
    idle = plain.changed(bundle_bt=np.array([[1.0, 1.0, 0.0]]), bundle_load_cb=np.zeros((4, 1)))
    one, other = evaluate(plain, plan), evaluate(idle, plan)
    assert one.summary() == other.summary()


def test_what_counts_tasks_apart_is_refused_in_a_line() -> None:
    problem, plan = pair(), Allocation.empty(pair())
    with pytest.raises(InputError, match=r"\(F14\): windows under random arrivals \(F11\) cannot"):
        evaluate(problem, plan, overrun=0.05)
    goal = EnergyGoal(energy_of_devices(problem, client_w=1.0, edge_w=1.0, cloud_w=1.0), price=0.1)
    with pytest.raises(InputError, match=r"\(F14\): energy \(F18\) cannot be evaluated"):
        evaluate(problem, plan, energy=goal)
