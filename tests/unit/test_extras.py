"""Extras: without their packages all else works, and what needs one says so in one line."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "experiments": "matplotlib",
    "forecast": "statsmodels",
    "gurobi": "gurobipy",
    "gym": "gymnasium",
    "netns": "pyroute2",
    "tracing": "opentelemetry-exporter-otlp-proto-http",
}
MODULES = {
    **{package: package for package in EXTRAS.values()},
    EXTRAS["tracing"]: "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}
"""what is imported of each package"""
BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({sorted(MODULES.values())!r}))\n"
LITTLE = (
    "from planner.instances import sample_problem\n"
    "from planner.policies import Options, solve\n"
    "problem = sample_problem('taskonomy', 'mixed', 1, 2, 0)\n"
)


def without_extras(
    code: str, *arguments: str, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """`code` in a process in which no package of an extra can be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *arguments],
        cwd=cwd, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def packages(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~ ;]", line)[0].lower() for line in requirements}


@pytest.mark.parametrize("policy", ["baj3o", "exact", "certified", "all-edge"])
def test_policies_plan_without_any_extra(policy: str) -> None:
    code = f"print(solve(problem, {policy!r}, Options(gap=0.01)).certificate.solver)"
    done = without_extras(LITTLE + code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "HiGHS"


def test_gurobi_asked_for_by_name_is_not_replaced_without_a_word() -> None:
    code = "solve(problem, 'exact', Options(solver='gurobi'))"
    said = without_extras(LITTLE + code).stderr.splitlines()[-1]
    assert said.endswith(
        "MissingExtraError: the solver 'gurobi' needs gurobipy; pip install 'j3o-testbed[gurobi]'"
    )


def test_a_forecast_policy_says_at_once_what_it_lacks() -> None:
    """Not after three seasons, when smoothing comes in."""
    code = (
        "from serving.replan.change_policy import forecast_policy\n"
        "forecast_policy(period_s=10.0, season_periods=8)"
    )
    assert (
        without_extras(code)
        .stderr.splitlines()[-1]
        .endswith(
            "a forecast by exponential smoothing needs statsmodels; "
            "pip install 'j3o-testbed[forecast]'"
        )
    )


def test_an_experiment_says_what_it_lacks_before_it_measures(tmp_path: Path) -> None:
    code = "from serving.cli.main import main; main()"
    done = without_extras(code, "experiment", "convergence", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "testbed: a figure of an experiment needs matplotlib; "
        "pip install 'j3o-testbed[experiments]'\n"
    )
    assert not list(tmp_path.rglob("*.csv"))


def test_an_environment_says_what_it_lacks_and_the_other_names_are_there() -> None:
    code = "from testbed import *\nmake_environment(None, None, [])"
    said = without_extras(code).stderr.splitlines()[-1]
    assert said.endswith(
        "an environment of the simulator needs gymnasium; pip install 'j3o-testbed[gym]'"
    )


def test_a_collector_says_what_it_lacks() -> None:
    code = (
        "from serving.tracing.config import TracingConfig\n"
        "TracingConfig(0.1).check_extra()\n"
        "TracingConfig(0.1, 'http://127.0.0.1:4318').check_extra()"
    )
    said = without_extras(code).stderr.splitlines()[-1]
    assert said.endswith("--trace-to needs opentelemetry; pip install 'j3o-testbed[tracing]'")


def test_the_command_line_answers_without_any_extra() -> None:
    done = without_extras("from serving.cli.main import main; main()", "plan", "--list")
    assert done.returncode == 0, done.stderr
    assert "certified" in done.stdout


def test_each_extra_is_declared_once_and_installed_for_the_tests() -> None:
    optional = PROJECT["optional-dependencies"]
    for extra, package in EXTRAS.items():
        assert packages(optional[extra]) == {package}
        assert package not in packages(PROJECT["dependencies"])
        assert re.search(rf"^{package}==", (ROOT / "constraints.txt").read_text(), re.M)
    (own,) = (line for line in optional["dev"] if line.startswith(PROJECT["name"]))
    assert set(re.findall(r"\w+", own.partition("[")[2])) == set(EXTRAS)


def test_each_extra_that_is_named_to_users_exists() -> None:
    named = set()
    for room in ("cluster", "models", "planner", "profiling", "serving", "docs"):
        for path in (ROOT / room).rglob("*"):
            if path.suffix in (".py", ".md"):
                named |= set(re.findall(r"j3o-testbed\[(\w+)\]", path.read_text()))
                named |= set(re.findall(r'import_extra\("[\w.]+", "(\w+)"', path.read_text()))
                named |= set(re.findall(r'install_command\("(\w+)"\)', path.read_text()))
    assert {"train", *EXTRAS} <= named <= PROJECT["optional-dependencies"].keys()
