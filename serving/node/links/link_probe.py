"""What a link is like now, measured by what goes over it: its bandwidth and its round trip.

Probes have their turn among the queries of the link. A few small ones give the round trip, the
least of which has waited for nobody. Larger ones, several of them under way so that the link is
never idle, give the bandwidth: all bytes that went over it, queries among them, from the arrival of
the first to that of the last, by the far node's clock alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from serving.errors import RefusalReason, RefusedError
from serving.node.links.uplink import ProbeTimes, Uplink

__all__ = ["LinkProbe", "ProbeLimits", "probe"]

PINGS = 5
PING_BYTES = 64
FEWEST_BYTES, LARGEST_BYTES = 2_000, 500_000
PARTS = 16
"""of what a measurement may cost, which are at least sent of it"""
MESSAGE_S = 0.05
"""of the link, as it seems so far, that a larger probe takes"""
BACKLOG_S = 0.1
"""that is kept for the link, so that it is never idle and queries find room"""
UNDER_WAY = 32
FEWEST = 3
"""larger probes, whatever they take: a bandwidth is told by what comes after the first"""
PAUSE_S = 0.005


@dataclass(frozen=True)
class ProbeLimits:
    """What a measurement may cost."""

    most_bytes: int = 2_000_000
    """of all probes; the three that are needed at least may be more, on a link that is slow"""
    most_s: float = 3.0
    """for which larger probes are sent"""
    silence_s: float = 10.0
    """after which it is given up"""


@dataclass(frozen=True)
class LinkProbe:
    """A measured link."""

    bytes_per_s: float = 0.0
    """0 where it could not be measured"""
    rtt_s: float = 0.0
    probe_bytes: int = 0
    """that were sent to measure it"""
    traffic_bytes: int = 0
    """of queries, while its bandwidth was measured"""
    fault: str = ""
    """why it could not be measured; empty if it could"""


async def probe(link: Uplink, limits: ProbeLimits) -> LinkProbe:
    """Measure `link` now. Where nothing comes back over it, the result says why."""
    sent = _Sent()
    try:
        async with asyncio.timeout(limits.most_s + limits.silence_s):
            rtt_s = min([(await _send(link, PING_BYTES, sent)).spent_s for _ in range(PINGS)])
            larger = await _send_larger(link, limits, sent)
    except RefusedError as refusal:
        return LinkProbe(probe_bytes=sent.size_bytes, fault=f"{refusal.reason}: {refusal.message}")
    except TimeoutError:
        waited_s = limits.most_s + limits.silence_s
        fault = f"it took more than {waited_s:g} s"
        return LinkProbe(probe_bytes=sent.size_bytes, fault=fault)
    first, last = larger[0], larger[-1]
    spent_s = last.arrived_s - first.arrived_s
    crossed = last.sent_bytes - first.sent_bytes
    if spent_s <= 0:
        return LinkProbe(probe_bytes=sent.size_bytes, fault="its probes arrived all at once")
    own = sent.larger_bytes - sent.first_bytes
    return LinkProbe(crossed / spent_s, rtt_s, sent.size_bytes, traffic_bytes=max(0, crossed - own))


@dataclass
class _Sent:
    size_bytes: int = 0
    larger_bytes: int = 0
    first_bytes: int = 0


async def _send_larger(link: Uplink, limits: ProbeLimits, sent: _Sent) -> list[ProbeTimes]:
    """Probes in the order in which they arrived."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + limits.most_s
    under_way: set[asyncio.Task[ProbeTimes]] = set()
    done: list[ProbeTimes] = []
    # As the link is stated; of the bytes that it may cost a small part, should it be slower.
    stated = min(link.rate_bytes_per_s * MESSAGE_S, limits.most_bytes / PARTS, LARGEST_BYTES)
    size, count = int(max(stated, FEWEST_BYTES)), 0
    try:
        while count < FEWEST or (loop.time() < ends_s and sent.larger_bytes < limits.most_bytes):
            under_way.add(asyncio.ensure_future(_send(link, size, sent)))
            sent.larger_bytes += size
            sent.first_bytes = sent.first_bytes or size
            count += 1
            await asyncio.sleep(0)  # until it has its turn
            while link.backlog_s > BACKLOG_S or len(under_way) >= UNDER_WAY:
                await asyncio.wait(under_way, timeout=PAUSE_S, return_when=asyncio.FIRST_COMPLETED)
                ended = {task for task in under_way if task.done()}
                under_way -= ended
                done += [task.result() for task in ended]
                if not under_way:
                    break
            size = _next_size(done, size)
        done += await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    return sorted(done, key=lambda times: times.arrived_s)


def _next_size(done: list[ProbeTimes], size: int) -> int:
    """Bytes that take `MESSAGE_S`, by the last two that arrived; twice as many at most."""
    if len(done) < 2:
        return size
    before, last = sorted(done, key=lambda times: times.arrived_s)[-2:]
    spent_s = last.arrived_s - before.arrived_s
    fits = (last.sent_bytes - before.sent_bytes) / spent_s * MESSAGE_S if spent_s > 0 else 2 * size
    return int(min(max(fits, FEWEST_BYTES), 2 * size, LARGEST_BYTES))


async def _send(link: Uplink, size_bytes: int, sent: _Sent) -> ProbeTimes:
    """A probe that waits until the link takes it."""
    while True:
        try:
            times = await link.probe(size_bytes)
        except RefusedError as refusal:
            if refusal.reason is not RefusalReason.LINK_FULL:
                raise
            await asyncio.sleep(max(PAUSE_S, refusal.retry_after_s))
        else:
            sent.size_bytes += size_bytes
            return times
