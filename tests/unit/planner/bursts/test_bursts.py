"""F17: dispersion in windows and on links, by hand, by rule and by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.allocation import Allocation
from planner.bursts.headroom_row import headroom_cost
from planner.bursts.late_windows import late_share_e
from planner.bursts.link_share import carried_bytes_per_s, tolerated_overflow_c, with_link_headroom
from planner.bursts.window_routes import thin
from planner.evaluate import evaluate, window_work_f11
from planner.few_queries import work_exceeded
from planner.instances import sample_problem
from planner.policies import POLICIES, Options, solve
from planner.problem import FloatArray, Problem, ProblemError
from support.planner_cases import drawn_edge_routes, one_client, random_problem

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=10, deadline=None, derandomize=True, database=None)
WINDOWS = 20_000


def bursty(problem: Problem, dispersion: float) -> Problem:
    return replace(problem, dispersion_c=np.full(len(problem.clients), dispersion))


def test_the_work_of_a_bursty_window_by_hand() -> None:
    plan = Allocation.empty(one_client())
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, 0, 2] = 1.0  # 3 of the client's 5 queries a window, nu 0.02, c 0.003
    p = 1 - np.exp(-3)
    variance = 0.02**2 * p * (1 - p) + 0.003**2 * 3 + 2 * 0.02 * 0.003 * 3 * (1 - p)
    variance += (4 - 1) / 5 * ((0.02 * (1 - p) + 0.003) * 3) ** 2
    expected = 0.02 * p + 0.003 * 3 + 1.6448536 * np.sqrt(variance)
    usage = window_work_f11(bursty(one_client(), 4.0), plan, 0.05)
    assert usage.use_n[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("largest_batch", "late"), [(np.inf, 0.1847), (2.0, 0.5768), (1.0, 0.8009)]
)
def test_late_windows_are_counted_as_they_follow_from_poisson(
    largest_batch: float, late: float
) -> None:
    """3 queries a window at .02 a batch and .003 each, .0335 s of time: one batch is late from 5
    queries on, batches of two from 3, batches of one from 2."""
    problem = one_client(edge_compute_e=[0.067], edge_max_batch_e=[largest_batch])
    plan = Allocation.empty(problem)
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, 0, 2] = 1.0
    assert late_share_e(problem, plan, windows=100_000) == pytest.approx([late], abs=0.006)


def test_bursts_make_more_windows_late() -> None:
    """Counts of mean 5 with I = 4; three fifths of them go to the edge."""
    problem = one_client(edge_compute_e=[0.067])
    plan = Allocation.empty(problem)
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, 0, 2] = 1.0
    calm = late_share_e(problem, plan, windows=WINDOWS)
    assert late_share_e(bursty(problem, 4.0), plan, windows=WINDOWS) > calm * 1.2


@pytest.mark.parametrize("window_s", [0.2, 1.0])
def test_windows_planned_for_bursts_are_rarely_overrun_by_them(window_s: float) -> None:
    problem = bursty(sample_problem("taskonomy", "compute", 2, 8, 1, window_s=window_s), 6.0)
    known = solve(problem, "certified", Options(gap=5e-3))
    assert late_share_e(problem, known.allocation, windows=WINDOWS).max() <= 0.08
    unknown = solve(bursty(problem, 1.0), "certified", Options(gap=5e-3))
    assert late_share_e(problem, unknown.allocation, windows=WINDOWS).max() >= 0.12
    assert known.objective > 0.8 * unknown.objective


@FEW
@given(seed=SEEDS, first=st.floats(0, 20), second=st.floats(0, 20))
def test_more_dispersion_never_is_less_work(seed: int, first: float, second: float) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(seed % 50)
    plan = Allocation.empty(problem)
    plan.edge_atm[:] = rng.random(plan.edge_atm.shape) / len(problem.models)
    low, high = sorted((first, second))
    work = [window_work_f11(bursty(problem, i), plan, 0.05).use_n for i in (low, high)]
    assert np.all(work[0] <= work[1] * (1 + 1e-12))
    assert np.all(work[0] >= 0)


def drawn_dispersion(kind: str, rng: np.random.Generator, clients: int) -> FloatArray:
    if kind == "all bursty":
        return rng.uniform(1.5, 30, clients)
    if kind == "some bursty":
        return np.where(rng.random(clients) < 0.5, 1.0, rng.uniform(1, 30, clients))
    return rng.uniform(0, 3, clients)


@pytest.mark.parametrize("kind", ["all bursty", "some bursty", "some steady"])
@pytest.mark.parametrize("overrun", [0.01, 0.05, 0.4])
def test_the_row_of_the_bound_lies_below_every_window_that_keeps_f11(
    overrun: float, kind: str
) -> None:
    rng = np.random.default_rng(3)
    for seed in range(40):
        problem = random_problem(seed, edges=1)
        problem = replace(problem, dispersion_c=drawn_dispersion(kind, rng, len(problem.clients)))
        row = headroom_cost(problem, overrun)
        plan = thin(problem, drawn_edge_routes(problem, rng), overrun)
        queries_em = problem.window_e[:, None] * plan.edge_rate_em(problem)
        work_e = (row.marginal_em * queries_em).sum(axis=1)
        assert work_e <= problem.edge_compute_e * problem.window_e * (1 + 1e-9)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policy_keeps_f11_under_bursts_below_a_valid_bound(policy: str) -> None:
    problem = bursty(random_problem(7), 8.0)
    solution = solve(problem, policy, Options(overrun=0.05))
    assert evaluate(problem, solution.plan, fill=0.6, overrun=0.05).feasible
    assert solution.objective <= solution.certificate.upper_bound
    best = solve(problem, "certified", Options(overrun=0.05)).certificate.upper_bound
    assert solution.objective <= best * (1 + 1e-7)


def test_a_model_whose_single_query_overfills_the_window_is_not_used() -> None:
    """nu + c = 0.11 s in a window of 0.1 s: at 0.02 queries a window the normal form allows it."""
    short = one_client(
        window_e=[0.1], client_memory_c=[0.0], load_ct=[[0.2, 0.0]], cloud_accuracy_t=[0.0, 0.0],
        edge_setup_em=[[0.01, 0.01, 0.1]], edge_marginal_em=[[0.001, 0.001, 0.01]],
    )  # fmt: skip
    plan = Allocation.empty(short)
    plan.onloaded_em[0, 2] = True
    plan.edge_atm[0, 0, 2] = 1.0
    assert "F11" in [v.label for v in evaluate(short, plan, overrun=0.05).violations()]
    assert not evaluate(replace(short, window_e=np.array([0.12])), plan, overrun=0.05).violations()
    for policy in ("certified", "baj3o", "exact"):
        found = solve(short, policy)
        assert "big" not in found.plan.onloading["e0"], policy
        assert found.objective == pytest.approx(0.5)


def test_a_query_that_fills_the_window_exactly_fits() -> None:
    exact = one_client(
        window_e=[0.3], client_memory_c=[0.0], load_ct=[[0.1, 0.0]], cloud_accuracy_t=[0.0, 0.0],
        edge_setup_em=[[0.3, 0.01, 0.1 + 0.2]], edge_marginal_em=[[0.0, 0.001, 0.0]],
    )  # fmt: skip  # 0.1 + 0.2 > 0.3 in floats
    assert solve(exact, "exact").objective == pytest.approx(0.8)


def test_few_queries_are_counted_one_by_one() -> None:
    counts_k = np.arange(20)
    one_mk = np.where(counts_k > 0, 0.02 + 0.001 * counts_k, 0.0)[None]
    apart_mk = np.where(counts_k > 0, 0.021 * counts_k, 0.0)[None]
    queries_m = np.array([0.5])
    assert work_exceeded(one_mk, queries_m, 0.05) == pytest.approx(0.022)
    assert work_exceeded(apart_mk, queries_m, 0.05) == pytest.approx(0.042)  # batches of one
    assert work_exceeded(one_mk, queries_m, 0.4) == 0.0  # 61 % of windows are empty


@FEW
@given(seed=SEEDS, overrun=st.sampled_from([0.01, 0.05, 0.2]))
def test_the_counted_share_is_that_of_drawn_windows(seed: int, overrun: float) -> None:
    rng = np.random.default_rng(seed)
    M = int(rng.integers(1, 4))
    setup_m, marginal_m = rng.uniform(0, 0.05, M), rng.uniform(0.001, 0.02, M)
    queries_m = rng.dirichlet(np.ones(M)) * rng.uniform(0.05, 1.0)
    counts = rng.poisson(queries_m, (100_000, M))
    work = (counts > 0) @ setup_m + counts @ marginal_m
    counts_k = np.arange(40)
    work_mk = np.multiply.outer(setup_m, counts_k > 0) + np.multiply.outer(marginal_m, counts_k)
    limit = work_exceeded(work_mk, queries_m, overrun)
    slack = 4 * np.sqrt(overrun / len(work))
    assert (work > limit + 1e-12).mean() <= overrun + slack
    assert limit == 0 or (work > limit - 1e-12).mean() >= overrun - slack


def share(dispersion: float, overflow: float = 0.05, **changes: float) -> float:
    """Share of the demo's first link that may be used."""
    given_ = {"bandwidth": 400e3, "backlog": 0.4, "query": 27648.0, "asked": 20 * 27648.0} | changes
    bandwidth, backlog, query, asked = (np.array(value) for value in given_.values())
    found = carried_bytes_per_s(
        bandwidth, backlog, query, asked, np.array(dispersion), np.array(overflow)
    )
    return float(found / bandwidth)


def test_the_share_of_a_link_is_that_of_its_text() -> None:
    assert [round(share(i), 2) for i in (1, 15, 40)] == [0.79, 0.42, 0.29]
    r, B, b, w, R = share(15) * 400e3, 400e3, 27648.0, 0.4, 20 * 27648.0
    crossing = 1 + (15 - 1) * r / R
    assert np.exp(-2 * (B - r) * B * w / (crossing * b * r)) == pytest.approx(0.05)
    assert share(1, backlog=np.inf) == 1.0
    assert share(5, query=0.0, asked=0.0) == 1.0


@FEW
@given(
    dispersion=st.floats(0, 200), more=st.floats(0, 50), overflow=st.floats(0.001, 0.5),
    backlog=st.floats(0.01, 10), asked=st.floats(0, 1e7),
)  # fmt: skip
def test_bursts_and_care_only_ever_shrink_a_links_share(
    dispersion: float, more: float, overflow: float, backlog: float, asked: float
) -> None:
    link = {"backlog": backlog, "asked": asked}
    here = share(dispersion, overflow, **link)
    assert 0 <= here <= 1
    assert share(dispersion + more, overflow, **link) <= here * (1 + 1e-9)
    assert share(dispersion, overflow / 2, **link) <= here * (1 + 1e-9)


@pytest.mark.parametrize("dispersion", [1.0, 5.0, 15.0])
def test_a_link_so_planned_is_full_as_seldom_as_asked(dispersion: float) -> None:
    """A client's rate stays the same for a window T_b and is drawn anew (gamma): its counts have
    that dispersion. Its queries cross with the planned share, through a backlog of T_b seconds."""
    rng = np.random.default_rng(0)
    capacity, asked, window_s = 400e3 / 27648.0, 20.0, 0.4
    part = share(dispersion) * capacity / asked
    mean = asked * window_s
    windows = 50_000
    factor = np.ones(windows)
    if dispersion > 1:
        excess = (dispersion - 1) / mean
        factor = rng.gamma(1 / excess, excess, windows)
    counts = rng.poisson(part * mean * factor)
    start_s = np.repeat(window_s * np.arange(windows), counts)
    times_s = np.sort(start_s + window_s * rng.random(len(start_s)))
    free_s, full = 0.0, 0
    for time_s in times_s.tolist():
        if free_s - time_s > window_s:
            full += 1
        else:
            free_s = max(free_s, time_s) + 1 / capacity
    burden = full / len(times_s)
    assert burden <= 0.05 * (1.5 if dispersion == 1 else 3)  # of queries, which come in bursts
    assert burden > 0.001


def with_links(dispersion: float) -> Problem:
    """One client whose link of 1 kB/s is planned to 700 bytes/s, with a backlog of 2 s."""
    return one_client(
        client_uplink_c=[700.0], bandwidth_a=[1000.0], backlog_a=[2.0],
        edge_uplink_e=[7000.0], edge_bandwidth_e=[10_000.0], edge_backlog_e=[2.0],
        dispersion_c=[dispersion],
    )  # fmt: skip


def test_poisson_arrivals_leave_the_budgets_as_they_are() -> None:
    for steady in (0.5, 1.0):
        problem = with_links(steady)
        assert with_link_headroom(problem, 0.05, spillover=True) is problem
    unknown = replace(with_links(20.0), bandwidth_a=np.full(1, np.inf))
    np.testing.assert_array_equal(
        with_link_headroom(unknown, 0.05, spillover=False).client_uplink_c, [700.0]
    )


def test_spillover_lets_links_be_fuller_because_an_overflow_costs_less() -> None:
    problem = replace(with_links(20.0), client_memory_c=np.array([20.0]))
    lost = with_link_headroom(problem, 0.05, spillover=False)
    answered = with_link_headroom(problem, 0.05, spillover=True)
    assert lost.client_uplink_c[0] < answered.client_uplink_c[0] < 700.0
    assert lost.edge_uplink_e[0] < 7000.0
    # 6 of 10 queries find 0.9 in the cloud and 0.5 at home, the others 0.8 at the edge and 0.4.
    way, refuge = 0.6 * 0.9 + 0.4 * 0.8, 0.6 * 0.5 + 0.4 * 0.4
    overflow_c = tolerated_overflow_c(problem, 0.05, spillover=True)
    assert overflow_c[0] == pytest.approx(0.5 - 0.45 * (way - refuge) / way)
    # With `big` at home 0.8 of 0.86 is kept: the link may be full nearly half of the time.
    roomy_c = tolerated_overflow_c(with_links(20.0), 0.05, spillover=True)
    assert roomy_c[0] == pytest.approx(0.5 - 0.45 * 0.06 / 0.86)
    assert tolerated_overflow_c(problem, 0.05, spillover=False)[0] == 0.05


@pytest.mark.parametrize("reach", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_plan_under_bursts_keeps_the_smaller_budgets_for_what_has_another_way(reach: int) -> None:
    problem = bursty(random_problem(6, reach=reach, edges=3, clients=6), 15.0)
    links, links_c = len(problem.client_of_a), problem.clients
    problem = replace(
        problem,
        uplink_a=np.minimum(problem.uplink_a, 20.0 if reach > 1 else np.inf),
        bandwidth_a=np.full(links, 30.0), backlog_a=np.full(links, 0.4),
        client_uplink_c=np.minimum(problem.client_uplink_c, 20.0),
    )  # fmt: skip
    narrow = with_link_headroom(problem, 0.05, spillover=False)
    known = solve(problem, "certified", Options(gap=1e-3))
    assert known.problem is problem
    assert evaluate(problem, known.plan, fill=0.6, overrun=0.05).feasible
    assert known.objective <= known.certificate.upper_bound
    # Only what would be shed otherwise goes beyond the smaller budgets.
    kept = evaluate(narrow, solve(narrow, "certified", Options(gap=1e-3)).plan)
    assert known.objective >= kept.objective - 1e-9
    assert known.evaluation.shed_share <= kept.shed_share + 1e-9
    over = np.maximum(-evaluate(narrow, known.plan).usages["F7"].slack_n[: len(links_c)], 0)
    added_qps = (kept.shed_qps_ct - known.evaluation.shed_qps_ct).sum(axis=1)
    assert np.all(over <= added_qps * problem.query_bytes_t.max() * (1 + 1e-6) + 1e-6)
    ignorant = solve(bursty(problem, 1.0), "certified", Options(gap=1e-3))
    used = [s.evaluation.usages["F7"].use_n[: len(links_c)].sum() for s in (known, ignorant)]
    assert used[0] < used[1]


def test_dispersion_is_a_number_from_0_for_each_client() -> None:
    with pytest.raises(ProblemError, match=r"dispersion_c\.0: must be at least 0"):
        one_client(dispersion_c=[-1.0])
    with pytest.raises(ProblemError, match=r"dispersion_c: expected shape \(1,\)"):
        one_client(dispersion_c=[1.0, 2.0])


@pytest.mark.parametrize("policy", ["certified", "exact", "baj3o", "j3o", "all-cloud"])
def test_every_policy_plans_links_for_bursts_below_a_valid_bound(policy: str) -> None:
    problem = replace(
        bursty(random_problem(6, edges=1, clients=5), 20.0),
        bandwidth_a=np.full(5, 40.0), backlog_a=np.full(5, 0.4),
        edge_bandwidth_e=np.full(1, 60.0), edge_backlog_e=np.full(1, 0.4),
    )  # fmt: skip
    found = solve(problem, policy)
    batching = policy != "j3o"
    assert evaluate(problem, found.plan, fill=0.6, overrun=0.05 if batching else None).feasible
    assert found.objective == pytest.approx(evaluate(problem, found.plan).objective)
    free = solve(bursty(problem, 1.0), "exact", Options(gap=1e-6))
    assert found.objective <= found.certificate.upper_bound
    assert found.objective <= free.certificate.upper_bound * (1 + 1e-6)


@pytest.mark.parametrize("spillover", [False, True])
@pytest.mark.parametrize("policy", ["all-local", "all-edge", "all-cloud"])
def test_a_policy_of_one_tier_serves_nowhere_else_under_bursts(
    policy: str, spillover: bool
) -> None:
    """What links have left for shed queries used to go to the cloud, whatever the policy."""
    problem = replace(
        bursty(random_problem(6, edges=1, clients=5), 20.0),
        bandwidth_a=np.full(5, 40.0), backlog_a=np.full(5, 0.4),
        edge_bandwidth_e=np.full(1, 60.0), edge_backlog_e=np.full(1, 0.4),
    )  # fmt: skip
    served = solve(problem, policy, Options(spillover=spillover)).allocation
    by_tier = {
        "all-local": served.local_ctm, "all-edge": served.edge_atm, "all-cloud": served.cloud_at,
    }  # fmt: skip
    assert {name for name, shares in by_tier.items() if shares.any()} <= {policy}
    assert policy == "all-local" or not served.onloaded_cm.any()


def test_digests_name_links_only_where_bursts_make_them_matter() -> None:
    plain = one_client()
    known = replace(plain, bandwidth_a=np.array([2e6]), backlog_a=np.array([0.4]))
    assert known.digest == plain.digest
    assert bursty(known, 2.0).digest != bursty(plain, 2.0).digest != plain.digest
