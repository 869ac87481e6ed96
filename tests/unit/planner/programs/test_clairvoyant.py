"""The bound on every sequence of plans (F21): exact on small cases, never below a feasible run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.fits import TOLERANCE
from planner.instances.sample import sample_problem
from planner.policies import Options, solve
from planner.problem import Problem
from planner.programs.clairvoyant import Health, LeastWork, clairvoyant_bound, least_work

RATES = st.integers(0, 2**32 - 1)


def problem(
    *, client_memory: float = 1.0, edge_memory: float = 2.0, uplink: float = 10.0
) -> Problem:
    """One client (a small model of accuracy .6, .1 s a query), one edge (a large one of .9, .05 s),
    one task of one byte; no cloud."""
    return Problem(
        clients=("c",),
        edges=("e",),
        cloud="o",
        tasks=("depth",),
        models=("small", "large"),
        edge_of_a=np.array([0]),
        load_ct=np.array([[1.0]]),
        accuracy_mt=np.array([[0.6], [0.9]]),
        client_memory_c=np.array([client_memory]),
        edge_memory_e=np.array([edge_memory]),
        client_model_bytes_cm=np.array([[1.0, 2.0]]),
        edge_model_bytes_em=np.array([[1.0, 2.0]]),
        client_compute_c=np.array([0.5]),
        edge_compute_e=np.array([0.5]),
        window_e=np.array([0.5]),
        client_setup_cm=np.array([[0.0, 0.0]]),
        client_marginal_cm=np.array([[0.1, 0.2]]),
        edge_setup_em=np.array([[0.0, 0.0]]),
        edge_marginal_em=np.array([[0.02, 0.05]]),
        cloud_accuracy_t=np.array([0.0]),
        cloud_model_t=np.array([-1]),
        cloud_cost_t=np.array([0.0]),
        query_bytes_t=np.array([1.0]),
        answer_bytes_t=np.array([1.0]),
        client_uplink_c=np.array([uplink]),
        edge_uplink_e=np.array([10.0]),
    )


def counts(*per_period: int) -> np.ndarray:
    return np.array(per_period).reshape(-1, 1, 1)


@pytest.mark.parametrize(
    ("arrivals", "score"),
    [
        (counts(8), 8 * 0.9),  # the link takes 10 and half a second's 5 more
        (counts(15), 15 * 0.9),
        (counts(20), 15 * 0.9 + 5 * 0.6),
        (counts(40), 15 * 0.9 + 15 * 0.6),  # the client's device: 10 a second, and 5 of its backlog
        (counts(20, 0), 15 * 0.9 + 5 * 0.6),  # no later than half a second after
        (counts(15, 15), (15 + 10) * 0.9 + 5 * 0.6),  # what waits takes room from the next
        (counts(0, 0), 0.0),
    ],
)
def test_small_cases_are_exact(arrivals: np.ndarray, score: float) -> None:
    found = clairvoyant_bound(problem(), arrivals, 1.0, 0.5)
    assert found.score == pytest.approx(score, rel=1e-6)
    assert found.queries == arrivals.sum()
    assert found.accuracy == pytest.approx(score / max(1, arrivals.sum()))


def test_without_memory_for_a_model_its_half_counts_half() -> None:
    half = problem(edge_memory=1.0)  # the large one does not fit at all, the small one does
    assert clairvoyant_bound(half, counts(8), 1.0, 0.5).score == pytest.approx(8 * 0.6)
    both = problem(client_memory=1.0, uplink=0.0)
    assert clairvoyant_bound(both, counts(8), 1.0, 0.5).score == pytest.approx(8 * 0.6)


def test_what_a_plan_may_hold_by_the_tolerance_the_bound_holds_too() -> None:
    """A sum of floats may lie this little above a memory that it fills exactly (`fits.room`)."""
    within = 1.0 - 0.9 * TOLERANCE
    full = problem(client_memory=within, edge_memory=2.0 * within)
    light = replace(full, load_ct=np.array([[5.0]]))
    assert solve(light, "certified", Options(overrun=None)).plan.onloading["e"] == ("large",)
    found = clairvoyant_bound(full, counts(20), 1.0, 0.5)
    assert found.score == pytest.approx(15 * 0.9 + 5 * 0.6, rel=1e-9)


def test_nodes_and_links_that_are_gone_answer_nothing() -> None:
    whole = Health.whole(problem(), 2)
    gone = np.array([[0.0], [1.0]])
    no_link = replace(whole, link_ka=gone)
    no_edge = replace(whole, edge_ke=gone)
    for health in (no_link, no_edge):
        found = clairvoyant_bound(problem(), counts(4, 4), 1.0, 0.01, health=health)
        assert found.score == pytest.approx(4 * 0.6 + 4 * 0.9, rel=0.02)
    nothing = replace(no_link, client_kc=gone)
    found = clairvoyant_bound(problem(), counts(4, 4), 1.0, 0.01, health=nothing)
    assert found.score == pytest.approx(4 * 0.9, rel=0.05)


def test_work_may_be_stated_and_else_is_what_the_largest_batch_makes_of_it() -> None:
    sized = replace(
        problem(), edge_setup_em=np.array([[0.4, 0.8]]), edge_max_batch_e=np.array([8.0])
    )
    assert least_work(sized).edge_em == pytest.approx(np.array([[0.07, 0.15]]))
    dear = LeastWork(np.full((1, 2), 10.0), np.full((1, 2), 0.5), np.zeros(1))
    found = clairvoyant_bound(problem(), counts(9), 1.0, 0.5, work=dear)
    assert found.score == pytest.approx(3 * 0.9 + 0.15 * 0.6)


@pytest.mark.parametrize(
    ("arrivals", "period_s", "wait_s", "message"),
    [
        (np.zeros((2, 1), int), 1.0, 1.0, r"shape \(periods, 1, 1\)"),
        (counts(1), 0.0, 1.0, "positive period"),
        (counts(1), 1.0, -1.0, "positive period"),
        (counts(-1), 1.0, 1.0, "from 0 on"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arrivals: np.ndarray, period_s: float, wait_s: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        clairvoyant_bound(problem(), arrivals, period_s, wait_s)


@settings(max_examples=6, deadline=None)
@given(seed=RATES, regime=st.sampled_from(["memory", "compute", "communication", "mixed"]))
def test_no_feasible_plan_for_the_mean_load_is_above_the_bound(seed: int, regime: str) -> None:
    """A plan's own budgets are within the bound's, so a steady load scores at least F1 of it."""
    drawn = sample_problem("random", regime, 2, 3, seed % 100)
    found = solve(drawn, "certified", Options(overrun=None, gap=1e-2))
    whole = np.maximum(1, np.round(drawn.load_ct * 20.0)).astype(np.int64)
    steady = np.repeat(whole[None], 4, axis=0)
    bound = clairvoyant_bound(
        replace(drawn, load_ct=whole / 20.0), steady, 20.0, 2 * float(drawn.window_e.max())
    )
    again = solve(replace(drawn, load_ct=whole / 20.0), "certified", Options(gap=1e-2))
    assert found.objective <= 1.0
    assert bound.accuracy >= again.objective * (1 - 1e-9)


@settings(max_examples=6, deadline=None)
@given(seed=RATES)
def test_finer_knowledge_of_the_same_run_is_another_valid_bound_and_more_arrivals_never_score_less(
    seed: int,
) -> None:
    chance = np.random.default_rng(seed)
    drawn = sample_problem("random", "mixed", 2, 3, seed % 100)
    arrivals = chance.poisson(3.0, (6, len(drawn.clients), len(drawn.tasks)))
    more = arrivals + chance.poisson(0.5, arrivals.shape)
    fewer_bound = clairvoyant_bound(drawn, arrivals, 1.0, 0.5).score
    assert fewer_bound <= clairvoyant_bound(drawn, more, 1.0, 0.5).score * (1 + 1e-9) + 1e-9
    longer_wait = clairvoyant_bound(drawn, arrivals, 1.0, 1.0).score
    assert fewer_bound <= longer_wait * (1 + 1e-9) + 1e-9
