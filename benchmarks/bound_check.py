"""Whether the clairvoyant's bound (F21) holds: every policy on seeded traces, in simulated time.

A trace is what arrives and what breaks in one run. The bound of a trace must be at least what any
plan scores on it, whichever policy made the plan and however clients choose among its ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.arrivals import FlashCrowd, GammaArrivals, PoissonArrivals
from cluster.demand import EVERY_CLIENT, Demand, Phase
from cluster.specs import SPECS
from cluster.timeline import TimelineEvent
from planner.plan import Plan
from planner.policies import POLICIES, Options, solve
from serving.experiments.health import health_of
from serving.report.regret import PERIOD_S, Regret, regret_of
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate

__all__ = ["Trace", "exceeds", "plans_of", "regrets_on", "traces"]

TRACE_S = 24.0
FACTORS = (1.0, 2.5)
"""of the demo's load, by turns: what the links can carry, and more than that"""
ROUTINGS = (RoutingMode.PENALTY, RoutingMode.SHARES)
ROUNDING = 1e-9
"""relative: both sides are sums of a few thousand accuracies"""


@dataclass(frozen=True)
class Trace:
    """One run's arrivals and faults."""

    name: str
    phase: Phase
    seed: int
    routing: RoutingMode
    timeline: tuple[TimelineEvent, ...] = ()


def traces(setting: Setting, seeds: Sequence[int], trace_s: float = TRACE_S) -> list[Trace]:
    """Five kinds of traces, each with every seed: Poisson, gamma, bursts, a flash crowd of three
    times the load, and a drifting mix in which the edge is killed."""
    calm, other = Demand.load(SPECS / "demo-demand.yaml").phases[:2]
    bursty = Demand.load(SPECS / "bursty-demand.yaml").phases[0]
    third_s = trace_s / 3
    crowd = FlashCrowd(kind="flash_crowd", at_s=third_s, hold_s=third_s, factor=3.0)
    kinds: dict[str, dict[str, Any]] = {
        "poisson": {"arrivals": {EVERY_CLIENT: PoissonArrivals()}},
        "gamma": {"arrivals": {EVERY_CLIENT: GammaArrivals(kind="gamma", cv=4.0)}},
        "bursts": {"arrivals": bursty.arrivals},
        "flash crowd": {"arrivals": {EVERY_CLIENT: crowd}},
        "drift, edge killed": {"drift_to_qps": other.rates_qps},
    }
    kill = TimelineEvent(at_s=third_s, kill_node=setting.topology.edges[0].name)
    found = []
    for name, changes in kinds.items():
        for turn, seed in enumerate(seeds):
            phase = calm.model_copy(update={"duration_s": trace_s, **changes})
            factor = FACTORS[turn % 2]
            routing = ROUTINGS[turn // 2 % 2]
            timeline = (kill,) if name == "drift, edge killed" else ()
            found.append(Trace(name, phase.scaled(factor), seed, routing, timeline))
    return found


def plans_of(setting: Setting, phase: Phase) -> dict[str, Plan]:
    """The plan of every policy for the mean load of `phase`."""
    problem = setting.problem(phase)
    limited = Options(time_limit_s=10.0)
    return {policy: solve(problem, policy, limited).plan for policy in POLICIES}


def regrets_on(
    setting: Setting, trace: Trace, plans: Mapping[str, Plan]
) -> Iterator[tuple[str, Regret]]:
    """What each of `plans` reaches on `trace`, by policy."""
    health = health_of(
        setting.problem(trace.phase), trace.timeline, trace.phase.duration_s, PERIOD_S
    )
    for policy, plan in plans.items():
        rows = simulate(
            setting, plan, [trace.phase], seed=trace.seed, routing=trace.routing,
            timeline=trace.timeline,
        )  # fmt: skip
        regret = regret_of(rows, setting, health=health)
        assert regret is not None  # every trace has queries
        yield policy, regret


def exceeds(regret: Regret) -> bool:
    """Whether a run scored above its bound, which would show that the bound is none."""
    return regret.accuracy > regret.clairvoyant_bound * (1 + ROUNDING)
