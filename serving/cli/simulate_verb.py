"""The verb that drives traffic in simulated time: simulate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.demand import Demand, Phase
from cluster.errors import InputError
from cluster.specs import SPECS
from cluster.timeline import TimelineEvent
from planner.plan import Plan
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    Json,
    PlanFile,
    ProfilesFile,
    Routes,
    Seed,
    Spill,
    TopologyFile,
    check_class_names,
    check_events,
    load_setting,
    naming_demand,
    pick_traffic,
    planned_phase,
)
from serving.cli.options import DURATION_S, PHASE, REPETITIONS, number
from serving.cli.output import check_output, save_result
from serving.cli.peak import FindPeak, PeakSeeds, PeakShare, PeakTolerance, PeakWithin, tell_peak
from serving.cli.verdict_output import Strict, end_strictly, tell_verdicts
from serving.routing.routes import RoutingMode
from serving.traffic.measurement import Measurements
from serving.traffic.replayed import schedule_of
from serving.traffic.summary import say_measured, summarise_run

if TYPE_CHECKING:
    from serving.verdicts.judge import PlannedFor

__all__ = ["VERBS"]


def simulate(
    demand: Annotated[
        Path | None,
        typer.Option(help="demand YAML; default: the demo's, with --against what plan.json states"),
    ] = None,
    plan: PlanFile = Path("out/plan.json"),
    profiles: ProfilesFile = Path("out/profiles.json"),
    topology: TopologyFile = None,
    phase: Annotated[int | None, number(PHASE, help="of the demand, from 0; default: all")] = None,
    duration: Annotated[
        float | None, number(DURATION_S, help="length of a phase; default: the file's")
    ] = None,
    seed: Seed = 1,
    runs: Annotated[
        int, number(REPETITIONS, help="so many, of --seed and those after it, on every core")
    ] = 1,
    spill: Spill = True,
    routing: Routes = RoutingMode.SHARES,
    find_peak: FindPeak = False,
    share: PeakShare = 0.99,
    within: PeakWithin = None,
    seeds: PeakSeeds = 3,
    tolerance: PeakTolerance = 0.05,
    against: Annotated[
        Path | None,
        typer.Option(help="measurements.parquet: send its queries, and judge each prediction"),
    ] = None,
    strict: Strict = False,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("out/simulated.parquet"),
    as_json: Json = False,
) -> None:
    """What `drive` would measure under a plan, in simulated time: no cluster, no pictures.

    Answers score what their model's card says. Rows of several --runs are written as if one run
    came after the other. With --against the queries are those of a run that
    was measured, at their times, and every figure of it is set beside the one predicted; of
    --demand only the first phase, which the plan was made for, and the timeline count then.
    """
    from serving.simulation.many_runs import simulate_runs
    from serving.simulation.simulate import simulate as simulate_run

    out = VerbOutput(as_json)
    check_output(output)
    wanted = Plan.load(plan)
    setting = load_setting(topology, profiles).with_deadlines(wanted.deadlines_s)
    if strict and against is None:
        raise InputError("--strict judges a run; name it with --against")
    if against is not None:
        if find_peak or phase is not None or duration is not None or runs > 1:
            raise InputError(
                "--against sends what was measured; leave out --find-peak, --phase, --duration and "
                "--runs"
            )
        from serving.verdicts.judge import PlannedFor

        planned = PlannedFor(setting, wanted, planned_phase(wanted, plan, demand), routing)
        events: Sequence[TimelineEvent] = ()
        if demand is not None:
            check_events(demand, setting.topology)
            events = Demand.load(demand).timeline
        rows = Measurements.load(against)
        _compare(out, rows, planned, events, spill, output, strict)
        return
    demand = demand or SPECS / "demo-demand.yaml"
    check_events(demand, setting.topology)
    phases, timeline = pick_traffic(out, demand, phase, duration)
    check_class_names(demand, phases, wanted)

    def run(asked: Sequence[Phase], chosen: int) -> Measurements:
        with naming_demand(demand):
            return simulate_run(
                setting, wanted, asked, seed=chosen, timeline=timeline, spill_over=spill,
                routing=routing,
            )  # fmt: skip

    if find_peak:
        if runs > 1:
            raise InputError("--find-peak has its own --seeds; leave out --runs")
        tell_peak(
            out, run, phases,
            seed=seed, share=share, within_s=within, seeds=seeds, tolerance=tolerance,
        )  # fmt: skip
        return
    if runs == 1:
        with out.busy("simulating"):
            measurements = run(phases, seed)
    else:
        with out.busy(f"simulating {runs} runs"), naming_demand(demand):
            several = simulate_runs(
                setting, wanted, phases, range(seed, seed + runs), timeline=timeline,
                spill_over=spill, routing=routing,
            )  # fmt: skip
        measurements = Measurements.pooled(several)
        accuracies = [summarise_run(rows).accuracy for rows in several]
        out.say(f"accuracy by run: {min(accuracies):.3f} to {max(accuracies):.3f}")
    save_result(measurements.save, output)
    measured = summarise_run(measurements)
    out.say(say_measured(measured))
    out.wrote(output)
    out.result(measured.model_dump(mode="json"))


def _compare(
    out: VerbOutput,
    measured: Measurements,
    planned: PlannedFor,
    timeline: Sequence[TimelineEvent],
    spill: bool,
    output: Path,
    strict: bool,
) -> None:
    """Simulate the queries of `measured`, and say which of its figures were predicted."""
    from serving.simulation.simulate import simulate_schedule
    from serving.verdicts.judge import judge_run

    with out.busy("simulating the same queries"):
        simulated = simulate_schedule(
            planned.setting, planned.plan, schedule_of(measured),
            seed=measured.run.provenance.seed, spill_over=spill, routing=planned.routing,
            timeline=timeline,
        )  # fmt: skip
        verdicts = judge_run(measured, planned, simulated)
    save_result(simulated.save, output)
    out.say(f"measured: {say_measured(summarise_run(measured))}")
    out.say(f"simulated: {say_measured(summarise_run(simulated))}")
    tell_verdicts(out, verdicts)
    out.wrote(output)
    out.result({"verdicts": [verdict.model_dump(mode="json") for verdict in verdicts]})
    end_strictly(verdicts, strict)


VERBS = (simulate,)
