"""Runs of experiments on a real cluster: one with the loop and a dying edge, then one on other
nodes, and the rows of an experiment."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.demand import BundleLoad, Phase
from cluster.specs import SPECS
from cluster.timeline import TimelineEvent
from cluster.topology import Topology
from models.benchmarks.rooms import Rooms
from planner.passes import apart
from planner.policies import Options, solve
from profiling.emulation import profiles_on
from serving.experiment_runs.on_cluster import ClusterRuns
from serving.experiment_runs.request import RunRequest
from serving.experiments import windows
from serving.replan.options import ReplanOptions
from serving.report.regret import regret_of
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.system import Outcome
from serving.traffic.images import load_images
from support.demo_setting import demo_demand, demo_setting

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray is imported here, which warns of itself
]

SETTING = demo_setting()
LIGHT = demo_demand().phases[0].scaled(0.3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRuns]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TESTBED_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        with ClusterRuns(load_images([Rooms("test")], 24), "a test") as started:
            yield started


def test_the_loop_sees_what_is_asked_of_one_image_and_puts_a_plan_for_it_in_force(
    runs: ClusterRuns,
) -> None:
    """F14. The plan at first is for the same queries, each of an image of its own."""
    together = Phase(
        duration_s=25.0,
        rates_qps={"client-0": {"edges": 1.0}, "client-1": {}, "client-2": {}},
        bundles=(
            BundleLoad(client="client-0", tasks=("segmentation", "depth"), qps=5.0),
            BundleLoad(client="client-1", tasks=("segmentation", "depth", "normals"), qps=4.0),
        ),
    )
    present = solve(apart(SETTING.problem(together)), "all-local", Options()).plan
    run = runs.run(
        RunRequest(
            SETTING, present, planned_for=together, phases=(together,), seed=1,
            options=ReplanOptions(), routing=RoutingMode.PENALTY,
        )
    )  # fmt: skip
    assert set(run.measurements.outcome) == {Outcome.ANSWERED}
    found = {bundle.name: bundle.qps for bundle in run.changes[-1].plan.bundles}
    assert found == {
        "depth+segmentation": pytest.approx(5.0, rel=0.5),
        "depth+normals+segmentation": pytest.approx(4.0, rel=0.5),
    }


def test_the_edge_dies_beside_the_loop_and_nothing_is_lost(
    runs: ClusterRuns, caplog: pytest.LogCaptureFixture
) -> None:
    phase = LIGHT.model_copy(update={"duration_s": 15.0})
    plan = solve(SETTING.problem(phase), "certified", Options()).plan
    kill = TimelineEvent(at_s=8.0, kill_node="edge-0")
    run = runs.run(
        RunRequest(
            SETTING, plan, planned_for=phase, phases=(phase,), seed=1, options=ReplanOptions(),
            timeline=(kill,), routing=RoutingMode.PENALTY,
        )
    )  # fmt: skip
    rows = run.measurements
    assert len(rows) > 100
    assert int(np.sum(rows.outcome == Outcome.ERROR)) == 0
    assert run.answered_share > 0
    assert run.looks
    assert "brought about as the timeline says: kill_node edge-0" in caplog.text
    regret = regret_of(rows, SETTING)
    assert regret is not None
    assert 0.0 < regret.reached <= 1.0


def test_other_nodes_are_started_for_another_setting(
    runs: ClusterRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology = Topology.load(SPECS / "emulated.yaml")
    emulated = Setting(topology, SETTING.cards, profiles_on(topology, SETTING.profiles))
    tiny = windows.WindowsScale((0.1, 0.4), ("all-edge",), run_s=5.0)
    monkeypatch.setattr(windows, "SMALL", tiny)
    monkeypatch.setattr(windows, "demo_phases", lambda: (LIGHT, LIGHT))
    path = windows.run(tmp_path, emulated, seeds=1, runs=runs)
    assert path == tmp_path / "windows-live.csv"
    found = {row["case"]: row for row in csv.DictReader(path.read_text().splitlines())}
    assert found.keys() == {"0.1 s", "0.4 s"}
    assert all(float(row["accuracy"]) > 0 for row in found.values())
    assert all(0 <= float(row["late_batches"]) <= 1 for row in found.values())
    assert float(found["0.1 s"]["bound_s"]) < float(found["0.4 s"]["bound_s"])


def test_a_plan_made_for_other_figures_is_checked_against_those(runs: ClusterRuns) -> None:
    """As the experiment `noise` has it: what planning believes of links is not what there is."""
    links = tuple(link.carrying(2 * link.bytes_per_s) for link in SETTING.topology.links)
    topology = SETTING.topology.model_copy(update={"links": links})
    believed = replace(SETTING, topology=topology)
    phase = LIGHT.scaled(10.0).model_copy(update={"duration_s": 2.0})
    plan = solve(believed.problem(phase), "all-edge", Options()).plan
    run = runs.run(
        RunRequest(SETTING, plan, planned_for=phase, phases=(phase,), seed=2, believed=believed)
    )
    assert len(run.measurements) > 0
    assert run.changes == []
