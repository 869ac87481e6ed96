"""`report.json`: its keys, and how policies and the live loop are compared."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from serving.report.compare import comparison_rows, comparison_tables, policy_row, rank
from serving.report.live import compare_live
from serving.report.report import Report, build_report
from serving.traffic.summary import summarise
from support.narrow_tables import broken_words
from support.synthetic_run import (
    CERTIFICATE,
    PROVENANCE,
    Synthetic,
    busy_s,
    measure,
    records_of,
    summary,
)


def test_the_report_has_the_keys_it_promises(made: Synthetic, tmp_path: Path) -> None:
    data = json.loads(made.report.save(tmp_path / "report.json").read_text())
    assert set(data) == {
        "schema_version", "predicted", "measured", "certificate", "provenance", "policies", "live",
    }  # fmt: skip
    assert {
        "accuracy", "accuracy_by_task", "accuracy_of_answered", "share_by_tier", "latency_s",
        "deadline_met_share", "utilization_by_node", "queries", "answered", "shed", "errors",
        "generator_lateness_s",
    } <= set(data["measured"])  # fmt: skip
    assert {"p50", "p95", "p99", "mean", "max"} == set(data["measured"]["latency_s"])
    assert {"objective", "upper_bound", "gap", "status", "runtime_s"} <= set(data["certificate"])
    for name in ("accuracy", "accuracy_by_task", "share_by_tier", "utilization_by_node"):
        assert type(data["predicted"][name]) is type(data["measured"][name])
    assert sum(data["predicted"]["share_by_tier"].values()) == pytest.approx(1.0)
    assert Report.load(tmp_path / "report.json") == made.report


def test_a_report_of_one_run_leaves_the_comparisons_out(made: Synthetic, tmp_path: Path) -> None:
    report = build_report(summary(), made.report.measured, CERTIFICATE, PROVENANCE)
    data = json.loads(report.save(tmp_path / "report.json").read_text())
    assert "policies" not in data
    assert "live" not in data


def test_rows_are_ranked_by_accuracy_times_answered_share(made: Synthetic) -> None:
    rows = rank(made.report.policies or ())
    assert [row.policy for row in rows][:2] == ["baj3o", "all-edge"]
    for row in rows:
        assert row.accuracy == pytest.approx((row.accuracy_of_answered or 0) * row.answered_share)
    plain = comparison_rows(rows)
    assert json.loads(json.dumps(plain))[0]["policy"] == "baj3o"


def test_the_table_shows_every_policy_also_one_that_answered_nothing(made: Synthetic) -> None:
    shed = made.measurements.select(made.measurements.outcome == "shed")
    nothing = policy_row("all-nothing", summary(0.0), summarise(shed, 90.0, {}))
    stream = StringIO()
    for table in comparison_tables([*(made.report.policies or ()), nothing]):
        Console(file=stream, width=80).print(table)
        assert broken_words(table) == []
    text = stream.getvalue()
    assert text.index("baj3o") < text.index("random") < text.index("all-nothing")
    assert "0.000" in text
    assert "–" in text


def test_the_live_loop_is_compared_on_the_same_traffic_only(made: Synthetic) -> None:
    live = made.report.live
    assert live is not None
    assert live.flip_s == 45.0
    assert live.gain_after_flip > 0.1
    assert live.live_after_flip.queries == live.frozen_after_flip.queries < live.live.queries
    assert sum(live.live_timeline.queries) == live.live.queries
    shorter = made.schedule.head(50.0)
    with pytest.raises(ValueError, match="did not get the same traffic"):
        compare_live(
            made.measurements,
            measure(shorter, records_of(shorter, 1)),
            [],
            live_busy_s=busy_s(),
            frozen_busy_s=busy_s(),
        )
