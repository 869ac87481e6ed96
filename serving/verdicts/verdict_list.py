"""Verdicts as they are passed: an error against its tolerance, and the cause of what fails."""

from __future__ import annotations

from cluster.topology import Topology
from serving.verdicts.causes import Evidence
from serving.verdicts.tolerances import EMULATED, OWN, Tolerance
from serving.verdicts.verdict import Held, Quantity, Source, Verdict

__all__ = ["VerdictList"]

UNKNOWN_MARGIN = 1e9
"""stands for an infinite one, which JSON does not have"""


class VerdictList:
    """The verdicts on one system so far, judged by one body of evidence."""

    def __init__(self, topology: Topology, evidence: Evidence) -> None:
        emulated = all(node.emulated is not None for node in topology.nodes)
        self._tolerances = EMULATED if emulated else OWN
        self._evidence = evidence
        self.verdicts: list[Verdict] = []

    def add(
        self,
        quantity: Quantity,
        where: str,
        source: Source,
        predicted: float,
        measured: float,
        unit: str,
        margin: float,
        places: tuple[str, ...] = (),
    ) -> None:
        """One more; `margin` is of `measured`, in its unit. `places` are the nodes and links that
        it is about, none for the whole system."""
        tolerance = self._tolerances[quantity]
        off = error = measured - predicted
        if tolerance.relative:
            scale = predicted if predicted > 0 else 1.0
            error, margin = error / scale, margin / scale
        held = _held(error, margin, tolerance)
        failed = held is Held.NO
        self.verdicts.append(
            Verdict(
                quantity=quantity,
                where=where,
                source=source,
                predicted=predicted,
                measured=measured,
                unit=unit,
                error=error,
                relative=tolerance.relative,
                tolerance=tolerance.value,
                margin=min(margin, UNKNOWN_MARGIN),
                held=held,
                cause=self._evidence.cause_of(quantity, source, off, places) if failed else "",
            )
        )


def _held(error: float, margin: float, tolerance: Tolerance) -> Held:
    size = -error if tolerance.only_below else abs(error)
    if size <= tolerance.value:
        return Held.YES
    return Held.NO if size - margin > tolerance.value else Held.UNSURE
