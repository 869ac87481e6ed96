"""Routes while a plan comes about: only to what is ready."""

from __future__ import annotations

from serving.rollout.interim_routes import Capabilities, interim_table
from serving.routing.routes import RouteTable, Target

HERE, THERE = Target("client", "c", "small"), Target("edge", "e", "large")
PATH = (("client", "c"), ("edge", "e"))
ABLE = Capabilities({"depth": frozenset({"small"})})


def test_a_task_without_a_way_takes_the_final_ones_that_are_ready() -> None:
    final = RouteTable(2, {"depth": ((HERE, 0.5), (THERE, 0.5))})
    ready = {"c": frozenset({"small"}), "e": frozenset[str]()}
    table = interim_table(RouteTable(1, {}), final, ABLE, ready, PATH, 2)
    assert table.routes == {"depth": ((HERE, 0.5),)}


def test_of_the_refuges_those_stay_that_are_ready() -> None:
    final = RouteTable(2, {}, {"depth": (THERE, HERE)})
    ready = {"c": frozenset({"small"})}
    table = interim_table(RouteTable(1, {}), final, ABLE, ready, PATH, 2)
    assert table.refuges == {"depth": (HERE,)}
    assert table.version == 2
