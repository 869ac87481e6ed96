"""An uplink's budget, held in time: how long bytes wait for bandwidth (F7), and the round trip."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.topology import Link, Node
from serving.errors import RefusalReason, RefusedError
from serving.node.device.admission_margin import AdmissionMargin
from serving.node.links.link_capacity import LinkCapacity, SteadyCapacity, TracedCapacity

__all__ = ["Jitter", "LinkPacer", "pacer_of"]

RETREAT, ADVANCE = 0.9, 0.001
"""of the backlog that is taken, at each answer that was late, and at each that was not: it settles
where one answer in a hundred is late"""
LEAST_BACKLOG = 0.1
"""the part of `max_backlog_s` that is always taken"""


class Jitter:
    """What a message takes beyond half a round trip, each way: up to half of `most_s`, uniformly
    at random by `seed`. On the way up no message overtakes another, as on a TCP connection."""

    def __init__(self, most_s: float, seed: str = "") -> None:
        self.most_s = most_s
        self._draw = random.Random(seed)
        self._there_s = 0.0

    def up_s(self, left_s: float) -> float:
        """Of the next message, which has left at `left_s`."""
        if self.most_s <= 0:
            return 0.0
        extra_s = max(self._draw.uniform(0.0, self.most_s / 2), self._there_s - left_s)
        self._there_s = left_s + extra_s
        return extra_s

    def down_s(self) -> float:
        """Of an answer."""
        return self._draw.uniform(0.0, self.most_s / 2) if self.most_s > 0 else 0.0


@dataclass
class LinkPacer:
    """A link that sends one byte after another, as fast as its `capacity` is then.

    `reserve` says when a message will have left; a backlog over `max_backlog_s` is refused, so a
    link that is too small pushes back instead of growing a queue. A message that was sent after
    all counts with `note_sent`; what was reserved for one that was not goes back with `give_back`.

    Where answers come later than promised, less backlog is taken (`answered`). The wait for a link
    is no part of a promise, and how much of it there is room for depends on how full the windows of
    the node above are, which is not seen here.
    """

    capacity: LinkCapacity
    rtt_s: float
    max_backlog_s: float
    jitter: Jitter = field(default_factory=lambda: Jitter(0.0))
    sent_bytes: int = 0
    busy_s: float = 0.0
    """for which a message that was sent was next, or on its way"""
    last_sent_s: float = 0.0
    free_at_s: float = 0.0
    margin: AdmissionMargin = field(
        default_factory=lambda: AdmissionMargin(
            most=1.0, least=LEAST_BACKLOG, retreat=RETREAT, advance=ADVANCE
        )
    )

    @property
    def limit_s(self) -> float:
        """The backlog beyond which messages are refused now."""
        return self.max_backlog_s * self.margin.share

    def answered(self, spent_s: float, promised_s: float) -> None:
        """Take in that a query which went up this link had its answer `spent_s` after it came."""
        self.margin.observe(spent_s, promised_s)

    def backlog_share(self, now_s: float) -> float:
        """Backlog / what it may be."""
        backlog_s = max(0.0, self.free_at_s - now_s)
        return backlog_s / self.limit_s if self.limit_s > 0 else 1.0

    def check(self, now_s: float) -> None:
        """Raise the `RefusedError` that a message would meet at `now_s`."""
        refusal = self.refusal(now_s)
        if refusal is not None:
            raise refusal

    def refusal(self, now_s: float) -> RefusedError | None:
        """What a message would be refused with at `now_s`; None if it would be taken."""
        excess_s = self.free_at_s - now_s - self.max_backlog_s * self.margin.share
        if excess_s <= 0:
            return None
        return RefusedError(RefusalReason.LINK_FULL, "the uplink's backlog is full", excess_s)

    def begins_s(self, now_s: float) -> float:
        """When a message that is there at `now_s` begins to leave."""
        return max(now_s, self.free_at_s)

    def reserve(self, now_s: float, size_bytes: int, deadline_s: float | None = None) -> float:
        """The time at which `size_bytes` will have left.

        Raises `RefusedError`, and takes nothing, if the backlog is full or the round trip alone
        would end after `deadline_s`.
        """
        self.check(now_s)
        left_s = self.capacity.left_s(max(now_s, self.free_at_s), size_bytes)
        if deadline_s is not None and left_s + self.rtt_s > deadline_s:
            late_s = left_s + self.rtt_s - deadline_s
            message = f"the link alone would take {late_s:.3f} s longer than the query's deadline"
            raise RefusedError(RefusalReason.DEADLINE, message, late_s)
        self.free_at_s = left_s
        return left_s

    def note_sent(self, size_bytes: int, called_s: float, left_s: float) -> None:
        """Count a message that went over the link: it was there to be sent from `called_s` on, and
        had left at `left_s`. So `sent_bytes` / `busy_s` is the bandwidth that was there."""
        last_s = self.last_sent_s
        self.sent_bytes += size_bytes
        self.busy_s += max(0.0, left_s - (called_s if called_s > last_s else last_s))
        if left_s > last_s:
            self.last_sent_s = left_s

    def change_capacity(self, capacity: LinkCapacity, now_s: float) -> Callable[[float], float]:
        """Carry so much from now on; returns where times of messages move that are still to come.

        Example: a link is slowed to a tenth when 2 s of its backlog are left, which take 20 s then.
        """
        former, self.capacity = self.capacity, capacity

        def moved(time_s: float) -> float:
            if time_s <= now_s:
                return time_s
            return capacity.left_s(now_s, former.carried_bytes(now_s, time_s))

        self.free_at_s = moved(self.free_at_s)
        return moved

    def give_back(self, now_s: float, took_s: float, left_s: float) -> None:
        """Free what is still to come of the `took_s` that were reserved for a message until
        `left_s`: its caller has gone, or it found nobody at the far end.

        Messages behind it keep their times. For example 2 of 3 messages that take 1 s each wait
        when the first is cancelled: they leave at 2 s and 3 s as they were told, and the next one
        at 3 s instead of 4 s.
        """
        begun_s = max(now_s, left_s - took_s)
        if left_s <= begun_s or self.free_at_s <= now_s:
            return
        backlog = self.capacity.carried_bytes(now_s, self.free_at_s)
        freed = self.capacity.carried_bytes(begun_s, left_s)
        self.free_at_s = self.capacity.left_s(now_s, max(0.0, backlog - freed))


def pacer_of(link: Link, node: Node, began_s: float = 0.0) -> LinkPacer:
    """The budget of `link` at its lower end `node`: a backlog of one window is let wait (F7). What
    was recorded of it begins at `began_s`, on the link's clock."""
    capacity: LinkCapacity = SteadyCapacity(link.bytes_per_s)
    if link.recorded is not None and link.trace is not None:
        capacity = TracedCapacity(link.recorded, began_s, link.trace.shift_s)
    jitter = Jitter(link.jitter_s or 0.0, link.name)
    return LinkPacer(capacity, link.rtt_s, max_backlog_s=node.window_s, jitter=jitter)
