"""Rows T6 and T7 of the predictions, in simulated time.

T6: a plan is made with the profile of one device and runs on another one that is slower. What is
lost until somebody notices, and how long the live loop, which measures what batches take, needs to
win it back. T7: how many queries a second of a core the simulator passes through the demo.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from cluster.demand import Demand, Phase
from cluster.specs import SPECS
from planner.policies import Options, solve
from serving.experiment_runs.request import SIMULATED, RunRequest
from serving.replan.options import ReplanOptions
from serving.report.regret import card_scores
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from serving.traffic.measurement import Measurements
from serving_rows import median_row

__all__ = ["simulated_rows", "won_back_s"]

SLOWER = (2.0, 3.0, 4.0)
"""times as long as the profile says"""
RUN_S, WINDOW_S = 90.0, 5.0
WON_BACK = 0.9
RATE_S = 120.0


def simulated_rows(setting: Setting, seeds: int) -> list[dict[str, object]]:
    """T6 and T7."""
    demand = Demand.load(SPECS / "demo-demand.yaml")
    phase = demand.phases[0].model_copy(update={"duration_s": RUN_S})
    nodes = [node.name for node in (*setting.topology.edges, setting.topology.cloud)]
    lost, waited_s = [], []
    for factor in SLOWER:
        slowed = setting.profiles.slowed(dict.fromkeys(nodes, factor))
        truth = replace(setting, profiles=slowed)
        for seed in range(seeds):
            frozen = _run(truth, setting, phase, seed, None)
            looped = _run(truth, setting, phase, seed, ReplanOptions())
            known = _run(truth, truth, phase, seed, None)
            scores = [_score(rows, setting) for rows in (frozen, known)]
            lost.append(1.0 - scores[0] / scores[1])
            waited_s.append(won_back_s(frozen, looped, known, setting))
            print(f"  {factor:g} times slower: lost {lost[-1]:.3f}, won back {waited_s[-1]:.0f} s",
                  flush=True)  # fmt: skip
    what = f"edge and cloud {', '.join(f'{f:g}' for f in SLOWER)} times slower than profiled"
    return [
        median_row("T6.lost", f"{what}: accuracy in time lost by the plan made with that profile",
                   "share", lost),
        median_row("T6.won_back_s", f"{what}: until the loop has won {WON_BACK:.0%} of it back",
                   "s", waited_s),
        median_row("T7.rate", "simulated queries a second of a core, the demo's size",
                   "queries/s", [_rate_qps(setting, demand.phases[0], s) for s in range(3)]),
    ]  # fmt: skip


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
    for begin_s in np.arange(0.0, RUN_S - WINDOW_S, 1.0):
        means = [
            float(score_q[_inside(rows, begin_s)].mean())
            for score_q, rows in zip(scores, (frozen, looped, known), strict=True)
        ]
        if means[1] - means[0] >= WON_BACK * (means[2] - means[0]) and means[2] > means[0]:
            return float(begin_s)
    return RUN_S


def _inside(rows: Measurements, begin_s: float) -> np.ndarray:
    found: np.ndarray = (rows.scheduled_s >= begin_s) & (rows.scheduled_s < begin_s + WINDOW_S)
    return found


def _run(
    truth: Setting, believed: Setting, phase: Phase, seed: int, options: ReplanOptions | None
) -> Measurements:
    plan = solve(believed.problem(phase), "certified", Options()).plan
    request = RunRequest(
        truth, plan, phase, (phase,), seed, options, believed=believed,
        routing=RoutingMode.SHARES,
    )  # fmt: skip
    return SIMULATED.run(request).measurements


def _score(rows: Measurements, setting: Setting) -> float:
    return float(card_scores(rows, setting).mean())


def _rate_qps(setting: Setting, phase: Phase, seed: int) -> float:
    longer = phase.model_copy(update={"duration_s": RATE_S})
    plan = solve(setting.problem(phase), "certified", Options()).plan
    begun_s = time.process_time()
    rows = simulate(setting, plan, [longer], seed=seed)
    return len(rows) / (time.process_time() - begun_s)
