"""The decision log: any decision of it can be made again, whatever else became of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.document import DocumentError
from serving.replan.decision import Decision, decide
from serving.replan.decision_input import DecisionInput
from serving.replan.decision_log import ChangeLine, DecisionLine, DecisionLog, read_decision
from serving.replan.reproduce import find_differences
from support.replan_cases import estimate, given, ground, plan_for, problem


def logged(path: Path, *, edges_qps: float = 10.0) -> tuple[DecisionInput, Decision]:
    """A log of one decision, and of the change that it led to."""
    on, seen = ground(), given(estimate(1.0, edges_qps), plan_for(problem(10, 1)))
    decision = decide(on, seen)
    log = DecisionLog(path)
    log.decision(
        on,
        DecisionLine(
            digest=on.problem.digest, why="the load has changed", given=seen,
            decision=decision, took_s=0.1,
        ),
    )  # fmt: skip
    log.change(ChangeLine(number=1, version=2, total_s=0.5, reaction_s=0.1))
    return seen, decision


def test_a_decision_made_again_from_its_log_comes_out_the_same(tmp_path: Path) -> None:
    seen, decision = logged(tmp_path / "decisions.jsonl")
    read = read_decision(tmp_path / "decisions.jsonl")
    assert read.logged.given == seen
    assert read.logged.decision == decision
    assert read.line == 2
    assert find_differences(decision, decide(read.ground, read.logged.given)) == []


def test_a_decision_that_comes_out_otherwise_is_told(tmp_path: Path) -> None:
    _, decision = logged(tmp_path / "a.jsonl")
    stays = decide(ground(), given(estimate(10.0, 1.0), plan_for(problem(10, 1))))
    found = find_differences(decision, stays)
    assert found[0] == "the choice: plan then, stay now"
    worse = decision.model_copy(
        update={
            "alternatives": (
                decision.alternatives[0].model_copy(update={"objective": 0.5}),
                *decision.alternatives[1:],
            )
        }
    )
    assert find_differences(decision, worse) == [
        f"objective of stay: {decision.present:.6f} then, 0.500000 now"
    ]


def test_the_problem_stands_once_for_all_decisions_of_a_loop(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    on, seen = ground(), given(estimate(1.0, 10.0), plan_for(problem(10, 1)))
    log = DecisionLog(path)
    for _ in range(3):
        log.decision(
            on,
            DecisionLine(digest=on.problem.digest, why="", given=seen, fault="no plan", took_s=0.1),
        )
    assert [line.split('"')[3] for line in path.read_text().splitlines()] == [
        "problem", "decision", "decision", "decision",
    ]  # fmt: skip
    assert read_decision(path, 3).logged.decision is None
    with pytest.raises(DocumentError, match="on line 1; its decisions are on lines 2, 3"):
        read_decision(path, 1)


def test_half_a_last_line_is_passed_over_and_a_new_loop_writes_on_a_line_of_its_own(
    tmp_path: Path,
) -> None:
    path = tmp_path / "decisions.jsonl"
    logged(path)
    with path.open("a") as stream:
        stream.write('{"kind": "decis')
    assert read_decision(path).line == 2
    DecisionLog(path)
    assert path.read_text().endswith("\n")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "no decision"),
        ("nonsense\n{}\n", None, "x.jsonl:1: not a JSON object"),
        ('{"kind": "change"}\n', 1, "x.jsonl: no decision on line 1; it has none"),
        ('{"kind": "change"}\n', 7, "no decision on line 7; it has none"),
        ('{"kind": "decision"}\n', None, "x.jsonl:1: digest: missing"),
    ],
)
def test_a_file_that_is_no_decision_log_is_refused_in_one_line(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(DocumentError) as refused:
        read_decision(tmp_path / "x.jsonl", line)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_decision_without_its_problem_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    logged(path)
    path.write_text(path.read_text().split("\n", 1)[1])
    with pytest.raises(DocumentError, match="no line before it has problem"):
        read_decision(path)


def test_a_missing_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="No such file"):
        read_decision(tmp_path / "none.jsonl")
