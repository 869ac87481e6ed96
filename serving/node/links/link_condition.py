"""What of a link is there now, where something has happened to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["LinkCondition"]


@dataclass(frozen=True, slots=True)
class LinkCondition:
    """A link as the topology has it, unless a field says otherwise."""

    share: float = 1.0
    """of its bandwidth; 0 cuts it, which closes its connections"""
    silent: bool = False
    """half-open: what is sent vanishes, and connections stay open at both ends"""
    bytes_per_s: float | None = None
    """that it carries instead of the topology's bandwidth or trace; `share` is of it, then"""
    rtt_s: float | None = None
    """its round trip instead of the topology's"""

    @property
    def is_as_stated(self) -> bool:
        """Whether nothing has happened to it."""
        return self == LinkCondition()

    @property
    def is_cut(self) -> bool:
        """Whether it is known that nothing can cross it."""
        return self.share <= 0

    def over(self, lasting: LinkCondition) -> LinkCondition:
        """This for a moment, on a link that was set to `lasting`: a cut one stays cut."""
        share = lasting.share * self.share
        return replace(lasting, share=share, silent=self.silent or lasting.silent)

    def __str__(self) -> str:
        if self.is_cut:
            return "cut"
        if self.silent:
            return "silent"
        words = []
        if self.bytes_per_s is not None:
            words.append(f"at {self.bytes_per_s * self.share / 1e3:g} KB/s")
        elif self.share != 1.0:
            words.append(f"at {self.share:g} of its bandwidth")
        if self.rtt_s is not None:
            words.append(f"with a round trip of {self.rtt_s * 1e3:g} ms")
        return " ".join(words) or "as the topology has it"
