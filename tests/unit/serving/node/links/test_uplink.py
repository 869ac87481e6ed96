"""A link's budget: what a query that is not sent after all leaves to the next."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
import pytest

from cluster.link_trace import LinkTrace
from serving.errors import RefusalReason, RefusedError
from serving.node.device.served import Image, Served
from serving.node.links.link_capacity import SteadyCapacity, TracedCapacity
from serving.node.links.link_condition import LinkCondition
from serving.node.links.messages import AskOutcome, AskReply
from serving.node.links.pacer import Jitter, LinkPacer
from serving.node.links.uplink import QUERY_OVERHEAD_BYTES, Uplink
from serving.routing.routes import Ask, Target
from serving.simulation.virtual_time import run_in_virtual_time

pytestmark = pytest.mark.real_time

TARGET = Target("edge", "edge", "m")
ASKS = (Ask(TARGET, ("depth",)),)
IMAGE: Image = np.zeros((4, 1, 1), np.uint8)
SIZE = IMAGE.nbytes + QUERY_OVERHEAD_BYTES


class FakeTransport:
    """Answers after `answer_s`, unless `gone` says why nothing can be sent."""

    def __init__(self, answer_s: float = 0.0) -> None:
        self.answer_s = answer_s
        self.known_gone: RefusedError | None = None
        self.found_gone: RefusedError | None = None
        self.condition = LinkCondition()
        self.served: dict[str, Served] = {}
        self.sent = 0

    async def exchange(
        self,
        asks: tuple[Ask, ...],
        image: Image,
        latest_s: float | None,
        on_sent: Callable[[], None],
    ) -> list[AskOutcome]:
        if self.found_gone is not None:
            raise self.found_gone
        self.sent += 1
        on_sent()
        await asyncio.sleep(self.answer_s)
        return [AskReply(ask.target, self.served, 0.0) for ask in asks]

    async def probe(self, size_bytes: int, on_sent: Callable[[], None]) -> float:
        on_sent()
        return asyncio.get_running_loop().time()

    def refusal(self) -> RefusedError | None:
        return self.known_gone

    def prepare(self) -> None:
        pass

    def close(self) -> None:
        pass

    def change(self, condition: LinkCondition) -> None:
        self.condition = condition


def link(transport: FakeTransport) -> tuple[Uplink, LinkPacer]:
    """One query a second; two may wait."""
    pacer = LinkPacer(SteadyCapacity(SIZE), rtt_s=0.0, max_backlog_s=2.0)
    return Uplink(pacer, transport, clock=lambda: asyncio.get_running_loop().time()), pacer


def test_a_query_that_is_sent_counts_and_takes_its_time() -> None:
    async def scenario() -> tuple[float, int, tuple[int, int]]:
        uplink, pacer = link(FakeTransport())
        await uplink.call(ASKS, IMAGE)
        return asyncio.get_running_loop().time(), pacer.sent_bytes, uplink.in_flight

    assert run_in_virtual_time(scenario()) == (1.0, SIZE, (0, 0))


def test_a_query_whose_caller_leaves_before_it_is_sent_frees_its_turn() -> None:
    async def scenario() -> tuple[float, int]:
        uplink, pacer = link(FakeTransport())
        first = asyncio.ensure_future(uplink.call(ASKS, IMAGE))
        second = asyncio.ensure_future(uplink.call(ASKS, IMAGE))
        await asyncio.sleep(0.25)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        third = uplink.call(ASKS, IMAGE)
        await asyncio.gather(first, third)
        return asyncio.get_running_loop().time(), pacer.sent_bytes

    assert run_in_virtual_time(scenario()) == (2.0, 2 * SIZE)


def test_a_query_that_finds_nobody_counts_as_nothing() -> None:
    async def scenario() -> tuple[int, tuple[int, int]]:
        transport = FakeTransport()
        transport.found_gone = RefusedError(RefusalReason.PEER_UNREACHABLE)
        uplink, pacer = link(transport)
        with pytest.raises(RefusedError):
            await uplink.call(ASKS, IMAGE)
        return pacer.sent_bytes, uplink.in_flight

    assert run_in_virtual_time(scenario()) == (0, (0, 0))


def test_where_nobody_is_known_to_be_at_the_far_end_no_query_waits_for_its_turn() -> None:
    async def scenario() -> tuple[float, float]:
        transport = FakeTransport()
        uplink, pacer = link(transport)
        transport.known_gone = RefusedError(RefusalReason.PEER_UNREACHABLE)
        for _ in range(5):
            with pytest.raises(RefusedError) as refused:
                await uplink.call(ASKS, IMAGE)
            assert refused.value.reason is RefusalReason.PEER_UNREACHABLE
        return asyncio.get_running_loop().time(), pacer.free_at_s

    assert run_in_virtual_time(scenario()) == (0.0, 0.0)


def test_a_link_is_cut_slowed_and_restored() -> None:
    async def scenario() -> list[float]:
        transport = FakeTransport()
        uplink, pacer = link(transport)
        seen = []
        for share in (0.5, 0.0, 1.0):
            uplink.change(LinkCondition(share))
            seen += [pacer.capacity.rate_bytes_per_s(0.0) / SIZE, float(transport.condition.is_cut)]
        uplink.change(LinkCondition(silent=True))
        assert transport.condition.silent
        return seen

    assert run_in_virtual_time(scenario()) == [0.5, 0.0, 1.0, 1.0, 1.0, 0.0]


def test_a_query_that_was_sent_gives_its_time_on_the_link_not_back() -> None:
    async def scenario() -> float:
        uplink, pacer = link(FakeTransport(answer_s=5.0))
        asked = asyncio.ensure_future(uplink.call(ASKS, IMAGE))
        await asyncio.sleep(1.5)  # it has left, and its answer is still to come
        before_s = pacer.free_at_s
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        return pacer.free_at_s - before_s

    assert run_in_virtual_time(scenario()) == 0.0


def test_a_link_that_was_slowed_is_free_again_once_it_is_restored() -> None:
    async def scenario() -> list[float]:
        transport = FakeTransport()
        uplink, pacer = link(transport)
        clock = asyncio.get_running_loop().time
        uplink.change(LinkCondition(share=1e-6))
        waits = asyncio.ensure_future(uplink.call(ASKS, IMAGE))  # a million seconds
        await asyncio.sleep(5.0)
        refused = uplink.room(ASKS) is not None
        uplink.change(LinkCondition())
        assert uplink.room(ASKS) is None
        await waits
        first_s = clock()
        await uplink.call(ASKS, IMAGE)
        return [refused, first_s, clock(), pacer.free_at_s]

    refused, first_s, second_s, free_at_s = run_in_virtual_time(scenario())
    assert refused
    assert [first_s, second_s, free_at_s] == pytest.approx([6.0, 7.0, 7.0], abs=1e-3)


def test_what_waits_for_a_link_that_is_slowed_leaves_later_or_is_refused_at_its_deadline() -> None:
    async def scenario() -> list[float]:
        uplink, pacer = link(FakeTransport())
        clock = asyncio.get_running_loop().time
        first = asyncio.ensure_future(uplink.call(ASKS, IMAGE))
        second = asyncio.ensure_future(uplink.call(ASKS, IMAGE, deadline_s=4.0))
        await asyncio.sleep(0.5)
        uplink.change(LinkCondition(share=0.1))
        with pytest.raises(RefusedError, match="the deadline passed on the link"):
            await second
        refused_s = clock()
        await first
        return [refused_s, clock(), pacer.free_at_s]

    assert run_in_virtual_time(scenario()) == pytest.approx([4.0, 5.5, 5.5])


def test_what_waits_for_a_slow_link_is_refused_as_soon_as_the_link_is_cut() -> None:
    async def scenario() -> float:
        transport = FakeTransport()
        uplink, _ = link(transport)
        uplink.change(LinkCondition(share=1e-3))
        waits = asyncio.ensure_future(uplink.call(ASKS, IMAGE))
        await asyncio.sleep(1.0)
        transport.found_gone = RefusedError(RefusalReason.PEER_UNREACHABLE, "cut")
        uplink.change(LinkCondition(share=0.0))
        with pytest.raises(RefusedError, match="cut"):
            await waits
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(scenario()) == pytest.approx(2.0, abs=0.01)


def recorded_link() -> Uplink:
    """Half a query in the first second, nothing in the second, two queries in the third."""
    rates = np.array([0.5, 0.0, 2.0]) * SIZE
    capacity = TracedCapacity(LinkTrace("test", np.arange(3.0), rates, 3.0))
    pacer = LinkPacer(capacity, rtt_s=0.0, max_backlog_s=5.0)
    return Uplink(pacer, FakeTransport(), clock=lambda: asyncio.get_running_loop().time())


def test_queries_on_a_recorded_link_wait_for_its_capacity() -> None:
    async def scenario() -> list[float]:
        uplink, left_s = recorded_link(), []
        for _ in range(4):
            await uplink.call(ASKS, IMAGE)
            left_s.append(asyncio.get_running_loop().time())
        return left_s

    assert run_in_virtual_time(scenario()) == pytest.approx([2.25, 2.75, 4.0, 5.5])


def test_a_trace_that_begins_anew_takes_along_what_waits() -> None:
    async def scenario() -> list[float]:
        uplink = recorded_link()
        clock = asyncio.get_running_loop().time
        waits = asyncio.ensure_future(uplink.call(ASKS, IMAGE))
        await asyncio.sleep(1.5)  # half of it has left
        uplink.begin_trace()
        await waits
        return [clock()]

    assert run_in_virtual_time(scenario()) == pytest.approx([2.5])


def test_a_link_may_be_set_to_a_bandwidth_and_a_round_trip_of_its_own() -> None:
    async def scenario() -> list[float]:
        uplink = recorded_link()
        clock = asyncio.get_running_loop().time
        uplink.change(LinkCondition(bytes_per_s=2.0 * SIZE, rtt_s=0.25))
        await uplink.call(ASKS, IMAGE)
        set_s = clock()
        uplink.begin_trace()  # of a link that does not follow it now
        await uplink.call(ASKS, IMAGE)
        uplink.change(LinkCondition())
        times_s = [set_s, clock()]
        await uplink.call(ASKS, IMAGE)  # an eighth of it by 1.75 s, the rest from 2.75 s on
        return [*times_s, clock()]

    assert run_in_virtual_time(scenario()) == pytest.approx([0.75, 1.5, 2.75 + 0.875 / 2])


def jittery(most_s: float) -> Uplink:
    """A hundred queries a second, whose round trip takes a second and up to `most_s` more."""
    pacer = LinkPacer(SteadyCapacity(100.0 * SIZE), 1.0, 2.0, jitter=Jitter(most_s, "a to b"))
    return Uplink(pacer, FakeTransport(), clock=lambda: asyncio.get_running_loop().time())


async def round_trips(uplink: Uplink, queries: int) -> tuple[list[float], list[float]]:
    """What each of them took, sent all at once, and what it says of the link."""
    clock = asyncio.get_running_loop().time

    async def ask() -> tuple[float, float]:
        (outcome,) = await uplink.call(ASKS, IMAGE)
        assert isinstance(outcome, AskReply)
        return clock(), outcome.link_s

    took = await asyncio.gather(*(ask() for _ in range(queries)))
    return [spent_s for spent_s, _ in took], [link_s for _, link_s in took]


def test_a_round_trip_takes_up_to_its_jitter_more_at_random_but_each_time_alike() -> None:
    spent_s, told_s = run_in_virtual_time(round_trips(jittery(0.4), 100))
    extra_s = np.array(spent_s) - 1.0 - 0.01 * np.arange(1, 101)
    assert (extra_s >= -1e-9).all()
    assert extra_s.max() <= 0.4 + 1e-9
    assert 0.1 < extra_s.mean() < 0.4
    assert extra_s.std() > 0.05
    assert told_s == pytest.approx(spent_s)
    again, _ = run_in_virtual_time(round_trips(jittery(0.4), 100))
    assert again == spent_s
    without, _ = run_in_virtual_time(round_trips(jittery(0.0), 100))
    assert without == pytest.approx(1.0 + 0.01 * np.arange(1, 101))


def test_the_shortest_round_trip_is_without_turns_on_the_link_and_time_at_the_far_node() -> None:
    served = Served(np.zeros(1), 8, 0.5, 0.2, 0.3)

    async def scenario() -> list[float]:
        transport = FakeTransport(answer_s=1.0 + 0.25)  # a second there, a quarter on the way
        transport.served = {"depth": served}
        pacer = LinkPacer(SteadyCapacity(SIZE), rtt_s=0.5, max_backlog_s=9.0)
        uplink = Uplink(pacer, transport, clock=lambda: asyncio.get_running_loop().time())
        known = [uplink.shortest_rtt_s]
        await asyncio.gather(*(uplink.call(ASKS, IMAGE) for _ in range(3)))
        known.append(uplink.shortest_rtt_s)
        transport.answer_s += 2.0  # one that has waited somewhere
        await uplink.call(ASKS, IMAGE)
        known.append(uplink.shortest_rtt_s)
        uplink.change(LinkCondition(rtt_s=4.0))
        known.append(uplink.shortest_rtt_s)
        await uplink.call(ASKS, IMAGE)
        return [*known, uplink.shortest_rtt_s]

    before, *found = run_in_virtual_time(scenario())
    assert math.isnan(before)
    assert found[:2] == pytest.approx([0.75, 0.75])
    assert math.isnan(found[2])
    assert found[3] == pytest.approx(4.0 + 2.25)


def test_no_query_overtakes_another_on_its_way_up() -> None:
    jitter = Jitter(2.0, "a to b")
    left_s = 0.01 * np.arange(200)
    there_s = np.array([left + jitter.up_s(left) for left in left_s.tolist()])
    assert (np.diff(there_s) >= -1e-12).all()
    assert (there_s - left_s).max() <= 1.0
