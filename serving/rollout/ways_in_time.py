"""Which ways keep the deadline of a task or a class (F13, F20): the only ones that its queries may
spill over to."""

from __future__ import annotations

from collections.abc import Callable

from planner.paths import cloud_open_at, edge_open_at, has_deadlines, local_open_cmt
from planner.problem import Problem
from serving.routing.routes import Target

__all__ = ["InTime", "ways_in_time"]

InTime = Callable[[str, Target, str], bool]
"""(client, way, task or class of one) -> whether the way's latency bound keeps the deadline"""


def ways_in_time(problem: Problem) -> InTime | None:
    """The ways of `problem` that are in time; None where no task has a deadline, and all are.

    A task, model or way that the problem does not know is none of its business, and in time. In the
    cloud the bound is that of the model that the problem serves the task with.
    """
    if not has_deadlines(problem):
        return None
    local_cmt = local_open_cmt(problem)
    edge_at, cloud_at = edge_open_at(problem), cloud_open_at(problem)
    c_of, t_of, m_of = (
        {name: place for place, name in enumerate(names)}
        for names in (problem.clients, problem.tasks, problem.models)
    )
    a_of = {
        (problem.clients[c], problem.edges[e]): a
        for a, (c, e) in enumerate(zip(problem.client_of_a, problem.edge_of_a, strict=True))
    }

    def keeps(client: str, target: Target, task: str) -> bool:
        if client not in c_of or task not in t_of or target.model not in m_of:
            return True
        t = t_of[task]
        if target.node == client:
            return bool(local_cmt[c_of[client], m_of[target.model], t])
        if target.node == problem.cloud:
            passed = [target.via] if target.via else problem.edges
            ways = [a_of[client, edge] for edge in passed if (client, edge) in a_of]
            return any(bool(cloud_at[a, t]) for a in ways)
        a = a_of.get((client, target.node))
        return a is None or bool(edge_at[a, t])

    return keeps
