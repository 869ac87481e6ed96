"""An uplink's budget, held in time: how long bytes wait for bandwidth (F7), and the round trip."""

from __future__ import annotations

from dataclasses import dataclass

from serving.errors import RefusalReason, RefusedError

__all__ = ["LinkPacer"]


@dataclass
class LinkPacer:
    """A link that sends one byte after another at `bandwidth_bytes_per_s`.

    `reserve` says when a message will have left; a backlog over `max_backlog_s` is refused, so a
    link that is too small pushes back instead of growing a queue.
    """

    bandwidth_bytes_per_s: float
    rtt_s: float
    max_backlog_s: float
    sent_bytes: int = 0
    free_at_s: float = 0.0

    def check(self, now_s: float) -> None:
        """Raise the `RefusedError` that a message would meet at `now_s`."""
        excess_s = self.free_at_s - now_s - self.max_backlog_s
        if excess_s > 0:
            raise RefusedError(RefusalReason.LINK_FULL, "the uplink's backlog is full", excess_s)

    def reserve(self, now_s: float, size_bytes: int, deadline_s: float | None = None) -> float:
        """The time at which `size_bytes` will have left.

        Raises `RefusedError`, and takes nothing, if the backlog is full or the round trip alone
        would end after `deadline_s`.
        """
        self.check(now_s)
        left_s = max(now_s, self.free_at_s) + size_bytes / self.bandwidth_bytes_per_s
        if deadline_s is not None and left_s + self.rtt_s > deadline_s:
            late_s = left_s + self.rtt_s - deadline_s
            message = f"the link alone would take {late_s:.3f} s longer than the query's deadline"
            raise RefusedError(RefusalReason.DEADLINE, message, late_s)
        self.free_at_s = left_s
        self.sent_bytes += size_bytes
        return left_s
