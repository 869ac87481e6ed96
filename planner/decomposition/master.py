"""The restricted master of a component: columns of its clients, flows through its edges' models.

It is the linear program of docs/formulation.md, "Decomposition", with y fractional or fixed, and
with only those routings of a client that some price vector has brought up so far:

    maximise    sum of value x column  +  sum_jt cap_et accuracy_jt flow_jt  -  sum_j charge_j y_j
    one row an edge     its memory (F4), as a share of all of it
    one row an edge     work of its window (F9), as a share of all of it
    one row a (j, t)    flow_jt <= y_j (F3)
    one row an (e, t)   flows of t at e  <=  flow that the columns bring there, as a share of cap_et
    one row an edge     backhaul (F7), as a share of all of it
    one row a client    weights of its columns <= 1

Its value is at most the optimum over these models, and its duals are the next prices to try.
Rows are scaled to a right-hand side of 1, so HiGHS' absolute tolerances mean the same in each.

Axis suffixes: c client, e edge, j model at an edge, t task, x edge and task (e T + t), r row,
f pair of model and task, b what a column brings, i entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from planner.decomposition.edge_kernel import EdgeModels
from planner.problem import FloatArray
from planner.solvers.highs import PRIMAL_SIMPLEX, QuietHighs

__all__ = ["Columns", "Master", "MasterPrices"]

SAME_DIGITS = 9
"""Routings that agree to so many decimals are one column."""


@dataclass(frozen=True, eq=False)
class Columns:
    """What one routing of every client brings."""

    value_c: FloatArray
    """Right answers/s of the client itself and of the cloud."""
    flow_cx: FloatArray
    """Queries/s of each task for each edge."""
    backhaul_ce: FloatArray
    """Bytes/s from each edge to the cloud."""


@dataclass(frozen=True, eq=False)
class MasterPrices:
    """Value of the restricted master and its prices: rho per query/s, sigma per byte/s, of a
    second of work in a window, and of the whole memory of an edge."""

    value: float
    service_x: FloatArray
    backhaul_e: FloatArray
    work_e: FloatArray
    memory_e: FloatArray


class Master:
    """A linear program that grows by columns and is solved again from the last basis.

    `edges` are the edges' models and budgets, `charge_j` what loading each model costs, right
    answers/s (F16), `backhaul_e` bytes/s to the cloud (inf: no limit), `clients` their number.
    """

    def __init__(
        self,
        edges: Sequence[EdgeModels],
        charge_j: FloatArray,
        *,
        backhaul_e: FloatArray,
        clients: int,
    ) -> None:
        self.edges, self.backhaul_e, self.clients = len(edges), backhaul_e, clients
        self.models = len(charge_j)
        pairs = [np.nonzero((edge.accuracy_mt > 0) & (edge.cap_t > 0)) for edge in edges]
        self.first_flow_row = 2 * self.edges
        self.first_task_row = self.first_flow_row + sum(len(m) for m, _ in pairs)
        cap_x = np.concatenate([edge.cap_t for edge in edges])
        self.first_backhaul_row = self.first_task_row + len(cap_x)
        self.first_client_row = self.first_backhaul_row + self.edges
        self.scale_x = np.where(cap_x > 0, 1.0 / np.maximum(cap_x, 1e-300), 0.0)
        window_e = np.array([edge.window for edge in edges])
        self.window_share_e = np.where(window_e > 0, 1.0 / np.maximum(window_e, 1e-300), 0.0)
        self.first_client_column = self.models + self.first_task_row - self.first_flow_row
        self.columns: list[tuple[int, int]] = []
        """(client, its model set) of each column of a client."""
        self.known: set[tuple[int, bytes]] = set()
        self.solver = QuietHighs()
        self.solver.setOptionValue("threads", 1)
        # The last basis stays feasible when columns come: primal simplex goes on from it.
        self.solver.setOptionValue("presolve", "off")
        self.solver.setOptionValue("simplex_strategy", PRIMAL_SIMPLEX)
        self.solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
        self._add_rows()
        self._add_edge_columns(edges, pairs, charge_j)

    def _add_rows(self) -> None:
        """All rows, still empty: the budgets and the clients have 1, the flows 0 on the right."""
        rows = self.first_client_row + self.clients
        upper_r = np.zeros(rows)
        upper_r[: self.first_flow_row] = 1.0
        upper_r[self.first_backhaul_row :] = 1.0
        none = np.zeros(0)
        self.solver.addRows(
            rows, np.full(rows, -highspy.kHighsInf), upper_r, 0,
            np.zeros(rows, np.int32), none.astype(np.int32), none,
        )  # fmt: skip

    def _add_edge_columns(
        self,
        edges: Sequence[EdgeModels],
        pairs: Sequence[tuple[NDArray[np.int64], ...]],
        charge_j: FloatArray,
    ) -> None:
        """One column a model (y_j), then one a pair of model and task (flow_jt, in [0, 1])."""
        starts: list[int] = []
        row_i: list[int] = []
        value_i: list[float] = []
        flow_row = self.first_flow_row
        for e, (edge, (flow_m, _)) in enumerate(zip(edges, pairs, strict=True)):
            count = len(edge.bytes_m)
            share_m = edge.bytes_m / edge.memory if edge.memory > 0 else np.zeros(count)
            for m in range(count):
                own = flow_row + np.flatnonzero(flow_m == m)
                starts.append(len(row_i))
                row_i += [e, self.edges + e, *own.tolist()]
                fixed_share = edge.fixed_m[m] * self.window_share_e[e]
                value_i += [share_m[m], fixed_share, *([-1.0] * len(own))]
            flow_row += len(flow_m)
        objective = [0.0 - charge_j]
        flow_row, tasks = self.first_flow_row, len(edges[0].cap_t)
        for e, (edge, (flow_m, flow_t)) in enumerate(zip(edges, pairs, strict=True)):
            for m, t in zip(flow_m.tolist(), flow_t.tolist(), strict=True):
                starts.append(len(row_i))
                row_i += [self.edges + e, flow_row, self.first_task_row + e * tasks + t]
                work_share = edge.cap_t[t] * edge.work_m[m] * self.window_share_e[e]
                value_i += [work_share, 1.0, 1.0]
                flow_row += 1
            objective.append(edge.cap_t[flow_t] * edge.accuracy_mt[flow_m, flow_t])
        count = self.first_client_column
        self.solver.addCols(
            count, np.concatenate(objective), np.zeros(count), np.ones(count), len(row_i),
            np.array(starts, np.int32), np.array(row_i, np.int32), np.array(value_i),
        )  # fmt: skip

    def add(self, chosen_c: NDArray[np.int64], brought: Columns) -> None:
        """One column a client: its model set and what its routing brings; those already there are
        left out."""
        brought_cb = np.column_stack([brought.value_c, brought.flow_cx, brought.backhaul_ce])
        rounded_cb = np.round(brought_cb, SAME_DIGITS)
        fresh = []
        for c in range(self.clients):
            key = (c, rounded_cb[c].tobytes())
            if key not in self.known:
                self.known.add(key)
                fresh.append(c)
        if not fresh:
            return
        limit_e = np.where(
            np.isfinite(self.backhaul_e), np.maximum(self.backhaul_e, 1e-300), np.inf
        )
        # Task rows and backhaul rows stand one after another, as the entries do.
        entry_rows = np.arange(self.first_task_row, self.first_client_row)
        value = np.hstack([-(brought.flow_cx * self.scale_x), brought.backhaul_ce / limit_e])[fresh]
        place, column = np.nonzero(value)
        rows = np.concatenate([entry_rows[column], self.first_client_row + np.array(fresh)])
        entries = np.concatenate([value[place, column], np.ones(len(fresh))])
        order = np.argsort(np.concatenate([place, np.arange(len(fresh))]), kind="stable")
        counts = np.bincount(place, minlength=len(fresh)) + 1
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self.solver.addCols(
            len(fresh), brought.value_c[fresh], np.zeros(len(fresh)),
            np.full(len(fresh), highspy.kHighsInf), len(entries), starts.astype(np.int32),
            rows[order].astype(np.int32), entries[order],
        )  # fmt: skip
        self.columns += [(c, int(chosen_c[c])) for c in fresh]

    def fix_models(self, active_j: NDArray[np.bool_] | None) -> None:
        """Hold y at `active_j`; None lets it be fractional."""
        low = np.zeros(self.models) if active_j is None else active_j.astype(float)
        high = np.ones(self.models) if active_j is None else low
        self.solver.changeColsBounds(self.models, np.arange(self.models, dtype=np.int32), low, high)

    def solve(self) -> MasterPrices:
        """Value and prices of the present columns."""
        self.solver.run()
        dual_r = np.abs(np.array(self.solver.getSolution().row_dual))
        backhaul_e = dual_r[self.first_backhaul_row : self.first_client_row]
        limited_e = self.backhaul_e > 0
        return MasterPrices(
            value=float(self.solver.getInfo().objective_function_value),
            service_x=dual_r[self.first_task_row : self.first_backhaul_row] * self.scale_x,
            backhaul_e=np.divide(
                backhaul_e, self.backhaul_e, out=np.zeros(self.edges), where=limited_e
            ),
            work_e=dual_r[self.edges : self.first_flow_row] * self.window_share_e,
            memory_e=dual_r[: self.edges],
        )

    def loaded_j(self) -> FloatArray:
        """How much of each model the last solution loads, in [0, 1]."""
        return np.array(self.solver.getSolution().col_value)[: self.models]

    def weights(self) -> list[dict[int, float]]:
        """For each client the weight of each model set in the last solution (columns that came
        after it have none)."""
        share = np.array(self.solver.getSolution().col_value)[self.first_client_column :]
        weights: list[dict[int, float]] = [{} for _ in range(self.clients)]
        for (client, chosen), weight in zip(self.columns, share, strict=False):
            if weight > 1e-9:
                weights[client][chosen] = weights[client].get(chosen, 0.0) + float(weight)
        return weights
