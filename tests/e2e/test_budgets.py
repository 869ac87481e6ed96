"""A plan that breaks a budget is put in force by nobody: not by a verb, not by a script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from planner.plan import Plan
from support.paths import ROOT
from support.testbed_process import Testbed

pytestmark = pytest.mark.cluster

SCRIPT = """
import sys

from cluster.demand import Demand
from cluster.providers import lifecycle, ray_driver
from cluster.specs import SPECS
from models.zoo.registry import list_models
from planner.plan import Plan
from profiling.profile import Profiles
from serving.errors import BudgetError
from serving.setting.setting import Setting

state = ray_driver.connect()
from serving.deploy.fleet import Fleet

profiles = Profiles.load(sys.argv[1])
names = {entry.model for entry in profiles.profiles}
cards = tuple(card for card in list_models() if card.name in names)
setting = Setting(state.topology, cards, profiles)
phase = Demand.load(SPECS / "demo-demand.yaml").phases[0]
try:
    Fleet.attach(state.topology).apply(Plan.load("out/over.json"), setting, phase)
except BudgetError as error:
    print("refused:", error)
"""


def over_budget(walked: Testbed) -> Path:
    """The plan that is in force, with every model of the zoo on one client."""
    plan = Plan.load(walked.file("plan.json"))
    everything = tuple(sorted({name for models in plan.onloading.values() for name in models}))
    crowded = dict.fromkeys(plan.onloading, everything)
    path = walked.folder / "out/over.json"
    plan.model_copy(update={"onloading": crowded}).save(path)
    return path


def held(walked: Testbed) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {
        name: (node["plan_version"], tuple(node["models"])) for name, node in walked.nodes().items()
    }


def test_neither_the_command_line_nor_a_script_deploys_what_breaks_a_budget(
    walked: Testbed,
) -> None:
    path = over_budget(walked)
    before = held(walked)
    deployed = walked.run("deploy", str(path))
    assert deployed.returncode == 3, deployed.stderr
    assert deployed.stderr.startswith(f"testbed: {path} ")
    assert " breaks F4 at " in deployed.stderr
    assert len(deployed.stderr.splitlines()) == 1
    script = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(walked.file("profiles.json"))],
        cwd=walked.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TESTBED_STATE_DIR": walked.state},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "refused: the plan breaks F4 at " in script.stdout, script.stderr
    assert held(walked) == before
