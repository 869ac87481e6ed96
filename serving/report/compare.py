"""Several policies on the same traffic, ranked by the accuracy that came back.

The measure is *accuracy x answered share*: the mean score of the answered queries times the share
of queries that were answered. That product is the sum of scores over all sent queries, so a
refused or failed query counts 0, as in F1, and it is the column `accuracy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from rich.table import Table

from cluster.document import Document, FrozenModel
from cluster.provenance import Provenance
from planner.certificate import Certificate, EvaluationSummary
from serving.traffic.summary import LatencyS, RunSummary

__all__ = [
    "Comparison", "PairedDifference", "PolicyRow", "comparison_rows", "comparison_tables",
    "policy_row", "rank",
]  # fmt: skip


class PairedDifference(FrozenModel):
    """Accuracy x answered less another policy's on the same traffic, with its 95 % interval."""

    to: str = Field(description="the other policy")
    value: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """Whether it is better or worse, which is said only where the interval says so."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no clear difference"


class PolicyRow(FrozenModel):
    """One policy: what its plan promised and what came back under it."""

    policy: str
    predicted_objective: float
    accuracy: float
    """accuracy of answered x answered share = sum of scores / sent queries"""
    accuracy_interval: tuple[float, float]
    accuracy_of_answered: float | None = None
    answered_share: float
    latency_s: LatencyS | None = None
    deadline_met_share: float | None = None
    upper_bound: float | None = None
    gap: float | None = None
    queries: int
    answered: int
    shed: int
    errors: int
    to_best: PairedDifference | None = None
    """absent for the most accurate policy, and where it was not worked out"""


class Comparison(Document):
    """`comparison.json`: several policies on the same traffic, and where the rows of each are."""

    policies: tuple[PolicyRow, ...]
    """the best first"""
    measurements: dict[str, str] = Field(
        description="policy -> its measurements, from the folder of this file"
    )
    repetitions: int = Field(ge=1, description="runs of each policy, whose rows are pooled")
    provenance: Provenance


def policy_row(
    policy: str,
    predicted: EvaluationSummary,
    measured: RunSummary,
    certificate: Certificate | None = None,
) -> PolicyRow:
    """The row of one policy."""
    return PolicyRow(
        policy=policy,
        predicted_objective=predicted.objective,
        accuracy=measured.accuracy,
        accuracy_interval=measured.accuracy_interval,
        accuracy_of_answered=measured.accuracy_of_answered,
        answered_share=measured.answered_share,
        latency_s=measured.latency_s,
        deadline_met_share=measured.deadline_met_share,
        upper_bound=certificate.upper_bound if certificate else None,
        gap=certificate.gap if certificate else None,
        queries=measured.queries,
        answered=measured.answered,
        shed=measured.shed,
        errors=measured.errors,
    )


def rank(rows: Sequence[PolicyRow]) -> list[PolicyRow]:
    """Best measured accuracy over sent queries first; ties by the better p95, then by name."""

    def order(row: PolicyRow) -> tuple[float, float, str]:
        p95_s = row.latency_s.p95 if row.latency_s else float("inf")
        return (-row.accuracy, p95_s, row.policy)

    return sorted(rows, key=order)


def comparison_rows(rows: Sequence[PolicyRow]) -> list[dict[str, Any]]:
    """The ranked rows as plain data for `--json`."""
    return [row.model_dump(mode="json") for row in rank(rows)]


def comparison_tables(
    rows: Sequence[PolicyRow], title: str = "Policies on the same traffic"
) -> tuple[Table, Table]:
    """The ranked rows for people: accuracy, and below it what 80 columns have no more room for."""
    first = Table(title=title, caption="accuracy = accuracy of answered × answered share")
    second = Table(caption="to the best: in accuracy, with 95 % interval; ? where it has 0 in it")
    for table, headings in (
        (first, ("promised", "gap", "accuracy", "of answered", "answered", "in time")),
        (second, ("to the best", "p50 ms", "p95 ms", "p99 ms")),
    ):
        table.add_column("policy")
        for heading in headings:
            table.add_column(heading, justify="right")
    for position, row in enumerate(rank(rows)):
        style = "bold" if position == 0 else None
        first.add_row(
            row.policy,
            f"{row.predicted_objective:.3f}",
            _percent(row.gap),
            f"{row.accuracy:.3f}",
            _number(row.accuracy_of_answered),
            f"{row.answered_share:.1%}",
            _percent(row.deadline_met_share),
            style=style,
        )
        milliseconds = (_milliseconds(row.latency_s, name) for name in ("p50", "p95", "p99"))
        second.add_row(row.policy, _difference(row.to_best), *milliseconds, style=style)
    return first, second


def _difference(found: PairedDifference | None) -> str:
    if found is None:
        return "–"
    unsure = " ?" if found.words == "no clear difference" else ""
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f}){unsure}"


def _milliseconds(latency: LatencyS | None, name: str) -> str:
    return f"{getattr(latency, name) * 1e3:.0f}" if latency else "–"


def _number(value: float | None) -> str:
    return f"{value:.3f}" if value is not None else "–"


def _percent(value: float | None) -> str:
    return f"{value:.1%}" if value is not None else "–"
