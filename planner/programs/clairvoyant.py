"""What no sequence of plans could have beaten: an upper bound for a recorded run (F21).

A run is cut into periods of `period_s`. Known are the queries that arrived in each, and which nodes
and links were there. One linear program chooses, for every period, what share of a model a node
holds and how many of the period's queries each way answers. It knows the future, it moves models at
no cost and in halves, and a batch is never small: whatever a planner, a router and a batcher do,
each of their answers is possible here. So its optimum, and every dual bound of it, is at least what
any of them scores.

A plan is in force for whole periods, and answers what arrives in its own: of models that take turns
within one period the program knows nothing.

Work and bytes need not end with their period. Each device and link has a backlog that goes over
into the next one, and may be at most what a query may wait, `wait_s`: a query that is answered in
time has left every queue by then.

Axis letters: k period, c client, e edge, a attachment (F12), t task, m model, v variable, r row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from planner.attachments import best_by_client, by_edge
from planner.fits import room
from planner.paths import carries_nt, link_a
from planner.problem import FloatArray, Problem
from planner.solvers.highs import solve_highs
from planner.solvers.program import LinearProgram, SolverLimits

__all__ = ["ClairvoyantBound", "Health", "LeastWork", "clairvoyant_bound", "least_work"]

IntArray = NDArray[np.int64]
WHOLE_DEVICE = 1.0
"""busy seconds a second that a device can give: a plan's compute budget is a part of it, but no
node holds its queries to that, so a burst may use all"""


@dataclass(frozen=True, eq=False)
class LeastWork:
    """Device seconds that an answer takes at least, however large its batch. Shapes by name."""

    client_cm: FloatArray
    edge_em: FloatArray
    cloud_t: FloatArray


@dataclass(frozen=True, eq=False)
class Health:
    """What part of each period the nodes were up, and what part of its bandwidth a link had: from 0
    to 1, shapes by name (`link_ka` client to edge, `backhaul_ke` edge to cloud)."""

    client_kc: FloatArray
    edge_ke: FloatArray
    cloud_k: FloatArray
    link_ka: FloatArray
    backhaul_ke: FloatArray

    @classmethod
    def whole(cls, problem: Problem, periods: int) -> Health:
        """Nothing ever failed."""

        def ones(*shape: int) -> FloatArray:
            return np.ones((periods, *shape))

        edges, attachments = len(problem.edges), len(problem.client_of_a)
        return cls(ones(len(problem.clients)), ones(edges), ones(), ones(attachments), ones(edges))


@dataclass(frozen=True)
class ClairvoyantBound:
    """No sequence of plans scores above `score`: the sum of accuracies over the answers in time."""

    score: float
    queries: int

    @property
    def accuracy(self) -> float:
        """The bound on F1: `score` over all queries; 0 if there were none."""
        return self.score / self.queries if self.queries else 0.0


def least_work(problem: Problem) -> LeastWork:
    """From c, and from nu spread over the largest batch where that is known (edges).

    The cloud may answer with any model that it holds, so the quickest of all counts there.
    """
    edge_em = problem.edge_marginal_em + problem.edge_setup_em / problem.edge_max_batch_e[:, None]
    in_cloud_t = problem.cloud_model_t >= 0
    quickest = float(problem.cloud_cost_t[in_cloud_t].min(initial=0.0))
    return LeastWork(problem.client_marginal_cm, edge_em, np.where(in_cloud_t, quickest, 0.0))


def clairvoyant_bound(
    problem: Problem,
    arrivals_kct: NDArray[np.int64],
    period_s: float,
    wait_s: float,
    *,
    work: LeastWork | None = None,
    health: Health | None = None,
    time_limit_s: float = 60.0,
) -> ClairvoyantBound:
    """The bound for queries `arrivals_kct` in periods of `period_s` seconds (F21).

    `problem` gives nodes, models, accuracies and links; its loads are not used. `wait_s` is the
    longest that any query may take. Answers that come later do not count for the bound, so they
    must not count for what is compared with it either.

    Raises `ValueError` for a period or wait that is not positive, or counts of another shape.
    """
    expected = (len(problem.clients), len(problem.tasks))
    if arrivals_kct.ndim != 3 or arrivals_kct.shape[1:] != expected:
        raise ValueError(f"expected counts of shape (periods, {expected[0]}, {expected[1]}), got "
                         f"{arrivals_kct.shape}")  # fmt: skip
    if period_s <= 0 or wait_s <= 0:
        raise ValueError(f"expected a positive period and wait, got {period_s} s and {wait_s} s")
    if (arrivals_kct < 0).any():
        raise ValueError("expected counts from 0 on")
    queries = int(arrivals_kct.sum())
    if not queries:
        return ClairvoyantBound(0.0, 0)
    builder = _Builder(
        problem, arrivals_kct.astype(float), period_s, wait_s, work or least_work(problem),
        health or Health.whole(problem, len(arrivals_kct)),
    )  # fmt: skip
    program = builder.build()
    result = solve_highs(program, SolverLimits(time_limit_s=time_limit_s))
    # No answer scores above the most accurate model of its task, whatever the solver came to.
    best_t = np.maximum(problem.accuracy_mt.max(axis=0, initial=0.0), problem.cloud_accuracy_t)
    most = float((arrivals_kct * best_t).sum())
    return ClairvoyantBound(min(result.bound, most), queries)


@dataclass
class _Builder:
    """Collects columns, and rows `matrix x <= rhs`, one method a constraint."""

    problem: Problem
    arrivals_kct: FloatArray
    period_s: float
    wait_s: float
    work: LeastWork
    health: Health
    column_count: int = 0
    row_count: int = 0
    objective: list[FloatArray] = field(default_factory=list)
    upper: list[FloatArray] = field(default_factory=list)
    entries: list[tuple[IntArray, IntArray, FloatArray]] = field(default_factory=list)
    rhs: list[FloatArray] = field(default_factory=list)

    def build(self) -> LinearProgram:
        p, n_kct = self.problem, self.arrivals_kct
        K, C, E, A = len(n_kct), len(p.clients), len(p.edges), len(p.client_of_a)
        serves_tm = p.accuracy_mt.T > 0
        client_cm = self._held(p.client_model_bytes_cm, p.client_memory_c)
        edge_em = self._held(p.edge_model_bytes_em, p.edge_memory_e)
        n_kat = n_kct[:, p.client_of_a] * carries_nt(p, link_a(p))
        n_ket = np.stack([by_edge(p, n_at) for n_at in n_kat])
        cloud_t = (p.cloud_model_t >= 0) & (p.cloud_accuracy_t > 0)
        cloud_at = cloud_t & carries_nt(p, p.edge_uplink_e)[p.edge_of_a]

        local = np.nonzero((n_kct > 0)[..., None] & serves_tm & client_cm[:, None, :])
        served = np.nonzero((n_ket > 0)[..., None] & serves_tm & edge_em[:, None, :])
        sent = np.nonzero(n_kat > 0)
        above = np.nonzero((n_kat > 0) & cloud_at)
        held_c = np.nonzero(np.broadcast_to(client_cm, (K, *client_cm.shape)))
        held_e = np.nonzero(np.broadcast_to(edge_em, (K, *edge_em.shape)))

        x = self._columns(np.zeros(len(held_c[0])), np.ones(len(held_c[0])))
        y = self._columns(np.zeros(len(held_e[0])), np.ones(len(held_e[0])))
        k, c, t, m = local
        v = self._columns(p.accuracy_mt[m, t], n_kct[k, c, t])
        ke, e, te, me = served
        f = self._columns(p.accuracy_mt[me, te], n_ket[ke, e, te])
        ko, ao, to = sent
        o = self._columns(np.zeros(len(ko)), n_kat[ko, ao, to])
        kr, ar, tr = above
        r = self._columns(p.cloud_accuracy_t[tr], n_kat[kr, ar, tr])

        # F2: no query is answered twice.
        client_o, client_r = p.client_of_a[ao], p.client_of_a[ar]
        shape = n_kct.shape
        self._rows(
            n_kct.ravel(),
            (v, np.ravel_multi_index((k, c, t), shape), np.ones(len(k))),
            (o, np.ravel_multi_index((ko, client_o, to), shape), np.ones(len(ko))),
            (r, np.ravel_multi_index((kr, client_r, tr), shape), np.ones(len(kr))),
        )
        # F3: a model answers no more than the part of it that is held.
        self._held_first(v, x, (k, c, m), held_c, (K, *client_cm.shape), n_kct[k, c, t])
        self._held_first(f, y, (ke, e, me), held_e, (K, *edge_em.shape), n_ket[ke, e, te])
        # What an edge's models answer has been sent to it.
        self._rows(
            np.zeros(n_ket.size),
            (f, np.ravel_multi_index((ke, e, te), n_ket.shape), np.ones(len(ke))),
            (o, np.ravel_multi_index((ko, p.edge_of_a[ao], to), n_ket.shape), -np.ones(len(ko))),
        )
        # F4: memory.
        self._memory(x, held_c, p.client_model_bytes_cm, p.client_memory_c)
        self._memory(y, held_e, p.edge_model_bytes_em, p.edge_memory_e)
        # F5, F9, F8: device time; F7: bytes.
        h, bytes_t = self.health, p.query_bytes_t
        up_kc = np.stack([best_by_client(p, up_a) for up_a in h.link_ka])
        self._backlog(h.client_kc, np.full(C, WHOLE_DEVICE), (v, k, c, self.work.client_cm[c, m]))
        self._backlog(h.edge_ke, np.full(E, WHOLE_DEVICE), (f, ke, e, self.work.edge_em[e, me]))
        self._backlog(
            h.cloud_k[:, None], np.array([WHOLE_DEVICE]),
            (r, kr, np.zeros_like(ar), self.work.cloud_t[tr]),
        )  # fmt: skip
        self._backlog(
            up_kc, p.client_uplink_c, (o, ko, client_o, bytes_t[to]), (r, kr, client_r, bytes_t[tr])
        )
        one_a = link_a(p)
        if A > C or p.limited_attachments.size or (h.link_ka < 1).any():
            self._backlog(h.link_ka, one_a, (o, ko, ao, bytes_t[to]), (r, kr, ar, bytes_t[tr]))
        self._backlog(h.backhaul_ke, p.edge_uplink_e, (r, kr, p.edge_of_a[ar], bytes_t[tr]))
        return self._finish()

    def _held(self, bytes_nm: FloatArray, memory_n: FloatArray) -> NDArray[np.bool_]:
        """Models that serve something and fit their node's memory alone."""
        useful_m = (self.problem.accuracy_mt > 0).any(axis=1)
        return np.asarray(useful_m & np.isfinite(bytes_nm) & (bytes_nm <= room(memory_n)[:, None]))

    def _columns(self, objective_v: FloatArray, upper_v: FloatArray) -> IntArray:
        columns = np.arange(self.column_count, self.column_count + len(upper_v))
        self.column_count += len(upper_v)
        self.objective.append(objective_v)
        self.upper.append(upper_v)
        return columns

    def _rows(self, rhs_r: FloatArray, *terms: tuple[IntArray, IntArray, FloatArray]) -> None:
        """Rows with these right sides; a term is (columns, local row of each, coefficient)."""
        for columns, row, value in terms:
            self.entries.append((row + self.row_count, columns, value))
        self.row_count += len(rhs_r)
        self.rhs.append(rhs_r)

    def _held_first(
        self,
        flow: IntArray,
        held: IntArray,
        place: tuple[IntArray, ...],
        held_at: tuple[IntArray, ...],
        shape: tuple[int, ...],
        most: FloatArray,
    ) -> None:
        """flow <= most x held, of the model at `place` (k, n, m)."""
        column_knm = np.zeros(shape, dtype=np.int64)
        column_knm[held_at] = held
        row = np.arange(len(flow))
        self._rows(np.zeros(len(flow)), (flow, row, np.ones(len(flow))),
                   (column_knm[place], row, -most))  # fmt: skip

    def _memory(
        self, held: IntArray, held_at: tuple[IntArray, ...], bytes_nm: FloatArray, mu_n: FloatArray
    ) -> None:
        k, n, m = held_at
        periods = len(self.arrivals_kct)
        size = np.maximum(mu_n, 1.0)
        rows = k * len(mu_n) + n
        self._rows(np.tile(room(mu_n) / size, periods), (held, rows, bytes_nm[n, m] / size[n]))

    def _backlog(
        self,
        up_kn: FloatArray,
        capacity_n: FloatArray,
        *uses: tuple[IntArray, IntArray, IntArray, FloatArray],
    ) -> None:
        """What comes in a period, with the backlog of the one before, is done in it or becomes the
        backlog that it leaves, of `wait_s` at most. A use is (columns, k, n, amount each)."""
        limited_n = np.isfinite(capacity_n) & (capacity_n > 0)
        place_n = np.cumsum(limited_n) - 1
        count, periods = int(limited_n.sum()), len(up_kn)
        # In units of a whole period of the resource, so that all rows are of one size.
        left = self._columns(
            np.zeros(periods * count), np.full(periods * count, self.wait_s / self.period_s)
        )
        terms = []
        for columns, k, n, amount in uses:
            keep = limited_n[n]
            whole = capacity_n[n[keep]] * self.period_s
            terms.append((columns[keep], k[keep] * count + place_n[n[keep]], amount[keep] / whole))
        rows = np.arange(periods * count)
        self._rows(
            up_kn[:, limited_n].ravel(),
            *terms,
            (left, rows, -np.ones(len(rows))),
            (left[: (periods - 1) * count], rows[count:], np.ones((periods - 1) * count)),
        )

    def _finish(self) -> LinearProgram:
        row, column, value = (np.concatenate(parts) for parts in zip(*self.entries, strict=True))
        matrix = sp.csc_matrix((value, (row, column)), shape=(self.row_count, self.column_count))
        return LinearProgram(
            objective_v=np.concatenate(self.objective),
            upper_v=np.concatenate(self.upper),
            integer_v=np.zeros(self.column_count, dtype=bool),
            matrix=matrix,
            rhs_r=np.concatenate(self.rhs),
            row_scale_r=np.ones(self.row_count),
        )
