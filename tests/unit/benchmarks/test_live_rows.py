"""The rows of the live loop: which there are, and how sections of one file are put together."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import live_rows
from live_bench import (
    Bench,
    changed_routes,
    dispersion,
    in_time_again_s,
    kill_edge,
    reaction_s,
    recovery_s,
)
from live_rows import Drives, measure
from planner.policies import Options, solve
from serving.experiment_runs.request import RunRequest
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting
from serving.simulation.live_run import LiveRun, simulate_live
from serving_rows import merged
from support.demo_setting import demo_demand, demo_setting

SETTING = demo_setting()


class FrozenRuns:
    """The simulator, without a loop where one is asked for: which rows there are does not depend
    on it. Notes what was asked."""

    live = True

    def __init__(self) -> None:
        self.asked: list[RunRequest] = []

    def run(self, request: RunRequest) -> LiveRun:
        self.asked.append(request)
        return simulate_live(
            request.setting, request.plan, request.phases, None, seed=request.seed,
            timeline=request.timeline, routing=request.routing,
        )  # fmt: skip


def bench(runs: FrozenRuns, setting: Setting = SETTING, run_s: float = 2.0) -> Bench:
    demand = demo_demand()
    return Bench(setting, demand, demand.phases[0], range(12, 14), run_s, runs)


def test_every_row_of_the_issue_is_there_and_pairs_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_rows, "RUN_S", 1.5)
    monkeypatch.setattr(live_rows, "FLIP_S", 0.5)
    monkeypatch.setattr(live_rows, "KILL_S", 0.5)
    monkeypatch.setattr(live_rows, "FLIPS", 1)
    monkeypatch.setattr(Bench, "at_capacity", Bench.bursts)  # which plans seven times
    runs = FrozenRuns()
    drives = Drives(bench(runs, run_s=1.5), "live")
    measure(drives)
    names = {str(row["id"]).removesuffix(".live") for row in drives.rows}
    assert names >= {
        "L1.drift", "L1.trace", "L1.flash", "L2.poisson", "L2.drift", "L2.bursts", "L3.median",
        "L3.worst", "L3.models.median", "L3.models.worst", "L4", "L5.routes_s", "L5.goodput_s",
        "L7.within", "L7.accuracy",
    }  # fmt: skip
    first_four = [(request.seed, request.options is None) for request in runs.asked[:4]]
    assert first_four == [(12, True), (12, False), (13, False), (13, True)]
    frozen = [request for request in runs.asked if request.options is None]
    assert {request.routing for request in frozen} == {RoutingMode.SHARES}
    values = {str(row["id"]): row["value"] for row in drives.rows}
    assert values["L4.live"] == 0
    assert values["L3.worst.live"] == 0.5  # no loop, so no new routes in all that was left
    assert 0.5 < float(str(values["L1.bound.live"])) <= 1.0


def test_a_run_above_its_bound_ends_the_measurement() -> None:
    """As one on devices that are faster than their profiles say."""
    slow = tuple(
        profile.model_copy(
            update={
                "marginal_s": 50 * profile.marginal_s,
                "latency": tuple(
                    each.model_copy(update={"p50_s": 50 * each.p50_s}) for each in profile.latency
                ),
            }
        )
        for profile in SETTING.profiles.profiles
    )
    believed = Setting(
        SETTING.topology, SETTING.cards, SETTING.profiles.model_copy(update={"profiles": slow})
    )

    class Faster(FrozenRuns):
        def run(self, request: RunRequest) -> LiveRun:
            phase = request.phases[0]
            plan = solve(SETTING.problem(phase), "certified", Options()).plan
            return simulate_live(SETTING, plan, request.phases, None, seed=request.seed)

    measured = bench(Faster(), believed)
    with pytest.raises(AssertionError, match="above the clairvoyant's bound"):
        measured.run([measured.phase()], 1, None)


def test_what_is_read_from_a_run_in_which_the_edge_dies() -> None:
    runs = FrozenRuns()
    measured = bench(runs, run_s=16.0)
    run = measured.run([measured.phase()], 3, None, [kill_edge(SETTING, 4.0)])
    assert in_time_again_s(run.measurements, 4.0) <= 2.0
    assert recovery_s(measured, run.measurements, 4.0) <= 12.0
    assert reaction_s(run, 6.0) == 10.0
    assert dispersion(run) < 3.0


def look(
    at_s: float,
    changes: int,
    steps: tuple[str, ...] = (),
    fault: str = "",
    shares_only: bool = False,
    overtaken: bool = False,
) -> SimpleNamespace:
    question = SimpleNamespace(given=SimpleNamespace(shares_only=shares_only))
    made = SimpleNamespace(question=question, fault=fault, overtaken=overtaken, took_s=0.5)
    estimate = SimpleNamespace(changes=changes)
    return SimpleNamespace(at_s=at_s, steps=steps, made=made, estimate=estimate)


@pytest.mark.parametrize(
    ("looks", "changes", "routes_s", "models_s"),
    [
        ([look(9.0, 3)], [], 10.0, 10.0),  # before the flip
        ([look(11.0, 2)], [], 10.0, 10.0),  # it was not found yet
        ([look(11.0, 2, ("plan",))], [12.5], 10.0, 10.0),
        ([look(11.0, 3, fault="it died")], [], 10.0, 10.0),
        ([look(11.0, 3, overtaken=True)], [], 10.0, 10.0),
        ([look(11.0, 3, ("plan",))], [], 10.0, 10.0),  # it was not put in force
        ([look(11.0, 3, shares_only=True)], [], 1.5, 10.0),
        ([look(11.0, 3, shares_only=True), look(14.0, 3)], [], 1.5, 4.5),  # and the plan stays
        ([look(14.0, 3, shares_only=True), look(14.0, 3, ("plan",))], [16.5], 4.5, 6.5),
        ([look(11.0, 3, ("plan",), shares_only=True)], [11.5], 1.5, 10.0),
        ([look(11.0, 3, ("plan",))], [12.5], 2.5, 2.5),
    ],
)
def test_a_flip_is_answered_by_new_routes_or_by_finding_none_better(
    looks: list[SimpleNamespace], changes: list[float], routes_s: float, models_s: float
) -> None:
    seen = SimpleNamespace(at_s=8.0, made=None, estimate=SimpleNamespace(changes=2))
    run = SimpleNamespace(
        looks=[SimpleNamespace(at_s=1.0, made=None, estimate=None), seen, *looks],
        changes=[SimpleNamespace(look=looks[-1], in_force_s=at_s) for at_s in changes],
        measurements=SimpleNamespace(run=SimpleNamespace(duration_s=20.0)),
    )
    assert reaction_s(run, 10.0) == routes_s  # type: ignore[arg-type]
    assert reaction_s(run, 10.0, models=True) == models_s  # type: ignore[arg-type]
    knew = bool(changes) and looks[-1].estimate.changes == 3
    assert changed_routes(run, 10.0) == knew  # type: ignore[arg-type]


def test_a_section_replaces_its_own_rows_and_each_row_says_its_commit(tmp_path: Path) -> None:
    path = tmp_path / "live.json"
    rows = [{"id": "L4", "value": 0}, {"id": "L4.live", "value": 3}]
    path.write_text(json.dumps({"provenance": {"commit": "before"}, "rows": rows}))
    found = merged(
        path, [{"id": "L4.live", "value": 0}, {"id": "L1.drift.live", "value": 1}], "now"
    )
    assert found == [
        {"id": "L1.drift.live", "value": 1, "commit": "now"},
        {"id": "L4", "value": 0, "commit": "before"},
        {"id": "L4.live", "value": 0, "commit": "now"},
    ]
    assert merged(tmp_path / "none.json", rows[:1], "now") == [{**rows[0], "commit": "now"}]
