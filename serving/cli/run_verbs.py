"""Verbs of the running system: deploy, drive, report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.demand import Demand, Phase
from cluster.errors import InputError
from cluster.providers import local
from cluster.providers.state import ClusterError, ClusterState, state_path
from cluster.specs import SPECS
from planner.plan import Plan
from serving.cli.audit_output import tell_audit
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.inputs import (
    DemandFile,
    ImageCount,
    Json,
    PlanFile,
    PlannedDemand,
    ProfilesFile,
    Routes,
    Seed,
    Spill,
    check_class_names,
    check_events,
    check_hardware,
    load_labelled,
    load_setting,
    naming_plan,
    pick_phase,
    pick_traffic,
    planned_phase,
    state_problem,
)
from serving.cli.options import AUDITED, DURATION_S, PHASE, number
from serving.cli.output import check_folder, check_output, save_result
from serving.cli.peak import FindPeak, PeakSeeds, PeakShare, PeakTolerance, PeakWithin, tell_peak
from serving.cli.verdict_output import Strict, end_strictly, tell_verdicts
from serving.errors import ServingError
from serving.ingress.access import DoorConfig, read_door
from serving.logs.line import Level
from serving.metrics.targets import write_prometheus
from serving.replan.loop_state import loop_process
from serving.report.examples import Gallery, pick_examples
from serving.report.placement import build_placement
from serving.report.regret import regret_of
from serving.report.write import write_report
from serving.rollout.budget_check import refuse_broken_budgets
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.traffic.local_faults import timeline_beside
from serving.traffic.measurement import Measurements
from serving.traffic.schedule import build_schedule
from serving.traffic.summary import say_measured, summarise_run
from serving.verdicts.verdict import failed

if TYPE_CHECKING:
    from serving.deploy.fleet import Fleet
    from serving.traffic.session import Run

__all__ = ["VERBS", "find_loop", "running_fleet", "running_or_launched"]

PROMETHEUS = Path("out/prometheus")


def deploy(
    plan: Annotated[Path, typer.Argument(help="plan.json")] = Path("out/plan.json"),
    profiles: ProfilesFile = Path("out/profiles.json"),
    demand: DemandFile = SPECS / "demo-demand.yaml",
    phase: Annotated[int, number(PHASE, help="phase of the demand the plan was made for")] = 0,
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
    as_json: Json = False,
) -> None:
    """Put a plan in force on the running cluster; starts the nodes if they do not run yet.

    A plan that breaks a budget under its demand is never deployed.
    """
    out = VerbOutput(as_json)
    check_folder(PROMETHEUS, "targets for Prometheus")
    door = read_door(listen, token_file, access_log)
    wanted = Plan.load(plan)
    setting = load_setting(None, profiles).with_deadlines(Demand.load(demand).deadlines_s)
    check_hardware(setting, profiles)
    with naming_plan(plan, f"phase {phase} of {demand}"):
        refuse_broken_budgets(state_problem(setting, demand, phase), wanted)
    fleet = running_or_launched(out, local.connect(), setting, door, share, spill, log_level)
    with out.busy("loading models and routing", changes=True):
        change = fleet.apply(wanted, setting, pick_phase(demand, phase), routing=routing)
    urls = fleet.urls()
    out.say(
        f"plan version {change.version} is in force after {change.total_s:.1f} s; "
        f"models loaded: {sum(map(len, change.loads_s.values()))}, "
        f"unloaded: {sum(map(len, change.unloads_s.values()))}"
    )
    for client, url in urls.items():
        out.say(f"{client}: POST an image to {url}/v2/models/TASK/infer")
    scraped = write_prometheus(PROMETHEUS, fleet.scrape_targets(), fleet.door_token())
    out.say(f"metrics: prometheus --config.file={scraped}")
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
    local.disconnect()


def drive(
    demand: DemandFile = SPECS / "demo-demand.yaml",
    plan: PlanFile = Path("out/plan.json"),
    phase: Annotated[int | None, number(PHASE, help="of the demand, from 0")] = 0,
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
    audit: Annotated[
        int, number(AUDITED, help="answers that are asked for once more, offline, and compared")
    ] = 0,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("out/measurements.parquet"),
    as_json: Json = False,
) -> None:
    """Send labelled traffic through the clients' doors and score what comes back.

    The events of the demand's timeline come about meanwhile. With --find-peak nothing is written.
    With --audit, ends with code 3 if an answer is not the one that its model gives offline.
    """
    out = VerbOutput(as_json)
    pictures = output.with_name("gallery.json") if output.name else output
    check_output(output)
    check_output(pictures)
    wanted = Plan.load(plan)
    phases, timeline = pick_traffic(out, demand, phase, duration)
    check_class_names(demand, phases, wanted)
    state = local.connect()
    check_events(demand, state.topology)
    fleet = running_fleet(state)
    beside = timeline_beside(timeline, state, fleet, find_loop)
    from serving.traffic.session import run_traffic

    labelled = load_labelled(out, phases, images)

    def send(asked: Sequence[Phase], chosen: int, what: str = "driving") -> Run:
        schedule = build_schedule(asked, chosen, images, labelled.labelled, timeline)
        with out.progress(what, changes=beside is not None) as advance:
            return run_traffic(
                fleet, wanted, schedule, labelled,
                command="testbed drive", seed=chosen, on_progress=advance, beside=beside,
            )  # fmt: skip

    if find_peak:
        tell_peak(
            out, lambda asked, chosen: send(asked, chosen, "trying").measurements, phases,
            seed=seed, share=share, within_s=within, seeds=seeds, tolerance=tolerance,
        )  # fmt: skip
        local.disconnect()
        return
    run = send(phases, seed)
    save_result(run.measurements.save, output)
    save_result(pick_examples(run.schedule, run.records, labelled).save, pictures)
    measured = summarise_run(run.measurements)
    out.say(say_measured(measured))
    out.wrote(output)
    audited = tell_audit(out, run, labelled, audit, seed) if audit else []
    told = {"audit": [row.model_dump() for row in audited]} if audit else {}
    out.result({**measured.model_dump(mode="json"), **told})
    local.disconnect()
    if run.beside_fault:
        raise ServingError(f"the timeline of {demand} broke off: {run.beside_fault}")
    if measured.errors:
        raise ServingError(
            f"{measured.errors} of {measured.queries} queries failed; `testbed logs --level "
            f"warning` says what broke, {output} which queries"
        )
    if any(row.differing for row in audited):
        raise typer.Exit(ExitCode.NOT_MET)


def report(
    plan: PlanFile = Path("out/plan.json"),
    measurements: Annotated[Path, typer.Option(help="measurements.parquet")] = Path(
        "out/measurements.parquet"
    ),
    profiles: ProfilesFile = Path("out/profiles.json"),
    demand: PlannedDemand = None,
    routing: Routes = RoutingMode.SHARES,
    strict: Strict = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder")] = Path("out/report"),
    as_json: Json = False,
) -> None:
    """Write what the plan promised beside what came back: report.json and report.html."""
    out = VerbOutput(as_json)
    check_folder(output)
    setting = load_setting(None, profiles)
    rows = Measurements.load(measurements)
    wanted = Plan.load(plan)
    setting = setting.with_deadlines(wanted.deadlines_s)
    gallery = measurements.with_name("gallery.json")
    measured = summarise_run(rows)
    regret = regret_of(rows, setting)
    phase = planned_phase(wanted, plan, demand)
    placement = build_placement(setting.topology, wanted, phase, setting.profiles)
    from serving.verdicts.judge import PlannedFor, judge_run

    with out.busy("simulating the same queries"):
        verdicts = judge_run(rows, PlannedFor(setting, wanted, phase, routing))
    examples = Gallery.load(gallery) if gallery.exists() else None

    def write(folder: Path) -> None:
        write_report(
            folder,
            wanted,
            rows,
            command="testbed report",
            topology=setting.topology.name,
            placement=placement,
            gallery=examples,
            regret=regret,
            verdicts=verdicts,
        )

    save_result(write, output)
    out.say(say_measured(measured))
    if regret is not None:
        out.say(
            f"{regret.reached:.1%} of what any sequence of plans could have reached (F21): "
            f"accuracy in time {regret.accuracy:.3f} of at most {regret.clairvoyant_bound:.3f}"
        )
    tell_verdicts(out, verdicts)
    out.wrote(output / "report.json", output / "report.html")
    out.result(
        {
            "report": str(output / "report.json"),
            "page": str(output / "report.html"),
            "failed": [verdict.model_dump(mode="json") for verdict in failed(verdicts)],
        }
    )
    end_strictly(verdicts, strict)


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


def running_or_launched(
    out: VerbOutput,
    state: ClusterState,
    setting: Setting,
    door: DoorConfig | None = None,
    shared_passes: bool = True,
    spill_over: bool = True,
    log_level: Level = Level.INFO,
) -> Fleet:
    """The fleet of the connected cluster, its nodes started if they do not run yet.

    Raises `InputError` if they run and are asked for doors, passes or logs of another kind than
    `testbed deploy` gives them by default.
    """
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(state.topology)
    if fleet is not None:
        if door is not None or not (shared_passes and spill_over) or log_level is not Level.INFO:
            raise InputError(
                "the nodes run, with doors, passes, spill-over and logs as first deployed; "
                "run `testbed down` and `testbed up` to start them otherwise"
            )
        return fleet
    with out.busy(f"starting {len(state.topology.nodes)} nodes", changes=True):
        return Fleet.launch(
            state.topology,
            setting.base_tasks,
            setting.largest_query_bytes,
            state.link_token,
            door,
            shared_passes=shared_passes,
            spill_over=spill_over,
            log_level=log_level,
            profiles=setting.profiles,
        )


VERBS = (deploy, drive, report)
