"""Verbs of the running system: deploy, drive, report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.demand import Demand, Phase
from cluster.providers import local
from cluster.providers.state import ClusterState
from cluster.specs import SPECS
from planner.plan import Plan
from planner.policies import Options, solve
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.inputs import (
    DemandFile,
    ImageCount,
    Json,
    PlanFile,
    ProfilesFile,
    Seed,
    load_labelled,
    load_setting,
    pick_phase,
    state_problem,
)
from serving.ingress.access import DoorConfig, read_door
from serving.logs.line import Level
from serving.metrics.targets import write_prometheus
from serving.report.compare import comparison_rows, comparison_table, policy_row
from serving.report.examples import Gallery, pick_examples
from serving.report.placement import build_placement
from serving.report.write import write_report
from serving.rollout.budget_check import refuse_broken_budgets
from serving.setting.setting import Setting
from serving.traffic.measurement import Measurements
from serving.traffic.schedule import build_schedule
from serving.traffic.summary import RunSummary, summarise_run

if TYPE_CHECKING:
    from serving.deploy.fleet import Fleet

__all__ = ["VERBS", "running_fleet"]


def deploy(
    plan: Annotated[Path, typer.Argument(help="plan.json")] = Path("out/plan.json"),
    profiles: ProfilesFile = Path("out/profiles.json"),
    demand: DemandFile = SPECS / "demo-demand.yaml",
    phase: Annotated[int, typer.Option(help="phase of the demand the plan was made for")] = 0,
    listen: Annotated[
        str | None, typer.Option(help="address of the doors; beyond loopback they need a token")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="file with the token that callers must bring")
    ] = None,
    share: Annotated[
        bool, typer.Option("--share/--no-share", help="one pass for all tasks of an image (F14)")
    ] = True,
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
    door = read_door(listen, token_file, access_log)
    wanted = Plan.load(plan)
    setting = load_setting(None, profiles)
    refuse_broken_budgets(state_problem(setting, demand, phase), wanted)
    fleet = _running_or_launched(out, local.connect(), setting, door, share, log_level)
    with out.busy("loading models and routing"):
        change = fleet.apply(wanted, setting, pick_phase(demand, phase))
    urls = fleet.urls()
    out.say(
        f"plan version {change.version} is in force after {change.total_s:.1f} s; "
        f"models loaded: {sum(map(len, change.loads_s.values()))}, "
        f"unloaded: {sum(map(len, change.unloads_s.values()))}"
    )
    for client, url in urls.items():
        out.say(f"{client}: POST an image to {url}/v2/models/TASK/infer")
    scraped = write_prometheus(Path("out/prometheus"), fleet.scrape_targets(), fleet.door_token())
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
    phase: Annotated[int | None, typer.Option(help="only this phase; default: all")] = 0,
    duration: Annotated[float | None, typer.Option(help="seconds a phase; default: file's")] = None,
    seed: Seed = 1,
    images: ImageCount = 240,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("out/measurements.parquet"),
    as_json: Json = False,
) -> None:
    """Send labelled traffic through the clients' doors and score what comes back."""
    out = VerbOutput(as_json)
    wanted = Plan.load(plan)
    phases = _phases(demand, phase, duration)
    fleet = running_fleet(local.connect())
    from serving.traffic.session import run_traffic

    labelled = load_labelled(out, phases, images)
    schedule = build_schedule(phases, seed, images, labelled.labelled)
    with out.progress("driving") as advance:
        run = run_traffic(
            fleet, wanted, schedule, labelled,
            command="testbed drive", seed=seed, on_progress=advance,
        )  # fmt: skip
    run.measurements.save(output)
    pick_examples(schedule, run.records, labelled).save(output.with_name("gallery.json"))
    measured = summarise_run(run.measurements)
    _say_measured(out, measured)
    out.say(f"wrote {output}")
    out.result(measured.model_dump(mode="json"))
    local.disconnect()
    if measured.errors:
        raise typer.Exit(ExitCode.FAILED)


def report(
    plan: PlanFile = Path("out/plan.json"),
    measurements: Annotated[Path, typer.Option(help="measurements.parquet")] = Path(
        "out/measurements.parquet"
    ),
    profiles: ProfilesFile = Path("out/profiles.json"),
    demand: DemandFile = SPECS / "demo-demand.yaml",
    output: Annotated[Path, typer.Option("--output", "-o", help="folder")] = Path("out/report"),
    as_json: Json = False,
) -> None:
    """Write what the plan promised beside what came back: report.json and report.html."""
    out = VerbOutput(as_json)
    setting = load_setting(None, profiles)
    rows = Measurements.load(measurements)
    wanted = Plan.load(plan)
    gallery = measurements.with_name("gallery.json")
    measured = summarise_run(rows)
    write_report(
        output,
        wanted,
        rows,
        command="testbed report",
        topology=setting.topology.name,
        placement=build_placement(
            setting.topology, wanted, Demand.load(demand).phases[0], setting.profiles
        ),
        gallery=Gallery.load(gallery) if gallery.exists() else None,
    )
    _say_measured(out, measured)
    out.say(f"wrote {output}/report.json and {output}/report.html")
    out.result({"report": str(output / "report.json"), "page": str(output / "report.html")})


def compare(
    policy: Annotated[list[str] | None, typer.Option(help="policies; repeat")] = None,
    profiles: ProfilesFile = Path("out/profiles.json"),
    demand: DemandFile = SPECS / "demo-demand.yaml",
    phase: Annotated[int, typer.Option(help="phase of the demand")] = 0,
    duration: Annotated[float | None, typer.Option(help="seconds a policy")] = None,
    fill: Annotated[float, typer.Option(help="share of windows and compute to plan for")] = 0.6,
    seed: Seed = 1,
    images: ImageCount = 240,
    as_json: Json = False,
) -> None:
    """Run the same traffic under several policies on the running cluster."""
    out = VerbOutput(as_json)
    setting = load_setting(None, profiles)
    phases = _phases(demand, phase, duration)
    fleet = _running_or_launched(out, local.connect(), setting)
    from serving.traffic.session import run_traffic

    labelled = load_labelled(out, phases, images)
    schedule = build_schedule(phases, seed, images, labelled.labelled)
    problem = setting.problem(phases[0])
    rows = []
    for name in policy or ["baj3o", "all-local", "all-edge", "all-cloud", "random"]:
        solution = solve(problem, name, Options(fill=fill, seed=seed))
        fleet.apply(solution.plan, setting, phases[0])
        with out.progress(name) as advance:
            run = run_traffic(
                fleet, solution.plan, schedule, labelled,
                command="testbed compare", seed=seed, on_progress=advance,
            )  # fmt: skip
        summary = solution.evaluation.summary()
        rows.append(
            policy_row(name, summary, summarise_run(run.measurements), solution.certificate)
        )
    out.table(comparison_table(rows))
    out.result({"policies": comparison_rows(rows)})
    local.disconnect()


def running_fleet(state: ClusterState) -> Fleet:
    """The fleet of the connected cluster. Raises `ValueError` if no nodes were started."""
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(state.topology)
    if fleet is None:
        raise ValueError("no plan is in force; run `testbed deploy` first")
    return fleet


def _running_or_launched(
    out: VerbOutput,
    state: ClusterState,
    setting: Setting,
    door: DoorConfig | None = None,
    shared_passes: bool = True,
    log_level: Level = Level.INFO,
) -> Fleet:
    """The fleet of the connected cluster, its nodes started if they do not run yet.

    Raises `ValueError` if they run and are asked for doors, passes or logs of another kind than
    `testbed deploy` gives them by default.
    """
    from serving.deploy.fleet import Fleet

    fleet = Fleet.attach(state.topology)
    if fleet is not None:
        if door is not None or not shared_passes or log_level is not Level.INFO:
            raise ValueError(
                "the nodes run, with doors, shared passes and logs as they were first deployed; "
                "run `testbed down` and `testbed up` to start them otherwise"
            )
        return fleet
    with out.busy(f"starting {len(state.topology.nodes)} nodes"):
        return Fleet.launch(
            state.topology,
            setting.tasks,
            setting.largest_query_bytes,
            state.link_token,
            door,
            shared_passes=shared_passes,
            log_level=log_level,
        )


def _phases(demand: Path, phase: int | None, duration_s: float | None) -> list[Phase]:
    phases = list(Demand.load(demand).phases) if phase is None else [pick_phase(demand, phase)]
    if duration_s is None:
        return phases
    if duration_s <= 0:
        raise ValueError(f"--duration must be positive, got {duration_s}")
    return [entry.model_copy(update={"duration_s": duration_s}) for entry in phases]


def _say_measured(out: VerbOutput, measured: RunSummary) -> None:
    latency = measured.latency_s
    words = (
        f"p50 {latency.p50 * 1e3:.0f} ms, p95 {latency.p95 * 1e3:.0f} ms, "
        f"p99 {latency.p99 * 1e3:.0f} ms"
        if latency
        else "nothing was answered"
    )
    met = measured.deadline_met_share
    out.say(
        f"{measured.queries} queries: {measured.answered} answered, {measured.shed} shed, "
        f"{measured.errors} errors; accuracy {measured.accuracy:.3f}; {words}"
        + (f"; {met:.1%} within the promised bound" if met is not None else "")
    )


VERBS = (deploy, drive, report, compare)
