"""Compiled modules are of the sources that are there, or refused, and simulate the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving import compiled_modules
from serving.compiled_modules import MODULES, VARIABLE, compiled_folder, source_of

ROWS = """
import serving.node.node_core
from planner.policies import solve
from serving.simulation.simulate import simulate
from support.demo_setting import demo_demand, demo_setting
from support.measured_models import on_one_host
import dataclasses

setting, phases = demo_setting(), demo_demand().phases
shared = dataclasses.replace(setting, profiles=on_one_host(setting.profiles, cores=2))
print(serving.node.node_core.__file__)
for each in (setting, shared):
    plan = solve(each.problem(phases[0]), "certified").plan
    rows = simulate(each, plan, [p.model_copy(update={"duration_s": 30.0}) for p in phases], seed=5)
    print(len(rows), repr(float(rows.done_s.sum())), sorted(rows.run.link_bytes.items()))
"""


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_module_has_a_source() -> None:
    assert all(source_of(module).is_file() for module in MODULES)


def test_another_source_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = compiled_folder()
    for module in MODULES:
        copy = tmp_path / source_of(module).relative_to(compiled_modules.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source_of(module).read_bytes())
    monkeypatch.setattr(compiled_modules, "ROOT", tmp_path)
    assert compiled_folder() == there
    source_of(MODULES[-1]).write_text("changed = True\n")
    assert compiled_folder() != there


def test_a_command_says_in_one_line_that_nothing_is_compiled(tmp_path: Path) -> None:
    for there, words in ((None, "nothing is compiled"), ("old", "others than these sources are")):
        folder = tmp_path / "j3o-testbed" / "compiled"
        if there is not None:
            (folder / there).mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-m", "testbed", "runs", "--json"],
            env={**os.environ, VARIABLE: "1", "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"testbed: {VARIABLE} is set, but {words}")
        assert json.loads(done.stdout) == {"error": line.removeprefix("testbed: "), "exit_code": 2}


def test_sources_that_were_not_compiled_are_refused_in_one_line(tmp_path: Path) -> None:
    done = python("import serving", XDG_CACHE_HOME=str(tmp_path), **{VARIABLE: "1"})
    assert done.returncode == 1
    assert "make compiled" in done.stderr.splitlines()[-1]
    assert python("import serving", XDG_CACHE_HOME=str(tmp_path), **{VARIABLE: ""}).returncode == 0


@pytest.mark.slow
def test_compiled_modules_simulate_the_same(tmp_path: Path) -> None:
    """A minute of a compiler, which the suite does not have."""
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    built = python(
        "from serving.compile_modules import compile_modules; print(compile_modules())",
        **cache, **{VARIABLE: ""},
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    as_they_are, compiled = (
        python(ROWS, **cache, **{VARIABLE: value}).stdout.splitlines() for value in ("", "1")
    )
    assert as_they_are[0].endswith(".py")
    assert compiled[0].startswith(str(tmp_path))
    assert as_they_are[1:] == compiled[1:]
    assert len(compiled) == 3
