"""How much of the promised time admitted work may fill, corrected by what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AdmissionMargin"]


@dataclass
class AdmissionMargin:
    """A share of the promise, at `most` while answers keep it.

    Under overload the queue always stands where admission lets it stand: if estimates are too
    short by more than the margin, every answer comes too late. So each batch that was late takes
    the share down by the factor `retreat`, to `least` at the lowest, and each that was not lets
    it rise again by `advance`.
    """

    most: float
    least: float
    retreat: float
    advance: float = 0.01

    def __post_init__(self) -> None:
        self.share = self.most

    def observe(self, spent_s: float, promised_s: float) -> None:
        """Take in that a batch's oldest query was answered `spent_s` after it came."""
        if spent_s > promised_s:
            self.share = max(self.least, self.share * self.retreat)
        elif self.share != self.most:
            self.share = min(self.most, self.share + self.advance)
