"""Policies: one signature, `policy(problem, options) -> Solution`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from planner.headroom import plan_with_headroom
from planner.options import Options
from planner.policies.baj3o import baj3o
from planner.policies.baselines import all_cloud, all_edge, all_local, random_models
from planner.policies.certified import certified
from planner.policies.exact import exact
from planner.policies.j3o import j3o
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["POLICIES", "Options", "Policy", "UnknownPolicyError", "list_policies", "solve"]


@dataclass(frozen=True)
class Policy:
    """A way to plan, with a line that says what it does."""

    name: str
    description: str
    run: Callable[[Problem, Options], Solution]


class UnknownPolicyError(ValueError):
    """No policy has that name; the message lists the valid ones."""


POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "baj3o", "alternation with batching at the edges (surrogate of F9, repaired)", baj3o
        ),
        Policy("j3o", "alternation without batching at the edges (F6)", j3o),
        Policy("certified", "decomposition with exact client subproblems, proven gap", certified),
        Policy("exact", "mixed-integer program solved to a gap, edge by edge", exact),
        Policy("all-local", "clients only", all_local),
        Policy("all-edge", "edges only", all_edge),
        Policy("all-cloud", "the cloud only", all_cloud),
        Policy(
            "random", "models drawn at random under memory, best routing among them", random_models
        ),
    )
}


def list_policies() -> tuple[Policy, ...]:
    """Every policy, in the order of the documentation."""
    return tuple(POLICIES.values())


def solve(problem: Problem, policy: str, options: Options | None = None) -> Solution:
    """Plan `problem` with the policy of that name.

    Raises `UnknownPolicyError`, and `PlanError` when `options.warm_start` is not of this problem.
    """
    if policy not in POLICIES:
        near = difflib.get_close_matches(policy, POLICIES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownPolicyError(f"no policy {policy!r}{hint} (valid: {', '.join(POLICIES)})")
    options = options or Options()
    if options.overrun is not None:
        return plan_with_headroom(problem, POLICIES[policy].run, options)
    return POLICIES[policy].run(problem, options)
