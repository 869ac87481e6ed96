"""What the demo claims, and what its report says of each claim."""

from __future__ import annotations

from typing import NamedTuple

from serving.report.compare import rank
from serving.report.report import Report
from serving.traffic.summary import RunSummary

__all__ = ["Claim", "demo_claims"]


class Claim(NamedTuple):
    """A claim, the figure that it rests on, and whether it holds."""

    words: str
    figure: str
    holds: bool


def demo_claims(report: Report, chosen: str) -> list[Claim]:
    """The demo's claims; `chosen` is the policy whose run the report is about.

    A refusal is no failure, but whoever counts failures wants to know of refusals too: a system
    that refuses everything never fails. So both are shown.
    """
    measured, live = report.measured, report.live
    difference = measured.accuracy - report.predicted.accuracy
    met = measured.deadline_met_share or 0.0
    rows = rank(report.policies or ())
    best = rows[0].policy
    chosen_row = next((row for row in rows if row.policy == chosen), None)
    behind = chosen_row is None or (
        chosen_row.to_best is None or chosen_row.to_best.words == "worse"
    )
    claims = [
        Claim("every query answered or refused", _failures(measured), measured.errors == 0),
        Claim("answers within the promised bound, at least 95 %", f"{met:.1%}", met >= 0.95),
        Claim("accuracy as predicted, within 0.03", f"{difference:+.4f}", abs(difference) <= 0.03),
        Claim(
            f"no policy is clearly more accurate than {chosen}",
            f"{best} is the best",
            best == chosen or not behind,
        ),
    ]
    if live is not None:
        gain = live.gain_after_flip
        claims += [
            Claim("the live loop beats the frozen plan", f"{gain:+.3f}", gain > 0),
            Claim("no query fails while plans change", _failures(live.live), live.live.errors == 0),
        ]
    return claims


def _failures(run: RunSummary) -> str:
    return f"{run.errors} errors, {run.shed} of {run.queries} refused"
