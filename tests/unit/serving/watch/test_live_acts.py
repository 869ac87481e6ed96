"""Acts on a running system, and what a page that is attached hears of others' decisions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import InputError
from serving.errors import ServingError
from serving.replan.decision import decide
from serving.replan.decision_log import ChangeLine, DecisionLine, DecisionLog
from serving.traffic.load_switch import LoadSwitch
from serving.watch.acts import Act, ActName
from serving.watch.attached import DecisionTail
from serving.watch.facts import facts_of
from serving.watch.history import WatchHistory
from serving.watch.live_acts import LiveActs
from support.demo_setting import demo_setting
from support.replan_cases import estimate, given, ground, plan_for, problem
from support.watch_cases import SetClock


class NotedFaults:
    """A fault injector that notes what it is asked for."""

    supported = frozenset[str]()

    def __init__(self, fails: bool = False) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: object) -> None:
            if self._fails:
                raise RuntimeError("no process")
            self.calls.append((name, *arguments))

        return call


class NotedLoop:
    def __init__(self) -> None:
        self.paused = False
        self.planned = 0

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def plan_now(self) -> None:
        self.planned += 1


@pytest.fixture(scope="module")
def facts() -> Any:
    return facts_of(demo_setting())


@pytest.fixture
def history(facts: Any) -> WatchHistory:
    return WatchHistory(facts, SetClock())


def take(acts: LiveActs, **act: Any) -> str:
    return asyncio.run(acts.act(Act.model_validate(act)))


def test_acts_on_nodes_and_links_are_those_of_a_timeline(history: WatchHistory) -> None:
    faults = NotedFaults()
    acts = LiveActs(history, faults)
    link = ("client-0", "edge-0")
    take(acts, name="kill_node", node="edge-0")
    take(acts, name="slow_link", link=link, factor=4)
    take(acts, name="restore_link", link=link)
    assert faults.calls == [
        ("kill_node", "edge-0"), ("slow_link", *link, 4.0), ("restore_link", *link),
    ]  # fmt: skip
    recorded, _ = history.recorded()
    conditions = [event.condition for event in recorded.events]
    assert conditions == ["", "at 0.25 of its bandwidth", ""]


def test_the_loop_is_steered_and_the_load_scaled(history: WatchHistory) -> None:
    loop, load = NotedLoop(), LoadSwitch(("client-0",))
    acts = LiveActs(history, None, loop, load)
    take(acts, name="pause")
    assert loop.paused
    take(acts, name="resume")
    take(acts, name="plan_now")
    assert (loop.paused, loop.planned) == (False, 1)
    take(acts, name="scale_load", client="client-0", factor=2)
    assert load.factors == {"client-0": 2.0}
    recorded, _ = history.recorded()
    assert recorded.events[-1].load_factors == {"client-0": 2.0}
    with pytest.raises(InputError, match="no traffic is sent to client-1"):
        take(acts, name="scale_load", client="client-1", factor=2)


def test_what_cannot_be_done_here_says_where_it_can(history: WatchHistory) -> None:
    why = {offer.name: offer.why_not for offer in LiveActs(history, NotedFaults()).offers()}
    assert why[ActName.KILL_NODE] == ""
    assert "testbed live --watch" in why[ActName.PAUSE]
    assert "--drive --watch" in why[ActName.SCALE_LOAD]
    with pytest.raises(InputError, match="testbed live --watch"):
        take(LiveActs(history, NotedFaults()), name="pause")


def test_an_act_that_fails_is_told_and_not_noted(history: WatchHistory) -> None:
    with pytest.raises(ServingError, match="kill node edge-0 failed: RuntimeError: no process"):
        take(LiveActs(history, NotedFaults(fails=True)), name="kill_node", node="edge-0")
    assert history.recorded()[0].events == ()


def test_decisions_that_another_process_logs_are_heard_of_once(
    tmp_path: Path, history: WatchHistory
) -> None:
    path = tmp_path / "decisions.jsonl"
    log = DecisionLog(path)
    seen = given(estimate(0.1, 10), plan_for(problem(10, 0.1)))
    line = DecisionLine(
        digest="d", why="first", given=seen, decision=decide(ground(), seen), took_s=0.1
    )
    log.decision(ground(), line)
    tail = DecisionTail(path)
    assert tail.read() == []  # what was there before is not news
    log.decision(ground(), line)
    log.change(ChangeLine(number=1, version=2, total_s=0.5))
    decided, became = tail.read()
    assert isinstance(decided, DecisionLine)
    assert isinstance(became, ChangeLine)
    assert tail.read() == []
    history.decided(decided)
    history.became(became)
    (shown,) = history.recorded()[0].decisions_at(10.0)
    assert (shown.version, shown.changes) == (2, True)
    with path.open("ab") as stream:
        stream.write(json.dumps({"kind": "change", "number": 2})[:10].encode())
    assert tail.read() == []  # half a line
    path.write_text("")
    log.change(ChangeLine(number=3))
    assert [line.number for line in tail.read() if isinstance(line, ChangeLine)] == [3]
