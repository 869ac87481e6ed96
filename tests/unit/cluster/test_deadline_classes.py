"""Deadlines and deadline classes in demand files (F13, F20)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.deadline_classes import base_task, class_labels, has_class, with_classes
from cluster.demand import Demand
from cluster.document import DocumentError

RATES = {"phone": {"depth": 10.0, "edges": 1.0}, "car": {"depth": 2.0}}
FAST = {"depth": {"fast": {"share": 0.3, "deadline_s": 0.15}}}


def demand(rates: dict[str, Any] = RATES, **keys: Any) -> Demand:
    phase = {"duration_s": 60, "rates_qps": rates, **keys.pop("phase", {})}
    return Demand.parse({"name": "d", "phases": [phase], **keys}, source="demand.yaml")


def test_the_name_of_a_class_says_its_task() -> None:
    assert base_task("depth@fast") == base_task("depth") == "depth"
    assert (has_class("depth@fast"), has_class("depth")) == (True, False)
    names = ("edges@x", "depth@fast", "depth", "depth@slow")
    assert class_labels("depth", names) == ("fast", "slow")
    assert with_classes(("depth", "edges"), names) == (
        "depth", "depth@fast", "depth@slow", "edges", "edges@x",
    )  # fmt: skip


def test_a_share_of_a_task_becomes_the_rate_of_its_class_at_every_client() -> None:
    drift = {"drift_to_qps": {"phone": {"depth": 20.0}}}
    made = demand(classes=FAST, deadlines_s={"edges": 2.0}, phase=drift)
    (phase,) = made.phases
    assert phase.rates_qps["phone"] == pytest.approx({"depth": 7, "depth@fast": 3, "edges": 1})
    assert phase.rates_qps["car"] == pytest.approx({"depth": 1.4, "depth@fast": 0.6})
    assert phase.end_qps("phone", "depth@fast") == pytest.approx(6.0)
    assert phase.total_qps == pytest.approx(13.0)
    assert phase.tasks == ("depth", "edges", "depth@fast")
    assert made.deadlines_s == {"edges": 2.0, "depth@fast": 0.15}


def test_classes_that_are_all_of_a_task_leave_nothing_of_it() -> None:
    parts = {f"c{n}": {"share": 0.1, "deadline_s": 1.0} for n in range(10)}
    (phase,) = demand(classes={"depth": parts}).phases
    assert phase.rates_qps["car"]["depth"] == 0.0
    assert phase.total_qps == pytest.approx(13.0)


def test_rates_may_name_classes_themselves_and_the_file_can_be_read_again(tmp_path: Path) -> None:
    rates = {"phone": {"depth": 7.0, "depth@fast": 3.0}}
    stated = demand(rates, deadlines_s={"depth@fast": 0.15})
    assert stated.phases[0].rates_qps == rates
    written = demand(classes=FAST)
    assert Demand.load(written.save(tmp_path / "d.yaml")) == written


def test_without_classes_a_demand_is_as_it_was_stated() -> None:
    made = demand()
    assert made.phases[0].rates_qps == RATES
    assert (made.deadlines_s, made.classes) == ({}, {})


TWO = {"a": {"share": 0.6, "deadline_s": 1}, "b": {"share": 0.6, "deadline_s": 2}}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"classes": {"depth": TWO}}, "classes.depth: the shares of its classes sum to 1.2, and "),
        ({"classes": {"dpth": FAST["depth"]}}, "classes.dpth: nobody asks this task; `rates_qps` "),
        (
            {"classes": {"depth": {"fast": {"share": 0, "deadline_s": 1}}}},
            "classes.depth.fast.share: expected a number over 0 (got 0)",
        ),
        (
            {"classes": {"depth": {"fast": {"share": 0.1, "deadline_s": -1}}}},
            "classes.depth.fast.deadline_s: expected a number over 0 (got -1)",
        ),
        (
            {"deadlines_s": {"depth": 0}},
            "deadlines_s.depth: expected a number over 0 (got 0)",
        ),
        (
            {"deadlines_s": {"depth@a b": 1}},
            "deadlines_s.depth@a b: expected TASK or TASK@CLASS, where a class has at most 32 ",
        ),
        ({"deadlines_s": {"depth@": 1}}, "deadlines_s.depth@: expected TASK or TASK@CLASS"),
        ({"deadlines_s": {"@fast": 1}}, "deadlines_s.@fast: expected TASK or TASK@CLASS"),
        (
            {"classes": {"depth": {"a@b": {"share": 0.1, "deadline_s": 1}}}},
            "classes.depth@a@b: expected TASK or TASK@CLASS",
        ),
        (
            {"classes": FAST, "deadlines_s": {"depth@fast": 1}},
            "deadlines_s.depth@fast: `classes` states it too; leave one of them out",
        ),
        (
            {"rates": {"car": {"depth@slow": 1.0}}},
            "phases.0.rates_qps: depth@slow is a class without a deadline; state it in ",
        ),
        (
            {"rates": {"car": {"depth": 1.0, "depth@fast": 1.0}}, "classes": FAST},
            "phases.0.rates_qps.car.depth@fast: stated here, and in `classes` as a share of depth",
        ),
    ],
)
def test_wrong_classes_are_refused_in_one_line(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError) as refused:
        demand(**keys)
    assert str(refused.value).startswith(f"demand.yaml: {message}")
    assert "\n" not in str(refused.value)
