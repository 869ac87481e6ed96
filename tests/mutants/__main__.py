"""`make mutants`: a seeded sample of mutants, each tried on the tests that reach it.

Usage: python -m mutants                MUTANTS_SEED and MUTANTS_COUNT name the sample
       python -m mutants NAME TEST ...  one mutant (its name stands in the list of survivors) on
                                        tests of yours
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random

from mutants.files import FILES, TESTS, copy_tree
from mutants.mutate import Mutant, mutants_of
from mutants.reach import Reach
from mutants.worker import SURVIVED
from support.paths import ROOT

WANTED = 0.85
FREE_S, TIMES = 20.0, 5.0
"""a trial may take this long, and this many times what its tests take without a mutant"""
MOST_S = 40.0
"""of tests of one trial, the quickest first"""
REPORT = ROOT / "out" / "mutants.txt"


@dataclass(frozen=True)
class Result:
    """What became of a mutant."""

    mutant: Mutant
    outcome: str
    tests: int
    seconds: float


def environment(copy: Path) -> dict[str, str]:
    """Of a process in a copy of the tree: nothing of the checkout is imported."""
    return {
        **os.environ, "PYTHONPATH": f"{copy}:{copy / 'tests'}:{copy / 'benchmarks'}",
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # their imports would take half of each trial
        "NUMBA_DISABLE_JIT": "1",  # what is tried once takes longer to compile than to run
    }  # fmt: skip


def draw(seed: str, count: int) -> list[Mutant]:
    """The sample. Half of all mutants call something with one argument less or None, which hardly
    any test could miss: they are a tenth of the sample, or it would flatter the tests."""
    mutants = [m for path in FILES for m in mutants_of(path, (ROOT / path).read_text())]
    plain = [m for m in mutants if m.operator != "operator_arg_removal"]
    calls = [m for m in mutants if m.operator == "operator_arg_removal"]
    rng = Random(seed)
    of_calls = min(count // 10, len(calls))
    return rng.sample(calls, of_calls) + rng.sample(plain, min(count - of_calls, len(plain)))


def find_reach(copies: Sequence[Path]) -> Reach:
    """Which tests reach which line, measured in the copies side by side."""
    running = []
    for number, copy in enumerate(copies):
        tests = TESTS[number :: len(copies)]
        if tests:
            command = [sys.executable, "-m", "mutants.reach", "reach.json", *tests]
            log = (copy / "reach.log").open("w")
            running.append((copy, subprocess.Popen(
                command, cwd=copy, env=environment(copy), stdout=log, stderr=log
            )))  # fmt: skip
    for copy, process in running:
        if process.wait():
            sys.exit((copy / "reach.log").read_text()[-4_000:])
    return Reach.load([copy / "reach.json" for copy, _ in running])


class Worker:
    """A process that tries mutants in its copy."""

    def __init__(self, copy: Path) -> None:
        self._copy = copy
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mutants.worker"], cwd=copy, env=environment(copy),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def attempt(self, path: str, source: str, tests: Sequence[str], tests_s: float) -> str:
        """The outcome of `tests`, which take `tests_s` without a change."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        trial = {
            "path": path, "source": source, "tests": list(tests), "log": "trial.log",
            "limit_s": FREE_S + TIMES * tests_s,
        }  # fmt: skip
        self._process.stdin.write(json.dumps(trial) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"mutants: the worker in {self._copy} died")
        outcome: str = json.loads(line)["outcome"]
        return outcome

    @property
    def log(self) -> str:
        """What the last trial's tests said."""
        return (self._copy / "trial.log").read_text(errors="replace")

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            process.communicate()


def try_all(sample: Sequence[Mutant], reach: Reach, copies: Sequence[Path]) -> list[Result]:
    """Every mutant on the tests that reach it, one worker a copy."""
    waiting: SimpleQueue[Mutant] = SimpleQueue()
    for mutant in sample:
        waiting.put(mutant)
    results: list[Result] = []
    faults: list[BaseException] = []

    def work(copy: Path) -> None:
        worker = Worker(copy)
        try:
            while not faults:
                result = _try(worker, waiting.get_nowait(), reach)
                results.append(result)
                print(
                    f"{len(results):4}/{len(sample)} {result.outcome:8} {result.seconds:6.1f} s "
                    f"{result.tests:4} tests  {result.mutant.name} {result.mutant.operator}",
                    flush=True,
                )
        except Empty:
            return
        except BaseException as error:  # noqa: BLE001 - raised by who waits for the threads
            faults.append(error)
        finally:
            worker.close()

    threads = [threading.Thread(target=work, args=(copy,)) for copy in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return results


def _try(worker: Worker, mutant: Mutant, reach: Reach) -> Result:
    begun_s = time.monotonic()
    source = mutant.source()
    tests: list[str] = []
    tests_s = 0.0
    for test in reach.tests_of(mutant.path, mutant.lines):
        tests_s += reach.seconds.get(test, 0.0)
        if tests and tests_s > MOST_S:
            break
        tests.append(test)
    outcome = SURVIVED
    if tests and source != mutant.module.code:
        outcome = worker.attempt(mutant.path, source, tests, tests_s)
    return Result(mutant, outcome, len(tests), time.monotonic() - begun_s)


def report(results: Sequence[Result], seed: str) -> str:
    """The figures, then the survivors with their diffs."""
    survivors = [each for each in results if each.outcome == SURVIVED]
    caught = len(results) - len(survivors)
    lines = [
        f"MUTANTS_SEED={seed}: {caught} of {len(results)} caught "
        f"({caught / max(1, len(results)):.1%}), at least {WANTED:.0%} wanted",
    ]
    for each in sorted(survivors, key=lambda each: each.mutant.name):
        mutant = each.mutant
        lines += ["", f"{mutant.name} ({mutant.operator}, {each.tests} tests)", mutant.diff()]
    return "\n".join(lines) + "\n"


def try_one(name: str, tests: Sequence[str]) -> None:
    """One mutant on tests that are named; prints what they say."""
    path, _, number = name.rpartition("#")
    mutant = mutants_of(path, (ROOT / path).read_text())[int(number)]
    print(mutant.diff())
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        worker = Worker(copy_tree(Path(folder)))
        outcome = worker.attempt(mutant.path, mutant.source(), tests, 120.0)
        print(worker.log[-2_000:])
        worker.close()
    print(outcome)


def main() -> None:
    """Try the sample, or the one that is named."""
    if sys.argv[1:]:
        try_one(sys.argv[1], sys.argv[2:])
        return
    seed = os.environ.get("MUTANTS_SEED", "1")
    count = int(os.environ.get("MUTANTS_COUNT", "200"))
    jobs = int(os.environ.get("MUTANTS_JOBS", len(os.sched_getaffinity(0))))
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [copy_tree(Path(folder) / f"copy-{number}") for number in range(jobs)]
        reach = find_reach(copies)
        print(f"{len(reach.seconds)} tests, {time.monotonic() - begun_s:.0f} s", flush=True)
        for test in reach.failed:
            print(f"left out, since it fails without any mutant: {test}", flush=True)
        results = try_all(draw(seed, count), reach, copies)
    text = report(results, seed)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(text)
    print(text.splitlines()[0])
    print(f"{time.monotonic() - begun_s:.0f} s; the survivors are in {REPORT.relative_to(ROOT)}")
    caught = sum(each.outcome != SURVIVED for each in results)
    sys.exit(0 if caught >= WANTED * len(results) else 1)


if __name__ == "__main__":
    main()
