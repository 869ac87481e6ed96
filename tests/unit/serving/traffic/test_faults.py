"""Events of a timeline: fired at their times, on whatever clock, at real processes too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from cluster.errors import InputError
from cluster.providers.state import ClusterError, ClusterState
from cluster.specs import SPECS
from cluster.timeline import Controller, TimelineEvent
from cluster.topology import Topology
from serving.node.links.link_condition import LinkCondition
from serving.simulation.virtual_time import run_in_virtual_time
from serving.traffic.faults import (
    EVERY_FAULT,
    FaultInjector,
    fire_timeline,
    refuse_unsupported,
)
from serving.traffic.local_faults import LocalFaults, find_process, timeline_beside

pytestmark = pytest.mark.real_time


def events(*timeline: dict[str, Any]) -> list[TimelineEvent]:
    return [TimelineEvent.model_validate(event) for event in timeline]


EVERY_KIND = events(
    {"at_s": 1, "cut_link": ["client-1", "edge-0"]},
    {"at_s": 2.5, "restore_link": ["client-1", "edge-0"]},
    {"at_s": 2.5, "slow_link": {"link": ["edge-0", "cloud"], "factor": 4}},
    {"at_s": 3, "kill_node": "edge-0"},
    {"at_s": 4, "scale_load": {"client": "client-0", "factor": 3}},
    {"at_s": 5, "stop_node": "cloud"},
    {"at_s": 6, "resume_node": "cloud"},
    {"at_s": 7, "slow_node": {"node": "edge-0", "factor": 3}},
    {"at_s": 8, "silence_link": ["client-1", "edge-0"]},
    {"at_s": 9, "lose_device": "edge-0"},
    {"at_s": 10, "restore_device": "edge-0"},
    {"at_s": 11, "jump_clock": {"node": "cloud", "by_s": -60}},
    {"at_s": 12, "kill_controller": "store"},
)


class Noting:
    """`FaultInjector` that writes down what is asked of it, and when."""

    supported = EVERY_FAULT

    def __init__(self) -> None:
        self.calls: list[tuple[float, str, tuple[Any, ...]]] = []

    def _note(self, name: str, *arguments: Any) -> None:
        self.calls.append((asyncio.get_running_loop().time(), name, arguments))

    async def cut_link(self, source: str, target: str) -> None:
        self._note("cut_link", source, target)

    async def restore_link(self, source: str, target: str) -> None:
        self._note("restore_link", source, target)

    async def slow_link(self, source: str, target: str, factor: float) -> None:
        self._note("slow_link", source, target, factor)

    async def kill_node(self, node: str) -> None:
        self._note("kill_node", node)

    async def stop_node(self, node: str) -> None:
        self._note("stop_node", node)

    async def resume_node(self, node: str) -> None:
        self._note("resume_node", node)

    async def slow_node(self, node: str, factor: float) -> None:
        self._note("slow_node", node, factor)

    async def silence_link(self, source: str, target: str) -> None:
        self._note("silence_link", source, target)

    async def lose_device(self, node: str) -> None:
        self._note("lose_device", node)

    async def restore_device(self, node: str) -> None:
        self._note("restore_device", node)

    async def jump_clock(self, node: str, by_s: float) -> None:
        self._note("jump_clock", node, by_s)

    async def kill_controller(self, controller: Controller) -> None:
        self._note("kill_controller", controller)


def test_every_event_is_fired_at_its_time_and_a_load_is_left_to_the_schedule() -> None:
    noting = Noting()
    fired: list[tuple[str, float]] = []

    async def scenario(injector: FaultInjector) -> None:
        await asyncio.sleep(10.0)  # times count from the start of the timeline
        await fire_timeline(
            EVERY_KIND, injector, clock=asyncio.get_running_loop().time,
            on_event=lambda event, at_s: fired.append((event.name, at_s)),
        )  # fmt: skip

    run_in_virtual_time(scenario(noting))
    assert noting.calls == [
        (11.0, "cut_link", ("client-1", "edge-0")),
        (12.5, "restore_link", ("client-1", "edge-0")),
        (12.5, "slow_link", ("edge-0", "cloud", 4.0)),
        (13.0, "kill_node", ("edge-0",)),
        (15.0, "stop_node", ("cloud",)),
        (16.0, "resume_node", ("cloud",)),
        (17.0, "slow_node", ("edge-0", 3.0)),
        (18.0, "silence_link", ("client-1", "edge-0")),
        (19.0, "lose_device", ("edge-0",)),
        (20.0, "restore_device", ("edge-0",)),
        (21.0, "jump_clock", ("cloud", -60.0)),
        (22.0, "kill_controller", (Controller.STORE,)),
    ]
    assert fired == [(name, at_s - 10.0) for at_s, name, _ in noting.calls]
    assert {name for name, _ in fired} == EVERY_FAULT  # no kind is forgotten by `fire`


def test_what_cannot_be_brought_about_is_refused_before_anything_happens() -> None:
    with pytest.raises(ValueError, match=r"timeline\.0: the moon cannot bring about cut_link; it"):
        refuse_unsupported(EVERY_KIND, {"kill_node"}, "the moon")
    refuse_unsupported(EVERY_KIND, Noting.supported, "the moon")
    refuse_unsupported(EVERY_KIND[4:5], (), "the moon")


class NodeCalls:
    """`NodeFaults` that writes down what is asked of it."""

    def __init__(self) -> None:
        self.links: list[tuple[str, str, LinkCondition]] = []
        self.others: list[tuple[str, float]] = []

    def change_link(self, source: str, target: str, condition: LinkCondition) -> None:
        self.links.append((source, target, condition))

    def switch_device(self, node: str, lost: bool) -> None:
        self.others.append((node, lost))

    def set_clock(self, node: str, ahead_s: float) -> None:
        self.others.append((node, ahead_s))


@pytest.fixture
def busy() -> Iterator[psutil.Process]:
    """A process that computes without end."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield psutil.Process(child.pid)
    child.kill()
    child.wait()


def stands_still(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def wait_for(condition: Any, timeout_s: float = 5.0) -> bool:
    end_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.005)
    return bool(condition())


def test_a_stopped_node_stands_still_until_it_is_resumed_or_the_run_ends(
    busy: psutil.Process,
) -> None:
    async def scenario() -> None:
        async with LocalFaults(lambda _: busy.pid, NodeCalls()) as faults:
            await faults.stop_node("edge-0")
            assert wait_for(lambda: stands_still(busy))
            await faults.resume_node("edge-0")
            assert wait_for(lambda: not stands_still(busy))
            await faults.stop_node("edge-0")
            assert wait_for(lambda: stands_still(busy))

    asyncio.run(scenario())
    assert wait_for(lambda: not stands_still(busy))


def test_a_slow_node_runs_for_its_part_of_the_time_only(busy: psutil.Process) -> None:
    def cpu_s() -> float:
        times = busy.cpu_times()
        return float(times.user + times.system)

    async def scenario() -> float:
        async with LocalFaults(lambda _: busy.pid, NodeCalls()) as faults:
            await faults.slow_node("edge-0", 5.0)
            before_s, start_s = cpu_s(), time.monotonic()
            await asyncio.sleep(1.5)
            share = (cpu_s() - before_s) / (time.monotonic() - start_s)
            await faults.slow_node("edge-0", 1.0)
            assert not stands_still(busy)
            return share

    # A fifth, and as much less as other processes leave; clock ticks of 10 ms add to it.
    assert 0.01 < asyncio.run(scenario()) < 0.35
    assert wait_for(lambda: not stands_still(busy))


def test_a_killed_node_ends_and_nothing_follows_it(busy: psutil.Process) -> None:
    async def scenario() -> None:
        async with LocalFaults(lambda _: busy.pid, NodeCalls()) as faults:
            await faults.slow_node("edge-0", 2.0)
            await faults.kill_node("edge-0")
            assert wait_for(lambda: busy.status() == psutil.STATUS_ZOMBIE)

    asyncio.run(scenario())


def test_a_node_without_a_process_is_said_to_have_none() -> None:
    state = ClusterState(
        topology=Topology.load(SPECS / "demo.yaml"), address="127.0.0.1:1", head_pid=1,
        temp_dir="/tmp", started_at="", link_token="", mark="nobody's",
    )  # fmt: skip
    with pytest.raises(ClusterError, match="node 'edge-0' has no process on this host now"):
        find_process(state, "edge-0")
    assert timeline_beside(EVERY_KIND[4:5], state, NodeCalls()) is None
    assert timeline_beside(EVERY_KIND, state, NodeCalls()) is not None
    with pytest.raises(InputError, match="no node is named 'edge-7'"):
        timeline_beside(events({"at_s": 1, "kill_node": "edge-7"}), state, NodeCalls())


def test_links_devices_and_clocks_are_as_before_when_the_run_ends() -> None:
    calls = NodeCalls()

    async def scenario() -> None:
        async with LocalFaults(lambda _: 1, calls) as faults:
            await faults.cut_link("c", "e")
            await faults.slow_link("e", "cloud", 4.0)
            await faults.restore_link("c", "e")
            await faults.silence_link("d", "e")
            await faults.lose_device("e")
            await faults.lose_device("c")
            await faults.restore_device("c")
            await faults.jump_clock("c", 60.0)
            await faults.jump_clock("c", -3600.0)

    asyncio.run(scenario())
    whole = LinkCondition()
    assert calls.links == [
        ("c", "e", LinkCondition(share=0.0)), ("e", "cloud", LinkCondition(share=0.25)),
        ("c", "e", whole), ("d", "e", LinkCondition(silent=True)),
        ("d", "e", whole), ("e", "cloud", whole),
    ]  # fmt: skip
    assert calls.others == [
        ("e", True), ("c", True), ("c", False), ("c", 60.0), ("c", -3540.0),
        ("e", False), ("c", 0.0),
    ]  # fmt: skip


def test_what_cannot_be_mended_keeps_nothing_else_from_being_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class OneAway(NodeCalls):
        """A node "gone" that does not answer any more."""

        def change_link(self, source: str, target: str, condition: LinkCondition) -> None:
            if source == "gone" and condition == LinkCondition():
                raise ClusterError("gone does not answer")
            super().change_link(source, target, condition)

        def switch_device(self, node: str, lost: bool) -> None:
            if node == "gone" and not lost:
                raise ClusterError("gone does not answer")
            super().switch_device(node, lost)

    calls = OneAway()

    async def scenario() -> None:
        async with LocalFaults(lambda _: 1, calls) as faults:
            for node in ("gone", "well"):
                await faults.cut_link(node, "e")
                await faults.lose_device(node)
                await faults.jump_clock(node, 60.0)
            raise KeyError("the traffic's own end")

    with pytest.raises(KeyError, match="own end"):
        asyncio.run(scenario())
    assert calls.links[2:] == [("well", "e", LinkCondition())]
    assert calls.others[4:] == [("well", False), ("gone", 0.0), ("well", 0.0)]
    assert "the link gone to e stays as the timeline left it" in caplog.text
    assert "the device of gone stays as the timeline left it" in caplog.text


def test_a_controller_that_runs_is_killed_and_one_that_does_not_is_passed_over(
    busy: psutil.Process, caplog: pytest.LogCaptureFixture
) -> None:
    running = {Controller.STORE: busy.pid}

    async def scenario() -> None:
        async with LocalFaults(lambda _: 1, NodeCalls(), running.get) as faults:
            await faults.kill_controller(Controller.LOOP)
            assert busy.is_running()
            await faults.kill_controller(Controller.STORE)

    asyncio.run(scenario())
    assert wait_for(lambda: busy.status() == psutil.STATUS_ZOMBIE)
    assert "there is no process of the loop to kill now" in caplog.text
