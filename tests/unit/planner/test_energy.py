"""F18: plans that pay for joules or keep a budget of watts, with bounds that hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cluster.errors import InputError
from planner.allocation import Allocation
from planner.batches import poisson_batches_em
from planner.energy import Energy, EnergyGoal, PowerBudget, energy_of_devices, power_n
from planner.evaluate import evaluate
from planner.moving import Moving
from planner.plan import Plan
from planner.policies import COUNTS_JOULES, POLICIES, Options, solve, solve_shares
from planner.problem import Problem
from support.planner_cases import drawn_edge_routes, one_client, random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=4, deadline=None, derandomize=True, database=None)
WHOLE = Options(overrun=None, fill=1.0)


def two_ways(**changes: Any) -> Problem:
    """Ten queries/s of one task: `small` answers at the client with 0.5, `big` at the edge with
    0.8. Budgets of everything but energy are wide."""
    fields: dict[str, Any] = {
        "tasks": ("a",), "models": ("small", "big"), "load_ct": [[10.0]],
        "accuracy_mt": [[0.5], [0.8]], "client_memory_c": [1.0], "edge_memory_e": [1.0],
        "client_model_bytes_cm": [[1.0, np.inf]], "edge_model_bytes_em": [[np.inf, 1.0]],
        "window_e": [1.0], "client_setup_cm": np.zeros((1, 2)),
        "client_marginal_cm": np.full((1, 2), 0.01), "edge_setup_em": np.zeros((1, 2)),
        "edge_marginal_em": np.full((1, 2), 0.01), "query_bytes_t": [100.0],
        "answer_bytes_t": [10.0], "cloud_accuracy_t": [0.0], "cloud_model_t": [-1],
        "cloud_cost_t": [0.0],
    }  # fmt: skip
    return one_client(**{**fields, **changes})


def joules(**changes: Any) -> Energy:
    """A query costs 1 J at the client; away, 1 J for its 100 bytes there and 0.1 J at the edge,
    where a batch costs 2 J."""
    fields: dict[str, Any] = {
        "client_j_cm": [[1.0, 1.0]], "edge_batch_j_em": [[2.0, 2.0]],
        "edge_query_j_em": [[0.1, 0.1]], "cloud_j_t": [0.0],
        "uplink_j_per_byte_a": [0.01], "edge_uplink_j_per_byte_e": [0.0],
    }  # fmt: skip
    return Energy(**{**fields, **changes})


def drawn_joules(problem: Problem, seed: int) -> Energy:
    """Joules for which a pass, a batch and an upload are of like size."""
    rng = np.random.default_rng([seed, 18])
    C, E, A = len(problem.clients), len(problem.edges), len(problem.client_of_a)
    T, M = len(problem.tasks), len(problem.models)
    return Energy(
        client_j_cm=rng.uniform(0.2, 2, (C, M)), edge_batch_j_em=rng.uniform(0.1, 1, (E, M)),
        edge_query_j_em=rng.uniform(0.01, 0.5, (E, M)), cloud_j_t=rng.uniform(0.2, 2, T),
        uplink_j_per_byte_a=rng.uniform(0, 0.3, A),
        edge_uplink_j_per_byte_e=rng.uniform(0, 0.3, E),
    )  # fmt: skip


def with_budget(energy: Energy, **watts: Any) -> EnergyGoal:
    return EnergyGoal(energy, budget=PowerBudget(**watts))


def watts(found: Any) -> float:
    return float(sum(found.evaluation.watts_by_node.values()))


# budget, accuracy, watts of client and edge
BUDGETS = [
    # 2 W for batches leave the edge 0.5 W: 5 queries/s. The client answers the other 5.
    ({"edge_w_e": 2.5}, (5 * 0.8 + 5 * 0.5) / 10, (10.0, 2.5)),
    # A query costs the client 1 W wherever it is answered: 6 of them, all at the edge.
    ({"client_w_c": 6.0}, 0.48, (6.0, 2.6)),
    ({"client_w_c": [6.0], "edge_w_e": [2.5]}, (5 * 0.8 + 1 * 0.5) / 10, (6.0, 2.5)),
    # The edge makes 0.8 (W - 2) / 1.1 right answers/s of W watts in all, the client 0.5 W: it is
    # better below 6.4 W.
    ({"total_w": 5.0}, 0.25, (5.0, 0.0)),
    ({"total_w": 8.0}, 0.8 * (6 / 1.1) / 10, (6 / 1.1, 2 + 0.6 / 1.1)),
    ({"total_w": 100.0}, 0.8, (10.0, 3.0)),
    ({"edge_w_e": 1.9}, 0.5, (10.0, 0.0)),
]


@pytest.mark.parametrize(("budget", "accuracy", "expected_w"), BUDGETS)
def test_a_budget_goes_where_it_earns_most(
    budget: dict[str, Any], accuracy: float, expected_w: tuple[float, float]
) -> None:
    found = solve(two_ways(), "exact", replace(WHOLE, energy=with_budget(joules(), **budget)))
    assert found.objective == pytest.approx(accuracy, rel=1e-5)
    assert found.certificate.upper_bound == pytest.approx(accuracy, rel=1e-4)
    assert found.certificate.upper_bound >= accuracy
    assert found.certificate.status == "optimal"
    assert found.evaluation.watts_by_node == pytest.approx(
        {"c0": expected_w[0], "e0": expected_w[1], "sky": 0.0}, rel=1e-5, abs=1e-9
    )


# price, net accuracy, accuracy. A query at the edge earns 0.8 - 1.1 price and all of them together
# cost 2 price for the batches; one at the client earns 0.5 - price.
PRICES = [
    (0.0, 0.8, 0.8),
    (0.1, 0.8 - 0.11 - 0.02, 0.8),
    (0.6, 0.8 - 0.66 - 0.12, 0.8),
    # 10 (0.8 - 0.77) - 1.4 < 0, and so is 0.5 - 0.7.
    (0.7, 0.0, 0.0),
]


@pytest.mark.parametrize(("price", "net", "accuracy"), PRICES)
def test_a_price_is_paid_as_long_as_it_earns(price: float, net: float, accuracy: float) -> None:
    found = solve(two_ways(), "exact", replace(WHOLE, energy=EnergyGoal(joules(), price=price)))
    assert found.objective == pytest.approx(net, abs=1e-6)
    assert found.certificate.upper_bound == pytest.approx(net, abs=1e-5)
    assert found.evaluation.objective == pytest.approx(accuracy, abs=1e-6)
    assert found.evaluation.energy_cost == pytest.approx(price * watts(found) / 10)


def test_where_batches_are_dear_few_queries_stay_at_the_client() -> None:
    """At 0.4 a query earns 0.36 away and 0.1 at home. 2 J a batch cost 0.8: ten queries/s gain 2.6
    by going away, two a second only 0.52."""
    for load, accuracy in ((10.0, 0.8), (2.0, 0.5)):
        options = replace(WHOLE, energy=EnergyGoal(joules(), price=0.4))
        found = solve(two_ways(load_ct=[[load]]), "exact", options)
        assert found.evaluation.objective == pytest.approx(accuracy)


def test_watts_are_counted_node_by_node() -> None:
    """4 queries/s at the client, 3 at the edge, 2 in the cloud; windows of 1 s, batches of 2."""
    problem = two_ways(
        cloud_accuracy_t=[0.9], cloud_model_t=[1], cloud_cost_t=[0.01], edge_max_batch_e=[2.0]
    )
    plan = Allocation.empty(problem)
    plan.onloaded_cm[0, 0] = plan.onloaded_em[0, 1] = True
    plan.local_ctm[0, 0, 0], plan.edge_atm[0, 0, 1], plan.cloud_at[0, 0] = 0.4, 0.3, 0.2
    energy = joules(cloud_j_t=[5.0], edge_uplink_j_per_byte_e=[0.02])
    # Client: 4 passes, 5 uploads of 1 J. Edge: 1 + 3 / 2 batches of 2 J, 3 queries of 0.1 J, and 2
    # uploads of 2 J. Cloud: 2 passes of 5 J.
    assert power_n(problem, plan, energy) == pytest.approx([9.0, 5.0 + 0.3 + 4.0, 10.0])
    # Where edges do not batch, each of the 3 queries is a batch.
    unbatched = power_n(problem, plan, energy, batching=False)
    assert unbatched == pytest.approx([9.0, 6.0 + 0.3 + 4.0, 10.0])


def test_a_plan_that_draws_too_much_breaks_f18() -> None:
    free = solve(two_ways(), "exact", WHOLE)
    goal = with_budget(joules(), client_w_c=9.0, edge_w_e=3.0, total_w=12.0)
    broken = evaluate(two_ways(), free.plan, energy=goal).violations()
    assert [(item.label, item.node, item.unit) for item in broken] == [
        ("F18", "c0", "W"), ("F18", "all nodes", "W"),
    ]  # fmt: skip
    assert str(broken[0]) == "F18 at c0: 10 W > 9"
    assert evaluate(two_ways(), free.plan).feasible


@given(n=st.floats(0.001, 200), largest=st.integers(1, 64))
def test_no_window_of_random_arrivals_has_more_batches_than_are_counted(
    n: float, largest: int
) -> None:
    problem = one_client(edge_max_batch_e=[float(largest)])
    mean_em, _, _ = poisson_batches_em(problem, np.full((1, 3), n))
    assert mean_em.max() <= 1 + n / largest


@FEW
@given(seed=SEEDS)
def test_devices_draw_watts_while_they_are_busy(seed: int) -> None:
    """Without a largest batch, busy seconds per second times watts is what F18 counts."""
    problem = random_problem(seed)
    energy = energy_of_devices(problem, client_w=5.0, edge_w=np.array([70.0, 40.0]), cloud_w=300.0)
    found = solve(problem, "exact", Options(overrun=None))
    drawn_w = power_n(problem, found.allocation, energy)
    busy = np.array(list(found.evaluation.utilization_by_node.values()))
    assert drawn_w == pytest.approx(busy * [5, 5, 5, 5, 70, 40, 300])


def best_for(
    problem: Problem, energy: Energy, x_cm: np.ndarray, y_m: np.ndarray, goal: EnergyGoal
) -> float | None:
    """The optimum with exactly these models at clients and at the one edge, right answers/s less
    the price, from a program of its own with every share a variable; None where they do not fit."""
    p = problem
    C, T, M = len(p.clients), len(p.tasks), len(p.models)
    over_c = np.where(x_cm, p.client_model_bytes_cm, 0).sum(1) > p.client_memory_c
    window = float(p.edge_compute_e[0] * p.window_e[0]) - float(p.edge_setup_em[0][y_m].sum())
    first_w = float(energy.edge_batch_j_em[0][y_m].sum() / p.window_e[0])
    if over_c.any() or p.edge_model_bytes_em[0][y_m].sum() > p.edge_memory_e[0] or window < 0:
        return None
    ways = [
        *(("p", c, t, m) for c, t, m in product(range(C), range(T), range(M)) if x_cm[c, m]),
        *(("q", c, t, m) for c, t, m in product(range(C), range(T), range(M)) if y_m[m]),
        *(("r", c, t, -1) for c, t in product(range(C), range(T)) if p.cloud_model_t[t] >= 0),
    ]
    count = len(ways)
    right, work, backhaul, cloud = np.zeros((4, count))
    share, busy, up, power = (np.zeros((k, count)) for k in (C * T, C, C, C + 2))
    for v, (way, c, t, m) in enumerate(ways):
        load, sent = p.load_ct[c, t], p.load_ct[c, t] * p.query_bytes_t[t]
        share[c * T + t, v] = 1
        if way == "p":
            right[v] = load * p.accuracy_mt[m, t]
            busy[c, v] = load * (p.client_setup_cm[c, m] + p.client_marginal_cm[c, m])
            power[c, v] = load * energy.client_j_cm[c, m]
            continue
        up[c, v] = sent
        power[c, v] = sent * energy.uplink_j_per_byte_a[c]
        if way == "q":
            right[v] = load * p.accuracy_mt[m, t]
            work[v] = p.window_e[0] * load * p.edge_marginal_em[0, m]
            power[C, v] = load * energy.edge_query_j_em[0, m]
        else:
            right[v] = load * p.cloud_accuracy_t[t]
            backhaul[v], cloud[v] = sent, load * p.cloud_cost_t[t]
            power[C, v] = sent * energy.edge_uplink_j_per_byte_e[0]
            power[C + 1, v] = load * energy.cloud_j_t[t]
    rows = [*share, *busy, *up, work, backhaul, cloud]
    rhs = [
        *np.ones(C * T), *p.client_compute_c, *p.client_uplink_c, window, p.edge_uplink_e[0],
        min(p.cloud_compute, 1e9),
    ]  # fmt: skip
    price = 0.0
    if goal.budget is not None:
        limit_n = np.minimum(goal.budget.limits_n(p), 1e9)
        limit_n[[C, -1]] -= first_w
        if (limit_n < 0).any():
            return None
        rows += [*power, power.sum(axis=0)]
        rhs += [*limit_n]
    else:
        price = goal.price or 0.0
    useful = [v for v in range(count) if right[v] > 0]
    if not useful:
        return 0.0
    net = right - price * power.sum(axis=0)
    found = linprog(-net[useful], np.array(rows)[:, useful], np.array(rhs), bounds=(0, 1))
    return float(-found.fun) - price * first_w


@pytest.mark.parametrize("kind", ["price", "total", "nodes"])
@pytest.mark.parametrize("seed", [1, 4, 7])
def test_exact_equals_brute_force_over_all_model_sets(seed: int, kind: str) -> None:
    problem = random_problem(seed, edges=1, clients=2, models=3, tasks=2)
    energy = drawn_joules(problem, seed)
    free = solve(problem, "exact", replace(WHOLE, energy=EnergyGoal(energy, price=0.0)))
    by_node = free.evaluation.watts_by_node
    goal = {
        "price": EnergyGoal(energy, price=0.2),
        "total": with_budget(energy, total_w=0.4 * watts(free)),
        "nodes": with_budget(
            energy, client_w_c=0.5 * max(by_node[c] for c in problem.clients),
            edge_w_e=0.5 * by_node["edge-0"], cloud_w=0.5 * by_node["cloud"],
        ),
    }[kind]  # fmt: skip
    best = 0.0
    for bits in product((False, True), repeat=9):
        chosen_nm = np.array(bits).reshape(3, 3)
        best = max(best, best_for(problem, energy, chosen_nm[:2], chosen_nm[2], goal) or 0.0)
    found = solve(problem, "exact", replace(WHOLE, gap=1e-5, energy=goal))
    load_qps = problem.total_load_qps
    assert 0 < best < free.objective * load_qps * (1 - 1e-3)
    assert found.objective * load_qps == pytest.approx(best, rel=1e-4)
    assert found.certificate.upper_bound * load_qps >= best * (1 - 1e-9)


@FEW
@given(seed=SEEDS, reach=st.sampled_from([1, 2]), scope=st.sampled_from(["total_w", "edge_w_e"]))
def test_less_to_draw_is_never_worth_more(seed: int, reach: int, scope: str) -> None:
    problem = random_problem(seed, edges=2, clients=3, models=4, reach=reach)
    energy = drawn_joules(problem, seed)
    options = Options(overrun=None, gap=1e-3)
    free = solve(problem, "exact", options)
    drawn_n = power_n(problem, free.allocation, energy)
    whole_w = float(drawn_n.sum() if scope == "total_w" else drawn_n[3:-1].max())
    wider = free
    for part in (1.01, 0.5, 0.2):
        goal = with_budget(energy, **{scope: part * whole_w})
        found = solve(problem, "exact", replace(options, energy=goal))
        assert evaluate(problem, found.plan, fill=0.6, energy=goal).feasible
        assert found.objective <= wider.certificate.upper_bound * (1 + 1e-9)
        assert found.objective <= wider.objective * (1 + 2e-3)
        if part > 1:
            assert found.objective >= free.objective * (1 - 2e-3)
            assert found.certificate.upper_bound >= free.objective * (1 - 1e-9)
        wider = found


@FEW
@given(seed=SEEDS, overrun=st.sampled_from([None, 0.05]))
def test_no_plan_is_worth_more_at_a_price_than_its_bound(seed: int, overrun: float | None) -> None:
    """Of the plans for some prices and a budget, each is held against every price's bound; and a
    higher price never draws more."""
    problem = random_problem(seed, edges=2, clients=3, models=4)
    energy = drawn_joules(problem, seed)
    options = Options(overrun=overrun, gap=1e-3)
    goals = [EnergyGoal(energy, price=price) for price in (0.0, 0.05, 0.3)]
    found = [solve(problem, "exact", replace(options, energy=goal)) for goal in goals]
    limited = with_budget(energy, total_w=0.5 * watts(found[0]))
    plans = [*found, solve(problem, "exact", replace(options, energy=limited))]
    assert all(plan.evaluation.feasible for plan in plans)
    for goal, priced in zip(goals, found, strict=True):
        for plan in plans:
            worth = evaluate(problem, plan.allocation, energy=goal).value("mean")
            assert worth <= priced.certificate.upper_bound * (1 + 1e-9)
    if overrun is None:
        assert watts(found[2]) <= watts(found[1]) * 1.01 <= watts(found[0]) * 1.03
    assert plans[-1].evaluation.usages["F18"].slack_n.min() >= -1e-9


@FEW
@given(seed=SEEDS, overrun=st.sampled_from([None, 0.05]))
def test_a_price_of_nothing_changes_nothing(seed: int, overrun: float | None) -> None:
    problem = random_problem(seed, clients=3, models=4)
    options = Options(overrun=overrun)
    goal = EnergyGoal(drawn_joules(problem, seed), price=0.0)
    plain = solve(problem, "exact", options)
    found = solve(problem, "exact", replace(options, energy=goal))
    assert found.objective == pytest.approx(plain.objective, rel=2e-3)
    assert found.certificate.upper_bound == pytest.approx(plain.certificate.upper_bound, rel=2e-3)
    assert watts(found) > 0
    assert found.evaluation.energy_cost == 0


def test_bursts_leave_budgets_kept() -> None:
    """Links are narrowed for it (F17), and what they shed is not sent by what is left of them."""
    problem = replace(
        random_problem(4), dispersion_c=np.full(4, 8.0),
        bandwidth_a=2 * random_problem(4).client_uplink_c, backlog_a=np.full(4, 0.2),
    )  # fmt: skip
    energy = drawn_joules(problem, 4)
    free = solve(problem, "exact", Options(energy=EnergyGoal(energy, price=0.0)))
    for goal in (with_budget(energy, total_w=0.5 * watts(free)), EnergyGoal(energy, price=0.1)):
        found = solve(problem, "exact", Options(energy=goal))
        assert found.evaluation.feasible
        assert 0 < found.objective <= found.certificate.upper_bound
        assert found.objective == found.evaluation.value("mean")
        assert watts(found) < watts(free)


def test_edges_that_do_not_batch_pay_for_every_query() -> None:
    """A query away costs 1 + 0.1 + 2 J, so 6.2 W carry 2 of them, worth 1.6; at home they make 6.2
    answers, worth 3.1."""
    goal = with_budget(joules(), total_w=6.2)
    found = solve(two_ways(), "exact", replace(WHOLE, edge_form="unbatched", energy=goal))
    assert found.objective == pytest.approx(0.31, rel=1e-5)
    goal = with_budget(joules(), edge_w_e=4.2)
    found = solve(two_ways(), "exact", replace(WHOLE, edge_form="unbatched", energy=goal))
    assert found.objective == pytest.approx((2 * 0.8 + 8 * 0.5) / 10, rel=1e-5)
    assert found.evaluation.watts_by_node["e0"] == pytest.approx(4.2, rel=1e-5)


def test_drawn_routes_that_keep_a_budget_are_below_its_bound() -> None:
    problem = random_problem(3, edges=1, clients=3)
    energy = drawn_joules(problem, 3)
    rng = np.random.default_rng(3)
    kept = 0
    for _ in range(60):
        plan = drawn_edge_routes(problem, rng)
        plan.onloaded_em[0] = plan.edge_atm.any(axis=(0, 1))
        plan.edge_atm[:] *= (problem.accuracy_mt.T > 0)[None]
        if not evaluate(problem, plan).feasible:
            continue
        kept += 1
        goal = with_budget(energy, total_w=float(power_n(problem, plan, energy).sum()))
        bound = solve(problem, "exact", replace(WHOLE, gap=1e-2, energy=goal)).certificate
        assert evaluate(problem, plan, energy=goal).feasible
        assert evaluate(problem, plan).objective <= bound.upper_bound
        if kept == 4:
            return
    pytest.fail(f"only {kept} of the drawn plans keep the budgets")


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - set(COUNTS_JOULES)))
def test_policies_that_count_no_joules_say_so(policy: str) -> None:
    goal = EnergyGoal(joules(), price=0.1)
    with pytest.raises(InputError, match=rf"'{policy}' plans without energy \(F18\); take exact"):
        solve(two_ways(), policy, Options(energy=goal))


def test_what_energy_does_not_go_with_is_refused_in_a_line() -> None:
    goal = EnergyGoal(joules(), price=0.1)
    with pytest.raises(ValueError, match=r"energy \(F18\) .* objective 'least' \(F19\)"):
        Options(energy=goal, objective="least")
    with pytest.raises(ValueError, match=r"energy \(F18\) .* moving costs \(F16\)"):
        Options(energy=goal, moving=Moving({}, 1.0, 10.0))
    with pytest.raises(ValueError, match=r"energy \(F18\) .* spillover \(F17\)"):
        Options(energy=goal, spillover=True)
    with pytest.raises(InputError, match=r"planned without energy \(F18\)"):
        solve_shares(two_ways(), {}, Options(energy=goal))
    with pytest.raises(InputError, match=r"plans without energy \(F18\)"):
        solve(two_ways(), lambda problem, options: {}, Options(energy=goal))


def test_joules_that_are_none_are_refused_in_a_line() -> None:
    with pytest.raises(ValueError, match=r"give a price or a budget, got neither"):
        EnergyGoal(joules())
    with pytest.raises(ValueError, match=r"give a price or a budget, got both"):
        EnergyGoal(joules(), price=1.0, budget=PowerBudget(total_w=1.0))
    with pytest.raises(ValueError, match=r"price must be at least 0, got -1"):
        EnergyGoal(joules(), price=-1.0)
    with pytest.raises(ValueError, match=r"energy: cloud_j_t must be at least 0, got -2"):
        joules(cloud_j_t=[-2.0])
    with pytest.raises(ValueError, match=r"energy: cloud_j_t must be finite"):
        joules(cloud_j_t=[np.inf])
    with pytest.raises(ValueError, match=r"energy: cloud_j_t must have 1 axes, got 2"):
        joules(cloud_j_t=[[1.0]])
    with pytest.raises(ValueError, match=r"power budget: total_w must be at least 0, got nan"):
        PowerBudget(total_w=np.nan)
    with pytest.raises(ValueError, match=r"power budget: edge_w_e must be at least 0, got -3"):
        PowerBudget(edge_w_e=np.array([1.0, -3.0]))
    two = Options(energy=EnergyGoal(joules(client_j_cm=[[1.0, 1.0], [1.0, 1.0]]), price=0.1))
    with pytest.raises(InputError, match=r"client_j_cm has shape \(2, 2\), .* needs \(1, 2\)"):
        solve(two_ways(), "exact", two)
    three = Options(energy=with_budget(joules(), edge_w_e=[1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match=r"budget: edge_w_e has shape \(3,\), .* needs \(1,\)"):
        solve(two_ways(), "exact", three)


def test_the_plan_says_what_it_draws_and_old_plans_are_read(tmp_path: Any) -> None:
    options = replace(WHOLE, energy=EnergyGoal(joules(), price=0.1))
    plan = solve(two_ways(), "exact", options).plan
    again = Plan.load(plan.save(tmp_path / "plan.json"))
    assert again.predicted is not None
    assert again.predicted.watts_by_node == pytest.approx({"c0": 10.0, "e0": 3.0, "sky": 0.0})
    assert again.predicted.energy_cost == pytest.approx(0.13)
    older = plan.model_dump(mode="json")
    del older["predicted"]["watts_by_node"], older["predicted"]["energy_cost"]
    read = Plan.model_validate(older)
    assert read.predicted is not None
    assert read.predicted.watts_by_node == {}
