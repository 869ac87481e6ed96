"""The frame of a moment: a pure function of what is known of a system over time.

Rates are over the last seconds, accuracy and latency over some more: they rest on single queries.
"""

from __future__ import annotations

from collections.abc import Mapping

from cluster.topology import Node
from serving.watch.facts import WatchFacts
from serving.watch.frame import (
    AccuracyNow,
    BudgetNow,
    Course,
    EventNow,
    HeldModel,
    LatencyNow,
    LatencySource,
    LinkNow,
    NodeNow,
    RefusalNow,
    WatchFrame,
)
from serving.watch.plan_shown import BudgetShown, PlanShown
from serving.watch.rates import Rates, quantile_s, rates_between
from serving.watch.recorded import Recorded, latest
from serving.watch.sample import NodeSample, SystemSample

__all__ = ["frame_at"]

RATES_S = 5.0
QUERIES_S = 15.0
"""over which accuracy and latency are"""
DECISIONS = 40
EVENTS = 30
SILENT = "silent"
TIERS = ("client", "edge", "cloud")


def frame_at(recorded: Recorded, course: Course, at_s: float, *, live: bool = False) -> WatchFrame:
    """What is shown at `at_s`, with the `course` up to then (`serving.watch.course`)."""
    facts = recorded.facts
    now = recorded.sample_at(at_s) or SystemSample(at_s=max(0.0, at_s), nodes={})
    rates = rates_between(_before(recorded, now, RATES_S), now)
    longer = rates_between(_before(recorded, now, QUERIES_S), now)
    since = latest(recorded.plans, at_s)
    plan = None if since is None else since.plan
    events = [event for event in recorded.events if event.at_s <= at_s]
    conditions = {event.link: event.condition for event in events if event.link}
    latency, source = _latency(recorded, longer, at_s)
    changed = [event.load_factors for event in events if event.load_factors is not None]
    silent = [node.name for node in facts.topology.nodes if node.name not in now.nodes]
    return WatchFrame(
        at_s=at_s,
        end_s=at_s if live else recorded.end_s,
        live=live,
        note=_note(recorded, silent, at_s),
        plan=plan,
        asked_qps=sum(rates.arrived_qps.values()),
        answered_qps=sum(each.qps for each in rates.answers),
        nodes=tuple(_node(node, facts, now, rates) for node in facts.topology.nodes),
        links=_links(facts, rates, conditions),
        accuracy=_accuracy(recorded, longer, plan, at_s),
        latency=latency,
        latency_source=source,
        refusals=_refusals(longer),
        budgets=() if plan is None else tuple(
            BudgetNow(planned=budget, used_share=_used(budget, facts, now, rates))
            for budget in plan.budgets
        ),
        decisions=recorded.decisions_at(at_s)[:DECISIONS],
        events=tuple(
            EventNow(at_s=event.at_s, words=event.words) for event in reversed(events[-EVENTS:])
        ),
        load_factors={} if not changed else {c: f for c, f in changed[-1].items() if f != 1.0},
        course=course,
    )  # fmt: skip


def _before(recorded: Recorded, now: SystemSample, over_s: float) -> SystemSample:
    """The sample that rates up to `now` count from: the first one, where there are no earlier."""
    return recorded.known_at(now.at_s - over_s) or now


def _note(recorded: Recorded, silent: list[str], at_s: float) -> str:
    told = []
    if recorded.torn and at_s >= recorded.end_s:
        told.append(recorded.torn)
    if silent and recorded.samples:
        told.append(f"no answer of {', '.join(silent)}")
    return "; ".join(told)


def _node(node: Node, facts: WatchFacts, now: SystemSample, rates: Rates) -> NodeNow:
    seen = now.nodes.get(node.name)
    resident = facts.resident_bytes.get(node.name, {})
    return NodeNow(
        name=node.name,
        tier=node.tier.value,
        health=SILENT if seen is None else seen.device,
        plan_version=0 if seen is None else seen.plan_version,
        models=() if seen is None else _models(node.name, seen, rates),
        memory_bytes=0 if seen is None else sum(resident.get(model, 0) for model in seen.models),
        memory_budget_bytes=int(node.memory),
        busy_share=max(0.0, rates.busy_share.get(node.name, 0.0)),
        compute_budget=node.compute,
        waiting=0 if seen is None else sum(seen.waiting.values()),
        in_flight=0 if seen is None else seen.in_flight,
        arrived=0 if seen is None else sum(seen.arrived.values()),
        arrived_qps=rates.arrived_qps.get(node.name, 0.0),
        answered_qps=rates.answered_qps(node.name),
    )


def _models(node: str, seen: NodeSample, rates: Rates) -> tuple[HeldModel, ...]:
    answers = dict.fromkeys(seen.models, 0.0)
    for each in rates.answers:
        if each.way.node == node and each.way.model in answers:
            answers[each.way.model] += each.qps
    return tuple(
        HeldModel(name=model, qps=qps, waiting=seen.waiting.get(model, 0))
        for model, qps in sorted(answers.items())
    )


def _links(facts: WatchFacts, rates: Rates, conditions: Mapping[str, str]) -> tuple[LinkNow, ...]:
    """Every link with what was answered over it, by who answered. Of a cloud answer whose edge is
    not known the client's links take their part by the bytes that went up them."""
    topology = facts.topology
    edge: dict[str, float] = {}
    cloud: dict[str, float] = {}
    for each in rates.answers:
        if each.way.tier == "client":
            continue
        above = [link.target for link in topology.uplinks(each.client)]
        told = [name for name in (each.way.via, each.way.node) if name in above]
        shares = {told[0]: 1.0} if told else _by_bytes(each.client, above, rates)
        for target, share in shares.items():
            qps = share * each.qps
            part = edge if each.way.tier == "edge" else cloud
            part[f"{each.client} to {target}"] = part.get(f"{each.client} to {target}", 0.0) + qps
            if each.way.tier == "cloud":
                up = f"{target} to {topology.cloud.name}"
                cloud[up] = cloud.get(up, 0.0) + qps
    return tuple(
        LinkNow(
            name=link.name,
            source=link.source,
            target=link.target,
            condition=conditions.get(link.name, ""),
            qps=edge.get(link.name, 0.0) + cloud.get(link.name, 0.0),
            edge_qps=edge.get(link.name, 0.0),
            cloud_qps=cloud.get(link.name, 0.0),
            bytes_per_s=max(0.0, rates.link_bytes_per_s.get(link.name, 0.0)),
            budget_bytes_per_s=link.budget_bytes_per_s,
            busy_share=max(0.0, rates.link_busy_share.get(link.name, 0.0)),
        )
        for link in topology.links
    )


def _by_bytes(client: str, above: list[str], rates: Rates) -> dict[str, float]:
    sent = {to: rates.link_bytes_per_s.get(f"{client} to {to}", 0.0) for to in above}
    total = sum(sent.values())
    if total <= 0:
        return {target: 1.0 / len(above) for target in above}
    return {target: size / total for target, size in sent.items()}


def _accuracy(
    recorded: Recorded, rates: Rates, plan: PlanShown | None, at_s: float
) -> tuple[AccuracyNow, ...]:
    facts = recorded.facts
    promised = {} if plan is None or plan.promise is None else plan.promise.accuracy_by_task
    overall = None if plan is None or plan.promise is None else plan.promise.accuracy
    scored = recorded.scored
    found = None if scored is None else scored.accuracy(at_s - QUERIES_S, at_s)
    if found is not None:
        mean, by_task, count = found
        return (
            AccuracyNow(
                task="", value=mean, promised=overall, source="labels", queries=count
            ),
            *(
                AccuracyNow(task=task, value=by_task.get(task), promised=promised.get(task),
                            source="labels")
                for task in facts.tasks if task in by_task or task in promised
            ),
        )  # fmt: skip
    right, asked = rates.right(facts), dict.fromkeys(facts.tasks, 0)
    answered = dict.fromkeys(facts.tasks, 0)
    for tasks in rates.arrived.values():
        for task, count in tasks.items():
            asked[task] = asked.get(task, 0) + count
    for each in rates.answers:
        answered[each.way.task] = answered.get(each.way.task, 0) + each.way.answers
    # What is still under way has arrived, and is not answered yet.
    over = {task: max(count, answered.get(task, 0)) for task, count in asked.items()}
    total = sum(over.values())
    return (
        AccuracyNow(
            task="", value=sum(right.values()) / total if total else None, promised=overall,
            source="estimate", queries=total,
        ),
        *(
            AccuracyNow(
                task=task, value=right.get(task, 0.0) / count if count else None,
                promised=promised.get(task), source="estimate", queries=count,
            )
            for task, count in over.items() if count or task in promised
        ),
    )  # fmt: skip


def _latency(
    recorded: Recorded, rates: Rates, at_s: float
) -> tuple[tuple[LatencyNow, ...], LatencySource]:
    scored = recorded.scored
    found = {} if scored is None else scored.latency(at_s - QUERIES_S, at_s)
    if found:
        return tuple(
            LatencyNow(
                tier=tier, answers=of.answers, p50_s=of.p50_s, p95_s=of.p95_s,
                bound_s=of.bound_s, within_share=of.within_share,
            )
            for tier in TIERS if (of := found.get(tier)) is not None
        ), "callers"  # fmt: skip
    rows = []
    for tier in TIERS:
        ways = [each.way for each in rates.answers if each.way.tier == tier]
        count = sum(way.answers for way in ways)
        if not count:
            continue
        buckets = rates.buckets(tier)
        rows.append(
            LatencyNow(
                tier=tier,
                answers=count,
                p50_s=quantile_s(buckets, 0.5),
                p95_s=quantile_s(buckets, 0.95),
                bound_s=max(way.bound_s for way in ways),
                within_share=1.0 - sum(way.late for way in ways) / count,
            )
        )
    return tuple(rows), "nodes"


def _refusals(rates: Rates) -> tuple[RefusalNow, ...]:
    found = [
        RefusalNow(reason=reason, qps=qps, spilled=spilled)
        for found_qps, spilled in ((rates.refused_qps, False), (rates.spilled_qps, True))
        for reason, qps in found_qps.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.spilled, -each.qps)))


def _used(budget: BudgetShown, facts: WatchFacts, now: SystemSample, rates: Rates) -> float | None:
    """What was used of a budget lately, as a share of it."""
    name, topology = budget.node, facts.topology
    if budget.kind == "uplink":
        links = [link.name for link in topology.links if name in (link.source, link.name)]
        sent = sum(rates.link_bytes_per_s.get(link, 0.0) for link in links)
        return max(0.0, sent / budget.budget)
    seen = now.nodes.get(name)
    if seen is None:
        return None
    if budget.kind == "memory":
        resident = facts.resident_bytes.get(name, {})
        return sum(resident.get(model, 0) for model in seen.models) / budget.budget
    busy = max(0.0, rates.busy_share.get(name, 0.0))
    if budget.kind == "window":
        busy *= topology.node(name).window_s
    return busy / budget.budget
