"""Verbs of the live loop: live, and decide, which makes a logged decision again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.errors import InputError
from cluster.providers import ray_driver
from cluster.providers.state import ClusterError, state_path
from planner.plan import Plan
from planner.policies import DEFAULT, find_policy
from planner.policies.plugins import is_reference
from serving.cli.belonging import plan_in_force, refuse_not_in_force, serving_setting
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.decision_words import alternatives_table, look_words
from serving.cli.driven_files import DRIVEN_FILES, DROPPED_FILES
from serving.cli.inputs import (
    DemandFile,
    ImageCount,
    Json,
    PlanFile,
    ProfilesFile,
    ReadOnly,
    Routes,
    RunName,
    Seed,
    WatchPort,
)
from serving.cli.live_page import live_page
from serving.cli.live_traffic import QuietNote, driven_summary, read_traffic
from serving.cli.options import (
    DURATION_S,
    LINE,
    PERIOD_S,
    PERIODS,
    SEASON_S,
    SHARE,
    TIME_LIMIT_S,
    number,
)
from serving.cli.output import check_output, save_result
from serving.cli.run_verbs import PROMETHEUS, running_fleet
from serving.cli.run_work import RunWork
from serving.cli.watched import recording
from serving.errors import ServingError
from serving.routing.routes import RoutingMode
from serving.runs.manifest import FileKind
from serving.traffic.load_switch import LoadSwitch

if TYPE_CHECKING:
    from serving.deploy.assignment_record import PlanInForce
    from serving.replan.change_policy import ChangePolicy
    from serving.replan.loop import LookReport
    from serving.traffic.session import Run

__all__ = ["VERBS"]


def live(
    profiles: ProfilesFile = None,
    plan: PlanFile = None,
    policy: Annotated[
        str, typer.Option(help="see `testbed plan --list`; or package.module:function")
    ] = DEFAULT,
    period: Annotated[float, number(PERIOD_S, help="time between looks at the load")] = 1.0,
    duration: Annotated[
        float | None, number(DURATION_S, help="with --drive, of each phase; default: until Ctrl-C")
    ] = None,
    fill: Annotated[float, number(SHARE, help="share of windows and compute to plan for")] = 0.6,
    horizon: Annotated[float, number(DURATION_S, help="time over which a change must pay")] = 60.0,
    planning: Annotated[
        float, number(TIME_LIMIT_S, help="of computing, after which planning ends")
    ] = 10.0,
    run: RunName = None,
    log: Annotated[
        Path | None,
        typer.Option(
            help="a file of your own that decisions are added to, with the last plan beside it"
        ),
    ] = None,
    spill: Annotated[
        bool, typer.Option("--spill/--no-spill", help="as the nodes were deployed")
    ] = True,
    routing: Routes = RoutingMode.PENALTY,
    forecast: Annotated[
        float | None,
        number(SEASON_S, help="season of the load, 86400 for a day; see docs/nodes.md"),
    ] = None,
    forecast_periods: Annotated[
        int, number(PERIODS, help="of a season, for each of which loads are forecast")
    ] = 24,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="decide, and change nothing")] = False,
    drive: Annotated[
        bool, typer.Option("--drive", help="send labelled traffic beside it, and end with it")
    ] = False,
    demand: DemandFile = None,
    seed: Seed = 1,
    images: ImageCount = 240,
    watch: Annotated[
        bool, typer.Option("--watch", help="show it as a page, from which it can be steered")
    ] = False,
    port: WatchPort = None,
    read_only: ReadOnly = False,
    as_json: Json = False,
) -> None:
    """Change the plan as load and nodes change, where that surely gains.

    Traffic comes from `testbed drive` in another terminal, or with --drive from here: all phases
    of the demand, with --duration so long each. It goes on from where a loop before it ended. Only
    one runs on a cluster.
    """
    out = VerbOutput(as_json)
    if log is not None:
        check_output(log, "--log")
    if demand is not None and not drive:
        raise InputError(f"--demand {demand}: is driven with --drive alone")
    if not watch and (port is not None or read_only):
        raise InputError("--port and --read-only are about the page; say --watch")
    find_policy(policy)
    change_policy = _change_policy(forecast, forecast_periods, period)
    work = RunWork(out, run, of_file=plan)
    file = work.read(FileKind.PLAN, plan, "--plan")
    present = Plan.load(file)
    setting = serving_setting(work, profiles)
    traffic = read_traffic(out, work, demand, duration, images, present) if drive else None
    state_of_cluster = ray_driver.connect()
    fleet = running_fleet(state_of_cluster)
    now = plan_in_force(fleet)
    kinds = (FileKind.DECISIONS, FileKind.LIVE_PLAN)
    if traffic is None:
        log = work.writes((*kinds, FileKind.LIVE_RECORDING), log, option="--log")
    else:
        traffic.check_events(state_of_cluster)
        log = work.writes((*kinds, *DRIVEN_FILES), log, drops=DROPPED_FILES, option="--log")
    from serving.cli.loop_scraped import scraped
    from serving.replan.decision_input import DecisionOptions
    from serving.replan.loop import ReplanLoop
    from serving.replan.loop_metrics import LoopMetrics
    from serving.replan.loop_state import LoopState, hold_loop_lock, load_state, state_file
    from serving.replan.options import ReplanOptions
    from serving.watch.watched_loop import WatchedFleet, WatchedLog

    folder = state_path().parent
    reports: list[LookReport] = []
    driven: Run | None = None

    quiet = QuietNote(out)

    def note(report: LookReport) -> None:
        quiet.look(report.look, alone=traffic is None)
        metrics.look(report)
        if report.look.made is not None:
            reports.append(report)
            out.say(look_words(report, dry_run))
        if report.change is not None:  # whoever drives beside it has to know what is in force
            try:
                _keep(work, report.plan)
            except (OSError, ServingError) as error:  # which must not cost the loop
                out.say(f"[red]{error}[/]")

    with ExitStack() as held:
        if not dry_run:
            held.enter_context(hold_loop_lock(folder))
        version = max(seen.plan_version for seen in fleet.snapshots().values())
        state = load_state(state_file(folder), version)
        if state is not None:
            out.say(f"goes on from plan version {version}, with what was seen before")
        if state is None or state.plan.digest != now.plan.digest:
            _refuse_another_plan(work, present, file, plan, now)
        in_force = state or LoopState(plan=now.plan.model_copy(update={"version": version}))
        kind = FileKind.LIVE_RECORDING if traffic is None else FileKind.RECORDING
        history = held.enter_context(recording(work, kind, setting, in_force.plan))
        loop = ReplanLoop(
            WatchedFleet(fleet, history),
            in_force,
            setting.as_planned(in_force.plan),
            ReplanOptions(
                period_s=period,
                planning_limit_s=planning,
                dry_run=dry_run,
                decision=DecisionOptions(policy=policy, fill=fill, horizon_s=horizon),
            ),
            clock=time.monotonic,
            policy=change_policy,
            log=WatchedLog(log, history),
            state_path=None if dry_run else state_file(folder),
            spill_over=spill,
            routing=routing,
            on_look=note,
        )
        metrics = LoopMetrics(in_force.plan)
        targets, token = fleet.scrape_targets(), fleet.door_token()
        looping = scraped(out, loop.run, metrics, PROMETHEUS, targets, token)
        load = None
        if watch:
            clients = [client.name for client in fleet.topology.clients]
            load = None if traffic is None else LoadSwitch(clients)
            held.enter_context(
                live_page(
                    out, history, fleet, state_of_cluster, loop, load,
                    port=port, read_only=read_only,
                )
            )  # fmt: skip
        out.say(
            f"looks at the nodes every {period:g} s; decisions go to {log}"
            + ("" if drive else "; Ctrl-C ends it")
        )
        try:
            if traffic is None:
                asyncio.run(_for(looping, duration))
            else:
                driven = traffic.drive(
                    fleet, in_force.plan, seed, looping, state_of_cluster, history, load
                )
        except KeyboardInterrupt:
            out.say("the loop ends; the plan in force stays")
        except Exception as error:
            # Whatever ended it, the caller must see that it ended, and by its exit code too.
            raise ClusterError(
                f"the live loop ended, the plan in force stays: {type(error).__name__}: {error}"
            ) from error
    changed = [report for report in reports if report.change is not None]
    out.say(quiet.summary(len(reports), len(changed)))
    if changed:
        out.wrote(work.path(FileKind.LIVE_PLAN))
    work.wrote(FileKind.DECISIONS)
    if driven is not None and traffic is not None:
        traffic.keep(work, driven, in_force.plan, present)
    done = work.finish()
    out.result(
        {
            "decisions": len(reports), "changes": len(changed), "log": str(log),
            "plan": str(work.path(FileKind.LIVE_PLAN)) if changed else None,
            "run": None if done is None else done.name,
            **({} if driven is None else {"measured": driven_summary(out, driven)}),
        }
    )  # fmt: skip
    ray_driver.disconnect()
    if driven is not None and driven.beside_fault:
        raise ClusterError(f"the live loop broke off beside the traffic: {driven.beside_fault}")


def decide(
    log: Annotated[
        Path | None, typer.Option("--from", help="decisions.jsonl; default: the run's")
    ] = None,
    run: RunName = None,
    line: Annotated[
        int | None, number(LINE, help="of the file, that of a decision; default: the last one")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="must be named where the log's policy is a function of a module"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="where to write the plan it led to")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a decision of the live loop again from its log, and say whether it comes out the same.

    Needs no cluster. Exit code 1 if it differs.
    """
    from serving.replan.decision import decide as decide_again
    from serving.replan.decision_log import read_decision
    from serving.replan.reproduce import find_differences

    out = VerbOutput(as_json)
    if output is not None:
        check_output(output)
    log = RunWork(out, run).read(FileKind.DECISIONS, log, "--from")
    read = read_decision(log, line)
    given, logged = read.logged.given, read.logged.decision
    named = given.options.policy
    if is_reference(named) and policy != named:  # a file of data must not choose what runs
        raise InputError(
            f"{log}: this decision plans by the function {named}; if it is yours, say "
            f"--policy {named}"
        )
    with out.busy(f"decision {given.number}, {given.at_s:.1f} s after the start of its loop"):
        again = decide_again(read.ground, given)
    out.table(alternatives_table(again))
    out.say(again.reason)
    if logged is None:
        differences = [f"planning failed then: {read.logged.fault}"]
    else:
        differences = find_differences(logged, again)
    for difference in differences:
        out.say(f"[red]differs[/]: {difference}")
    if not differences:
        out.say(f"the same as on line {read.line} of {log}")
    if output is not None and again.plan is not None:
        save_result(again.plan.save, output)
        out.wrote(output)
    out.result(
        {
            "line": read.line,
            "same": not differences,
            "differences": differences,
            "decision": again.model_dump(mode="json", exclude={"plan"}),
        }
    )
    if differences:
        raise typer.Exit(ExitCode.FAILED)


def _keep(work: RunWork, plan: Plan) -> None:
    """Write the plan that the loop has put in force now."""
    work.save(FileKind.LIVE_PLAN, plan.save)
    work.wrote(FileKind.DECISIONS)
    work.finish()


def _refuse_another_plan(
    work: RunWork, plan: Plan, file: Path, given: Path | None, now: PlanInForce
) -> None:
    """Raise `ClusterError` where neither the plan of `file` is in force nor the last one of a loop
    of the same run."""
    if given is None and work.run is not None and work.has(FileKind.LIVE_PLAN):
        last = Plan.load(work.run.checked(FileKind.LIVE_PLAN))
        plan = last if last.digest == now.plan.digest else plan
    refuse_not_in_force(work, plan, file, given, now)


def _change_policy(season_s: float | None, periods: int, look_s: float) -> ChangePolicy:
    """How plans change, with a forecast if the load has a season.

    Raises `InputError` for periods that are no longer than the time between two looks, and
    `MissingExtraError` for want of statsmodels.
    """
    from serving.replan.change_policy import REACTIVE, forecast_policy

    if season_s is None:
        return REACTIVE
    if season_s / periods <= look_s:
        raise InputError(
            f"--forecast {season_s:g}: each of {periods} periods would be {season_s / periods:g} "
            f"s, no longer than the {look_s:g} s between two looks; take fewer --forecast-periods, "
            "or a shorter --period"
        )
    return forecast_policy(season_s / periods, periods)


async def _for(loop: Callable[[], Awaitable[None]], duration_s: float | None) -> None:
    """Run `loop` for so long. Raises what ends it before."""
    running = asyncio.ensure_future(loop())
    try:
        await asyncio.wait({running}, timeout=duration_s)
        if running.done():
            running.result()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({running})  # a change that has begun is completed


VERBS = (live, decide)
