"""A made-up minute of the demo as nodes would show it: samples, plans, a decision, a death."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cluster.demand import Phase
from planner.plan import Plan
from planner.policies import Options, solve
from serving.errors import RefusalReason
from serving.node.answer_tally import AnswerTally
from serving.node.snapshot import LinkUse, NodeSnapshot
from serving.rollout.stages import target_of
from serving.setting.setting import Setting
from serving.watch.decision_shown import AlternativeShown, DecisionShown
from serving.watch.facts import facts_of
from serving.watch.history import WatchHistory
from serving.watch.recorded import Recorded
from serving.watch.recording import RecordingWriter, read_recording
from support.demo_setting import demo_demand, demo_setting

__all__ = ["MadeUpNodes", "SetClock", "demo_plan", "made_up_decision", "made_up_recording"]

BYTES = 20_000
KILLED_S, BACK_S, FLIP_S, DECIDED_S = 40.0, 46.0, 20.0, 24.0


@dataclass
class SetClock:
    """A clock that stands where it is set."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def demo_plan(setting: Setting, phase: Phase, version: int = 1) -> Plan:
    plan = solve(setting.problem(phase), "certified", Options(gap=0.02)).plan
    return plan.model_copy(update={"version": version})


@dataclass
class MadeUpNodes:
    """Counters of the demo's nodes, which answer as their plan says."""

    setting: Setting
    plan: Plan
    seed: int = 5
    taken_s: float = 0.0
    """by the nodes' clocks"""
    gone: set[str] = field(default_factory=set)
    """nodes that give no answer"""
    _arrived: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _served: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _tallies: dict[str, AnswerTally] = field(default_factory=lambda: defaultdict(AnswerTally))
    _shed: Counter[str] = field(default_factory=Counter)
    _busy_s: Counter[str] = field(default_factory=Counter)
    _bytes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def pass_time(self, phase: Phase, spent_s: float) -> None:
        """Let the queries of so many seconds come and be answered."""
        topology = self.setting.topology
        self.taken_s += spent_s
        for client, rates in phase.rates_qps.items():
            for task, qps in rates.items():
                count = int(self._random.poisson(qps * spent_s))
                self._arrived[client][task] += count
                routes = [r for r in self.plan.routes if (r.client, r.task) == (client, task)]
                shares = [min(1.0, r.share) for r in routes]
                rest = max(0.0, 1.0 - sum(shares))
                parts = np.array([*shares, rest]) / (sum(shares) + rest)
                for route, many in zip(
                    [*routes, None], self._random.multinomial(count, parts), strict=True
                ):
                    if route is None:
                        self._shed[client] += int(many)
                        continue
                    bound_s = {"client": 0.8, "edge": 0.9, "cloud": 0.95}[route.tier]
                    for spent in self._random.gamma(4.0, bound_s / 11, int(many)):
                        self._tallies[client].add(task, target_of(route), float(spent), bound_s)
                    self._served[route.node][route.model] += int(many)
                    self._busy_s[route.node] += 0.012 * many
                    if route.tier != "client":
                        edge = topology.uplinks(client)[0].target
                        self._bytes[client, edge] += BYTES * int(many)
                        if route.tier == "cloud":
                            self._bytes[edge, topology.cloud.name] += BYTES * int(many)

    def snapshots_within(self, limit_s: float) -> dict[str, NodeSnapshot]:
        """What the nodes show that answer."""
        topology = self.setting.topology
        found = {}
        for node in topology.nodes:
            name = node.name
            if name in self.gone:
                continue
            models = self.plan.onloading.get(name, ())
            found[name] = NodeSnapshot(
                node=name,
                taken_s=self.taken_s,
                busy_s=float(self._busy_s[name]),
                batches=0,
                sent_bytes=0,
                models=tuple(models),
                plan_version=self.plan.version,
                arrived=dict(self._arrived[name]),
                served=dict(self._served[name]),
                refused={RefusalReason.SHED: self._shed[name]} if self._shed[name] else {},
                loads_s={},
                links={
                    link.target: LinkUse(self._bytes[name, link.target], 0.0)
                    for link in topology.uplinks(name)
                },
                answers=self._tallies[name].totals(),
            )
        return found

    def restart(self, name: str) -> None:
        """The node is started anew: it counts from nothing."""
        for counters in (self._arrived, self._served, self._tallies):
            counters.pop(name, None)
        self._busy_s[name] = 0
        for link in self.setting.topology.uplinks(name):
            self._bytes[name, link.target] = 0


def made_up_decision(at_s: float, number: int = 1) -> DecisionShown:
    stay = AlternativeShown(
        kind="stay", chosen=False, room=1.0, objective=0.61, gain=0.0, sure_gain=0.0, cost=0.0,
        loads=0,
    )  # fmt: skip
    plan = AlternativeShown(
        kind="plan", chosen=True, room=0.75, objective=0.668, gain=0.058, sure_gain=0.041,
        cost=0.003, loads=3, upper_bound=0.6752, gap=0.0107,
    )  # fmt: skip
    return DecisionShown(
        number=number, at_s=at_s, known_s=at_s, why="the load has moved", load_qps=26.0,
        reason="gains +0.058, at least +0.041, after costs of 0.003; 3 models move",
        changes=True, alternatives=(stay, plan), took_s=0.8,
    )  # fmt: skip


def made_up_recording(path: Path, *, seconds: int = 60, step_s: float = 1.0) -> Recorded:
    """Written into `path`, as a live loop would, and read again."""
    setting, clock = demo_setting(), SetClock()
    first, second = demo_demand().phases[:2]
    plan, next_plan = demo_plan(setting, first), demo_plan(setting, second, version=2)
    writer = RecordingWriter(path, facts_of(setting), "testbed live --drive")
    history = WatchHistory(facts_of(setting), clock, writer)
    nodes = MadeUpNodes(setting, plan)
    history.planned(plan, setting.problem(first))
    edge = setting.topology.edges[0].name
    history.looked(nodes.snapshots_within(1.0))
    flipped = decided = killed = False
    for _ in range(int(seconds / step_s)):
        clock.now_s += step_s
        flipped = clock.now_s > FLIP_S
        nodes.pass_time(second if flipped else first, step_s)
        if clock.now_s >= DECIDED_S and not decided:
            decided = True
            decision = made_up_decision(clock.now_s)
            writer.decision(decision)
            nodes.plan = next_plan
            history.planned(next_plan, setting.problem(second))
            writer.decision(
                decision.model_copy(
                    update={"version": 2, "change_s": 1.4, "known_s": clock.now_s + 1.4}
                )
            )
        if clock.now_s >= KILLED_S and not killed:
            killed = True
            history.happened(f"kill_node {edge}")
            nodes.gone.add(edge)
        if clock.now_s >= BACK_S and edge in nodes.gone:
            nodes.gone.discard(edge)
            nodes.restart(edge)
        history.looked(nodes.snapshots_within(1.0))
    writer.close()
    return read_recording(path)
