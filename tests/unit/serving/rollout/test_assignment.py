"""What a node lacks of its assignment, by what it holds and follows."""

from __future__ import annotations

import pytest

from serving.node.snapshot import NodeSnapshot
from serving.rollout.assignment import Assignment, Mending, find_mending, with_version
from serving.routing.routes import RouteTable, Target

HERE = {"depth": ((Target("client", "client", "m0"), 1.0),)}
TOLD = Assignment(5, ("m0", "m1"), RouteTable(5, HERE))


def seen(models: tuple[str, ...], version: int) -> NodeSnapshot:
    return NodeSnapshot("client", 0.0, 0.0, 0, 0, models, version, {}, {}, {}, {})


@pytest.mark.parametrize(
    ("models", "version", "table", "expected"),
    [
        (("m1", "m0"), 5, TOLD.table, Mending(None, frozenset(), ())),
        ((), 0, RouteTable(0, {}), Mending(TOLD.table, frozenset(), ("m0", "m1"), True)),
        (("m1", "m2"), 5, TOLD.table, Mending(None, frozenset({"m2"}), ("m0",))),
        (("m0", "m1"), 5, RouteTable(5, {}), Mending(TOLD.table, frozenset(), ())),
        (("m0", "m1"), 5, RouteTable(4, HERE), Mending(TOLD.table, frozenset(), ())),
        (("m0", "m1"), 6, RouteTable(6, {}), Mending(None, frozenset(), ())),
        (("m0", "m1"), 4, TOLD.table, Mending(None, frozenset(), (), True)),
    ],
    ids=[
        "all",
        "nothing",
        "other models",
        "other routes",
        "older routes",
        "newer routes",
        "behind",
    ],
)
def test_what_differs_is_found_and_no_more(
    models: tuple[str, ...], version: int, table: RouteTable, expected: Mending
) -> None:
    found = find_mending(TOLD, seen(models, version), table)
    assert found == expected
    assert bool(found) is (expected != Mending(None, frozenset(), ()))


def test_a_node_without_routes_of_its_own_is_given_none() -> None:
    told = Assignment(5, ("m0",))
    assert not find_mending(told, seen(("m0",), 5), RouteTable(0, {}))


def test_what_is_mended_is_said_in_words() -> None:
    assert str(Mending(TOLD.table, frozenset({"m3", "m2"}), ("m0",), True)) == (
        "follow version 5; unload m2, m3; load m0"
    )
    assert str(Mending(None, frozenset(), (), True)) == "take up the version"
    assert str(Mending(None, frozenset(), ())) == "nothing"


def test_another_version_changes_nothing_else() -> None:
    assert with_version({"client": TOLD, "edge": Assignment(3, ("m2",))}, 9) == {
        "client": Assignment(9, ("m0", "m1"), RouteTable(9, HERE)),
        "edge": Assignment(9, ("m2",)),
    }
