"""The previous plan's models with the best routes for the problem as it is: the first plan of a
search, found by one linear program over all edges, and prices to begin from.

Axis letters: c client, e edge, a attachment, t task, m model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation, tidy
from planner.attachments import Component
from planner.decomposition.component_search import OF_GAP, WarmComponent
from planner.edge_cost import edge_cost
from planner.fits import room
from planner.options import EdgeForm, Options
from planner.policies.warm_start import warm_allocation
from planner.problem import FloatArray, Problem
from planner.programs.formulation import build_formulation
from planner.programs.prices import Prices
from planner.solvers import SolverLimits, solve_program

__all__ = ["WarmRoutes", "warm_routes"]


@dataclass(frozen=True, eq=False)
class WarmRoutes:
    """A plan that keeps all but F8, and the prices of its program."""

    allocation: Allocation
    held_em: NDArray[np.bool_]
    """What the edges held before, of which the plan keeps what it uses."""
    fits_e: NDArray[np.bool_]
    """Edges whose models fit their window."""
    prices: Prices

    def of(self, part: Component, further: FloatArray | None) -> WarmComponent | None:
        """What the search of a component begins from, with `further` rows of prices; None where
        the models of one of its edges do not fit."""
        if not self.fits_e[part.edges].all():
            return None
        rows = self.prices.of_edges(part.edges)[None]
        if further is not None and further.shape[1] == rows.shape[1]:
            rows = np.concatenate([rows, further])
        return WarmComponent(self.allocation.part(part), self.held_em[part.edges], rows)


def warm_routes(
    problem: Problem, form: EdgeForm, options: Options, cloud_price: float, left_s: float
) -> WarmRoutes | None:
    """Route for the models of the options' previous plan, F8 priced instead of kept; None without
    a previous plan that fits, or if the time is over before. The models of an edge whose set-ups
    no longer fit its window are left out."""
    warm = warm_allocation(problem, options)
    if warm is None or left_s <= 0:
        return None
    cost = edge_cost(problem, form)
    setup_e = np.where(warm.onloaded_em, cost.fixed_em, 0.0).sum(axis=1)
    fits_e = setup_e <= room(options.fill * problem.edge_compute_e * problem.window_e)
    unlimited = problem.changed(cloud_compute=float("inf"))
    model = build_formulation(
        unlimited, fill=options.fill, edge_cost=cost, choose=False, cloud_price=cloud_price,
        allowed_cm=warm.onloaded_cm, allowed_em=warm.onloaded_em & fits_e[:, None],
    )  # fmt: skip
    limits = SolverLimits(OF_GAP * options.gap, left_s, seed=options.seed)
    result = solve_program(model.program, limits, "highs")
    if result.x_v is None or result.dual_r is None:
        return None
    found = model.allocation(problem, result.x_v)
    found = tidy(unlimited, found, fill=options.fill, batched=cost.batches(problem))
    return WarmRoutes(found, warm.onloaded_em, fits_e, model.prices(problem, result.dual_r))
