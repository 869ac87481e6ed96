"""What of a link is there now, where something has happened to it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LinkCondition"]


@dataclass(frozen=True, slots=True)
class LinkCondition:
    """A link as the topology has it, unless a field says otherwise."""

    share: float = 1.0
    """of its bandwidth; 0 cuts it, which closes its connections"""
    silent: bool = False
    """half-open: what is sent vanishes, and connections stay open at both ends"""

    @property
    def is_cut(self) -> bool:
        """Whether it is known that nothing can cross it."""
        return self.share <= 0

    def __str__(self) -> str:
        if self.is_cut:
            return "cut"
        return "silent" if self.silent else f"at {self.share:g} of its bandwidth"
