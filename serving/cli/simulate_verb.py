"""The verb that drives traffic in simulated time: simulate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.demand import Demand, Phase
from cluster.errors import InputError
from cluster.timeline import TimelineEvent
from planner.plan import Plan
from serving.cli.belonging import planned_problem, refuse_other_plan
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    Json,
    PlanFile,
    ProfilesFile,
    Routes,
    RunName,
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
from serving.cli.output import LooseOutput, check_output
from serving.cli.peak import FindPeak, PeakSeeds, PeakShare, PeakTolerance, PeakWithin, tell_peak
from serving.cli.run_work import RunWork
from serving.cli.verdict_output import Strict, end_strictly, tell_verdicts
from serving.routing.routes import RoutingMode
from serving.runs.manifest import FileKind
from serving.traffic.measurement import Measurements
from serving.traffic.replayed import schedule_of
from serving.traffic.summary import say_measured, summarise_run

if TYPE_CHECKING:
    from serving.verdicts.judge import PlannedFor

__all__ = ["VERBS"]


def simulate(
    demand: Annotated[
        Path | None,
        typer.Option(
            help="demand YAML; default: the run's, or the demo's; with --against or --measured "
            "what plan.json states"
        ),
    ] = None,
    plan: PlanFile = None,
    profiles: ProfilesFile = None,
    topology: TopologyFile = None,
    phase: Annotated[int | None, number(PHASE, help="of the demand, from 0; default: all")] = None,
    duration: Annotated[
        float | None, number(DURATION_S, help="length of a phase; default: the file's")
    ] = None,
    seed: Seed = 1,
    runs: Annotated[
        int, number(REPETITIONS, help="so many, of --seed and those after it, on every core")
    ] = 1,
    parts: Annotated[
        bool,
        typer.Option("--parts", help="edges that do not meet in the cloud apart, on every core"),
    ] = False,
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
    measured: Annotated[
        bool, typer.Option("--measured", help="as --against the measurements of the run")
    ] = False,
    run: RunName = None,
    strict: Strict = False,
    output: LooseOutput = None,
    as_json: Json = False,
) -> None:
    """What `drive` would measure under a plan, in simulated time: no cluster, no pictures.

    Answers score what their model's card says. Rows of several --runs are written as if one run
    came after the other. With --parts a run of many edges is simulated edge by edge, with the same
    answers. With --against the queries are those of a run that
    was measured, at their times, and every figure of it is set beside the one predicted; of
    --demand only the first phase, which the plan was made for, and the timeline count then.
    """
    from serving.simulation.many_runs import simulate_runs
    from serving.simulation.run_in_parts import simulate_in_parts
    from serving.simulation.simulate import simulate as simulate_run

    out = VerbOutput(as_json)
    if output is not None:
        check_output(output)
    work = RunWork(out, run, of_file=plan)
    plan = work.read(FileKind.PLAN, plan, "--plan")
    wanted = Plan.load(plan)
    profiles = work.read(FileKind.PROFILES, profiles, "--profiles")
    setting = load_setting(work.read_topology(topology), profiles)
    setting = setting.as_planned(wanted)
    if strict and against is None and not measured:
        raise InputError("--strict judges a run; name it with --against or --measured")
    if against is not None or measured:
        if find_peak or phase is not None or duration is not None or runs > 1 or parts:
            raise InputError(
                "--against and --measured send what was measured; leave out --find-peak, --phase, "
                "--duration, --runs and --parts"
            )
        from serving.verdicts.judge import PlannedFor

        load = planned_phase(wanted, plan, demand)
        planned_problem(setting, wanted, plan, load, demand)
        events: Sequence[TimelineEvent] = ()
        if demand is not None:
            check_events(demand, setting.topology)
            events = Demand.load(demand).timeline
        against = work.read(FileKind.MEASUREMENTS, against, "--against")
        rows = Measurements.load(against)
        if rows.run.simulated:
            out.say(f"{against} was simulated, too: the simulator is compared with itself")
        refuse_other_plan(rows, against, wanted, plan)
        output = work.writes((FileKind.SIMULATED,), output, drops=(FileKind.SIMULATED_DEMAND,))
        planned = PlannedFor(setting, wanted, load, routing)
        _compare(out, rows, planned, events, spill, work, strict)
        return
    demand = work.read_demand(demand, FileKind.SIMULATED_DEMAND)
    check_events(demand, setting.topology)
    phases, timeline = pick_traffic(out, demand, phase, duration)
    check_class_names(demand, phases, wanted)
    if parts and (find_peak or runs > 1 or timeline):
        raise InputError(
            f"--parts is for one run in which nothing happens; leave out "
            f"{'the timeline of ' + str(demand) if timeline else '--find-peak and --runs'}"
        )
    output = work.writes((FileKind.SIMULATED,), output, drops=(FileKind.SIMULATED_DEMAND,))

    def simulated(asked: Sequence[Phase], chosen: int) -> Measurements:
        with naming_demand(demand):
            if parts:
                return simulate_in_parts(
                    setting, wanted, asked, seed=chosen, spill_over=spill, routing=routing
                )
            return simulate_run(
                setting, wanted, asked, seed=chosen, timeline=timeline, spill_over=spill,
                routing=routing,
            )  # fmt: skip

    if find_peak:
        if runs > 1:
            raise InputError("--find-peak has its own --seeds; leave out --runs")
        tell_peak(
            out, simulated, phases,
            seed=seed, share=share, within_s=within, seeds=seeds, tolerance=tolerance,
        )  # fmt: skip
        return
    if runs == 1:
        with out.busy("simulating"):
            rows = simulated(phases, seed)
            _refuse_without_queries(rows)
    else:
        with out.busy(f"simulating {runs} runs"), naming_demand(demand):
            several = simulate_runs(
                setting, wanted, phases, range(seed, seed + runs), timeline=timeline,
                spill_over=spill, routing=routing,
            )  # fmt: skip
        rows = Measurements.pooled(several)
        _refuse_without_queries(rows)
        accuracies = [summarise_run(each).accuracy for each in several]
        out.say(f"accuracy by run: {min(accuracies):.3f} to {max(accuracies):.3f}")
    work.save(FileKind.SIMULATED, rows.save)
    done = work.finish()
    summary = summarise_run(rows)
    out.say(say_measured(summary))
    out.wrote(output)
    name = None if done is None else done.name
    out.result({**summary.model_dump(mode="json"), "simulated": str(output), "run": name})


def _refuse_without_queries(rows: Measurements) -> None:
    if not len(rows):
        raise InputError(
            f"no query falls into the {rows.run.duration_s:g} s of the traffic; let it last longer"
        )


def _compare(
    out: VerbOutput,
    measured: Measurements,
    planned: PlannedFor,
    timeline: Sequence[TimelineEvent],
    spill: bool,
    work: RunWork,
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
    work.save(FileKind.SIMULATED, simulated.save)
    output = work.path(FileKind.SIMULATED)
    done = work.finish()
    out.say(f"measured: {say_measured(summarise_run(measured))}")
    out.say(f"simulated: {say_measured(summarise_run(simulated))}")
    tell_verdicts(out, verdicts)
    out.wrote(output)
    out.result(
        {
            "verdicts": [verdict.model_dump(mode="json") for verdict in verdicts],
            "simulated": str(output), "run": None if done is None else done.name,
        }
    )  # fmt: skip
    end_strictly(verdicts, strict)


VERBS = (simulate,)
