"""The demo's claims: each has its figure, and fails when the figure says so."""

from __future__ import annotations

from typing import Any

import pytest

from serving.report.claims import Claim, demo_claims
from serving.report.compare import PairedDifference
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


@pytest.mark.parametrize(("low", "high", "holds"), [(-0.03, -0.01, False), (-0.03, 0.01, True)])
def test_another_policy_is_better_only_where_the_interval_says_so(
    made: Synthetic, low: float, high: float, holds: bool
) -> None:
    assert made.report.policies is not None
    to_best = PairedDifference(to="random", value=-0.02, low=low, high=high)
    rows = tuple(
        row.model_copy(
            update={"accuracy": 0.9}
            if row.policy == "random"
            else {"accuracy": 0.5, "to_best": to_best}
        )
        for row in made.report.policies
    )
    found = claim(made.report.model_copy(update={"policies": rows}), "more accurate")
    assert found.figure == "random is the best"
    assert found.holds == holds
