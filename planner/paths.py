"""Which paths are open to a task: their links carry it and they keep its deadline (F13).

The bound on a path's latency is its links (round trip and the time a query takes up) plus
service: nu + c at a client, 2 T_b at an edge, nu + c in the cloud. A client that reaches several
edges (F12) has a path through each.
Axis letters: c client, e edge, a attachment, t task, m model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.attachments import by_edge
from planner.latency_bound import link_s, window_bound_s
from planner.problem import FloatArray, Problem

__all__ = [
    "carries_nt",
    "cloud_latency_at",
    "cloud_open_at",
    "edge_latency_at",
    "edge_limit_at",
    "edge_open_at",
    "has_deadlines",
    "link_a",
    "local_latency_cm",
    "local_open_cmt",
    "most_asked_em",
]

BoolArray = NDArray[np.bool_]


def has_deadlines(problem: Problem) -> bool:
    """Whether any task has a deadline."""
    return bool(np.isfinite(problem.deadline_t).any())


def link_a(problem: Problem) -> FloatArray:
    """Largest bytes/s an attachment can carry: its own limit or its client's whole budget."""
    return np.minimum(problem.uplink_a, problem.client_uplink_c[problem.client_of_a])


def carries_nt(problem: Problem, bandwidth_n: FloatArray) -> BoolArray:
    """Which of these links carries the task: it has bandwidth, or the task's queries no bytes."""
    return np.asarray((bandwidth_n > 0)[:, None] | (problem.query_bytes_t == 0))


def local_latency_cm(problem: Problem) -> FloatArray:
    """Seconds of service by model m at the client itself."""
    return np.asarray(problem.client_setup_cm + problem.client_marginal_cm)


def edge_latency_at(problem: Problem) -> FloatArray:
    """Bound of an answer by the attachment's edge, seconds: the way there and two windows."""
    bound_a = window_bound_s(problem.window_e[problem.edge_of_a])
    return np.asarray(_first_hop_at(problem) + bound_a[:, None])


def cloud_latency_at(problem: Problem) -> FloatArray:
    """Bound of an answer by the cloud through the attachment's edge, seconds."""
    second_et = link_s(
        problem.query_bytes_t, problem.edge_uplink_e[:, None], problem.edge_rtt_e[:, None]
    )
    second_at = second_et[problem.edge_of_a]
    return np.asarray(_first_hop_at(problem) + second_at + problem.cloud_cost_t)


def local_open_cmt(problem: Problem) -> BoolArray:
    """Service by model m at the client itself is in time."""
    return np.asarray(local_latency_cm(problem)[:, :, None] <= problem.deadline_t)


def edge_open_at(problem: Problem) -> BoolArray:
    """The link to the attachment's edge carries the task, and two windows there are in time."""
    latency_at = edge_latency_at(problem)
    return np.asarray(np.isfinite(latency_at) & (latency_at <= problem.deadline_t))


def cloud_open_at(problem: Problem) -> BoolArray:
    """The links through the attachment's edge carry the task, and the cloud is in time."""
    latency_at = cloud_latency_at(problem)
    return np.asarray(np.isfinite(latency_at) & (latency_at <= problem.deadline_t))


def edge_limit_at(problem: Problem) -> FloatArray:
    """Largest queries/s of each task that an edge can get by an attachment:
    min(lambda, kappa / b), 0 where the edge is not in time."""
    with np.errstate(divide="ignore", invalid="ignore"):
        link_at = link_a(problem)[:, None] / problem.query_bytes_t
    link_at = np.where(problem.query_bytes_t > 0, link_at, np.inf)
    limit_at = np.minimum(problem.load_ct[problem.client_of_a], link_at)
    if has_deadlines(problem):
        limit_at = np.where(edge_open_at(problem), limit_at, 0.0)
    return np.asarray(limit_at)


def most_asked_em(problem: Problem) -> FloatArray:
    """Largest queries a window that an edge can get for each model: all that it serves."""
    serves_tm = (problem.accuracy_mt > 0).T.astype(float)
    asked_em = by_edge(problem, edge_limit_at(problem)) @ serves_tm
    return np.asarray(problem.window_e[:, None] * asked_em)


def _first_hop_at(problem: Problem) -> FloatArray:
    return link_s(problem.query_bytes_t, link_a(problem)[:, None], problem.rtt_a[:, None])
