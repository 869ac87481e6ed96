"""The loop on nodes that only show counters and take plans."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.providers.state import ClusterError
from planner.plan import Plan
from serving.errors import PlanChangeConflictError, PlanningError
from serving.node.snapshot import NodeSnapshot
from serving.replan import replanner
from serving.replan.decision import Decision, decide
from serving.replan.decision_input import DecisionInput, Ground
from serving.replan.decision_log import DecisionLog, read_decision
from serving.replan.estimate.calibration import Calibration, MeasuredRatio
from serving.replan.loop import LookReport, ReplanLoop
from serving.replan.loop_state import LoopState, load_state
from serving.replan.options import ReplanOptions
from serving.replan.planning import Planners
from serving.replan.replanner import must_answer
from serving.rollout.execute import RolloutReport
from serving.routing.routes import RoutingMode
from support.log_records import error_of
from support.replan_cases import ground, plan_for, problem, setting, snapshot

DEPTH, EDGES = {"depth": 10, "edges": 0}, {"depth": 0, "edges": 10}


@pytest.fixture(autouse=True)
def _small_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replanner, "ground_of", lambda *_, **__: ground())


class FakeFleet:
    """One client and one edge whose counters move at each look as `new` says; then they are gone.

    `clock` advances by a second a look.
    """

    def __init__(
        self, *new: dict[str, int], fails: int = 0, dies: str = "", at_s: float = 0
    ) -> None:
        nodes = [SimpleNamespace(name=name) for name in ("c", "e")]
        self.topology: Any = SimpleNamespace(clients=nodes[:1], nodes=nodes)
        self._new = list(new)
        self._total = {"depth": 0, "edges": 0}
        self._fails = fails
        self._dies, self._dies_at_s = dies, at_s
        self.now_s = 0.0
        self.version = 1
        self.applied: list[Plan] = []
        self.settings: list[object] = []
        self.without: list[frozenset[str]] = []

    def clock(self) -> float:
        return self.now_s

    def snapshots_within(self, limit_s: float) -> dict[str, NodeSnapshot]:
        self.now_s += 1.0
        if not self._new:
            return {}
        new = self._new.pop(0)
        self._total = {task: count + new[task] for task, count in self._total.items()}
        seen = {
            "c": snapshot("c", self.now_s, self.version, **self._total),
            "e": snapshot("e", self.now_s, self.version),
        }
        if self.now_s >= self._dies_at_s:
            seen.pop(self._dies, None)
        return seen

    def apply(
        self,
        plan: Plan,
        setting: object,
        phase: object,
        *,
        expected_version: int | None = None,
        routing: RoutingMode = RoutingMode.SHARES,
        without: Collection[str] = (),
    ) -> RolloutReport:
        self.begin(expected_version)
        self.without.append(frozenset(without))
        self.version += 1
        self.applied.append(plan)
        self.settings.append(setting)
        return RolloutReport(
            version=self.version, total_s=0.1, reaction_s=0.1, routed_s=0.1, drain_s=0.0
        )

    def begin(self, expected_version: int | None) -> None:
        """What may come before a change."""
        if self._fails:
            self._fails -= 1
            self.version += 1  # it is undone, under a version of its own
            raise ClusterError("node e gave no answer")


def loop_on(fleet: FakeFleet, **changes: Any) -> ReplanLoop:
    values: dict[str, Any] = {
        "planners": Planners.at_once(decide), "clock": fleet.clock,
        "options": ReplanOptions(period_s=0.0),
        "state": LoopState(plan=plan_for(problem(10, 0.1))),
    }  # fmt: skip
    values.update(changes)
    return ReplanLoop(fleet, values.pop("state"), setting(), values.pop("options"), **values)


def run(loop: ReplanLoop) -> None:
    """Until the fleet's counters end, which ends the loop."""
    with pytest.raises(ClusterError, match="none of the 2 nodes answered"):
        asyncio.run(asyncio.wait_for(loop.run(), 60))


def test_a_shift_of_the_mix_changes_the_plan_within_four_looks_and_nothing_else_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet = FakeFleet(*[DEPTH] * 30, *[EDGES] * 20)
    reports: list[LookReport] = []
    with caplog.at_level(logging.INFO, "serving"):
        run(loop_on(fleet, on_look=reports.append))
    changes = [report for report in reports if report.change]
    assert [plan.onloading["c"] for plan in fleet.applied] == [("x",)]
    assert changes[0].look.at_s - 30.0 <= 4.0
    assert changes[0].plan.version == 2
    said = [r.getMessage() for r in caplog.records if "queries/s" in r.getMessage()]
    assert said[0].startswith("load 10.0 queries/s (nothing was decided yet): the plan in force")
    assert any("it changes: gains" in words for words in said)


def test_for_a_new_load_shares_are_decided_about_first_and_models_soon_after(
    tmp_path: Path,
) -> None:
    asked: list[DecisionInput] = []

    def shown(on: Ground, given: DecisionInput) -> Decision:
        asked.append(given)
        return decide(on, given)

    fleet = FakeFleet(*[DEPTH] * 30, *[EDGES] * 20)
    log = tmp_path / "decisions.jsonl"
    run(loop_on(fleet, planners=Planners.at_once(shown), log=DecisionLog(log)))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    whys = {line["given"]["number"]: line["why"] for line in lines if "given" in line}
    sharing = [given for given in asked if given.shares_only]
    assert whys[sharing[0].number] == "the load has changed"
    assert all(given.estimate.seen_s < 3.0 for given in sharing)
    after = next(given for given in asked if given.number == sharing[-1].number + 1)
    assert after.estimate.seen_s >= 3.0
    assert after.at_s - 30.0 <= 4.0
    assert [plan.onloading["c"] for plan in fleet.applied] == [("x",)]


def test_a_plan_is_put_in_force_for_the_devices_that_it_was_made_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nodes refuse a plan that breaks their budgets. While models were thought about, devices were
    measured anew, and what had been decided was refused by the new measure."""
    monkeypatch.setattr(replanner, "calibrated", lambda _, ratios: dict(ratios))
    fleet = FakeFleet(*[DEPTH] * 30, *[EDGES] * 20)
    asked: list[DecisionInput] = []

    def measured_meanwhile(on: Ground, given: DecisionInput) -> Decision:
        asked.append(given)
        slower = {"e": MeasuredRatio(used=1.0 + len(asked))}
        known = loop._replanner._state
        loop._replanner._state = known.model_copy(
            update={"calibration": Calibration(devices=slower)}
        )
        return decide(on, given)

    reports: list[LookReport] = []
    planners = Planners.at_once(measured_meanwhile)
    loop = loop_on(fleet, planners=planners, on_look=reports.append)
    run(loop)
    made = [report.look.made for report in reports if report.change]
    assert fleet.settings == [each.question.given.ratios for each in made if each]
    assert len(made) >= 1


def test_looks_that_find_nothing_new_decide_nothing() -> None:
    asked: list[DecisionInput] = []

    def counted(on: Ground, given: DecisionInput) -> Decision:
        asked.append(given)
        return decide(on, given)

    run(loop_on(FakeFleet(*[DEPTH] * 300), planners=Planners.at_once(counted)))
    assert len(asked) <= 13  # at the first estimate, and each time that 1.4 times as much is known


def test_the_errors_that_end_the_loop_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    options = ReplanOptions(period_s=0.0)
    with caplog.at_level(logging.INFO, "serving"):
        run(loop_on(FakeFleet(DEPTH), options=options))
    *failed, ended = [r for r in caplog.records if r.name == "serving.replan.loop"]
    assert len(failed) == options.max_failures - 1
    assert all("the plan in force stays" in record.getMessage() for record in failed)
    assert ended.getMessage() == "the live loop ends: 5 looks in a row failed"
    assert ended.levelname == "ERROR"
    assert error_of(ended) is ClusterError


def test_nodes_that_are_silent_for_too_long_end_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = ReplanOptions(period_s=0.0, max_failures=10_000, silence_limit_s=120.0)
    fleet = FakeFleet(DEPTH)
    run(loop_on(fleet, options=options))
    assert "no node has answered for 121 s" in caplog.text
    assert fleet.now_s == pytest.approx(122.0)


def test_a_dry_run_decides_and_changes_nothing(tmp_path: Path) -> None:
    fleet = FakeFleet(*[DEPTH] * 30, *[EDGES] * 20)
    reports: list[LookReport] = []
    log = tmp_path / "decisions.jsonl"
    run(
        loop_on(
            fleet,
            options=ReplanOptions(period_s=0.0, dry_run=True),
            log=DecisionLog(log),
            on_look=reports.append,
        )
    )
    assert any(report.look.change_to is not None for report in reports)
    assert fleet.applied == []
    assert fleet.version == 1
    assert read_decision(log).logged.dry_run


def test_planning_that_fails_keeps_the_plan_and_is_tried_again_after_ever_longer_pauses(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    asked_s: list[float] = []

    def hangs(on: Ground, given: DecisionInput) -> Decision:
        asked_s.append(given.at_s)
        raise PlanningError("the planning process found no plan within 10 s")

    fleet = FakeFleet(*[DEPTH] * 60)
    log = tmp_path / "decisions.jsonl"
    run(loop_on(fleet, planners=Planners.at_once(hangs), log=DecisionLog(log)))
    assert fleet.applied == []
    pauses = [later - sooner for sooner, later in itertools.pairwise(asked_s)]
    assert pauses == [5.0, 10.0, 20.0]
    assert "the plan in force stays, the next try is in 5 s" in caplog.text
    assert read_decision(log).logged.fault == "the planning process found no plan within 10 s"


def test_a_change_that_breaks_off_is_decided_again_and_logged(tmp_path: Path) -> None:
    fleet = FakeFleet(*[DEPTH] * 30, *[EDGES] * 20, fails=1)
    log = tmp_path / "decisions.jsonl"
    run(loop_on(fleet, log=DecisionLog(log)))
    assert [plan.onloading["c"] for plan in fleet.applied] == [("x",)]
    assert '"fault":"ClusterError: node e gave no answer"' in log.read_text()


def test_a_change_leaves_out_an_edge_that_is_silent(tmp_path: Path) -> None:
    """Waiting for an edge that starts anew took twelve seconds of the clients' answers."""
    fleet = FakeFleet(*[DEPTH] * 30, *[EDGES] * 20, dies="e", at_s=20.0)
    log = tmp_path / "decisions.jsonl"
    run(loop_on(fleet, log=DecisionLog(log)))
    assert [plan.onloading["c"] for plan in fleet.applied] == [("x",)]
    assert fleet.without == [frozenset({"e"})]
    assert read_decision(log).logged.given.absent == ("e",)


def test_a_change_waits_for_a_node_that_is_silent_and_that_its_plan_uses(tmp_path: Path) -> None:
    """It would hang there for two minutes, in which nothing is looked at."""
    topology: Any = SimpleNamespace(clients=[SimpleNamespace(name="c")])
    look: Any = SimpleNamespace(absent=("c", "e"))
    assert must_answer({"e"}, look, topology) == []
    assert must_answer({"c", "e"}, look, topology) == ["c"]  # it may go on asking e
    assert must_answer({"e"}, SimpleNamespace(absent=()), topology) == ["e"]  # type: ignore[arg-type]
    fleet = FakeFleet(*[DEPTH] * 30, *[EDGES] * 20, dies="e", at_s=20.0)
    fleet.topology.clients = fleet.topology.nodes  # e is one, too
    log = tmp_path / "decisions.jsonl"
    run(loop_on(fleet, log=DecisionLog(log)))
    assert fleet.applied == []
    assert '"fault":"not put in force: no answer of e"' in log.read_text()


def test_a_plan_that_somebody_else_put_in_force_ends_the_loop() -> None:
    fleet = FakeFleet(*[DEPTH] * 40)
    fleet.version = 9
    with pytest.raises(ClusterError, match="plan version 9 is in force, and the loop put 1 there"):
        asyncio.run(loop_on(fleet).run())
    assert fleet.applied == []


def test_a_loop_that_is_killed_goes_on_from_the_plan_in_force_and_what_it_had_seen(
    tmp_path: Path,
) -> None:
    path = tmp_path / "live.json"
    fleet = FakeFleet(*[DEPTH] * 30, *[EDGES] * 20)
    run(loop_on(fleet, state_path=path))
    state = load_state(path, fleet.version)
    assert state is not None
    assert state.plan.onloading["c"] == ("x",)
    again = FakeFleet(*[EDGES] * 5)
    again.version = fleet.version
    reports: list[LookReport] = []
    run(loop_on(again, state=state, on_look=reports.append))
    assert reports[0].look.estimate is not None  # at its first look
    assert again.applied == []


def test_a_log_and_a_state_that_cannot_be_written_do_not_end_the_loop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = DecisionLog(tmp_path / "decisions.jsonl")
    monkeypatch.setattr(log, "_path", tmp_path / "gone" / "decisions.jsonl")
    blocked = tmp_path / "file"
    blocked.write_text("")
    fleet = FakeFleet(*[DEPTH] * 30, *[EDGES] * 20)
    run(loop_on(fleet, log=log, state_path=blocked / "live.json"))
    assert len(fleet.applied) == 1
    assert "a line of the decision log is lost" in caplog.text
    assert "the state of the live loop is not saved" in caplog.text


def test_a_change_that_has_begun_is_completed_before_the_loop_ends() -> None:
    class SlowFleet(FakeFleet):
        def begin(self, expected_version: int | None) -> None:
            began.set()
            until.wait(30)

    began, until = threading.Event(), threading.Event()
    fleet = SlowFleet(*[DEPTH] * 30, *[EDGES] * 2_000)

    async def cancelled() -> None:
        running = asyncio.ensure_future(loop_on(fleet).run())
        while not began.is_set():
            await asyncio.sleep(0.01)
        running.cancel()
        until.set()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    assert fleet.version == 2


def test_a_plan_that_somebody_else_put_in_force_is_not_taken_for_the_loops_own() -> None:
    class ContestedFleet(FakeFleet):
        def begin(self, expected_version: int | None) -> None:
            assert expected_version == self.version
            self.version += 1  # a `deploy` came first
            raise PlanChangeConflictError("plan version 2 is in force, and not 1")

    fleet = ContestedFleet(*[DEPTH] * 30, *[EDGES] * 60)
    with pytest.raises(ClusterError, match="somebody else changes plans"):
        asyncio.run(asyncio.wait_for(loop_on(fleet).run(), 60))
    assert fleet.applied == []
