"""How long a load may be expected to stay as it is: by how often it changed of late (F16).

Changes are taken to come at random, so many a second on average. With one change in `PRIOR_S`
seconds taken as seen before the first look, a load that was watched for T seconds with n changes
stays for (PRIOR_S + T) / (1 + n) more. Example: after 128 s in which the mix flipped every 16 s
that is 21 s, and two models that pay only after 30 s are not moved.
"""

from __future__ import annotations

from math import exp

from pydantic import Field

from cluster.document import FrozenModel

__all__ = ["Stay"]

PRIOR_S = 60.0
MEMORY_S = 300.0
"""over which changes are forgotten"""
SAME_CHANGE_S = 5.0
"""between two signs of a change that count as one: a mix and a volume that move together, say"""


class Stay(FrozenModel):
    """What one client's load has done."""

    watched_s: float = Field(default=0.0, ge=0)
    changes: float = Field(default=0.0, ge=0)
    calm_s: float = Field(default=SAME_CHANGE_S, ge=0)
    """since the latest sign of a change"""

    def after(self, spent_s: float, changed: bool) -> Stay:
        """With one more look, `spent_s` seconds after the one before."""
        kept, calm_s = exp(-spent_s / MEMORY_S), self.calm_s + spent_s
        another = changed and calm_s > SAME_CHANGE_S
        return Stay(
            watched_s=self.watched_s * kept + spent_s,
            changes=self.changes * kept + another,
            calm_s=0.0 if changed else calm_s,
        )

    @property
    def expected_s(self) -> float:
        """Seconds until the next change, on average."""
        return (PRIOR_S + self.watched_s) / (1.0 + self.changes)
