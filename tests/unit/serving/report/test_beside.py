"""Two runs side by side: the same traffic is paired, other traffic is said to be other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serving.report.beside import beside_rows, render_beside, same_traffic
from serving.report.html import Page
from serving.report.write import make_page
from support.synthetic_run import Synthetic


def page(made: Synthetic, less: float = 0.0, later_s: float = 0.0) -> Page:
    rows = made.measurements
    scores = np.where(rows.answered, np.clip(rows.score - less, 0, 1), 0.0)
    rows = replace(rows, score=scores, scheduled_s=rows.scheduled_s + later_s)
    plan = made.plan.model_copy(
        update={"predicted": summary_of(made), "certificate": made.report.certificate}
    )
    return make_page(plan, rows, command="testbed report", topology="demo")


def summary_of(made: Synthetic) -> object:
    from support.synthetic_run import summary

    return summary(made.report.predicted.accuracy)


def test_the_same_traffic_is_compared_query_by_query(made: Synthetic) -> None:
    first, second = page(made), page(made, less=0.05)
    assert same_traffic(first.measurements, second.measurements)
    found = list(beside_rows(("a", "b"), (first, second)))
    rows = {row.name: row for row in found}
    assert rows["measured accuracy"].difference.startswith("-0.0")
    assert rows["measured accuracy"].difference.endswith("worse")
    assert rows["latency, p95"].difference == "+0.0 ms"
    assert rows["queries"].difference == "+0"
    html = render_beside(("a", "b"), (first, second), found)
    assert "so their difference is paired" in html
    assert html.count("<figcaption>a <span") == 6
    assert html.count("<svg") == 12


def test_other_traffic_has_no_interval(made: Synthetic) -> None:
    first, second = page(made), page(made, later_s=1.0)
    assert not same_traffic(first.measurements, second.measurements)
    found = list(beside_rows(("a", "b"), (first, second)))
    rows = {row.name: row for row in found}
    assert rows["measured accuracy"].difference == "+0.000"
    assert "different traffic" in render_beside(("a", "b"), (first, second), found)
