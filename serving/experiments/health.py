"""What was there of nodes and links while a timeline's faults happened, for the bound (F21)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from cluster.timeline import TimelineEvent
from cluster.topology import link_name
from planner.problem import FloatArray, Problem
from planner.programs.clairvoyant import Health
from serving.deploy.health_checks import HANG_S
from serving.simulation.simulated_faults import RESTART_S

__all__ = ["health_of"]


def health_of(
    problem: Problem, timeline: Sequence[TimelineEvent], duration_s: float, period_s: float
) -> Health:
    """The share of each period for which nodes and links of `problem` were there.

    A node that is slowed by a factor counts for its inverse, one whose device is lost for nothing,
    though it passes queries on. One that was killed, or stood still for so long that it was, is
    away until its process is started anew; that its models then load is not counted, nor is the new
    process that a device may need which is back, so that the bound holds.
    """
    steps: defaultdict[str, list[tuple[float, float]]] = defaultdict(lambda: [(0.0, 1.0)])
    for event in timeline:
        if event.kill_node is not None:
            steps[event.kill_node] += [(event.at_s, 0.0), (event.at_s + RESTART_S, 1.0)]
        elif event.stop_node is not None:
            again_s = event.at_s + HANG_S + RESTART_S  # unless it goes on before
            steps[event.stop_node] += [(event.at_s, 0.0), (again_s, 1.0)]
        elif event.resume_node is not None:
            steps[event.resume_node].append((event.at_s, 1.0))
        elif event.lose_device is not None:
            steps[event.lose_device].append((event.at_s, 0.0))
        elif event.restore_device is not None:
            steps[event.restore_device].append((event.at_s, 1.0))
        elif event.slow_node is not None:
            steps[event.slow_node.node].append((event.at_s, 1.0 / event.slow_node.factor))
        elif event.link is not None:
            slower = event.slow_link.factor if event.slow_link else 1.0
            share = 0.0 if event.cut_link or event.silence_link else 1.0 / slower
            steps[link_name(*event.link)].append((event.at_s, share))
    periods = max(1, int(np.ceil(duration_s / period_s - 1e-9)))

    def shares(*names: str) -> FloatArray:
        return np.stack([_mean_k(steps[name], periods, period_s) for name in names], axis=1)

    ends = zip(problem.client_of_a, problem.edge_of_a, strict=True)
    return Health(
        client_kc=shares(*problem.clients),
        edge_ke=shares(*problem.edges),
        cloud_k=shares(problem.cloud)[:, 0],
        link_ka=shares(*(link_name(problem.clients[c], problem.edges[e]) for c, e in ends)),
        backhaul_ke=shares(*(link_name(edge, problem.cloud) for edge in problem.edges)),
    )


def _mean_k(steps: Sequence[tuple[float, float]], periods: int, period_s: float) -> FloatArray:
    """Mean over each period of a value that is as of the latest step, in order of time."""
    edge_s = np.arange(periods + 1) * period_s
    ordered = sorted(steps, key=lambda step: step[0])
    start_s = np.array([at_s for at_s, _ in ordered])
    end_s = np.append(start_s[1:], np.inf)
    whole = np.zeros(periods)
    for (_, share), begin, end in zip(ordered, start_s, end_s, strict=True):
        inside_s = np.minimum(edge_s[1:], end) - np.maximum(edge_s[:-1], begin)
        whole += share * np.maximum(inside_s, 0.0) / period_s
    return whole
