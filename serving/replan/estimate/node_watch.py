"""Which nodes count as there: those that answer, unless they come and go.

A node that comes back is planned for at once, but one that came back `FLAPS` times within
`FLAP_WINDOW_S` is left out for `FIRST_HOLD_S`, and twice as long each time that happens again:
every return would cost a change of plan, and the next absence another.
"""

from __future__ import annotations

from collections.abc import Collection

from pydantic import Field

from cluster.document import FrozenModel

__all__ = ["NodeWatch"]

FLAPS = 2
FLAP_WINDOW_S = 180.0
FIRST_HOLD_S = 30.0
LONGEST_HOLD_S = 1800.0


class _Presence(FrozenModel):
    """One node's comings and goings; times are of the caller's clock."""

    answers: bool = True
    returned_s: tuple[float, ...] = ()
    """when it came back, the last `FLAP_WINDOW_S` only"""
    held_until_s: float = 0.0
    hold_s: float = 0.0
    """length of its latest hold; 0 if it had none"""

    def after(self, answers: bool, now_s: float) -> _Presence:
        if not answers or self.answers:
            calm = now_s >= self.held_until_s + FLAP_WINDOW_S
            return self.model_copy(
                update={"answers": answers, "hold_s": 0.0 if calm else self.hold_s}
            )
        returned_s = (*(t for t in self.returned_s if now_s - t < FLAP_WINDOW_S), now_s)
        if len(returned_s) < FLAPS:
            return self.model_copy(update={"answers": True, "returned_s": returned_s})
        hold_s = min(2.0 * self.hold_s, LONGEST_HOLD_S) if self.hold_s else FIRST_HOLD_S
        return _Presence(answers=True, held_until_s=now_s + hold_s, hold_s=hold_s)

    def counts(self, now_s: float) -> bool:
        # A hold with more to come than its whole length is of the clock of an earlier boot.
        held = 0.0 < self.held_until_s - now_s < self.hold_s + 1.0
        return self.answers and not held


class NodeWatch(FrozenModel):
    """The presence of every node that was ever asked for."""

    nodes: dict[str, _Presence] = Field(default_factory=dict)

    def after(self, asked: Collection[str], answered: Collection[str], now_s: float) -> NodeWatch:
        """With one more look, at which the `asked` nodes were asked and some `answered`."""
        return NodeWatch(
            nodes={
                name: self.nodes.get(name, _Presence()).after(name in answered, now_s)
                for name in asked
            }
        )

    def absent(self, now_s: float) -> tuple[str, ...]:
        """Nodes that do not answer, or came and went too often of late, by name."""
        return tuple(sorted(n for n, seen in self.nodes.items() if not seen.counts(now_s)))
