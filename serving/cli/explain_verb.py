"""The verb that says which way one query took, why, and what every other way would have cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.table import Table

from cluster.errors import InputError
from cluster.providers.state import log_folder
from planner.explanation.other_ways import OtherWay, marginal_prices, ways_of
from planner.plan import Plan
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    Json,
    MeasurementsFile,
    PlanFile,
    ProfilesFile,
    RunName,
    load_setting,
    naming_plan,
    planned_phase,
)
from serving.cli.run_work import RunWork
from serving.replan.decision_log import plan_of_version
from serving.runs.manifest import FileKind
from serving.tracing.span_line import SpanLine, read_trace
from serving.tracing.span_tree import span_rows
from serving.traffic.measurement import Measurements
from serving.traffic.one_query import OneQuery, find_query, why_this_way

__all__ = ["VERBS"]


def explain(
    query: Annotated[
        str | None,
        typer.Argument(
            help="number of a query of the run's measurements, or the id of its trace",
            show_default=False,
        ),
    ] = None,
    client: Annotated[
        str | None, typer.Option(help="instead of a query: the ways of this client's queries")
    ] = None,
    task: Annotated[str | None, typer.Option(help="of this task")] = None,
    plan: PlanFile = None,
    measurements: MeasurementsFile = None,
    profiles: ProfilesFile = None,
    run: RunName = None,
    as_json: Json = False,
) -> None:
    """Say which way a query took and why, and what every other way would have cost.

    Costs are at the prices of the plan's budgets: right answers that other queries lose. `short by`
    says how much more often answers there would have to be right for one more query to go there.
    """
    out = VerbOutput(as_json)
    if (query is None) == (client is None or task is None) or (client is None) != (task is None):
        raise InputError("name a query, or a client and a task: --client NAME --task NAME")
    work = RunWork(out, run)
    told: dict[str, Any] = {"query": None, "ways": [], "spans": []}
    routed: _Routed | None = None
    found: OneQuery | None = None
    spans: tuple[SpanLine, ...] = ()
    if query is None:
        file = work.read(FileKind.PLAN, plan, "--plan")
        routed = _Routed(Plan.load(file), file)
    else:
        rows = _rows(work, measurements)
        found = None if rows is None else find_query(rows, query)
        spans = read_trace(log_folder(), found.trace_id if found else query.lower())
        if found is None and not spans:
            raise InputError(_unknown(query, work, measurements, rows))
        if rows is not None and found is not None:
            routed = _routed(work, rows, found, measurements, plan)
            told["query"] = _tell_query(out, found, routed.plan)
            client, task = found.client, found.task
    if routed is not None and client is not None and task is not None:
        ways = _ways(work, routed, profiles, client, task)
        _tell_ways(out, ways, client, task, found)
        told["ways"] = [_as_json(way) for way in ways]
    if spans:
        _tell_spans(out, spans)
        told["spans"] = [span.model_dump(mode="json") for span in spans]
    elif found is not None and found.trace_id:
        out.say(
            f"trace {found.trace_id}: its spans are not in the logs of this machine's cluster; "
            "nodes make spans where `testbed deploy --trace 0` started them, after `testbed up`"
        )
    out.result(told)


class _Routed(NamedTuple):
    """The plan that routed a query, and the file that it is from."""

    plan: Plan
    file: Path


def _rows(work: RunWork, given: Path | None) -> Measurements | None:
    """The run's measurements; None where it has none, as of a query that somebody else sent."""
    if given is None and not work.has(FileKind.MEASUREMENTS):
        return None
    return Measurements.load(work.read(FileKind.MEASUREMENTS, given, "--measurements"))


def _routed(
    work: RunWork, rows: Measurements, found: OneQuery, measured: Path | None, given: Path | None
) -> _Routed:
    """The plan of the version that routed the query: the one that traffic began under, or one that
    the live loop put in force later."""
    of_run = work.run if given is None and measured is None else None
    kind = FileKind.PLAN if of_run is None else of_run.measured_under
    file = work.read(kind, given, "--plan")
    plan = Plan.load(file)
    if found.plan_version in (0, rows.run.plan_version):
        return _Routed(plan, file)
    if of_run is not None and work.has(FileKind.DECISIONS):
        decisions = of_run.checked(FileKind.DECISIONS)
        later = plan_of_version(decisions, found.plan_version)
        if later is not None:
            return _Routed(later, decisions)
    work.out.say(
        f"note: no file of the run has plan version {found.plan_version}, which routed it; what "
        f"follows is by version {rows.run.plan_version}"
    )
    return _Routed(plan, file)


def _ways(
    work: RunWork, routed: _Routed, profiles: Path | None, client: str, task: str
) -> tuple[OtherWay, ...]:
    plan, file = routed
    topology = work.read_topology(None)
    setting = load_setting(topology, work.read(FileKind.PROFILES, profiles, "--profiles"))
    with naming_plan(file, "these profiles"):
        problem = setting.with_deadlines(plan.deadlines_s).problem(planned_phase(plan, file, None))
        return ways_of(marginal_prices(problem, plan), client, task)


def _unknown(
    query: str, work: RunWork, measurements: Path | None, rows: Measurements | None
) -> str:
    where = str(measurements) if measurements else f"run {work.run.name}" if work.run else "any run"
    if rows is None:
        has = "has no measurements, which `testbed drive` makes"
    else:
        numbers = f"{rows.query.min()} to {rows.query.max()}" if len(rows.query) else "none"
        has = f"has no query of that number or trace (its queries: {numbers})"
    return f"query {query}: {where} {has}, and the logs of this machine's cluster no span of it"


def _tell_query(out: VerbOutput, query: OneQuery, plan: Plan) -> dict[str, Any]:
    asked = f"query {query.query}: {query.client} asked {query.task} at {query.scheduled_s:.3f} s"
    if query.answered:
        late = ", which is late" if query.latency_s > query.bound_s else ""
        out.say(
            f"{asked}; {query.model} on {query.node} answered after {query.latency_s * 1e3:.0f} ms "
            f"(promised within {query.bound_s * 1e3:.0f} ms{late}), score {query.score:.3f}"
        )
        parts = [f"{words} {s * 1e3:.0f} ms" for words, s in query.stages_s.items()]
        out.say(f"  its time: {', '.join(parts)}; {query.batch_size} in its batch")
    else:
        out.say(f"{asked}; it was not answered: {query.reason or query.outcome}")
    why = why_this_way(query, plan)
    out.say(f"  why: plan {plan.policy}, version {query.plan_version}: {why}")
    return {**query._asdict(), "outcome": str(query.outcome), "why": why}


def _tell_ways(
    out: VerbOutput, ways: tuple[OtherWay, ...], client: str, task: str, query: OneQuery | None
) -> None:
    out.say(f"ways of {task} from {client}, at the prices of the plan's budgets:")
    table = Table("way", "share", "right", "costs", "worth", "short by")
    for way in ways:
        if way.closed:
            continue
        took = query is not None and (query.node, query.model) == (way.node, way.model)
        name = _name(way)
        costs = ", ".join(f"{cost.cost:.3f} {cost.place} ({cost.label})" for cost in way.costs)
        table.add_row(
            f"> {name}" if took else name, f"{way.share:.1%}", f"{way.accuracy:.3f}",
            costs or "nothing", f"{way.worth:.3f}", _short_words(way),
        )  # fmt: skip
    out.table(table)
    best = max((way.worth for way in ways if not way.closed), default=0.0)
    shut = [way for way in ways if way.closed]
    wanted = [way for way in shut if way.accuracy > best]
    for way in wanted:
        out.say(f"  not {_name(way)} (right {way.accuracy:.3f}): {way.closed}")
    if len(shut) > len(wanted):
        out.say(
            f"  closed are also {len(shut) - len(wanted)} ways of which none could be worth "
            f"{best:.3f}; --json has them"
        )


def _name(way: OtherWay) -> str:
    return f"{way.model} on {way.node}" + (f" by {way.via}" if way.via else "")


def _short_words(way: OtherWay) -> str:
    if way.short_by == 0:
        return "nothing"
    return "more than all" if way.short_by == float("inf") else f"{way.short_by:.3f}"


def _as_json(way: OtherWay) -> dict[str, Any]:
    return {
        "tier": str(way.tier), "node": way.node, "model": way.model, "via": way.via,
        "share": way.share, "accuracy": way.accuracy, "worth": way.worth, "closed": way.closed,
        "short_by": None if way.short_by == float("inf") else way.short_by,
        "costs": [
            {"label": cost.label, "place": cost.place, "cost": cost.cost} for cost in way.costs
        ],
    }  # fmt: skip


def _tell_spans(out: VerbOutput, spans: tuple[SpanLine, ...]) -> None:
    out.say(f"its spans, trace {spans[0].trace_id}:")
    table = Table("span", "node", "from", "for", "")
    for row in span_rows(spans):
        table.add_row(
            row.name,
            row.node,
            f"{row.after_s * 1e3:.1f} ms",
            f"{row.took_s * 1e3:.1f} ms",
            row.words,
        )
    out.table(table)


VERBS = (explain,)
