"""The linear and mixed-integer programs of J3O and BAJ3O, as sparse matrices built by numpy.

Axis letters: c client, e edge, a attachment (F12), t task, m model, v variable, r row. All
variables lie in [0, 1]: x_cm, y_em (only where models are to be chosen), p_ctm (local share), o_at
(share offloaded to the attachment's edge), r_at (share to the cloud by way of it) and f_etm, the
edge's flow through a model as a share of cap_et = sum_a min(lambda_it, kappa_a / b_t). Accuracy at
the edge does not depend on the client, so edge flow is aggregated over clients without loss. Beyond
1 goes only w_em, batches after a model's first where the largest batch of an edge may be full.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from planner.allocation import Allocation
from planner.attachments import by_edge
from planner.batches import batches_em
from planner.edge_cost import EdgeCost
from planner.fits import TOLERANCE, fitted, room
from planner.paths import cloud_open_at, edge_limit_at, has_deadlines, local_open_cmt
from planner.problem import FloatArray, Problem
from planner.programs.prices import Prices
from planner.programs.usable_models import usable_models
from planner.solvers.program import LinearProgram

__all__ = ["Formulation", "build_formulation"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


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
        found.cloud_at[self.index["r"]] = x_v[self.columns["r"]]
        offloaded_at = np.zeros_like(found.cloud_at)
        offloaded_at[self.index["o"]] = x_v[self.columns["o"]]
        E, T = self.cap_et.shape
        flow_etm = np.zeros((E, T, len(problem.models)))
        flow_etm[self.index["f"]] = x_v[self.columns["f"]]
        flow_etm *= self.cap_et[:, :, None] * found.onloaded_em[:, None, :]
        offered_et = by_edge(problem, problem.load_ct[problem.client_of_a] * offloaded_at)
        basis_et = np.maximum(np.maximum(offered_et, flow_etm.sum(axis=2)), 1e-300)
        portion_etm = flow_etm / basis_et[:, :, None]
        found.edge_atm[:] = offloaded_at[:, :, None] * portion_etm[problem.edge_of_a]
        return found

    def point(self, problem: Problem, allocation: Allocation) -> FloatArray | None:
        """The columns' values for a plan, to start a search from (needs `choose`); None if the
        plan holds a model that the program leaves out."""
        held = (
            (allocation.onloaded_cm, self.allowed_cm),
            (allocation.onloaded_em, self.allowed_em),
        )
        if any(np.any(onloaded & ~allowed) for onloaded, allowed in held):
            return None
        load_at = problem.load_ct[problem.client_of_a]
        flow_etm = by_edge(problem, load_at[:, :, None] * allocation.edge_atm)
        window_em = problem.window_e[:, None] * flow_etm.sum(axis=1)
        values = {
            "x": allocation.onloaded_cm,
            "y": allocation.onloaded_em,
            "p": allocation.local_ctm,
            "o": allocation.edge_atm.sum(axis=2),
            "r": allocation.cloud_at,
            "f": flow_etm / np.maximum(self.cap_et, 1e-300)[:, :, None],
            "w": np.maximum(batches_em(problem, window_em) - 1, 0.0),
        }
        x_v = np.zeros(len(self.program.upper_v))
        for name, value in values.items():
            x_v[self.columns[name]] = value[self.index[name]]
        return x_v

    def prices(self, problem: Problem, dual_r: FloatArray) -> Prices:
        """Duals in the units of the budgets."""
        price_r = dual_r * self.program.row_scale_r
        C, E, T = len(problem.clients), len(problem.edges), len(problem.tasks)
        uplink_n = price_r[self.rows["F7"]]
        uplink_a = np.zeros(len(problem.client_of_a))
        uplink_a[problem.limited_attachments] = uplink_n[C + E :]
        return Prices(
            share_ct=price_r[self.rows["F2"]].reshape(C, T),
            compute_c=price_r[self.rows["F5"]],
            uplink_c=uplink_n[:C],
            uplink_e=uplink_n[C : C + E],
            uplink_a=uplink_a,
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
    usable = usable_models(problem, allowed_cm, allowed_em)
    b = _Builder(problem, fill, edge_cost, choose, *usable)
    b.add_columns(use_cloud, cloud_price)
    b.shares_f2()
    if choose:
        b.served_by_onloaded_f3()
        b.memory_f4()
    b.client_compute_f5()
    b.uplinks_f7()
    b.cloud_compute_f8()
    b.edge_work_f6_f9()
    b.further_batches()
    b.edge_flow()
    return b.finish()


@dataclass
class _Builder:
    """Collects blocks of columns and of rows `matrix x <= rhs`, one method a constraint group."""

    problem: Problem
    fill: float
    edge_cost: EdgeCost
    choose: bool
    allowed_cm: BoolArray
    allowed_em: BoolArray
    columns: dict[str, slice] = field(default_factory=dict)
    rows: dict[str, slice] = field(default_factory=dict)
    index: dict[str, tuple[IntArray, ...]] = field(default_factory=dict)
    entries: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    rhs: list[FloatArray] = field(default_factory=list)
    row_count: int = 0
    most_em: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    def add_columns(self, use_cloud: bool, cloud_price: float) -> None:
        """Columns x, y (with `choose`), p, o, r, f with objective F1 (times the total load)."""
        p = self.problem
        c_of_a, e_of_a = p.client_of_a, p.edge_of_a
        limit_at = edge_limit_at(p)
        self.cap_et = by_edge(p, limit_at)
        serves_tm = p.accuracy_mt.T > 0
        flow_etm: BoolArray = (
            (self.cap_et > 0)[:, :, None] & serves_tm & self.allowed_em[:, None, :]
        )
        cloud_gain_t = p.cloud_accuracy_t - cloud_price * p.cloud_cost_t
        in_cloud_t = (p.cloud_model_t >= 0) & (cloud_gain_t > 0) & use_cloud
        masks = {
            "p": (p.load_ct > 0)[:, :, None] & serves_tm & self.allowed_cm[:, None, :],
            "o": (limit_at > 0) & np.asarray(flow_etm.any(axis=2))[e_of_a],
            "r": (p.load_ct > 0)[c_of_a] & in_cloud_t & cloud_open_at(p),
            "f": flow_etm,
        }
        if has_deadlines(p):
            masks["p"] = masks["p"] & local_open_cmt(p).transpose(0, 2, 1)
        if self.choose:
            masks = {"x": self.allowed_cm, "y": self.allowed_em, **masks}
        masks["w"] = self._several_batches_em(flow_etm)
        self.index = {name: np.nonzero(mask) for name, mask in masks.items()}
        ends = np.cumsum([0] + [len(where[0]) for where in self.index.values()])
        for name, (start, stop) in zip(self.index, pairwise(ends.tolist()), strict=True):
            self.columns[name] = slice(start, stop)
        self.column_count = int(ends[-1])
        self.objective_v = np.zeros(self.column_count)
        self.upper_v = np.ones(self.column_count)
        e, m = self.index["w"]
        self.upper_v[self.columns["w"]] = np.ceil(self.most_em[e, m] / p.edge_max_batch_e[e])
        if not self.choose:
            # F2 alone holds the shares down, so that its price is theirs (not that of a bound).
            for name in ("p", "o", "r"):
                self.upper_v[self.columns[name]] = 2.0
        c, t, m = self.index["p"]
        self.objective_v[self.columns["p"]] = p.load_ct[c, t] * p.accuracy_mt[m, t]
        a, t = self.index["r"]
        self.objective_v[self.columns["r"]] = p.load_ct[c_of_a[a], t] * cloud_gain_t[t]
        e, t, m = self.index["f"]
        self.objective_v[self.columns["f"]] = self.cap_et[e, t] * p.accuracy_mt[m, t]
        if self.choose:  # F16: models that are loaded are paid for.
            self.objective_v[self.columns["x"]] = 0.0 - p.client_moving_cm[self.index["x"]]
            self.objective_v[self.columns["y"]] = 0.0 - p.edge_moving_em[self.index["y"]]

    def _several_batches_em(self, flow_etm: BoolArray) -> BoolArray:
        """Models that may get more queries a window than the edge's largest batch holds."""
        p, further_em = self.problem, self.edge_cost.further_em
        self.most_em = p.window_e[:, None] * (self.cap_et[:, :, None] * flow_etm).sum(axis=1)
        if further_em is None:
            return np.zeros(self.most_em.shape, dtype=bool)
        return np.asarray((self.most_em > p.edge_max_batch_e[:, None]) & (further_em > 0))

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
            n, t = self.index[name][:2]
            c = n if name == "p" else p.client_of_a[n]
            terms.append((name, c * T + t, np.ones(len(c))))
        self.add_rows("F2", np.ones(len(p.clients) * T), *terms)

    def _most(self, share: str) -> FloatArray:
        """The most that each column of `p` or `f` can be, by F5 or F9 alone.

        A share of 1e-8 may be all that a node can serve of a great load. Held down by x itself, a
        solver could have it for an x of 1e-8, which it takes for 0: a model without its memory.
        """
        p = self.problem
        n, t, m = self.index[share]
        if share == "p":
            budget = self.fill * p.client_compute_c[n]
            work = p.load_ct[n, t] * (p.client_setup_cm[n, m] + p.client_marginal_cm[n, m])
        else:
            budget = self.fill * p.edge_compute_e[n] * p.window_e[n]
            work = p.window_e[n] * self.cap_et[n, t] * self.edge_cost.marginal_em[n, m]
        most = np.divide(room(budget), work, out=np.ones_like(work), where=work > 0)
        return np.minimum(most, 1.0)

    def served_by_onloaded_f3(self) -> None:
        """p <= x and f <= y, times the most that the share can be."""
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
            self.entries.append((row + self.row_count, columns, -self._most(share)))
            self.add_rows(label, np.zeros(count), (share, row, np.ones(count)))

    def memory_f4(self) -> None:
        p, C = self.problem, len(self.problem.clients)
        c, m = self.index["x"]
        e, k = self.index["y"]
        self.add_rows(
            "F4",
            fitted(np.concatenate([p.client_memory_c, p.edge_memory_e])),
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
        sent_ct = p.load_ct * p.query_bytes_t
        limited = p.limited_attachments
        row_a = np.full(len(p.client_of_a), -1)
        row_a[limited] = C + len(p.edges) + np.arange(len(limited))
        terms = []
        for name in ("o", "r"):
            a, t = self.index[name]
            c, rate = p.client_of_a[a], sent_ct[p.client_of_a[a], t]
            terms += [(name, c, rate), (name, row_a[a], np.where(row_a[a] >= 0, rate, 0.0))]
            if name == "r":
                terms.append((name, C + p.edge_of_a[a], rate))
        rhs_r = np.concatenate([p.client_uplink_c, p.edge_uplink_e, p.uplink_a[limited]])
        self.add_rows("F7", rhs_r, *terms)

    def cloud_compute_f8(self) -> None:
        p = self.problem
        a, t = self.index["r"]
        cost = p.load_ct[p.client_of_a[a], t] * p.cloud_cost_t[t]
        self.add_rows("F8", np.array([self.fill * p.cloud_compute]), ("r", np.zeros_like(a), cost))

    def edge_work_f6_f9(self) -> None:
        p, cost = self.problem, self.edge_cost
        e, t, m = self.index["f"]
        work = p.window_e[e] * self.cap_et[e, t] * cost.marginal_em[e, m]
        rhs_e = self.fill * p.edge_compute_e * p.window_e
        terms = [("f", e, work)]
        if cost.further_em is not None:
            e, m = self.index["w"]
            terms.append(("w", e, cost.further_em[e, m]))
        if self.choose:
            e, m = self.index["y"]
            terms.append(("y", e, cost.fixed_em[e, m]))
        else:
            rhs_e = rhs_e - np.where(self.allowed_em, cost.fixed_em, 0.0).sum(axis=1)
            short_e = -rhs_e > TOLERANCE * self.fill * p.edge_compute_e * p.window_e
            if short_e.any():
                e_bad = int(np.argmax(short_e))
                raise ValueError(f"setup costs alone exceed the window of {p.edges[e_bad]!r}")
        self.add_rows("F9", np.maximum(rhs_e, 0.0), *terms)

    def further_batches(self) -> None:
        """Queries of a window beyond a model's first batch need w more: n <= B (1 + w)."""
        p, granted_em = self.problem, self.edge_cost.granted_em
        e, m = self.index["w"]
        if granted_em is not None:
            e, m = np.nonzero(self.most_em > p.edge_max_batch_e[:, None] * granted_em)
        if len(e) == 0:
            return
        row_em = np.full(self.most_em.shape, -1)
        row_em[e, m] = np.arange(len(e))
        fe, ft, fm = self.index["f"]
        row = row_em[fe, fm]
        queries = np.where(row >= 0, p.window_e[fe] * self.cap_et[fe, ft], 0.0)
        terms = [("f", row, queries)]
        largest_r = p.edge_max_batch_e[e]
        if granted_em is None:
            terms.append(("w", np.arange(len(e)), -largest_r))
        else:
            largest_r = largest_r * granted_em[e, m]
        self.add_rows("batches", largest_r, *terms)

    def edge_flow(self) -> None:
        """Edge service of a task is at most what its clients offload."""
        p, T = self.problem, len(self.problem.tasks)
        (e, t, _), (a, u) = self.index["f"], self.index["o"]
        self.add_rows(
            "flow",
            np.zeros(len(p.edges) * T),
            ("f", e * T + t, self.cap_et[e, t]),
            ("o", p.edge_of_a[a] * T + u, -p.load_ct[p.client_of_a[a], u]),
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
        if self.choose:
            for name in ("x", "y", "w"):
                integer_v[self.columns[name]] = True
        program = LinearProgram(
            self.objective_v, self.upper_v, integer_v, matrix, rhs_r * scale_r, scale_r
        )
        return Formulation(
            program, self.columns, self.rows, self.index, self.cap_et,
            self.allowed_cm, self.allowed_em,
        )  # fmt: skip
