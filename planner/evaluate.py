"""What a plan does, independent of every solver: F1 and the slack of each of F2..F9.

One function a label. Axis letters: c client, e edge, a attachment, t task, m model, n any node or
row. The cost of batching is the true one: nu once per window for every model that gets a query, and
again for every further batch that the edge's largest batch makes necessary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import InputError
from planner.allocation import Allocation
from planner.attachments import by_client, by_edge
from planner.batch_work import mean_work_em, one_query_em
from planner.certificate import EvaluationSummary
from planner.client_accuracy import Objective, answerable_c, least_of, proportional_of
from planner.energy import EnergyGoal, PowerBudget, power_n
from planner.fits import TOLERANCE
from planner.moving import Moving, charged
from planner.passes import PlanWork, work_of
from planner.paths import cloud_open_at, edge_open_at, has_deadlines, local_open_cmt
from planner.plan import Plan, allocation_of
from planner.problem import FloatArray, Problem
from planner.window_work import window_work_e

__all__ = [
    "TOLERANCE",
    "Evaluation",
    "Usage",
    "Violation",
    "accuracy_qps_t",
    "energy_qps",
    "evaluate",
    "moving_qps",
    "net_qps",
    "right_qps",
    "window_work_f11",
]


@dataclass(frozen=True, eq=False)
class Usage:
    """Left and right side of one constraint at every node (or row) it holds for."""

    label: str
    names: tuple[str, ...]
    use_n: FloatArray
    budget_n: FloatArray
    unit: str

    @property
    def slack_n(self) -> FloatArray:
        """budget - use; negative where violated."""
        return self.budget_n - self.use_n

    @property
    def tightness_n(self) -> FloatArray:
        """use / budget: 1 where it binds; inf for any use of a zero budget."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio_n = self.use_n / self.budget_n
        return np.where(self.use_n <= 0, 0.0, ratio_n)


@dataclass(frozen=True)
class Violation:
    """A constraint that does not hold at a node."""

    label: str
    node: str
    use: float
    budget: float
    unit: str

    def __str__(self) -> str:
        return f"{self.label} at {self.node}: {self.use:.6g} {self.unit} > {self.budget:.6g}"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Outcome of `evaluate`. `batching` says whether F9 (True) or F6 (False) counts at edges."""

    objective: float
    accuracy_t: FloatArray
    tasks: tuple[str, ...]
    accuracy_c: FloatArray
    """Right answers of each client per query of it; 0 for a client without load."""
    problem: Problem
    """That was planned for."""
    share_by_tier: dict[str, float]
    shed_share: float
    shed_qps_ct: FloatArray
    utilization_by_node: dict[str, float]
    usages: dict[str, Usage]
    fill: float
    batching: bool
    moving_cost: float = 0.0
    """What its loads cost over the horizon (F16), in units of the objective, as `energy_cost`."""
    watts_by_node: dict[str, float] = field(default_factory=dict)
    """What each node draws beyond idling (F18); empty where `evaluate` was given no joules."""
    energy_cost: float = 0.0
    """Its joules at their price (F18)."""

    @cached_property
    def counted_c(self) -> NDArray[np.bool_]:
        """Clients that count where clients are compared: those that some plan can answer (F19).
        Found when asked for: most evaluations are for F1 alone."""
        return answerable_c(self.problem)

    @property
    def least_accuracy(self) -> float:
        """Accuracy of the client that is worst off (F19)."""
        return least_of(self.accuracy_c, self.counted_c)

    @property
    def proportional_accuracy(self) -> float:
        """Geometric mean of the accuracy of clients (F19)."""
        return proportional_of(self.accuracy_c, self.counted_c)

    def value(self, objective: Objective) -> float:
        """What the plan is worth to a policy that maximises `objective`."""
        if objective == "least":
            return self.least_accuracy
        if objective == "proportional":
            return self.proportional_accuracy
        return self.objective - self.moving_cost - self.energy_cost

    @property
    def uncounted(self) -> str:
        """The edges' budget that does not count."""
        return "F6" if self.batching else "F9"

    def violations(self, tolerance: float = TOLERANCE) -> list[Violation]:
        """Constraints broken by more than `tolerance` of their budget, worst first."""
        found: list[tuple[float, Violation]] = []
        for label, usage in self.usages.items():
            if label == self.uncounted:
                continue
            allowed_n = usage.budget_n * (1 + tolerance) + 1e-12
            for n in np.flatnonzero(usage.use_n > allowed_n):
                use, budget = float(usage.use_n[n]), float(usage.budget_n[n])
                violation = Violation(label, usage.names[n], use, budget, usage.unit)
                found.append((float(usage.tightness_n[n]), violation))
        found.sort(key=lambda item: -item[0])
        return [violation for _, violation in found]

    @cached_property
    def feasible(self) -> bool:
        """Whether every constraint holds within `TOLERANCE`."""
        return not self.violations()

    def summary(self) -> EvaluationSummary:
        """The part that is stored in `plan.json`."""
        tightest = {
            label: float(min(usage.tightness_n.max(initial=0.0), 1e9))
            for label, usage in self.usages.items()
            if label != self.uncounted
        }
        accuracy = zip(self.tasks, self.accuracy_t.tolist(), strict=True)
        counted = np.flatnonzero(self.counted_c)
        return EvaluationSummary(
            objective=self.objective,
            accuracy_by_task=dict(accuracy),
            share_by_tier=self.share_by_tier,
            shed_share=self.shed_share,
            utilization_by_node=self.utilization_by_node,
            tightest_by_constraint=tightest,
            fill=self.fill,
            feasible=self.feasible,
            moving_cost=self.moving_cost,
            watts_by_node=self.watts_by_node,
            energy_cost=self.energy_cost,
            accuracy_by_client={
                self.problem.clients[c]: float(self.accuracy_c[c]) for c in counted
            },
            least_accuracy=self.least_accuracy,
            proportional_accuracy=self.proportional_accuracy,
        )


def evaluate(
    problem: Problem,
    plan: Plan | Allocation,
    *,
    fill: float = 1.0,
    batching: bool = True,
    overrun: float | None = None,
    moving: Moving | None = None,
    energy: EnergyGoal | None = None,
) -> Evaluation:
    """Evaluate `plan` against budgets of compute and window scaled by `fill` (F5, F6, F8, F9).

    `fill=1` is the check before a deploy. With `overrun`, windows are held to F11 instead of to
    F9 times `fill`; with `moving`, its loads are reported at their cost (F16), with `energy`, its
    watts, at their price or against their budget (F18). Raises `PlanError` when the plan names what
    the problem does not have, and `InputError` for F11 or F18 where images are asked several tasks.
    """
    problem = problem if moving is None else charged(problem, moving)
    allocation = allocation_of(problem, plan) if isinstance(plan, Plan) else plan
    if problem.asks_together and not (overrun is None and energy is None):
        label = "energy (F18)" if overrun is None else "windows under random arrivals (F11)"
        raise InputError(f"bundles (F14): {label} cannot be evaluated for images of several tasks")
    work = work_of(problem, allocation)
    load_ct = problem.load_ct
    total_qps = max(problem.total_load_qps, 1e-300)
    load_t = load_ct.sum(axis=0)
    local_ct, sent_at = right_qps(problem, work)
    right_t = local_ct.sum(axis=0) + sent_at.sum(axis=0)
    right_c = local_ct.sum(axis=1) + by_client(problem, sent_at.sum(axis=1))
    load_c = load_ct.sum(axis=1)
    shed_qps_ct = load_ct * np.maximum(1.0 - work.answered.share_ct(problem), 0.0)
    usages = {
        label: check(problem, work if label in OF_WORK else allocation, fill)
        for label, check in CONSTRAINTS.items()
    }
    if overrun is not None:
        usages["F9"] = edge_window_f9(problem, work, 1.0)
        usages["F11"] = window_work_f11(problem, allocation, overrun)
    watts_n = np.zeros(0)
    if energy is not None:
        energy.check(problem)
        watts_n = power_n(problem, allocation, energy.energy, batching=batching)
        if energy.budget is not None:
            usages["F18"] = power_f18(problem, watts_n, energy.budget)
    nodes = (*problem.clients, *problem.edges, problem.cloud)
    busy_e = usages["F9"].use_n / problem.window_e
    utilization = {
        **dict(zip(problem.clients, usages["F5"].use_n.tolist(), strict=True)),
        **dict(zip(problem.edges, busy_e.tolist(), strict=True)),
        problem.cloud: float(usages["F8"].use_n[0]),
    }
    return Evaluation(
        objective=float(right_t.sum()) / total_qps,
        accuracy_t=np.divide(right_t, load_t, out=np.zeros_like(right_t), where=load_t > 0),
        tasks=problem.tasks,
        accuracy_c=np.divide(right_c, load_c, out=np.zeros_like(right_c), where=load_c > 0),
        problem=problem,
        share_by_tier={tier: qps / total_qps for tier, qps in work.qps_by_tier.items()},
        shed_share=float(shed_qps_ct.sum()) / total_qps,
        shed_qps_ct=shed_qps_ct,
        utilization_by_node=utilization,
        usages=usages,
        fill=fill,
        batching=batching,
        moving_cost=moving_qps(problem, allocation) / total_qps,
        watts_by_node=dict(zip(nodes, watts_n.tolist(), strict=False)),
        energy_cost=energy_qps(watts_n, energy) / total_qps,
    )


def accuracy_qps_t(problem: Problem, allocation: Allocation) -> FloatArray:
    """F1 by task before division by the load: expected right answers per second."""
    local_t, sent_t = right_qps(problem, allocation)
    return np.asarray(local_t.sum(axis=0) + sent_t.sum(axis=0))


def moving_qps(problem: Problem, allocation: Allocation) -> float:
    """F16: right answers/s that loading the plan's models costs; 0 where nothing is charged."""
    at_clients = problem.client_moving_cm[allocation.onloaded_cm].sum()
    return float(at_clients + problem.edge_moving_em[allocation.onloaded_em].sum())


def energy_qps(watts_n: FloatArray, goal: EnergyGoal | None) -> float:
    """F18: right answers/s that the watts cost; 0 where nothing is charged."""
    price = 0.0 if goal is None or goal.price is None else goal.price
    return price * float(watts_n.sum())


def net_qps(problem: Problem, allocation: Allocation) -> float:
    """What policies maximise: right answers/s (F1), less what the loads cost (F16)."""
    return float(accuracy_qps_t(problem, allocation).sum()) - moving_qps(problem, allocation)


def right_qps(problem: Problem, plan: Allocation | PlanWork) -> tuple[FloatArray, FloatArray]:
    """Expected right answers per second: those of each client itself (c x t), and those that
    left by each attachment (a x t)."""
    accuracy_mt, answered = problem.accuracy_mt, work_of(problem, plan).answered
    local_ct = np.einsum("ctm,mt->ct", answered.local_ctm, accuracy_mt)
    sent_at = np.einsum("atm,mt->at", answered.edge_atm, accuracy_mt)
    sent_at += problem.cloud_accuracy_t * answered.cloud_at
    return problem.load_ct * local_ct, problem.load_ct[problem.client_of_a] * sent_at


def shares_f2(problem: Problem, allocation: Allocation, fill: float) -> Usage:
    """F2: shares of each (client, task) sum to at most 1."""
    names = tuple(f"{client}/{task}" for client in problem.clients for task in problem.tasks)
    share_n = allocation.share_ct(problem).ravel()
    return Usage("F2", names, share_n, np.ones_like(share_n), "share")


def served_by_onloaded_f3(problem: Problem, allocation: Allocation, fill: float) -> Usage:
    """F3: no share goes to a model that is not onloaded, does not serve the task, or is < 0."""
    serves_tm = problem.accuracy_mt.T > 0
    held_ctm = allocation.onloaded_cm[:, None, :] & serves_tm
    edge_held_atm = allocation.onloaded_em[problem.edge_of_a][:, None, :] & serves_tm
    wrong_c = np.where(held_ctm, 0.0, np.abs(allocation.local_ctm)).sum(axis=(1, 2))
    wrong_c += np.maximum(-allocation.local_ctm, 0.0).sum(axis=(1, 2))
    wrong_a = np.where(edge_held_atm, 0.0, np.abs(allocation.edge_atm)).sum(axis=(1, 2))
    wrong_a += np.maximum(-allocation.edge_atm, 0.0).sum(axis=(1, 2))
    wrong_a += np.where(problem.cloud_model_t >= 0, 0.0, np.abs(allocation.cloud_at)).sum(axis=1)
    wrong_a += np.maximum(-allocation.cloud_at, 0.0).sum(axis=1)
    wrong_c += by_client(problem, wrong_a)
    return Usage("F3", problem.clients, wrong_c, np.zeros_like(wrong_c), "share")


def memory_f4(problem: Problem, allocation: Allocation, fill: float) -> Usage:
    """F4: resident bytes at clients and edges."""
    use_c = np.where(allocation.onloaded_cm, problem.client_model_bytes_cm, 0.0).sum(axis=1)
    use_e = np.where(allocation.onloaded_em, problem.edge_model_bytes_em, 0.0).sum(axis=1)
    budget_n = np.concatenate([problem.client_memory_c, problem.edge_memory_e])
    return Usage(
        "F4", problem.clients + problem.edges, np.concatenate([use_c, use_e]), budget_n, "bytes"
    )


def client_compute_f5(problem: Problem, plan: Allocation | PlanWork, fill: float) -> Usage:
    """F5: busy seconds per second of clients, every pass a batch of its own."""
    use_c = work_of(problem, plan).busy_c
    return Usage("F5", problem.clients, use_c, fill * problem.client_compute_c, "s/s")


def edge_compute_f6(problem: Problem, plan: Allocation | PlanWork, fill: float) -> Usage:
    """F6: busy seconds per second of edges if every pass were a batch of its own."""
    use_e = (one_query_em(problem) * work_of(problem, plan).passes_em).sum(axis=1)
    return Usage("F6", problem.edges, use_e, fill * problem.edge_compute_e, "s/s")


def uplinks_f7(problem: Problem, plan: Allocation | PlanWork, fill: float) -> Usage:
    """F7: bytes/s up from clients (edge and cloud queries), from edges (cloud queries), and by
    each attachment that has a limit of its own."""
    work = work_of(problem, plan)
    use_a, use_e = work.up_bytes_a, by_edge(problem, work.backhaul_bytes_a)
    limited = problem.limited_attachments
    names = (*problem.clients, *problem.edges, *(problem.attachment_name(a) for a in limited))
    use_n = np.concatenate([by_client(problem, use_a), use_e, use_a[limited]])
    budget_n = np.concatenate(
        [problem.client_uplink_c, problem.edge_uplink_e, problem.uplink_a[limited]]
    )
    return Usage("F7", names, use_n, budget_n, "bytes/s")


def cloud_compute_f8(problem: Problem, plan: Allocation | PlanWork, fill: float) -> Usage:
    """F8: busy seconds per second of the cloud; no limit where the budget is inf."""
    use, budget = work_of(problem, plan).cloud_busy, fill * problem.cloud_compute
    return Usage("F8", (problem.cloud,), np.array([use]), np.array([budget]), "s/s")


def edge_window_f9(problem: Problem, plan: Allocation | PlanWork, fill: float) -> Usage:
    """F9: seconds of work that one window's batches bring to an edge, true setup cost; as measured
    where the problem has curves (F15)."""
    queries_em = problem.window_e[:, None] * work_of(problem, plan).passes_em
    budget_e = fill * problem.edge_compute_e * problem.window_e
    use_e = mean_work_em(problem, queries_em).sum(axis=1)
    return Usage("F9", problem.edges, use_e, budget_e, "s/window")


def power_f18(problem: Problem, watts_n: FloatArray, budget: PowerBudget) -> Usage:
    """F18: watts of each node and of all together; no limit where a budget is inf."""
    names = (*problem.clients, *problem.edges, problem.cloud, "all nodes")
    use_n = np.append(watts_n, watts_n.sum())
    return Usage("F18", names, use_n, budget.limits_n(problem), "W")


def window_work_f11(problem: Problem, allocation: Allocation, overrun: float) -> Usage:
    """F11: the work of a window that arrivals exceed in a share `overrun` of windows (F17: with
    the clients' dispersion)."""
    use_e = window_work_e(problem, allocation, overrun)
    return Usage("F11", problem.edges, use_e, problem.edge_compute_e * problem.window_e, "s/window")


def deadlines_f13(problem: Problem, allocation: Allocation, fill: float) -> Usage:
    """F13: no share on a path that cannot keep its task's deadline."""
    late_c = np.zeros(len(problem.clients))
    if has_deadlines(problem):
        local_ctm = local_open_cmt(problem).transpose(0, 2, 1)
        late_c += np.where(local_ctm, 0.0, allocation.local_ctm).sum(axis=(1, 2))
        late_at = np.where(edge_open_at(problem), 0.0, allocation.edge_atm.sum(axis=2))
        late_at += np.where(cloud_open_at(problem), 0.0, allocation.cloud_at)
        late_c += by_client(problem, late_at).sum(axis=1)
    return Usage("F13", problem.clients, late_c, np.zeros_like(late_c), "share")


OF_WORK = ("F5", "F6", "F7", "F8", "F9")  # the others are about a plan's shares alone
CONSTRAINTS: dict[str, Callable[[Problem, Any, float], Usage]] = {
    "F2": shares_f2,
    "F3": served_by_onloaded_f3,
    "F4": memory_f4,
    "F5": client_compute_f5,
    "F6": edge_compute_f6,
    "F7": uplinks_f7,
    "F8": cloud_compute_f8,
    "F9": edge_window_f9,
    "F13": deadlines_f13,
}
