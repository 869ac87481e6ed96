"""The demo: every stage in order on this machine, and a table of what was promised and what came.

Reads as the guide to the stages: each numbered step is one verb of the command line.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from cluster.demand import Demand, Phase
from cluster.providers import lifecycle, ray_driver
from cluster.specs import SPECS
from cluster.topology import Topology
from models.zoo.registry import list_models
from planner.explanation.explain import reasons_of
from planner.plan import Plan
from planner.policies import DEFAULT, Options, solve
from planner.solution import Solution
from profiling.profile import digest_of
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.demo_page import DemoPage
from serving.cli.demo_run import keep_run
from serving.cli.inputs import load_labelled
from serving.cli.output import save_result
from serving.cli.verdict_output import tell_verdicts
from serving.deploy.fleet import Fleet
from serving.deploy.profile_nodes import profile_cluster
from serving.replan.decision_input import DecisionOptions
from serving.replan.loop import ReplanLoop
from serving.replan.loop_state import LoopState
from serving.replan.options import ReplanOptions
from serving.report.claims import Claim, demo_claims
from serving.report.compare import PolicyRow, comparison_tables, policy_row
from serving.report.examples import pick_examples
from serving.report.link_use import link_uses
from serving.report.live import LiveComparison, compare_live
from serving.report.logged_changes import logged_changes
from serving.report.paired import with_differences
from serving.report.placement import build_placement
from serving.report.plan_changes import changes_seen
from serving.report.regret import regret_of
from serving.report.report import Report
from serving.report.write import write_report
from serving.rollout.execute import RolloutReport
from serving.setting.setting import Setting
from serving.traffic.images import LabelledImages
from serving.traffic.schedule import Schedule, build_schedule
from serving.traffic.session import Run, run_traffic
from serving.traffic.summary import summarise_run
from serving.verdicts.judge import PlannedFor, judge_run
from serving.watch.history import WatchHistory
from serving.watch.recording import RECORDING
from serving.watch.watched_loop import WatchedFleet, WatchedLog

__all__ = ["run_demo"]

POLICIES = (DEFAULT, "baj3o", "all-local", "all-edge", "all-cloud", "random")
BENCHMARK = "rooms"
IMAGES = 240
LIVE = "live"
"""folder of what the live half left for `testbed watch`"""
LIVE_SHARE = 2 / 3
"""the live half runs each phase of the demand for this share of its time"""


def run_demo(
    out: VerbOutput,
    folder: Path,
    *,
    seed: int,
    duration_s: float | None,
    known: Setting | None = None,
    port: int | None = None,
    watch: bool = False,
) -> ExitCode:
    """Run all stages into `folder` and take the cluster down again.

    Meanwhile a page shows the system (`port`: of the page); with `watch` it stays open, and shows
    the live half again until Ctrl-C. `duration_s` replaces the length of the demand's phases. With
    a setting that is `known`, nothing is profiled anew. Raises what the stages raise.
    """
    started_s = time.monotonic()
    topology = Topology.load(SPECS / "demo.yaml")
    demand = Demand.load(SPECS / "demo-demand.yaml")
    phases = list(demand.phases)
    if duration_s is not None:
        phases = [phase.model_copy(update={"duration_s": duration_s}) for phase in phases]
    with out.busy("1 up: starting Ray with one resource a node"):
        state = lifecycle.up(topology, say=out.say)
    try:
        ray_driver.connect()
        setting = (known or _profile(out, folder, topology)).with_deadlines(demand.deadlines_s)
        save_result(setting.profiles.save, folder / "profiles.json")
        solutions = _plan(out, folder, setting, phases[0], seed)
        with out.busy(f"4 deploy: starting {len(topology.nodes)} nodes"):
            fleet = Fleet.launch(
                topology,
                setting.base_tasks,
                setting.largest_query_bytes,
                state.link_token,
                wiring=state.wiring,
                profiles=setting.profiles,
            )
        images = load_labelled(out, phases, IMAGES)
        page = DemoPage(out, setting, fleet, port)
        with page.served():
            stand = _Stand(out, setting, fleet, images, seed, page)
            report = _measure(stand, folder, solutions, phases)
    finally:
        ray_driver.disconnect()
        lifecycle.down()
    run = keep_run(topology, SPECS / "demo-demand.yaml", folder)
    out.tables(*comparison_tables(report.policies or ()))
    out.table(_claims_table(demo_claims(report, DEFAULT)))
    tell_verdicts(out, report.verdicts or ())
    out.say(f"open {folder / 'report.html'}; the demo took {time.monotonic() - started_s:.0f} s")
    out.say(f"its files are run {run.name} as well: `testbed runs`")
    out.say(f"`testbed watch --replay {folder / LIVE}` shows the live half again")
    out.result(report.model_dump(mode="json"))
    if watch:
        page.replay(folder / LIVE)
    return ExitCode.FAILED if report.measured.errors else ExitCode.OK


@dataclass(frozen=True)
class _Stand:
    """The running system and the images to try it with."""

    out: VerbOutput
    setting: Setting
    fleet: Fleet
    images: LabelledImages
    seed: int
    page: DemoPage

    def schedule(self, phases: list[Phase]) -> Schedule:
        return build_schedule(phases, self.seed, len(self.images), self.images.labelled)

    def apply(self, plan: Plan, phase: Phase) -> RolloutReport:
        change = self.fleet.apply(plan, self.setting, phase)
        self.page.planned(plan.model_copy(update={"version": change.version}), phase)
        return change

    def run(
        self,
        what: str,
        plan: Plan,
        schedule: Schedule,
        controller: ReplanLoop | None,
        history: WatchHistory | None = None,
    ) -> Run:
        async def beside() -> None:
            assert controller is not None
            if history is not None:
                history.traffic_begins()
            await controller.run()

        with self.out.progress(what) as advance:
            return run_traffic(
                self.fleet,
                plan,
                schedule,
                self.images,
                command="testbed demo",
                seed=self.seed,
                on_progress=advance,
                beside=beside if controller else None,
            )


def _profile(out: VerbOutput, folder: Path, topology: Topology) -> Setting:
    cards = list_models(BENCHMARK)
    with out.progress("2 profile") as advance:
        profiles = profile_cluster(topology, cards, on_progress=advance)
    return Setting(topology, cards, profiles)


def _plan(
    out: VerbOutput, folder: Path, setting: Setting, phase: Phase, seed: int
) -> dict[str, Solution]:
    problem = setting.problem(phase)
    save_result(problem.save, folder / "problem.json")
    solutions = {name: solve(problem, name, Options(seed=seed)) for name in POLICIES}
    known = digest_of(setting.profiles.profiles)
    plan = solutions[DEFAULT].plan.model_copy(update={"profiles_digest": known})
    save_result(plan.save, folder / "plan.json")
    certificate = solutions[DEFAULT].certificate
    out.say(
        f"3 plan: {DEFAULT} promises accuracy {certificate.objective:.3f}; no plan can exceed "
        f"{certificate.upper_bound:.3f} (gap {certificate.gap:.1%})"
    )
    return solutions


def _measure(
    stand: _Stand, folder: Path, solutions: dict[str, Solution], phases: list[Phase]
) -> Report:
    schedule = stand.schedule(phases[:1])
    rows: list[PolicyRow] = []
    runs: dict[str, Run] = {}
    for name, solution in solutions.items():
        stand.apply(solution.plan, phases[0])
        runs[name] = stand.run(f"5 drive: {name}", solution.plan, schedule, None)
        rows.append(
            policy_row(
                name,
                solution.evaluation.summary(),
                summarise_run(runs[name].measurements),
                solution.certificate,
            )
        )
    rows = with_differences(rows, {name: [run.measurements] for name, run in runs.items()})
    live = _compare_live(stand, folder, solutions[DEFAULT].plan, phases)
    plan, run = solutions[DEFAULT].plan, runs[DEFAULT]
    setting, problem = stand.setting, stand.setting.problem(phases[0])
    save_result(run.measurements.save, folder / "measurements.parquet")
    gallery = pick_examples(run.schedule, run.records, stand.images)
    save_result(gallery.save, folder / "gallery.json")
    return write_report(
        folder,
        plan,
        run.measurements,
        command="testbed demo",
        topology=stand.setting.topology.name,
        placement=build_placement(
            setting.topology,
            plan,
            phases[0],
            setting.profiles,
            link_uses(setting.topology, problem, plan),
        ),
        gallery=gallery,
        policies=rows,
        live=live,
        regret=regret_of(run.measurements, stand.setting),
        verdicts=judge_run(run.measurements, PlannedFor(stand.setting, plan, phases[0])),
        reasons=reasons_of(problem, plan),
    )


def _compare_live(stand: _Stand, folder: Path, plan: Plan, phases: list[Phase]) -> LiveComparison:
    """The same traffic, with its mix flipped half-way, on the frozen plan and with the loop."""
    phases = [
        phase.model_copy(update={"duration_s": phase.duration_s * LIVE_SHARE}) for phase in phases
    ]
    schedule = stand.schedule(phases)
    stand.apply(plan, phases[0])
    frozen = stand.run("6 flip the mix: frozen plan", plan, schedule, None)
    in_force = stand.apply(plan, phases[0])
    log = folder / "decisions.jsonl"
    log.unlink(missing_ok=True)  # another demo's versions are not these
    followed = plan.model_copy(update={"version": in_force.version})
    (folder / LIVE).mkdir(parents=True, exist_ok=True)
    history = stand.page.begin_recording(folder / LIVE / RECORDING, followed, phases[0])
    controller = ReplanLoop(
        WatchedFleet(stand.fleet, history),
        LoopState(plan=followed),
        stand.setting,
        ReplanOptions(decision=DecisionOptions(seed=stand.seed)),
        clock=time.monotonic,
        log=WatchedLog(log, history),
    )
    live = stand.run("7 flip the mix: live loop", plan, schedule, controller, history)
    stand.page.end_recording()
    save_result(live.measurements.save, folder / LIVE / "measurements.parquet")
    if live.beside_fault:
        stand.out.say(f"[red]the live loop ended early[/]: {live.beside_fault}")
    changes = changes_seen(live.measurements, logged_changes(log))
    return compare_live(
        live.measurements,
        frozen.measurements,
        changes,
        live_busy_s=live.measurements.run.busy_s,
        frozen_busy_s=frozen.measurements.run.busy_s,
    )


def _claims_table(claims: list[Claim]) -> Table:
    table = Table("claim", "measured", "holds")
    for claim in claims:
        table.add_row(claim.words, claim.figure, "[green]yes[/]" if claim.holds else "[red]no[/]")
    return table
