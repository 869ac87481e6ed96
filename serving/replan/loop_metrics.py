"""What the live loop decides, in Prometheus form: why, how it ended, and how good its plan is.

Filled by the loop's thread and shown on the event loop that serves the page, so by the library's
own counters, which lock.
"""

from __future__ import annotations

from math import nan

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from planner.evaluate import evaluate
from planner.explanation.budget_words import KINDS
from planner.plan import Plan, PlanError, allocation_of
from planner.problem import Problem
from serving.replan.loop import LookReport
from serving.replan.need import cause_of
from serving.replan.replanner import Made
from serving.replan.scenarios import with_mean_load

__all__ = ["LoopMetrics", "outcome_of"]

SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class LoopMetrics:
    """Hears every look of a loop (`ReplanLoop(on_look=...)`) and shows what came of them."""

    def __init__(self, plan: Plan) -> None:
        """`plan` is in force when the loop begins."""
        self.registry = CollectorRegistry()
        self._looks = Counter(
            "testbed_looks", "Looks of the live loop at the nodes.", registry=self.registry
        )
        self._decisions = Counter(
            "testbed_decisions", "Decisions of the live loop.", ["cause", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self._took = Histogram(
            "testbed_decision_seconds", "From the question to its answer.",
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._objective = self._gauge("plan_objective", "F1 that the plan in force was made for.")
        self._bound = self._gauge("plan_upper_bound", "What no plan for that load can exceed.")
        self._gap = self._gauge("plan_gap", "Relative gap of these.")
        self._load = self._gauge("load_qps", "Estimated queries a second, in the mean.")
        self._spare = Gauge(
            "testbed_budget_spare",
            "Part of a budget that the plan in force leaves at the estimated load.",
            ["label", "place"], registry=self.registry,
        )  # fmt: skip
        self._measured = Gauge(
            "testbed_measured_ratio",
            "Measured / stated: a link's bandwidth or round trip (10 ms on top of both), or the "
            "time of a device's batches.",
            ["kind", "place"], registry=self.registry,
        )  # fmt: skip
        proof = plan.certificate
        if proof is not None:
            self._tell_proof(proof.objective, proof.upper_bound, proof.gap)

    def page(self) -> tuple[str, bytes]:
        """Content type and body of what a scrape gets."""
        return CONTENT_TYPE_LATEST, generate_latest(self.registry)

    def look(self, report: LookReport) -> None:
        """See `ReplanLoop`."""
        self._looks.inc()
        look = report.look
        if look.estimate is not None:
            self._load.set(look.estimate.total_qps)
        for kind, ratios in (
            ("link", look.calibration.links),
            ("round trip", look.calibration.round_trips),
            ("device", look.calibration.devices),
        ):
            for name, ratio in ratios.items():
                self._measured.labels(kind, name).set(ratio.value)
        if look.made is None:
            return
        outcome = outcome_of(look.made, changed=report.change is not None)
        self._decisions.labels(cause_of(look.made.question.why), outcome).inc()
        self._took.observe(look.made.took_s)
        if report.change is not None and look.made.decision is not None:
            chosen = look.made.decision.alternatives[look.made.decision.chosen]
            self._tell_proof(chosen.planned_objective, chosen.upper_bound, chosen.gap)
        if look.estimate is not None:
            problem = look.made.question.ground.problem
            loaded = with_mean_load(problem, look.estimate)
            self._tell_spare(loaded, report.plan)

    def _tell_proof(self, objective: float | None, bound: float | None, gap: float | None) -> None:
        """New shares alone come without a proof: then all three are no numbers."""
        self._objective.set(nan if objective is None else objective)
        self._bound.set(nan if bound is None else bound)
        self._gap.set(nan if gap is None else gap)

    def _tell_spare(self, problem: Problem, plan: Plan) -> None:
        """What is left of every budget. Nothing is told of a plan for other nodes than there are
        now."""
        self._spare.clear()
        try:
            allocation = allocation_of(problem, plan)
        except PlanError:
            return
        found = evaluate(problem, allocation, fill=plan.fill, overrun=plan.overrun)
        for label, usage in found.usages.items():
            if label not in KINDS or label == found.uncounted:
                continue
            for name, tight in zip(usage.names, usage.tightness_n.tolist(), strict=True):
                self._spare.labels(label, name).set(1 - tight)

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(f"testbed_{name}", documentation, registry=self.registry)


def outcome_of(made: Made, *, changed: bool) -> str:
    """How a decision ended: `changed`, `stayed`, `overtaken`, `failed` (no plan was found) or
    `not followed` (nodes were missing, it was a dry run, or the change broke off)."""
    if made.decision is None:
        return "failed"
    if made.overtaken:
        return "overtaken"
    if not made.decision.changes:
        return "stayed"
    return "changed" if changed else "not followed"
