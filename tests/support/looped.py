"""Looks of a live loop, and the metrics of a loop that had them."""

from __future__ import annotations

from serving.replan.decision import Decision, decide
from serving.replan.estimate.calibration import Calibration, MeasuredRatio
from serving.replan.loop import LookReport
from serving.replan.loop_metrics import LoopMetrics
from serving.replan.replanner import DecisionQuestion, Look, Made
from serving.rollout.execute import RolloutReport
from support.replan_cases import estimate, given, ground, plan_for, problem

__all__ = ["look_report", "loop_metrics"]

CHANGE = RolloutReport(version=2, total_s=0.1, reaction_s=0.1, routed_s=0.1, drain_s=0.0)


def look_report(
    depth_qps: float, edges_qps: float, why: str, *, fault: str = "", overtaken: bool = False
) -> LookReport:
    """What a look at this load led to, with a plan in force for ten queries/s of depth."""
    present = plan_for(problem(10, 0.1))
    load = estimate(depth_qps, edges_qps)
    asked = given(load, present)
    question = DecisionQuestion(ground(), asked, why, 0.0)
    decision: Decision | None = None if fault else decide(ground(), asked)
    made = Made(question, 0.2, decision, fault, overtaken)
    measured = Calibration(
        links={"c to e": MeasuredRatio(recent=(0.9,))}, devices={"e": MeasuredRatio(recent=(1.1,))}
    )
    look = Look(1.0, present, load, calibration=measured, question=question, made=made)
    changed = decision is not None and decision.changes and not overtaken
    in_force = look.change_to or present
    return LookReport(look, in_force, CHANGE if changed else None)


def loop_metrics() -> LoopMetrics:
    """Those of a loop that has changed its plan once."""
    metrics = LoopMetrics(plan_for(problem(10, 0.1)))
    metrics.look(look_report(0.1, 10, "the load has changed"))
    return metrics
