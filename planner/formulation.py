"""The linear and mixed-integer programs of J3O and BAJ3O, as sparse matrices built by numpy.

Axis letters: c client, e edge, t task, m model, v variable, r row. All variables lie in [0, 1]:
x_cm, y_em (only where models are to be chosen), p_ctm (local share), o_ct (share offloaded to
the edge), r_ct (share to the cloud) and f_etm, the edge's flow through a model as a share of
cap_et = sum_i min(lambda_it, kappa_i / b_t). Accuracy at the edge does not depend on the client,
so edge flow is aggregated over clients without loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from planner.allocation import Allocation
from planner.paths import cloud_open_ct, edge_limit_ct, has_deadlines, local_open_cmt
from planner.problem import FloatArray, Problem
from planner.solvers.program import LinearProgram

__all__ = ["EdgeCost", "Formulation", "Prices", "build_formulation"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class EdgeCost:
    """Work one window brings an edge: sum_m fixed_em 1[active] + marginal_em n_em, seconds."""

    fixed_em: FloatArray
    marginal_em: FloatArray

    @classmethod
    def batched(cls, problem: Problem) -> EdgeCost:
        """F9: setup once per window, marginal per query."""
        return cls(problem.edge_setup_em, problem.edge_marginal_em)

    @classmethod
    def unbatched(cls, problem: Problem) -> EdgeCost:
        """F6 (times T_b): setup and marginal per query."""
        return cls(
            np.zeros_like(problem.edge_setup_em), problem.edge_setup_em + problem.edge_marginal_em
        )

    @classmethod
    def surrogate(cls, problem: Problem, queries_em: FloatArray, epsilon: float) -> EdgeCost:
        """The paper's linear row: nu n / (n^(k) + epsilon) + c n around n^(k) = `queries_em`."""
        slope_em = problem.edge_setup_em / (queries_em + epsilon)
        return cls(np.zeros_like(slope_em), slope_em + problem.edge_marginal_em)


@dataclass(frozen=True, eq=False)
class Prices:
    """Dual prices of a linear program, in accuracy-weighted queries/s per unit of each budget."""

    share_ct: FloatArray
    """F2, per unit of share."""
    compute_c: FloatArray
    """F5, per busy second/s."""
    uplink_c: FloatArray
    """F7 at clients, per byte/s."""
    uplink_e: FloatArray
    """F7 at edges, per byte/s."""
    window_e: FloatArray
    """F9 (or F6), per second of work in a window."""
    service_et: FloatArray
    """Value of one more query/s of edge service, per query/s."""
    cloud: float
    """F8, per busy second/s."""


@dataclass(frozen=True, eq=False)
class Formulation:
    """A program with the meaning of its columns (`*_v` index arrays) and rows (slices)."""

    program: LinearProgram
    columns: dict[str, slice]
    rows: dict[str, slice]
    index: dict[str, tuple[IntArray, ...]]
    cap_et: FloatArray
    allowed_cm: BoolArray
    allowed_em: BoolArray

    def allocation(self, problem: Problem, x_v: FloatArray) -> Allocation:
        """Arrays for a solution; models are rounded to 0 or 1 and flow follows its model."""
        found = Allocation.empty(problem)
        found.onloaded_cm[:] = self.allowed_cm
        found.onloaded_em[:] = self.allowed_em
        if "x" in self.index:
            found.onloaded_cm[:] = False
            found.onloaded_em[:] = False
            found.onloaded_cm[self.index["x"]] = x_v[self.columns["x"]] > 0.5
            found.onloaded_em[self.index["y"]] = x_v[self.columns["y"]] > 0.5
        found.local_ctm[self.index["p"]] = x_v[self.columns["p"]]
        found.local_ctm[:] *= found.onloaded_cm[:, None, :]
        found.cloud_ct[self.index["r"]] = x_v[self.columns["r"]]
        offloaded_ct = np.zeros_like(found.cloud_ct)
        offloaded_ct[self.index["o"]] = x_v[self.columns["o"]]
        E, T = self.cap_et.shape
        flow_etm = np.zeros((E, T, len(problem.models)))
        flow_etm[self.index["f"]] = x_v[self.columns["f"]]
        flow_etm *= self.cap_et[:, :, None] * found.onloaded_em[:, None, :]
        offered_et = np.zeros((E, T))
        np.add.at(offered_et, problem.edge_of_c, problem.load_ct * offloaded_ct)
        basis_et = np.maximum(np.maximum(offered_et, flow_etm.sum(axis=2)), 1e-300)
        portion_etm = flow_etm / basis_et[:, :, None]
        found.edge_ctm[:] = offloaded_ct[:, :, None] * portion_etm[problem.edge_of_c]
        return found

    def prices(self, problem: Problem, dual_r: FloatArray) -> Prices:
        """Duals in the units of the budgets."""
        price_r = dual_r * self.program.row_scale_r
        C, E, T = len(problem.clients), len(problem.edges), len(problem.tasks)
        uplink_n = price_r[self.rows["F7"]]
        return Prices(
            share_ct=price_r[self.rows["F2"]].reshape(C, T),
            compute_c=price_r[self.rows["F5"]],
            uplink_c=uplink_n[:C],
            uplink_e=uplink_n[C:],
            window_e=price_r[self.rows["F9"]],
            service_et=price_r[self.rows["flow"]].reshape(E, T),
            cloud=float(price_r[self.rows["F8"]][0]),
        )


def build_formulation(
    problem: Problem,
    *,
    fill: float,
    edge_cost: EdgeCost,
    choose: bool,
    allowed_cm: BoolArray | None = None,
    allowed_em: BoolArray | None = None,
    use_cloud: bool = True,
    cloud_price: float = 0.0,
) -> Formulation:
    """The program of `problem` with budgets of compute scaled by `fill`.

    `allowed_*` are the models that may be used (all by default). With `choose`, which of them to
    onload is decided too (F3, F4, binary x and y); without, they are onloaded and each allowed
    edge model is charged its fixed work. `cloud_price` is charged per busy second of the cloud.
    """
    b = _Builder(problem, fill, edge_cost, choose)
    b.restrict(allowed_cm, allowed_em)
    b.add_columns(use_cloud, cloud_price)
    b.shares_f2()
    if choose:
        b.served_by_onloaded_f3()
        b.memory_f4()
    b.client_compute_f5()
    b.uplinks_f7()
    b.cloud_compute_f8()
    b.edge_work_f6_f9()
    b.edge_flow()
    return b.finish()


@dataclass
class _Builder:
    """Collects blocks of columns and of rows `matrix x <= rhs`, one method a constraint group."""

    problem: Problem
    fill: float
    edge_cost: EdgeCost
    choose: bool
    columns: dict[str, slice] = field(default_factory=dict)
    rows: dict[str, slice] = field(default_factory=dict)
    index: dict[str, tuple[IntArray, ...]] = field(default_factory=dict)
    entries: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    rhs: list[FloatArray] = field(default_factory=list)
    row_count: int = 0

    def restrict(self, allowed_cm: BoolArray | None, allowed_em: BoolArray | None) -> None:
        """Models that are allowed, serve something and fit the node's memory alone."""
        p = self.problem
        useful_m = (p.accuracy_mt > 0).any(axis=1)
        fits_cm = p.client_model_bytes_cm <= p.client_memory_c[:, None]
        fits_em = p.edge_model_bytes_em <= p.edge_memory_e[:, None]
        self.allowed_cm = useful_m & fits_cm & np.isfinite(p.client_model_bytes_cm)
        self.allowed_em = useful_m & fits_em & np.isfinite(p.edge_model_bytes_em)
        if allowed_cm is not None:
            self.allowed_cm = self.allowed_cm & allowed_cm
        if allowed_em is not None:
            self.allowed_em = self.allowed_em & allowed_em

    def add_columns(self, use_cloud: bool, cloud_price: float) -> None:
        """Columns x, y (with `choose`), p, o, r, f with objective F1 (times the total load)."""
        p = self.problem
        limit_ct = edge_limit_ct(p)
        self.cap_et = np.zeros((len(p.edges), len(p.tasks)))
        np.add.at(self.cap_et, p.edge_of_c, limit_ct)
        serves_tm = p.accuracy_mt.T > 0
        flow_etm: BoolArray = (
            (self.cap_et > 0)[:, :, None] & serves_tm & self.allowed_em[:, None, :]
        )
        cloud_gain_t = p.cloud_accuracy_t - cloud_price * p.cloud_cost_t
        in_cloud_t = (p.cloud_model_t >= 0) & (cloud_gain_t > 0) & use_cloud
        linked_c = (p.client_uplink_c > 0) & (p.edge_uplink_e > 0)[p.edge_of_c]
        masks = {
            "p": (p.load_ct > 0)[:, :, None] & serves_tm & self.allowed_cm[:, None, :],
            "o": (limit_ct > 0) & np.asarray(flow_etm.any(axis=2))[p.edge_of_c],
            "r": (p.load_ct > 0) & in_cloud_t & linked_c[:, None],
            "f": flow_etm,
        }
        if has_deadlines(p):
            masks["p"] = masks["p"] & local_open_cmt(p).transpose(0, 2, 1)
            masks["r"] = masks["r"] & cloud_open_ct(p)
        if self.choose:
            masks = {"x": self.allowed_cm, "y": self.allowed_em, **masks}
        self.index = {name: np.nonzero(mask) for name, mask in masks.items()}
        ends = np.cumsum([0] + [len(where[0]) for where in self.index.values()])
        for name, (start, stop) in zip(self.index, pairwise(ends.tolist()), strict=True):
            self.columns[name] = slice(start, stop)
        self.column_count = int(ends[-1])
        self.objective_v = np.zeros(self.column_count)
        self.upper_v = np.ones(self.column_count)
        if not self.choose:
            # F2 alone holds the shares down, so that its price is theirs (not that of a bound).
            for name in ("p", "o", "r"):
                self.upper_v[self.columns[name]] = 2.0
        c, t, m = self.index["p"]
        self.objective_v[self.columns["p"]] = p.load_ct[c, t] * p.accuracy_mt[m, t]
        c, t = self.index["r"]
        self.objective_v[self.columns["r"]] = p.load_ct[c, t] * cloud_gain_t[t]
        e, t, m = self.index["f"]
        self.objective_v[self.columns["f"]] = self.cap_et[e, t] * p.accuracy_mt[m, t]

    def add_rows(
        self, label: str, rhs_r: FloatArray, *terms: tuple[str, IntArray, FloatArray]
    ) -> None:
        """One group of rows; a term is (column block, local row of each column, coefficient).

        Rows without a limit (rhs inf) keep their place but stay empty.
        """
        limited_r = np.isfinite(rhs_r)
        for name, row, value in terms:
            columns = np.arange(self.columns[name].start, self.columns[name].stop)
            keep = limited_r[row] & (value != 0)
            self.entries.append((row[keep] + self.row_count, columns[keep], value[keep]))
        start, self.row_count = self.row_count, self.row_count + len(rhs_r)
        self.rows[label] = slice(start, self.row_count)
        self.rhs.append(np.where(limited_r, rhs_r, 1.0))

    def shares_f2(self) -> None:
        p, T = self.problem, len(self.problem.tasks)
        terms = []
        for name in ("p", "o", "r"):
            c, t = self.index[name][:2]
            terms.append((name, c * T + t, np.ones(len(c))))
        self.add_rows("F2", np.ones(len(p.clients) * T), *terms)

    def served_by_onloaded_f3(self) -> None:
        for label, share, chosen, names in (
            ("F3c", "p", "x", self.allowed_cm.shape),
            ("F3e", "f", "y", self.allowed_em.shape),
        ):
            n, _, m = self.index[share]
            count = len(n)
            place_nm = np.zeros(names, dtype=np.int64)
            place_nm[self.index[chosen]] = np.arange(len(self.index[chosen][0]))
            columns = self.columns[chosen].start + place_nm[n, m]
            row = np.arange(count)
            self.entries.append((row + self.row_count, columns, np.full(count, -1.0)))
            self.add_rows(label, np.zeros(count), (share, row, np.ones(count)))

    def memory_f4(self) -> None:
        p, C = self.problem, len(self.problem.clients)
        c, m = self.index["x"]
        e, k = self.index["y"]
        self.add_rows(
            "F4",
            np.concatenate([p.client_memory_c, p.edge_memory_e]),
            ("x", c, p.client_model_bytes_cm[c, m]),
            ("y", e + C, p.edge_model_bytes_em[e, k]),
        )

    def client_compute_f5(self) -> None:
        p = self.problem
        c, t, m = self.index["p"]
        cost = p.load_ct[c, t] * (p.client_setup_cm[c, m] + p.client_marginal_cm[c, m])
        self.add_rows("F5", self.fill * p.client_compute_c, ("p", c, cost))

    def uplinks_f7(self) -> None:
        p, C = self.problem, len(self.problem.clients)
        (co, to), (cr, tr) = self.index["o"], self.index["r"]
        rate_r = p.load_ct[cr, tr] * p.query_bytes_t[tr]
        rhs_r = np.concatenate([p.client_uplink_c, p.edge_uplink_e])
        self.add_rows("F7", rhs_r, ("o", co, p.load_ct[co, to] * p.query_bytes_t[to]),
                      ("r", cr, rate_r), ("r", C + p.edge_of_c[cr], rate_r))  # fmt: skip

    def cloud_compute_f8(self) -> None:
        p = self.problem
        c, t = self.index["r"]
        cost = p.load_ct[c, t] * p.cloud_cost_t[t]
        self.add_rows("F8", np.array([self.fill * p.cloud_compute]), ("r", np.zeros_like(c), cost))

    def edge_work_f6_f9(self) -> None:
        p, cost = self.problem, self.edge_cost
        e, t, m = self.index["f"]
        work = p.window_e[e] * self.cap_et[e, t] * cost.marginal_em[e, m]
        rhs_e = self.fill * p.edge_compute_e * p.window_e
        terms = [("f", e, work)]
        if self.choose:
            e, m = self.index["y"]
            terms.append(("y", e, cost.fixed_em[e, m]))
        else:
            rhs_e = rhs_e - np.where(self.allowed_em, cost.fixed_em, 0.0).sum(axis=1)
            if np.any(rhs_e < -1e-12):
                e_bad = int(np.argmin(rhs_e))
                raise ValueError(f"setup costs alone exceed the window of {p.edges[e_bad]!r}")
        self.add_rows("F9", np.maximum(rhs_e, 0.0), *terms)

    def edge_flow(self) -> None:
        """Edge service of a task is at most what its clients offload."""
        p, T = self.problem, len(self.problem.tasks)
        (e, t, _), (c, u) = self.index["f"], self.index["o"]
        self.add_rows(
            "flow",
            np.zeros(len(p.edges) * T),
            ("f", e * T + t, self.cap_et[e, t]),
            ("o", p.edge_of_c[c] * T + u, -p.load_ct[c, u]),
        )

    def finish(self) -> Formulation:
        row, column, value = (np.concatenate(part) for part in zip(*self.entries, strict=True))
        rhs_r = np.concatenate(self.rhs)
        largest_r = np.maximum(np.abs(rhs_r), 1e-300)
        np.maximum.at(largest_r, row, np.abs(value))
        scale_r = np.where(largest_r > 1e-300, 1.0 / largest_r, 1.0)
        shape = (self.row_count, self.column_count)
        matrix = sp.csc_matrix((value * scale_r[row], (row, column)), shape=shape)
        integer_v = np.zeros(self.column_count, dtype=bool)
        for name in ("x", "y"):
            if name in self.columns:
                integer_v[self.columns[name]] = True
        program = LinearProgram(
            self.objective_v, self.upper_v, integer_v, matrix, rhs_r * scale_r, scale_r
        )
        return Formulation(
            program, self.columns, self.rows, self.index, self.cap_et,
            self.allowed_cm, self.allowed_em,
        )  # fmt: skip
