"""The load generator of the serving benchmark: doors of any server, closed and open loops.

A door takes a ready request and gives the reply's bytes, so that every server is fed the fastest
encoding that it has and the generator spends as little as it can. The open loop is the testbed's
own (`serving.traffic.driver`): latency counts from when a query was due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import grpc
import numpy as np
from numpy.typing import NDArray

from cluster.demand import Phase
from http_door import CALL_TIMEOUT_S, DoorError
from serving.system import Answer, Outcome, Query
from serving.traffic.driver import drive
from serving.traffic.schedule import build_schedule

__all__ = [
    "Door",
    "GrpcDoor",
    "Load",
    "await_ready",
    "closed_loop",
    "join",
    "open_loop",
]

SEED = 1


class Door(Protocol):
    """Where a server takes queries: an asynchronous context that holds the connections."""

    bodies: Sequence[bytes]
    """requests ready to send, one an image"""

    async def call(self, body: bytes) -> bytes | None:
        """The reply, or None if the server refused the query. Raises `DoorError`."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None: ...


class GrpcDoor:
    """Unary calls of `method` (`/package.Service/Method`) with messages serialised beforehand."""

    def __init__(self, address: str, method: str, bodies: Sequence[bytes]) -> None:
        self.bodies = bodies
        self._address = address
        self._method = method

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address)
        self._call = self._channel.unary_unary(self._method)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def call(self, body: bytes) -> bytes | None:
        """The reply's message; None for RESOURCE_EXHAUSTED."""
        try:
            reply: bytes = await self._call(body, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return None
            raise DoorError(f"{self._address}: {error.code()}: {error.details()}") from None
        return reply


@dataclass(frozen=True)
class Load:
    """What a server did with what it was sent. Latencies in seconds, of answered queries only."""

    seconds: float
    sent: int
    latency_s: NDArray[np.float64]
    refused: int
    failed: int
    lateness_p99_s: float = 0.0
    """of the generator itself: when it sent, after when it should have"""

    @property
    def answered_qps(self) -> float:
        """Answers per second."""
        return len(self.latency_s) / self.seconds

    def within_qps(self, bound_s: float) -> float:
        """Answers per second that came within `bound_s`: the goodput."""
        return float((self.latency_s <= bound_s).sum()) / self.seconds

    def quantile_ms(self, quantile: float) -> float:
        """A quantile of the latency; infinite if nothing was answered."""
        return 1e3 * float(np.quantile(self.latency_s, quantile)) if len(self.latency_s) else np.inf


async def await_ready(door: Door, expected: bytes, timeout_s: float = 120.0) -> None:
    """Wait until the server answers image 0, and check that it answers rightly.

    Raises `DoorError` if it does not answer in time or its reply lacks the bytes `expected`.
    """
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            reply = await door.call(door.bodies[0])
        except DoorError as error:
            # Not there yet: servers answer with anything until their model is loaded.
            reply, reason = None, str(error)
        else:
            reason = "refused"
        if reply is not None:
            break
        if time.monotonic() > end_s:
            raise DoorError(f"no answer within {timeout_s:g} s; last: {reason[:300]}")
        await asyncio.sleep(0.2)
    if expected not in reply:
        raise DoorError("the server's prediction differs from the model's own")


async def closed_loop(door: Door, callers: int, seconds: float) -> Load:
    """`callers` callers, each with one query out."""
    latencies_s: list[float] = []
    refused = 0
    begun_s = time.perf_counter()
    end_s = begun_s + seconds

    async def caller(number: int) -> None:
        nonlocal refused
        body = door.bodies[number % len(door.bodies)]
        while (sent_s := time.perf_counter()) < end_s:
            if await door.call(body) is None:
                refused += 1
            else:
                latencies_s.append(time.perf_counter() - sent_s)

    await asyncio.gather(*(caller(number) for number in range(callers)))
    spent_s = time.perf_counter() - begun_s
    return Load(spent_s, len(latencies_s) + refused, np.array(latencies_s), refused, 0)


def join(loads: Sequence[Load]) -> Load:
    """Loads one after another as one."""
    return Load(
        sum(load.seconds for load in loads),
        sum(load.sent for load in loads),
        np.concatenate([load.latency_s for load in loads]),
        sum(load.refused for load in loads),
        sum(load.failed for load in loads),
        max(load.lateness_p99_s for load in loads),
    )


class _Sender:
    """A door as the open loop's `System`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def send(self, query: Query) -> Answer:
        reply = await self._door.call(query.body)
        return Answer(Outcome.SHED if reply is None else Outcome.ANSWERED)


async def open_loop(door: Door, rate_qps: float, seconds: float, drop_s: float = 0.5) -> Load:
    """Poisson arrivals at `rate_qps`; what was due in the first `drop_s` seconds is not counted.

    The schedule is a fixed one per rate and length, so that two servers see the same arrivals.
    """
    phase = Phase(duration_s=seconds + drop_s, rates_qps={"c": {"t": rate_qps}})
    schedule = build_schedule([phase], SEED, len(door.bodies))
    records = await drive(
        _Sender(door), schedule, door.bodies, clock=time.perf_counter, max_outstanding=8_192
    )
    kept = [record for record in records if record.scheduled_s >= drop_s]
    outcomes = [record.answer.outcome for record in kept]
    latency_s = [
        record.done_s - record.scheduled_s
        for record in kept
        if record.answer.outcome is Outcome.ANSWERED
    ]
    return Load(
        seconds, len(kept), np.array(latency_s),
        outcomes.count(Outcome.SHED), outcomes.count(Outcome.ERROR),
        float(np.quantile([record.sent_s - record.scheduled_s for record in kept], 0.99)),
    )  # fmt: skip
