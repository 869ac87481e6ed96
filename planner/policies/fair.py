"""Exact for fairness (F19): the mixed-integer program with clients' accuracies, by component.

For the least accuracy many plans are as good: most clients may have anything above it. So a second
program maximises the mean (F1) of each component with no client below the least that was reached.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.allocation import Allocation, join_pieces, tidy
from planner.attachments import Component, components
from planner.client_accuracy import answerable_c
from planner.edge_cost import edge_cost
from planner.evaluate import accuracy_qps_t, cloud_compute_f8, evaluate
from planner.fairness.bound import joined_bound, whole_value
from planner.fairness.program import FairProgram, fair_program
from planner.fairness.search import Found, best_mean_above, search
from planner.fits import room
from planner.options import EdgeForm, Options
from planner.policies.outcome import conclude
from planner.policies.warm_start import warm_allocation
from planner.problem import Problem
from planner.programs.among_models import plan_among
from planner.programs.formulation import build_formulation
from planner.solution import Solution

__all__ = ["fair_exact"]

BoolArray = NDArray[np.bool_]
FIRST_PART = 0.7
"""Share of the time for the objective itself, half of it for components apart where F8 may couple
them; the rest is for the mean of a plan for the least."""
MEAN_GAP = 1e-3
START_PART, START_GAP = 0.4, 1e-2
"""Time and gap of the plan for the mean that the search starts from."""
LEAST_S = 0.05


@dataclass(frozen=True, eq=False)
class _Plans:
    """A plan of all components, and what its search proves."""

    allocation: Allocation
    bound: float
    optimal: bool
    solvers: frozenset[str]
    nodes: int


def fair_exact(problem: Problem, options: Options) -> Solution:
    """Solve for `options.objective` to `options.gap`, components apart unless F8 couples them."""
    search_of = _Search(problem, options)
    parts = components(problem)
    warm = warm_allocation(problem, options)
    method = "branch and bound by component"
    found = search_of.by_component(parts, warm)
    apart = not search_of.overloads_cloud(found.allocation)
    if not apart:
        method = "branch and bound, components joined by F8"
        joined = search_of.together(warm, found.bound)
        bound = min(joined.bound, found.bound)
        found = replace(joined, bound=bound, nodes=found.nodes + joined.nodes)
    allocation = found.allocation
    if options.objective == "least":
        allocation = search_of.with_best_mean(parts if apart else None, allocation)
    counted = int(search_of.counted_c.sum())
    load_qps = problem.total_load_qps
    value = evaluate(problem, allocation, fill=options.fill).value(options.objective)
    return conclude(
        problem, options, "exact", search_of.form, allocation,
        upper_bound_qps=whole_value(found.bound, counted, options.objective) * load_qps,
        bound_method=method, solver=" and ".join(sorted(found.solvers)) or "none",
        iterations=found.nodes, trace_qps=(value * load_qps,), begun_s=search_of.begun_s,
        late=not found.optimal,
    )  # fmt: skip


class _Search:
    """The two programs of the module's text, on parts of one problem or on all of it."""

    def __init__(self, problem: Problem, options: Options) -> None:
        self.begun_s = time.perf_counter()
        self.problem, self.options = problem, options
        self.form: EdgeForm = options.edge_form or "batched"
        self.counted_c = answerable_c(problem)
        coupled = np.isfinite(problem.cloud_compute)
        self.first_part = 0.5 * FIRST_PART if coupled else FIRST_PART

    def by_component(self, parts: Sequence[Component], warm: Allocation | None) -> _Plans:
        found: list[Found] = []
        pieces = []
        enough = 1.0
        for position, part in enumerate(parts):
            piece = part.piece(self.problem)
            held = None if warm is None else warm.part(part)
            share_s = self._left_s(self.first_part) / (len(parts) - position)
            answer = self._search(piece, self.counted_c[part.clients], held, share_s, enough)
            if self.options.objective == "least":
                enough = answer.bound  # the others need not do better
            found.append(answer)
            pieces.append((part, self._tidied(piece, answer.allocation)))
        return _Plans(
            join_pieces(self.problem, pieces),
            joined_bound([answer.bound for answer in found], self.options.objective),
            all(answer.optimal for answer in found),
            frozenset(answer.solver for answer in found) - {"none"},
            sum(answer.nodes for answer in found),
        )

    def together(self, warm: Allocation | None, enough: float) -> _Plans:
        left_s = self._left_s(FIRST_PART)
        answer = self._search(self.problem, self.counted_c, warm, left_s, enough)
        allocation = self._tidied(self.problem, answer.allocation)
        return _Plans(
            allocation, answer.bound, answer.optimal, frozenset({answer.solver}), answer.nodes
        )

    def with_best_mean(
        self, parts: Sequence[Component] | None, allocation: Allocation
    ) -> Allocation:
        """`allocation` or one with a better mean whose least client is as well off; `parts` are
        raised apart (None: all together)."""
        floor = evaluate(self.problem, allocation).least_accuracy
        if parts is not None:
            pieces = []
            for position, part in enumerate(parts):
                share_s = self._left_s() / (len(parts) - position)
                piece, own_c = part.piece(self.problem), self.counted_c[part.clients]
                held = allocation.part(part)
                pieces.append((part, self._raised(piece, own_c, held, floor, share_s)))
            raised = join_pieces(self.problem, pieces)
            if not self.overloads_cloud(raised):
                return raised
        return self._raised(self.problem, self.counted_c, allocation, floor, self._left_s())

    def overloads_cloud(self, allocation: Allocation) -> bool:
        """Whether F8, which components do not know, is broken."""
        use = cloud_compute_f8(self.problem, allocation, self.options.fill)
        return bool(use.use_n[0] > room(use.budget_n[0]))

    def _raised(
        self, piece: Problem, own_c: BoolArray, allocation: Allocation, floor: float, time_s: float
    ) -> Allocation:
        limits = replace(self.options.limits(time_s), gap=max(self.options.gap, MEAN_GAP))
        found = best_mean_above(
            self._program(piece, own_c), floor, limits, self.options.solver, allocation
        )
        if found is None:
            return allocation
        found = self._tidied(piece, found)
        better = accuracy_qps_t(piece, found).sum() > accuracy_qps_t(piece, allocation).sum()
        return found if better else allocation

    def _search(
        self,
        piece: Problem,
        own_c: BoolArray,
        held: Allocation | None,
        time_s: float,
        enough: float,
    ) -> Found:
        begun_s = time.perf_counter()
        start = self._start(piece, held, START_PART * time_s)
        left_s = max(time_s - (time.perf_counter() - begun_s), LEAST_S)
        limits = replace(self.options.limits(left_s), gap=0.9 * self.options.gap)
        program = self._program(piece, own_c)
        return search(program, self.options.objective, limits, self.options.solver, start, enough)

    def _start(self, piece: Problem, held: Allocation | None, time_s: float) -> Allocation | None:
        """The better of the previous plan and a plan for the mean, which is found far sooner."""
        every = (
            np.ones(piece.client_model_bytes_cm.shape, dtype=bool),
            np.ones(piece.edge_model_bytes_em.shape, dtype=bool),
        )
        limits = replace(self.options.limits(time_s), gap=START_GAP)
        mean, _ = plan_among(
            piece, every, self.form, self.options.fill, limits, self.options.solver, held
        )
        found = [plan for plan in (held, mean) if plan is not None]
        return max(found, key=lambda plan: self._value(piece, plan), default=None)

    def _value(self, piece: Problem, plan: Allocation) -> float:
        return evaluate(piece, plan).value(self.options.objective)

    def _program(self, piece: Problem, own_c: BoolArray) -> FairProgram:
        model = build_formulation(
            piece, fill=self.options.fill, edge_cost=edge_cost(piece, self.form), choose=True
        )
        return fair_program(piece, model, own_c)

    def _tidied(self, piece: Problem, allocation: Allocation | None) -> Allocation:
        if allocation is None:
            return Allocation.empty(piece)
        return tidy(piece, allocation, fill=self.options.fill, batched=self.form == "batched")

    def _left_s(self, part: float = 1.0) -> float:
        used_s = time.perf_counter() - self.begun_s
        return max(part * self.options.time_limit_s - used_s, LEAST_S)
