"""Policies: one signature, `policy(problem, options) -> Solution`."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import cast

from cluster.errors import InputError, UnknownNameError
from planner.allocation import Allocation
from planner.bursts.curved_windows import plan_with_curves
from planner.bursts.headroom import BoundOf, plan_with_headroom
from planner.options import EdgeForm, Options
from planner.plan import PlanError, allocation_of
from planner.policies.arrangements import completed, prepared
from planner.policies.asked_alone import plan_as_asked_alone
from planner.policies.baj3o import baj3o, baj3o_plain
from planner.policies.baselines import (
    CLOUD,
    EDGE,
    LOCAL,
    all_cloud,
    all_edge,
    all_local,
    random_models,
)
from planner.policies.bundled_exact import improve
from planner.policies.exact import exact
from planner.policies.fixed_models import solve_shares
from planner.policies.j3o import j3o, j3o_plain
from planner.policies.plugin_plans import run_plugin
from planner.policies.plugins import (
    PlugIn,
    PolicyError,
    describe_function,
    find_function,
    installed_plugins,
    name_function,
    warn_of_taken_names,
)
from planner.problem import Problem
from planner.programs.offloading import EVERYWHERE, Tiers
from planner.solution import Solution

__all__ = [
    "COUNTS_JOULES",
    "DEFAULT",
    "PAYS_FOR_LOADS",
    "PLANS_FAIRLY",
    "POLICIES",
    "SHARES_PASSES",
    "Options",
    "Policy",
    "PolicyError",
    "UnknownPolicyError",
    "find_policy",
    "list_policies",
    "solve",
    "solve_shares",
]


def _nothing() -> None:
    """For policies that compile nothing."""


@dataclass(frozen=True)
class Policy:
    """A way to plan, with a line that says what it does."""

    name: str
    description: str
    run: Callable[[Problem, Options], Solution]
    edge_form: EdgeForm = "batched"
    """What it plans edges with unless the options say otherwise."""
    bound_of: BoundOf | None = None
    """How its plans under F11 are bounded; None: by the linear relaxation."""
    prepare: Callable[[], None] = _nothing
    """What it does once a process, before any clock starts: loading and compiling."""
    best_routes: bool = False
    """Whether its routes are the best for the models that it chooses: under F11 they are sought
    anew, which would make another policy of one that has a rule for them, or is the paper's."""
    tiers: Tiers = EVERYWHERE
    """Where its plans may serve at all: what is done for all policies alike goes nowhere else."""
    keeps_windows: bool = False
    """Whether it plans with F11 and F15 itself; for all others `plan_with_headroom` and
    `plan_with_curves` see to it."""


class UnknownPolicyError(UnknownNameError):
    """No policy has that name; the message lists the valid ones."""


def _by_decomposition(module: str, name: str) -> Callable[[Problem, Options], Solution]:
    """The policy `name` of planner/policies/`module`.py, which is imported when it first plans.

    It compiles with numba, which takes as long to import as all the rest: .4 s that `testbed
    status` and every other command would wait for.
    """

    def plan(problem: Problem, options: Options) -> Solution:
        policy = getattr(import_module(f"planner.policies.{module}"), name)
        return cast(Solution, policy(problem, options))

    return plan


def _decomposed_bound(problem: Problem, options: Options) -> tuple[float, str]:
    """`decomposed_bound`, which is imported when it is first asked for, as the policies above."""
    found = import_module("planner.policies.decomposed_bound").decomposed_bound(problem, options)
    return cast(tuple[float, str], found)


def _rival(name: str) -> Callable[[Problem, Options], Solution]:
    """A published planner as its paper describes it (docs/rivals.md)."""
    return _by_decomposition(f"rivals.{name}", name)


def _compile() -> None:
    """Have the kernels of decomposition compiled. On a fresh machine that takes half a minute,
    which must not be taken from a plan's time limit."""
    import_module("planner.decomposition.first_calls").compile_kernels()


DEFAULT = "certified"
"""What plans unless another policy is named; `baj3o` is the paper's method."""
_TABLE: tuple[tuple[str, str, Callable[[Problem, Options], Solution]], ...] = (
    (
        "certified",
        "decomposition with exact client subproblems, proven gap",
        _by_decomposition("certified", "certified"),
    ),
    (
        "baj3o",
        "alternation with batching at the edges, then the best of all models it tried",
        baj3o,
    ),
    ("j3o", "alternation without batching at the edges, then the best of all models it tried", j3o),
    ("baj3o-plain", "baj3o as in the paper (surrogate of F9, repaired)", baj3o_plain),
    ("j3o-plain", "j3o as in the paper (F6)", j3o_plain),
    ("exact", "mixed-integer program solved to a gap, edge by edge", exact),
    ("all-local", "clients only", all_local),
    ("all-edge", "edges only", all_edge),
    ("all-cloud", "the cloud only", all_cloud),
    ("random", "models drawn at random under memory, best routing among them", random_models),
    (
        "greedy-accuracy",
        "the most accurate models that fit, best routing",
        _by_decomposition("restricted", "greedy_accuracy"),
    ),
    (
        "greedy-density",
        "the most accurate models per byte, best routing",
        _by_decomposition("restricted", "greedy_density"),
    ),
    (
        "single-task-only",
        "optimum without multi-task models",
        _by_decomposition("restricted", "single_task_only"),
    ),
    (
        "no-batching",
        "optimum of J3O (F6), charged the true batching cost",
        _by_decomposition("restricted", "no_batching"),
    ),
    (
        "infaas-like",
        "the cheapest variant that meets each task's accuracy target",
        _rival("infaas_like"),
    ),
    (
        "proteus-like",
        "one variant a device, all demand answered first, then accuracy",
        _rival("proteus_like"),
    ),
    (
        "loki-like",
        "the most accurate variants until the hardware is full, then lighter ones",
        _rival("loki_like"),
    ),
    (
        "jellybean-like",
        "the cheapest variants that reach an accuracy target, clients before edges",
        _rival("jellybean_like"),
    ),
    ("ipa-like", "one variant a task, accuracy less a price on every replica", _rival("ipa_like")),
    ("slackfit-like", "the variant that each node's slack allows", _rival("slackfit_like")),
)
_TIERS = {"all-local": LOCAL, "all-edge": EDGE, "all-cloud": CLOUD}
_UNBATCHED = ("j3o", "j3o-plain", "no-batching")
_SEARCHING = ("proteus-like", "loki-like", "ipa-like")
_COMPILED = ("certified", "baj3o", "j3o", "single-task-only", "no-batching", *_SEARCHING)
_BEST_ROUTES = (
    "certified", "baj3o", "exact", "random", "greedy-accuracy", "greedy-density",
    "single-task-only",
)  # fmt: skip
PAYS_FOR_LOADS = ("certified", "exact")
"""Policies that plan with moving costs (F16); the others refuse them."""
COUNTS_JOULES = ("exact",)
"""Policies that plan with a price on joules or a budget in watts (F18); the others refuse them."""
PLANS_FAIRLY = ("exact",)
"""Policies that plan for the least client or in proportion (F19); the others refuse it."""
SHARES_PASSES = ("certified", "exact")
"""Policies that plan passes which several tasks of an image share (F14); the others choose models
as if every task were asked alone (`plan_as_asked_alone`), and so does `certified` at first."""
POLICIES: dict[str, Policy] = {
    row[0]: Policy(
        *row,
        edge_form="unbatched" if row[0] in _UNBATCHED else "batched",
        bound_of=_decomposed_bound if row[0] == "certified" else None,
        prepare=_compile if row[0] in _COMPILED else _nothing,
        best_routes=row[0] in _BEST_ROUTES,
        tiers=_TIERS.get(row[0], EVERYWHERE),
    )
    for row in _TABLE
}


def list_policies() -> tuple[Policy, ...]:
    """Every policy, in the order of the documentation, then those of installed packages by name.
    Those are imported only once they plan, so that one that fails does no harm to the others."""
    warn_of_taken_names(frozenset(POLICIES))
    offered = installed_plugins()
    others = [_when_asked(name, offered[name]) for name in offered if name not in POLICIES]
    return (*POLICIES.values(), *others)


def _when_asked(name: str, place: str) -> Policy:
    """The policy of an installed package, imported when it plans."""

    def run(problem: Problem, options: Options) -> Solution:
        return find_policy(name).run(problem, options)

    return Policy(name, f"plug-in {place}", run, keeps_windows=True)


def find_policy(name: str) -> Policy:
    """The policy called `name`: one of ours, one that an installed package offers, or the function
    `package.module:function` (`planner.policies.plugins`).

    Raises `UnknownPolicyError` with the nearest name and all, and `PolicyError` for a function that
    cannot be imported.
    """
    if name in POLICIES:
        warn_of_taken_names(frozenset(POLICIES))
        return POLICIES[name]
    function = find_function(name)
    if function is not None:
        return _plugin_policy(name, function)
    names = [policy.name for policy in list_policies()]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UnknownPolicyError(
        f"no policy {name!r}{hint} (valid: {', '.join(names)}, or package.module:function)"
    )


def _plugin_policy(name: str, function: PlugIn) -> Policy:
    def run(problem: Problem, options: Options) -> Solution:
        return run_plugin(name, function, problem, options)

    return Policy(name, describe_function(function), run, keeps_windows=True)


def solve(problem: Problem, policy: str | PlugIn, options: Options | None = None) -> Solution:
    """Plan `problem` with the policy of that name (`find_policy`), or with a function of your own.

    Raises `UnknownPolicyError`, `PolicyError` for a function that cannot be imported or whose plan
    breaks a budget, `PlanError` when `options.warm_start` or `options.moving` is not of this
    problem, and `InputError` for moving costs, joules or an objective that the policy cannot
    plan for, joules of another problem, and for any of them, or an overrun, where images are asked
    several tasks.
    """
    if isinstance(policy, str):
        chosen = find_policy(policy)
    else:
        chosen = _plugin_policy(name_function(policy), policy)
    asked = options or Options()
    if problem.asks_together:
        return _solve_bundles(problem, chosen, asked.for_bundles())
    if asked.moving is not None and chosen.name not in PAYS_FOR_LOADS:
        raise InputError(
            f"policy {chosen.name!r} plans without moving costs (F16); "
            f"take {' or '.join(PAYS_FOR_LOADS)}"
        )
    if asked.objective != "mean" and chosen.name not in PLANS_FAIRLY:
        raise InputError(
            f"policy {chosen.name!r} plans for the mean accuracy, not for {asked.objective!r} "
            f"(F19); take {' or '.join(PLANS_FAIRLY)}"
        )
    if asked.energy is not None:
        if chosen.name not in COUNTS_JOULES:
            raise InputError(
                f"policy {chosen.name!r} plans without energy (F18); "
                f"take {' or '.join(COUNTS_JOULES)}"
            )
        asked.energy.check(problem)
    chosen.prepare()
    options = asked.resolved(chosen.edge_form)
    planned = prepared(problem, asked)
    stay: Allocation | None = None
    if options.moving is not None and not options.moving.free:
        options = replace(options, warm_start=options.warm_start or options.moving.plan)
        stay = _stay(problem, asked)
    if chosen.keeps_windows:
        solution = chosen.run(planned, options)
    elif options.overrun is not None:
        bound_of = chosen.bound_of if options.tight_bound else None
        solution = plan_with_headroom(
            planned, chosen.run, options, bound_of=bound_of, best_routes=chosen.best_routes,
            form=chosen.edge_form,
        )  # fmt: skip
    elif planned.curved:
        solution = plan_with_curves(planned, chosen.run, options, form=chosen.edge_form)
    else:
        solution = chosen.run(planned, options)
    return completed(problem, planned, asked, solution, stay, tiers=chosen.tiers)


def _solve_bundles(problem: Problem, policy: Policy, options: Options) -> Solution:
    """A plan where images are asked several tasks (F14)."""
    policy.prepare()
    if policy.name == "exact":
        return policy.run(problem, options)
    begun_s = time.perf_counter()
    found = plan_as_asked_alone(problem, policy.run, options, best_routes=policy.best_routes)
    left_s = options.time_limit_s - (time.perf_counter() - begun_s)
    if policy.name not in SHARES_PASSES or left_s <= 0:
        return found
    return improve(problem, found, options, left_s)


def _same(found: Solution, held: Allocation) -> bool:
    """Whether it moves nothing."""
    return bool(
        (found.allocation.onloaded_cm == held.onloaded_cm).all()
        and (found.allocation.onloaded_em == held.onloaded_em).all()
    )


def _stay(problem: Problem, options: Options) -> Allocation | None:
    """The best routes without any load; None where nodes can no longer hold what they hold. A warm
    start that has them already is taken."""
    assert options.moving is not None
    start = options.warm_start
    try:
        held = allocation_of(problem, options.moving.plan)
        if isinstance(start, Solution) and start.problem is problem and _same(start, held):
            return start.allocation
        return solve_shares(problem, options.moving.held, options).allocation
    except PlanError:
        return None
