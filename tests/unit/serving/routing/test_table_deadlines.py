"""When a request must be answered: by the deadlines of its tasks, and by its caller's own."""

from __future__ import annotations

import pytest

from serving.routing.routes import RouteTable

TABLE = RouteTable(1, {}, deadlines_s={"depth@fast": 0.2, "edges": 0.5})


@pytest.mark.parametrize(
    ("tasks", "caller_s", "due_s"),
    [
        (("depth",), None, None),
        (("depth",), 11.0, 11.0),
        (("depth@fast",), None, 10.2),
        (("depth@fast",), 10.1, 10.1),
        (("depth@fast",), 11.0, 10.2),
        (("edges", "depth"), None, 10.5),
        (("edges", "depth@fast"), 11.0, 10.2),
    ],
)
def test_the_earliest_holds(
    tasks: tuple[str, ...], caller_s: float | None, due_s: float | None
) -> None:
    assert TABLE.due_s(tasks, 10.0, caller_s) == (None if due_s is None else pytest.approx(due_s))
    assert RouteTable(1, {}).due_s(tasks, 10.0, caller_s) == caller_s
