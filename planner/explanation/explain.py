"""Why a plan is as it is: what binds at each node and at what price, what is shed and why.

Prices are duals of the routing program with the plan's models (F1 per unit of budget). The value
of that program is concave in the budgets, so price x change is an upper bound on the gain.
Axis letters: c client, e edge, a attachment, t task, m model, n node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planner.curve_lines import first_lines, lines_above
from planner.edge_cost import edge_cost
from planner.evaluate import Evaluation, edge_window_f9, evaluate
from planner.explanation.budget_words import amount_words, budget_place
from planner.explanation.signatures import failure_signatures
from planner.options import EdgeForm, Options
from planner.paths import cloud_open_at, edge_open_at, has_deadlines, link_a, local_open_cmt
from planner.plan import Plan, allocation_of
from planner.problem import Problem
from planner.programs.offloading import Tiers, route
from planner.programs.prices import Prices
from planner.solution import Solution

__all__ = [
    "Binding", "Explanation", "MissingModel", "TaskExplanation", "explain", "explanation_of",
    "reasons_of",
]  # fmt: skip

TIGHT = 0.999
NOTHING = "nothing is shed, and more of no budget would buy accuracy, also where one is full"
LEAST_TOLD = 5e-4
"""Reasons for a smaller share of a task's queries are left out of the text."""
MORE = 0.1
"""A tenth more of a budget is what gains are told for."""


@dataclass(frozen=True)
class Binding:
    """A budget that is used up. `price` is accuracy (F1) per unit of `unit`."""

    node: str
    label: str
    place: str
    """whose budget it is, in words"""
    use: float
    budget: float
    unit: str
    price: float

    @property
    def gain_of_tenth(self) -> float:
        """Upper bound on what a tenth more of the budget adds to the objective."""
        return self.price * MORE * self.budget

    def __str__(self) -> str:
        return (
            f"{self.place} is full ({amount_words(self.budget, self.unit)}, {self.label}); 10 % "
            f"more buys at most {self.gain_of_tenth:+.4f} accuracy"
        )


@dataclass(frozen=True)
class MissingModel:
    """Memory (F4): the model that the node lacks most, and at most what it would add."""

    node: str
    model: str
    short_bytes: float
    gain: float

    def __str__(self) -> str:
        return (
            f"{self.node}: memory holds no more ({self.short_bytes / 1e6:.1f} MB short of "
            f"{self.model}, which would add at most {self.gain:+.4f} accuracy)"
        )


@dataclass(frozen=True)
class TaskExplanation:
    """What of a task's load is shed, and the share of all its queries by reason."""

    task: str
    shed_share: float
    reasons: dict[str, float]

    def __str__(self) -> str:
        ordered = sorted(self.reasons.items(), key=lambda item: -item[1])
        ordered = [item for item in ordered if item[1] >= LEAST_TOLD] or ordered[:1]
        why = "; ".join(f"{reason} ({share:.1%})" for reason, share in ordered)
        return f"{self.task}: {self.shed_share:.1%} of its queries are shed: {why}"


@dataclass(frozen=True)
class Explanation:
    """All of it; `lines` is the text that the command line prints."""

    bindings: tuple[Binding, ...]
    missing_models: tuple[MissingModel, ...]
    tasks: tuple[TaskExplanation, ...]
    signatures: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """Failures first, then what binds (dearest first), memory, and what is shed."""
        bindings = sorted(self.bindings, key=lambda item: -item.gain_of_tenth)
        models = sorted(self.missing_models, key=lambda item: -item.gain)
        told = (*self.signatures, *bindings, *models, *self.tasks)
        return tuple(str(item) for item in told) or (NOTHING,)


def explain(problem: Problem, solution: Solution) -> Explanation:
    """Explain `solution`, a plan of `problem`."""
    evaluation = evaluate(
        problem, solution.allocation, fill=solution.fill, overrun=solution.overrun
    )
    prices = _prices(problem, solution, evaluation)
    return Explanation(
        bindings=_bindings(problem, solution, evaluation, prices),
        missing_models=_missing_models(problem, solution, prices),
        tasks=_shed_tasks(problem, solution, evaluation),
        signatures=failure_signatures(problem, solution),
    )


def explanation_of(problem: Problem, plan: Plan) -> Explanation | None:
    """The explanation of a plan of `problem` that was read from a file.

    None for a plan without a certificate, and for one that is for another goal than the mean
    accuracy, or pays for joules: prices are in the mean accuracy. So are they for tasks that are
    asked together (F14). Raises `PlanError` if it names what the problem does not have.
    """
    certificate = plan.certificate
    if certificate is None or certificate.maximised != "mean" or problem.asks_together:
        return None
    if plan.predicted is not None and plan.predicted.watts_by_node:
        return None
    allocation = allocation_of(problem, plan)
    solution = Solution(
        problem=problem,
        policy=plan.policy,
        fill=plan.fill,
        allocation=allocation,
        evaluation=evaluate(problem, allocation, fill=plan.fill, overrun=plan.overrun),
        certificate=certificate,
        trace=(),
        overrun=plan.overrun,
    )
    return explain(problem, solution)


def reasons_of(problem: Problem, plan: Plan) -> tuple[str, ...]:
    """The lines of `explanation_of`, of which there are none where it is None."""
    found = explanation_of(problem, plan)
    return () if found is None else found.lines


def _prices(problem: Problem, solution: Solution, evaluation: Evaluation) -> Prices:
    """Duals with the plan's models; each edge's window is what the plan made of it. Curves count as
    the lines above them near the plan's batch sizes (F15)."""
    allocation = solution.allocation
    form: EdgeForm = "unbatched" if solution.edge_form == "unbatched" else "batched"
    curved = problem.curved
    if curved:
        queries_em = problem.window_e[:, None] * allocation.edge_rate_em(problem)
        lines = first_lines(problem, form)
        if form == "batched":
            lines = lines_above(problem, queries_em, lines)
        problem = lines.of(problem)
    cost = edge_cost(problem, form)
    use_e = edge_window_f9(problem, allocation, 1.0).use_n
    scale_e = np.divide(
        use_e, solution.fill * problem.window_e, out=np.ones_like(use_e), where=use_e > 0
    )
    if solution.overrun is not None:
        # With headroom the window is full at what F9 uses of it.
        full_e = evaluation.usages["F11"].tightness_n > TIGHT - 0.02
        whole_e = problem.edge_compute_e / solution.fill
        compute_e = np.where(full_e, scale_e, np.maximum(whole_e, scale_e))
        problem = problem.changed(edge_compute_e=compute_e)
    elif curved and form == "batched":
        # By lines above the curves, the plan may take more than there is.
        problem = problem.changed(edge_compute_e=np.maximum(problem.edge_compute_e, scale_e))
    active_em = allocation.edge_rate_em(problem) > 0
    # Leave the fixed work of active models a hair of room for rounding.
    cost = replace(cost, fixed_em=cost.fixed_em * (1 - 1e-9))
    options = Options(fill=solution.fill)
    return route(problem, allocation.onloaded_cm, active_em, cost, options, Tiers()).prices


def _bindings(
    problem: Problem, solution: Solution, evaluation: Evaluation, prices: Prices
) -> tuple[Binding, ...]:
    edge_label = "F6" if solution.edge_form == "unbatched" else "F9"
    if solution.overrun is not None:
        edge_label = "F11"
    per_window_e = prices.window_e
    if edge_label == "F6":
        per_window_e = prices.window_e * problem.window_e
    price_n = {
        "F5": prices.compute_c,
        "F7": np.concatenate(
            [prices.uplink_c, prices.uplink_e, prices.uplink_a[problem.limited_attachments]]
        ),
        "F8": np.array([prices.cloud]),
        edge_label: per_window_e,
    }
    total_qps = max(problem.total_load_qps, 1e-300)
    found: list[Binding] = []
    for label, price in price_n.items():
        usage = evaluation.usages[label]
        tight_n = (usage.tightness_n >= (TIGHT - 0.02 if label == "F11" else TIGHT)) & (price > 0)
        found += [
            Binding(
                node=usage.names[n],
                label=label,
                place=budget_place(problem, label, usage.names[n]),
                use=float(usage.use_n[n]),
                budget=float(usage.budget_n[n]),
                unit=usage.unit,
                price=float(price[n]) / total_qps,
            )
            for n in np.flatnonzero(tight_n)
        ]
    return tuple(found)


def _missing_models(
    problem: Problem, solution: Solution, prices: Prices
) -> tuple[MissingModel, ...]:
    """At every node the absent model with the highest value at the prices, if it does not fit."""
    allocation = solution.allocation
    load_ct, total_qps = problem.load_ct, max(problem.total_load_qps, 1e-300)
    # What a query earns now, beyond what its path's budgets are worth elsewhere.
    worth_ct = np.divide(prices.share_ct, load_ct, out=np.zeros_like(load_ct), where=load_ct > 0)
    cost_cm = problem.client_setup_cm + problem.client_marginal_cm
    net_ctm = problem.accuracy_mt.T[None] - (prices.compute_c[:, None] * cost_cm)[:, None, :]
    gain_ctm = np.where(problem.accuracy_mt.T > 0, net_ctm - worth_ct[:, :, None], 0.0)
    gain_cm = (load_ct[:, :, None] * np.maximum(gain_ctm, 0.0)).sum(axis=1)
    price_em = prices.window_e[:, None] * problem.window_e[:, None] * problem.edge_marginal_em
    upward_at = prices.link_a(problem)[:, None] * problem.query_bytes_t
    load_at = load_ct[problem.client_of_a]
    least_at = upward_at + worth_ct[problem.client_of_a]
    gain_em = np.zeros((len(problem.edges), len(problem.models)))
    for e in range(len(problem.edges)):
        a = np.flatnonzero(problem.edge_of_a == e)
        net_atm = problem.accuracy_mt.T[None] - price_em[e] - least_at[a][:, :, None]
        net_atm = np.where(problem.accuracy_mt.T > 0, np.maximum(net_atm, 0.0), 0.0)
        fixed_m = prices.window_e[e] * problem.edge_setup_em[e]
        gain_em[e] = (load_at[a][:, :, None] * net_atm).sum(axis=(0, 1)) - fixed_m
    best_t = np.maximum(problem.accuracy_mt.max(axis=0), problem.cloud_accuracy_t)
    most = float((load_ct * best_t).sum()) / total_qps - solution.objective
    found = []
    for names, gain_nm, held_nm, bytes_nm, memory_n in (
        (problem.clients, gain_cm, allocation.onloaded_cm, problem.client_model_bytes_cm,
         problem.client_memory_c),
        (problem.edges, gain_em, allocation.onloaded_em, problem.edge_model_bytes_em,
         problem.edge_memory_e),
    ):  # fmt: skip
        free_n = memory_n - np.where(held_nm, bytes_nm, 0.0).sum(axis=1)
        fair_nm = np.where(held_nm | np.isinf(bytes_nm), -np.inf, gain_nm)
        for n in np.flatnonzero(fair_nm.max(axis=1) > 1e-6 * total_qps):
            m = int(fair_nm[n].argmax())
            short = float(bytes_nm[n, m] - free_n[n])
            if short > 0:
                # Prices are those of the plan as it is: one model does not earn all of them.
                gain = min(float(fair_nm[n, m]) / total_qps, most)
                found.append(MissingModel(names[n], problem.models[m], short, gain))
    return tuple(found)


def _shed_tasks(
    problem: Problem, solution: Solution, evaluation: Evaluation
) -> tuple[TaskExplanation, ...]:
    found = []
    full = {
        label: dict(zip(usage.names, usage.tightness_n >= TIGHT - 0.02, strict=True))
        for label, usage in evaluation.usages.items()
    }
    load_t = problem.load_ct.sum(axis=0)
    for t, task in enumerate(problem.tasks):
        shed_c = evaluation.shed_qps_ct[:, t]
        shed = float(shed_c.sum())
        if shed <= 1e-6 * max(float(load_t[t]), 1e-300):
            continue
        reasons: dict[str, float] = {}
        for c in np.flatnonzero(shed_c > 0):
            reason = _reason(problem, solution, full, int(c), t)
            reasons[reason] = reasons.get(reason, 0.0) + float(shed_c[c] / load_t[t])
        found.append(TaskExplanation(task, shed / float(load_t[t]), reasons))
    return tuple(found)


def _reason(
    problem: Problem, solution: Solution, full: dict[str, dict[str, bool]], c: int, t: int
) -> str:
    """Why client c sheds task t: what stops each of the three paths."""
    allocation = solution.allocation
    client, own = problem.clients[c], np.flatnonzero(problem.client_of_a == c)
    serves_m = problem.accuracy_mt[:, t] > 0
    in_cloud = problem.cloud_model_t[t] >= 0
    if not serves_m.any() and not in_cloud:
        return "no model serves it"
    if has_deadlines(problem):
        in_time = local_open_cmt(problem)[c, serves_m, t].any()
        in_time |= edge_open_at(problem)[own, t].any()
        if not in_time and not (in_cloud and cloud_open_at(problem)[own, t].any()):
            return "no path is in time for its deadline"
    local = bool((allocation.onloaded_cm[c] & serves_m).any())
    stops = ["client compute full" if full["F5"][client] else ""] if local else ["no local model"]
    if full["F7"][client] or problem.client_uplink_c[c] <= 0:
        stops.append("client uplink full")
    else:
        for a in own:
            stops += _stops_beyond(problem, solution, full, int(a), t)
    told = ", ".join(dict.fromkeys(stop for stop in stops if stop))
    return told or "its best path earns less than the budget it would use"


def _stops_beyond(
    problem: Problem, solution: Solution, full: dict[str, dict[str, bool]], a: int, t: int
) -> list[str]:
    """What stops the paths that leave the client by attachment a."""
    e = int(problem.edge_of_a[a])
    edge = problem.edges[e]
    if full["F7"].get(problem.attachment_name(a), False) or link_a(problem)[a] <= 0:
        return [f"link to {edge} full"]
    edge_label = "F6" if solution.edge_form == "unbatched" else "F9"
    if solution.overrun is not None:
        edge_label = "F11"
    serves_m = problem.accuracy_mt[:, t] > 0
    if (solution.allocation.onloaded_em[e] & serves_m).any():
        stops = ["edge window full" if full[edge_label][edge] else ""]
    else:
        stops = ["no edge model"]
    if problem.cloud_model_t[t] >= 0:
        stops.append("edge uplink full" if full["F7"][edge] else "")
        stops.append("cloud compute full" if full["F8"][problem.cloud] else "")
    return stops
