"""One real local cluster for all integration tests: the README's commands bring it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.machine import read_machine
from support.testbed_process import Testbed, commands_of, readme_blocks


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that only a GPU can answer are skipped, by name, where there is none."""
    if any("gpu" in item.keywords for item in items) and not read_machine().gpus:
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device; see make gpu-check"))


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
