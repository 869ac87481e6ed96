"""Which tests run which lines of the files that are mutated, and how long each test takes.

Usage, in a copy of the tree: python -m mutants.reach OUT.json TEST ...
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import coverage
import pytest

from mutants.files import FILES
from support.paths import ROOT

__all__ = ["Reach", "measure"]

MOST_FAILING = 0.05


@dataclass(frozen=True)
class Reach:
    """What one run of the unchanged tests showed."""

    tests_by_line: Mapping[str, Mapping[int, Sequence[str]]]
    """file -> line -> tests that run it; "" stands for imports"""
    seconds: Mapping[str, float]
    """of each test, fixtures included"""
    failed: Sequence[str] = ()
    """tests that fail without any mutant, as one that measures time may on a busy machine"""

    def tests_of(self, path: str, lines: range) -> list[str]:
        """The tests that run one of `lines`, the quickest first. Lines that only imports run
        belong to every test that runs another line of the file, or whose own file imports it."""
        by_line = self.tests_by_line.get(path, {})
        found = {test for line in lines for test in by_line.get(line, ())}
        if "" in found and len(found) == 1:
            found = {test for tests in by_line.values() for test in tests}
            found |= {test for test in self.seconds if _imports(test.partition("::")[0], path)}
        return sorted(found - {""}, key=lambda test: (self.seconds.get(test, 0.0), test))

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Reach:
        """What several runs showed together."""
        lines: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        seconds: dict[str, float] = {}
        failed: list[str] = []
        for path in paths:
            found = json.loads(path.read_text())
            seconds |= found["seconds"]
            failed += found["failed"]
            for name, by_line in found["tests_by_line"].items():
                for line, tests in by_line.items():
                    lines[name][int(line)] += tests
        return cls(lines, seconds, failed)


@cache
def _imports(test_file: str, path: str) -> bool:
    module = path.removesuffix(".py").replace("/", ".")
    source = ROOT / test_file
    return source.exists() and f"from {module} import" in source.read_text(encoding="utf-8")


class _Contexts:
    """Tells coverage which test runs, its fixtures included."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """pytest: how a test, or a fixture of it, ended."""
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measured.switch_context(item.nodeid)
        begun_s = time.perf_counter()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.perf_counter() - begun_s
            self._measured.switch_context("")


def measure(out: Path, tests: Sequence[str]) -> None:
    """Run `tests` and write what they reach. One that fails without any mutant shows nothing and is
    left out. Ends the process if many do, or if they cannot be run."""
    measured = coverage.Coverage(
        data_file=None, config_file=False, include=list(FILES), messages=False
    )
    measured.start()
    contexts = _Contexts(measured)
    # Policies other than `certified` reach the same lines of `FILES`, without compiled kernels.
    chosen = ["-m", "not gpu and not slow", "-k", "not certified"]
    arguments = [*tests, *chosen, "-q", "-p", "no:cacheprovider"]
    status = pytest.main(arguments, plugins=[contexts])
    measured.stop()
    failed = contexts.failed
    if status not in (0, 1) or len(failed) > MOST_FAILING * len(contexts.seconds):
        sys.exit(f"mutants: the tests fail without any mutant (exit code {int(status)})")
    data = measured.get_data()
    by_file = {name: str(Path(name).relative_to(Path.cwd())) for name in data.measured_files()}
    found = {
        by_file[name]: {
            line: [test for test in tests if test not in failed]
            for line, tests in data.contexts_by_lineno(name).items()
        }
        for name in by_file
        if by_file[name] in FILES
    }
    out.write_text(
        json.dumps({"tests_by_line": found, "seconds": contexts.seconds, "failed": sorted(failed)})
    )


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2:])
