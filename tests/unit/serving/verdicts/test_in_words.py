"""Verdicts for people: grouped, the worst first, with units."""

from __future__ import annotations

import pytest
from rich.console import Console

from serving.verdicts.in_words import (
    doubts_in_words,
    error_in_words,
    failures_in_words,
    group_verdicts,
    value_in_words,
    verdict_table,
)
from serving.verdicts.verdict import Held, Quantity, Source, Verdict, failed


def verdict(quantity: Quantity, where: str, error: float, held: Held, relative: bool) -> Verdict:
    return Verdict(
        quantity=quantity, where=where, source=Source.PLAN, predicted=0.5, measured=0.5 + error,
        unit="", error=error, relative=relative, tolerance=0.05, margin=0.01, held=held,
        cause="bursts" if held is Held.NO else "",
    )  # fmt: skip


BUSY = [
    verdict(Quantity.UTILIZATION, "a", 0.2, Held.UNSURE, False),
    verdict(Quantity.UTILIZATION, "b", 0.06, Held.NO, False),
    verdict(Quantity.UTILIZATION, "c", -0.01, Held.YES, False),
]


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0123, "s", "12.3 ms"), (1.5, "s", "1.5 s"), (84000.0, "bytes/s", "84 KB/s"),
        (0.7312, "", "0.731"), (3.25, "queries", "3.25 queries"),
    ],
)  # fmt: skip
def test_figures_have_units(value: float, unit: str, words: str) -> None:
    assert value_in_words(value, unit) == words


def test_errors_are_said_as_their_tolerance_is() -> None:
    assert error_in_words(BUSY[1]) == ("+0.060", "0.05")
    assert error_in_words(verdict(Quantity.IN_TIME, "", -0.2, Held.NO, True)) == ("-20.0%", "5%")


def test_what_fails_comes_before_what_is_unsure_however_far_off() -> None:
    (group,) = group_verdicts(BUSY)
    assert [each.where for each in group.verdicts] == ["b", "a", "c"]
    assert group.worst.where == "b"
    assert group.held == 1
    assert failed(BUSY) == [BUSY[1]]


def test_the_table_has_a_row_for_each_quantity_and_the_cause() -> None:
    console = Console(width=80, record=True)
    console.print(verdict_table([*BUSY, verdict(Quantity.ACCURACY, "", 0.0, Held.YES, False)]))
    text = console.export_text()
    assert "utilization" in text
    assert "1 of 3" in text
    assert "fails" in text
    assert "accuracy" in text
    assert max(map(len, text.splitlines())) <= 80
    assert failures_in_words(BUSY) == ["utilization (b) is off by +0.060 (within 0.05): bursts"]


def test_what_is_unsure_is_told_where_nothing_fails() -> None:
    assert doubts_in_words(BUSY) == []
    assert doubts_in_words(BUSY[:1]) == [
        "utilization (a) is off by +0.200 (within 0.05), chance alone may do 0.01: drive for longer"
    ]
    batch = verdict(Quantity.BATCH_LATENCY, "m on a", -0.15, Held.UNSURE, True)
    (line,) = doubts_in_words([batch])
    assert line.startswith("batch latency (m on a) is off by -15.0% (within 5%), chance alone may")
    assert "do 1%" in line
