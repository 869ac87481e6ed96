"""What a change of plan moved, why, and how the seconds before it compare with those after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from planner.plan import Plan, Route
from serving.replan.decision import decide
from serving.replan.decision_log import ChangeLine, DecisionLine, DecisionLog
from serving.report.html import render_page
from serving.report.logged_changes import logged_changes
from serving.report.plan_changes import LoggedChange, changes_seen
from serving.traffic.measurement import Measurements
from support.replan_cases import estimate, given, ground, plan_for, problem
from support.report_page import full_page
from support.synthetic_run import Synthetic


def rows(made: Synthetic, **columns: object) -> Measurements:
    """Six queries, all answered at once with a score of .5 unless `columns` say otherwise."""
    first = made.measurements.select(np.arange(len(made.measurements)) < 6)
    due_s = np.array([0.0, 10.0, 19.0, 20.0, 21.0, 40.0])
    values = {
        "outcome": np.full(6, "answered"), "score": np.full(6, 0.5), "scheduled_s": due_s,
        "done_s": due_s + 0.1, "plan_version": np.array([1, 1, 1, 2, 2, 2]), **columns,
    }  # fmt: skip
    return replace(first, **{name: np.asarray(value) for name, value in values.items()})  # type: ignore[arg-type]


def plan(*routes: tuple[str, str, float], **onloading: tuple[str, ...]) -> Plan:
    """Routes of one client as (task, node, share), and what nodes hold."""
    return Plan(
        problem_digest="d", policy="p", onloading=onloading, load_qps={"c": {"t": 3.0, "u": 1.0}},
        routes=tuple(
            Route(client="c", task=task, tier="edge", node=node, model="m", share=share)
            for task, node, share in routes
        ),
    )  # fmt: skip


def test_the_seconds_before_and_after_are_told_apart(made: Synthetic) -> None:
    done_s = np.add([0.0, 10.0, 19.0, 20.0, 21.0, 40.0], [0.1, 0.1, 0.3, 0.1, 0.1, 0.1])
    outcome = ["answered", "answered", "answered", "answered", "shed", "answered"]
    (change,) = changes_seen(rows(made, outcome=outcome, done_s=done_s), {}, window_s=10.0)
    assert change.at_s == 20.0
    assert change.note == "not in the log"
    assert change.before is not None
    assert change.after is not None
    assert (change.before.queries, change.after.queries) == (2, 2)
    assert change.before.answered_share == 1.0
    assert change.after.answered_share == 0.5
    assert change.after.accuracy == 0.25
    assert change.before.latency_p50_s == pytest.approx(0.2)
    assert change.after.latency_p95_s == pytest.approx(0.1)


def test_seconds_without_a_query_or_an_answer_have_no_figures(made: Synthetic) -> None:
    versions = [1, 1, 1, 1, 1, 2]
    (change,) = changes_seen(rows(made, plan_version=versions), {}, window_s=5.0)
    assert change.before is None
    outcome = ["answered"] * 5 + ["shed"]
    (change,) = changes_seen(rows(made, plan_version=versions, outcome=outcome), {}, window_s=5.0)
    assert change.after is not None
    assert change.after.latency_p50_s is None


def test_what_moved_is_models_streams_and_the_share_of_queries(made: Synthetic) -> None:
    before = plan(("t", "a", 1.0), ("u", "a", 0.5), a=("m",), b=("k",))
    after = plan(("t", "a", 0.6), ("t", "b", 0.4), ("u", "a", 0.5), a=("m",), b=("m",))
    logged = {2: LoggedChange(before, after, "it gains", 0.7)}
    (change,) = changes_seen(rows(made), logged)
    assert change.loads == {"b": ("m",)}
    assert change.unloads == {"b": ("k",)}
    assert change.routes_changed == 1
    assert change.moved_share == pytest.approx(0.4 * 3 / 4)
    assert (change.note, change.predicted_accuracy) == ("it gains", 0.7)
    shed = plan(("t", "a", 0.6), ("u", "a", 0.5), a=("m",), b=("k",))
    (change,) = changes_seen(rows(made), {2: LoggedChange(before, shed, "it breaks", None)})
    assert change.moved_share == pytest.approx(0.4 * 3 / 4)


def test_the_live_loops_log_says_what_led_to_a_version(tmp_path: Path) -> None:
    on, seen = ground(), given(estimate(1.0, 10.0), plan_for(problem(10, 1)))
    decision = decide(on, seen)
    log = DecisionLog(tmp_path / "decisions.jsonl")
    line = DecisionLine(
        digest=on.problem.digest, why="w", given=seen, decision=decision, took_s=0.1
    )
    log.decision(on, line)
    log.change(ChangeLine(number=1, version=0, fault="not put in force"))
    assert logged_changes(tmp_path / "decisions.jsonl") == {}
    log.change(ChangeLine(number=1, version=4))
    log.change(ChangeLine(number=9, version=5))
    found = logged_changes(tmp_path / "decisions.jsonl")
    assert list(found) == [4]
    assert found[4].before == seen.present
    assert found[4].after == decision.plan
    assert found[4].why == decision.reason


def test_shares_that_are_followed_while_models_load_are_a_change_of_their_own(
    tmp_path: Path,
) -> None:
    on, seen = ground(), given(estimate(1.0, 10.0), plan_for(problem(10, 1)))
    decision = decide(on, seen)
    shares = seen.present.model_copy(update={"routes": seen.present.routes[1:]})
    both = decision.model_copy(update={"meanwhile": shares})
    log = DecisionLog(tmp_path / "decisions.jsonl")
    line = DecisionLine(digest=on.problem.digest, why="w", given=seen, decision=both, took_s=0.1)
    log.decision(on, line)
    log.change(ChangeLine(number=1, version=4))
    found = logged_changes(tmp_path / "decisions.jsonl")
    assert (found[3].before, found[3].after) == (seen.present, shares)
    assert (found[4].before, found[4].after) == (shares, decision.plan)


def test_the_page_has_a_row_before_and_after_each_change(made: Synthetic) -> None:
    text = render_page(full_page(made))
    section = text.split("<h2>Changes of plan</h2>")[1].split("</section>")[0]
    assert "<b>v2</b> at 52.0 s" in section
    assert "client-0 loaded small-all; client-0 unloaded small-depth; routes of 1 stream" in section
    assert "gains 0.031 for sure" in section
    assert section.index("<td>before</td>") < section.index("<td>after</td>")
