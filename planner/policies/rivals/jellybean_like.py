"""`jellybean-like`: the cheapest variants that reach an accuracy target, placed tier by tier.

After JellyBean (Wu et al., VLDB 2022), by its paper's text: docs/rivals.md says what was taken and
what was left out. Axis letters: c client, e edge, a attachment, n node, t task, m model.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation
from planner.attachments import by_edge
from planner.fits import room
from planner.options import Options
from planner.paths import edge_limit_at
from planner.policies.outcome import conclude_below_relaxation
from planner.policies.rivals.wants import NEED, one_variant_each, placeable_m, wanting
from planner.problem import FloatArray, Problem
from planner.programs.offloading import Tiers, route_form
from planner.solution import Solution

__all__ = ["cheapest_variants", "jellybean_like"]

BoolArray = NDArray[np.bool_]
BEAM = 8
"""Partial choices that are kept from one task to the next."""
CLOUD = 0.5
"""Value of an answer from the cloud, whose way is longer, against one from an edge."""


def jellybean_like(problem: Problem, options: Options) -> Solution:
    """One variant a task by beam search, then clients first, edges next, the cloud last."""
    begun_s = time.perf_counter()
    variant_t = cheapest_variants(problem)
    kept_mt = one_variant_each(problem, variant_t)
    cloud_t = np.full(len(problem.tasks), CLOUD)
    chosen = wanting(problem, kept_mt.astype(float), cloud_t)
    onloaded_cm = _in_order_of_load(
        problem.load_ct, variant_t, problem.client_model_bytes_cm, problem.client_memory_c
    )
    load_et = by_edge(problem, edge_limit_at(problem))
    onloaded_em = _in_order_of_load(
        load_et, variant_t, problem.edge_model_bytes_em, problem.edge_memory_e
    )
    allocation = _tier_by_tier(chosen, onloaded_cm, onloaded_em, options)
    return conclude_below_relaxation(
        problem, options, "jellybean-like", allocation, begun_s=begun_s
    )


@dataclass(frozen=True)
class _Choice:
    """Variants of the first tasks, what they cost and how many right answers/s they would give."""

    cost: float
    right_qps: float
    variants: tuple[int, ...]


def cheapest_variants(problem: Problem) -> NDArray[np.int64]:
    """The variant of each task (-1: none fits any node), by beam search over the tasks.

    Of choices whose tasks so far can still reach the target, the `BEAM` cheapest go on. The target
    is `NEED` times the right answers/s of the best variants.
    """
    placed_mt = np.where(placeable_m(problem)[:, None], problem.accuracy_mt, 0.0)
    load_t = problem.load_ct.sum(axis=0)
    best_t = load_t * placed_mt.max(axis=0)
    cost_mt = _cost_mt(problem) * load_t
    beam = [_Choice(0.0, 0.0, ())]
    for t in range(len(problem.tasks)):
        short_qps = NEED * best_t.sum() * (1 - 1e-9) - best_t[t + 1 :].sum()
        serving = [int(m) for m in np.flatnonzero(placed_mt[:, t] > 0)] or [-1]
        longer = [
            _Choice(
                choice.cost + (float(cost_mt[m, t]) if m >= 0 else 0.0),
                choice.right_qps + (float(load_t[t] * placed_mt[m, t]) if m >= 0 else 0.0),
                (*choice.variants, m),
            )
            for choice in beam
            for m in serving
        ]
        reaching = [choice for choice in longer if choice.right_qps >= short_qps]
        beam = sorted(reaching, key=lambda choice: choice.cost)[:BEAM]
    return np.array(beam[0].variants, dtype=np.int64)


def _cost_mt(problem: Problem) -> FloatArray:
    """Seconds that a query costs where it is cheapest on the whole: of a client's device, or of an
    edge's device and the links there; the mean over the clients."""
    client_fits_cm = problem.client_model_bytes_cm <= room(problem.client_memory_c)[:, None]
    edge_fits_em = problem.edge_model_bytes_em <= room(problem.edge_memory_e)[:, None]
    client_s_cm = problem.client_setup_cm + problem.client_marginal_cm
    edge_s_em = problem.edge_setup_em + problem.edge_marginal_em
    up_t = _mean_link_s(problem)
    local_cm = np.where(client_fits_cm, client_s_cm, np.inf)
    at_edge_m = np.where(edge_fits_em, edge_s_em, np.inf).min(axis=0)
    least_cmt = np.minimum(local_cm[:, :, None], at_edge_m[:, None] + up_t)
    finite_cmt = np.isfinite(least_cmt)
    mean_mt = np.where(finite_cmt, least_cmt, 0.0).sum(axis=0) / np.maximum(finite_cmt.sum(0), 1)
    return np.asarray(np.where(finite_cmt.any(axis=0), mean_mt, 0.0))


def _mean_link_s(problem: Problem) -> FloatArray:
    """Seconds of a client's link that a query of each task takes; inf where none has bandwidth."""
    bytes_per_s = float(problem.client_uplink_c.mean())
    if np.isinf(bytes_per_s):
        return np.zeros(len(problem.tasks))
    closed_t = np.where(problem.query_bytes_t > 0, np.inf, 0.0)
    return problem.query_bytes_t / bytes_per_s if bytes_per_s > 0 else closed_t


def _in_order_of_load(
    load_nt: FloatArray, variant_t: NDArray[np.int64], bytes_nm: FloatArray, memory_n: FloatArray
) -> BoolArray:
    """Every node holds the variants of its tasks, those with most load first, as memory allows."""
    held_nm = np.zeros(bytes_nm.shape, dtype=bool)
    for n, load_t in enumerate(load_nt):
        left = float(room(memory_n[n]))
        for t in np.argsort(-load_t, kind="stable"):
            m = int(variant_t[t])
            if m < 0 or load_t[t] <= 0 or held_nm[n, m] or bytes_nm[n, m] > left:
                continue
            held_nm[n, m] = True
            left -= float(bytes_nm[n, m])
    return held_nm


def _tier_by_tier(
    chosen: Problem, onloaded_cm: BoolArray, onloaded_em: BoolArray, options: Options
) -> Allocation:
    """As much as clients can serve, then of the rest what edges can, and of that rest the cloud.

    Edges and cloud share the clients' links, so they are routed together, edges preferred.
    """
    form = options.edge_form or "batched"
    here = route_form(
        chosen, onloaded_cm, onloaded_em, form, options, Tiers(edge=False, cloud=False)
    ).allocation
    left_ct = np.clip(1 - here.local_ctm.sum(axis=2), 0.0, 1.0)
    rest = chosen.changed(load_ct=chosen.load_ct * left_ct)
    beyond = route_form(
        rest, onloaded_cm, onloaded_em, form, options, Tiers(client=False)
    ).allocation
    left_at = left_ct[chosen.client_of_a]
    return Allocation(
        here.onloaded_cm, beyond.onloaded_em, here.local_ctm,
        beyond.edge_atm * left_at[:, :, None], beyond.cloud_at * left_at,
    )  # fmt: skip
