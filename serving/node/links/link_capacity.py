"""How many bytes leave on a link between two times, and when so many will have left.

Pure functions of time, exact for capacities that are constant in steps; the pacer of a running node
and that of a simulated one ask the same. Axes: k = step.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Protocol

import numpy as np

from cluster.link_trace import LinkTrace

__all__ = ["LinkCapacity", "SteadyCapacity", "TracedCapacity"]


class LinkCapacity(Protocol):
    """What a link carries while something waits to be sent. Times are on the link's clock."""

    def carried_bytes(self, begin_s: float, end_s: float) -> float:
        """Bytes that leave between two times; 0 where the second is not after the first."""
        ...

    def left_s(self, begin_s: float, size_bytes: float) -> float:
        """The first time at which `size_bytes` have left, the first of them not before
        `begin_s`."""
        ...

    def times(self, share: float) -> LinkCapacity:
        """The same link with so many times its capacity; `share` is above 0."""
        ...

    def rate_bytes_per_s(self, at_s: float) -> float:
        """What it carries at a time."""
        ...


class SteadyCapacity:
    """`bytes_per_s` at all times."""

    __slots__ = ("bytes_per_s",)

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s

    def carried_bytes(self, begin_s: float, end_s: float) -> float:
        """See `LinkCapacity`."""
        return max(0.0, end_s - begin_s) * self.bytes_per_s

    def left_s(self, begin_s: float, size_bytes: float) -> float:
        """See `LinkCapacity`."""
        return begin_s + size_bytes / self.bytes_per_s

    def times(self, share: float) -> SteadyCapacity:
        """See `LinkCapacity`."""
        return SteadyCapacity(self.bytes_per_s * share)

    def rate_bytes_per_s(self, at_s: float) -> float:
        """See `LinkCapacity`."""
        return self.bytes_per_s


class TracedCapacity:
    """The capacity of `trace`, which stands at `shift_s` when the link's clock shows `began_s`, and
    begins again where it ends. What was before `began_s` is as if it had run then, too."""

    __slots__ = ("_ends_bytes", "_length_s", "_loop_bytes", "_origin_s", "_rates", "_shift_s",
                 "_starts_s", "_trace")  # fmt: skip

    def __init__(self, trace: LinkTrace, began_s: float = 0.0, shift_s: float = 0.0) -> None:
        self._trace = trace
        self._origin_s = began_s - shift_s
        self._shift_s = shift_s
        self._length_s = trace.length_s
        carried_k = trace.bytes_per_s_k * np.diff(trace.starts_s_k, append=trace.length_s)
        # Lists: one number at a time is found in them three times as fast as in arrays.
        self._ends_bytes: list[float] = np.cumsum(carried_k).tolist()
        self._rates: list[float] = trace.bytes_per_s_k.tolist()
        self._starts_s: list[float] = trace.starts_s_k.tolist()
        self._loop_bytes: float = self._ends_bytes[-1]

    def carried_bytes(self, begin_s: float, end_s: float) -> float:
        """See `LinkCapacity`."""
        return self._since_origin(end_s) - self._since_origin(begin_s) if end_s > begin_s else 0.0

    def left_s(self, begin_s: float, size_bytes: float) -> float:
        """See `LinkCapacity`: after a stretch without capacity only if a byte needs it."""
        if size_bytes <= 0:
            return begin_s
        goal = self._since_origin(begin_s) + size_bytes
        loops, rest = divmod(goal, self._loop_bytes)
        if rest == 0.0:  # with the last byte of a loop, which may end before its time does
            loops, rest = loops - 1, self._loop_bytes
        k = bisect_left(self._ends_bytes, rest)
        k = min(k, len(self._rates) - 1)
        while self._rates[k] <= 0.0:  # a rounding error past the last byte
            k -= 1
        before = self._ends_bytes[k - 1] if k else 0.0
        in_loop_s = self._starts_s[k] + (rest - before) / self._rates[k]
        return max(begin_s, self._origin_s + loops * self._length_s + in_loop_s)

    def times(self, share: float) -> TracedCapacity:
        """See `LinkCapacity`."""
        began_s = self._origin_s + self._shift_s
        return TracedCapacity(self._trace.scaled(share), began_s, self._shift_s)

    def begun_at(self, began_s: float) -> TracedCapacity:
        """The same, which begins at another time where it began."""
        return TracedCapacity(self._trace, began_s, self._shift_s)

    def rate_bytes_per_s(self, at_s: float) -> float:
        """See `LinkCapacity`."""
        return self._rates[self._step((at_s - self._origin_s) % self._length_s)]

    def _since_origin(self, at_s: float) -> float:
        loops, in_loop_s = divmod(at_s - self._origin_s, self._length_s)
        k = self._step(in_loop_s)
        before = self._ends_bytes[k - 1] if k else 0.0
        carried = before + self._rates[k] * (in_loop_s - self._starts_s[k])
        return loops * self._loop_bytes + carried

    def _step(self, in_loop_s: float) -> int:
        return bisect_right(self._starts_s, in_loop_s) - 1
