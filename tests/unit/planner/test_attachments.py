"""F12: clients that reach several edges, by hand, by brute force, and for every policy."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.allocation import Allocation
from planner.attachments import best_by_client, best_of_others, components
from planner.decomposition import joined
from planner.edge_cost import EdgeCost
from planner.evaluate import evaluate
from planner.explanation.explain import explain
from planner.instances import sample_problem
from planner.plan import Plan, PlanError, allocation_of, plan_of
from planner.policies import POLICIES, Options, solve
from planner.problem import Problem, ProblemError
from planner.programs.bound import relax
from planner.programs.offloading import Tiers, route
from support.planner_cases import one_client, random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=3, deadline=None, derandomize=True, database=None)
NO_CLOUD: dict[str, Any] = {"cloud_accuracy_t": [0.0, 0.0], "cloud_model_t": [-1, -1]}
NO_EDGE: dict[str, Any] = {"edge_memory_e": [0.0, 0.0]}


def two_edges(**changes: Any) -> Problem:
    """`one_client` without memory, reaching the like edges e0 and e1, nothing binding."""
    both: dict[str, Any] = {
        "edges": ("e0", "e1"), "client_of_a": [0, 0], "edge_of_a": [0, 1],
        "client_memory_c": [0.0], "edge_memory_e": [1000.0, 1000.0],
        "edge_model_bytes_em": [[10.0, 10.0, 100.0]] * 2, "edge_compute_e": [1.0, 1.0],
        "window_e": [0.5, 0.5], "edge_setup_em": [[0.01, 0.01, 0.02]] * 2,
        "edge_marginal_em": [[0.001, 0.001, 0.003]] * 2, "edge_uplink_e": [1e6, 1e6],
    }  # fmt: skip
    return one_client(**{**both, **changes})


HAND_SOLVED: list[tuple[str, dict[str, Any], float]] = [
    # Each edge holds one small model: a at e0 (0.5), b at e1 (0.4).
    ("F4", {**NO_CLOUD, "edge_memory_e": [10.0, 10.0]}, (6 * 0.5 + 4 * 0.4) / 10),
    # The radio carries 5 queries in all, whatever the edges could take: 5 at 0.8.
    ("F7", {**NO_CLOUD, "client_uplink_c": [500.0]}, 0.40),
    # It carries 8, but 3 by way of e0 and 2 by way of e1.
    ("F7", {**NO_CLOUD, "client_uplink_c": [800.0], "uplink_a": [300.0, 200.0]}, 0.40),
    # The cloud takes 1 query/s by way of e0 and 3 by way of e1.
    ("F7", {**NO_EDGE, "edge_uplink_e": [100.0, 300.0]}, 4 * 0.9 / 10),
    # Two windows with room for 20/3 queries/s of big each: all 10 are answered at 0.8.
    ("F2", {**NO_CLOUD, "edge_compute_e": [0.06, 0.06]}, 0.80),
    # A deadline closes e0's path to the cloud; e1's backhaul carries 3 queries at 0.9.
    ("F7", {**NO_EDGE, "edge_uplink_e": [1e6, 300.0], "edge_rtt_e": [9.0, 0.0],
            "deadline_t": [1.0, 1.0]}, 3 * 0.9 / 10),
]  # fmt: skip


@pytest.mark.parametrize("policy", ["exact", "certified", "baj3o"])
@pytest.mark.parametrize(("label", "changes", "expected"), HAND_SOLVED)
def test_the_hand_solved_optimum_is_found(
    policy: str, label: str, changes: dict[str, Any], expected: float
) -> None:
    solution = solve(two_edges(**changes), policy, Options(overrun=None, fill=1.0))
    assert solution.objective == pytest.approx(expected, abs=1e-6)
    assert solution.evaluation.usages[label].tightness_n.max() == pytest.approx(1.0, abs=1e-6)
    assert evaluate(solution.problem, solution.plan).objective == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("seed", "clients", "models"),
    [pytest.param(2, 1, 3, marks=pytest.mark.slow), (4, 2, 2), (8, 2, 2)],
)
def test_exact_equals_brute_force_over_all_model_sets(seed: int, clients: int, models: int) -> None:
    problem = random_problem(seed, edges=2, clients=clients, models=models, tasks=2, reach=2)
    options = Options(overrun=None, fill=1.0, gap=1e-6)
    best = 0.0
    for bits in product((False, True), repeat=(clients + 2) * models):
        chosen_nm = np.array(bits).reshape(-1, models)
        best = max(best, _value(problem, chosen_nm[:clients], chosen_nm[clients:], options))
    for policy in ("exact", "certified"):
        found = solve(problem, policy, options)
        assert found.objective == pytest.approx(best / problem.total_load_qps, rel=1e-5)


def _value(problem: Problem, x_cm: np.ndarray, y_em: np.ndarray, options: Options) -> float:
    """Optimum with exactly these models, every edge model charged its setup; -1 if not allowed."""
    over_c = np.where(x_cm, problem.client_model_bytes_cm, 0).sum(1) > problem.client_memory_c
    over_e = np.where(y_em, problem.edge_model_bytes_em, 0).sum(1) > problem.edge_memory_e
    setup_e = np.where(y_em, problem.edge_setup_em, 0).sum(1)
    if over_c.any() or over_e.any() or (setup_e > problem.edge_compute_e * problem.window_e).any():
        return -1.0
    return route(problem, x_cm, y_em, EdgeCost.batched(problem), options, Tiers()).value_qps


@settings(FEW, max_examples=4)
@given(seed=SEEDS, reach=st.integers(2, 3))
def test_every_policy_is_feasible_and_below_exact_and_its_bound(seed: int, reach: int) -> None:
    problem = random_problem(seed, edges=3, reach=reach)
    options = Options(overrun=None, fill=0.8, seed=seed, gap=1e-5)
    best = solve(problem, "exact", options)
    bound = relax(problem, "batched", options).bound_qps / problem.total_load_qps
    assert best.objective <= bound * (1 + 1e-7)
    for name in POLICIES:
        solution = solve(problem, name, options)
        checked = evaluate(problem, solution.plan, fill=options.fill)
        assert checked.feasible, (name, checked.violations())
        assert checked.objective == pytest.approx(solution.objective, abs=1e-9)
        assert solution.objective <= best.certificate.upper_bound * (1 + 1e-7), name
        if name != "j3o":  # its bound is for F6
            assert best.objective <= solution.certificate.upper_bound * (1 + 1e-7), name
        assert explain(problem, solution).lines


@FEW
@given(seed=SEEDS)
def test_one_more_attachment_never_lowers_the_optimum(seed: int) -> None:
    options = Options(overrun=None, gap=1e-6)
    wide = random_problem(seed, edges=3, reach=3)
    values = []
    for reach in (1, 2, 3):
        kept_a = np.tile(np.arange(3) < reach, len(wide.clients))
        names = ("client_of_a", "edge_of_a", "uplink_a", "rtt_a")
        problem = replace(wide, **{name: getattr(wide, name)[kept_a] for name in names})
        values.append(solve(problem, "exact", options).objective)
    assert values[0] <= values[1] * (1 + 1e-6)
    assert values[1] <= values[2] * (1 + 1e-6)


@pytest.mark.parametrize("policy", ["exact", "certified", "baj3o", "j3o"])
def test_the_order_of_attachments_does_not_matter(policy: str) -> None:
    problem = random_problem(5, edges=3, reach=2)
    order = np.random.default_rng(0).permutation(len(problem.client_of_a))
    names = ("client_of_a", "edge_of_a", "uplink_a", "rtt_a")
    shuffled = replace(problem, **{name: getattr(problem, name)[order] for name in names})
    before, after = solve(problem, policy), solve(shuffled, policy)
    assert before.objective == pytest.approx(after.objective, rel=2e-4)


def test_edges_that_share_no_client_are_planned_apart() -> None:
    problem = random_problem(1, edges=4, clients=6)
    chain = replace(
        problem,
        edge_of_a=np.array([0, 1, 1, 2, 3, 3, 0]),
        client_of_a=np.array([0, 0, 1, 2, 3, 4, 5]),
        uplink_a=np.array([]), rtt_a=np.array([]), load_ct=np.ones_like(problem.load_ct),
    )  # fmt: skip
    found = [(part.edges.tolist(), part.clients.tolist()) for part in components(chain)]
    assert found == [([0, 1], [0, 1, 5]), ([2], [2]), ([3], [3, 4])]
    piece = components(chain)[0].piece(chain)
    assert piece.edge_of_a.tolist() == [0, 1, 1, 0]
    assert piece.client_of_a.tolist() == [0, 0, 1, 2]
    idle = replace(chain, load_ct=np.vstack([np.zeros(3), np.ones((5, 3))]))
    assert [part.edges.tolist() for part in components(idle)] == [[0], [1], [2], [3]]


def test_a_piece_is_the_problem_of_its_own_clients_and_edges() -> None:
    problem = random_problem(3, edges=3, clients=9, models=6)
    for part in components(problem):
        piece = part.piece(problem)
        c, e, a = part.clients, part.edges, part.attachments
        rows = {"c": c, "e": e, "a": a}
        slices = {
            name: getattr(problem, name)[rows[name.rsplit("_", 1)[1][0]]]
            for name in Problem.array_fields()
            if name.rsplit("_", 1)[1][0] in rows
        }
        slices["client_of_a"] = np.searchsorted(c, slices["client_of_a"])
        slices["edge_of_a"] = np.searchsorted(e, slices["edge_of_a"])
        expected = replace(
            problem,
            clients=tuple(problem.clients[i] for i in c),
            edges=tuple(problem.edges[i] for i in e),
            cloud_compute=float("inf"),
            **slices,
        )
        assert piece.digest == expected.digest
        assert not piece.load_ct.flags.writeable


def test_sums_and_maxima_over_attachments() -> None:
    problem = replace(
        random_problem(1, edges=3, clients=2, tasks=1), client_of_a=np.array([0, 0, 0, 1]),
        edge_of_a=np.array([0, 1, 2, 1]), uplink_a=np.array([]), rtt_a=np.array([]),
    )  # fmt: skip
    value_at = np.array([[3.0], [3.0], [1.0], [2.0]])
    assert best_by_client(problem, value_at).ravel().tolist() == [3.0, 2.0]
    assert best_of_others(problem, value_at).ravel().tolist() == [3.0, 3.0, 3.0, -np.inf]


def test_a_cloud_route_names_the_edge_it_passes_only_where_there_is_a_choice() -> None:
    problem = two_edges(**NO_EDGE, edge_uplink_e=[100.0, 300.0])
    plan = solve(problem, "exact", Options(overrun=None, fill=1.0)).plan
    assert {(r.tier, r.via) for r in plan.routes} == {("cloud", "e0"), ("cloud", "e1")}
    assert plan_of(problem, allocation_of(problem, plan), policy="exact").routes == plan.routes
    assert solve(one_client(), "all-cloud").plan.routes[0].via is None
    for via, message in ((None, "passes 'e0' or 'e1', not None"), ("e2", "not 'e2'")):
        routes = (plan.routes[0].model_copy(update={"via": via}),)
        with pytest.raises(PlanError, match=rf"^routes\.0\.via: .*{message}"):
            allocation_of(problem, plan.model_copy(update={"routes": routes}))


def test_a_plan_and_its_problem_survive_their_files(tmp_path: Path) -> None:
    problem = random_problem(4, edges=3, reach=2)
    again = Problem.load(problem.save(tmp_path / "problem.json"))
    assert again.digest == problem.digest
    np.testing.assert_array_equal(again.uplink_a, problem.uplink_a)
    solution = solve(problem, "baj3o")
    plan = Plan.load(solution.plan.save(tmp_path / "plan.json"))
    assert evaluate(again, plan).objective == pytest.approx(solution.objective)


def test_a_file_from_before_attachments_still_loads(tmp_path: Path) -> None:
    problem = one_client(rtt_a=[0.25])
    data = json.loads(problem.save(tmp_path / "problem.json").read_text())
    data["edge_of_c"], data["client_rtt_c"] = data.pop("edge_of_a"), data.pop("rtt_a")
    del data["client_of_a"], data["uplink_a"]
    (tmp_path / "old.json").write_text(json.dumps(data))
    assert Problem.load(tmp_path / "old.json").digest == problem.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edge_of_a": [0, 0]}, r"^edge_of_a\.1: its client is attached to this edge twice"),
        ({"client_of_a": [0, 1]}, r"^client_of_a\.1: must be an index from 0 to 0"),
        ({"edge_of_a": [0]}, r"^edge_of_a: expected shape \(2,\), got \(1,\)"),
        ({"uplink_a": [1.0, -1.0]}, r"^uplink_a\.1: must be at least 0"),
        ({"clients": ("c0", "c1"), "load_ct": np.ones((2, 2)), "client_memory_c": [0.0, 0.0],
          "client_model_bytes_cm": np.ones((2, 3)), "client_compute_c": [1.0, 1.0],
          "client_setup_cm": np.ones((2, 3)), "client_marginal_cm": np.ones((2, 3)),
          "client_uplink_c": [1.0, 1.0]}, r"^client_of_a: 'c1' is attached to no edge"),
    ],
)  # fmt: skip
def test_attachments_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        two_edges(**changes)


def test_evaluate_holds_each_link_and_the_radio_they_share() -> None:
    problem = two_edges(client_uplink_c=[800.0], uplink_a=[600.0, np.inf], edge_uplink_e=[9e9, 9e9])
    plan = Allocation.empty(problem)
    plan.onloaded_em[:, 2] = True
    plan.edge_atm[0, 0, 2] = 1.0
    assert evaluate(problem, plan).feasible
    plan.edge_atm[0, 1, 2] = 0.25
    assert [(v.label, v.node) for v in evaluate(problem, plan).violations()] == [("F7", "c0 > e0")]
    plan.edge_atm[0, 1, 2], plan.edge_atm[1, 1, 2] = 0.0, 0.75
    assert [(v.label, v.node) for v in evaluate(problem, plan).violations()] == [("F7", "c0")]
    usage = evaluate(problem, plan).usages["F7"]
    assert dict(zip(usage.names, usage.use_n.tolist(), strict=True))["c0 > e0"] == 600.0


def test_a_full_link_is_told_with_what_it_is_worth() -> None:
    changes = {**NO_CLOUD, "client_uplink_c": [800.0], "uplink_a": [300.0, 200.0]}
    problem = two_edges(**changes)
    told = explain(problem, solve(problem, "exact", Options(overrun=None, fill=1.0)))
    prices = {item.node: item.price for item in told.bindings}
    assert prices == {"c0 > e0": pytest.approx(8e-4), "c0 > e1": pytest.approx(8e-4)}
    assert any("link to e0 full" in reason for task in told.tasks for reason in task.reasons)


def test_a_warm_start_keeps_models_when_clients_have_moved() -> None:
    problem = random_problem(3, edges=3)
    first = solve(problem, "baj3o")
    moved = replace(problem, edge_of_a=(problem.edge_of_a + 1) % 3)
    for policy in ("exact", "certified", "baj3o"):
        assert solve(moved, policy, Options(overrun=None, warm_start=first)).evaluation.feasible


def test_joined_edges_keep_a_good_previous_plan_when_the_clock_stops_them() -> None:
    wide = sample_problem("taskonomy", "compute", 3, 5, 0, reach=2)
    options = Options(overrun=None, gap=1e-3)
    near = components(wide)[0].piece(wide)
    first = solve(near, "baj3o", options)
    again = solve(near, "certified", replace(options, warm_start=first, time_limit_s=0.2))
    assert again.objective >= first.objective * (1 - 1e-6)
    assert again.certificate.upper_bound >= again.objective


@pytest.mark.parametrize("regime", ["compute", "memory", "communication"])
def test_more_links_are_worth_at_least_as_much_by_decomposition_alone(
    regime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = sample_problem("taskonomy", regime, 2, 3, 0, reach=2)
    alone = sample_problem("taskonomy", regime, 2, 3, 0)
    options = Options(overrun=None, gap=5e-3)
    least = solve(alone, "certified", options).objective
    monkeypatch.setattr(joined, "MOST_MODELS", 0)
    assert solve(wide, "certified", options).objective >= least * (1 - 1e-2)
