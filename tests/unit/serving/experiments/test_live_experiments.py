"""Experiments in simulated time: their cases can be run, and what is written is what was run."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.demand import Phase
from cluster.timeline import check_order, check_timeline
from planner.experiments import EXPERIMENTS as PLANNED
from planner.experiments.study import Row
from serving.experiment_runs import request as carried_out
from serving.experiment_runs.request import SIMULATED, RunRequest, Runs
from serving.experiments import (
    EXPERIMENTS,
    LIVE_EXPERIMENTS,
    bursts,
    drift,
    failure,
    flash_crowd,
    forecast,
    heterogeneity,
    live_study,
    noise,
    thrash,
    windows,
)
from serving.experiments.live_study import POLICIES, LiveCase, measure_case, policy_of
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun, simulate_live
from serving.simulation.simulated_faults import SimulatedFaults
from support.demo_setting import demo_demand, demo_setting

SETTING = demo_setting()
COLUMNS = [
    "experiment", "case", "seed", "policy", "accuracy", "answered", "within_bound",
    "models_moved", "changes", "reached",
]  # fmt: skip
CASES = {
    "drift": drift.cases(),
    "noise": noise.cases(),
    "bursts": bursts.cases(),
    "failure": failure.cases(SETTING),
    "flash-crowd": flash_crowd.cases(),
    "thrash": thrash.cases(),
    "forecast": forecast.cases(),
}


def short(*durations_s: float) -> tuple[Phase, ...]:
    pairs = zip(demo_demand().phases, durations_s, strict=True)
    return tuple(phase.model_copy(update={"duration_s": s}) for phase, s in pairs)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_no_experiment_is_named_as_one_at_the_planning_level() -> None:
    assert not EXPERIMENTS.keys() & PLANNED.keys()
    assert EXPERIMENTS.keys() == {*CASES, "windows-simulated", "heterogeneity-simulated"}
    assert LIVE_EXPERIMENTS.keys() == {*CASES, "windows", "heterogeneity"}


@pytest.mark.parametrize("name", list(CASES))
def test_every_case_is_of_this_setting_and_its_policies_are_known(name: str) -> None:
    cases = CASES[name]
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        check_timeline(case.timeline, SETTING.topology)
        check_order(case.timeline, sum(phase.duration_s for phase in case.phases))
        assert {event.name for event in case.timeline} <= SimulatedFaults.supported
        assert [name for name in POLICIES if name not in case.policies] == []
        for phase in case.phases:
            assert SETTING.problem(phase).total_load_qps > 0
        for policy in case.policies:
            made = policy_of(policy, case, seed=0)
            assert (made is None) == (policy == "frozen")
            assert made is None or made.name == policy


@pytest.mark.parametrize("name", list(CASES))
def test_every_case_gets_its_rows_and_a_figure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(case: LiveCase, setting: Setting, seed: int, runs: Runs) -> Iterator[Row]:
        assert setting is SETTING
        assert runs is SIMULATED
        for place, policy in enumerate(case.policies):
            yield {"policy": policy, "accuracy": 0.7 + 0.01 * place + 0.001 * seed,
                   "answered": 1.0, "within_bound": 1.0, "models_moved": 0, "changes": place,
                   "reached": 0.9}  # fmt: skip

    monkeypatch.setattr(live_study, "measure_case", measured)
    path = EXPERIMENTS[name](tmp_path, SETTING, seeds=2)
    rows = rows_of(path)
    assert path == tmp_path / f"{name}.csv"
    assert list(rows[0]) == COLUMNS
    expected = {
        (name, case.name, str(seed), policy)
        for case in CASES[name]
        for seed in range(2)
        for policy in case.policies
    }
    told = [(row["experiment"], row["case"], row["seed"], row["policy"]) for row in rows]
    assert len(told) == len(expected)
    assert set(told) == expected
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


@pytest.mark.slow  # `make test-slow`: five simulated runs
def test_all_policies_get_the_same_queries_and_begin_with_the_same_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[LiveRun] = []
    plans: list[Any] = []

    def kept(setting: Setting, plan: Any, *arguments: Any, **options: Any) -> LiveRun:
        plans.append(plan)
        runs.append(simulate_live(setting, plan, *arguments, **options))
        return runs[-1]

    monkeypatch.setattr(carried_out, "simulate_live", kept)
    policies = ("frozen", "periodic", "reactive", "forecast", "oracle")
    case = LiveCase("flip", short(12.0, 8.0), policies=policies, season_s=16.0, season_periods=2)
    rows = list(measure_case(case, SETTING, 3))
    assert [row["policy"] for row in rows] == list(policies)
    first, *others = [run.measurements for run in runs]
    for other in others:
        assert (other.scheduled_s == first.scheduled_s).all()
        assert (other.task == first.task).all()
    assert all(plan is plans[0] for plan in plans)
    by_policy = {row["policy"]: row for row in rows}
    assert by_policy["frozen"]["changes"] == 0
    assert by_policy["oracle"]["accuracy"] > by_policy["frozen"]["accuracy"]
    assert by_policy["periodic"]["changes"] == 2  # when a load is first known, and at 12 s
    assert all(0 < row["reached"] <= 1 for row in rows)


def test_only_the_oracle_plans_with_the_right_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Setting] = {}

    def noted(*arguments: Any, policy: Any, believed: Setting, **options: Any) -> LiveRun:
        told[policy.name] = believed
        return simulate_live(*arguments, policy=policy, believed=believed, **options)

    monkeypatch.setattr(carried_out, "simulate_live", noted)
    wrong = noise.with_wrong_setups(SETTING, 0, error=0.5)
    case = LiveCase(
        "ν", short(3.0, 3.0)[:1], policies=("periodic", "oracle"), believed=lambda *_: wrong
    )
    list(measure_case(case, SETTING, 0))
    assert told["periodic"] is wrong
    assert told["oracle"] is SETTING


def test_a_forecast_without_a_season_is_refused() -> None:
    with pytest.raises(ValueError, match="case 'x': no policy 'forecast', or no season"):
        policy_of("forecast", LiveCase("x", short(3.0, 3.0)), 0)
    with pytest.raises(ValueError, match="no policy 'reactiv'"):
        policy_of("reactiv", LiveCase("x", short(3.0, 3.0)), 0)


def test_windows_are_measured_as_they_are_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = windows.WindowsScale((0.05, 0.8), ("all-edge", "all-local"), run_s=6.0)
    monkeypatch.setattr(windows, "LARGE", tiny)
    path = EXPERIMENTS["windows-simulated"](tmp_path, SETTING, seeds=1)
    found = {(row["case"], row["policy"]): row for row in rows_of(path)}
    assert len(found) == 4
    quick, slow = (float(found[case, "all-edge"]["latency_p50_s"]) for case in ("0.05 s", "0.8 s"))
    assert 0 < quick < slow < 1.7
    local = [found[case, "all-local"] for case in ("0.05 s", "0.8 s")]
    assert local[0]["latency_p50_s"] == local[1]["latency_p50_s"]  # windows are the edges'
    assert (tmp_path / "windows-simulated.png").stat().st_size > 10_000


@dataclass
class NotedRuns:
    """Runs that count as live and are simulated."""

    live: bool = True
    asked: list[RunRequest] = field(default_factory=list)

    def run(self, request: RunRequest) -> LiveRun:
        self.asked.append(request)
        return SIMULATED.run(request)


def test_a_live_experiment_has_names_of_its_own_and_asks_only_its_runs(tmp_path: Path) -> None:
    runs = NotedRuns()
    case = LiveCase("flip", short(3.0, 3.0), policies=("frozen", "oracle"))
    written = live_study.run_live("drift", "a title", [case], SETTING, tmp_path, 1, None, runs)
    assert written == tmp_path / "drift-live.csv"
    assert [row["experiment"] for row in rows_of(written)] == ["drift", "drift"]
    assert [request.options is None for request in runs.asked] == [True, False]
    assert {request.seed for request in runs.asked} == {0}
    assert all(request.planned_for is case.phases[0] for request in runs.asked)


def test_slower_clients_answer_less_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heterogeneity, "RATIOS", (1.0, 8.0))
    monkeypatch.setattr(heterogeneity, "LIVE_PLANNED_BY", ("all-local",))
    monkeypatch.setattr(heterogeneity, "LIVE_S", 4.0)
    runs = NotedRuns()
    path = LIVE_EXPERIMENTS["heterogeneity"](tmp_path, SETTING, seeds=1, runs=runs)
    assert path == tmp_path / "heterogeneity-live.csv"
    same, slower = rows_of(path)
    assert (same["case"], slower["case"]) == ("1 times", "8 times")
    assert float(same["late_batches"]) == 0.0  # simulated devices are never late
    assert float(slower["accuracy"]) < float(same["accuracy"])
    first, second = (request.setting for request in runs.asked)
    for one, other in zip(first.topology.nodes, second.topology.nodes, strict=True):
        assert (one.device != other.device) == (one.tier == "client")
    small = "rooms-small-depth"
    times = [each.profiles.find("client-0", small) for each in (first, second)]
    assert times[0] is not None
    assert times[1] is not None
    assert times[1].marginal_s == pytest.approx(8 * times[0].marginal_s)
    edge, client = first.profiles.find("edge-0", small), times[0]
    assert edge is not None
    assert client.marginal_s == edge.marginal_s
