"""Compiling takes half a minute on a fresh machine, and no plan's time limit may pay for it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from planner.decomposition import first_calls
from planner.policies import POLICIES, Options, solve
from support.planner_cases import one_client

LATER = """
import json, pkgutil
from importlib import import_module

import planner.decomposition as folder
from planner.decomposition.first_calls import compile_kernels
from planner.instances import sample_problem
from planner.instances.adverse import adverse_problem
from planner.policies import Options, solve

kernels = {}
for item in pkgutil.iter_modules(folder.__path__):
    module = import_module(f"planner.decomposition.{item.name}")
    kernels |= {
        f"{item.name}.{name}": value
        for name, value in vars(module).items()
        if hasattr(value, "signatures") and value.py_func.__module__ == module.__name__
    }

def compiled():
    return {name: len(kernel.signatures) for name, kernel in kernels.items()}

before = compiled()
compile_kernels()
first = compiled()
problems = [adverse_problem(seed)[1] for seed in range(12)]
problems.append(sample_problem("random", "memory", 1, 10, 1))
for problem in problems:
    for overrun in (None, 0.05):
        solve(problem, "certified", Options(overrun=overrun, time_limit_s=5.0))
print(json.dumps([before, first, compiled()]))
"""


def test_nothing_compiles_after_the_first_calls() -> None:
    pytest.importorskip("numba")
    run = subprocess.run(
        [sys.executable, "-c", LATER], capture_output=True, text=True, check=True, timeout=300
    )
    before, first, later = json.loads(run.stdout)
    assert len(first) >= 15
    assert not any(before.values())
    missed = [name for name, count in first.items() if count == 0 and later[name]]
    assert not missed, "no first call reaches these"
    assert later == first


def test_kernels_are_compiled_before_a_plan_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(first_calls, "compile_kernels", lambda: order.append("compiled"))
    for name in ("certified", "no-batching", "baj3o", "baj3o-plain"):
        order.clear()
        chosen = POLICIES[name]

        def run(problem: object, options: object, run: object = chosen.run) -> object:
            order.append("planned")
            return run(problem, options)  # type: ignore[operator]

        watched = replace(chosen, run=run)  # type: ignore[arg-type]
        monkeypatch.setattr("planner.policies.find_policy", lambda _, watched=watched: watched)
        solve(one_client(), name, Options(overrun=None))
        expected = ["planned"] if name == "baj3o-plain" else ["compiled", "planned"]
        assert order == expected, name
