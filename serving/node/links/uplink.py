"""A link's budget: what may go up it now, and what each query on it waits for."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from serving.errors import RefusalReason, RefusedError
from serving.named_tuples import made
from serving.node.device.served import Image
from serving.node.links.link_capacity import SteadyCapacity, TracedCapacity
from serving.node.links.link_condition import LinkCondition
from serving.node.links.messages import AskOutcome, AskReply
from serving.node.links.pacer import LinkPacer
from serving.node.links.transport import Transport
from serving.routing.early_refusal import NodeBackoff
from serving.routing.routes import Ask
from serving.tracing.active import LINK, ActiveSpan, active_span, within

__all__ = ["QUERY_OVERHEAD_BYTES", "ProbeTimes", "Uplink"]

QUERY_OVERHEAD_BYTES = 96  # frame, ids and names beside the image
LATEST = 32
"""queries of which the shortest round trip counts"""


class ProbeTimes(NamedTuple):
    """What became of a probe."""

    arrived_s: float
    """on the far node's clock"""
    spent_s: float
    """until its receipt was here"""
    sent_bytes: int
    """that had gone over the link by then, this probe and the queries before it included"""


class _Turn:
    """A message's turn on the link: when it begins to leave, and when it has left."""

    __slots__ = ("begins_s", "left_s", "moved", "on_the_way_s", "sleep", "wire_s")

    def __init__(self, begins_s: float, left_s: float, on_the_way_s: float, wire_s: float) -> None:
        self.begins_s = begins_s
        self.left_s = left_s
        self.on_the_way_s = on_the_way_s
        """from then until it is at the far side"""
        self.wire_s = wire_s
        """before `left_s` it must be given to the connection, which takes so long with it"""
        self.moved = False
        """whether that changed while it was waited for"""
        self.sleep: asyncio.Future[None] | None = None


class Uplink:
    """Sends queries up one link, holding its budget, and gives back an outcome for each ask.

    At most `max_in_flight` queries of `max_in_flight_bytes` are between `call` and its return:
    what the far side does not take stays with the callers, and the next are refused.

    `wire_bytes_per_s` is the pace of the network under the connection, where that is the link
    itself. Its budget is then held here all the same, by the same turns: who is refused does not
    depend on what is under a link. But a message is given to the connection so much earlier that
    it has left at the end of its turn, instead of waiting twice.
    """

    def __init__(
        self,
        pacer: LinkPacer,
        transport: Transport,
        *,
        max_in_flight: int = 1024,
        max_in_flight_bytes: int = 64 * 2**20,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_sent: Callable[[float, int], None] = lambda spent_s, size_bytes: None,
        wire_bytes_per_s: float = math.inf,
    ) -> None:
        self._pacer = pacer
        self._stated = pacer.capacity
        self._stated_rtt_s = pacer.rtt_s
        self._condition = LinkCondition()
        self._transport = transport
        self._max_in_flight = max_in_flight
        self._max_in_flight_bytes = max_in_flight_bytes
        self._clock = clock
        self._sleep = sleep
        self._on_sent = on_sent
        self._wire_bytes_per_s = wire_bytes_per_s
        self._loop: asyncio.AbstractEventLoop | None = None
        """on which it is used first"""
        self._backoff = NodeBackoff()
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._turns: set[_Turn] = set()
        """of messages that have not left"""
        self._round_trips_s: deque[float] = deque(maxlen=LATEST)
        """of the latest queries that were answered"""

    @property
    def pacer(self) -> LinkPacer:
        """The link's budget and its use."""
        return self._pacer

    @property
    def shortest_rtt_s(self) -> float:
        """The shortest round trip of the latest queries, without their time at the nodes above and
        their turn on the link: what is longer has waited for something. No number before the
        first answer."""
        return min(self._round_trips_s, default=math.nan)

    @property
    def rate_bytes_per_s(self) -> float:
        """What its pacer lets go up it now."""
        return self._pacer.capacity.rate_bytes_per_s(self._clock())

    @property
    def backlog_s(self) -> float:
        """For how long what waits for the link will have it."""
        return max(0.0, self._pacer.free_at_s - self._clock())

    @property
    def in_flight(self) -> tuple[int, int]:
        """Queries between `call` and its return, and their bytes."""
        return self._in_flight, self._in_flight_bytes

    def room(self, asks: tuple[Ask, ...]) -> RefusedError | None:
        """What a query for `asks` would be refused with at once; None if the link takes it now."""
        now_s = self._clock()
        for ask in asks:
            refusal = self._backoff.refusal(ask.target.node, now_s)
            if refusal is not None:
                return refusal
        unreachable = self._transport.refusal()
        if unreachable is not None:
            return unreachable
        if self._in_flight >= self._max_in_flight:
            message = f"{self._in_flight} queries are on the link"
            return RefusedError(RefusalReason.LINK_FULL, message)
        if self._in_flight_bytes >= self._max_in_flight_bytes:
            message = f"{self._in_flight_bytes} bytes are on the link"
            return RefusedError(RefusalReason.LINK_FULL, message)
        return self._pacer.refusal(now_s)

    def refusal(self, node: str) -> RefusedError | None:
        """What `node`, above, has said that it would refuse queries with now."""
        return self._backoff.refusal(node, self._clock())

    def call(
        self, asks: tuple[Ask, ...], image: Image, deadline_s: float | None = None
    ) -> Coroutine[Any, Any, list[AskOutcome]]:
        """Send one image up, once for all `asks`, and wait for their outcomes.

        Raises `RefusedError` if the link does not take it, or the far side goes away or stays
        silent; `deadline_s` is on the link's clock.
        """
        span = active_span()
        if span is None:
            return self._call(asks, image, deadline_s)
        return self._call_traced(span, asks, image, deadline_s)

    async def _call_traced(
        self, span: ActiveSpan, asks: tuple[Ask, ...], image: Image, deadline_s: float | None
    ) -> list[AskOutcome]:
        size = image.nbytes + QUERY_OVERHEAD_BYTES
        with within(span.begin(LINK, {"towards": asks[0].target.node, "bytes": size})):
            return await self._call(asks, image, deadline_s)

    async def _call(
        self, asks: tuple[Ask, ...], image: Image, deadline_s: float | None
    ) -> list[AskOutcome]:
        refusal = self.room(asks)
        if refusal is not None:
            try:
                raise refusal
            finally:
                del refusal  # which holds this frame, and with it the picture (`raise_first`)
        clock, pacer = self._clock, self._pacer
        size = image.nbytes + QUERY_OVERHEAD_BYTES
        called_s = clock()
        begins_s = pacer.begins_s(called_s)
        turn = self._turn(begins_s, pacer.reserve(called_s, size, deadline_s), size)
        up_s = down_s = 0.0
        self._in_flight += 1
        self._in_flight_bytes += size
        sent = False

        def note_sent() -> None:
            nonlocal sent
            sent = True
            has_left_s = clock() + turn.wire_s - turn.on_the_way_s
            pacer.note_sent(size, called_s, has_left_s)
            self._on_sent(up_s, size)

        try:
            await self._leave(turn, deadline_s)
            span = active_span()
            if span is not None:
                span.add("bandwidth", called_s, turn.left_s)
            up_s = turn.left_s - called_s + turn.on_the_way_s
            if deadline_s is None:
                outcomes = await self._transport.exchange(asks, image, None, note_sent)
            else:
                latest_s = deadline_s - (pacer.rtt_s + pacer.jitter.most_s) / 2
                async with asyncio.timeout(max(0.0, deadline_s - clock())):
                    outcomes = await self._transport.exchange(asks, image, latest_s, note_sent)
            down_s = pacer.rtt_s / 2 + pacer.jitter.down_s()
            if down_s:
                await self._sleep(down_s)
        except TimeoutError:
            raise RefusedError(RefusalReason.DEADLINE, "the deadline passed on the link") from None
        finally:
            if not sent:
                took_s = turn.left_s - turn.begins_s
                pacer.give_back(clock(), took_s, turn.left_s)
            self._in_flight -= 1
            self._in_flight_bytes -= size
        link_s = up_s + down_s
        now_s = clock()
        beyond_s = [_beyond_s(outcome) for outcome in outcomes]
        answered = True
        for ask, outcome in zip(asks, outcomes, strict=True):
            if isinstance(outcome, RefusedError):
                self._backoff.note(ask.target.node, outcome, now_s)
                answered = False
        if answered:
            self._round_trips_s.append(max(0.0, now_s - turn.left_s - max(beyond_s)))
        if self._wire_bytes_per_s == math.inf:
            return [_over(outcome, link_s) for outcome in outcomes]
        spent_s = now_s - called_s
        link_s_each = [max(0.0, spent_s - each_s) for each_s in beyond_s]
        return list(map(_over, outcomes, link_s_each))

    async def probe(self, size_bytes: int) -> ProbeTimes:
        """Send so many bytes for nobody, which have their turn among the queries. Raises
        `RefusedError` if the link does not take them, or nothing comes back."""
        refusal = self._transport.refusal() or self._pacer.refusal(self._clock())
        if refusal is not None:
            raise refusal
        called_s = self._clock()
        begins_s = self._pacer.begins_s(called_s)
        turn = self._turn(begins_s, self._pacer.reserve(called_s, size_bytes), size_bytes)
        sent_bytes = 0

        def note_sent() -> None:
            nonlocal sent_bytes
            has_left_s = self._clock() + turn.wire_s - turn.on_the_way_s
            self._pacer.note_sent(size_bytes, called_s, has_left_s)
            sent_bytes = self._pacer.sent_bytes

        try:
            await self._leave(turn, None)
            arrived_s = await self._transport.probe(size_bytes, note_sent)
        finally:
            if not sent_bytes:
                self._pacer.give_back(self._clock(), turn.left_s - turn.begins_s, turn.left_s)
        await self._sleep(self._pacer.rtt_s / 2 + self._pacer.jitter.down_s())
        return ProbeTimes(arrived_s, self._clock() - called_s, sent_bytes)

    def change(self, condition: LinkCondition) -> None:
        """Let the link be as `condition` says from now on. What waits for bandwidth leaves later
        or earlier with it; what waits for a link that is cut now need not wait to be told."""
        self._transport.change(condition)
        self._condition = condition
        self._pacer.rtt_s = self._stated_rtt_s if condition.rtt_s is None else condition.rtt_s
        self._round_trips_s.clear()
        self._change_capacity()

    def begin_trace(self) -> None:
        """Let what was recorded of the link begin now; nothing where nothing was."""
        if isinstance(self._stated, TracedCapacity):
            self._stated = self._stated.begun_at(self._clock())
            self._change_capacity()

    @property
    def condition(self) -> LinkCondition:
        """What has happened to the link."""
        return self._condition

    def _change_capacity(self) -> None:
        condition = self._condition
        given = condition.bytes_per_s
        capacity = self._stated if given is None else SteadyCapacity(given)
        if not condition.is_cut and condition.share != 1.0:
            capacity = capacity.times(condition.share)
        moved = self._pacer.change_capacity(capacity, self._clock())
        for turn in self._turns:
            turn.begins_s, turn.left_s = moved(turn.begins_s), moved(turn.left_s)
            turn.moved = True
            if turn.sleep is not None:
                _wake(turn.sleep)

    def _turn(self, begins_s: float, left_s: float, size_bytes: int) -> _Turn:
        on_the_way_s = self._pacer.rtt_s / 2 + self._pacer.jitter.up_s(left_s)
        return _Turn(begins_s, left_s, on_the_way_s, size_bytes / self._wire_bytes_per_s)

    async def _leave(self, turn: _Turn, deadline_s: float | None) -> None:
        """Wait until a message of that turn is at the far side, or may be given to the wire that
        takes it there. Raises `TimeoutError` at its
        deadline, if the link was slowed so much meanwhile."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        self._turns.add(turn)
        try:
            while True:
                turn.moved = False
                there_s = turn.left_s - turn.wire_s + turn.on_the_way_s
                until_s = there_s if deadline_s is None else min(there_s, deadline_s)
                sleep = turn.sleep = loop.create_future()
                timer = loop.call_later(max(0.0, until_s - self._clock()), _wake, sleep)
                try:
                    await sleep
                except BaseException:
                    timer.cancel()
                    raise
                if turn.moved:
                    timer.cancel()
                    continue
                if until_s < there_s:
                    raise TimeoutError
                return
        finally:
            self._turns.discard(turn)

    def prepare(self) -> None:
        """Connect now, so that the first query need not wait for it."""
        self._transport.prepare()

    def close(self) -> None:
        """End the connection; queries in flight are refused."""
        self._transport.close()


def _over(outcome: AskOutcome, link_s: float) -> AskOutcome:
    """What came back, with the seconds that this link took."""
    if isinstance(outcome, RefusedError):
        return outcome
    return made(AskReply, (outcome.target, outcome.served, outcome.link_s + link_s, None, None))


def _beyond_s(outcome: AskOutcome) -> float:
    """The seconds that a query spent beyond the link, by what the nodes there counted. What is left
    of its time was measured here, and has the answer's way back in it."""
    if isinstance(outcome, RefusedError):
        return 0.0
    waits = (each.queue_s + each.batch_wait_s + each.compute_s for each in outcome.served.values())
    return outcome.link_s + max(waits, default=0.0)


def _wake(sleep: asyncio.Future[None]) -> None:
    if not sleep.done():
        sleep.set_result(None)
