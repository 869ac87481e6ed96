"""What models are worth where clients follow their queues, and which ones a client should hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.allocation import Allocation
from planner.problem import Problem
from serving.replan.decision import decide
from serving.replan.decision_input import Ground
from serving.replan.home_models import with_better_homes
from serving.replan.moving_cost import LoadingLoss, lost_by_queues
from serving.replan.plan_alternative import AlternativeKind
from serving.replan.queue_value import QueueRoutedPlan
from serving.replan.scenarios import Moments
from serving.routing.routes import RoutingMode
from support.replan_cases import estimate, given, ground, plan_for, problem


def moments(*factors: float) -> Moments:
    return Moments(np.full(len(factors), 1.0 / len(factors)), np.array(factors)[:, None])


def stated(depth_qps: float, edges_qps: float, link_qps: float) -> Problem:
    """Models: `d` for both tasks, on the client; `x` for both, better, on the edge."""
    return replace(
        problem(depth_qps, edges_qps, link_qps=link_qps),
        accuracy_mt=np.array([[0.5, 0.8], [0.9, 0.9]]),
        edge_memory_e=np.ones(1),
    )


def held(of: Problem, client: tuple[bool, bool] = (True, False)) -> Allocation:
    return replace(
        Allocation.empty(of),
        onloaded_cm=np.array([client]),
        onloaded_em=np.array([[False, True]]),
    )


def test_the_link_takes_what_gains_most_and_the_rest_is_answered_at_home() -> None:
    on = stated(6.0, 4.0, link_qps=8.0)
    found = QueueRoutedPlan(on, held(on)).value(on.load_ct, moments(1.0))
    assert found.right_qps == pytest.approx(6 * 0.9 + 2 * 0.9 + 2 * 0.8)
    assert found.load_qps == pytest.approx(10.0)


def test_in_a_burst_a_client_without_models_loses_what_its_link_does_not_take() -> None:
    on = stated(6.0, 4.0, link_qps=8.0)
    with_one, with_none = (
        QueueRoutedPlan(on, held(on, client)).value(on.load_ct, moments(2.0)).right_qps
        for client in ((True, False), (False, False))
    )
    assert with_none == pytest.approx(8 * 0.9)
    assert with_one == pytest.approx(8 * 0.9 + 4 * 0.5 + 8 * 0.8)


def test_an_overfull_edge_and_an_overfull_client_lose_the_excess() -> None:
    on = stated(2000.0, 0.0, link_qps=1000.0)
    # Windows of 1 s: 0.001 s for the first batch, then 0.001 s a query, so 999 of the 1000.
    # At home 0.002 s a query: 500 of the 1001 that are left.
    found = QueueRoutedPlan(on, held(on)).value(on.load_ct, moments(1.0)).right_qps
    assert found == pytest.approx(999 * 0.9 + 500 * 0.5, rel=1e-6)


def swapping() -> Problem:
    """The client holds one of `d` (depth only, 0.9) and `x` (both tasks, 0.6 and 0.6); the edge has
    `x` for edges behind a link for ten queries/s."""
    return replace(
        problem(5.0, 8.0, link_qps=10.0),
        accuracy_mt=np.array([[0.9, 0.0], [0.6, 0.6]]),
        edge_memory_e=np.ones(1),
    )


def test_a_client_holds_for_bursts_what_its_link_does_not_take_then() -> None:
    on = swapping()
    free, slow = (LoadingLoss({"c": 5.0}, {"c": {"x": s}}, 0.0) for s in (0.0, 50.0))
    calm = with_better_homes(on, held(on), moments(1.0), free, 60.0)
    assert calm.onloaded_cm.tolist() == [[True, False]]
    bursts = with_better_homes(on, held(on), moments(0.1, 4.0), free, 60.0)
    assert bursts.onloaded_cm.tolist() == [[False, True]]
    dear = with_better_homes(on, held(on), moments(0.1, 4.0), slow, 60.0)
    assert dear.onloaded_cm.tolist() == [[True, False]]


def test_what_a_node_would_not_answer_while_it_loads_others_answer_in_part() -> None:
    """Ten of 13 queries go up the link, for edges 8 and for depth 2; 3 of depth stay at home. The
    edge loads: all stay, and the client has nothing for edges."""
    on = swapping()
    lost = lost_by_queues(on, held(on), on.load_ct, moments(1.0))
    assert lost == pytest.approx({"c": 5 * 0.9 - 2 * 0.6, "e": 8 * 0.6})


@pytest.mark.parametrize(("dispersion", "loads"), [(1.0, {}), (60.0, {"c": ("x",)})])
def test_a_decision_for_bursts_gives_the_client_another_model(
    dispersion: float, loads: dict[str, tuple[str, ...]]
) -> None:
    on = swapping()
    only_clients = {"c": {}, "e": {"d": 1e6}}
    follows = Ground(on, on, only_clients, spill_over=True, routing=RoutingMode.PENALTY)
    present = plan_for(on).model_copy(update={"onloading": {"c": ("d",), "e": ("x",)}})
    seen = estimate(5.0, 8.0, seconds=600.0, dispersion=dispersion)
    decision = decide(follows, given(seen, present))
    chosen = decision.alternatives[decision.chosen]
    assert dict(chosen.loads) == loads
    assert not loads or chosen.kind is AlternativeKind.PLAN


def test_while_models_load_new_shares_are_followed_for_those_that_are_held() -> None:
    """The edge holds a model for both tasks, the client one for depth; the mix flips to edges."""
    on = replace(
        problem(0.0, 0.0, link_qps=4.0),
        accuracy_mt=np.array([[0.9, 0.0], [0.85, 0.8]]),
        edge_memory_e=np.ones(1),
    )
    base = replace(ground(load_s=2.0), problem=on, capacity=on)
    present = plan_for(replace(on, load_ct=np.array([[10.0, 0.0]])))
    present = present.model_copy(update={"onloading": {"c": ("d",), "e": ("x",)}})
    decision = decide(base, given(estimate(0.5, 10.0, seconds=600.0), present))
    assert decision.alternatives[decision.chosen].loads["c"] == ("x",)
    assert decision.meanwhile is not None
    assert decision.meanwhile.onloading == {**present.onloading, "o": ()}
    free = decide(replace(base, load_s={}), given(estimate(0.5, 10.0, seconds=600.0), present))
    assert free.changes
    assert free.meanwhile is None
