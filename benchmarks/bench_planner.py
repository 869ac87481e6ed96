"""Planner benchmark: rows P1..P14, written to out/bench/planner.json and printed as a table.

Run with `make bench-planner`, or `python -m benchmarks.bench_planner --seeds 5`. Times are CPU
seconds of one process and one thread (P6: wall seconds, two processes), ratios are taken within
one run. In all but P9 and P10 policies plan windows for the mean load (F9). P10 takes recorded
arrivals as well, if `--trace FILE.csv` names some. References: "exact" is HiGHS on the
mixed-integer program, edge flows aggregated, one program per edge; where only the optimum's value
is needed it is bounded from above by the certified upper bound, which makes every quality a lower
estimate.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from certificate_check import findings, new_seed
from cluster.provenance import collect_provenance
from late_under_bursts import KINDS, SQUEEZED, Case, cases
from planner.decomposition.first_calls import compile_kernels
from planner.evaluate import evaluate
from planner.instances import REGIMES, sample_problem
from planner.policies import Options, solve
from planner.policies.warm_routes import warm_routes
from planner.problem import Problem
from planner.solution import Solution

__all__ = ["main"]

FAMILIES = ("taskonomy", "random")
PACKAGES = ("numpy", "scipy", "highspy", "numba")
WINDOWS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
DEFAULT_WINDOWS_S = (0.05, 0.2)
"""of P9"""
Row = dict[str, Any]


def paper_scale(seeds: int, **changes: Any) -> Iterable[tuple[str, Problem]]:
    """4 edges x 10 clients, 36 models, 5 tasks: every family and regime, `seeds` of each."""
    for family, regime, seed in product(FAMILIES, REGIMES, range(seeds)):
        yield f"{family}/{regime}/{seed}", sample_problem(family, regime, 4, 10, seed, **changes)


def timed(problem: Problem, policy: str, options: Options) -> tuple[Solution, float]:
    """The solution and the CPU seconds it took."""
    begun_s = time.process_time()
    solution = solve(problem, policy, options)
    return solution, time.process_time() - begun_s


def row(identity: str, what: str, values: Sequence[float], pick: str, unit: str) -> Row:
    """One row: `pick` is min, max or median of `values`."""
    picks: dict[str, Callable[[Sequence[float]], float]]
    picks = {"min": min, "max": max, "median": statistics.median}
    value = picks[pick](values)
    return {
        "id": identity, "what": what, "value": value, "unit": unit, "n": len(values),
        "spread": [min(values), max(values)],
    }  # fmt: skip


def certified_quality(seeds: int, limit_s: float) -> list[Row]:
    """P1 quality, P2 gap, P3 time to a 0.5 % certificate against HiGHS."""
    quality, proven, gaps, ratios, gains = [], 0, [], [], []
    for name, problem in paper_scale(seeds):
        options = Options(overrun=None, gap=5e-3, solver="highs", time_limit_s=limit_s)
        fine = solve(problem, "certified", replace(options, gap=1e-4))
        rough, fast_s = timed(problem, "certified", options)
        reference, slow_s = timed(problem, "exact", options)
        options = replace(options, gap=1e-4, warm_start=fine)
        exact = solve(problem, "exact", options)
        proven += exact.certificate.gap <= 1.01e-4
        quality.append(fine.objective / exact.objective)
        gains.append(fine.objective / fine.certificate.upper_bound)
        gaps.append(fine.certificate.gap)
        ratios.append(fast_s / slow_s)
        say(f"{name}: quality {quality[-1]:.6f} gap {gaps[-1]:.5f} time {fast_s:.2f}/{slow_s:.2f} s"
            f" (gaps {rough.certificate.gap:.4f}, {reference.certificate.gap:.4f})")  # fmt: skip
    count = len(quality)
    against = f"exact at 1e-4 (proven for {proven} of {count}, {limit_s:g} s each)"
    return [
        row("P1.worst", f"certified / {against}", quality, "min", "ratio"),
        row("P1.median", f"certified / {against}", quality, "median", "ratio"),
        row("P1.floor", "certified / its own upper bound", gains, "min", "ratio"),
        row("P2.worst", "certified gap, 1e-4 asked", gaps, "max", "relative"),
        row("P2.median", "certified gap, 1e-4 asked", gaps, "median", "relative"),
        row("P3.median", "CPU time to 0.5 %: certified / HiGHS", ratios, "median", "ratio"),
        row("P3.worst", "CPU time to 0.5 %: certified / HiGHS", ratios, "max", "ratio"),
    ]


def j3o_quality(seeds: int, limit_s: float) -> list[Row]:
    """P4: j3o against the optimum of J3O (F6), and its time against HiGHS to 0.1 %."""
    quality, ratios = [], []
    for name, problem in paper_scale(seeds):
        options = Options(overrun=None, edge_form="unbatched", time_limit_s=limit_s)
        bound = solve(problem, "certified", replace(options, gap=1e-3)).certificate.upper_bound
        found, fast_s = timed(problem, "j3o", options)
        _, slow_s = timed(problem, "exact", replace(options, gap=1e-3, solver="highs"))
        quality.append(found.objective / bound)
        ratios.append(fast_s / slow_s)
        say(f"{name}: j3o {quality[-1]:.4f} time {fast_s:.2f}/{slow_s:.2f} s")
    what = "j3o / upper bound of J3O's optimum (within 0.1 %)"
    return [
        row("P4.median", what, quality, "median", "ratio"),
        row("P4.worst", what, quality, "min", "ratio"),
        row("P4.time", "CPU time: j3o / HiGHS to 0.1 %", ratios, "median", "ratio"),
    ]


def baj3o_quality(seeds: int, limit_s: float) -> list[Row]:
    """P5: baj3o against the optimum with the true F9, by window; P11: the worst of all."""
    rows, every = [], []
    for window_s in WINDOWS_S:
        quality = []
        for name, problem in paper_scale(seeds, window_s=window_s):
            options = Options(overrun=None, time_limit_s=limit_s)
            bound = solve(problem, "certified", replace(options, gap=1e-3)).certificate.upper_bound
            found = solve(problem, "baj3o", options)
            assert found.evaluation.feasible, name
            quality.append(found.objective / bound)
        say(f"T_b {window_s:g} s: baj3o median {statistics.median(quality):.4f} "
            f"worst {min(quality):.4f}")  # fmt: skip
        what = f"baj3o / upper bound of the optimum with F9 (within 0.1 %), T_b {window_s:g} s"
        rows.append(row(f"P5.window_{window_s:g}", what, quality, "median", "ratio"))
        every += quality
    what = "baj3o / upper bound of the optimum with F9 (within 0.1 %), all windows"
    return [
        row("P5.median", what, every, "median", "ratio"),
        row("P5.worst", what, every, "min", "ratio"),
        row("P11", "baj3o / bound with F9, worst of all windows and seeds", every, "min", "ratio"),
        *rows,
    ]


def city(seeds: int, limit_s: float) -> list[Row]:
    """P6: 100 edges x 100 clients, mixed, to 0.5 %, two processes."""
    return at_scale("P6", sample_problem("random", "mixed", 100, 100, 0), 5e-3)


def country(seeds: int, limit_s: float) -> list[Row]:
    """P14: 1,000 edges x 100 clients, mixed, two processes, within ten minutes."""
    return at_scale("P14", sample_problem("random", "mixed", 1000, 100, 0), 1e-2)


def neighbours(seeds: int, limit_s: float) -> list[Row]:
    """P12: 1,000 clients at each of two edges, of which every client reaches both (F12)."""
    problem = sample_problem("random", "mixed", 2, 1000, 0, reach=2)
    return at_scale("P12", problem, 1e-2, limit_s=60)


def wide_library(seeds: int, limit_s: float) -> list[Row]:
    """P13: 12 tasks x 80 models, 4 edges x 10 clients, to 0.5 %."""
    times, gaps = [], []
    for seed in range(seeds):
        problem = sample_problem("random", "mixed", 4, 10, seed, models=80, tasks=12)
        options = Options(overrun=None, gap=5e-3, time_limit_s=120)
        begun_s = time.perf_counter()
        solution = solve(problem, "certified", options)
        times.append(time.perf_counter() - begun_s)
        gaps.append(solution.certificate.gap)
        say(f"80 models, seed {seed}: gap {gaps[-1]:.4f} in {times[-1]:.1f} s")
    what = "12 tasks x 80 models x 40 clients"
    return [
        row("P13", f"{what} to 0.5 %, wall, one process", times, "max", "s"),
        row("P13.gap", "certified gap there", gaps, "max", "relative"),
    ]


def at_scale(identity: str, problem: Problem, gap: float, limit_s: float = 600.0) -> list[Row]:
    """Wall seconds, gap and memory of one large plan, by two processes.

    It is planned in a process of its own: the peak of this one, and of its workers, would be that
    of the largest section so far.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(large_plan, problem, gap, limit_s).result()
    wall_s, reached, memory_gib = found
    what = f"{len(problem.clients):,} clients x {len(problem.edges):,} edges"
    say(f"{what}: gap {reached:.4f} in {wall_s:.1f} s, {memory_gib:.2f} GiB")
    stated = f"{what} to {gap:.1%}, wall, 2 processes"
    return [
        row(f"{identity}.time", stated, [wall_s], "max", "s"),
        row(f"{identity}.gap", "certified gap there", [reached], "max", "relative"),
        row(f"{identity}.memory", "peak resident memory, all processes", [memory_gib], "max",
            "GiB"),
    ]  # fmt: skip


def large_plan(problem: Problem, gap: float, limit_s: float) -> tuple[float, float, float]:
    """(Wall seconds, gap, GiB at the peak of this process and two like its largest worker)."""
    compile_kernels()
    begun_s = time.perf_counter()
    options = Options(overrun=None, gap=gap, threads=2, time_limit_s=limit_s)
    solution = solve(problem, "certified", options)
    wall_s = time.perf_counter() - begun_s
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return wall_s, solution.certificate.gap, (own + 2 * worker) / 2**20


def replanning(seeds: int, limit_s: float) -> list[Row]:
    """P7: re-plan to 0.5 % from a previous solution after every load moved by up to 10 %, and the
    first feasible plan on the way there: the best routes for the models that are held."""
    times, quality, first = [], [], []
    for name, problem in paper_scale(seeds):
        options = Options(overrun=None, gap=5e-3, time_limit_s=limit_s)
        previous = solve(problem, "certified", options)
        seed = int(name.rsplit("/", 1)[1])
        change_ct = np.random.default_rng(seed).uniform(0.9, 1.1, problem.load_ct.shape)
        moved = problem.changed(load_ct=problem.load_ct * change_ct)
        again, seconds = timed(moved, "certified", replace(options, warm_start=previous))
        times.append(seconds)
        quality.append(again.certificate.gap)
        begun_s = time.process_time()
        routed = warm_routes(moved, "batched", replace(options, warm_start=previous), 0.0, limit_s)
        first.append(time.process_time() - begun_s)
        assert routed is not None
        assert evaluate(moved, routed.allocation, fill=options.fill).feasible
        say(f"{name}: re-planned in {seconds:.3f} s, gap {quality[-1]:.4f}")
    return [
        row("P7.median", "re-plan after 10 % load change, CPU", times, "median", "s"),
        row("P7.worst", "re-plan after 10 % load change, CPU", times, "max", "s"),
        row("P7.first", "first feasible plan of these, CPU", first, "max", "s"),
        row("P7.gap", "certified gap of the re-plans", quality, "max", "relative"),
    ]


def certificates(seeds: int, limit_s: float) -> list[Row]:
    """P8: false certificates, 400 problems a seed (2,000 by default)."""
    count = 400 * seeds
    first, false = new_seed(), 0
    for words in findings(first, count):
        say(words)
        false += 1
    what = f"false certificates on adverse random problems, from seed {first}"
    return [{**row("P8", what, [float(false)], "max", "certificates"), "n": count}]


def default_mode(seeds: int, limit_s: float) -> list[Row]:
    """P9: the gap of `certified` in the default mode, with room for arrivals (F11)."""
    gaps: dict[float, list[float]] = {}
    times: list[float] = []
    for window_s in DEFAULT_WINDOWS_S:
        for name, problem in paper_scale(seeds, window_s=window_s):
            options = Options(gap=1e-3, time_limit_s=limit_s)
            solution, seconds = timed(problem, "certified", options)
            gap = solution.certificate.gap
            gaps.setdefault(window_s, []).append(gap)
            times.append(seconds)
            say(f"{name}, T_b {window_s:g} s: gap {gap:.4f} in {seconds:.2f} s")
    every = [gap for found in gaps.values() for gap in found]
    what, unit = "certified gap with F11", "relative"
    rows = [
        row("P9.median", f"{what}, both windows", every, "median", unit),
        row("P9.worst", f"{what}, both windows", every, "max", unit),
        row("P9.time", "time of these plans and bounds, CPU", times, "median", "s"),
    ]
    for window_s, found in gaps.items():
        name = f"P9.window_{window_s:g}"
        rows.append(row(name, f"{what}, T_b {window_s:g} s", found, "median", unit))
    return rows


def late_answers(seeds: int, limit_s: float, trace: Path | None = None) -> list[Row]:
    """P10: late answers where arrivals burst, with F17 and without, and what F17 costs."""
    found: list[Case] = []
    for case in cases(seeds, limit_s, trace):
        found.append(case)
        say(f"{case.name}: late {case.known:.4f}, without F17 {case.unknown:.4f}, "
            f"price {case.price:.4f}")  # fmt: skip
    bursts = "bursts of MMPP x1.5 and of a trace" if trace else "bursts of MMPP x1.5, no trace"
    late = f"answers later than 2 T_b, F11 at 0.05, T_b 0.05 to 1 s, {bursts}"
    counted = [case for case in found if case.kind != SQUEEZED]
    rows = [
        row("P10", f"{late}: with F17", [case.known for case in counted], "max", "share"),
        row("P10.without", f"{late}: without F17", [case.unknown for case in counted], "max",
            "share"),
        row("P10.price", "accuracy that F17 takes there", [case.price for case in counted], "max",
            "relative"),
    ]  # fmt: skip
    for kind in dict.fromkeys(case.kind for case in found):
        shares = [case.known for case in found if case.kind == kind]
        rows.append(row(f"P10.{kind}", f"P10 under {KINDS[kind]}", shares, "max", "share"))
    return rows


def say(text: str) -> None:
    """Progress, at once."""
    print(text, flush=True)


SECTIONS: dict[str, Callable[[int, float], list[Row]]] = {
    "P1-P3": certified_quality,
    "P4": j3o_quality,
    "P5": baj3o_quality,
    "P6": city,
    "P7": replanning,
    "P8": certificates,
    "P9": default_mode,
    "P10": late_answers,
    "P12": neighbours,
    "P13": wide_library,
    "P14": country,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sections asked for and write their rows; rows of other sections are kept."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench_planner")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds a solver run")
    parser.add_argument("--sections", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--trace", type=Path, help="CSV of recorded arrivals, for P10")
    parser.add_argument("--out", type=Path, default=Path("out/bench/planner.json"))
    options = parser.parse_args(arguments)
    if options.trace is not None and not options.trace.exists():
        parser.error(f"--trace {options.trace}: no such file")
    sections: dict[str, Callable[[int, float], list[Row]]] = {
        **SECTIONS,
        "P10": partial(late_answers, trace=options.trace),
    }
    compile_kernels()  # before anything is timed
    rows: dict[str, Row] = {}
    if options.out.exists():
        rows = {item["id"]: item for item in json.loads(options.out.read_text())["rows"]}
    for section in options.sections:
        say(f"== {section}")
        measured = sections[section](options.seeds, options.time_limit)
        provenance = collect_provenance("make bench-planner", packages=PACKAGES).model_dump()
        for item in measured:
            # Sections may be measured one by one, so each row says at which commit it was.
            rows[item["id"]] = {**item, "commit": provenance["commit"]}
        write(options.out, provenance, rows)
    table(rows)


def write(path: Path, provenance: dict[str, Any], rows: dict[str, Row]) -> None:
    """The JSON that is committed as benchmarks/results/planner.json."""
    document = {"provenance": provenance, "rows": [rows[key] for key in sorted(rows)]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def table(rows: dict[str, Row]) -> None:
    """The rows as a table for people."""
    for key in sorted(rows):
        item = rows[key]
        low, high = item["spread"]
        print(f"{key:16} {item['value']:10.5g} {item['unit']:9} n={item['n']:<4} "
              f"[{low:.4g}, {high:.4g}]  {item['what']}")  # fmt: skip


if __name__ == "__main__":
    main()
