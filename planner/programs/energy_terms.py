"""F18 in the program of `planner/programs/formulation.py`: rows of watts, or a price on joules.

Watts are linear in its columns: those of p, o, r and f follow the queries, and y stands for the
first batch of every window. The share o that leaves a client is at least what its edge answers, so
a plan never draws more than its point of the program.

Axis letters: c client, e edge, a attachment, t task, m model, n node, v column, r row.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from planner.attachments import Component
from planner.energy import Energy, EnergyGoal, batches_per_query_e
from planner.fits import fitted
from planner.options import Options
from planner.problem import FloatArray, Problem
from planner.programs.formulation import Formulation
from planner.solvers.program import LinearProgram

__all__ = ["options_of_part", "with_energy"]

IntArray = NDArray[np.int64]


def options_of_part(options: Options, part: Component) -> Options:
    """The options for one component alone."""
    return options if options.energy is None else replace(options, energy=options.energy.part(part))


def with_energy(problem: Problem, model: Formulation, options: Options) -> Formulation:
    """`model`, a program of `problem` that chooses models, with the rows or the price of
    `options.energy`; itself where there is none."""
    goal = options.energy
    if goal is None:
        return model
    watts_nv = _watts(problem, model, goal.energy, batching=options.edge_form != "unbatched")
    if goal.price is not None:
        charged_v = goal.price * np.asarray(watts_nv.sum(axis=0)).ravel()
        objective_v = model.program.objective_v - charged_v
        return replace(model, program=replace(model.program, objective_v=objective_v))
    return replace(model, program=_limited(model.program, problem, goal, watts_nv))


def _limited(
    program: LinearProgram, problem: Problem, goal: EnergyGoal, watts_nv: sp.csr_matrix
) -> LinearProgram:
    """`program` with a row for every budget, divided by its largest number."""
    assert goal.budget is not None
    limit_n = goal.budget.limits_n(problem)
    all_nv = sp.vstack([watts_nv, sp.csr_matrix(watts_nv.sum(axis=0))], format="csr")
    kept_n = np.flatnonzero(np.isfinite(limit_n))
    rows, rhs_r = all_nv[kept_n], fitted(limit_n[kept_n])
    largest_r = np.maximum(np.asarray(rows.max(axis=1).todense()).ravel(), rhs_r)
    scale_r = 1 / np.where(largest_r > 1e-300, largest_r, 1.0)
    return replace(
        program,
        matrix=sp.csc_matrix(sp.vstack([program.matrix, sp.diags(scale_r) @ rows])),
        rhs_r=np.concatenate([program.rhs_r, rhs_r * scale_r]),
        row_scale_r=np.concatenate([program.row_scale_r, scale_r]),
    )


def _watts(
    problem: Problem, model: Formulation, energy: Energy, *, batching: bool
) -> sp.csr_matrix:
    """What one of each column makes each client, each edge and the cloud draw."""
    p, C, E = problem, len(problem.clients), len(problem.edges)
    entries: list[tuple[IntArray, IntArray, FloatArray]] = []

    def add(name: str, node: IntArray, watts: FloatArray) -> None:
        columns = np.arange(model.columns[name].start, model.columns[name].stop)
        entries.append((np.broadcast_to(node, columns.shape), columns, watts))

    c, t, m = model.index["p"]
    add("p", c, p.load_ct[c, t] * energy.client_j_cm[c, m])
    for name in ("o", "r"):
        a, t = model.index[name]
        qps = p.load_ct[p.client_of_a[a], t]
        bytes_per_s = qps * p.query_bytes_t[t]
        add(name, p.client_of_a[a], bytes_per_s * energy.uplink_j_per_byte_a[a])
        if name == "r":
            e = p.edge_of_a[a]
            add(name, C + e, bytes_per_s * energy.edge_uplink_j_per_byte_e[e])
            add(name, np.array(C + E), qps * energy.cloud_j_t[t])
    e, t, m = model.index["f"]
    batches = batches_per_query_e(p, batching=batching)[e]
    joules = energy.edge_query_j_em[e, m] + batches * energy.edge_batch_j_em[e, m]
    add("f", C + e, model.cap_et[e, t] * joules)
    if batching:
        e, m = model.index["y"]
        add("y", C + e, energy.edge_batch_j_em[e, m] / p.window_e[e])
    node, column, watts = (np.concatenate(part) for part in zip(*entries, strict=True))
    shape = (C + E + 1, len(model.program.upper_v))
    return sp.csr_matrix((watts, (node, column)), shape=shape)
