"""The verb that sets what a plan promised beside what came back: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from planner.explanation.explain import reasons_of
from planner.plan import Plan
from serving.cli.belonging import current_plan, planned_problem, refuse_other_plan
from serving.cli.beside_output import tell_beside
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    Json,
    MeasurementsFile,
    PlanFile,
    PlannedDemand,
    ProfilesFile,
    Routes,
    RunName,
    load_setting,
    planned_phase,
)
from serving.cli.output import check_folder, save_result
from serving.cli.run_work import RunWork
from serving.cli.verdict_output import Strict, end_strictly, tell_verdicts
from serving.report.examples import Gallery
from serving.report.link_use import link_uses
from serving.report.placement import build_placement
from serving.report.plan_changes import LoggedChange, changes_seen
from serving.report.regret import regret_of
from serving.report.write import write_report
from serving.routing.routes import RoutingMode
from serving.runs.manifest import FileKind
from serving.traffic.measurement import Measurements
from serving.traffic.summary import say_measured, summarise_run
from serving.verdicts.verdict import Verdict, failed

__all__ = ["VERBS"]


def report(
    runs: Annotated[
        list[str] | None, typer.Argument(help="two runs, which a page shows side by side")
    ] = None,
    plan: PlanFile = None,
    measurements: MeasurementsFile = None,
    profiles: ProfilesFile = None,
    demand: PlannedDemand = None,
    routing: Routes = RoutingMode.SHARES,
    run: RunName = None,
    strict: Strict = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="a folder of your own instead of one in the run"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what the plan promised beside what came back: report.json and report.html.

    With two runs, a page that shows both side by side, with the interval of their difference.
    """
    out = VerbOutput(as_json)
    if runs:
        tell_beside(out, runs, output)
        return
    if output is not None:
        check_folder(output)
    work = RunWork(out, run, of_file=plan or measurements)
    topology = work.read_topology(None)
    profiles = work.read(FileKind.PROFILES, profiles, "--profiles")
    setting = load_setting(topology, profiles)
    given, measurements = (
        measurements,
        work.read(FileKind.MEASUREMENTS, measurements, "--measurements"),
    )
    rows = Measurements.load(measurements)
    plan = _plan_file(work, plan, given)
    wanted = Plan.load(plan)
    refuse_other_plan(rows, measurements, wanted, plan)
    setting = setting.as_planned(wanted)
    phase = planned_phase(wanted, plan, demand)
    problem = planned_problem(setting, wanted, plan, phase, demand)
    wanted = current_plan(out, wanted, plan, problem).plan
    gallery = _gallery(work, measurements, given)
    target = work.writes_folder(FileKind.REPORT, output)
    measured = summarise_run(rows)
    regret = regret_of(rows, setting)
    uses = link_uses(setting.topology, problem, wanted)
    placement = build_placement(setting.topology, wanted, phase, setting.profiles, uses)
    changes = changes_seen(rows, _logged_changes(work, given))
    from serving.verdicts.judge import PlannedFor, judge_run

    verdicts: tuple[Verdict, ...] = ()
    if rows.run.simulated:
        out.say("these queries were simulated, so there is no prediction to judge")
    else:
        with out.busy("simulating the same queries"):
            verdicts = judge_run(rows, PlannedFor(setting, wanted, phase, routing))

    def write(folder: Path) -> None:
        write_report(
            folder,
            wanted,
            rows,
            command="testbed report",
            topology=setting.topology.name,
            placement=placement,
            gallery=gallery,
            regret=regret,
            verdicts=verdicts,
            reasons=reasons_of(problem, wanted),
            plan_changes=changes,
        )

    save_result(write, target)
    work.wrote(FileKind.REPORT, parts=(target / "report.html",))
    done = work.finish()
    out.say(say_measured(measured))
    if regret is not None:
        out.say(
            f"{regret.reached:.1%} of what any sequence of plans could have reached (F21): "
            f"accuracy in time {regret.accuracy:.3f} of at most {regret.clairvoyant_bound:.3f}"
        )
    if verdicts:
        if changes:
            out.say("the plan changed meanwhile, so nothing but batches is judged by the first one")
        tell_verdicts(out, verdicts)
    out.wrote(target / "report.json", target / "report.html")
    out.result(
        {
            "report": str(target / "report.json"),
            "page": str(target / "report.html"),
            "run": None if done is None else done.name,
            "failed": [verdict.model_dump(mode="json") for verdict in failed(verdicts)],
        }
    )
    end_strictly(verdicts, strict)


def _plan_file(work: RunWork, given: Path | None, measured: Path | None) -> Path:
    """The plan that was measured: the one that is named, the run's, or that of the live loop which
    the run's measurements were made under."""
    if given is None and measured is None and work.run is not None:
        return work.read(work.run.measured_under, None, "--plan")
    return work.read(FileKind.PLAN, given, "--plan")


def _gallery(work: RunWork, measurements: Path, given: Path | None) -> Gallery | None:
    """Pictures of this run and of no other: those that were written with its measurements."""
    if given is None:
        if not work.has(FileKind.GALLERY):
            return None
        return Gallery.load(work.read(FileKind.GALLERY, None, "--measurements"))
    beside = measurements.with_name("gallery.json")
    if not beside.exists():
        return None
    found = Gallery.load(beside)
    return found if found.belongs_to(Measurements.load(measurements)) else None


def _logged_changes(work: RunWork, given: Path | None) -> dict[int, LoggedChange]:
    """What the live loop wrote of the changes that it made in this run."""
    if given is not None or not work.has(FileKind.DECISIONS):
        return {}
    from serving.report.logged_changes import logged_changes

    return logged_changes(work.read(FileKind.DECISIONS, None, "--measurements"))


VERBS = (report,)
