"""One real local cluster for all integration tests: the README's commands bring it up."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from cluster.machine import read_machine
from support.real_time import MARK, call_in_real_time
from support.testbed_process import Testbed, commands_of, readme_blocks

MEASURES = "measures_process"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that only a GPU can answer are skipped, by name, where there is none, and those of a
    process's time, memory or signals where coverage takes its share of them."""
    coverage = sys.modules.get("coverage")
    if coverage is not None and coverage.Coverage.current() is not None:
        for item in items:
            if MEASURES in item.keywords:
                item.add_marker(pytest.mark.skip(reason="coverage takes time, memory and SIGTERM"))
    if any("gpu" in item.keywords for item in items) and not read_machine().gpus:
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device; see make gpu-check"))


def pytest_configure(config: pytest.Config) -> None:
    """The marks that are read here: of tests in real time (`support.real_time`), and of those that
    `make coverage` leaves out."""
    # How long an example takes says how busy the machine is.
    settings.register_profile("suite", deadline=None)
    settings.load_profile("suite")
    for line in (
        f"{MARK}: says what happens within milliseconds; runs again if the process stood still",
        f"{MEASURES}: of the time, memory or signals of a process; left out under coverage",
    ):
        config.addinivalue_line("markers", line)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests marked `real_time` run again if they failed while others had the cores."""
    if MARK not in pyfuncitem.keywords:
        return None
    call_in_real_time(pyfuncitem)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the tests that ran again, and why, so that nobody overlooks one that often does."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, said in getattr(report, "user_properties", ()):
                if name == MARK and report.when == "call":
                    terminalreporter.write_line(f"RAN AGAIN {report.nodeid}: {said}")


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A cluster on which every command of the README but the last (`down`) has run."""
    bench = Testbed(tmp_path_factory.mktemp("walk"))
    commands = commands_of(readme_blocks()[1])
    assert commands[0] == ["testbed", "up"]
    assert commands[-1] == ["testbed", "down"]
    try:
        for program, *arguments in commands[:-1]:
            assert program == "testbed"
            done = bench.run(*arguments)
            assert done.returncode == 0, f"testbed {' '.join(arguments)}\n{done.stderr}"
            bench.done[arguments[0]] = done
        yield bench
    finally:
        ended = bench.run("down", timeout_s=60)
    assert ended.returncode == 0, ended.stderr
    assert bench.processes() == []
