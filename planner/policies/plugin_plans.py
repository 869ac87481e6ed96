"""From what a user's own policy returns to a checked, certified `Solution`.

The function gets the problem and the options, and returns one of

- which models each node holds, `{node: [model, ...]}`, or the same as two boolean arrays
  (clients x models, edges x models): the best routes are found for it;
- a whole plan, routes included, as an `Allocation` or as a `Plan`: its routes stay as they are.

The bound is computed here, so a plug-in cannot claim one.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

import numpy as np

from planner.allocation import SMALLEST_SHARE, Allocation
from planner.bursts.window_routes import thin
from planner.certificate import status_of
from planner.evaluate import Violation, evaluate, net_qps
from planner.options import Options
from planner.plan import Plan, PlanError, allocation_of
from planner.policies.arrangements import upper_bound
from planner.policies.fixed_models import held_models, memory_over, route_held
from planner.policies.outcome import conclude
from planner.policies.plugins import PlugIn, PolicyError
from planner.problem import FloatArray, Problem
from planner.solution import Solution

__all__ = ["run_plugin"]

LEAST_SHARE = 0.1
"""of the time limit that is left for routes, however long the function took"""
EXPECTED = (
    "return {node: [model, ...]}, two boolean arrays (clients x models, edges x models), "
    "an Allocation or a Plan"
)
BUDGETS = {
    "F2": "shares of a task add up to more than 1",
    "F3": "queries go to a model that is not held or does not serve the task, or a share is < 0",
    "F4": "memory",
    "F5": "compute of a client",
    "F6": "compute of an edge",
    "F7": "uplink",
    "F8": "compute of the cloud",
    "F9": "window of an edge",
    "F11": "window of an edge under random arrivals",
    "F13": "queries go a way that cannot keep their deadline",
}
AXES = {"c": "clients", "e": "edges", "a": "attachments", "t": "tasks", "m": "models"}


def run_plugin(name: str, function: PlugIn, problem: Problem, options: Options) -> Solution:
    """Call `function` once, and make a solution of the plan it returns.

    `options.overrun` is a number or None. Where it is a number, windows are held to F11: routes
    that are found for the models keep it from the start; of routes that the function chose, an edge
    sheds its queries in proportion until F11 holds. Everything else has to hold as returned.
    Raises `PolicyError` for an error in the function, a return value of another kind, and a plan
    that breaks a budget.
    """
    begun_s = time.perf_counter()
    form, overrun = options.edge_form or "batched", options.overrun
    assert not isinstance(overrun, str)
    returned = _called(name, function, problem, options)
    left_s = options.time_limit_s - (time.perf_counter() - begun_s)
    left = replace(options, time_limit_s=max(left_s, LEAST_SHARE * options.time_limit_s))
    found = _allocation(name, problem, returned)
    if isinstance(returned, Allocation | Plan):
        allocation = _held_to_windows(name, problem, _without_dust(found), options, overrun)
        bound_qps, method = upper_bound(problem, form, left)
        return conclude(
            problem, options, name, form, allocation,
            upper_bound_qps=bound_qps, bound_method=method, solver="HiGHS", iterations=1,
            trace_qps=(net_qps(problem, allocation),), begun_s=begun_s, overrun=overrun,
        )  # fmt: skip
    _refuse(name, memory_over(problem, found))
    solution = route_held(
        problem, found, left, policy=name,
        bound_of=lambda piece, asked: upper_bound(piece, form, asked),
    )  # fmt: skip
    runtime_s = time.perf_counter() - begun_s
    gap, late = solution.certificate.gap, runtime_s > options.time_limit_s
    update = {"runtime_s": runtime_s, "status": status_of(gap, options.gap, late=late)}
    return replace(solution, certificate=solution.certificate.model_copy(update=update))


def _called(name: str, function: PlugIn, problem: Problem, options: Options) -> object:
    try:
        return function(problem, options)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]  # without this one
        where = f", in {frames[0].filename}, line {frames[0].lineno}" if frames else ""
        words = " ".join(str(error).split())
        raise PolicyError(f"policy {name!r}: {type(error).__name__}: {words}{where}") from error


def _allocation(name: str, problem: Problem, returned: object) -> Allocation:
    """What was returned, as arrays of the shapes of `problem`."""
    match returned:
        case Allocation():
            _check_arrays(name, problem, returned)
            return returned
        case Plan() | Mapping():
            try:
                if isinstance(returned, Plan):
                    return allocation_of(problem, returned)
                return held_models(problem, _named_models(name, returned))
            except PlanError as error:
                raise PolicyError(f"policy {name!r}: {error}") from None
        case (np.ndarray() as onloaded_cm, np.ndarray() as onloaded_em):
            found = replace(
                Allocation.empty(problem), onloaded_cm=onloaded_cm, onloaded_em=onloaded_em
            )
            _check_arrays(name, problem, found)
            return found
    raise PolicyError(f"policy {name!r} returned a {type(returned).__name__}; {EXPECTED}")


def _named_models(name: str, onloading: Mapping[object, object]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for node, models in onloading.items():
        listed: tuple[object, ...] = (None,)
        if isinstance(models, Iterable) and not isinstance(models, str):
            listed = tuple(models)
        names = tuple(model for model in listed if isinstance(model, str))
        if not isinstance(node, str) or len(names) < len(listed):
            raise PolicyError(
                f"policy {name!r} returned {models!r} for {node!r}; name a node, and list the "
                "names of its models"
            )
        found[node] = names
    return found


def _check_arrays(name: str, problem: Problem, found: Allocation) -> None:
    wanted = Allocation.empty(problem)
    for item in fields(Allocation):
        array, like = getattr(found, item.name), getattr(wanted, item.name)
        shape, kind = np.shape(array), np.asarray(array).dtype
        if shape != like.shape:
            axes = " x ".join(AXES[letter] for letter in item.name.rpartition("_")[2])
            raise PolicyError(
                f"policy {name!r}: {item.name} has the shape {shape}, not {like.shape} ({axes})"
            )
        if kind != like.dtype:
            raise PolicyError(f"policy {name!r}: {item.name} is of {kind}, not {like.dtype}")
        if not np.isfinite(array).all():
            raise PolicyError(f"policy {name!r}: {item.name} has a value that is not finite")


def _held_to_windows(
    name: str, problem: Problem, found: Allocation, options: Options, overrun: float | None
) -> Allocation:
    """`found`, thinned to F11 where there is an `overrun`. Raises `PolicyError` if it breaks
    another budget, or if an edge would have to shed all that it serves."""
    batching = options.edge_form != "unbatched"
    evaluation = evaluate(problem, found, fill=options.fill, batching=batching, overrun=overrun)
    broken = evaluation.violations()
    _refuse(name, [violation for violation in broken if violation.label != "F11"])
    if overrun is None:
        return found
    thinned = thin(problem, found, overrun)
    served_e, left_e = (kept.edge_rate_em(problem).sum(axis=1) for kept in (found, thinned))
    emptied = {problem.edges[e] for e in np.flatnonzero((served_e > 0) & (left_e == 0))}
    _refuse(name, [violation for violation in broken if violation.node in emptied])
    return thinned


def _without_dust(found: Allocation) -> Allocation:
    """Without the tiny shares, of either sign, that a solver leaves."""

    def whole(share: FloatArray) -> FloatArray:
        return np.where(np.abs(share) > SMALLEST_SHARE, share, 0.0)

    return replace(
        found, local_ctm=whole(found.local_ctm), edge_atm=whole(found.edge_atm),
        cloud_at=whole(found.cloud_at),
    )  # fmt: skip


def _refuse(name: str, broken: list[Violation]) -> None:
    if not broken:
        return
    more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
    words = BUDGETS[broken[0].label]
    raise PolicyError(f"policy {name!r}: its plan breaks {broken[0]} ({words}){more}")
