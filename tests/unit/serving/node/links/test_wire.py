"""An uplink over a network that holds its bandwidth itself: nothing waits twice, and what is
refused is what would be refused on loopback."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
import pytest

from serving.errors import RefusedError
from serving.node.device.served import Image, Served
from serving.node.links.link_capacity import SteadyCapacity
from serving.node.links.link_condition import LinkCondition
from serving.node.links.messages import AskOutcome, AskReply
from serving.node.links.pacer import LinkPacer
from serving.node.links.uplink import QUERY_OVERHEAD_BYTES, Uplink
from serving.routing.routes import Ask, Target
from serving.simulation.virtual_time import run_in_virtual_time

ASKS = (Ask(Target("edge", "edge", "m"), ("depth",)),)
IMAGE: Image = np.zeros((4, 1, 1), np.uint8)
SIZE = IMAGE.nbytes + QUERY_OVERHEAD_BYTES
COMPUTE_S, BACK_S = 0.25, 0.125


class Wire:
    """Carries one message after another, `wire_s` each; the far side computes, and the answer comes
    back after `BACK_S`. On loopback `wire_s` is 0."""

    def __init__(self, wire_s: float) -> None:
        self.wire_s = wire_s
        self.free_at_s = 0.0
        self.given_s: list[float] = []
        self.there_s: list[float] = []

    async def exchange(
        self,
        asks: tuple[Ask, ...],
        image: Image,
        latest_s: float | None,
        on_sent: Callable[[], None],
    ) -> list[AskOutcome]:
        loop = asyncio.get_running_loop()
        self.given_s.append(loop.time())
        on_sent()
        self.free_at_s = max(self.free_at_s, loop.time()) + self.wire_s
        await asyncio.sleep(self.free_at_s - loop.time())
        self.there_s.append(loop.time())
        served = Served(np.zeros(1, np.uint8), 1, 0.0, 0.0, COMPUTE_S)
        await asyncio.sleep(COMPUTE_S + (BACK_S if self.wire_s else 0.0))
        return [AskReply(ask.target, dict.fromkeys(ask.tasks, served), 0.0) for ask in asks]

    def refusal(self) -> RefusedError | None:
        return None

    async def probe(self, size_bytes: int, on_sent: Callable[[], None]) -> float:
        raise AssertionError("nothing is probed here")

    def prepare(self) -> None:
        pass

    def close(self) -> None:
        pass

    def change(self, condition: LinkCondition) -> None:
        pass


def uplink_over(wire: Wire, rtt_s: float = 0.0) -> Uplink:
    """A message a second; two may wait."""
    return Uplink(
        LinkPacer(SteadyCapacity(SIZE), rtt_s=rtt_s, max_backlog_s=2.0),
        wire,
        clock=lambda: asyncio.get_running_loop().time(),
        wire_bytes_per_s=SIZE / wire.wire_s if wire.wire_s else math.inf,
    )


async def send(uplink: Uplink, count: int) -> list[AskOutcome | RefusedError]:
    async def one() -> AskOutcome:
        try:
            return (await uplink.call(ASKS, IMAGE))[0]
        except RefusedError as refusal:
            return refusal

    return list(await asyncio.gather(*(one() for _ in range(count))))


@pytest.mark.parametrize("rtt_s", [0.0, 0.5])
@pytest.mark.parametrize("wire_s", [0.0, 1.0])
def test_messages_arrive_when_the_links_budget_says_so(wire_s: float, rtt_s: float) -> None:
    wire = Wire(wire_s)
    run_in_virtual_time(send(uplink_over(wire, rtt_s), 3))
    assert wire.there_s == pytest.approx([1.0 + rtt_s / 2, 2.0 + rtt_s / 2, 3.0 + rtt_s / 2])


def test_who_is_refused_does_not_depend_on_what_is_under_the_link() -> None:
    told = [run_in_virtual_time(send(uplink_over(Wire(wire_s)), 6)) for wire_s in (0.0, 1.0)]
    refused = [[isinstance(outcome, RefusedError) for outcome in outcomes] for outcomes in told]
    assert refused[0] == refused[1]
    assert refused[0] == [False, False, False, True, True, True]


def test_the_time_on_a_wire_is_measured_with_the_answers_way_back() -> None:
    told = run_in_virtual_time(send(uplink_over(Wire(1.0)), 2))
    spent_s = [reply.link_s for reply in told if isinstance(reply, AskReply)]
    assert spent_s == pytest.approx([1.0 + BACK_S, 2.0 + BACK_S])


def test_a_slowed_link_is_slow_although_its_wire_is_not() -> None:
    async def scenario(uplink: Uplink) -> None:
        sending = asyncio.ensure_future(send(uplink, 1))
        await asyncio.sleep(0)
        uplink.change(LinkCondition(share=0.25))
        await sending

    wire = Wire(1.0)
    run_in_virtual_time(scenario(uplink_over(wire)))
    assert wire.there_s == pytest.approx([4.0])
