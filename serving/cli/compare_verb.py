"""The verb that drives the same traffic under several policies: compare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.demand import Demand
from cluster.provenance import collect_provenance
from cluster.providers import ray_driver
from planner.policies import DEFAULT, Options, find_policy, solve
from serving.cli.belonging import serving_setting
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    DemandFile,
    ImageCount,
    Json,
    ProfilesFile,
    RunName,
    Seed,
    check_events,
    load_labelled,
    naming_demand,
    pick_traffic,
    planned_phase,
)
from serving.cli.options import DURATION_S, PHASE, REPETITIONS, SHARE, number
from serving.cli.output import LooseOutput, check_output, save_result
from serving.cli.run_verbs import find_loop, running_or_launched
from serving.cli.run_work import RunWork
from serving.report.compare import (
    Comparison,
    comparison_rows,
    comparison_tables,
    policy_row,
    rank,
)
from serving.report.paired import with_differences
from serving.runs.manifest import FileKind
from serving.setting.setting import Setting
from serving.traffic.local_faults import timeline_beside
from serving.traffic.measurement import Measurements
from serving.traffic.schedule import build_schedule
from serving.traffic.summary import summarise_run

if TYPE_CHECKING:
    from serving.deploy.assignment_record import PlanInForce
    from serving.deploy.fleet import Fleet

__all__ = ["VERBS", "put_back"]

COMPARED = (DEFAULT, "baj3o", "all-local", "all-edge", "all-cloud", "random")
"""policies that are compared unless some are named"""


def compare(
    policy: Annotated[
        list[str] | None, typer.Option(help="policies; repeat; or package.module:function")
    ] = None,
    profiles: ProfilesFile = None,
    demand: DemandFile = None,
    phase: Annotated[int, number(PHASE, help="phase of the demand")] = 0,
    duration: Annotated[float | None, number(DURATION_S, help="time of each policy")] = None,
    fill: Annotated[float, number(SHARE, help="share of windows and compute to plan for")] = 0.6,
    seed: Seed = 1,
    images: ImageCount = 240,
    runs: Annotated[int, number(REPETITIONS, help="of each policy, each with another seed")] = 1,
    run: RunName = None,
    output: LooseOutput = None,
    as_json: Json = False,
) -> None:
    """Run the same traffic under several policies on the running cluster, then put back the plan
    that was in force.

    Differences to the most accurate policy have 95 % intervals, over pictures and --runs.
    """
    out = VerbOutput(as_json)
    policies = [find_policy(name).name for name in policy or COMPARED]
    if output is not None:
        check_output(output)
    work = RunWork(out, run)
    setting = serving_setting(work, profiles)
    demand = work.read_demand(demand, FileKind.COMPARED_DEMAND)
    setting = setting.with_deadlines(Demand.load(demand).deadlines_s)
    phases, timeline = pick_traffic(out, demand, phase, duration)
    with naming_demand(demand):
        problem = setting.problem(phases[0])
    state = ray_driver.connect()
    check_events(demand, state.topology)
    output = work.writes((FileKind.COMPARISON,), output, drops=(FileKind.COMPARED_DEMAND,))
    fleet = running_or_launched(out, state, setting)
    former = fleet.in_force()
    beside = timeline_beside(timeline, state, fleet, find_loop)
    from serving.traffic.session import run_traffic

    labelled = load_labelled(out, phases, images)
    solutions = {name: solve(problem, name, Options(fill=fill, seed=seed)) for name in policies}
    measured: dict[str, list[Measurements]] = {name: [] for name in solutions}
    try:
        for turn in range(runs):
            schedule = build_schedule(phases, seed + turn, images, labelled.labelled, timeline)
            # Another one begins each time: none always finds the machine as the same one left it.
            first = turn % len(policies)
            for name in (*policies[first:], *policies[:first]):
                plan = solutions[name].plan
                with out.busy(f"{name}: loading models and routing", changes=True):
                    fleet.apply(plan, setting, phases[0])
                what = name if runs == 1 else f"{name}, run {turn + 1} of {runs}"
                with out.progress(what, changes=True) as advance:
                    driven = run_traffic(
                        fleet, plan, schedule, labelled, command="testbed compare",
                        seed=seed + turn, on_progress=advance, beside=beside,
                    )  # fmt: skip
                measured[name].append(driven.measurements)
    finally:
        put_back(out, fleet, former, setting)
    pooled = {name: Measurements.pooled(rows) for name, rows in measured.items()}
    rows = [
        policy_row(
            name,
            solution.evaluation.summary(),
            summarise_run(pooled[name]),
            solution.certificate,
        )
        for name, solution in solutions.items()
    ]
    rows = with_differences(rows, measured)
    parts = {name: output.parent / "compare" / f"{_file_name(name)}.parquet" for name in pooled}
    for name, path in parts.items():
        save_result(pooled[name].save, path)
    comparison = Comparison(
        policies=tuple(rank(rows)),
        measurements={name: str(path.relative_to(output.parent)) for name, path in parts.items()},
        repetitions=runs,
        provenance=collect_provenance("testbed compare", seed=seed, packages=("torch", "ray")),
    )
    save_result(comparison.save, output)
    work.wrote(FileKind.COMPARISON, parts=tuple(parts.values()))
    done = work.finish()
    out.tables(*comparison_tables(rows))
    out.wrote(output)
    out.result(
        {
            "policies": comparison_rows(rows), "comparison": str(output),
            "run": None if done is None else done.name,
        }
    )  # fmt: skip
    ray_driver.disconnect()


def put_back(out: VerbOutput, fleet: Fleet, former: PlanInForce | None, setting: Setting) -> None:
    """Put in force what was in force before; where that was nothing, say what stays."""
    if former is None:
        out.say("no plan was in force before, so the last one stays; `testbed deploy` puts another")
        return
    plan = former.plan
    own = setting.as_planned(plan)
    with out.busy(f"putting back the plan of {plan.policy}", changes=True):
        change = fleet.apply(plan, own, planned_phase(plan, Path("the plan in force"), None),
                             routing=former.routing)  # fmt: skip
    out.say(f"the plan of {plan.policy} is in force again, as version {change.version}")


def _file_name(policy: str) -> str:
    """Of a policy's rows; a function of a user's own is named `package.module:function`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", policy)


VERBS = (compare,)
