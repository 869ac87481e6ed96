"""Loads that a plan is judged under: within the estimate's errors, and from lull to burst.

Two kinds of not knowing are kept apart. What the mean is gets better known with time: loads are
drawn within its errors, the same ones for every plan that is compared. How far single moments lie
from the mean never goes away: a gamma distribution with the measured dispersion stands for it, cut
into slices that are each judged at their own mean.
Axis letters: c client, t task, s slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincinv

from cluster.bundle_names import tasks_of_bundle
from cluster.lasting_bursts import COUNTED_WINDOWS
from planner.latency_bound import window_bound_s
from planner.problem import FloatArray, Problem
from serving.replan.estimate.load_estimate import LoadEstimate

__all__ = [
    "Moments",
    "draw_loads",
    "former_load",
    "load_of_now",
    "mean_load",
    "moments_of",
    "single_moment",
    "stated_moments",
    "with_mean_load",
]

SLICES = (0.0, 0.3, 0.6, 0.8, 0.9, 0.97, 1.0)
"""Quantiles between which moments are taken together: finer where links and devices fill up."""
LOWEST_SHAPE = 0.05
CALMEST_SPREAD = 1e-3
"""a second, of the mean rate: as good as none"""


@dataclass(frozen=True, eq=False)
class Moments:
    """How often a moment of a slice comes, and the load in it as a multiple of the mean."""

    weight_s: FloatArray
    factor_sc: FloatArray
    """all clients are in the same slice at once: bursts may share a cause, and it is the worse
    case for the edges and links that they share"""


def moments_of(problem: Problem, estimate: LoadEstimate) -> Moments:
    """The slices of a load with the estimate's dispersion.

    Over a time tau the rate of a client with mean rate r has the variance r / tau (Poisson) plus
    (I - 1) r / L for dispersion I measured over looks of L seconds. Links and devices bear a
    backlog for about the latency that they promise, which is taken for tau.
    """
    volume = estimate.volume_qps
    volume_c = np.array([volume.get(client, 0.0) for client in problem.clients])
    dispersion_c = np.array([estimate.dispersion.get(client, 1.0) for client in problem.clients])
    return _slices(problem, volume_c, dispersion_c, max(estimate.look_s, _tau_s(problem)))


def stated_moments(problem: Problem) -> Moments:
    """The slices of the load of `problem`, whose dispersion is that of counts in 2 T_b (F17)."""
    window_s = COUNTED_WINDOWS * float(problem.window_e.min())
    return _slices(problem, problem.load_ct.sum(axis=1), problem.dispersion_c, window_s)


def _tau_s(problem: Problem) -> float:
    return window_bound_s(float(problem.window_e.min()))


def _slices(
    problem: Problem, volume_c: FloatArray, dispersion_c: FloatArray, over_s: float
) -> Moments:
    spread_c = 1.0 / _tau_s(problem) + (dispersion_c - 1.0) / over_s
    shape_c = volume_c / np.maximum(spread_c, CALMEST_SPREAD)
    shape_c = np.maximum(shape_c, LOWEST_SHAPE)
    edge_s = np.array(SLICES)
    quantile_sc = gammaincinv(shape_c[None, :], edge_s[:, None])
    below_sc = gammainc(shape_c[None, :] + 1.0, quantile_sc)
    weight_s = np.diff(edge_s)
    return Moments(weight_s, np.diff(below_sc, axis=0) / weight_s[:, None])


def single_moment(problem: Problem) -> Moments:
    """A load that stays as it is."""
    return Moments(np.ones(1), np.ones((1, len(problem.clients))))


def mean_load(problem: Problem, estimate: LoadEstimate) -> FloatArray:
    """The estimate's rates as load_ct of `problem`; clients that were never seen have none."""
    return np.array(
        [
            [estimate.rates_qps.get(client, {}).get(task, 0.0) for task in problem.tasks]
            for client in problem.clients
        ]
    )


def with_mean_load(problem: Problem, estimate: LoadEstimate) -> Problem:
    """`problem` with the estimate's rates, and with what of them is asked of the same images.

    Where something is, batches take ν + c·b, without their measured curves (F15): together with
    shared passes nobody plans by those.
    """
    known = {
        name: tasks
        for bundles in estimate.bundles_qps.values()
        for name in bundles
        if set(tasks := tasks_of_bundle(name)) <= set(problem.tasks)
    }
    names = sorted(known)
    if names and problem.curved:
        problem = problem.changed(
            curve_sizes_z=np.zeros(0), edge_curve_emz=problem.edge_curve_emz[:, :, :0]
        )
    return problem.changed(
        load_ct=mean_load(problem, estimate),
        bundle_bt=np.array(
            [[float(task in known[name]) for task in problem.tasks] for name in names]
        ).reshape(len(names), len(problem.tasks)),
        bundle_load_cb=np.array(
            [
                [estimate.bundles_qps.get(client, {}).get(name, 0.0) for name in names]
                for client in problem.clients
            ]
        ).reshape(len(problem.clients), len(names)),
    )


def load_of_now(problem: Problem, estimate: LoadEstimate) -> FloatArray:
    """The estimate's mix at the volume of this moment, in a burst or a lull, as load_ct."""
    load_ct = mean_load(problem, estimate)
    volume_c = load_ct.sum(axis=1)
    now_c = np.array([estimate.short_qps.get(client, 0.0) for client in problem.clients])
    factor_c = np.divide(now_c, volume_c, out=np.ones_like(volume_c), where=volume_c > 0)
    return np.asarray(load_ct * factor_c[:, None])


def former_load(problem: Problem, estimate: LoadEstimate) -> FloatArray:
    """The present mix at the volume that each client had before, where that was larger.

    What looks like a change may be a long lull. Until the former load is forgotten, a plan must
    have room for it too.
    """
    load_ct = mean_load(problem, estimate)
    volume_c = load_ct.sum(axis=1)
    former_c = np.array([estimate.former_qps.get(client, 0.0) for client in problem.clients])
    larger_c = np.divide(former_c, volume_c, out=np.ones_like(volume_c), where=volume_c > 0)
    return np.asarray(load_ct * np.maximum(larger_c, 1.0)[:, None])


def draw_loads(
    problem: Problem, estimate: LoadEstimate, draws: int, seed: int
) -> tuple[FloatArray, ...]:
    """Loads (c x t) within the estimate's errors: volumes by client and the mix, independently."""
    random = np.random.default_rng(seed)
    load_ct = mean_load(problem, estimate)
    volume_c = np.maximum(load_ct.sum(axis=1), 1e-9)
    volume_error_c = np.array([estimate.volume_errors_qps.get(c, 0.0) for c in problem.clients])
    mix_error_ct = np.array(
        [
            [estimate.mix_errors_qps.get(client, {}).get(task, 0.0) for task in problem.tasks]
            for client in problem.clients
        ]
    )
    found = []
    for _ in range(draws):
        factor_c = 1.0 + random.standard_normal(len(volume_c)) * volume_error_c / volume_c
        drawn_ct = load_ct * factor_c[:, None]
        drawn_ct += random.standard_normal(load_ct.shape) * mix_error_ct
        found.append(np.maximum(drawn_ct, 0.0))
    return tuple(found)
