"""The built wheel, installed where there is no checkout, is the whole testbed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from models.zoo.registry import ZOO_FOLDER, list_models
from serving.report.report import Report
from support.demo_setting import demo_demand, planned_demo
from support.installed_wheel import InstalledWheel, build_wheel, install_wheel, names_in
from support.paths import ROOT

LARGEST_BYTES = 630_000
"""of a checkpoint in the wheel that is built without the large ones"""


pytestmark = pytest.mark.slow  # a minute, in which wheels are built: `make drills`


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> InstalledWheel:
    folder = tmp_path_factory.mktemp("wheel")
    return install_wheel(build_wheel(folder), folder)


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> InstalledWheel:
    """Without large checkpoints."""
    folder = tmp_path_factory.mktemp("light")
    wheel = build_wheel(folder, {"J3O_WHEEL_CHECKPOINT_BYTES": str(LARGEST_BYTES)})
    return install_wheel(wheel, folder)


def ended_well(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert done.returncode == 0, done.stderr
    return done


def test_every_package_comes_from_the_wheel(whole: InstalledWheel) -> None:
    code = "import cluster, models, planner, profiling, serving, testbed as t, json\n" + (
        "print(json.dumps([m.__file__ for m in (cluster, models, planner, profiling, serving, t)]))"
    )
    for file in json.loads(ended_well(whole.call("python", "-c", code)).stdout):
        assert Path(file).is_relative_to(whole.packages), file


def test_all_files_of_the_packages_are_in_it(whole: InstalledWheel) -> None:
    (wheel,) = whole.folder.glob("*.whl")
    kept = {
        str(path.relative_to(ROOT))
        for room in ("cluster", "models", "planner", "profiling", "serving", "testbed")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert kept - names_in(wheel) == set()


def test_verbs_work_outside_of_any_checkout(whole: InstalledWheel) -> None:
    assert "deploy" in ended_well(whole.run("--help")).stdout
    listed = json.loads(ended_well(whole.run("zoo", "list", "--json")).stdout)
    assert {model["name"] for model in listed["models"]} == {card.name for card in list_models()}
    ended_well(whole.run("problem", "sample", "--family", "random", "-o", "problem.json"))
    ended_well(whole.run("plan", "--problem", "problem.json", "-o", "plan.json"))
    ended_well(whole.run("evaluate", "plan.json", "--problem", "problem.json"))


def test_the_shipped_demo_is_planned_and_simulated(whole: InstalledWheel) -> None:
    setting, plan, _ = planned_demo()
    work = whole.folder / "work"
    setting.profiles.save(work / "profiles.json")
    demo_demand().save(work / "demand.yaml")
    files = ["--profiles", "profiles.json", "--demand", "demand.yaml"]
    ended_well(whole.run("plan", *files, "-o", "demo-plan.json"))
    simulated = ["simulate", "--plan", "demo-plan.json", *files, "--phase", "0", "--duration", "3"]
    done = ended_well(whole.run(*simulated, "-o", "simulated.parquet", "--json"))
    assert json.loads(done.stdout)["queries"] > 0
    assert plan.onloading


def test_a_wheel_may_leave_large_checkpoints_out(light: InstalledWheel, tmp_path: Path) -> None:
    (wheel,) = light.folder.glob("*.whl")
    large = {path.name for path in (ZOO_FOLDER / "checkpoints").iterdir()
             if path.stat().st_size > LARGEST_BYTES}  # fmt: skip
    inside = {Path(name).name for name in names_in(wheel) if name.endswith(".safetensors")}
    assert inside == {path.name for path in (ZOO_FOLDER / "checkpoints").iterdir()} - large
    assert "rooms-large-all.safetensors" in large
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    verify = ["zoo", "verify", "--files-only", "rooms-small-depth", "rooms-large-all"]
    refused = light.run(*verify, variables=cache)
    assert refused.returncode == 3
    assert "rooms-large-all.safetensors is not part of this installation" in refused.stdout
    assert "rooms-small-depth: true to its card" in refused.stdout
    place = {"TESTBED_ZOO_URL": str(ZOO_FOLDER / "checkpoints")}
    ended_well(light.run(*verify, variables={**cache, **place}))
    ended_well(light.run(*verify, variables=cache))


def test_a_size_that_is_none_is_refused_when_the_wheel_is_built(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="expected a number of bytes, got '1MB'"):
        build_wheel(tmp_path, {"J3O_WHEEL_CHECKPOINT_BYTES": "1MB"})


@pytest.mark.cluster
def test_the_demo_runs_from_the_wheel(whole: InstalledWheel) -> None:
    done = whole.run("demo", "--duration", "2", "--out", "demo", "--json", timeout_s=900)
    ended_well(done)
    report = Report.load(whole.folder / "work" / "demo" / "report.json")
    assert report.measured.errors == 0
    assert report.measured.answered > 0
    assert json.loads(done.stdout)["measured"]["queries"] == report.measured.queries
