"""What is in force is asked of the cluster: `drive`, `live`, `status` and `compare` go by that.

The fleet here follows whatever plan it is given; traffic is that of the simulator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import serving.traffic.session
from cluster.demand import Phase
from cluster.errors import InputError
from cluster.providers.state import ClusterError
from cluster.specs import SPECS
from cluster.topology import Topology
from planner.plan import Plan
from planner.policies import solve
from serving.cli import compare_verb, inputs, run_verbs
from serving.cli.belonging import plan_in_force, refuse_not_in_force, runs_of_plan
from serving.cli.console import VerbOutput
from serving.cli.live_verbs import _refuse_another_plan
from serving.cli.main import run
from serving.cli.run_work import RunWork
from serving.deploy.assignment_record import PlanInForce
from serving.report.compare import Comparison
from serving.routing.routes import RoutingMode
from serving.runs.manifest import FILE_NAMES, FileKind
from serving.runs.run_folder import RunFolder
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate_schedule
from serving.traffic.images import LabelledImages
from serving.traffic.measurement import Measurements
from serving.traffic.schedule import Schedule
from serving.traffic.session import Run
from support.demo_setting import demo_demand, demo_setting
from support.run_files import newest_run, put_run
from support.synthetic_run import images


@cache
def setting() -> Setting:
    return demo_setting()


@cache
def plan_of(policy: str) -> Plan:
    return solve(setting().problem(demo_demand().phases[0]), policy).plan


class Fleet:
    """Nodes that follow a plan at once."""

    def __init__(self, plan: Plan | None, routing: RoutingMode = RoutingMode.SHARES) -> None:
        self.topology = Topology.load(SPECS / "demo.yaml")
        self._now = None if plan is None else PlanInForce(plan=plan, routing=routing)
        self.applied: list[tuple[str, RoutingMode]] = []

    def in_force(self) -> PlanInForce | None:
        return self._now

    def apply(
        self,
        plan: Plan,
        setting: Setting,
        phase: Phase,
        *,
        routing: RoutingMode = RoutingMode.SHARES,
    ) -> SimpleNamespace:
        self.applied.append((plan.policy, routing))
        version = len(self.applied) + 1
        followed = plan.model_copy(update={"version": version})
        self._now = PlanInForce(plan=followed, routing=routing)
        return SimpleNamespace(version=version)


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    # The zoo is read once for all of these tests.
    monkeypatch.setattr(inputs, "list_models", lambda *_: setting().cards)
    return put_run(tmp_path, setting(), plan_of("all-local"))


def use(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, fails: bool = False) -> None:
    """Let verbs find `fleet` on a cluster that is up, and drive simulated traffic at it."""

    def pictures(out: VerbOutput, phases: Sequence[Phase], count: int) -> LabelledImages:
        return images(count)

    def traffic(
        fleet: Fleet, plan: Plan, schedule: Schedule, *_: Any, seed: int, **more: Any
    ) -> Run:
        if fails:
            raise ClusterError("the doors are closed")
        rows = simulate_schedule(setting(), plan, schedule, seed=seed)
        return Run(rows, schedule, [])

    state = SimpleNamespace(topology=fleet.topology)
    for verbs in (run_verbs, compare_verb):
        monkeypatch.setattr(verbs.ray_driver, "connect", lambda: state)
        monkeypatch.setattr(verbs.ray_driver, "disconnect", lambda: None)
        monkeypatch.setattr(verbs, "load_labelled", pictures)
    monkeypatch.setattr(run_verbs, "running_fleet", lambda state: fleet)
    monkeypatch.setattr(compare_verb, "running_or_launched", lambda *_: fleet)
    monkeypatch.setattr(serving.traffic.session, "run_traffic", traffic)


def put_live_plan(run: RunFolder, policy: str) -> None:
    """As `testbed live` does when it has put a plan in force."""
    plan_of(policy).save(run.folder / FILE_NAMES[FileKind.LIVE_PLAN])
    entry = run.describe(FileKind.LIVE_PLAN, "live-plan.json", "testbed live", {})
    run.record({FileKind.LIVE_PLAN: entry})


DRIVE = ["drive", "--duration", "2", "--images", "8"]


class TestDrive:
    def test_traffic_under_another_plan_than_the_runs_is_refused(
        self,
        first: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        use(Fleet(plan_of("all-edge")), monkeypatch)
        assert run(DRIVE) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "plan all-local of run first is not in force, all-edge is" in line
        assert "`testbed deploy --run first` puts it there" in line
        assert newest_run(Path.cwd()) == first
        assert run(["plan", "--policy", "all-edge", "--run", "edges"]) == 0
        capsys.readouterr()
        assert run([*DRIVE, "--run", "first"]) == 2
        told = capsys.readouterr().err
        assert "is not in force, all-edge of run edges is" in told
        assert "`--plan out/runs/edges/plan.json` takes the one that is in force" in told

    def test_what_is_measured_says_under_which_plan(
        self, first: RunFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(Fleet(plan_of("all-local").model_copy(update={"version": 7})), monkeypatch)
        assert run(DRIVE) == 0
        now = newest_run(Path.cwd())
        rows = Measurements.load(now.checked(FileKind.MEASUREMENTS))
        assert rows.run.plan_digest == plan_of("all-local").digest
        made_from = now.manifest.files[FileKind.MEASUREMENTS].made_from
        assert made_from[FileKind.PLAN] == first.digest(FileKind.PLAN)
        assert FileKind.GALLERY in now.manifest.files

    def test_after_a_report_the_next_traffic_begins_a_run(
        self, first: RunFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(Fleet(plan_of("all-local")), monkeypatch)
        assert run(DRIVE) == 0
        assert run(DRIVE) == 0
        assert newest_run(Path.cwd()).name == "first"
        assert run(["report"]) == 0
        assert run(DRIVE) == 0
        begun = newest_run(Path.cwd())
        assert begun.manifest.from_run == "first"
        assert begun.has(FileKind.PLAN)
        assert not begun.has(FileKind.REPORT)
        assert run(["report"]) == 0

    def test_traffic_of_another_demand_is_said_and_kept_apart(
        self,
        first: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        use(Fleet(plan_of("all-local")), monkeypatch)
        assert run([*DRIVE, "--demand", str(SPECS / "bursty-demand.yaml"), "--phase", "0"]) == 0
        assert "the plan was made for another load" in " ".join(capsys.readouterr().out.split())
        assert run([*DRIVE, "--demand", str(SPECS / "bursty-demand.yaml")]) == 0
        now = newest_run(Path.cwd())
        driven = now.checked(FileKind.TRAFFIC).read_bytes()
        assert driven == (SPECS / "bursty-demand.yaml").read_bytes()
        assert not now.has(FileKind.DEMAND)
        assert run(["report"]) == 0
        assert run([*DRIVE, "--demand", str(SPECS / "bursty-demand.yaml")]) == 0
        begun = newest_run(Path.cwd())
        assert begun.manifest.from_run == "first"
        assert begun.digest(FileKind.TRAFFIC) == now.digest(FileKind.TRAFFIC)

    def test_under_the_plan_of_the_live_loop_that_plan_is_reported(
        self,
        first: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        put_live_plan(first, "all-edge")
        use(Fleet(plan_of("all-edge")), monkeypatch)
        assert run(DRIVE) == 0
        assert "the live loop has put its plan of all-edge in force" in capsys.readouterr().out
        assert run(DRIVE) == 0
        assert newest_run(Path.cwd()).has(FileKind.DRIVEN_PLAN)
        capsys.readouterr()
        assert run(["report", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        report = json.loads(Path(told["report"]).read_text())
        promised = plan_of("all-edge").predicted
        assert promised is not None
        assert report["predicted"]["accuracy"] == pytest.approx(promised.objective)

    def test_a_loose_plan_that_is_not_in_force_is_told_by_its_file(
        self,
        first: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        use(Fleet(plan_of("all-local")), monkeypatch)
        plan_of("all-edge").save("mine.json")
        assert run([*DRIVE, "--plan", "mine.json", "-o", "x.parquet"]) == 2
        assert "plan all-edge of mine.json is not in force" in capsys.readouterr().err


COMPARE = ["compare", "--policy", "all-edge", "--policy", "random", "--duration", "2"]


class TestCompare:
    def test_what_was_in_force_is_put_back_and_rows_are_kept(
        self,
        first: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        fleet = Fleet(plan_of("all-local"), RoutingMode.PENALTY)
        use(fleet, monkeypatch)
        assert run([*COMPARE, "--images", "8"]) == 0
        assert fleet.applied[-1] == ("all-local", RoutingMode.PENALTY)
        assert "the plan of all-local is in force again" in " ".join(
            capsys.readouterr().out.split()
        )
        now = newest_run(Path.cwd())
        assert now.name == "first"
        found = Comparison.load(now.checked(FileKind.COMPARISON))
        assert {row.policy for row in found.policies} == {"all-edge", "random"}
        for policy, file in found.measurements.items():
            assert Measurements.load(now.folder / file).run.policy == policy
        assert run(DRIVE) == 0  # the run's plan is in force still

    def test_a_comparison_that_breaks_off_puts_it_back_too(
        self,
        first: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        fleet = Fleet(plan_of("all-local"))
        use(fleet, monkeypatch, fails=True)
        assert run([*COMPARE, "--images", "8"]) == 1
        assert [policy for policy, _ in fleet.applied] == ["all-edge", "all-local"]
        assert "the doors are closed" in capsys.readouterr().err
        assert not newest_run(Path.cwd()).has(FileKind.COMPARISON)

    def test_where_nothing_was_in_force_the_last_plan_stays_and_that_is_said(
        self,
        first: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        fleet = Fleet(None)
        use(fleet, monkeypatch)
        assert run([*COMPARE, "--images", "8", "-o", "mine/comparison.json"]) == 0
        assert "no plan was in force before" in " ".join(capsys.readouterr().out.split())
        assert Comparison.load("mine/comparison.json").measurements["random"] == (
            "compare/random.parquet"
        )  # fmt: skip


class TestLive:
    def judged(self, run: RunFolder, now: Plan, given: Path | None = None) -> None:
        work = RunWork(VerbOutput(), None)
        plan = Plan.load(run.path(FileKind.PLAN))
        in_force = PlanInForce(plan=now, routing=RoutingMode.PENALTY)
        _refuse_another_plan(work, plan, run.path(FileKind.PLAN), given, in_force)

    def test_a_loop_goes_on_from_its_runs_plan_or_from_the_last_one_of_a_loop(
        self, first: RunFolder
    ) -> None:
        self.judged(first, plan_of("all-local"))
        with pytest.raises(InputError, match="is not in force, all-edge is"):
            self.judged(first, plan_of("all-edge"))
        put_live_plan(first, "all-edge")
        self.judged(first, plan_of("all-edge"))
        with pytest.raises(InputError, match="not in force, all-edge of run first is"):
            self.judged(first, plan_of("all-edge"), given=Path("plan.json"))


def test_the_runs_of_a_plan_are_found(first: RunFolder) -> None:
    assert runs_of_plan(plan_of("all-local").digest) == ("first",)
    assert runs_of_plan(plan_of("all-edge").digest) == ()
    put_live_plan(first, "all-edge")
    assert runs_of_plan(plan_of("all-edge").digest) == ("first",)
    first.path(FileKind.PLAN).write_text("{}")
    assert runs_of_plan(plan_of("all-local").digest) == ()


def test_a_fleet_without_a_known_plan_is_told() -> None:
    fleet: Any = Fleet(None)
    with pytest.raises(ClusterError, match="no plan is in force, or another"):
        plan_in_force(fleet)


def test_another_plan_of_the_same_policy_is_another_plan(first: RunFolder) -> None:
    plan = plan_of("all-local")
    halved = {client: {t: q / 2 for t, q in rates.items()} for client, rates in load(plan).items()}
    other = PlanInForce(
        plan=plan.model_copy(update={"load_qps": halved}), routing=RoutingMode.SHARES
    )
    with pytest.raises(InputError, match="is not in force, another one of all-local is"):
        refuse_not_in_force(
            RunWork(VerbOutput(), None), plan, first.path(FileKind.PLAN), None, other
        )


def load(plan: Plan) -> Mapping[str, Mapping[str, float]]:
    return plan.load_qps
