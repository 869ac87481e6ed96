"""What a careful plan would shed takes the room that its care leaves (F17).

Bursts make a plan use less of its links, so that fewer queries find them full. That is right for
queries which have another way; those that have none are shed, which is worse than a link that is
full now and then. So they are routed once more, over what is left of the budgets themselves.

Axis letters: c client, e edge, a attachment, t task, m model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from planner.allocation import SMALLEST_SHARE, Allocation
from planner.edge_cost import EdgeCost
from planner.evaluate import (
    client_compute_f5,
    cloud_compute_f8,
    edge_compute_f6,
    edge_window_f9,
    uplinks_f7,
)
from planner.fits import room
from planner.options import Options
from planner.problem import FloatArray, Problem
from planner.programs.formulation import build_formulation
from planner.programs.offloading import Tiers
from planner.solvers import SolverLimits, solve_program
from planner.window_work import window_work_e

__all__ = ["route_leftovers"]


def route_leftovers(
    problem: Problem, allocation: Allocation, options: Options, *, batched: bool, tiers: Tiers
) -> Allocation:
    """`allocation` with routes for what it sheds, among the models it uses, as budgets allow.
    It uses none of a client or an edge that is no part of `tiers`; nor is the cloud asked then.

    No route of `allocation` changes. Edges are held to F11 with `options.overrun`, else to F9
    (`batched`) or to F6 and F9. One linear program.
    """
    fill = options.fill
    shed_ct = problem.load_ct * np.maximum(1.0 - allocation.share_ct(problem), 0.0)
    if not shed_ct.any():
        return allocation
    spare_e = _spare_e(problem, options, batched)
    C, E = len(problem.clients), len(problem.edges)
    links_n = np.maximum(uplinks_f7(problem, allocation, fill).slack_n, 0.0)
    uplink_a = problem.uplink_a.copy()
    uplink_a[problem.limited_attachments] = links_n[C + E :]
    if not tiers.cloud:
        links_n[C : C + E] = 0.0  # which closes every way to it
    rest = problem.changed(load_ct=shed_ct,
        client_compute_c=_left(client_compute_f5(problem, allocation, fill).slack_n, fill),
        client_uplink_c=links_n[:C], edge_uplink_e=links_n[C : C + E], uplink_a=uplink_a,
        edge_compute_e=_left(spare_e(allocation), fill) / problem.window_e,
        cloud_compute=float(_left(cloud_compute_f8(problem, allocation, fill).slack_n, fill)[0]),
    )  # fmt: skip
    marginal_em = problem.edge_marginal_em + (0.0 if batched else problem.edge_setup_em)
    # Setups of models in use are paid already, and no other model is used.
    model = build_formulation(
        rest, fill=fill, edge_cost=EdgeCost(np.zeros_like(marginal_em), marginal_em), choose=False,
        allowed_cm=allocation.onloaded_cm, allowed_em=allocation.onloaded_em,
    )  # fmt: skip
    limits = SolverLimits(0.0, options.time_limit_s, options.threads, options.seed)
    result = solve_program(model.program, limits, "highs")
    if result.x_v is None:
        return allocation
    more = model.allocation(rest, result.x_v)
    part_ct = np.divide(
        shed_ct, problem.load_ct, out=np.zeros_like(shed_ct), where=problem.load_ct > 0
    )
    part_at = part_ct[problem.client_of_a]

    def with_more(factor_e: FloatArray) -> Allocation:
        factor_a = factor_e[problem.edge_of_a]
        more_atm = more.edge_atm * part_at[:, :, None] * factor_a[:, None, None]
        return replace(
            allocation,
            local_ctm=_sum(allocation.local_ctm, more.local_ctm * part_ct[:, :, None]),
            edge_atm=_sum(allocation.edge_atm, more_atm),
            cloud_at=_sum(allocation.cloud_at, more.cloud_at * part_at),
        )

    low_e, high_e = np.zeros(E), np.ones(E)
    whole_e = spare_e(with_more(high_e)) >= 0
    for _ in range(0 if whole_e.all() else 20):
        middle_e = 0.5 * (low_e + high_e)
        holds_e = spare_e(with_more(middle_e)) >= 0
        low_e, high_e = np.where(holds_e, middle_e, low_e), np.where(holds_e, high_e, middle_e)
    return with_more(np.where(whole_e, 1.0, low_e))


def _spare_e(
    problem: Problem, options: Options, batched: bool
) -> Callable[[Allocation], FloatArray]:
    """What a plan leaves of each edge's window, seconds."""
    overrun, fill = options.overrun, options.fill

    def spare_e(allocation: Allocation) -> FloatArray:
        if isinstance(overrun, float):
            whole_e = problem.edge_compute_e * problem.window_e
            mean_e = edge_window_f9(problem, allocation, 1.0).use_n
            random_e = window_work_e(problem, allocation, overrun)
            return np.minimum(whole_e - random_e, room(whole_e) - mean_e)
        whole_e = edge_window_f9(problem, allocation, fill).slack_n
        if batched:
            return whole_e
        apart_e = problem.window_e * edge_compute_f6(problem, allocation, fill).slack_n
        if options.edge_form == "unbatched":
            return np.asarray(apart_e)
        return np.minimum(apart_e, whole_e)  # as `j3o` plans: F6, and the true F9 as well

    return spare_e


def _left(slack_n: FloatArray, fill: float) -> FloatArray:
    """A budget of which the part `fill` is `slack_n`."""
    return np.maximum(slack_n, 0.0) / fill


def _sum(share: FloatArray, more: FloatArray) -> FloatArray:
    return share + np.where(more > SMALLEST_SHARE, more, 0.0)
