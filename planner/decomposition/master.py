"""The restricted master of one edge: columns of its clients, flows through its models.

It is the linear program of docs/formulation.md, "Decomposition", with y fractional or fixed, and
with only those routings of a client that some price vector has brought up so far:

    maximise    sum of value x column  +  sum_mt cap_t accuracy_mt flow_mt  -  sum_m charge_m y_m
    row 0       memory of the edge (F4), as a share of all of it
    row 1       work of the window (F9), as a share of all of it
    one row a (m, t)   flow_mt <= y_m (F3)
    one row a task     flows of t  <=  edge flow that the columns bring, as a share of cap_t
    one row            backhaul (F7), as a share of all of it
    one row a client   weights of its columns <= 1

Its value is at most the optimum over these models, and its duals are the next prices to try.
Rows are scaled to a right-hand side of 1, so HiGHS' absolute tolerances mean the same in each.

Axis suffixes: c client, t task, m model, r row, f pair of model and task, j entry.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from planner.decomposition.edge_kernel import EdgeModels
from planner.decomposition.routing_layout import BACKHAUL, EDGE_FLOWS, MASTER_PART, VALUE
from planner.problem import FloatArray
from planner.solvers.highs import QuietHighs

__all__ = ["Master", "MasterPrices"]

MEMORY_ROW, WINDOW_ROW, FIRST_FLOW_ROW = 0, 1, 2
SAME_DIGITS = 9
"""Routings that agree to so many decimals are one column."""


@dataclass(frozen=True, eq=False)
class MasterPrices:
    """Value of the restricted master and its prices: rho_t per query/s, sigma per byte/s, of a
    second of work in the window, and of the whole memory."""

    value: float
    service_t: FloatArray
    backhaul: float
    work: float
    memory: float


class Master:
    """A linear program that grows by columns and is solved again from the last basis.

    `edge` are the edge's models and budgets, `charge_m` what loading each costs, right answers/s
    (F16), `backhaul` its bytes/s to the cloud (inf: no limit), `clients` the number of them.
    """

    def __init__(
        self, edge: EdgeModels, charge_m: FloatArray, *, backhaul: float, clients: int
    ) -> None:
        self.models, self.tasks = edge.accuracy_mt.shape
        self.clients, self.backhaul = clients, backhaul
        cap_t = edge.cap_t
        self.flow_m, self.flow_t = np.nonzero((edge.accuracy_mt > 0) & (cap_t > 0))
        self.first_task_row = FIRST_FLOW_ROW + len(self.flow_m)
        self.backhaul_row = self.first_task_row + self.tasks
        self.first_client_row = self.backhaul_row + 1
        self.scale_t = np.where(cap_t > 0, 1.0 / np.maximum(cap_t, 1e-300), 0.0)
        self.window_share = 1.0 / edge.window if edge.window > 0 else 0.0
        self.first_client_column = self.models + len(self.flow_m)
        self.columns: list[tuple[int, int]] = []
        """(client, its model set) of each column of a client."""
        self.known: set[tuple[int, bytes]] = set()
        self.solver = QuietHighs()
        self.solver.setOptionValue("threads", 1)
        self.solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
        self._add_rows()
        self._add_edge_columns(edge, charge_m)

    def _add_rows(self) -> None:
        """All rows, still empty: the budgets and the clients have 1, the flows 0 on the right."""
        rows = self.first_client_row + self.clients
        upper_r = np.zeros(rows)
        upper_r[[MEMORY_ROW, WINDOW_ROW]] = 1.0
        upper_r[self.backhaul_row :] = 1.0
        none = np.zeros(0)
        self.solver.addRows(
            rows, np.full(rows, -highspy.kHighsInf), upper_r, 0,
            np.zeros(rows, np.int32), none.astype(np.int32), none,
        )  # fmt: skip

    def _add_edge_columns(self, edge: EdgeModels, charge_m: FloatArray) -> None:
        """One column a model (y_m), then one a pair of model and task (flow_mt, in [0, 1])."""
        memory_share_m = edge.bytes_m / edge.memory if edge.memory > 0 else np.zeros(self.models)
        starts: list[int] = []
        row_j: list[int] = []
        value_j: list[float] = []
        for m in range(self.models):
            own = np.flatnonzero(self.flow_m == m)
            starts.append(len(row_j))
            row_j += [MEMORY_ROW, WINDOW_ROW, *(FIRST_FLOW_ROW + own).tolist()]
            fixed_share = edge.fixed_m[m] * self.window_share
            value_j += [memory_share_m[m], fixed_share, *([-1.0] * len(own))]
        count = self.first_client_column
        objective = np.zeros(count)
        objective[: self.models] = 0.0 - charge_m
        for f, (m, t) in enumerate(zip(self.flow_m.tolist(), self.flow_t.tolist(), strict=True)):
            starts.append(len(row_j))
            row_j += [WINDOW_ROW, FIRST_FLOW_ROW + f, self.first_task_row + t]
            value_j += [edge.cap_t[t] * edge.work_m[m] * self.window_share, 1.0, 1.0]
            objective[self.models + f] = edge.cap_t[t] * edge.accuracy_mt[m, t]
        self.solver.addCols(
            count, objective, np.zeros(count), np.ones(count), len(row_j),
            np.array(starts, np.int32), np.array(row_j, np.int32), np.array(value_j),
        )  # fmt: skip

    def add(self, chosen_c: NDArray[np.int64], routing_c: FloatArray) -> None:
        """One column a client: its model set and its routing (a row of `routing_c`, see
        routing_layout); those already there are left out."""
        rounded_c = np.round(routing_c[:, MASTER_PART], SAME_DIGITS)
        fresh = []
        for c in range(self.clients):
            key = (c, rounded_c[c].tobytes())
            if key not in self.known:
                self.known.add(key)
                fresh.append(c)
        if not fresh:
            return
        backhaul_c = np.zeros(self.clients)
        if np.isfinite(self.backhaul):
            # Without a backhaul no column uses it.
            backhaul_c = routing_c[:, BACKHAUL] / max(self.backhaul, 1e-300)
        # Task rows and the backhaul row stand one after another, as the entries do.
        entry_rows = np.arange(self.first_task_row, self.backhaul_row + 1)
        flows_ct = routing_c[:, EDGE_FLOWS] * self.scale_t
        value = np.hstack([-flows_ct, backhaul_c[:, None]])[fresh]
        place, column = np.nonzero(value)
        rows = np.concatenate([entry_rows[column], self.first_client_row + np.array(fresh)])
        entries = np.concatenate([value[place, column], np.ones(len(fresh))])
        order = np.argsort(np.concatenate([place, np.arange(len(fresh))]), kind="stable")
        counts = np.bincount(place, minlength=len(fresh)) + 1
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self.solver.addCols(
            len(fresh), routing_c[fresh, VALUE], np.zeros(len(fresh)),
            np.full(len(fresh), highspy.kHighsInf), len(entries), starts.astype(np.int32),
            rows[order].astype(np.int32), entries[order],
        )  # fmt: skip
        self.columns += [(c, int(chosen_c[c])) for c in fresh]

    def fix_models(self, active_m: NDArray[np.bool_] | None) -> None:
        """Hold y at `active_m`; None lets it be fractional."""
        low = np.zeros(self.models) if active_m is None else active_m.astype(float)
        high = np.ones(self.models) if active_m is None else low
        self.solver.changeColsBounds(self.models, np.arange(self.models, dtype=np.int32), low, high)

    def solve(self) -> MasterPrices:
        """Value and prices of the present columns."""
        self.solver.run()
        dual_r = np.abs(np.array(self.solver.getSolution().row_dual))
        service_t = dual_r[self.first_task_row : self.backhaul_row] * self.scale_t
        backhaul = dual_r[self.backhaul_row] / self.backhaul if self.backhaul > 0 else 0.0
        return MasterPrices(
            value=float(self.solver.getInfo().objective_function_value),
            service_t=service_t,
            backhaul=float(backhaul),
            work=float(dual_r[WINDOW_ROW] * self.window_share),
            memory=float(dual_r[MEMORY_ROW]),
        )

    def weights(self) -> list[dict[int, float]]:
        """For each client the weight of each model set in the last solution (columns that came
        after it have none)."""
        share = np.array(self.solver.getSolution().col_value)[self.first_client_column :]
        weights: list[dict[int, float]] = [{} for _ in range(self.clients)]
        for (client, chosen), weight in zip(self.columns, share, strict=False):
            if weight > 1e-9:
                weights[client][chosen] = weights[client].get(chosen, 0.0) + float(weight)
        return weights
