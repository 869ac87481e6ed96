"""Which models each client should hold where it follows its queues: those for what stays at home.

A policy plans for the mean load, where a link carries what gains most. In bursts the link is full,
and what a client holds decides what becomes of the rest: a client without a model for
segmentation refuses it, one with a small model for all tasks answers. So further model sets are
tried for each client: the best cover of its whole load, of what it answers or loses at home over
all moments, and of the same in bursts alone. A client takes one where that gains more over the
horizon than it loses while models load (F16).

Axis letters: s slice of moments, c client, t task, m model.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation
from planner.onloading import greedy_cover
from planner.paths import local_open_cmt
from planner.problem import FloatArray, Problem
from serving.replan.moving_cost import LoadingLoss
from serving.replan.queue_value import QueueRoutedPlan
from serving.replan.scenarios import Moments

__all__ = ["home_models_of", "with_better_homes"]

BURST_SLICES = 2
"""the last ones of `scenarios.SLICES`: the moments of the largest load"""


def with_better_homes(
    capacity: Problem,
    held: Allocation,
    moments: Moments,
    loss: LoadingLoss,
    horizon_s: float,
) -> Allocation:
    """`held` with the models that each client should rather hold under `capacity.load_ct`; the same
    object where no client gains. Routes are left as they are."""
    load_ct = capacity.load_ct
    present_c = QueueRoutedPlan(capacity, held).right_c(load_ct, moments)
    cost_cm = np.array(
        [[loss.load_s.get(c, {}).get(m, 0.0) for m in capacity.models] for c in capacity.clients]
    )
    lost_c = np.array([loss.qps.get(c, 0.0) for c in capacity.clients])
    best_cm, most_c = held.onloaded_cm, np.zeros(len(capacity.clients))
    for weight_ct in _loads_at_home(capacity, held, moments):
        tried_cm = _covers(capacity, weight_ct)
        tried = replace(held, onloaded_cm=tried_cm)
        found_c = QueueRoutedPlan(capacity, tried).right_c(load_ct, moments)
        new_cm = tried_cm & ~held.onloaded_cm
        loading_c = np.where(new_cm, cost_cm, 0.0).sum(axis=1)
        delay_c = np.where(loading_c > 0, loading_c + loss.drain_s, 0.0)
        left_c = np.maximum(horizon_s - delay_c, 0.0)
        net_c = (found_c - present_c) * left_c - lost_c * loading_c
        better_c = net_c > most_c + 1e-9
        best_cm = np.where(better_c[:, None], tried_cm, best_cm)
        most_c = np.where(better_c, net_c, most_c)
    return replace(held, onloaded_cm=best_cm) if most_c.any() else held


def home_models_of(problem: Problem, held: Allocation) -> dict[str, tuple[str, ...]]:
    """client -> the models that it holds in `held`, by name."""
    return {
        name: tuple(model for model, is_held in zip(problem.models, held_m, strict=True) if is_held)
        for name, held_m in zip(problem.clients, held.onloaded_cm, strict=True)
    }


def _loads_at_home(capacity: Problem, held: Allocation, moments: Moments) -> list[FloatArray]:
    load_sct = capacity.load_ct[None] * moments.factor_sc[:, :, None]
    edge_sct, cloud_sct = QueueRoutedPlan(capacity, held).sent_up(load_sct)
    home_sct = (load_sct - edge_sct - cloud_sct) * moments.weight_s[:, None, None]
    return [capacity.load_ct, home_sct.sum(axis=0), home_sct[-BURST_SLICES:].sum(axis=0)]


def _covers(capacity: Problem, weight_ct: FloatArray) -> NDArray[np.bool_]:
    open_cmt = local_open_cmt(capacity)
    return np.array(
        [
            greedy_cover(
                weight_ct[c][:, None] * np.where(open_cmt[c], capacity.accuracy_mt, 0.0).T,
                np.zeros(len(capacity.tasks)),
                capacity.client_model_bytes_cm[c],
                float(capacity.client_memory_c[c]),
            )
            for c in range(len(capacity.clients))
        ]
    )
