"""An uplink's budget, held in time: how long bytes wait for bandwidth (F7), and the round trip."""

from __future__ import annotations

from dataclasses import dataclass

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

    def reserve(self, now_s: float, size_bytes: int) -> float | None:
        """The time at which `size_bytes` will have left, or None if the backlog is full."""
        start_s = max(now_s, self.free_at_s)
        if start_s - now_s > self.max_backlog_s:
            return None
        self.free_at_s = start_s + size_bytes / self.bandwidth_bytes_per_s
        self.sent_bytes += size_bytes
        return self.free_at_s
