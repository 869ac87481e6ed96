"""The demo's claims: each has its figure, and fails when the figure says so."""

from __future__ import annotations

from typing import Any

import pytest

from serving.report.claims import Claim, demo_claims
from serving.report.report import Report
from support.synthetic_run import Synthetic


def claim(report: Report, words: str) -> Claim:
    (found,) = [each for each in demo_claims(report, "baj3o") if words in each.words]
    return found


def changed(report: Report, **measured: Any) -> Report:
    return report.model_copy(
        update={"measured": report.measured.model_copy(update=measured)}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "broken"),
    [
        ("answered or refused", {"errors": 1}),
        ("within the promised bound", {"deadline_met_share": 0.949}),
        ("accuracy as predicted", {"accuracy": 0.1}),
    ],
)
def test_a_claim_fails_when_its_figure_says_so(
    made: Synthetic, words: str, broken: dict[str, Any]
) -> None:
    whole = changed(
        made.report,
        errors=0, deadline_met_share=0.95, accuracy=made.report.predicted.accuracy + 0.029,
    )  # fmt: skip
    assert claim(whole, words).holds
    assert not claim(changed(whole, **broken), words).holds


def test_refusals_are_shown_beside_errors_also_while_plans_change(made: Synthetic) -> None:
    report = made.report
    assert report.live is not None
    for words, run in (
        ("answered or refused", report.measured), ("while plans change", report.live.live)
    ):  # fmt: skip
        assert run.shed > 0
        assert claim(report, words).figure == (
            f"{run.errors} errors, {run.shed} of {run.queries} refused"
        )
