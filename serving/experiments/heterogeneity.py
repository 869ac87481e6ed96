"""Heterogeneity: accuracy and latency against how much slower the clients' devices are.

`planner.experiments.heterogeneity` spreads the budgets of drawn clients; here queries pass the
system, on devices that are emulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cluster.demand import Demand
from cluster.devices import EmulatedDevice, SlowerThanHere
from cluster.specs import SPECS
from cluster.topology import Node, Topology
from planner.experiments.study import Progress, compared
from profiling.emulation import profiles_on
from serving.experiment_runs.request import SIMULATED, Runs
from serving.experiments.live_study import RUN_S
from serving.experiments.planned_once import run_planned_once
from serving.setting.setting import Setting

__all__ = ["run", "with_slower_clients"]

RATIOS = (1.0, 2.0, 4.0, 8.0)
"""a batch on a client / the same batch on the edge"""
LIVE_S = 36.0
PLANNED_BY = ("certified", "baj3o", "all-local", "all-edge")
LIVE_PLANNED_BY = ("certified", "all-local")


def run(
    out_dir: str | Path,
    setting: Setting,
    *,
    seeds: int = 20,
    also: Sequence[str] = (),
    on_progress: Progress | None = None,
    runs: Runs = SIMULATED,
) -> Path:
    """Writes heterogeneity-simulated.csv and its figure, or heterogeneity-live.csv: half the
    demo's first mix under one plan, on the devices of `cluster/specs/emulated.yaml`, where clients
    become slower. The policies `also` plan beside ours.

    `setting` says what the models take on this host. Raises `InputError` if it has emulated devices
    itself.
    """
    return run_planned_once(
        "heterogeneity",
        "accuracy and latency by the clients' devices",
        {f"{ratio:g} times": with_slower_clients(setting, ratio) for ratio in RATIOS},
        x_label="slower than the edge's device",
        planned_by=compared(LIVE_PLANNED_BY if runs.live else PLANNED_BY, also),
        demand=Demand.load(SPECS / "emulated-demand.yaml").phases[0],
        run_s=LIVE_S if runs.live else RUN_S,
        out_dir=out_dir,
        seeds=seeds,
        on_progress=on_progress,
        runs=runs,
    )


def with_slower_clients(setting: Setting, ratio: float) -> Setting:
    """The emulated hierarchy with clients whose devices take `ratio` times as long as the edge's,
    and of which as large a share may be used."""
    topology = Topology.load(SPECS / "emulated.yaml")
    (edge,) = topology.edges
    emulated = edge.emulated
    assert emulated is not None
    assert isinstance(emulated.emulate, SlowerThanHere)
    times = ratio * emulated.emulate.slower_than_here
    device = EmulatedDevice(emulate=SlowerThanHere(slower_than_here=times))

    def slower(node: Node) -> Node:
        return node.model_copy(update={"device": device}) if node.tier == "client" else node

    changed = topology.model_copy(update={"nodes": tuple(map(slower, topology.nodes))})
    return Setting(changed, setting.cards, profiles_on(changed, setting.profiles))
