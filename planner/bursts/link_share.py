"""F17 on links: how much a link may carry in the mean so that bursts seldom fill its backlog.

A link sends B bytes/s, and a node keeps at most w seconds of backlog for it (its window T_b); what
comes then is refused. Queries of b bytes whose counts have variance I times their mean, at r
bytes/s, fill that backlog in about the share exp(-2 (B - r) B w / (I b r)) of the time (the
diffusion limit of a queue). A client sends only the part r / R of what it is asked, R bytes/s, so
what crosses has I(r) = 1 + (I - 1) r / R: taking every third query at random thins bursts, too.
The share stays at delta or below for

    (I - 1) L b / R r^2 + (2 B w + L b) r <= 2 B^2 w,    L = ln(1 / delta).

Example, the demo's first client: B = 400 KB/s, b = 28 KB, w = 0.4 s, 20 queries/s asked. Poisson
arrivals (I = 1) may take 0.79 of the link. With I = 15 it is 0.42, with I = 40 0.29.

Axis letters: c client, e edge, a attachment, t task.
"""

from __future__ import annotations

import numpy as np

from planner.attachments import by_edge
from planner.bursts.refuges import refuge_accuracy_c, way_accuracy_c
from planner.problem import FloatArray, Problem
from planner.window_work import burst_variance_e

__all__ = ["carried_bytes_per_s", "tolerated_overflow_c", "with_link_headroom"]

LARGEST_OVERFLOW = 0.5
"""However little an overflow costs, a link that is full more often is too small for the plan."""


def carried_bytes_per_s(
    bandwidth: FloatArray, backlog_s: FloatArray, query_bytes: FloatArray, asked: FloatArray,
    dispersion: FloatArray, overflow: FloatArray,
) -> FloatArray:  # fmt: skip
    """r, bytes/s that a link may carry in the mean so that its backlog is full in at most a share
    `overflow` of the time. Arrays broadcast; `asked` is R, bytes/s (the module's text).

    All of the bandwidth where there is no limit to the backlog, or nothing to send.
    """
    room = 2 * bandwidth * backlog_s
    step = np.log(1 / overflow) * query_bytes
    bend = np.where(asked > 0, (dispersion - 1) * step / np.maximum(asked, 1e-300), 0.0)
    half = 0.5 * (room + step)
    # The positive root of bend r^2 + 2 half r = room B, in the form that holds for bend = 0 too.
    # Where counts are steadier than Poisson (bend < 0) there may be none: the whole link is safe.
    with np.errstate(divide="ignore", invalid="ignore"):
        root = room * bandwidth / (half + np.sqrt(half**2 + bend * room * bandwidth))
    return np.where(np.isfinite(root), np.minimum(root, bandwidth), bandwidth)


def tolerated_overflow_c(problem: Problem, overflow: float, *, spillover: bool) -> FloatArray:
    """delta of each client's links.

    Without spill-over a query that finds its link full is lost: delta is `overflow`. With it the
    client's own models answer (its refuge), and the part (way - refuge) / way of its value is lost.
    Where nothing is lost, sparing the link gains nothing, and it may be full half of the time. In
    between, delta = 1/2 - (1/2 - overflow) (way - refuge) / way. With 0.8 up the link, 0.6 at home
    and 0.05, that is 0.5 - 0.45 x 0.25 = 0.39.
    """
    if not spillover:
        return np.full(len(problem.clients), overflow)
    way_c, refuge_c = way_accuracy_c(problem), refuge_accuracy_c(problem)
    lost_c = np.divide(way_c - refuge_c, way_c, out=np.zeros_like(way_c), where=way_c > 0)
    most = max(overflow, LARGEST_OVERFLOW)
    return np.asarray(most - (most - overflow) * np.clip(lost_c, 0.0, 1.0))


def with_link_headroom(problem: Problem, overflow: float, *, spillover: bool) -> Problem:
    """`problem` with the budgets of links (F7) that its clients' dispersion leaves.

    A budget never rises: the file's share of the link is what Poisson arrivals may take. Where
    they alone would overflow more often than asked, bursts shrink that share in proportion.
    Links whose bandwidth the problem does not know stay as they are.
    """
    if not (problem.dispersion_c > 1).any():
        return problem
    c = problem.client_of_a
    sent_ct = problem.load_ct * problem.query_bytes_t
    asked_c = sent_ct.sum(axis=1)
    excess_c = np.maximum(problem.dispersion_c - 1, 0.0)
    overflow_c = tolerated_overflow_c(problem, overflow, spillover=spillover)
    alone_a = np.bincount(c, minlength=len(problem.clients))[c] == 1
    kappa_a = np.where(alone_a, problem.client_uplink_c[c], problem.uplink_a)
    kept_a = kappa_a * _kept(
        kappa_a, problem.bandwidth_a, problem.backlog_a, _mean_bytes(problem, problem.load_ct)[c],
        asked_c[c], excess_c[c], overflow_c[c],
    )  # fmt: skip
    client_uplink_c = problem.client_uplink_c.copy()
    client_uplink_c[c[alone_a]] = kept_a[alone_a]
    load_et = by_edge(problem, problem.load_ct[c])
    # What crosses an edge's link comes from all of its clients, each as bursty as it is. A byte has
    # the variance I in the mean, so (I - 1) times the bytes is what a client's bursts add.
    asked_e = by_edge(problem, asked_c[c])
    burst_e = burst_variance_e(problem, (excess_c * asked_c)[c])
    excess_e = burst_e / np.maximum(asked_e, 1e-300)
    edge_uplink_e = problem.edge_uplink_e * _kept(
        problem.edge_uplink_e, problem.edge_bandwidth_e, problem.edge_backlog_e,
        _mean_bytes(problem, load_et), asked_e, excess_e, np.full(len(asked_e), overflow),
    )  # fmt: skip
    return problem.changed(
        client_uplink_c=client_uplink_c,
        uplink_a=np.where(alone_a, problem.uplink_a, kept_a),
        edge_uplink_e=edge_uplink_e,
    )


def _kept(
    kappa_n: FloatArray, bandwidth_n: FloatArray, backlog_n: FloatArray, bytes_n: FloatArray,
    asked_n: FloatArray, excess_n: FloatArray, overflow_n: FloatArray,
) -> FloatArray:  # fmt: skip
    """Part of each budget that stays under bursts."""
    known_n = np.isfinite(bandwidth_n) & np.isfinite(backlog_n) & (kappa_n > 0)
    bandwidth_n = np.where(known_n, bandwidth_n, 1.0)
    link = (bandwidth_n, np.where(known_n, backlog_n, 1.0), bytes_n, asked_n)
    poisson_n = carried_bytes_per_s(*link, np.ones_like(excess_n), overflow_n)
    bursty_n = carried_bytes_per_s(*link, 1 + excess_n, overflow_n)
    part_n = bursty_n / np.maximum(np.minimum(kappa_n, poisson_n), 1e-300)
    return np.where(known_n, np.minimum(part_n, 1.0), 1.0)


def _mean_bytes(problem: Problem, load_nt: FloatArray) -> FloatArray:
    """Bytes of the query that a byte belongs to, on average: E b^2 / E b of what is asked."""
    sent_nt = load_nt * problem.query_bytes_t
    total_n = sent_nt.sum(axis=1)
    square_n = (sent_nt * problem.query_bytes_t).sum(axis=1)
    mean_n = np.divide(square_n, total_n, out=np.zeros_like(total_n), where=total_n > 0)
    return np.asarray(mean_n)
