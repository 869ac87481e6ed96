"""F13: which paths keep a task's deadline. A path that cannot is closed to the task everywhere.

The bound on a path's latency is its links (round trip and the time a query takes up) plus
service: nu + c at a client, 2 T_b at an edge, nu + c in the cloud.
Axis letters: c client, e edge, t task, m model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.problem import FloatArray, Problem

__all__ = ["cloud_open_ct", "edge_limit_ct", "edge_open_ct", "has_deadlines", "local_open_cmt"]

BoolArray = NDArray[np.bool_]


def has_deadlines(problem: Problem) -> bool:
    """Whether any task has a deadline."""
    return bool(np.isfinite(problem.deadline_t).any())


def local_open_cmt(problem: Problem) -> BoolArray:
    """Service by model m at the client itself is in time."""
    service_cm = problem.client_setup_cm + problem.client_marginal_cm
    return np.asarray(service_cm[:, :, None] <= problem.deadline_t)


def edge_open_ct(problem: Problem) -> BoolArray:
    """Service at the client's edge within two windows is in time."""
    window_c = problem.window_e[problem.edge_of_c]
    return np.asarray(_first_hop_ct(problem) + 2 * window_c[:, None] <= problem.deadline_t)


def cloud_open_ct(problem: Problem) -> BoolArray:
    """Service in the cloud is in time."""
    e = problem.edge_of_c
    second_et = problem.edge_rtt_e[:, None] + _transfer(
        problem.query_bytes_t, problem.edge_uplink_e
    )
    latency_ct = _first_hop_ct(problem) + second_et[e] + problem.cloud_cost_t
    return np.asarray(latency_ct <= problem.deadline_t)


def edge_limit_ct(problem: Problem) -> FloatArray:
    """Largest queries/s of each client and task that its edge can get: min(lambda, kappa / b),
    0 where the edge is not in time."""
    with np.errstate(divide="ignore", invalid="ignore"):
        link_ct = problem.client_uplink_c[:, None] / problem.query_bytes_t
    link_ct = np.where(problem.query_bytes_t > 0, link_ct, np.inf)
    limit_ct = np.minimum(problem.load_ct, link_ct)
    if has_deadlines(problem):
        limit_ct = np.where(edge_open_ct(problem), limit_ct, 0.0)
    return np.asarray(limit_ct)


def _first_hop_ct(problem: Problem) -> FloatArray:
    transfer_ct = _transfer(problem.query_bytes_t, problem.client_uplink_c)
    return np.asarray(problem.client_rtt_c[:, None] + transfer_ct)


def _transfer(bytes_t: FloatArray, rate_n: FloatArray) -> FloatArray:
    """Seconds a query's bytes take on each link; inf on a link without bandwidth."""
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds_nt = bytes_t / rate_n[:, None]
    return np.where(bytes_t > 0, seconds_nt, 0.0)
