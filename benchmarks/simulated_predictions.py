"""Rows T6 and T7 of the predictions, in simulated time.

T6: a plan is made with the profile of one device and runs on another one that is slower. What is
lost until somebody notices, and how long the live loop, which measures what batches take, needs to
win it back. Two things would hide what the plan loses, and are taken away. A node's `compute` says
what plans may ask of its device, and nothing stops it from taking more; so each share of a device
is made a whole one that is as much slower (`on_own_devices`), for which plans are the same. And
queries that find their way full go elsewhere at once; so spill-over is off. `T6.lost_spilling` is
the loss with it.

T7: how many queries a second of a core the simulator passes through the demo, and an hour of a
city (`city.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from city import city_rows
from cluster.demand import Demand, Phase
from cluster.specs import SPECS
from planner.plan import Plan
from planner.policies import Options, solve
from serving.experiment_runs.request import PLANNING_S
from serving.replan.options import ReplanOptions
from serving.report.regret import card_scores
from serving.setting.setting import Setting
from serving.simulation.live_run import simulate_live
from serving.traffic.measurement import Measurements
from serving_rows import median_row
from twin_rate import rates_qps

__all__ = ["on_own_devices", "simulated_rows", "slower_devices", "won_back_s"]

SLOWER = (2.0, 3.0, 4.0)
"""times as long as the profile says"""
RUN_S, WINDOW_S = 90.0, 5.0
WON_BACK = 0.9
RATE_SEEDS = 5


def simulated_rows(setting: Setting, seeds: int) -> list[dict[str, object]]:
    """T6 and T7."""
    demand = Demand.load(SPECS / "demo-demand.yaml")
    phase = demand.phases[0].model_copy(update={"duration_s": RUN_S})
    found = [
        slower_devices(setting, phase, factor, seed) for factor in SLOWER for seed in range(seeds)
    ]
    what = f"edge and cloud {', '.join(f'{f:g}' for f in SLOWER)} times slower than profiled"
    return [
        median_row("T6.lost", f"{what}: accuracy in time lost by the plan made with that profile",
                   "share", [each.lost for each in found]),
        median_row("T6.won_back_s", f"{what}: until the loop has won {WON_BACK:.0%} of it back",
                   "s", [each.won_back_s for each in found]),
        median_row("T6.lost_spilling", f"{what}: the same loss where queries spill over",
                   "share", [each.lost_spilling for each in found]),
        median_row("T7.rate", "simulated queries a second of a core, the demo's size",
                   "queries/s", rates_qps(setting.profiles, RATE_SEEDS, compiled=False)),
        median_row("T7.rate_compiled", "the same with the nodes' modules compiled (make compiled)",
                   "queries/s", rates_qps(setting.profiles, RATE_SEEDS, compiled=True)),
        *city_rows(setting),
    ]  # fmt: skip


class Slower(NamedTuple):
    """What one run on slower devices showed."""

    lost: float
    """accuracy in time / that of the plan made with the right profile, from 1"""
    won_back_s: float
    lost_spilling: float


def on_own_devices(setting: Setting) -> Setting:
    """A node with the share beta of a device as one with a whole device that is 1 / beta times
    slower, on a host of its own. F5, F8 and F9 say the same of both, so their plans are the same;
    but only the second cannot take more than its share."""
    nodes = setting.topology.nodes
    whole = tuple(node.model_copy(update={"compute": 1.0}) for node in nodes)
    slower = setting.profiles.slowed({node.name: 1.0 / node.compute for node in nodes})
    return replace(
        setting,
        topology=setting.topology.model_copy(update={"nodes": whole}),
        profiles=slower.model_copy(update={"interference": ()}),
    )


def slower_devices(setting: Setting, phase: Phase, factor: float, seed: int) -> Slower:
    """T6 for devices of edges and cloud that are `factor` times slower than `setting` says."""
    believed = on_own_devices(setting)
    nodes = [node.name for node in (*setting.topology.edges, setting.topology.cloud)]
    slowed = believed.profiles.slowed(dict.fromkeys(nodes, factor))
    truth = replace(believed, profiles=slowed)
    wrong, right = (
        solve(each.problem(phase), "certified", Options()).plan for each in (believed, truth)
    )

    def run(plan: Plan, options: ReplanOptions | None = None, spill: bool = False) -> Measurements:
        return simulate_live(
            truth, plan, [phase], options, seed=seed, spill_over=spill, believed=believed,
            planning_s=PLANNING_S,
        ).measurements  # fmt: skip

    frozen, looped, known = run(wrong), run(wrong, ReplanOptions()), run(right)
    found = Slower(
        lost=_lost(frozen, known, setting),
        won_back_s=won_back_s(frozen, looped, known, setting),
        lost_spilling=_lost(run(wrong, spill=True), run(right, spill=True), setting),
    )
    print(f"  {factor:g} times slower: lost {found.lost:.3f}, won back {found.won_back_s:.0f} s, "
          f"lost with spill-over {found.lost_spilling:.3f}", flush=True)  # fmt: skip
    return found


def won_back_s(
    frozen: Measurements, looped: Measurements, known: Measurements, setting: Setting
) -> float:
    """When, of what the plan of the wrong profile loses to the one of the right profile, the loop
    has won `WON_BACK` back and keeps it over `WINDOW_S`; 0 where nothing is lost, and the whole run
    if it never does."""
    scores = [card_scores(rows, setting) for rows in (frozen, looped, known)]
    least, most = float(scores[0].mean()), float(scores[2].mean())
    if most <= least:
        return 0.0
    run_s = known.run.duration_s
    for begin_s in np.arange(0.0, run_s - WINDOW_S, 1.0):
        means = [
            float(score_q[_inside(rows, begin_s)].mean())
            for score_q, rows in zip(scores, (frozen, looped, known), strict=True)
        ]
        if means[1] - means[0] >= WON_BACK * (means[2] - means[0]) and means[2] > means[0]:
            return float(begin_s)
    return run_s


def _inside(rows: Measurements, begin_s: float) -> np.ndarray:
    found: np.ndarray = (rows.scheduled_s >= begin_s) & (rows.scheduled_s < begin_s + WINDOW_S)
    return found


def _lost(rows: Measurements, known: Measurements, setting: Setting) -> float:
    mine, best = (float(card_scores(each, setting).mean()) for each in (rows, known))
    return 1.0 - mine / best
