"""Whether certificates hold (F10): every policy's bound against the best plan that anyone finds.

A certificate is false where a plan that keeps every constraint is worth more than the bound, or
where it says "optimal" with a gap above the one asked for. On tiny problems the best plan comes
from trying all sets of models, on others from the policies themselves, `exact` to 1e-7 among them.

Run with `make certificates`, or as `python benchmarks/certificate_check.py --count 50 --seed 1`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from planner.allocation import tidy
from planner.certificate import Status
from planner.edge_cost import edge_cost
from planner.evaluate import evaluate
from planner.instances.adverse import adverse_problem
from planner.options import EdgeForm, Options
from planner.policies import POLICIES, solve
from planner.problem import Problem
from planner.programs.offloading import Tiers, route
from planner.solution import Solution
from planner.solvers import SolverName

__all__ = ["FalseCertificate", "check_certificates", "findings", "new_seed"]

ROUNDING = 1e-9
"""relative: a plan worth so much more than a bound is no proof against it"""
MOST_SETS = 2**8
"""Sets of models that are tried one by one."""
ASKED_GAP = 1e-4
JUDGES: tuple[tuple[str, SolverName], ...] = (
    ("certified", "auto"),
    ("exact", "highs"),
    ("exact", "gurobi"),
)


@dataclass(frozen=True)
class FalseCertificate:
    """What was claimed and what disproves it."""

    seed: int
    regime: str
    policy: str
    rules: str
    claimed: float
    reached: float
    by: str

    def __str__(self) -> str:
        return (
            f"seed {self.seed} ({self.regime}), {self.rules}: {self.policy} claims at most "
            f"{self.claimed!r}, {self.by} reaches {self.reached!r}"
        )


def drawn(seed: int) -> tuple[str, Problem]:
    """An adverse problem; one in three has measured curves (F15), one in six bundles (F14)."""
    regime, problem = adverse_problem(seed)
    rng = np.random.default_rng([seed, 15])
    kind = rng.random()
    if kind < 1 / 3:
        return f"{regime} + curves", _with_curves(problem, rng)
    if kind < 1 / 2 and len(problem.tasks) > 1:
        return f"{regime} + bundles", _with_bundles(problem, rng)
    return regime, problem


def _with_curves(problem: Problem, rng: np.random.Generator) -> Problem:
    """What batches take, up to a half away from the line, never less for more queries."""
    sizes_z = np.unique(np.concatenate([[1.0], rng.choice([2.0, 3.0, 4.0, 8.0, 16.0], 3)]))
    line_emz = problem.edge_setup_em[:, :, None] + problem.edge_marginal_em[:, :, None] * sizes_z
    measured_emz = line_emz * rng.uniform(0.5, 1.5, line_emz.shape)
    return problem.changed(
        curve_sizes_z=sizes_z, edge_curve_emz=np.maximum.accumulate(measured_emz, axis=2)
    )


def _with_bundles(problem: Problem, rng: np.random.Generator) -> Problem:
    """Two kinds of requests for two tasks or more of one image, from some of the clients."""
    asked_bt = np.zeros((2, len(problem.tasks)))
    for b in range(2):
        count = int(rng.integers(2, len(problem.tasks) + 1))
        asked_bt[b, rng.choice(len(problem.tasks), count, replace=False)] = 1.0
    if (asked_bt[0] == asked_bt[1]).all():
        asked_bt = asked_bt[:1]
    shape = (len(problem.clients), len(asked_bt))
    load_cb = rng.uniform(0, 4, shape) * (rng.random(shape) < 0.7)
    return problem.changed(
        bundle_bt=asked_bt, bundle_load_cb=load_cb, load_ct=problem.load_ct + load_cb @ asked_bt
    )


def check_certificates(
    seed: int, draw: Callable[[int], tuple[str, Problem]] = drawn
) -> list[FalseCertificate]:
    """The false certificates on the problem of `seed`, under one set of rules drawn with it."""
    regime, problem = draw(seed)
    rng = np.random.default_rng([seed, 17])
    fill = float(rng.choice([0.6, 1.0]))
    rules = str(rng.choice(["F9", "F6", "F11"]))
    if problem.asks_together:
        rules = "F9"  # windows are planned for the mean load there
    form: EdgeForm | None = "unbatched" if rules == "F6" else None
    overrun = 0.05 if rules == "F11" else None
    options = Options(
        fill=fill, gap=ASKED_GAP, edge_form=form, overrun=overrun, time_limit_s=20.0, seed=seed
    )
    others = [name for name in POLICIES if name not in ("certified", "exact")]
    runs: list[tuple[str, SolverName]] = [*JUDGES]
    runs += [(str(rng.choice(names)), "auto") for names in (others, others[:2])]
    found: list[tuple[str, Solution]] = []
    for policy, solver in dict.fromkeys(runs):
        asked = replace(options, solver=solver, gap=1e-7 if policy == "exact" else ASKED_GAP)
        found.append((f"{policy} ({solver})", solve(problem, policy, asked)))
    reached = [
        (solution.objective, name)
        for name, solution in found
        if evaluate(
            problem, solution.allocation, fill=fill, batching=rules != "F6", overrun=overrun
        ).feasible
    ]
    if rules != "F11" and not problem.asks_together:
        brute = _brute_force(problem, replace(options, edge_form=form or "batched"))
        reached += [] if brute is None else [(brute, "trying all sets of models")]
    best, by = max(reached)
    false = []
    for name, solution in found:
        claim = solution.certificate
        if solution.edge_form != (form or "batched"):
            continue  # what it proves is about J3O, whose edges do not batch
        if best > claim.upper_bound * (1 + ROUNDING) + 1e-15:
            false.append(FalseCertificate(seed, regime, name, rules, claim.upper_bound, best, by))
        elif claim.status is Status.OPTIMAL and claim.gap > ASKED_GAP * (1 + 1e-6):
            false.append(
                FalseCertificate(seed, regime, name, rules, claim.objective, claim.upper_bound,
                                 "its own bound, though it says optimal,")
            )  # fmt: skip
    return false


def _brute_force(problem: Problem, options: Options) -> float | None:
    """The best plan among all sets of models; None where there are too many sets."""
    form = options.edge_form or "batched"
    finite_c, finite_e = map(
        np.isfinite, (problem.client_model_bytes_cm, problem.edge_model_bytes_em)
    )
    if 2 ** int(finite_c.sum() + finite_e.sum()) > MOST_SETS:
        return None
    best = 0.0
    for onloaded_cm, onloaded_em in _all_sets(finite_c, finite_e):
        try:
            routed = route(
                problem, onloaded_cm, onloaded_em, edge_cost(problem, form), options, Tiers()
            )
        except ValueError:
            continue  # the set-ups alone are longer than the window
        plan = tidy(problem, routed.allocation, fill=options.fill, batched=form == "batched")
        checked = evaluate(problem, plan, fill=options.fill, batching=form == "batched")
        best = max(best, checked.objective if checked.feasible else 0.0)
    return best


def _all_sets(
    finite_c: np.ndarray, finite_e: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    c, e = np.nonzero(finite_c), np.nonzero(finite_e)
    for bits in product((False, True), repeat=len(c[0]) + len(e[0])):
        onloaded_cm, onloaded_em = np.zeros_like(finite_c), np.zeros_like(finite_e)
        onloaded_cm[c], onloaded_em[e] = bits[: len(c[0])], bits[len(c[0]) :]
        yield onloaded_cm, onloaded_em


def new_seed() -> int:
    """Another one at each call, by the clock."""
    return time.time_ns() % 10**9


def findings(first: int, count: int) -> Iterator[str]:
    """What is wrong on the problems of `count` seeds from `first`, in words: false certificates,
    and policies that fail."""
    for seed in range(first, first + count):
        try:
            yield from map(str, check_certificates(seed))
        except Exception as error:  # noqa: BLE001 -- a policy that fails is a finding too
            yield f"seed {seed} ({drawn(seed)[0]}): {type(error).__name__}: {error}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every finding and how many there were; 1 if there was one."""
    parser = argparse.ArgumentParser(description=__doc__, prog="certificate_check")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None, help="of the first; default: the clock's")
    asked = parser.parse_args(arguments)
    first = new_seed() if asked.seed is None else asked.seed
    begun_s, found = time.perf_counter(), 0
    for words in findings(first, asked.count):
        print(words, flush=True)
        found += 1
    spent_s = time.perf_counter() - begun_s
    print(f"{asked.count} problems from seed {first}: {found or 'nothing'} false, {spent_s:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
