"""Published planners: valid plans below the bound, and what is typical of each by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.evaluate import evaluate
from planner.instances.adverse import adverse_problem
from planner.policies import Options, solve
from planner.policies.rivals.jellybean_like import cheapest_variants
from planner.policies.rivals.wants import answers_first, needed_t
from planner.problem import Problem
from planner.solution import Solution
from support.planner_cases import one_client, random_problem

RIVALS = (
    "infaas-like", "proteus-like", "loki-like", "jellybean-like", "ipa-like", "slackfit-like",
)  # fmt: skip
SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=3, deadline=None, derandomize=True, database=None)
MEAN = Options(overrun=None, fill=1.0, gap=1e-4)


def check(problem: Problem, solution: Solution, options: Options) -> None:
    checked = evaluate(problem, solution.plan, fill=options.fill, overrun=solution.overrun)
    assert checked.feasible, (solution.policy, checked.violations())
    certificate = solution.certificate
    assert checked.objective == pytest.approx(solution.objective, abs=1e-9)
    assert solution.objective <= certificate.upper_bound
    assert 0 <= certificate.gap <= 1


@FEW
@given(seed=SEEDS)
def test_plans_are_feasible_and_below_the_bound_of_the_best_planner(seed: int) -> None:
    problem = random_problem(seed, reach=1 + seed % 2)
    for options in (Options(overrun=None, fill=0.8, gap=1e-3), Options(gap=1e-3)):
        best = solve(problem, "certified", options).certificate.upper_bound
        for rival in RIVALS:
            solution = solve(problem, rival, options)
            check(problem, solution, options)
            assert solution.objective <= best * (1 + 1e-7), rival


@pytest.mark.parametrize("seed", range(8))
def test_plans_are_feasible_in_adverse_regimes(seed: int) -> None:
    _, problem = adverse_problem(seed)
    options = Options(overrun=(None, 0.05)[seed % 2], gap=1e-3)
    best = solve(problem, "certified", options).certificate.upper_bound
    for rival in RIVALS:
        solution = solve(problem, rival, options)
        check(problem, solution, options)
        assert solution.objective <= best * (1 + 1e-7) + 1e-15, rival


def one_task(**changes: object) -> Problem:
    """One client without memory, one edge, one task in four variants: `tiny` .6, `light` .8,
    `sound` .86, `best` .9 at 1, 2, 4 and 20 ms a query. 10 queries/s, no cloud."""
    fields: dict[str, object] = {
        "tasks": ("a",), "models": ("tiny", "light", "sound", "best"),
        "load_ct": [[10.0]], "accuracy_mt": [[0.6], [0.8], [0.86], [0.9]],
        "client_memory_c": [0.0], "edge_memory_e": [100.0],
        "client_model_bytes_cm": [[1.0, 2.0, 4.0, 8.0]],
        "edge_model_bytes_em": [[1.0, 2.0, 4.0, 8.0]],
        "client_setup_cm": [[0.0, 0.0, 0.0, 0.0]], "client_marginal_cm": [[0.01, 0.02, 0.04, 0.2]],
        "edge_setup_em": [[0.0, 0.0, 0.0, 0.0]], "edge_marginal_em": [[0.001, 0.002, 0.004, 0.02]],
        "cloud_accuracy_t": [0.0], "cloud_model_t": [-1], "cloud_cost_t": [0.0],
        "query_bytes_t": [100.0], "answer_bytes_t": [10.0],
    }  # fmt: skip
    return one_client(**{**fields, **changes})


def edge_models(problem: Problem, policy: str) -> tuple[str, ...]:
    return solve(problem, policy, MEAN).plan.onloading["e0"]


def test_infaas_like_takes_the_cheapest_variant_that_meets_the_need() -> None:
    """The need is .9 x .9 = .81: `sound` at .86 is the cheapest above it. `best` fits too."""
    problem = one_task()
    assert needed_t(problem) == pytest.approx([0.81])
    assert edge_models(problem, "infaas-like") == ("sound",)
    assert edge_models(problem, "exact") == ("best",)


def test_infaas_like_shares_a_variant_among_tasks() -> None:
    """`big` is dearer than either small one, and meets the needs of both tasks: loaded once."""
    problem = one_client(
        accuracy_mt=[[0.5, 0.0], [0.0, 0.4], [0.8, 0.8]], client_memory_c=[0.0],
        cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1],
    )  # fmt: skip
    assert edge_models(problem, "infaas-like") == ("big",)


def test_infaas_like_takes_the_most_accurate_that_fits_where_none_meets_the_need() -> None:
    """The cloud's .9 makes the need .81, but nothing gets there; the edge has room for `light`."""
    problem = one_task(
        edge_memory_e=[3.0], edge_uplink_e=[0.0],
        cloud_accuracy_t=[0.9], cloud_model_t=[3], cloud_cost_t=[0.01],
    )  # fmt: skip
    assert needed_t(problem) == pytest.approx([0.81])
    assert edge_models(problem, "infaas-like") == ("light",)


def test_proteus_like_holds_one_variant_a_device() -> None:
    """Memory for both small models; with one on the edge, the other task has none."""
    problem = one_client(
        edge_memory_e=[25.0], client_memory_c=[0.0],
        cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1],
    )  # fmt: skip
    assert edge_models(problem, "exact") == ("small-a", "small-b")
    solution = solve(problem, "proteus-like", MEAN)
    assert solution.plan.onloading["e0"] == ("small-a",)
    assert solution.objective == pytest.approx(0.6 * 0.5)


@pytest.mark.parametrize("policy", ["proteus-like", "loki-like"])
def test_demand_is_answered_before_it_is_answered_well(policy: str) -> None:
    """400 queries/s: `best` alone answers 50 of them right at .9, `light` all of them at .8. With
    models of .3 and .9 F1 prefers the few good answers (75 x .9 > 400 x .1), these planners do not.
    """
    crowded = one_task(load_ct=[[400.0]])
    assert solve(crowded, policy, MEAN).evaluation.shed_share < 0.01
    skewed = one_task(
        load_ct=[[400.0]], accuracy_mt=[[0.05], [0.05], [0.05], [0.9]],
        edge_marginal_em=[[0.0025, 0.0025, 0.0025, 0.005]],
    )  # fmt: skip
    assert solve(skewed, "exact", MEAN).evaluation.shed_share == pytest.approx(0.5)
    assert solve(skewed, policy, MEAN).evaluation.shed_share < 0.01


def test_answers_first_by_hand() -> None:
    """One answer at .95 against two at .5."""
    problem = answers_first(one_client(accuracy_mt=[[0.5, 0.0], [0.0, 0.4], [0.95, 0.8]]))
    assert problem.accuracy_mt[2, 0] == pytest.approx(0.99)
    assert 2 * problem.accuracy_mt[0, 0] == pytest.approx(1.8)
    assert problem.accuracy_mt[0, 1] == 0.0


def test_loki_like_trades_accuracy_for_load_only_when_the_hardware_is_full() -> None:
    """`best` answers 50 queries/s. Of 400, a second of the edge has room for 300 by `light` (2 ms)
    and 100 by `sound` (4 ms): .75 x .8 + .25 x .86."""
    assert edge_models(one_task(load_ct=[[40.0]]), "loki-like") == ("best",)
    full = solve(one_task(load_ct=[[400.0]]), "loki-like", MEAN)
    assert full.plan.onloading["e0"] == ("light", "sound")
    assert full.evaluation.shed_share == pytest.approx(0.0, abs=1e-6)
    assert full.objective == pytest.approx(0.815, rel=5e-3)


def test_jellybean_like_takes_the_cheapest_variants_that_reach_the_target() -> None:
    """.9 of the best sum is .81 a query over both tasks. `b` at .9 costs hardly more, so `a` may
    do with .8: together .85 >= .81; with .6 it would be .75."""
    problem = one_task(
        tasks=("a", "b"), models=("tiny", "light", "best", "b-low", "b-high"),
        load_ct=[[10.0, 10.0]],
        accuracy_mt=[[0.6, 0.0], [0.8, 0.0], [0.9, 0.0], [0.0, 0.5], [0.0, 0.9]],
        client_model_bytes_cm=[[1.0] * 5], edge_model_bytes_em=[[1.0] * 5],
        client_setup_cm=[[0.0] * 5], client_marginal_cm=[[0.01] * 5],
        edge_setup_em=[[0.0] * 5], edge_marginal_em=[[0.001, 0.002, 0.02, 0.001, 0.0011]],
        cloud_accuracy_t=[0.0, 0.0], cloud_model_t=[-1, -1], cloud_cost_t=[0.0, 0.0],
        query_bytes_t=[100.0, 100.0], answer_bytes_t=[10.0, 10.0],
    )  # fmt: skip
    assert [problem.models[m] for m in cheapest_variants(problem)] == ["light", "b-high"]


def test_jellybean_like_fills_the_clients_before_the_edge() -> None:
    """`light` takes a client 20 ms: with half its time it answers 25 of 40 queries/s."""
    problem = one_task(
        client_memory_c=[10.0], load_ct=[[40.0]], client_compute_c=[0.5],
        accuracy_mt=[[0.6], [0.85], [0.86], [0.9]],
    )  # fmt: skip
    solution = solve(problem, "jellybean-like", MEAN)
    assert solution.plan.onloading == {"c0": ("light",), "e0": ("light",), "sky": ()}
    assert solution.evaluation.share_by_tier["client"] == pytest.approx(25 / 40)
    assert solution.evaluation.share_by_tier["edge"] == pytest.approx(15 / 40)


def test_ipa_like_does_not_pay_for_a_replica_that_earns_less_than_its_price() -> None:
    """A tenth of the accuracy of all queries is the price of a full memory of 8. `best` fills it,
    .1 a query, and is .04 more accurate than `sound`, which costs .05: that is the better buy, and
    better than `light` (.8 - .025). With memory for all, prices are small and `best` is bought."""
    scarce = one_task(edge_memory_e=[8.0], accuracy_mt=[[0.6], [0.8], [0.86], [0.9]])
    assert edge_models(scarce, "ipa-like") == ("sound",)
    assert edge_models(scarce, "exact") == ("best",)
    assert edge_models(one_task(edge_memory_e=[800.0]), "ipa-like") == ("best",)


def test_ipa_like_has_one_variant_a_task() -> None:
    """Too many queries for `best` alone: `exact` mixes two variants, this one may not."""
    crowded = one_task(load_ct=[[60.0]], edge_memory_e=[1e6])
    assert len(edge_models(crowded, "exact")) == 2
    assert len(edge_models(crowded, "ipa-like")) == 1


@pytest.mark.parametrize(
    ("window_s", "chosen"), [(10.0, "best"), (0.05, "sound"), (0.003, "light"), (0.001, "tiny")]
)
def test_slackfit_like_picks_by_slack(window_s: float, chosen: str) -> None:
    """10 queries/s in 10 s are a batch of 100, which takes `best` (20 ms) 2 s; 60 queries/s in
    50 ms are three: 60 ms for `best`, 12 for `sound` (4 ms). The others hold one query. Memory
    holds one model."""
    load_qps = 60.0 if window_s == 0.05 else 10.0
    problem = one_task(
        window_e=[window_s], load_ct=[[load_qps]],
        edge_model_bytes_em=[[9.0] * 4], edge_memory_e=[10.0],
    )  # fmt: skip
    assert edge_models(problem, "slackfit-like") == (chosen,)


def test_slackfit_like_keeps_the_fastest_variant_for_queries_with_little_slack() -> None:
    """A batch of 490 takes `best` 9.8 s and a set-up of .1 s: in time for a window of 10 s. But no
    batch is larger than 50, so there are ten set-ups, and some queries need a faster variant."""
    problem = one_task(
        load_ct=[[49.0]], window_e=[10.0], edge_memory_e=[9.0], edge_max_batch_e=[50.0],
        edge_setup_em=[[0.1, 0.1, 0.1, 0.1]],
    )  # fmt: skip
    solution = solve(problem, "slackfit-like", MEAN)
    assert set(solution.plan.onloading["e0"]) == {"best", "tiny"}
    assert solution.evaluation.shed_share == pytest.approx(0.0, abs=1e-6)
