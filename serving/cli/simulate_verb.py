"""The verb that drives traffic in simulated time: simulate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cluster.demand import Phase
from cluster.specs import SPECS
from planner.plan import Plan
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    DemandFile,
    Json,
    PlanFile,
    ProfilesFile,
    Routes,
    Seed,
    Spill,
    TopologyFile,
    check_events,
    load_setting,
    naming_demand,
    pick_traffic,
)
from serving.cli.options import DURATION_S, PHASE, number
from serving.cli.output import check_output, save_result
from serving.cli.peak import FindPeak, PeakSeeds, PeakShare, PeakTolerance, PeakWithin, tell_peak
from serving.routing.routes import RoutingMode
from serving.traffic.measurement import Measurements
from serving.traffic.summary import say_measured, summarise_run

__all__ = ["VERBS"]


def simulate(
    demand: DemandFile = SPECS / "demo-demand.yaml",
    plan: PlanFile = Path("out/plan.json"),
    profiles: ProfilesFile = Path("out/profiles.json"),
    topology: TopologyFile = None,
    phase: Annotated[int | None, number(PHASE, help="of the demand, from 0; default: all")] = None,
    duration: Annotated[
        float | None, number(DURATION_S, help="length of a phase; default: the file's")
    ] = None,
    seed: Seed = 1,
    spill: Spill = True,
    routing: Routes = RoutingMode.SHARES,
    find_peak: FindPeak = False,
    share: PeakShare = 0.99,
    within: PeakWithin = None,
    seeds: PeakSeeds = 3,
    tolerance: PeakTolerance = 0.05,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("out/simulated.parquet"),
    as_json: Json = False,
) -> None:
    """What `drive` would measure under a plan, in simulated time: no cluster, no pictures.

    Answers score what their model's card says.
    """
    from serving.simulation.simulate import simulate as simulate_run

    out = VerbOutput(as_json)
    check_output(output)
    wanted = Plan.load(plan)
    setting = load_setting(topology, profiles)
    check_events(demand, setting.topology)
    phases, timeline = pick_traffic(out, demand, phase, duration)

    def run(asked: Sequence[Phase], chosen: int) -> Measurements:
        with naming_demand(demand):
            return simulate_run(
                setting, wanted, asked, seed=chosen, timeline=timeline, spill_over=spill,
                routing=routing,
            )  # fmt: skip

    if find_peak:
        tell_peak(
            out, run, phases,
            seed=seed, share=share, within_s=within, seeds=seeds, tolerance=tolerance,
        )  # fmt: skip
        return
    with out.busy("simulating"):
        measurements = run(phases, seed)
    save_result(measurements.save, output)
    measured = summarise_run(measurements)
    out.say(say_measured(measured))
    out.wrote(output)
    out.result(measured.model_dump(mode="json"))


VERBS = (simulate,)
