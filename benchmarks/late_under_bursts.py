"""P10: answers of an edge that come later than 2 T_b where arrivals burst, with and without F17.

Each case is a sampled problem (one edge, ten clients, compute scarce, so that the window is what
binds), a window T_b and a kind of arrivals. `certified` plans it in the default mode (F11, delta
0.05) with the dispersion that F17 plans for with these arrivals, and again as if they were Poisson.
Then arrivals are drawn as `testbed drive` draws them, each takes its route by chance, and the edge
works its windows off one after another (`planner.bursts.late_answers`).

"MMPP x1.5" is taken to be a rate that jumps between 1.5 and 0.5 times its mean, and stays for a
second in the mean: longer than most windows, so that what is left undone is carried over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.arrivals import Arrivals, MmppArrivals, MmppState, ReplayArrivals
from cluster.demand import EVERY_CLIENT, Phase
from planner.allocation import Allocation
from planner.bursts.late_answers import is_late
from planner.instances import sample_problem
from planner.policies import Options, solve
from planner.problem import FloatArray, Problem
from serving.traffic.arrivals.draw import PhaseArrivals, draw_arrivals
from serving.traffic.arrivals.streams import Streams

__all__ = ["KINDS", "SQUEEZED", "Case", "bursts", "cases", "late_share"]

FAMILIES = ("taskonomy", "random")
WINDOWS_S = (0.05, 0.1, 0.2, 0.5, 1.0)
CLIENTS = 10
DURATION_S = 300.0
HIGH, LOW, STAY_S = 1.5, 0.5, 1.0
SQUEEZED = "trace_squeezed"
"""shown by itself and not counted: squeezing a trace in time shortens its bursts too, to some that
nobody recorded; arrivals are to be thinned or copied"""
KINDS = {
    "mmpp": "MMPP x1.5, every client by itself",
    "mmpp_common": "MMPP x1.5, all clients at once",
    "trace": "recorded arrivals, every client its own stretch",
    SQUEEZED: "recorded arrivals, one stretch for all clients, in less time",
    "trace_copied": "recorded arrivals, one stretch for all clients, each many times",
}


@dataclass(frozen=True)
class Case:
    """What one plan came to."""

    name: str
    kind: str
    """of the arrivals, a key of `KINDS`"""
    known: float
    """share of late answers where the plan knows of the bursts"""
    unknown: float
    """the same where it takes them for Poisson arrivals"""
    price: float
    """part of the planned accuracy that knowing of the bursts takes"""


def cases(seeds: int, limit_s: float, trace: Path | None) -> Iterator[Case]:
    """Both families, every window, `seeds` problems of each, every kind of arrivals."""
    for family, window_s, seed in product(FAMILIES, WINDOWS_S, range(seeds)):
        problem = sample_problem(family, "compute", 1, CLIENTS, seed, window_s=window_s)
        options = Options(gap=5e-3, time_limit_s=limit_s)
        calm = solve(problem, "certified", options)
        for kind, arrivals in bursts(problem, trace).items():
            phase = phase_of(problem, arrivals)
            known = solve(with_bursts(problem, phase), "certified", options)
            drawn = draw_arrivals(phase, Streams(seed, 0))
            yield Case(
                name=f"{family}/{seed}/T_b {window_s:g} s/{kind}",
                kind=kind,
                known=late_share(problem, known.allocation, drawn, seed),
                unknown=late_share(problem, calm.allocation, drawn, seed),
                price=1 - known.objective / calm.objective,
            )


def bursts(problem: Problem, trace: Path | None) -> Mapping[str, dict[str, Arrivals]]:
    """Arrivals by kind, as a phase states them; those of a recorded `trace` if there is one.

    Azure's are 5.5 a second, and ten clients ask hundreds of queries a second. So a stretch for all
    of them is squeezed in time, or each of its arrivals comes as often as the rates ask for, in a
    burst up to the next one: as if a few callers sent some 80 queries each. A stretch for one
    client needs about six copies.
    """

    def jumping(correlation: float) -> MmppArrivals:
        states = tuple(MmppState(factor=factor, dwell_s=STAY_S) for factor in (HIGH, LOW))
        return MmppArrivals(kind="mmpp", states=states, correlation=correlation)

    found: dict[str, dict[str, Arrivals]] = {
        "mmpp": {EVERY_CLIENT: jumping(0.0)},
        "mmpp_common": {EVERY_CLIENT: jumping(1.0)},
    }
    if trace is not None:
        recorded = ReplayArrivals(kind="replay", file=str(trace), start_s="random", repeat=True)
        found["trace"] = dict.fromkeys(problem.clients, recorded)
        squeezed = recorded.model_copy(update={"scale": "time"})
        found[SQUEEZED] = {EVERY_CLIENT: squeezed}
        found["trace_copied"] = {EVERY_CLIENT: recorded}
    return found


def phase_of(problem: Problem, arrivals: dict[str, Arrivals]) -> Phase:
    """The problem's load as a phase of a demand."""
    rates_qps = {
        client: dict(zip(problem.tasks, map(float, load_t), strict=True))
        for client, load_t in zip(problem.clients, problem.load_ct, strict=True)
    }
    return Phase(duration_s=DURATION_S, rates_qps=rates_qps, arrivals=arrivals)


def with_bursts(problem: Problem, phase: Phase) -> Problem:
    """`problem`, of one edge, told of the bursts of `phase`."""
    window_s = float(problem.window_e[0])
    dispersion_c = [phase.dispersion_of(client, window_s) for client in problem.clients]
    return problem.changed(
        dispersion_c=np.array(dispersion_c), burst_correlation=phase.common_bursts
    )


def late_share(
    problem: Problem, allocation: Allocation, arrivals: PhaseArrivals, seed: int
) -> float:
    """Share of an only edge's answers that come later than 2 T_b; 0 if it answers nothing."""
    arrived_s_n, model_n = sent_to_edge(problem, allocation, arrivals, seed)
    late_n = is_late(problem, 0, arrived_s_n, model_n)
    return float(late_n.mean()) if len(late_n) else 0.0


def sent_to_edge(
    problem: Problem, allocation: Allocation, arrivals: PhaseArrivals, seed: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """When (n) queries arrive at an only edge, in order, and for which model: each draws its route
    by the shares of its client and task."""
    rng = np.random.default_rng([seed, 10])
    times, models = [], []
    for a, c in enumerate(problem.client_of_a):
        for t, task in enumerate(problem.tasks):
            asked_s_n = arrivals.times_s.get((problem.clients[c], task), np.empty(0))
            below_m = np.cumsum(allocation.edge_atm[a, t])
            model_n = np.searchsorted(below_m, rng.random(len(asked_s_n)), side="right")
            goes_n = model_n < len(problem.models)  # the others stay at home, or go to the cloud
            times.append(asked_s_n[goes_n])
            models.append(model_n[goes_n])
    arrived_s_n, model_n = np.concatenate(times), np.concatenate(models).astype(np.int64)
    order = np.argsort(arrived_s_n, kind="stable")
    return arrived_s_n[order], model_n[order]
