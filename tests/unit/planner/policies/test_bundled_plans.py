"""F14: plans in which tasks of one image share passes, with bounds that hold."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cluster.errors import InputError
from cluster.topology import Tier
from planner.allocation import Allocation
from planner.edge_cost import edge_cost
from planner.energy import EnergyGoal, energy_of_devices
from planner.evaluate import evaluate, net_qps
from planner.moving import Moving
from planner.passes import Site, image_loads
from planner.policies import POLICIES, SHARES_PASSES, Options, solve, solve_shares
from planner.problem import Problem
from planner.programs.bundled import build_bundled
from support.bundle_cases import pair, random_bundles
from support.planner_cases import one_client

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=4, deadline=None, derandomize=True, database=None)
WHOLE = Options(fill=1.0, gap=1e-5)


def test_ten_images_a_second_fill_what_answers_ten_queries() -> None:
    """Asked alone, twenty queries would need twice what there is of the edge and of the link."""
    found = solve(pair(), "exact", WHOLE)
    assert found.objective == pytest.approx(0.7, rel=1e-5)
    assert found.certificate.upper_bound == pytest.approx(0.7, rel=1e-4)
    assert found.certificate.upper_bound >= 0.7
    assert found.certificate.status == "optimal"
    assert found.evaluation.utilization_by_node["e0"] == pytest.approx(1.0, rel=1e-5)
    assert found.evaluation.usages["F7"].use_n[0] == pytest.approx(1000.0, rel=1e-5)
    alone = pair(bundle_bt=[], bundle_load_cb=[])
    # Ten of twenty queries, those of `a`.
    assert solve(alone, "exact", replace(WHOLE, overrun=None)).objective == pytest.approx(0.4)


def test_an_image_is_answered_whole() -> None:
    """With half of the edge, five images a second have both answers; five answers to `a` and none
    to `b` would be worth nothing."""
    found = solve(pair(edge_compute_e=[0.5]), "exact", WHOLE)
    assert found.objective == pytest.approx(0.35, rel=1e-5)
    assert found.evaluation.accuracy_t.tolist() == pytest.approx([0.4, 0.3], rel=1e-5)


def test_a_route_serves_what_is_asked_alone_as_well() -> None:
    """`a` is also asked alone, four times a second: 14 passes for ten. More of the images that are
    asked both cannot be answered than of those, since both follow the routes of `a`."""
    problem = pair(load_ct=[[14.0, 10.0]], client_uplink_c=[1e6])
    found = solve(problem, "exact", WHOLE)
    assert found.objective * 24 == pytest.approx(10 / 14 * (4 * 0.8 + 10 * 1.4), rel=1e-5)
    assert found.certificate.upper_bound * 24 == pytest.approx(10 / 14 * 17.2, rel=1e-4)


def test_policies_that_plan_tasks_alone_choose_the_models_and_get_the_routes() -> None:
    """Each task alone, `a` takes all of the edge, and no request for both is answered. Of policies
    without a rule for routes the models stay, routed anew."""
    problem = pair()
    for policy in ("certified", "baj3o", "greedy-accuracy"):
        assert solve(problem, policy, WHOLE).objective == pytest.approx(0.7, rel=1e-5)
    by_rule = solve(problem, "all-edge", WHOLE)
    assert by_rule.objective == pytest.approx(0.0, abs=1e-9)
    assert by_rule.certificate.upper_bound >= 0.7
    shares = solve_shares(problem, {"e0": ("both",)}, WHOLE)
    assert shares.evaluation.feasible
    assert shares.objective == shares.evaluation.objective
    assert shares.problem is problem


def test_certified_finds_models_that_share_passes_where_those_for_tasks_alone_are_poor() -> None:
    """12 images/s are asked a and b. `one` answers a with 0.9, `both` each with 0.7; a pass takes
    50 ms, so that there are 12 a second in .6 s. Asked alone, `one` would give 10.8 and `both` 8.4
    right answers of 24, and `both` gives 16.8 with a pass for each image."""
    problem = one_client(
        models=("one", "both"), load_ct=[[12.0, 12.0]], accuracy_mt=[[0.9, 0.0], [0.7, 0.7]],
        bundle_bt=[[1.0, 1.0]], bundle_load_cb=[[12.0]],
        client_memory_c=[1.0], client_model_bytes_cm=[[1.0, 1.0]], client_compute_c=[0.6],
        client_setup_cm=[[0.0, 0.0]], client_marginal_cm=[[0.05, 0.05]],
        edge_memory_e=[0.5], edge_model_bytes_em=[[1.0, 1.0]],
        edge_setup_em=[[0.01, 0.01]], edge_marginal_em=[[0.01, 0.01]],
        cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1], cloud_cost_t=[0.0, 0.0],
    )  # fmt: skip
    assert solve(problem, "baj3o", WHOLE).objective == pytest.approx(0.0, abs=1e-9)
    found = solve(problem, "certified", WHOLE)
    assert found.plan.onloading["c0"] == ("both",)
    assert found.objective == pytest.approx(0.7, rel=1e-5)
    assert found.policy == "certified"
    assert found.certificate.upper_bound == pytest.approx(0.7, rel=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_certified_is_never_worse_than_exact_within_its_gap(seed: int) -> None:
    problem = random_bundles(seed, alone=seed % 2 == 0)
    options = Options(gap=1e-3, time_limit_s=10.0)
    exact, found = (solve(problem, policy, options) for policy in ("exact", "certified"))
    assert found.evaluation.feasible
    assert found.objective >= exact.certificate.upper_bound * (1 - 2e-3) or (
        found.objective >= exact.objective * (1 - 1e-9)
    )
    assert found.certificate.upper_bound >= exact.objective * (1 - 1e-9)


def optimum(problem: Problem) -> float:
    """Right answers/s of the best plan for one client and one edge: over all sets of models, a
    program with a variable for every pair of sites that the two tasks of an image can take."""
    p = problem
    M = len(p.models)
    best = 0.0
    for bits in product((False, True), repeat=2 * M):
        x_m, y_m = np.array(bits[:M]), np.array(bits[M:])
        fits = p.client_model_bytes_cm[0][x_m].sum() <= p.client_memory_c[0]
        if fits and p.edge_model_bytes_em[0][y_m].sum() <= p.edge_memory_e[0]:
            best = max(best, best_routes(p, x_m, y_m))
    return best


def best_routes(p: Problem, x_m: np.ndarray, y_m: np.ndarray) -> float:
    """The optimum with these models at the client and at the edge."""
    window = float(p.edge_compute_e[0] * p.window_e[0]) - float(p.edge_setup_em[0][y_m].sum())
    if window < 0:
        return 0.0
    sites_t = [
        [Site(Tier.CLIENT, -1, m) for m in np.flatnonzero(x_m & (p.accuracy_mt[:, t] > 0)).tolist()]
        + [Site(Tier.EDGE, 0, m) for m in np.flatnonzero(y_m & (p.accuracy_mt[:, t] > 0)).tolist()]
        + [Site(Tier.CLOUD, 0, int(p.cloud_model_t[t]))] * int(p.cloud_model_t[t] >= 0)
        for t in range(len(p.tasks))
    ]
    gain: list[float] = []
    rows: defaultdict[Any, dict[int, float]] = defaultdict(dict)
    limits: dict[Any, float] = {
        Tier.CLIENT: float(p.client_compute_c[0]), Tier.EDGE: window,
        "up": float(p.client_uplink_c[0]), "backhaul": float(p.edge_uplink_e[0]),
        Tier.CLOUD: min(float(p.cloud_compute), 1e9),
    }  # fmt: skip
    for load in image_loads(p):
        rows[load], limits[load] = {}, 1.0
        for way in product(*(sites_t[t] for t in load.tasks)):
            v, qps = len(gain), load.images_qps
            pairs = zip(way, load.tasks, strict=True)
            gain.append(qps * sum(value(p, site, t) for site, t in pairs))
            rows[load][v] = 1.0
            for site in set(way):
                if site.tier == Tier.CLIENT:
                    cost = p.client_setup_cm[0, site.model] + p.client_marginal_cm[0, site.model]
                elif site.tier == Tier.EDGE:
                    cost = p.window_e[0] * p.edge_marginal_em[0, site.model]
                else:
                    cost = 0.01
                rows[site.tier][v] = rows[site.tier].get(v, 0.0) + qps * float(cost)
            sent_bytes = qps * load.image_bytes
            rows["up"][v] = sent_bytes * any(site.tier != Tier.CLIENT for site in way)
            rows["backhaul"][v] = sent_bytes * any(site.tier == Tier.CLOUD for site in way)
    if not gain:
        return 0.0
    matrix = np.zeros((len(rows), len(gain)))
    for r, row in enumerate(rows.values()):
        for v, entry in row.items():
            matrix[r, v] = entry
    found = linprog(-np.array(gain), matrix, [limits[key] for key in rows], bounds=(0, 1))
    return float(-found.fun)


def value(p: Problem, site: Site, t: int) -> float:
    return float(p.cloud_accuracy_t[t] if site.tier == Tier.CLOUD else p.accuracy_mt[site.model, t])


@pytest.mark.parametrize("seed", range(6))
def test_exact_equals_brute_force_over_all_models_and_pairs_of_sites(seed: int) -> None:
    problem = random_bundles(seed, alone=False, edges=1, clients=1, models=3, tasks=2)
    best = optimum(problem)
    found = solve(problem, "exact", WHOLE)
    assert best > 0
    assert found.evaluation.feasible
    assert found.objective * problem.total_load_qps == pytest.approx(best, rel=1e-4)
    assert found.certificate.upper_bound * problem.total_load_qps >= best * (1 - 1e-9)


@FEW
@given(seed=SEEDS)
def test_no_plan_is_above_the_bound_where_tasks_are_asked_alone_too(seed: int) -> None:
    """Brute force lets each load take ways of its own, which a client's routes do not."""
    problem = random_bundles(seed, edges=1, clients=1, models=3, tasks=2)
    load_qps = problem.total_load_qps
    found = solve(problem, "exact", WHOLE)
    assert found.evaluation.feasible
    assert found.objective * load_qps <= optimum(problem) * (1 + 5e-6)
    assert found.objective <= found.certificate.upper_bound


SETS = st.sampled_from([((0, 1),), ((0, 1, 2),), ((0, 1), (1, 2)), ((0, 1), (0, 1, 2))])


@FEW
@given(seed=SEEDS, sets=SETS, reach=st.sampled_from([1, 2]))
def test_every_plan_is_below_the_bound_of_exact(
    seed: int, sets: tuple[tuple[int, ...], ...], reach: int
) -> None:
    problem = random_bundles(seed, sets=sets, clients=3, models=4, reach=reach)
    options = Options(gap=1e-3, time_limit_s=10.0)
    best = solve(problem, "exact", options)
    assert best.evaluation.feasible
    assert evaluate(problem, best.plan, fill=0.6).feasible
    for policy in ("certified", "baj3o-plain", "all-edge", "all-local", "random"):
        found = solve(problem, policy, options)
        assert evaluate(problem, found.plan, fill=0.6).feasible
        assert found.objective == pytest.approx(evaluate(problem, found.plan).objective, rel=1e-6)
        assert found.objective <= best.certificate.upper_bound * (1 + 1e-9)
        assert best.objective <= found.certificate.upper_bound * (1 + 1e-9)


@FEW
@given(seed=SEEDS, sets=SETS, reach=st.sampled_from([1, 2]))
def test_what_routers_make_of_a_plan_is_a_point_of_the_program(
    seed: int, sets: tuple[tuple[int, ...], ...], reach: int
) -> None:
    """So its bound holds for every plan. The plans are those for tasks that are asked alone."""
    problem = random_bundles(seed, sets=sets, clients=3, models=4, reach=reach)
    cost = edge_cost(problem, "batched")
    model = build_bundled(problem, fill=0.6, cost=cost)
    for policy in ("all-edge", "random", "infaas-like"):
        plan = solve(problem, policy, Options(gap=1e-3)).allocation
        x_v = model.point(problem, plan)
        assert x_v is not None
        over_r = model.program.matrix @ x_v - model.program.rhs_r
        assert over_r.max(initial=0.0) <= 2e-6
        assert (x_v <= model.program.upper_v + 1e-9).all()
        assert model.program.objective_v @ x_v == pytest.approx(net_qps(problem, plan), rel=1e-9)
        if len(sets) == 1:
            again = model.allocation(problem, x_v)
            assert net_qps(problem, again) == pytest.approx(net_qps(problem, plan), rel=1e-4)


def three_by_three(**changes: Any) -> Problem:
    """Three tasks of one image, three edge models that answer two of them each, and a client that
    answers nothing: the program lets all three meet, which no router can."""
    fields: dict[str, Any] = {
        "tasks": ("a", "b", "c"), "models": ("ab", "bc", "ac"), "load_ct": [[10.0] * 3],
        "accuracy_mt": [[0.8, 0.8, 0.0], [0.0, 0.8, 0.8], [0.8, 0.0, 0.8]],
        "client_model_bytes_cm": [[np.inf] * 3], "edge_model_bytes_em": [[10.0] * 3],
        "client_setup_cm": [[0.0] * 3], "client_marginal_cm": [[0.1] * 3],
        "edge_setup_em": [[0.0] * 3], "edge_marginal_em": [[0.1] * 3],
        "cloud_accuracy_t": [0.0] * 3, "cloud_model_t": [-1] * 3, "cloud_cost_t": [0.0] * 3,
        "query_bytes_t": [100.0] * 3, "answer_bytes_t": [1.0] * 3,
        "edge_compute_e": [1.5], "bundle_bt": [[1.0] * 3],
    }  # fmt: skip
    return pair(**{**fields, **changes})


def test_where_tasks_cannot_all_meet_the_plan_is_held_to_the_true_count() -> None:
    """Three half shares are 1.5 passes an image in the program; whoever routes them makes two, so
    15 passes a second answer 7.5 images of ten."""
    problem = three_by_three()
    found = solve(problem, "exact", WHOLE)
    assert found.evaluation.feasible
    assert found.evaluation.utilization_by_node["e0"] <= 1.5 * (1 + 1e-6)
    assert found.objective == pytest.approx(0.8 * 0.75, rel=1e-4)
    assert found.certificate.upper_bound >= found.objective
    assert found.certificate.status != "optimal"
    assert found.certificate.upper_bound == pytest.approx(0.8, rel=1e-4)


def test_the_cloud_joins_components_where_it_is_short() -> None:
    problem = random_bundles(3, edges=2, clients=4, models=4).changed(cloud_compute=0.02)
    found = solve(problem, "exact", Options(gap=1e-3))
    assert found.evaluation.feasible
    assert "joined by F8" in found.certificate.bound_method
    assert found.evaluation.usages["F8"].tightness_n[0] == pytest.approx(1.0, rel=1e-2)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_policy_plans_bundles_within_its_bound(policy: str) -> None:
    problem = random_bundles(2, clients=3, models=5)
    found = solve(problem, policy, Options(gap=1e-3))
    assert found.policy == policy
    assert evaluate(problem, found.plan, fill=0.6).feasible
    assert 0 <= found.objective <= found.certificate.upper_bound
    assert "F14" in found.certificate.bound_method
    assert found.overrun is None
    if policy not in SHARES_PASSES:
        best = solve(problem, "exact", Options(gap=1e-3))
        assert found.objective <= best.certificate.upper_bound * (1 + 1e-9)


def test_a_function_of_a_user_gets_tasks_that_are_asked_alone() -> None:
    seen: list[Problem] = []

    def hold_all(problem: Problem, options: Options) -> dict[str, list[str]]:
        seen.append(problem)
        return {"e0": ["both"]}

    found = solve(pair(), hold_all, WHOLE)
    assert not seen[0].asks_together
    assert found.evaluation.feasible


def test_a_previous_plan_is_where_the_search_starts() -> None:
    problem = random_bundles(4, clients=3, models=4)
    first = solve(problem, "exact", Options(gap=1e-3))
    again = solve(problem, "exact", Options(gap=1e-3, warm_start=first.plan))
    assert again.objective == pytest.approx(first.objective, rel=2e-3)
    idle = solve(pair(bundle_load_cb=[[10.0]], accuracy_mt=[[0.8, 0.0]]), "exact", WHOLE)
    assert idle.objective == idle.certificate.upper_bound == 0.0  # `b` has no model
    assert isinstance(idle.allocation, Allocation)


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"overrun": 0.05}, r"an overrun \(F11, F17\)"),
        ({"spillover": True}, r"spillover \(F17\)"),
        ({"objective": "least"}, r"the objective 'least' \(F19\)"),
        ({"moving": Moving({}, 1.0, 10.0)}, r"moving costs \(F16\)"),
    ],
)
def test_what_counts_tasks_apart_is_refused(changes: dict[str, Any], label: str) -> None:
    for policy in ("exact", "certified"):
        with pytest.raises(InputError, match=rf"\(F14\).*leave out {label}"):
            solve(pair(), policy, Options(**changes))
    if "moving" not in changes and "objective" not in changes:
        with pytest.raises(InputError, match=rf"\(F14\).*leave out {label}"):
            solve_shares(pair(), {}, Options(**changes))


def test_joules_are_refused() -> None:
    energy = energy_of_devices(pair(), client_w=1.0, edge_w=1.0, cloud_w=1.0)
    with pytest.raises(InputError, match=r"\(F14\).*leave out energy \(F18\)"):
        solve(pair(), "exact", Options(energy=EnergyGoal(energy, price=0.1)))
