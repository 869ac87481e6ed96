"""Whether to change the plan: surely better ones are taken, all others are left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from planner.plan import allocation_of
from serving.replan.decision import Decision, decide, renew
from serving.replan.decision_input import (
    DecisionInput,
    DecisionOptions,
    Ground,
    without_nodes,
)
from serving.replan.estimate.load_estimate import LoadEstimate, LoadEstimator
from serving.replan.moving_cost import LoadingLoss, lost_by_shares
from serving.replan.need import Considered, load_has_moved, why_decide
from serving.replan.plan_alternative import AlternativeKind
from serving.replan.scenarios import with_mean_load
from serving.routing.routes import RoutingMode
from support.demo_setting import demo_demand, demo_setting
from support.replan_cases import estimate, given, ground, plan_for, problem, snapshot

FOR_DEPTH = plan_for(problem(10, 1))


def decided(seen: LoadEstimate, **changes: object) -> Decision:
    return decide(changes.pop("on", ground()), given(seen, FOR_DEPTH, **changes))  # type: ignore[arg-type]


def test_a_flipped_mix_is_worth_a_new_plan() -> None:
    decision = decided(estimate(1.0, 10.0))
    chosen = decision.alternatives[decision.chosen]
    assert chosen.kind is AlternativeKind.PLAN
    assert chosen.loads == {"c": ("x",)}
    assert decision.plan is not None
    assert decision.plan.onloading["c"] == ("x",)
    assert decision.present == pytest.approx(0.9 / 11)
    assert decision.proposed == pytest.approx(0.8 * 10 / 11)
    assert chosen.sure_gain <= chosen.gain
    assert decision.reason.startswith("gains +0.6")
    assert decision.reason.endswith("1 models move")


def test_a_steady_mix_is_not() -> None:
    decision = decided(estimate(10.0, 1.0))
    assert not decision.changes
    assert decision.plan is None
    assert decision.alternatives[0].kind is AlternativeKind.STAY


def test_a_load_that_is_hardly_known_moves_nothing() -> None:
    """After a second of bursts nobody can say that the mix is another one."""
    vague = estimate(5.0, 6.2, seconds=1.0)
    clear = estimate(5.0, 6.2, seconds=600.0)
    assert not decided(vague).changes
    assert decided(clear).changes


def test_a_gain_that_loading_eats_up_is_left() -> None:
    seen = estimate(4.0, 10.0, seconds=600.0)
    assert decided(seen, on=ground(load_s=1.0)).changes
    dear = decided(seen, on=ground(load_s=59.0))
    assert not dear.changes
    assert "no sure gain" in dear.reason
    longer = DecisionOptions(horizon_s=6_000.0)
    assert decided(seen, on=ground(load_s=59.0), options=longer).changes


def test_a_lull_moves_nothing_that_the_load_of_before_would_miss() -> None:
    """The edge has the better model behind a narrow link. In a lull all queries could go there,
    and at the load of before nearly all of them would find the link full."""
    stated = replace(
        problem(0.0, 0.0, link_qps=1.0),
        accuracy_mt=np.array([[0.7, 0.0], [0.9, 0.0]]),
        client_model_bytes_cm=np.array([[1.0, 5.0]]),
        edge_memory_e=np.ones(1),
    )
    on = replace(ground(), problem=stated, capacity=stated)
    present = plan_for(replace(stated, load_ct=np.array([[20.0, 0.0]])))
    up = sum(route.share for route in present.routes if route.tier == "edge")
    assert 0.0 < up < 0.06
    lull = estimate(0.5, 0.0, seconds=600.0)
    assert decide(on, given(lull, present)).changes
    remembered = lull.model_copy(update={"former_qps": {"c": 20.0}})
    assert not decide(on, given(remembered, present)).changes


def test_the_same_input_gives_the_same_decision() -> None:
    seen = estimate(1.0, 10.0, dispersion=20.0)
    assert decided(seen) == decided(seen)


def test_the_plan_of_an_absent_edge_keeps_its_models_for_its_return() -> None:
    present = FOR_DEPTH.model_copy(update={"onloading": {**FOR_DEPTH.onloading, "e": ("d",)}})
    seen = given(estimate(1.0, 10.0), present, absent=("e",))
    decision = decide(ground(edge_memory=1.0), seen)
    assert decision.plan is not None
    assert decision.plan.onloading["e"] == ("d",)
    assert decision.reason.endswith("planned without e")
    assert not any(route.node in ("e", "o") for route in decision.plan.routes)


def test_without_an_edge_or_the_cloud_there_is_no_way_there() -> None:
    stated = problem(1.0, 1.0)
    no_edge, no_cloud = without_nodes(stated, ("e",)), without_nodes(stated, ("o",))
    assert (no_edge.client_uplink_c[0], no_edge.edge_uplink_e[0]) == (0.0, 0.0)
    assert (no_cloud.client_uplink_c[0], no_cloud.edge_uplink_e[0]) == (1.0, 0.0)
    assert without_nodes(stated, ("c",)) is stated


def test_moving_costs_the_answers_of_the_node_that_loads() -> None:
    stated = problem(10.0, 1.0)
    other = plan_for(problem(1.0, 10.0))
    lost_qps = lost_by_shares(stated, allocation_of(stated, FOR_DEPTH))
    assert lost_qps == pytest.approx({"c": 9.0, "e": 0.0, "o": 0.0})
    loss = LoadingLoss.of(stated, lost_qps, ground(load_s=2.0).load_s)
    cost = loss.cost(FOR_DEPTH, other)
    assert cost.loads == {"c": ("x",)}
    assert cost.delay_s == 2.0 + 2.0  # two windows of the edge, for the last queries of old routes
    assert cost.right_answers == pytest.approx(2.0 * 9.0)
    stay = loss.cost(FOR_DEPTH, FOR_DEPTH)
    assert (stay.delay_s, stay.right_answers) == (0.0, 0.0)


def test_the_policy_plans_with_what_loading_costs() -> None:
    """F16: a policy that pays for its loads keeps the models in force where a move cannot pay."""
    seen = estimate(4.0, 10.0, seconds=600.0)
    cheap, dear = (decided(seen, on=ground(load_s=load_s)) for load_s in (1.0, 100.0))
    assert cheap.alternatives[-1].loads == {"c": ("x",)}
    assert dear.alternatives[-1].loads == {}
    assert dear.lost_qps["c"] == pytest.approx(0.9 * 4.0)


def test_a_move_must_pay_while_the_load_may_be_expected_to_stay() -> None:
    seen = estimate(4.0, 10.0, seconds=600.0)
    on = ground(load_s=5.0)
    assert decided(seen, on=on).horizon_s == 60.0
    assert decided(seen, on=on).changes
    restless = decided(estimate(4.0, 10.0, seconds=600.0, stay_s=6.0), on=on)
    assert restless.horizon_s == 6.0
    assert not restless.changes


@pytest.mark.parametrize(("flip_s", "moves"), [(16, False), (10_000, True)])
def test_models_do_not_follow_a_mix_that_flips_to_and_fro(flip_s: int, moves: bool) -> None:
    """Looks of 136 seconds, in simulated time; at the end edges are asked for since 8 s or since
    the begin. Loading `x` takes 18 s, which pays within 60 s and not within 22 s."""
    asked = {"depth": 0, "edges": 0}
    estimator = LoadEstimator(("depth", "edges"))
    random = np.random.default_rng(3)
    seen = None
    for second in range(137):
        favourite = "depth" if second // flip_s % 2 else "edges"
        for task in asked:
            asked[task] += int(random.poisson(12.0 if task == favourite else 2.0))
        seen = estimator.update({"c": snapshot("c", float(second), **asked)})
    assert seen is not None
    decision = decided(seen, on=ground(load_s=18.0))
    assert decision.changes == moves


def test_models_move_in_a_lull_rather_than_in_a_burst() -> None:
    on = ground(load_s=5.0)
    calm, burst = (
        decided(estimate(4.0, 6.0, seconds=600.0, dispersion=30.0, now_qps=qps), on=on)
        for qps in (10.0, 100.0)
    )
    assert calm.changes
    assert not burst.changes
    assert burst.lost_qps["c"] == pytest.approx(10.0 * calm.lost_qps["c"])


def test_tasks_that_are_asked_of_one_image_get_the_model_that_answers_both_in_one_pass() -> None:
    """A pass of either model takes 40 ms; x answers both tasks, d the first one better. Twelve
    images a second that are asked both keep x busy for .48 s of the .6 s that the fill leaves, and
    every query alone for .96 s."""
    stated = problem(0.0, 0.0).changed(
        accuracy_mt=np.array([[0.9, 0.0], [0.75, 0.75]]),
        client_marginal_cm=np.array([[0.039, 0.039]]),
    )
    on = replace(ground(), problem=stated, capacity=stated)
    present = plan_for(stated.changed(load_ct=np.array([[20.0, 0.0]])))
    assert present.onloading["c"] == ("d",)
    seen = estimate(12.0, 12.0, seconds=600.0)
    alone = decide(on, given(seen, present))
    together = decide(
        on, given(seen.model_copy(update={"bundles_qps": {"c": {"depth+edges": 12.0}}}), present)
    )
    assert together.plan is not None
    assert together.plan.onloading["c"] == ("x",)
    assert together.plan.bundles[0].qps == pytest.approx(12.0)
    assert together.proposed == pytest.approx(0.75, rel=1e-3)
    assert alone.proposed < 0.65


@pytest.mark.parametrize("judge", [decide, renew])
def test_tasks_of_one_image_are_judged_by_shares_whatever_others_follow(
    judge: Callable[[Ground, DecisionInput], Decision],
) -> None:
    on = replace(ground(), routing=RoutingMode.PENALTY)
    seen = estimate(12.0, 12.0, seconds=600.0)
    together = seen.model_copy(update={"bundles_qps": {"c": {"depth+edges": 12.0}}})
    by_queues, by_shares = (
        judge(each, given(together, FOR_DEPTH))
        for each in (on, replace(on, routing=RoutingMode.SHARES))
    )
    assert by_queues.present == by_shares.present
    assert by_queues.lost_qps == by_shares.lost_qps
    alone = judge(on, given(seen, FOR_DEPTH))
    assert alone.lost_qps != judge(ground(), given(seen, FOR_DEPTH)).lost_qps


def test_bundles_of_tasks_that_no_model_serves_are_left_out() -> None:
    seen = estimate(20.0, 20.0).model_copy(
        update={"bundles_qps": {"c": {"depth+normals": 3.0, "depth+edges": 2.0}}}
    )
    curved = problem(0.0, 0.0).changed(
        curve_sizes_z=np.array([1.0, 4.0]), edge_curve_emz=np.full((1, 2, 2), 0.01)
    )
    loaded = with_mean_load(curved, seen)
    assert not loaded.curved  # F14 and F15 are not planned together
    assert with_mean_load(curved, estimate(20.0, 20.0)).curved
    assert loaded.bundle_bt.tolist() == [[1.0, 1.0]]
    assert loaded.bundle_load_cb.tolist() == [[2.0]]
    assert loaded.load_ct.tolist() == [[20.0, 20.0]]


def considered(seen: LoadEstimate) -> Considered:
    return Considered(estimate=seen, absent=())


def test_nothing_is_decided_while_nothing_is_new() -> None:
    before = considered(estimate(10.0, 1.0, seconds=60.0))
    assert why_decide(estimate(10.2, 1.05, seconds=70.0), (), {}, before) == ""


@pytest.mark.parametrize(
    ("seen", "absent", "why"),
    [
        (estimate(14.0, 1.0), (), "the rate of c/depth has moved"),
        (estimate(10.0, 1.0, changes=1), (), "the load has changed"),
        (estimate(10.0, 1.0, seconds=120.0), (), "the load is known better"),
        (estimate(10.0, 1.0), ("e",), "nodes came or went"),
        (estimate(10.0, 1.0, dispersion=3.5), (), "c sends burstier"),
    ],
)
def test_it_is_decided_again_when_the_answer_could_be_another(
    seen: LoadEstimate, absent: tuple[str, ...], why: str
) -> None:
    assert why_decide(seen, absent, {}, considered(estimate(10.0, 1.0))) == why


def test_it_is_decided_again_when_a_former_load_is_forgotten() -> None:
    before = considered(estimate(2.0, 1.0, former_qps=20.0))
    assert why_decide(estimate(2.0, 1.0), (), {}, before) == "a former load is forgotten"


def test_it_is_decided_again_when_a_link_is_not_as_it_was() -> None:
    before, now = considered(estimate(10.0, 1.0)), estimate(10.0, 1.0)
    slower = {"c to e": 0.25}
    assert why_decide(now, (), slower, before) == "c to e is not as it was"
    known = before.model_copy(update={"ratios": slower})
    assert why_decide(now, (), slower, known) == ""
    assert why_decide(now, (), {}, known) == "c to e is not as it was"


def test_it_is_decided_again_when_tasks_are_asked_of_the_same_images() -> None:
    seen = estimate(10.0, 10.0)
    before = considered(seen)
    few, many = (
        seen.model_copy(update={"bundles_qps": {"c": {"depth+edges": qps}}}) for qps in (5.0, 9.0)
    )
    assert why_decide(few, (), {}, before) == ""
    assert why_decide(many, (), {}, before) == "c asks other tasks together"
    assert load_has_moved("c asks other tasks together")
    assert why_decide(seen, (), {}, considered(many)) == "c asks other tasks together"
    assert why_decide(many, (), {}, considered(many)) == ""


def test_it_is_decided_again_when_a_burst_is_over() -> None:
    before = considered(estimate(10.0, 1.0, now_qps=60.0))
    assert why_decide(estimate(10.0, 1.0, now_qps=60.0), (), {}, before) == ""
    assert why_decide(estimate(10.0, 1.0), (), {}, before) == "the burst is over"


@pytest.mark.parametrize(
    ("why", "moved"),
    [
        ("the load has changed", True), ("the rate of c/depth has moved", True),
        ("nodes came or went", False), ("the load is known better", False),
        ("c to e is not as it was", False),
    ],
)  # fmt: skip
def test_reasons_tell_another_load_from_other_knowledge(why: str, moved: bool) -> None:
    assert load_has_moved(why) == moved


def test_models_are_decided_about_once_a_new_load_is_known_for_three_seconds() -> None:
    before = considered(estimate(1.0, 10.0, seconds=2.0)).model_copy(update={"shares_only": True})
    assert why_decide(estimate(1.0, 10.0, seconds=2.5), (), {}, before) == ""
    settled = estimate(1.0, 10.0, seconds=3.0)
    assert why_decide(settled, (), {}, before) == "models are to be decided about"
    assert why_decide(settled, (), {}, considered(settled)) == ""


def test_shares_alone_are_decided_about_as_beside_models() -> None:
    """Nothing is loaded, and what the best shares gain is the same."""
    seen = estimate(1.0, 10.0)
    first = decided(seen, shares_only=True)
    whole = decided(seen)
    assert [other.kind for other in first.alternatives] == ["stay", "routes"]
    assert first.alternatives == whole.alternatives[:2]
    assert first.lost_qps == {}


def test_at_first_it_is_decided() -> None:
    assert why_decide(estimate(10.0, 1.0), (), {}, None) == "nothing was decided yet"


def test_a_ground_says_what_the_links_carry_beyond_their_budgets() -> None:
    from serving.replan.decision_input import ground_of

    stated = demo_setting()
    on: Ground = ground_of(stated, demo_demand().phases[0], spill_over=True)
    whole = [link.bytes_per_s for link in stated.topology.links if link.target == "edge-0"]
    assert on.capacity.client_uplink_c.tolist() == whole
    assert on.problem.client_uplink_c.tolist() == [0.7 * bandwidth for bandwidth in whole]
    assert on.problem.total_load_qps == 0.0
    assert set(on.load_s) == {node.name for node in stated.topology.nodes}


def test_a_device_that_is_slower_may_take_more_of_its_time_for_the_plan_in_force() -> None:
    """Whoever judges it by its budget alone would give up what still works: an edge that is twice
    as slow is busy for .8 of its time instead of .4, and answers as many."""
    from serving.replan.calibrated_setting import calibrated
    from serving.replan.decision_input import ground_of

    stated, ratios = demo_setting(), {"edge-0": 2.0, "client-0": 40.0}
    phase = demo_demand().phases[0]
    on = ground_of(calibrated(stated, ratios), phase, spill_over=True, ratios=ratios)
    assert on.problem.edge_compute_e.tolist() == [0.4]
    assert on.capacity.edge_compute_e.tolist() == [0.8]
    assert on.capacity.client_compute_c.tolist() == [1.0, 0.1, 0.08]


def test_a_plan_that_is_renewed_is_a_new_one_whatever_it_gains_or_costs() -> None:
    seen = estimate(4.0, 10.0, seconds=600.0)
    dear = ground(load_s=59.0)
    assert not decided(seen, on=dear).changes
    renewed = renew(dear, given(seen, FOR_DEPTH))
    chosen = renewed.alternatives[renewed.chosen]
    assert chosen.kind is AlternativeKind.PLAN
    assert chosen.sure_gain < 0
    assert renewed.plan is not None
    assert renewed.plan.onloading["c"] == ("x",)
