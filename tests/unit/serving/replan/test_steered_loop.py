"""The loop as a page steers it: paused, resumed, and asked to plan now."""

from __future__ import annotations

import pytest

from planner.plan import Plan
from serving.replan import replanner as module
from serving.replan.change_policy import REACTIVE
from serving.replan.decision import decide
from serving.replan.decision_input import DecisionOptions
from serving.replan.loop_state import LoopState
from serving.replan.replanner import WANTED, Look, Replanner
from support.replan_cases import ground, plan_for, problem, setting, snapshot


@pytest.fixture(autouse=True)
def _small_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ground_of", lambda *_, **__: ground())


class Looks:
    """A replanner, whose client is asked ten queries a second."""

    def __init__(self) -> None:
        plan: Plan = plan_for(problem(10, 0.1))
        state = LoopState(plan=plan)
        self.replanner = Replanner(setting(), state, DecisionOptions(), REACTIVE)
        self.now_s, self.depth, self.edges = 0.0, 0, 0

    def look(self, depth: int = 10, edges: int = 0, **steered: bool) -> Look:
        self.now_s += 1.0
        self.depth, self.edges = self.depth + depth, self.edges + edges
        seen = {
            "c": snapshot("c", self.now_s, depth=self.depth, edges=self.edges),
            "e": snapshot("e", self.now_s),
        }
        look = self.replanner.look(("c", "e"), seen, self.now_s, self.now_s, **steered)
        if look.question is not None:
            question = look.question
            self.replanner.decided(question, decide(question.ground, question.given), self.now_s)
        return look


def test_nothing_is_asked_while_paused_however_the_load_moves() -> None:
    looks = Looks()
    for _ in range(20):
        looks.look()
    assert all(looks.look(0, 10, paused=True).question is None for _ in range(20))
    # What was seen meanwhile is known: the first look afterwards asks.
    assert any(looks.look(0, 10).question is not None for _ in range(3))


def test_a_decision_that_is_wanted_is_asked_for_at_once_and_about_models() -> None:
    looks = Looks()
    for _ in range(20):
        looks.look()
    assert looks.look().question is None
    question = looks.look(wanted=True).question
    assert question is not None
    assert question.why == WANTED
    assert not question.given.shares_only
    assert looks.look().question is None


def test_what_is_wanted_waits_until_the_load_is_known() -> None:
    assert Looks().look(wanted=True).question is None
