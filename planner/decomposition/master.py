"""The restricted master of one edge: columns of its clients, flows through its models.

Rows: memory of the edge (F4), window (F9), flow <= model (F3), flow of each task, backhaul (F7),
one client one column. Its duals are the next prices to try. Axis letters: t task, m model.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from planner.problem import FloatArray
from planner.solvers.highs import QuietHighs

__all__ = ["Master", "MasterPrices"]


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

    `accuracy_mt`, `fixed_m`, `work_m`, `bytes_m` describe the edge's models, `cap_t` the most
    queries/s a task can bring (F3), `window` seconds of work, `backhaul` bytes/s (inf: no limit).
    """

    def __init__(
        self, accuracy_mt: FloatArray, fixed_m: FloatArray, work_m: FloatArray,
        bytes_m: FloatArray, cap_t: FloatArray, *, window: float, memory: float,
        backhaul: float, clients: int,
    ) -> None:  # fmt: skip
        self.models, self.tasks = accuracy_mt.shape
        self.clients, self.backhaul = clients, backhaul
        self.flow_m, self.flow_t = np.nonzero((accuracy_mt > 0) & (cap_t > 0))
        flows = len(self.flow_m)
        self.first_flow_row = 2
        self.task_row = 2 + flows
        self.backhaul_row = self.task_row + self.tasks
        self.client_row = self.backhaul_row + 1
        rows = self.client_row + clients
        self.scale_t = np.where(cap_t > 0, 1.0 / np.maximum(cap_t, 1e-300), 0.0)
        self.columns: list[tuple[int, int]] = []
        solver = QuietHighs()
        solver.setOptionValue("threads", 1)
        solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
        upper_r = np.zeros(rows)
        upper_r[0] = 1.0
        upper_r[1] = 1.0
        upper_r[self.backhaul_row :] = 1.0
        none = np.zeros(0)
        solver.addRows(
            rows, np.full(rows, -highspy.kHighsInf), upper_r, 0,
            np.zeros(rows, np.int32), none.astype(np.int32), none,
        )  # fmt: skip
        memory_share_m = bytes_m / memory if memory > 0 else np.zeros(self.models)
        self.window_share = window_share = 1.0 / window if window > 0 else 0.0
        starts: list[int] = []
        index: list[int] = []
        value: list[float] = []
        for m in range(self.models):
            own = np.flatnonzero(self.flow_m == m)
            starts.append(len(index))
            index += [0, 1, *(self.first_flow_row + own).tolist()]
            value += [memory_share_m[m], fixed_m[m] * window_share, *([-1.0] * len(own))]
        cost = np.zeros(self.models + flows)
        for f in range(flows):
            m, t = int(self.flow_m[f]), int(self.flow_t[f])
            starts.append(len(index))
            index += [1, self.first_flow_row + f, self.task_row + t]
            value += [cap_t[t] * work_m[m] * window_share, 1.0, 1.0]
            cost[self.models + f] = cap_t[t] * accuracy_mt[m, t]
        count = self.models + flows
        solver.addCols(
            count, cost, np.zeros(count), np.ones(count), len(index),
            np.array(starts, np.int32), np.array(index, np.int32), np.array(value),
        )  # fmt: skip
        self.first_client_column = count
        self.solver = solver
        self.known: set[tuple[int, bytes]] = set()

    def add(self, chosen_c: NDArray[np.int64], routing_c: FloatArray) -> None:
        """One column a client: its model set and routing; those already there are left out."""
        T = self.tasks
        rounded_c = np.round(routing_c[:, : T + 3], 9)
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
            backhaul_c = routing_c[:, T] / max(self.backhaul, 1e-300)
        entry_rows = np.array([*range(self.task_row, self.task_row + T), self.backhaul_row])
        value = np.hstack([-routing_c[:, :T] * self.scale_t, backhaul_c[:, None]])[fresh]
        place, column = np.nonzero(value)
        rows = np.concatenate([entry_rows[column], self.client_row + np.array(fresh)])
        entries = np.concatenate([value[place, column], np.ones(len(fresh))])
        order = np.argsort(np.concatenate([place, np.arange(len(fresh))]), kind="stable")
        counts = np.bincount(place, minlength=len(fresh)) + 1
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self.solver.addCols(
            len(fresh), routing_c[fresh, T + 2], np.zeros(len(fresh)),
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
        dual = np.abs(np.array(self.solver.getSolution().row_dual))
        service_t = dual[self.task_row : self.task_row + self.tasks] * self.scale_t
        backhaul = dual[self.backhaul_row] / self.backhaul if self.backhaul > 0 else 0.0
        return MasterPrices(
            value=float(self.solver.getInfo().objective_function_value),
            service_t=service_t,
            backhaul=float(backhaul),
            work=float(dual[1] * self.window_share),
            memory=float(dual[0]),
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
