"""F14: tasks of one image meet as often as their shares allow."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.shared_ways import Hops, lay_out

PLACES = ("home-1", "home-2", "edge-1", "edge-2", "other-edge", "cloud-1", "cloud-2")
LINKS = {
    "home": (None, None),
    "edge": (None, "to the edge"),
    "other": (None, "to the other edge"),
    "cloud": ("on to the cloud", "to the edge"),
}


def hops_of(place: str) -> Hops:
    return LINKS[place.split("-")[0]]


def drawn_shares(draw: st.DrawFn, served: float) -> dict[str, float]:
    weights = {place: draw(st.integers(0, 4)) for place in PLACES}
    weights[draw(st.sampled_from(PLACES))] += 1
    total = sum(weights.values())
    return {place: served * weight / total for place, weight in weights.items() if weight}


@st.composite
def shares(draw: st.DrawFn, tasks: int, alike: bool) -> dict[str, dict[str, float]]:
    served = [draw(st.sampled_from([1.0, 0.8, 0.5])) for _ in range(tasks)]
    return {f"t{k}": drawn_shares(draw, served[0] if alike else served[k]) for k in range(tasks)}


def uses(ways: list[tuple[dict[str, str], float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Share of the images that each place has a pass for, and that each link carries."""
    passes: defaultdict[str, float] = defaultdict(float)
    images: defaultdict[str, float] = defaultdict(float)
    for places, share in ways:
        for place in set(places.values()):
            passes[place] += share
        for hop in {hop for place in places.values() for hop in hops_of(place) if hop}:
            images[str(hop)] += share
    return passes, images


def test_the_example_of_the_module() -> None:
    ways = lay_out(
        {"a": {"edge-1": 0.5, "home-1": 0.5}, "b": {"edge-1": 0.3, "home-1": 0.7}}, hops_of
    )
    assert [way for way, _ in ways] == [
        {"a": "edge-1", "b": "edge-1"},
        {"a": "home-1", "b": "home-1"},
        {"a": "edge-1", "b": "home-1"},
    ]
    assert [share for _, share in ways] == pytest.approx([0.3, 0.5, 0.2])
    passes, images = uses(ways)
    assert passes == pytest.approx({"home-1": 0.7, "edge-1": 0.5})
    assert images == pytest.approx({"to the edge": 0.5})


def test_what_is_shed_of_each_task_is_shed_together() -> None:
    ways = lay_out({"a": {"home-1": 0.7}, "b": {"home-2": 0.9}}, hops_of)
    assert sum(share for way, share in ways if not way) == pytest.approx(0.3)
    assert sum(share for way, share in ways if way == {"a": "home-1", "b": "home-2"}) == (
        pytest.approx(0.7)
    )
    assert lay_out({"a": {"home-1": 1.0}, "b": {}}, hops_of) == [({}, 1.0)]


def test_tasks_that_meet_nowhere_share_their_links() -> None:
    """Half of the images go to the edge for `a`, half for `b`: the same half."""
    ways = lay_out(
        {"a": {"home-1": 0.4, "edge-1": 0.6}, "b": {"home-2": 0.5, "edge-2": 0.5}}, hops_of
    )
    assert uses(ways)[1] == pytest.approx({"to the edge": 0.6})


@given(shares(2, alike=True))
def test_of_two_tasks_no_place_and_no_link_has_more_than_the_larger_share(
    drawn: dict[str, dict[str, float]],
) -> None:
    passes, images = uses(lay_out(drawn, hops_of))
    a, b = drawn.values()
    for place in PLACES:
        most = max(a.get(place, 0.0), b.get(place, 0.0))
        assert passes.get(place, 0.0) == pytest.approx(most, abs=1e-5)
    for hop in {hop for place in PLACES for hop in hops_of(place) if hop}:
        through = [
            sum(share for place, share in own.items() if hop in hops_of(place)) for own in (a, b)
        ]
        assert images.get(str(hop), 0.0) == pytest.approx(max(through), abs=1e-5)


@given(shares(3, alike=False))
def test_every_task_keeps_its_shares_but_for_what_is_shed_with_another(
    drawn: dict[str, dict[str, float]],
) -> None:
    ways = lay_out(drawn, hops_of)
    served = {task: sum(own.values()) for task, own in drawn.items()}
    answered = sum(share for way, share in ways if way)
    assert answered == pytest.approx(min(served.values()), abs=1e-4)
    for task, own in drawn.items():
        for place, share in own.items():
            taken = sum(each for way, each in ways if way.get(task) == place)
            lost = served[task] - answered
            assert share - lost - 1e-4 <= taken <= share + 1e-4
    passes, images = uses(ways)
    assert max(passes.values()) <= 1 + 1e-9
    assert max(images.values(), default=0.0) <= 1 + 1e-9


def test_three_tasks_may_meet_two_by_two_only() -> None:
    """Each place has half of two tasks, and no way lets all of them meet: two passes an image."""
    three = {
        "a": {"home-1": 0.5, "home-2": 0.5},
        "b": {"home-2": 0.5, "edge-1": 0.5},
        "c": {"home-1": 0.5, "edge-1": 0.5},
    }
    passes, _ = uses(lay_out(three, hops_of))
    assert sum(passes.values()) == pytest.approx(2.0)
    assert sum(passes.values()) > 3 * 0.5
