"""What a user's own policy returns: routed, held to every budget and certified, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.allocation import Allocation
from planner.certificate import Status
from planner.evaluate import evaluate
from planner.plan import plan_of
from planner.policies import Options, PolicyError, solve
from planner.problem import Problem
from support.planner_cases import one_client, random_problem

Own = Callable[[Problem, Options], object]
MEAN = Options(overrun=None)
FEW = settings(max_examples=4, deadline=None, derandomize=True, database=None)


def returning(value: object) -> Own:
    """A policy that returns `value` whatever the problem."""

    def own(problem: Problem, options: Options) -> object:
        return value

    return own


def at_the_edge(problem: Problem) -> Allocation:
    """All queries of the one client to `big` at its edge."""
    found = Allocation.empty(problem)
    found.onloaded_em[0, 2] = True
    found.edge_atm[0, :, 2] = 1.0
    return found


@pytest.mark.parametrize("options", [MEAN, Options()])
def test_models_by_name_get_the_best_routes(options: Options) -> None:
    """`a` is best in the cloud (.9 of 6 queries/s); only small-b at the client serves `b` (.4 of
    4): (5.4 + 1.6) / 10."""
    solution = solve(one_client(), returning({"c0": ["small-b", "small-a"]}), options)
    assert solution.objective == pytest.approx(0.7, rel=1e-3)
    assert solution.plan.onloading == {"c0": ("small-a", "small-b"), "e0": (), "sky": ("big",)}
    assert solution.plan.overrun == (None if options is MEAN else 0.05)
    assert solution.policy == f"{__name__}:returning.<locals>.own"


def test_models_as_arrays_are_the_same() -> None:
    onloaded = np.array([[True, True, False]]), np.array([[False, False, False]])
    by_name = solve(one_client(), returning({"c0": ("small-a", "small-b")}), MEAN)
    assert solve(one_client(), returning(onloaded), MEAN).plan.routes == by_name.plan.routes


@FEW
@given(seed=st.integers(0, 10_000))
def test_a_plan_is_certified_by_a_bound_above_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    options = Options(overrun=None, gap=1e-5)

    def smallest(problem: Problem, _: Options) -> dict[str, list[str]]:
        """The smallest model, where it fits."""
        m = int(np.argmin(problem.edge_model_bytes_em[0]))
        size = problem.edge_model_bytes_em[0, m]
        memory = dict(zip(problem.clients, problem.client_memory_c, strict=True))
        memory |= dict(zip(problem.edges, problem.edge_memory_e, strict=True))
        return {node: [problem.models[m]] for node, room in memory.items() if size <= room}

    best = solve(problem, "exact", options)
    solution = solve(problem, smallest, options)
    assert solution.certificate.upper_bound >= best.objective * (1 - 1e-9)
    assert solution.objective <= best.certificate.upper_bound * (1 + 1e-7)
    assert evaluate(problem, solution.plan, fill=options.fill).feasible
    careful = solve(problem, smallest)
    assert evaluate(problem, careful.plan, fill=options.fill, overrun=0.05).feasible


@pytest.mark.parametrize("as_plan", [False, True])
def test_routes_that_were_chosen_stay_as_they_are(as_plan: bool) -> None:
    """All of `a` in the cloud (.9 of 6), half of `b` by big at the client (.8 of 2): .7."""
    problem = one_client()
    chosen = Allocation.empty(problem)
    chosen.onloaded_cm[0, 2] = True
    chosen.local_ctm[0, 1, 2] = 0.5
    chosen.cloud_at[0, 0] = 1.0
    value = plan_of(problem, chosen, policy="mine") if as_plan else chosen
    solution = solve(problem, returning(value))
    assert solution.objective == pytest.approx(0.7)
    assert np.array_equal(solution.allocation.local_ctm, chosen.local_ctm)
    assert solution.certificate.upper_bound == pytest.approx(0.86, rel=1e-3)
    assert solution.certificate.status is Status.FEASIBLE


def test_windows_that_random_arrivals_overrun_are_thinned_until_they_hold() -> None:
    """150 queries of 3 ms and a set-up of 20 ms take 470 ms of a window of 500 ms in the mean, and
    more than 500 ms in 20 % of windows."""
    problem = one_client(load_ct=[[180.0, 120.0]])
    chosen = at_the_edge(problem)
    assert solve(problem, returning(chosen), Options(overrun=None, fill=1.0)).objective == (
        pytest.approx(0.8)
    )
    solution = solve(problem, returning(chosen))
    shares = solution.allocation.edge_atm[0, :, 2]
    assert 0.85 < shares[0] == shares[1] < 0.95
    assert solution.plan.overrun == 0.05
    usage = evaluate(problem, solution.plan, overrun=0.05).usages["F11"]
    assert usage.use_n[0] == pytest.approx(0.5, rel=1e-6)


def test_a_window_that_no_batch_fits_is_refused_and_not_emptied() -> None:
    """One query alone takes 23 ms of a window that has 21 ms; in the mean there are .05 queries."""
    problem = one_client(load_ct=[[0.06, 0.04]], edge_compute_e=[0.042])
    with pytest.raises(PolicyError, match=r"breaks F11 at e0: .* \(window of an edge under random"):
        solve(problem, returning(at_the_edge(problem)))


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"client_memory_c": [99.0]}, r"F4 at c0: 100 bytes > 99 \(memory\)"),
        ({"client_compute_c": [0.3]}, r"F5 at c0: 0.2 s/s > 0.18 \(compute of a client\)"),
        ({"client_uplink_c": [500.0]}, r"F7 at c0: 600 bytes/s > 500 \(uplink\)"),
        ({"edge_uplink_e": [500.0]}, r"F7 at e0: 600 bytes/s > 500 \(uplink\)"),
        ({"cloud_compute": 0.05}, r"F8 at sky: 0.06 s/s > 0.03 \(compute of the cloud\)"),
        ({"deadline_t": [1e-3, np.inf]}, r"F13 at c0: 1 share > 0 \(.* keep their deadline\)"),
    ],
)
def test_a_plan_over_budget_is_refused_with_budget_and_node(
    change: dict[str, Any], broken: str
) -> None:
    problem = one_client(**change)
    chosen = Allocation.empty(problem)
    chosen.onloaded_cm[0, 2] = True
    chosen.local_ctm[0, 1, 2] = 1.0
    chosen.cloud_at[0, 0] = 1.0
    with pytest.raises(PolicyError, match=f"its plan breaks {broken}$") as refused:
        solve(problem, returning(chosen))
    assert "\n" not in str(refused.value)


def test_shares_are_checked_as_well() -> None:
    problem = one_client()
    for edit, label in (
        ({"edge_atm": np.full((1, 2, 3), 0.5)}, "F3 at c0"),
        ({"cloud_at": np.array([[1.5, 0.0]])}, "F2 at c0/a"),
        ({"cloud_at": np.array([[-0.5, 0.0]])}, "F3 at c0"),
        ({"cloud_at": np.array([[0.5, 0.5]])}, "F3 at c0"),
    ):
        with pytest.raises(PolicyError, match=label):
            solve(problem, returning(replace(Allocation.empty(problem), **edit)))
    over = replace(at_the_edge(problem), cloud_at=np.array([[0.5, -0.5]]))
    with pytest.raises(PolicyError, match=r"F3 at c0: 1 share > 0 .*, and 1 more$"):
        solve(problem, returning(over))


def test_dust_of_a_solver_is_no_fault() -> None:
    problem = one_client()
    chosen = at_the_edge(problem)
    chosen.local_ctm[0, 0, 1] = -1e-12
    chosen.cloud_at[0, 1] = 1e-11
    assert solve(problem, returning(chosen)).objective == pytest.approx(0.8)


@pytest.mark.parametrize("onloading", [{"c0": ["big"]}, {"e0": ["small-a", "big"]}])
def test_models_that_do_not_fit_memory_are_refused(onloading: dict[str, list[str]]) -> None:
    problem = one_client(client_memory_c=[50.0], edge_memory_e=[100.0])
    (node,) = onloading
    with pytest.raises(PolicyError, match=rf"F4 at {node}: 1[01]0 bytes > (50|100) \(memory\)"):
        solve(problem, returning(onloading))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "returned a NoneType; return {node: "),
        (0.9, "returned a float; return {node: "),
        ((np.ones((1, 3)), [1]), "returned a tuple; return"),
        ({"c0": "big"}, "returned 'big' for 'c0'; name a node, and list the names of its models"),
        ({"c0": [2]}, r"returned \[2\] for 'c0'; name"),
        ({0: ["big"]}, r"returned \['big'\] for 0; name"),
        ({"c1": ["big"]}, "onloading: the problem has no node 'c1'; did you mean 'c0'"),
        ({"c0": ["bigg"]}, "onloading.c0: the problem has no model 'bigg'; did you mean 'big'"),
        ((np.ones((1, 3)), np.ones((1, 3))), "onloaded_cm is of float64, not bool"),
        (
            (np.ones((1, 3), dtype=bool), np.ones((3, 1), dtype=bool)),
            r"onloaded_em has the shape \(3, 1\), not \(1, 3\) \(edges x models\)",
        ),
        (
            replace(Allocation.empty(one_client()), cloud_at=np.array([[np.nan, 0.0]])),
            "cloud_at has a value that is not finite",
        ),
    ],
)
def test_a_value_of_another_kind_is_refused_in_one_line(value: object, told: str) -> None:
    with pytest.raises(PolicyError, match=f"^policy '.*own':? {told}") as refused:
        solve(one_client(), returning(value))
    assert "\n" not in str(refused.value)


def test_an_error_in_the_function_says_where() -> None:
    def own(problem: Problem, options: Options) -> object:
        return problem.models.index("none\nat all")

    line = own.__code__.co_firstlineno + 1
    with pytest.raises(PolicyError, match=rf"own': ValueError: .*, in {__file__}, line {line}$"):
        solve(one_client(), own)

    def no_arguments() -> None: ...

    with pytest.raises(PolicyError, match=r"TypeError: .* takes 0 positional arguments"):
        solve(one_client(), no_arguments)  # type: ignore[arg-type]


def test_the_function_is_called_once_with_what_was_asked() -> None:
    """Routes are found several times over, until windows hold (F11)."""
    asked: list[tuple[Problem, Options]] = []

    def own(problem: Problem, options: Options) -> object:
        asked.append((problem, options))
        return {"e0": ["big"]}

    problem = one_client()
    solve(problem, own, Options(seed=7, fill=0.5))
    ((given, options),) = asked
    assert given is problem
    assert (options.seed, options.fill, options.overrun) == (7, 0.5, 0.05)


def test_time_that_the_function_takes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("planner.policies.plugin_plans.time.perf_counter", lambda: now_s[0])

    def own(problem: Problem, options: Options) -> object:
        now_s[0] += 70.0
        return {"c0": ["small-a"]}

    certificate = solve(one_client(), own).certificate
    assert certificate.runtime_s == pytest.approx(70.0)
    assert certificate.status is Status.TIME_LIMIT


def test_edges_that_do_not_batch_are_held_to_f6() -> None:
    """Of 10 queries/s each takes 23 ms at the edge: .23 of a second; of 10 ms batches, F9 asks for
    little."""
    unbatched = Options(edge_form="unbatched")
    problem = one_client(edge_compute_e=[0.3])
    assert solve(problem, returning(at_the_edge(problem))).objective == pytest.approx(0.8)
    with pytest.raises(PolicyError, match=r"F6 at e0: 0\.23 s/s > 0\.18"):
        solve(problem, returning(at_the_edge(problem)), unbatched)
    with pytest.raises(ValueError, match="overrun is about windows"):
        solve(problem, returning({}), Options(edge_form="unbatched", overrun=0.05))


def test_bursts_get_their_room_beside_a_users_policy() -> None:
    """Links are planned emptier under bursts (F17), and the plan holds for the problem as given."""
    problem = one_client(
        dispersion_c=[20.0], client_uplink_c=[700.0], bandwidth_a=[1000.0], backlog_a=[0.5],
        edge_bandwidth_e=[1e6], edge_backlog_e=[0.5],
    )  # fmt: skip
    seen: list[float] = []

    def own(planned: Problem, options: Options) -> object:
        seen.append(float(planned.client_uplink_c[0]))
        return {"c0": ["small-b"]}

    solution = solve(problem, own)
    assert solution.problem is problem
    assert seen[0] < 700.0
    assert evaluate(problem, solution.plan, overrun=0.05, fill=0.6).feasible
