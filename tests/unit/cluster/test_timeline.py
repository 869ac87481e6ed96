"""Timelines: what an event says, and what is refused before anything happens."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.demand import Demand
from cluster.document import DocumentError
from cluster.specs import SPECS
from cluster.timeline import TimelineEvent, check_timeline
from cluster.topology import Topology

TOPOLOGY = Topology.load(SPECS / "demo.yaml")


def demand(*timeline: dict[str, Any]) -> Demand:
    phases = [{"duration_s": 30, "rates_qps": {"client-0": {"depth": 1.0}}}] * 2
    data = {"name": "d", "phases": phases, "timeline": list(timeline)}
    return Demand.parse(data, source="demand.yaml")


def test_an_event_says_what_happens_to_whom_and_when() -> None:
    events = demand(
        {"at_s": 0, "cut_link": ["client-1", "edge-0"]},
        {"at_s": 1, "restore_link": ["client-1", "edge-0"]},
        {"at_s": 2, "slow_link": {"link": ["edge-0", "cloud"], "factor": 4}},
        {"at_s": 3, "kill_node": "edge-0"},
        {"at_s": 3, "stop_node": "cloud"},
        {"at_s": 4, "resume_node": "cloud"},
        {"at_s": 5, "slow_node": {"node": "edge-0", "factor": 3}},
        {"at_s": 6, "silence_link": ["client-1", "edge-0"]},
        {"at_s": 7, "lose_device": "edge-0"},
        {"at_s": 8, "restore_device": "edge-0"},
        {"at_s": 9, "jump_clock": {"node": "cloud", "by_s": -3600}},
        {"at_s": 10, "kill_controller": "serve"},
        {"at_s": 50, "scale_load": {"client": "client-0", "factor": 3}},
    ).timeline
    check_timeline(events, TOPOLOGY)
    assert [str(event) for event in events] == [
        "cut_link client-1 to edge-0 at 0 s",
        "restore_link client-1 to edge-0 at 1 s",
        "slow_link edge-0 to cloud by 4 at 2 s",
        "kill_node edge-0 at 3 s",
        "stop_node cloud at 3 s",
        "resume_node cloud at 4 s",
        "slow_node edge-0 by 3 at 5 s",
        "silence_link client-1 to edge-0 at 6 s",
        "lose_device edge-0 at 7 s",
        "restore_device edge-0 at 8 s",
        "jump_clock cloud by -3600 s at 9 s",
        "kill_controller serve at 10 s",
        "scale_load client-0 by 3 at 50 s",
    ]


@pytest.mark.parametrize(
    ("timeline", "message"),
    [
        (
            [{"at_s": 9, "kill_node": "cloud"}, {"at_s": 3, "kill_node": "edge-0"}],
            "timeline.1: goes backwards, to 3 s after 9 s; sort the events by `at_s`",
        ),
        ([{"at_s": 60, "kill_node": "cloud"}], "comes after the end of the traffic at 60 s"),
        ([{"at_s": -1, "kill_node": "cloud"}], "at least 0"),
        ([{"at_s": 1}], "expected one event beside `at_s`, of cut_link, silence_link, restore_l"),
        ([{"at_s": 1, "jump_clock": {"node": "cloud", "by_s": 0}}], "expected another `by_s` than"),
        ([{"at_s": 1, "jump_clock": {"node": "cloud", "by_s": ".inf"}}], "jump_clock.by_s"),
        ([{"at_s": 1, "jump_clock": {"node": "cloud", "by_s": 1e300}}], "jump_clock.by_s"),
        ([{"at_s": 1, "jump_clock": "cloud"}], "timeline.0.jump_clock"),
        ([{"at_s": 1, "kill_controller": "cloud"}], "expected 'serve', 'store' or 'loop'"),
        ([{"at_s": 1, "lose_device": ["edge-0"]}], "timeline.0.lose_device"),
        ([{"at_s": 1, "kill_node": "cloud", "stop_node": "cloud"}], "expected one event"),
        ([{"at_s": 1, "kil_node": "cloud"}], "timeline.0.kil_node: unknown key; did you mean"),
        (
            [{"at_s": 1, "slow_node": {"node": "cloud", "factor": 0.5}}],
            "at least 1",
        ),
        ([{"at_s": 1, "cut_link": ["client-1"]}], "timeline.0.cut_link.1"),
        (
            [{"at_s": 1, "scale_load": {"client": "client-9", "factor": 2}}],
            "timeline.0.scale_load: `rates_qps` has no client 'client-9'; did you mean client-0?",
        ),
        (
            [{"at_s": 1, "scale_load": {"client": "client-0", "factor": -2}}],
            "at least 0",
        ),
    ],
)
def test_a_wrong_timeline_is_refused_with_its_demand(
    timeline: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        demand(*timeline)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"kill_node": "edge-7"}, "timeline.0.kill_node: no node is named 'edge-7'; did you mean"),
        (
            {"cut_link": ["client-1", "cloud"]},
            "timeline.0.cut_link: no link leads from client-1 to cloud; did you mean client",
        ),
        ({"silence_link": ["edge-0", "client-1"]}, "no link leads from edge-0 to client-1; did"),
        ({"lose_device": "edge-7"}, "timeline.0.lose_device: no node is named 'edge-7'; did you"),
        ({"restore_device": "clod"}, "restore_device: no node is named 'clod'; did you mean cloud"),
        (
            {"jump_clock": {"node": "edge-7", "by_s": 60}},
            "timeline.0.jump_clock: no node is named 'edge-7'; did you mean edge-0?",
        ),
        ({"slow_link": {"link": ["a", "b"], "factor": 2}}, "no link leads from a to b; there are"),
        (
            {"slow_node": {"node": "zzz", "factor": 2}},
            "there are client-0, client-1, client-2",
        ),
    ],
)
def test_a_timeline_that_names_nobody_of_the_topology_is_refused(
    event: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=r"^timeline\.0\.") as refused:
        check_timeline(demand({"at_s": 1, **event}).timeline, TOPOLOGY)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_load_of_a_client_that_the_topology_lacks_is_refused() -> None:
    load = {"client": "phone", "factor": 2}
    events = [TimelineEvent.model_validate({"at_s": 1, "scale_load": load})]
    with pytest.raises(ValueError, match=r"timeline\.0\.scale_load: no client is named 'phone'"):
        check_timeline(events, TOPOLOGY)
