"""The verdicts on a run: every prediction that profiles, plan and simulator make of it.

The plan's figures are computed anew from the problem, never read from `plan.json`. Under a plan
that changed in the course of the run only batch times are judged: nobody predicted the rest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.demand import Phase
from cluster.errors import InputError
from planner.evaluate import Evaluation, evaluate
from planner.passes import work_of
from planner.plan import Plan, allocation_of, plan_of
from profiling.shared_hosts import shared_hosts
from serving.normal_errors import NORMAL_95
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate_schedule
from serving.traffic.measurement import Measurements
from serving.traffic.replayed import schedule_of
from serving.traffic.summary import SHED, RunSummary, summarise_run
from serving.verdicts.causes import find_evidence, slowness_of
from serving.verdicts.observed import (
    ServedBy,
    quantile_margin,
    served_by,
    share_margin,
)
from serving.verdicts.verdict import Quantity, Source, Verdict
from serving.verdicts.verdict_list import VerdictList

__all__ = ["PlannedFor", "judge_run"]


@dataclass(frozen=True)
class PlannedFor:
    """What a run was planned with."""

    setting: Setting
    plan: Plan
    phase: Phase
    """whose mean load the plan was made for"""
    routing: RoutingMode = RoutingMode.SHARES


def judge_run(
    rows: Measurements, planned: PlannedFor, simulated: Measurements | None = None
) -> tuple[Verdict, ...]:
    """The verdicts on `rows`. `simulated` is the same traffic in simulated time; without it the
    queries of `rows` are simulated here, without faults.

    Raises `InputError` for a run without queries or under a plan of another policy, and what
    `simulate_schedule` raises.
    """
    if rows.run.policy != planned.plan.policy:
        raise InputError(
            f"the run was under a plan of {rows.run.policy!r}, and this one is of "
            f"{planned.plan.policy!r}; name the plan that was in force"
        )
    setting = planned.setting
    served = served_by(rows, shared_hosts(setting.profiles))
    slowness = slowness_of(served, setting)
    evidence = find_evidence(rows, setting, planned.plan, planned.phase, slowness)
    found = VerdictList(setting.topology, evidence)
    _judge_batches(found, served, setting)
    if len(np.unique(rows.plan_version[rows.answered])) > 1:
        return tuple(found.verdicts)
    if simulated is None:
        schedule = schedule_of(rows)
        simulated = simulate_schedule(setting, planned.plan, schedule, routing=planned.routing)
    _judge_sizes(found, served, served_by(simulated))
    _judge_links(found, rows, simulated, setting)
    measured, expected = summarise_run(rows), summarise_run(simulated)
    if planned.routing is RoutingMode.SHARES:
        evaluation = evaluate(setting.problem(planned.phase), planned.plan)
        _judge_plan(found, rows, measured, planned, evaluation)
    else:  # the plan does not say who answers what where clients follow their queues
        _judge_utilization(found, rows, measured, expected.utilization_by_node, Source.SIMULATION)
        _judge_accuracy(
            found, rows, measured, expected.accuracy, expected.accuracy_by_task, Source.SIMULATION
        )
    _judge_times(found, rows, simulated)
    _judge_refused(found, measured, expected.share_by_tier[SHED], Source.SIMULATION)
    _judge_in_time(found, measured, expected)
    return tuple(found.verdicts)


def _judge_batches(found: VerdictList, served: list[ServedBy], setting: Setting) -> None:
    """Batch times against the profiles, at the sizes that were run, after the pauses that there
    were before them, and beside what ran on the same cores (F15)."""
    for each in served:
        profile = setting.profiles.find(each.node, each.model)
        if profile is None:
            continue
        stated_s_q = each.expected_s_q(profile)
        ratio, margin = each.slowness(stated_s_q)
        stated_s = float(np.median(stated_s_q))
        found.add(
            Quantity.BATCH_LATENCY, f"{each.model} on {each.node}", Source.PROFILE,
            stated_s, ratio * stated_s, "s", margin * stated_s, (each.node,),
        )  # fmt: skip


def _judge_sizes(found: VerdictList, served: list[ServedBy], simulated: list[ServedBy]) -> None:
    """Mean batch sizes against the simulation."""
    expected = {(each.node, each.model): each for each in simulated}
    for each in served:
        other = expected.get((each.node, each.model))
        if other is not None:
            found.add(
                Quantity.BATCH_SIZE, f"{each.model} on {each.node}", Source.SIMULATION,
                other.mean_size, each.mean_size, "queries", each.size_margin, (each.node,),
            )  # fmt: skip


def _judge_links(
    found: VerdictList, rows: Measurements, simulated: Measurements, setting: Setting
) -> None:
    """What links carried, and what answers spent on them, against the simulation."""
    duration_s, largest = rows.run.duration_s, setting.largest_query_bytes
    for link in setting.topology.links:
        sent = rows.run.link_bytes.get(link.name)
        expected = simulated.run.link_bytes.get(link.name, 0)
        if sent is None or not (sent or expected):
            continue
        # By chance alone as many queries take one way instead of another as their number's root.
        margin = NORMAL_95 * float(np.sqrt(max(sent, expected) * largest)) / duration_s
        found.add(
            Quantity.LINK_BYTES, link.name, Source.SIMULATION, expected / duration_s,
            sent / duration_s, "bytes/s", margin, (link.name, link.source),
        )  # fmt: skip
    for client in setting.topology.clients:
        taken_s, expected_s = _link_s_of(rows, client.name), _link_s_of(simulated, client.name)
        if len(taken_s) and len(expected_s):
            links = [link.name for link in setting.topology.uplinks(client.name)]
            margin_s = NORMAL_95 * float(taken_s.std() / np.sqrt(len(taken_s)))
            found.add(
                Quantity.LINK_TIME, f"mean of answers from above {client.name}", Source.SIMULATION,
                float(expected_s.mean()), float(taken_s.mean()), "s", margin_s,
                (client.name, *links),
            )  # fmt: skip


def _link_s_of(rows: Measurements, client: str) -> NDArray[np.float64]:
    """Seconds on links of the answers that `client` got from other nodes."""
    mine_q = rows.answered & (rows.client == client) & (rows.node != client)
    link_s_q: NDArray[np.float64] = rows.link_s[mine_q]
    return link_s_q


def _judge_plan(
    found: VerdictList,
    rows: Measurements,
    measured: RunSummary,
    planned: PlannedFor,
    evaluation: Evaluation,
) -> None:
    """Routes, accuracy, refusals and use of devices against the plan's evaluation."""
    predicted = evaluation.summary()
    _judge_utilization(found, rows, measured, predicted.utilization_by_node, Source.PLAN)
    shares: dict[tuple[str, str, str, str], float] = defaultdict(float)
    stated, plan = evaluation.problem, planned.plan
    answered = work_of(stated, allocation_of(stated, plan)).answered  # less what bundles lose (F14)
    for route in plan_of(stated, answered, policy=plan.policy).routes:  # by one edge or another
        shares[route.client, route.task, route.model, route.node] += route.share
    for (client, task, model, node), share in shares.items():
        asked_q = (rows.client == client) & (rows.task == task)
        took_q = asked_q & (rows.node == node) & (rows.model == model)
        count = int(asked_q.sum())
        if count:
            taken = float(took_q.sum() / count)
            found.add(
                Quantity.ROUTE_SHARE, f"{task} of {client} to {model} on {node}", Source.PLAN,
                share, taken, "", share_margin(taken, count), (node, client),
            )  # fmt: skip
    _judge_accuracy(
        found, rows, measured, predicted.objective, predicted.accuracy_by_task, Source.PLAN
    )
    _judge_refused(found, measured, predicted.shed_share, Source.PLAN)


def _judge_times(found: VerdictList, rows: Measurements, simulated: Measurements) -> None:
    """Latency against the simulation."""
    taken_s, expected_s = rows.latency_s[rows.answered], simulated.latency_s[simulated.answered]
    for quantity, level in (
        (Quantity.LATENCY_P50, 0.5), (Quantity.LATENCY_P95, 0.95), (Quantity.LATENCY_P99, 0.99),
    ):  # fmt: skip
        if len(taken_s) and len(expected_s):
            found.add(
                quantity, "", Source.SIMULATION, float(np.quantile(expected_s, level)),
                float(np.quantile(taken_s, level)), "s", quantile_margin(taken_s, level),
            )  # fmt: skip


def _judge_utilization(
    found: VerdictList,
    rows: Measurements,
    measured: RunSummary,
    predicted: dict[str, float],
    source: Source,
) -> None:
    used, sent = measured.utilization_by_node, measured.sent
    dispersion = max(1.0, (sent.total.dispersion_1s if sent else None) or 1.0)
    for node, busy in predicted.items():
        if node in used:
            counted = max(1, int(np.sum(rows.node == node)))
            margin = NORMAL_95 * used[node] * float(np.sqrt(dispersion / counted))
            found.add(Quantity.UTILIZATION, node, source, busy, used[node], "", margin, (node,))


def _judge_accuracy(
    found: VerdictList,
    rows: Measurements,
    measured: RunSummary,
    accuracy: float,
    by_task: dict[str, float],
    source: Source,
) -> None:
    low, high = measured.accuracy_interval
    found.add(Quantity.ACCURACY, "", source, accuracy, measured.accuracy, "", (high - low) / 2)
    for task, predicted in by_task.items():
        if task in measured.accuracy_by_task:
            of_task = summarise_run(rows.select(rows.task == task))
            low, high = of_task.accuracy_interval
            found.add(
                Quantity.TASK_ACCURACY, task, source, predicted, of_task.accuracy, "",
                (high - low) / 2,
            )  # fmt: skip


def _judge_refused(
    found: VerdictList, measured: RunSummary, predicted: float, source: Source
) -> None:
    share = measured.share_by_tier[SHED]
    margin = share_margin(share, measured.queries)
    found.add(Quantity.SHED_SHARE, "", source, predicted, share, "", margin)


def _judge_in_time(found: VerdictList, measured: RunSummary, expected: RunSummary) -> None:
    """Answers in time against the simulation."""
    share = measured.within_bound_share
    margin = share_margin(share, measured.queries)
    found.add(
        Quantity.IN_TIME, "", Source.SIMULATION, expected.within_bound_share, share, "", margin
    )
