"""Verbs of the running system: deploy, drive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.demand import Phase, RatesQps
from cluster.errors import InputError
from cluster.providers import ray_driver
from cluster.providers.state import ClusterError, ClusterState, state_path
from planner.plan import Plan
from serving.cli.audit_output import tell_audit
from serving.cli.belonging import (
    phase_of_plan,
    plan_in_force,
    refuse_not_in_force,
    refuse_other_problem,
    serving_setting,
)
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.driven_files import DRIVEN_FILES, DROPPED_FILES, keep_driven
from serving.cli.inputs import (
    DemandFile,
    ImageCount,
    Json,
    PlanFile,
    PlannedDemand,
    ProfilesFile,
    Routes,
    RunName,
    Seed,
    Spill,
    check_class_names,
    check_events,
    check_hardware,
    load_labelled,
    naming_demand,
    naming_plan,
    only_plan,
    pick_traffic,
)
from serving.cli.options import (
    ALL,
    AUDITED,
    DURATION_S,
    PHASE,
    PHASE_OR_ALL,
    SHARE_OR_NONE,
    number,
)
from serving.cli.output import LooseOutput, check_folder, check_output
from serving.cli.peak import FindPeak, PeakSeeds, PeakShare, PeakTolerance, PeakWithin, tell_peak
from serving.cli.run_work import RunWork
from serving.cli.watched import event_teller, recorded_beside, recorded_setting, recording
from serving.errors import ServingError
from serving.ingress.access import DoorConfig, read_door
from serving.logs.line import Level
from serving.metrics.endpoint import METRICS_PATH
from serving.metrics.targets import ScrapeTarget, write_prometheus
from serving.replan.loop_state import loop_process
from serving.rollout.budget_check import refuse_broken_budgets
from serving.routing.routes import RoutingMode
from serving.runs.manifest import FileKind
from serving.setting.setting import Setting
from serving.tracing.config import TracingConfig
from serving.traffic.local_faults import timeline_beside
from serving.traffic.schedule import build_schedule
from serving.traffic.summary import say_measured, summarise_run

if TYPE_CHECKING:
    from serving.deploy.assignment_record import PlanInForce
    from serving.deploy.fleet import Fleet
    from serving.traffic.session import Run
    from serving.watch.history import WatchHistory

__all__ = ["VERBS", "find_loop", "metrics_words", "running_fleet", "running_or_launched"]

PROMETHEUS = Path("out/prometheus")


def deploy(
    plan: Annotated[Path | None, typer.Argument(help="as --plan", show_default=False)] = None,
    named: PlanFile = None,
    profiles: ProfilesFile = None,
    demand: PlannedDemand = None,
    phase: Annotated[int, number(PHASE, help="of the demand named with --demand")] = 0,
    run: RunName = None,
    listen: Annotated[
        str | None, typer.Option(help="address of the doors; beyond loopback they need a token")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="file with the token that callers must bring")
    ] = None,
    share: Annotated[
        bool, typer.Option("--share/--no-share", help="one pass for all tasks of an image (F14)")
    ] = True,
    spill: Spill = True,
    routing: Routes = RoutingMode.SHARES,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="log each request; see `testbed logs`")
    ] = False,
    log_level: Annotated[Level, typer.Option(help="what the nodes log, from this on")] = Level.INFO,
    trace: Annotated[
        float | None,
        number(SHARE_OR_NONE, help="share of the queries that nodes trace; see explain"),
    ] = None,
    trace_to: Annotated[
        str | None,
        typer.Option(help="OTLP collector that gets these, such as http://127.0.0.1:4318"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a plan in force on the running cluster; starts the nodes if they do not run yet.

    A plan that breaks a budget under its demand is never deployed.
    """
    out = VerbOutput(as_json)
    check_folder(PROMETHEUS, "targets for Prometheus")
    door = read_door(listen, token_file, access_log)
    tracing = _read_tracing(trace, trace_to)
    plan = only_plan(plan, named)
    work = RunWork(out, run, of_file=plan)
    plan = work.read(FileKind.PLAN, plan, "--plan")
    wanted = Plan.load(plan)
    setting = serving_setting(work, profiles).as_planned(wanted)
    check_hardware(setting, work.read(FileKind.PROFILES, profiles, "--profiles"))
    load, words = phase_of_plan(work, wanted, plan, demand, phase)
    with naming_plan(plan, words):
        with naming_demand(demand) if demand is not None else nullcontext():
            stated = setting.problem(load)
        refuse_broken_budgets(stated, wanted)
    refuse_other_problem(wanted, plan, stated, setting, demand)
    fleet = running_or_launched(
        out, ray_driver.connect(), setting, door, share, spill, log_level, tracing
    )
    with out.busy("loading models and routing", changes=True):
        change = fleet.apply(wanted, setting, load, routing=routing)
    urls = fleet.urls()
    out.say(
        f"plan version {change.version} is in force after {change.total_s:.1f} s; "
        f"models loaded: {sum(map(len, change.loads_s.values()))}, "
        f"unloaded: {sum(map(len, change.unloads_s.values()))}"
    )
    for client, url in urls.items():
        out.say(f"{client}: POST an image to {url}/v2/models/TASK/infer")
    targets = fleet.scrape_targets()
    scraped = write_prometheus(PROMETHEUS, targets, fleet.door_token())
    for line in metrics_words(targets, scraped, asks_token=fleet.door_token() is not None):
        out.say(line)
    out.result(
        {
            "version": change.version,
            "seconds": change.total_s,
            "reaction_s": change.reaction_s,
            "stages": change.stages,
            "loads_s": change.loads_s,
            "unloads_s": change.unloads_s,
            "urls": urls,
            "prometheus": str(scraped),
        }
    )
    ray_driver.disconnect()


def drive(
    demand: DemandFile = None,
    plan: PlanFile = None,
    phase: Annotated[int, number(PHASE_OR_ALL, help="of the demand, from 0")] = 0,
    duration: Annotated[
        float | None, number(DURATION_S, help="length of a phase; default: the file's")
    ] = None,
    seed: Seed = 1,
    images: ImageCount = 240,
    find_peak: FindPeak = False,
    share: PeakShare = 0.99,
    within: PeakWithin = None,
    seeds: PeakSeeds = 3,
    tolerance: PeakTolerance = 0.05,
    trace: Annotated[
        float,
        number(SHARE_OR_NONE, help="share of the queries that are traced; see explain"),
    ] = 0.0,
    audit: Annotated[
        int, number(AUDITED, help="answers that are asked for once more, offline, and compared")
    ] = 0,
    run: RunName = None,
    output: LooseOutput = None,
    as_json: Json = False,
) -> None:
    """Send labelled traffic through the clients' doors and score what comes back.

    The events of the demand's timeline come about meanwhile. With --find-peak nothing is written.
    With --audit, ends with code 3 if an answer is not the one that its model gives offline.
    """
    out = VerbOutput(as_json)
    if output is not None:
        check_output(output)
    work = RunWork(out, run, of_file=plan)
    file = work.read(FileKind.PLAN, plan, "--plan")
    wanted = Plan.load(file)
    demand = work.read_demand(demand, FileKind.TRAFFIC)
    phases, timeline = pick_traffic(out, demand, None if phase == ALL else phase, duration)
    check_class_names(demand, phases, wanted)
    state = ray_driver.connect()
    check_events(demand, state.topology)
    fleet = running_fleet(state)
    _say_other_load(out, wanted, demand, phases[0])
    in_force = plan_in_force(fleet)
    wanted = _driven_plan(out, work, wanted, file, plan, in_force)
    output = work.writes(DRIVEN_FILES, output, drops=DROPPED_FILES)
    from serving.traffic.session import run_traffic

    labelled = load_labelled(out, phases, images)

    def send(
        asked: Sequence[Phase],
        chosen: int,
        what: str = "driving",
        history: WatchHistory | None = None,
    ) -> Run:
        on_event = None if history is None else event_teller(history)
        events = timeline_beside(timeline, state, fleet, find_loop, on_event=on_event)
        beside = recorded_beside(fleet, history, events)
        schedule = build_schedule(asked, chosen, images, labelled.labelled, timeline)
        with out.progress(what, changes=events is not None) as advance:
            return run_traffic(
                fleet, wanted, schedule, labelled, command="testbed drive", seed=chosen,
                on_progress=advance, beside=beside, trace_share=trace,
            )  # fmt: skip

    if find_peak:
        tell_peak(
            out, lambda asked, chosen: send(asked, chosen, "trying").measurements, phases,
            seed=seed, share=share, within_s=within, seeds=seeds, tolerance=tolerance,
        )  # fmt: skip
        ray_driver.disconnect()
        return
    setting = recorded_setting(work, state.topology)
    if setting is None:
        driven = send(phases, seed)
    else:
        with recording(work, FileKind.RECORDING, setting, in_force.plan) as history:
            driven = send(phases, seed, history=history)
    keep_driven(work, driven, labelled)
    done = work.finish()
    measured = summarise_run(driven.measurements)
    out.say(say_measured(measured))
    out.wrote(output)
    audited = tell_audit(out, driven, labelled, audit, seed) if audit else []
    told = {"audit": [row.model_dump() for row in audited]} if audit else {}
    out.result(
        {
            **measured.model_dump(mode="json"), **told, "measurements": str(output),
            "run": None if done is None else done.name,
        }
    )  # fmt: skip
    ray_driver.disconnect()
    if driven.beside_fault:
        raise ServingError(f"the timeline of {demand} broke off: {driven.beside_fault}")
    if measured.errors:
        raise ServingError(
            f"{measured.errors} of {measured.queries} queries failed; `testbed logs --level "
            f"warning` says what broke, {output} which queries"
        )
    if any(row.differing for row in audited):
        raise typer.Exit(ExitCode.NOT_MET)


def metrics_words(
    targets: Mapping[str, ScrapeTarget], configuration: Path, *, asks_token: bool
) -> list[str]:
    """How metrics are read: a node's by anybody, all of them by a Prometheus."""
    first = next(iter(targets.values())).address
    header = ""
    if asks_token:
        token = configuration.with_name("token")
        header = f'-H "authorization: Bearer $(cat {token})" '
    return [
        f"metrics of a node: curl {header}http://{first}{METRICS_PATH}",
        f"metrics of all: prometheus --config.file={configuration}, then http://localhost:9090",
    ]


def _driven_plan(
    out: VerbOutput, work: RunWork, plan: Plan, file: Path, given: Path | None, now: PlanInForce
) -> Plan:
    """The plan that traffic is driven under: that of `file`, or the one that the live loop of the
    run has put in force since. Raises `ClusterError` where another one is in force."""
    if given is None and work.run is not None and work.has(FileKind.LIVE_PLAN):
        live = Plan.load(work.run.checked(FileKind.LIVE_PLAN))
        if live.digest == now.plan.digest != plan.digest:
            out.say(f"the live loop has put its plan of {live.policy} in force; it is driven under")
            work.note_document(FileKind.DRIVEN_PLAN, live)
            return live
    refuse_not_in_force(work, plan, file, given, now)
    return plan


def _say_other_load(out: VerbOutput, plan: Plan, demand: Path, first: Phase) -> None:
    """Say so where the first phase that is driven is not the load that the plan was made for."""
    bursts = any(process.kind != "poisson" for process in first.arrivals.values())
    same = _asked(first.rates_qps) == _asked(plan.load_qps) and first.bundles == plan.bundles
    if plan.load_qps and (not same or (bursts and not plan.dispersion)):
        out.say(f"note: the plan was made for another load than the first phase of {demand}")


def _asked(rates_qps: RatesQps) -> RatesQps:
    """Without what nobody asks."""
    asked = {
        client: {task: qps for task, qps in rates.items() if qps > 0}
        for client, rates in rates_qps.items()
    }
    return {client: rates for client, rates in asked.items() if rates}


def running_fleet(state: ClusterState) -> Fleet:
    """The fleet of the connected cluster. Raises `ClusterError` if no nodes were started."""
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(state.topology)
    if fleet is None:
        raise ClusterError("no plan is in force; run `testbed deploy` first")
    return fleet


def find_loop() -> int | None:
    """The process of the live loop that runs, if one does."""
    return loop_process(state_path().parent)


def _read_tracing(share: float | None, collector: str | None) -> TracingConfig | None:
    """Which queries the nodes trace, by the options of `deploy`. Raises `InputError`."""
    if share is None and collector is None:
        return None
    # Without a share, those whose callers ask for it (`traceparent`).
    tracing = TracingConfig(share or 0.0, collector)
    tracing.check_extra()
    return tracing


def running_or_launched(
    out: VerbOutput,
    state: ClusterState,
    setting: Setting,
    door: DoorConfig | None = None,
    shared_passes: bool = True,
    spill_over: bool = True,
    log_level: Level = Level.INFO,
    tracing: TracingConfig | None = None,
) -> Fleet:
    """The fleet of the connected cluster, its nodes started if they do not run yet.

    Raises `InputError` if they run and are asked for doors, passes, logs or traces of another kind
    than `testbed deploy` gives them by default, or for tasks that they were not started for.
    """
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(state.topology)
    if fleet is not None:
        asked = door is not None or tracing is not None or log_level is not Level.INFO
        if asked or not (shared_passes and spill_over):
            raise InputError(
                "the nodes run, with doors, passes, spill-over, logs and traces as first deployed; "
                "run `testbed down` and `testbed up` to start them otherwise"
            )
        refuse_other_tasks(fleet.tasks(), setting.base_tasks)
        return fleet
    with out.busy(f"starting {len(state.topology.nodes)} nodes", changes=True):
        return Fleet.launch(
            state.topology,
            setting.base_tasks,
            setting.largest_query_bytes,
            state.link_token,
            door,
            wiring=state.wiring,
            shared_passes=shared_passes,
            spill_over=spill_over,
            log_level=log_level,
            profiles=setting.profiles,
            tracing=tracing,
        )


def refuse_other_tasks(served: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise `InputError` for tasks that the running nodes were not started for: what a door decodes
    pictures to is settled when it opens."""
    if missing := [task for task in wanted if task not in served]:
        raise InputError(
            f"the nodes were started for {', '.join(served)}, and not for {', '.join(missing)}; "
            "`testbed down`, `testbed up`, then `testbed deploy` starts them for these"
        )


VERBS = (deploy, drive)
