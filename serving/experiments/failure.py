"""Failure: a node dies, becomes slow or loses its device, or a link is cut or silent, while the
load stays."""

from __future__ import annotations

from pathlib import Path

from cluster.timeline import LinkSlowdown, NodeSlowdown, TimelineEvent
from planner.experiments.study import Progress
from serving.experiment_runs.request import SIMULATED, Runs
from serving.experiments.live_study import LiveCase, demo_phases, run_live
from serving.setting.setting import Setting

__all__ = ["cases", "run"]

FAULT_S, MENDED_S = 20.0, 50.0
SLOWER = 4.0


def run(
    out_dir: str | Path,
    setting: Setting,
    *,
    seeds: int = 20,
    on_progress: Progress | None = None,
    runs: Runs = SIMULATED,
) -> Path:
    """Writes failure.csv and failure.png: 72 s with a fault after 20 s, mended after 50 s.

    Before the bound (F21) the fault counts too: what was away cannot answer there either.
    """
    title = "accuracy with a fault from 20 s to 50 s"
    return run_live("failure", title, cases(setting), setting, out_dir, seeds, on_progress, runs)


def cases(setting: Setting) -> list[LiveCase]:
    """Faults of the first edge and of its links. An edge that is killed is started anew at once."""
    calm, _ = demo_phases()
    edge, cloud = setting.topology.edges[0].name, setting.topology.cloud.name
    below = next(link.source for link in setting.topology.links if link.target == edge)

    def during(**fault: object) -> TimelineEvent:
        return TimelineEvent.model_validate({"at_s": FAULT_S, **fault})

    def mended(**event: object) -> TimelineEvent:
        return TimelineEvent.model_validate({"at_s": MENDED_S, **event})

    slow = NodeSlowdown(node=edge, factor=SLOWER)
    narrow = LinkSlowdown(link=(edge, cloud), factor=SLOWER)
    timelines = {
        "none": (),
        "edge killed": (during(kill_node=edge),),
        f"edge {SLOWER:g} times slower": (
            during(slow_node=slow),
            mended(slow_node=slow.model_copy(update={"factor": 1.0})),
        ),
        "client's link cut": (
            during(cut_link=(below, edge)),
            mended(restore_link=(below, edge)),
        ),
        "client's link silent": (
            during(silence_link=(below, edge)),
            mended(restore_link=(below, edge)),
        ),
        "edge's device lost": (
            during(lose_device=edge),
            mended(restore_device=edge),
        ),
        f"backhaul {SLOWER:g} times slower": (
            during(slow_link=narrow),
            mended(restore_link=(edge, cloud)),
        ),
    }
    return [LiveCase(name, (calm,), timeline) for name, timeline in timelines.items()]
