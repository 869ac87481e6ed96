"""The program of `planner/programs/formulation.py` with the accuracy of every client in it (F19).

There, edge flow is one number for all clients, since F1 does not ask whose query is answered. Here
it matters, so g_atm, the share of client i(a) that model m at the attachment's edge answers, comes
back as a variable, tied to what the other program has:

    sum_m g_atm <= o_at            what is answered was sent
    sum_a lambda g_atm <= cap f    and is part of the edge's flow through m, which F9 charges
    g_atm <= y_em                  (implied for whole y; it makes the relaxation tighter)

Then accuracy_i = sum_t lambda_it (sum_m a_mt p_itm + a_ot r_at + sum_m a_mt g_atm) / lambda_i is
linear. Two programs take it: z <= accuracy_i for all i, maximise z; and u_i <= tangents of
log accuracy_i, maximise sum_i u_i.

Axis letters: c client, e edge, a attachment, t task, m model, v column, i counted client.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from planner.allocation import Allocation
from planner.paths import edge_limit_at
from planner.problem import FloatArray, Problem
from planner.programs.formulation import Formulation
from planner.solvers import LinearProgram

__all__ = ["FairProgram", "Tangents", "fair_program"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FLOOR_SLACK = 1e-7
"""A floor is a solver's own answer: this part of it is left as room for its tolerance."""


@dataclass(frozen=True, eq=False)
class Tangents:
    """Lines above log(accuracy / lowest): for client i of each line, at accuracy `at`."""

    lowest: float
    i: IntArray
    at: FloatArray

    def with_more(self, at_i: FloatArray) -> Tangents:
        """And one line for each client, at its accuracy `at_i`."""
        more_i = np.maximum(at_i, np.e * self.lowest)
        return Tangents(
            self.lowest,
            np.concatenate([self.i, np.arange(len(at_i))]),
            np.concatenate([self.at, more_i]),
        )


@dataclass(frozen=True, eq=False)
class FairProgram:
    """`model` with g_atm: `base` has its columns, then g, and its rows, then those of g.

    `accuracy_iv` (sparse) gives the accuracy of every counted client from the columns.
    """

    problem: Problem
    model: Formulation
    counted_c: BoolArray
    base: LinearProgram
    accuracy_iv: sp.csr_matrix
    where_g: tuple[IntArray, IntArray, IntArray]
    """(a, t, m) of each column g."""

    @property
    def clients(self) -> int:
        """How many clients count."""
        return int(self.accuracy_iv.shape[0])

    def least(self, enough: float) -> LinearProgram:
        """Maximise z with z <= accuracy_i, and z <= `enough`."""
        rows = sp.hstack([-self.accuracy_iv, np.ones((self.clients, 1))])
        return _extended(self.base, np.ones(1), np.full(1, enough), rows, np.zeros(self.clients))

    def mean_above(self, floor: float) -> LinearProgram:
        """Maximise the right answers/s of all clients, none that counts below `floor`."""
        load_c = self.problem.load_ct.sum(axis=1)[self.counted_c]
        floors = np.full(self.clients, -floor * (1 - FLOOR_SLACK))
        program = _extended(self.base, np.zeros(0), np.zeros(0), -self.accuracy_iv, floors)
        objective_v = np.asarray(self.accuracy_iv.T @ load_c)
        return LinearProgram(
            objective_v, program.upper_v, program.integer_v, program.matrix, program.rhs_r,
            program.row_scale_r,
        )  # fmt: skip

    def proportional(self, tangents: Tangents) -> LinearProgram:
        """Maximise sum_i u_i, u_i below every tangent: at least sum_i log(accuracy_i / lowest)."""
        count = len(tangents.i)
        slope_k = 1 / tangents.at
        own = sp.csr_matrix(
            (np.ones(count), (np.arange(count), tangents.i)), shape=(count, self.clients)
        )
        rows = sp.hstack([-sp.diags(slope_k) @ own @ self.accuracy_iv, own])
        rhs_k = np.maximum(np.log(tangents.at / tangents.lowest) - 1, 0.0)
        most_i = np.full(self.clients, np.log(1 / tangents.lowest))
        return _extended(self.base, np.ones(self.clients), most_i, rows, rhs_k)

    def accuracy_i(self, x_v: FloatArray) -> FloatArray:
        """Accuracy of the counted clients at a point of any of the programs."""
        return np.asarray(self.accuracy_iv @ x_v[: self.accuracy_iv.shape[1]])

    def allocation(self, x_v: FloatArray) -> Allocation:
        """Arrays for a point of any of the programs."""
        found = self.model.allocation(self.problem, x_v)
        a, t, m = self.where_g
        first = len(self.model.program.upper_v)
        found.edge_atm[:] = 0.0
        found.edge_atm[a, t, m] = x_v[first : first + len(a)]
        found.edge_atm[:] *= found.onloaded_em[self.problem.edge_of_a][:, None, :]
        return found

    def point(self, allocation: Allocation, last_n: FloatArray) -> FloatArray | None:
        """The columns' values for a plan, to start a search from, with `last_n` for the program's
        own; None if the plan holds a model that is left out."""
        first_v = self.model.point(self.problem, allocation)
        if first_v is None:
            return None
        return np.concatenate([first_v, allocation.edge_atm[self.where_g], last_n])


def fair_program(problem: Problem, model: Formulation, counted_c: BoolArray) -> FairProgram:
    """`model`, a program of `problem` that chooses models, with the clients' accuracy in it."""
    p = problem
    T, M = len(p.tasks), len(p.models)
    a_o, t_o = model.index["o"]
    e_f, t_f, m_f = model.index["f"]
    e_y, m_y = model.index["y"]
    column_et_m = np.full((len(p.edges), T, M), -1)
    column_et_m[e_f, t_f, m_f] = np.arange(len(e_f))
    column_em = np.full((len(p.edges), M), -1)
    column_em[e_y, m_y] = np.arange(len(e_y))
    # One g for each column o and each model that its edge may answer the task with.
    o, m = np.nonzero(column_et_m[p.edge_of_a[a_o], t_o] >= 0)
    a, t = a_o[o], t_o[o]
    c, e = p.client_of_a[a], p.edge_of_a[a]
    load = p.load_ct[c, t]
    most = edge_limit_at(p)[a, t] / load
    columns = len(model.program.upper_v)
    g = columns + np.arange(len(a))
    f, y = column_et_m[e, t, m], column_em[e, m]
    sent, flows, count = len(a_o), len(e_f), len(g)
    entries = [
        (o, g, np.ones(count)),
        (np.arange(sent), model.columns["o"].start + np.arange(sent), -np.ones(sent)),
        (sent + f, g, load / model.cap_et[e, t]),
        (sent + np.arange(flows), model.columns["f"].start + np.arange(flows), -np.ones(flows)),
        (sent + flows + np.arange(count), g, np.ones(count)),
        (sent + flows + np.arange(count), model.columns["y"].start + y, -most),
    ]
    row, column, value = (np.concatenate(part) for part in zip(*entries, strict=True))
    rows = sp.csc_matrix((value, (row, column)), shape=(sent + flows + count, columns + count))
    rhs_r = np.zeros(sent + flows + count)
    base = _extended(model.program, np.zeros(count), np.ones(count), rows, rhs_r)
    accuracy_iv = _accuracy(p, model, counted_c, (c, t, m), columns + count)
    return FairProgram(p, model, counted_c, base, accuracy_iv, (a, t, m))


def _extended(
    base: LinearProgram, objective_n: FloatArray, upper_n: FloatArray, rows: sp.spmatrix,
    rhs_r: FloatArray,
) -> LinearProgram:  # fmt: skip
    """`base` with n more columns, which alone are the objective, and more rows."""
    more = len(objective_n)
    wide = sp.hstack([base.matrix, sp.csc_matrix((base.matrix.shape[0], more))])
    return LinearProgram(
        np.concatenate([np.zeros(len(base.upper_v)), objective_n]),
        np.concatenate([base.upper_v, upper_n]),
        np.concatenate([base.integer_v, np.zeros(more, dtype=bool)]),
        sp.csc_matrix(sp.vstack([wide, rows])),
        np.concatenate([base.rhs_r, rhs_r]),
        np.concatenate([base.row_scale_r, np.ones(len(rhs_r))]),
    )


def _accuracy(
    problem: Problem, model: Formulation, counted_c: BoolArray,
    at_g: tuple[IntArray, IntArray, IntArray], columns: int,
) -> sp.csr_matrix:  # fmt: skip
    """The rows accuracy_i of the module's text; `at_g` are client, task and model of each g."""
    p = problem
    c_p, t_p, m_p = model.index["p"]
    a_r, t_r = model.index["r"]
    c_r = p.client_of_a[a_r]
    c_g, t_g, m_g = at_g
    column = np.concatenate(
        [
            model.columns["p"].start + np.arange(len(c_p)),
            model.columns["r"].start + np.arange(len(a_r)),
            columns - len(c_g) + np.arange(len(c_g)),
        ]
    )
    c, t = np.concatenate([c_p, c_r, c_g]), np.concatenate([t_p, t_r, t_g])
    accuracy = np.concatenate(
        [p.accuracy_mt[m_p, t_p], p.cloud_accuracy_t[t_r], p.accuracy_mt[m_g, t_g]]
    )
    place_c = np.cumsum(counted_c) - 1
    kept = counted_c[c]
    value = (accuracy * p.load_ct[c, t] / p.load_ct.sum(axis=1)[c])[kept]
    shape = (int(counted_c.sum()), columns)
    return sp.csr_matrix((value, (place_c[c[kept]], column[kept])), shape=shape)
