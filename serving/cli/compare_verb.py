"""The verb that drives the same traffic under several policies: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.demand import Demand
from cluster.providers import local
from cluster.specs import SPECS
from planner.policies import DEFAULT, Options, find_policy, solve
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    DemandFile,
    ImageCount,
    Json,
    ProfilesFile,
    Seed,
    check_events,
    load_labelled,
    load_setting,
    pick_traffic,
)
from serving.cli.options import DURATION_S, PHASE, REPETITIONS, SHARE, number
from serving.cli.run_verbs import find_loop, running_or_launched
from serving.report.compare import comparison_rows, comparison_table, policy_row
from serving.report.paired import with_differences
from serving.traffic.local_faults import timeline_beside
from serving.traffic.measurement import Measurements
from serving.traffic.schedule import build_schedule
from serving.traffic.summary import summarise_run

__all__ = ["VERBS"]

COMPARED = (DEFAULT, "baj3o", "all-local", "all-edge", "all-cloud", "random")
"""policies that are compared unless some are named"""


def compare(
    policy: Annotated[
        list[str] | None, typer.Option(help="policies; repeat; or package.module:function")
    ] = None,
    profiles: ProfilesFile = Path("out/profiles.json"),
    demand: DemandFile = SPECS / "demo-demand.yaml",
    phase: Annotated[int, number(PHASE, help="phase of the demand")] = 0,
    duration: Annotated[float | None, number(DURATION_S, help="time of each policy")] = None,
    fill: Annotated[float, number(SHARE, help="share of windows and compute to plan for")] = 0.6,
    seed: Seed = 1,
    images: ImageCount = 240,
    runs: Annotated[int, number(REPETITIONS, help="of each policy, each with another seed")] = 1,
    as_json: Json = False,
) -> None:
    """Run the same traffic under several policies on the running cluster.

    Differences to the most accurate policy have 95 % intervals, over pictures and --runs.
    """
    out = VerbOutput(as_json)
    policies = [find_policy(name).name for name in policy or COMPARED]
    setting = load_setting(None, profiles).with_deadlines(Demand.load(demand).deadlines_s)
    phases, timeline = pick_traffic(out, demand, phase, duration)
    state = local.connect()
    check_events(demand, state.topology)
    fleet = running_or_launched(out, state, setting)
    beside = timeline_beside(timeline, state, fleet, find_loop)
    from serving.traffic.session import run_traffic

    labelled = load_labelled(out, phases, images)
    problem = setting.problem(phases[0])
    solutions = {name: solve(problem, name, Options(fill=fill, seed=seed)) for name in policies}
    measured: dict[str, list[Measurements]] = {name: [] for name in solutions}
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
                run = run_traffic(
                    fleet, plan, schedule, labelled, command="testbed compare",
                    seed=seed + turn, on_progress=advance, beside=beside,
                )  # fmt: skip
            measured[name].append(run.measurements)
    rows = [
        policy_row(
            name,
            solution.evaluation.summary(),
            summarise_run(Measurements.pooled(measured[name])),
            solution.certificate,
        )
        for name, solution in solutions.items()
    ]
    rows = with_differences(rows, measured)
    out.table(comparison_table(rows))
    out.result({"policies": comparison_rows(rows)})
    local.disconnect()


VERBS = (compare,)
