"""The best plan for the least client, or for all of them in proportion, with a bound (F19).

The least accuracy is one linear objective. The sum of logarithms is approached from above: every
client has some tangents of log, the program is solved, each client gets one more tangent at the
accuracy that it has in the answer, and so on until the answer is worth what the program says it is.
Each program's bound is a bound on the sum of logarithms, since tangents lie above log.

Axis letters: i counted client, v column.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from planner.allocation import Allocation
from planner.client_accuracy import Objective
from planner.fairness.program import FairProgram, Tangents
from planner.problem import FloatArray
from planner.programs.bound import relaxed
from planner.solvers import LinearProgram, ProgramStatus, SolverLimits, SolverName, solve_program

__all__ = ["Found", "best_mean_above", "relaxed_value", "search"]

LOWEST = 1e-6
"""Accuracy below which log is replaced by a line: less is worth nothing more than this."""
FIRST_AT = np.array([1.0, 0.7, 0.5, 0.35, 0.25, 0.12, 0.06, 0.03, 0.01, 1e-3, 1e-4, 1e-5])
ROUNDS = 12
TIGHT = 1e-9
"""Tolerance that the search asks of a solver. The objective is one number between 0 and 1, so what
its usual 1e-7 allows for each of thousands of columns would be more than the gap."""


@dataclass(frozen=True)
class Found:
    """Plan (None without one), and a bound: on the least accuracy, or on sum_i log accuracy_i."""

    allocation: Allocation | None
    bound: float
    optimal: bool
    solver: str
    nodes: int


def search(
    program: FairProgram,
    objective: Objective,
    limits: SolverLimits,
    solver: SolverName,
    start: Allocation | None,
    enough: float,
) -> Found:
    """The best plan of `program` to the relative gap of `limits`, sought from `start`.

    `enough` is a bound on what the least client of all programs can have together: a plan that
    reaches it is as good as any, and no bound is above it.
    """
    if program.clients == 0:
        return Found(None, enough if objective == "least" else 0.0, True, "none", 0)
    limits = replace(limits, tolerance=TIGHT)
    if objective == "proportional":
        return _proportional(program, limits, solver, start)
    start_v = None if start is None else program.point(start, np.zeros(1))
    if start_v is not None:
        start_v[-1] = np.clip(program.accuracy_i(start_v).min(), 0.0, enough)
        if start_v[-1] >= enough * (1 - limits.gap):
            return Found(start, enough, True, "none", 0)
    result = solve_program(program.least(enough), limits, solver, start_v)
    allocation = start if result.x_v is None else program.allocation(result.x_v)
    optimal = result.status is ProgramStatus.OPTIMAL
    return Found(allocation, min(result.bound, enough), optimal, result.solver, result.nodes)


def best_mean_above(
    program: FairProgram, floor: float, limits: SolverLimits, solver: SolverName,
    start: Allocation,
) -> Allocation | None:  # fmt: skip
    """The plan with the best mean (F1) in which no client that counts is below `floor`."""
    start_v = program.point(start, np.zeros(0))
    result = solve_program(program.mean_above(floor), limits, solver, start_v)
    return None if result.x_v is None else program.allocation(result.x_v)


def relaxed_value(program: FairProgram, objective: Objective, time_limit_s: float) -> float:
    """A bound from the linear relaxation, as `Found.bound`."""
    if program.clients == 0:
        return 1.0 if objective == "least" else 0.0
    limits = SolverLimits(0.0, time_limit_s)
    if objective == "least":
        return min(_relaxed(program.least(1.0), limits)[1], 1.0)
    return _tangents(program, limits)[1]


def _relaxed(program: LinearProgram, limits: SolverLimits) -> tuple[FloatArray | None, float]:
    result = solve_program(relaxed(program), limits, "highs")
    return result.x_v, result.bound


def _tangents(program: FairProgram, limits: SolverLimits) -> tuple[Tangents, float]:
    """Tangents where the linear relaxation has its optimum, and the bound that it gives."""
    clients = program.clients
    tangents = Tangents(
        LOWEST, np.repeat(np.arange(clients), len(FIRST_AT)), np.tile(FIRST_AT, clients)
    )
    bound = clients * np.log(1 / LOWEST)
    for _ in range(ROUNDS):
        x_v, value = _relaxed(program.proportional(tangents), limits)
        bound = min(bound, value)
        if x_v is None:
            break
        accuracy_i = program.accuracy_i(x_v)
        tangents = tangents.with_more(accuracy_i)
        reached = float(np.log(np.maximum(accuracy_i, LOWEST) / LOWEST).sum())
        if bound - reached <= 1e-5 * clients:
            break
    return tangents, bound + clients * np.log(LOWEST)


def _proportional(
    program: FairProgram, limits: SolverLimits, solver: SolverName, start: Allocation | None
) -> Found:
    begun_s = time.perf_counter()
    clients = program.clients
    tangents, bound = _tangents(program, limits)
    best: Allocation | None = start
    reached, nodes, solvers = -np.inf, 0, set()
    if start is not None:
        start_v = program.point(start, np.zeros(clients))
        best = None if start_v is None else start
        reached = -np.inf if start_v is None else _worth(program, start_v)
    for _ in range(ROUNDS):
        left_s = limits.time_limit_s - (time.perf_counter() - begun_s)
        if bound - reached <= limits.gap * clients or left_s <= 0:
            break
        # The gap is one of the geometric mean; the program counts from `LOWEST` on.
        inner = replace(
            limits, gap=0.5 * limits.gap * clients / max(bound - clients * np.log(LOWEST), 1e-9),
            time_limit_s=left_s,
        )  # fmt: skip
        begin_v = None if best is None else _with_logarithms(program, best)
        result = solve_program(program.proportional(tangents), inner, solver, begin_v)
        solvers.add(result.solver)
        nodes += result.nodes
        bound = min(bound, result.bound + clients * np.log(LOWEST))
        if result.x_v is None:
            break
        worth = _worth(program, result.x_v)
        if worth > reached or best is None:
            reached, best = worth, program.allocation(result.x_v)
        if result.status is not ProgramStatus.OPTIMAL:
            break
        tangents = tangents.with_more(program.accuracy_i(result.x_v))
    optimal = bound - reached <= limits.gap * clients
    return Found(best, bound, optimal, " and ".join(sorted(solvers)) or "HiGHS", nodes)


def _worth(program: FairProgram, x_v: FloatArray) -> float:
    """sum_i log accuracy_i of a point, accuracies below `LOWEST` counted as that."""
    return float(np.log(np.maximum(program.accuracy_i(x_v), LOWEST)).sum())


def _with_logarithms(program: FairProgram, start: Allocation) -> FloatArray | None:
    """The point of `start` in the program of tangents."""
    start_v = program.point(start, np.zeros(program.clients))
    if start_v is not None:
        # Where log is replaced by a line, the line is lower than log of what it replaces.
        ratio_i = program.accuracy_i(start_v) / LOWEST
        start_v[-program.clients :] = np.where(
            ratio_i > np.e, np.log(np.maximum(ratio_i, 1e-300)), ratio_i / np.e
        )
    return start_v
