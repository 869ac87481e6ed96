"""`decisions.jsonl`: what the live loop decided, between what, and all that it knew.

One JSON object a line, of three kinds. `decision` has the input, the alternatives with their
figures, and the choice, or why there is none. `change` says what became of a plan that was put in
force. `problem` has what decisions share, budgets and costs; it stands before the first decision
that refers to it by its `digest`. So the file alone is enough to make any decision of it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from cluster.document import DocumentError, FrozenModel
from cluster.fault_words import first_fault
from planner.plan import Plan
from planner.problem import Problem
from planner.problem_file import ProblemFile
from serving.replan.decision import Decision
from serving.replan.decision_input import DecisionInput, Ground
from serving.routing.routes import RoutingMode

__all__ = [
    "ChangeLine",
    "DecisionLine",
    "DecisionLog",
    "LoggedDecision",
    "plan_of_version",
    "read_changes",
    "read_decision",
]

L = TypeVar("L", bound=FrozenModel)


class ProblemLine(FrozenModel):
    """What decisions share."""

    kind: Literal["problem"] = "problem"
    digest: str
    problem: ProblemFile
    capacity: ProblemFile
    load_s: dict[str, dict[str, float]]
    spill_over: bool
    routing: RoutingMode = RoutingMode.SHARES


class DecisionLine(FrozenModel):
    """One decision."""

    kind: Literal["decision"] = "decision"
    digest: str = Field(description="of the problem line that it refers to")
    why: str = Field(description="why it was time to decide")
    given: DecisionInput
    decision: Decision | None = Field(default=None, description="absent if planning failed")
    fault: str = Field(default="", description="why planning failed")
    took_s: float = Field(ge=0)
    dry_run: bool = False


class ChangeLine(FrozenModel):
    """What became of the plan of a decision."""

    kind: Literal["change"] = "change"
    number: int = Field(description="of the decision")
    version: int = Field(default=0, description="plan version in force since; 0 if it failed")
    total_s: float = 0.0
    reaction_s: float = 0.0
    fault: str = ""


@dataclass(frozen=True, eq=False)
class LoggedDecision:
    """A decision as it was read, with all that it depended on."""

    line: int
    ground: Ground
    logged: DecisionLine


class DecisionLog:
    """Appends lines to a file; each is written whole, so a killed loop leaves at most half of one.

    Raises `OSError` if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._digest = ""
        with path.open("a+b") as stream:
            if stream.tell() and not _ends_a_line(stream):
                stream.write(b"\n")

    def decision(self, ground: Ground, line: DecisionLine) -> None:
        """Append a decision, and what it refers to unless that is there already."""
        if line.digest != self._digest:
            self._append(
                ProblemLine(
                    digest=line.digest,
                    problem=_stored(ground.problem),
                    capacity=_stored(ground.capacity),
                    load_s={node: dict(models) for node, models in ground.load_s.items()},
                    spill_over=ground.spill_over,
                    routing=ground.routing,
                )
            )
            self._digest = line.digest
        self._append(line)

    def change(self, line: ChangeLine) -> None:
        """Append what became of a plan."""
        self._append(line)

    def _append(self, line: FrozenModel) -> None:
        text = line.model_dump_json(exclude_none=True) + "\n"
        with self._path.open("ab", buffering=0) as stream:
            stream.write(text.encode())


def read_decision(path: Path, line: int | None = None) -> LoggedDecision:
    """The decision on a line of the file (counted from 1), by default the last one.

    Raises `DocumentError` for a file or line that is not what it should be. Half a last line, as a
    killed loop leaves it, is passed over.
    """
    problems: dict[str, ProblemLine] = {}
    found: tuple[int, DecisionLine] | None = None
    places: list[str] = []
    for number, data in _lines(path):
        where = f"{path}:{number}"
        if data.get("kind") == "problem":
            stored = _parsed(ProblemLine, data, where)
            problems[stored.digest] = stored
        elif data.get("kind") == "decision" and (line is None or number == line):
            found = number, _parsed(DecisionLine, data, where)
        if data.get("kind") == "decision":
            places.append(str(number))
    if found is None:
        told = f"its decisions are on lines {', '.join(places)}" if places else "it has none"
        asked = "no decision" if line is None else f"no decision on line {line}"
        raise DocumentError(f"{path}: {asked}; {told}")
    number, logged = found
    if logged.digest not in problems:
        raise DocumentError(f"{path}:{number}: no line before it has problem {logged.digest}")
    stored = problems[logged.digest]
    ground = Ground(
        Problem(**stored.problem.fields()),
        Problem(**stored.capacity.fields()),
        stored.load_s,
        stored.spill_over,
        stored.routing,
    )
    return LoggedDecision(number, ground, logged)


def plan_of_version(path: Path, version: int) -> Plan | None:
    """The plan that a loop put in force as that version; None if no line of the file tells of it.
    Raises as `read_decision` does."""
    decided: Decision | None = None
    number = 0
    for line, data in _lines(path):
        where = f"{path}:{line}"
        if data.get("kind") == "decision":
            logged = _parsed(DecisionLine, data, where)
            if logged.decision is not None and logged.decision.changes and not logged.dry_run:
                decided, number = logged.decision, logged.given.number
        elif data.get("kind") == "change":
            change = _parsed(ChangeLine, data, where)
            if decided is None or change.number != number:
                continue
            if change.version == version:
                return decided.plan
            if change.version == version + 1 and decided.meanwhile is not None:
                return decided.meanwhile
    return None


def read_changes(path: Path) -> list[tuple[DecisionLine, ChangeLine]]:
    """Each plan that was put in force, with the decision that led to it, in the file's order.

    Raises `DocumentError` for a file or line that is not what it should be.
    """
    decisions: dict[int, DecisionLine] = {}
    found = []
    for number, data in _lines(path):
        where = f"{path}:{number}"
        if data.get("kind") == "decision":
            line = _parsed(DecisionLine, data, where)
            decisions[line.given.number] = line
        elif data.get("kind") == "change":
            change = _parsed(ChangeLine, data, where)
            led_to_it = decisions.get(change.number)
            decision = None if led_to_it is None else led_to_it.decision
            if change.version and led_to_it and decision is not None and decision.changes:
                found.append((led_to_it, change))
    return found


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror or error}") from None
    texts = raw.split(b"\n")
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            if number == len(texts):  # the loop was killed while it wrote
                return
            data = None
        if not isinstance(data, dict):
            raise DocumentError(f"{path}:{number}: not a JSON object")
        yield number, data


def _parsed(cls: type[L], data: dict[str, Any], where: str) -> L:
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise DocumentError(f"{where}: {first_fault(error)}") from None


def _stored(problem: Problem) -> ProblemFile:
    return ProblemFile.of({item.name: getattr(problem, item.name) for item in fields(problem)})


def _ends_a_line(stream: Any) -> bool:
    stream.seek(-1, os.SEEK_END)
    return bool(stream.read(1) == b"\n")
