"""Whether to change the plan, and to what: a pure function of what is known.

An alternative must gain for sure. Its value and that of the plan in force are compared under the
same loads, drawn within the estimate's errors, each from lull to burst; what it loses while models
move is taken off; and it is chosen only if the gain, less `sureness` standard deviations over the
draws, is worth an answer over the horizon. So there is no threshold to set: a load that is hardly
known moves nothing, and a sure small gain without a move is taken.

Where clients follow their queues (`RoutingMode.PENALTY`), models are judged by what they are worth
there (`queue_value`), and new shares, which then decide little and cost nothing, as ever. While the
models of a new plan load, new shares for those that are held may be followed: loading takes
seconds, routes turn at once. For a load that is new, new shares are decided about alone and first
(`DecisionInput.shares_only`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from cluster.bundle_names import tasks_of_bundle
from cluster.document import FrozenModel
from cluster.lasting_bursts import COUNTED_WINDOWS
from planner.allocation import Allocation
from planner.passes import without_bundles
from planner.plan import Plan
from planner.problem import FloatArray, Problem
from serving.replan.alternatives import (
    better_homes,
    find_alternatives,
    find_new_shares,
    routes_in_force,
)
from serving.replan.decision_input import DecisionInput, DecisionOptions, Ground, without_nodes
from serving.replan.estimate.load_estimate import LoadEstimate
from serving.replan.moving_cost import (
    LoadingLoss,
    MovingCost,
    lost_by_queues,
    lost_by_shares,
)
from serving.replan.plan_alternative import AlternativeKind, PlanAlternative
from serving.replan.plan_value import RoutedPlan
from serving.replan.queue_value import QueueRoutedPlan
from serving.replan.scenarios import (
    Moments,
    draw_loads,
    former_load,
    load_of_now,
    moments_of,
    single_moment,
    with_mean_load,
)
from serving.routing.routes import RoutingMode

__all__ = ["Decision", "JudgedAlternative", "decide", "renew"]


class JudgedAlternative(FrozenModel):
    """One alternative, with the figures by which it was judged; gains are of F1 over the
    horizon."""

    kind: AlternativeKind
    room: float = Field(description="share of the links' budgets that it was planned with")
    objective: float = Field(description="F1 from lull to burst, at the estimated load")
    gain: float = Field(default=0.0, description="over the plan in force, less the cost")
    sure_gain: float = Field(default=0.0, description="lower end of the gain")
    cost: float = Field(default=0.0, description="F1 lost while models move (F16)")
    delay_s: float = Field(default=0.0, description="until its routes are followed")
    loads: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="node -> models to load"
    )
    planned_objective: float | None = Field(
        default=None, description="F1 of the policy's own problem, less its moving costs"
    )
    upper_bound: float | None = Field(default=None, description="of that problem (F10)")
    gap: float | None = None


class Decision(FrozenModel):
    """What was decided, and between what."""

    alternatives: tuple[JudgedAlternative, ...] = Field(description="the plan in force is first")
    chosen: int = Field(ge=0, description="position among the alternatives")
    reason: str
    plan: Plan | None = Field(default=None, description="the new plan; absent if it stays")
    meanwhile: Plan | None = Field(
        default=None,
        description="new shares for the models that are held, to be followed while those of `plan` "
        "load; absent where they gain nothing for sure",
    )
    horizon_s: float = Field(
        gt=0, description="for which the load is expected to stay, and within which a move must pay"
    )
    lost_qps: dict[str, float] = Field(
        description="node -> right answers/s that are lost while it loads models (F16)"
    )

    @property
    def changes(self) -> bool:
        """Whether another plan is to be put in force."""
        return self.plan is not None

    @property
    def present(self) -> float:
        """F1 of the plan in force, from lull to burst."""
        return self.alternatives[0].objective

    @property
    def proposed(self) -> float:
        """F1 of the alternative that was chosen, or of the best one that was not."""
        others = self.alternatives[1:]
        if self.chosen or not others:
            return self.alternatives[self.chosen].objective
        return max(others, key=lambda other: other.sure_gain).objective


def decide(ground: Ground, given: DecisionInput) -> Decision:
    """Choose between staying, new shares and new plans, for the load and the nodes that are seen.

    Raises what the policy raises.
    """
    judged = _judged(ground, given)
    figures = judged.figures
    sure = [n for n, other in enumerate(figures) if other.sure_gain > judged.one_answer]
    best = max(sure, key=lambda n: _rank(figures[n], judged.routing), default=0)
    shares = [n for n in sure if n != best and figures[n].kind is AlternativeKind.ROUTES]
    waits = figures[best].delay_s > 0
    meanwhile = judged.each[shares[0]][0].plan if shares and waits else None
    return _decision(judged, best, given, meanwhile)


def renew(ground: Ground, given: DecisionInput) -> Decision:
    """Choose a new plan for the load and the nodes that are seen, whatever it gains or costs.

    The plan in force stays only if no other keeps the budgets. Raises what the policy raises.
    """
    judged = _judged(ground, given, pays=False)
    kinds = [other.kind for other in judged.figures]
    best = kinds.index(AlternativeKind.PLAN) if AlternativeKind.PLAN in kinds else 0
    return _decision(judged, best, given)


@dataclass(frozen=True, eq=False)
class _Judged:
    """The alternatives with their figures, and what these are over."""

    each: Sequence[tuple[PlanAlternative, JudgedAlternative]]
    """the plan in force first"""
    horizon_s: float
    lost_qps: Mapping[str, float]
    load_qps: float
    routing: RoutingMode
    """that they are judged by"""

    @property
    def figures(self) -> list[JudgedAlternative]:
        return [figures for _, figures in self.each]

    @property
    def one_answer(self) -> float:
        """What one right answer over the horizon is worth in F1."""
        return 1.0 / (self.load_qps * self.horizon_s)


def _as_followed(ground: Ground, estimate: LoadEstimate) -> Ground:
    """`ground` with the routing that most queries follow: requests for several tasks keep to their
    shares (F14) where others follow the queues."""
    together_qps = sum(
        qps * len(tasks_of_bundle(name))
        for bundles in estimate.bundles_qps.values()
        for name, qps in bundles.items()
    )
    if together_qps <= 0.5 * estimate.total_qps:
        return ground
    return replace(ground, routing=RoutingMode.SHARES)


def _judged(ground: Ground, given: DecisionInput, *, pays: bool = True) -> _Judged:
    """The alternatives with their figures; new plans are made with moving costs if each `pays`."""
    options, estimate = given.options, given.estimate
    ground = _as_followed(ground, estimate)
    problem = without_nodes(ground.problem, given.absent)
    spread = estimate.dispersion_over(COUNTED_WINDOWS * float(problem.window_e.min()))
    problem = with_mean_load(problem, estimate).changed(
        dispersion_c=np.array([spread.get(client, 1.0) for client in problem.clients]),
        burst_correlation=estimate.burst_correlation,
    )
    capacity = with_mean_load(without_nodes(ground.capacity, given.absent), estimate)
    former_ct = former_load(problem, estimate)
    moments = moments_of(problem, estimate)
    horizon_s = min(options.horizon_s, estimate.stay_s)
    held = routes_in_force(problem, given.present)
    lost_qps: Mapping[str, float] = {}
    if not given.shares_only:
        lost_qps = _lost_qps(ground, problem, capacity, held, estimate, moments)
    loss = LoadingLoss.of(problem, lost_qps, ground.load_s)
    if given.shares_only:
        stay, *others = find_new_shares(problem, given.present, options)
    else:
        moving = loss.moving(problem, given.present, horizon_s) if pays else None
        stay, *others = find_alternatives(
            problem, former_ct, given.present, given.absent, options, moving
        )
        if ground.routing is RoutingMode.PENALTY:
            others += better_homes(
                problem, capacity, [stay, *others], moments, loss, given.absent, horizon_s, options
            )
    draws = draw_loads(problem, estimate, options.draws, options.seed)
    grown_ct = np.divide(
        former_ct, problem.load_ct, out=np.ones_like(former_ct), where=problem.load_ct > 0
    )
    times = [draws] if np.allclose(grown_ct, 1.0) else [draws, [d * grown_ct for d in draws]]
    judge = _Judge(problem, capacity, ground, stay, options, moments, times, loss, horizon_s)
    judged = [judge.of(stay), *(judge.of(other) for other in judge.best_of_each_kind(others))]
    load_qps = max(problem.total_load_qps, 1e-9)
    return _Judged(judged, horizon_s, lost_qps, load_qps, ground.routing)


def _lost_qps(
    ground: Ground,
    problem: Problem,
    capacity: Problem,
    held: Allocation,
    estimate: LoadEstimate,
    moments: Moments,
) -> dict[str, float]:
    """What each node would not answer while it loads models: at the load of this moment, or over
    all moments where that is more, since a lull may end meanwhile. So models move in lulls."""
    now_ct = load_of_now(problem, estimate)
    if ground.routing is RoutingMode.PENALTY:
        single = single_moment(problem)
        often = lost_by_queues(capacity, held, problem.load_ct, moments)
        now = lost_by_queues(capacity, held, now_ct, single)
    else:
        often = lost_by_shares(problem, held)
        now = lost_by_shares(without_bundles(problem).changed(load_ct=now_ct), held)
    return {node: max(qps, now.get(node, 0.0)) for node, qps in often.items()}


def _decision(
    judged: _Judged, best: int, given: DecisionInput, meanwhile: Plan | None = None
) -> Decision:
    return Decision(
        alternatives=tuple(judged.figures),
        chosen=best,
        reason=_reason(judged.figures, best, given.absent),
        plan=judged.each[best][0].plan if best else None,
        meanwhile=meanwhile,
        horizon_s=judged.horizon_s,
        lost_qps=dict(judged.lost_qps),
    )


def _rank(figures: JudgedAlternative, routing: RoutingMode) -> tuple[bool, float]:
    """By sure gain. Where clients follow their queues, the gain of new shares is one by the plan
    only: models that gain go before."""
    models = routing is RoutingMode.PENALTY and figures.kind is AlternativeKind.PLAN
    return models, figures.sure_gain


@dataclass(frozen=True, eq=False)
class _Judge:
    """Compares alternatives with the plan in force under loads that are the same for all."""

    problem: Problem
    capacity: Problem
    ground: Ground
    stay: PlanAlternative
    options: DecisionOptions
    moments: Moments
    times: Sequence[Sequence[FloatArray]]
    """draws of the load now, and of the former one where that was larger"""
    loss: LoadingLoss
    horizon_s: float

    def best_of_each_kind(self, others: Sequence[PlanAlternative]) -> list[PlanAlternative]:
        """Of the alternatives that differ only in the room they leave, the best one at the mean
        load."""
        found = []
        for kind in (AlternativeKind.ROUTES, AlternativeKind.PLAN):
            same = [other for other in others if other.kind is kind]
            if same:
                found.append(max(same, key=lambda other: self._gains(other, self._mean)[0]))
        return found

    def of(self, other: PlanAlternative) -> tuple[PlanAlternative, JudgedAlternative]:
        """The alternative and its figures."""
        cost, certificate = self._cost(other), other.certificate
        value = self._routed(other.allocation, self._by_queues(other)).value(
            self.problem.load_ct, self.moments
        )
        return other, JudgedAlternative(
            kind=other.kind,
            room=other.room,
            objective=value.objective,
            gain=self._gains(other, self._mean)[0],
            sure_gain=min(self._sure_gain(other, draws) for draws in self.times),
            cost=cost.right_answers / (max(value.load_qps, 1e-9) * self.horizon_s),
            delay_s=cost.delay_s,
            loads=dict(cost.loads),
            planned_objective=certificate.objective if certificate else None,
            upper_bound=certificate.upper_bound if certificate else None,
            gap=certificate.gap if certificate else None,
        )

    @property
    def _mean(self) -> list[FloatArray]:
        return [self.problem.load_ct]

    def _sure_gain(self, other: PlanAlternative, draws: Sequence[FloatArray]) -> float:
        return float(np.quantile(self._gains(other, draws), 1.0 - self.options.sureness))

    def _gains(self, other: PlanAlternative, loads: Sequence[FloatArray]) -> list[float]:
        """Gains in F1 over the horizon, one for each load: from when the new routes are followed,
        less what is lost until then."""
        if other is self.stay:
            return [0.0] * len(loads)
        cost, horizon_s = self._cost(other), self.horizon_s
        time_s = max(horizon_s - cost.delay_s, 0.0)
        by_queues = self._by_queues(other)
        routed, staying = (self._routed(each.allocation, by_queues) for each in (other, self.stay))
        found = []
        for load_ct in loads:
            now = staying.value(load_ct, self.moments)
            then = routed.value(load_ct, self.moments)
            answers = (then.right_qps - now.right_qps) * time_s - cost.right_answers
            found.append(answers / (max(now.load_qps, 1e-9) * horizon_s))
        return found

    def _by_queues(self, other: PlanAlternative) -> bool:
        """Whether it is compared by what models are worth where clients follow their queues."""
        penalty = self.ground.routing is RoutingMode.PENALTY
        return penalty and other.kind is not AlternativeKind.ROUTES

    def _routed(self, allocation: Allocation, by_queues: bool) -> RoutedPlan | QueueRoutedPlan:
        if by_queues:
            return QueueRoutedPlan(self.capacity, allocation)
        return RoutedPlan(self.capacity, allocation, self.ground.spill_over)

    def _cost(self, other: PlanAlternative) -> MovingCost:
        return self.loss.cost(self.stay.plan, other.plan)


def _reason(judged: Sequence[JudgedAlternative], best: int, absent: Sequence[str]) -> str:
    without = f"; planned without {', '.join(absent)}" if absent else ""
    if best:
        chosen = judged[best]
        count = sum(map(len, chosen.loads.values()))
        moves = f"{count} models move" if count else "nothing moves"
        return (
            f"gains {chosen.gain:+.3f}, at least {chosen.sure_gain:+.3f}, after costs of "
            f"{chosen.cost:.3f}; {moves}{without}"
        )
    if len(judged) == 1:
        return f"no other plan keeps the budgets{without}"
    nearest = max(judged[1:], key=lambda other: other.sure_gain)
    return (
        f"no sure gain: {nearest.gain:+.3f}, at worst {nearest.sure_gain:+.3f}, after costs of "
        f"{nearest.cost:.3f}{without}"
    )
