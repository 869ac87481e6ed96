"""W5: whether a query goes the other way once its answers there are as good as `explain` asks.

Each case takes a plan of a sampled problem, a client, a task and an open way that the plan does not
take, and reads from `ways_of` by how much that way falls short. Then a hundredth of these queries
gets answers there that are right so much more often, and a little more; and once more, a little
less. Routes are planned anew for both (`solve_shares`, the models stay). The case is confirmed if
those queries go that way in the first plan and not in the second. Where `explain` says that no
accuracy is enough, perfect answers must not draw them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cluster.topology import Tier
from planner.deadline_classes import fields_of_tasks
from planner.explanation.other_ways import OtherWay, marginal_prices, ways_of
from planner.instances import REGIMES, sample_problem
from planner.plan import Plan
from planner.policies import Options, solve
from planner.policies.fixed_models import solve_shares
from planner.problem import Problem

__all__ = ["Flip", "flips", "main"]

FAMILIES = ("taskonomy", "random")
PROBED = "probed"
PART = 0.01
"""of the queries that are asked as a task of their own"""
STEP = 0.1
"""part of the shortfall by which answers are better, or worse, than what should turn them; at least
`LEAST_STEP`"""
LEAST_STEP = 2e-3
EACH = 4
"""cases of one plan"""


@dataclass(frozen=True)
class Flip:
    """One case."""

    name: str
    way: OtherWay
    drawn: bool | None
    """whether the queries went there with answers a little better than asked; None where none are
    good enough"""
    stayed: bool
    """whether they stayed away with answers a little worse"""

    @property
    def confirmed(self) -> bool:
        """Whether `explain` was right."""
        return self.drawn in (None, True) and self.stayed


def flips(count: int, seed: int) -> Iterator[Flip]:
    """So many cases, of problems of all families and regimes, from `seed` on."""
    rng = np.random.default_rng(seed)
    done, number = 0, 0
    while done < count:
        family = FAMILIES[number % 2]
        regime = tuple(REGIMES)[number // 2 % len(REGIMES)]
        problem = sample_problem(family, regime, 2, 5, seed + number)
        number += 1
        options = Options(gap=1e-3, time_limit_s=20)
        plan = solve(problem, "certified", options).plan
        routes = solve_shares(problem, plan.onloading, replace(options, warm_start=plan)).plan
        for flip in _of_plan(problem, routes, options, rng, f"{family}/{regime}/{seed + number}"):
            yield flip
            done += 1
            if done == count:
                return


def _of_plan(
    problem: Problem, plan: Plan, options: Options, rng: np.random.Generator, name: str
) -> Iterator[Flip]:
    prices = marginal_prices(problem, plan)
    asked = [
        (client, task)
        for c, client in enumerate(problem.clients)
        for t, task in enumerate(problem.tasks)
        if problem.load_ct[c, t] > 0
    ]
    for k in rng.permutation(len(asked))[:EACH]:
        client, task = asked[k]
        others = [
            way
            for way in ways_of(prices, client, task)
            if not way.closed and way.share < 1e-9 and way.short_by > 0
        ]
        if not others:
            continue
        way = others[rng.integers(len(others))]
        where = f"{name}: {client} {task} to {way.model} on {way.node}"
        if not np.isfinite(way.short_by):
            stayed = not _goes(problem, plan, options, client, task, way, 1.0)
            yield Flip(where, way, None, stayed)
            continue
        step = max(STEP * way.short_by, LEAST_STEP)
        above, below = way.accuracy + way.short_by + step, way.accuracy + way.short_by - step
        drawn = _goes(problem, plan, options, client, task, way, min(above, 1.0))
        stayed = not _goes(problem, plan, options, client, task, way, max(below, way.accuracy))
        yield Flip(where, way, drawn, stayed)


def _goes(
    problem: Problem, plan: Plan, options: Options, client: str, task: str, way: OtherWay,
    accuracy: float,
) -> bool:  # fmt: skip
    """Whether most of the probed queries take `way` where its answers have that accuracy."""
    probed = _with_probe(problem, client, task, way, accuracy)
    found = solve_shares(probed, plan.onloading, options).plan
    share = sum(
        route.share
        for route in found.routes
        if (route.client, route.task) == (client, PROBED)
        and (route.node, route.model) == (way.node, way.model)
        and (way.tier is not Tier.CLOUD or route.via in (None, way.via))
    )
    return share > 0.5


def _with_probe(
    problem: Problem, client: str, task: str, way: OtherWay, accuracy: float
) -> Problem:
    """`problem` with a part of the client's queries of the task as a task of its own, whose answers
    have that accuracy on `way`."""
    c, t = problem.clients.index(client), problem.tasks.index(task)
    fields = fields_of_tasks(problem, np.array([*range(len(problem.tasks)), t]))
    fields["load_ct"][:, -1] = 0.0
    fields["load_ct"][c, -1] = PART * problem.load_ct[c, t]
    fields["load_ct"][c, t] *= 1 - PART
    if way.tier is Tier.CLOUD:
        fields["cloud_accuracy_t"][-1] = accuracy
    else:
        fields["accuracy_mt"][problem.models.index(way.model), -1] = accuracy
    return problem.changed(tasks=(*problem.tasks, PROBED), **fields)


def main() -> None:
    """Print every case that was not confirmed, and how many were."""
    parser = argparse.ArgumentParser(description=__doc__, prog="explained_flips")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    confirmed = turning = 0
    for flip in flips(options.count, options.seed):
        confirmed += flip.confirmed
        turning += flip.drawn is not None
        if not flip.confirmed:
            print(f"{flip.name}: short by {flip.way.short_by:.4f}, drawn {flip.drawn}, "
                  f"stayed {flip.stayed}")  # fmt: skip
    print(f"{confirmed} of {options.count} confirmed; {turning} could be drawn at all")


if __name__ == "__main__":
    main()
