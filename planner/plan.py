"""`plan.json`: what each node holds and where each client's queries go, with its certificate."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from cluster.demand import BundleLoad
from cluster.document import Document, DocumentError, FrozenModel
from cluster.measured_links import LinkFigures
from cluster.provenance import Provenance
from planner.allocation import Allocation
from planner.attachments import several_edges_c
from planner.bundles import alone_ct
from planner.certificate import Certificate, EvaluationSummary
from planner.problem import Problem

__all__ = ["Plan", "PlanError", "Route", "TierName", "allocation_of", "plan_of"]

TierName = Literal["client", "edge", "cloud"]


SAID_OF_IT = frozenset(
    {"schema_version", "version", "profiles_digest", "predicted", "certificate", "provenance"}
)
"""of the keys of a plan: what is said of it, and decides nothing"""


class PlanError(DocumentError):
    """A plan does not belong to the problem; the message starts with the path of the key."""


class Route(FrozenModel):
    """The share of one client's queries of one task that one model at one node answers."""

    client: str
    task: str
    tier: TierName
    node: str
    model: str
    share: float = Field(gt=0, le=1 + 1e-9)
    via: str | None = Field(
        default=None, description="edge a cloud query passes, where its client reaches several"
    )


class Plan(Document):
    """Onloading and routing. Shares of a (client, task) sum to at most 1; the rest is shed."""

    made_by: ClassVar[str] = "`testbed plan` makes one"

    version: int = Field(default=1, ge=0)
    problem_digest: str
    policy: str
    onloading: dict[str, tuple[str, ...]] = Field(description="node -> models, cloud included")
    routes: tuple[Route, ...]
    fill: float = Field(default=1.0, gt=0, le=1, description="share of compute budgets planned")
    overrun: float | None = Field(default=None, description="delta of F11, if windows keep it")
    load_qps: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = Field(
        default_factory=dict,
        description="client -> task -> queries/s that the plan is made for, each of an image of "
        "its own; older files lack it",
    )
    bundles: tuple[BundleLoad, ...] = Field(
        default=(), description="images of several tasks that it is made for beside these (F14)"
    )
    dispersion: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="client -> dispersion of its queries in 2 T_b that the plan is made for "
        "(F17); 1 if left out",
    )
    burst_correlation: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of the rates of two clients, that the plan is made for (F17); left out where "
        "none of them bursts",
    )
    deadlines_s: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="task, or class of one as TASK@CLASS -> seconds within which it is to "
        "be answered (F13, F20); none if left out",
    )
    links: dict[str, LinkFigures] = Field(
        default_factory=dict,
        description="'source to target' -> what was measured of the link, where the plan is made "
        "for that; as the topology says if left out",
    )
    profiles_digest: str | None = Field(
        default=None, description="of the profiles that its problem was made from, if it was"
    )
    predicted: EvaluationSummary | None = None
    certificate: Certificate | None = None
    provenance: Provenance | None = None

    @cached_property
    def digest(self) -> str:
        """Hex digest of what it decides, and for what load; not of its version, nor of what is
        predicted and proven of it. Equal plans have equal digests."""
        left_out = SAID_OF_IT if self.links else SAID_OF_IT | {"links"}  # as older plans have it
        decided = self.model_dump(mode="json", exclude=set(left_out))
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:32]


def plan_of(
    problem: Problem,
    allocation: Allocation,
    *,
    policy: str,
    fill: float = 1.0,
    overrun: float | None = None,
    predicted: EvaluationSummary | None = None,
    certificate: Certificate | None = None,
    version: int = 1,
) -> Plan:
    """The plan with the names of `problem` for the arrays of `allocation`."""
    models = problem.models
    onloading = {
        name: tuple(models[m] for m in np.flatnonzero(held_m))
        for names, held_nm in (
            (problem.clients, allocation.onloaded_cm),
            (problem.edges, allocation.onloaded_em),
        )
        for name, held_m in zip(names, held_nm, strict=True)
    }
    in_cloud = sorted({int(m) for m in problem.cloud_model_t if m >= 0})
    onloading[problem.cloud] = tuple(models[m] for m in in_cloud)
    alone = alone_ct(problem.bundle_bt, problem.bundle_load_cb, problem.load_ct).tolist()
    load_qps = {
        client: {task: qps for task, qps in zip(problem.tasks, load_t, strict=True) if qps > 0}
        for client, load_t in zip(problem.clients, alone, strict=True)
    }
    dispersion = dict(zip(problem.clients, problem.dispersion_c.tolist(), strict=True))
    deadlines_s = dict(zip(problem.tasks, problem.deadline_t.tolist(), strict=True))
    return Plan(
        version=version,
        problem_digest=problem.digest,
        load_qps=load_qps,
        bundles=tuple(_bundles(problem)),
        dispersion={client: value for client, value in dispersion.items() if value != 1.0},
        burst_correlation=problem.burst_correlation if np.any(problem.dispersion_c != 1) else None,
        deadlines_s={name: limit_s for name, limit_s in deadlines_s.items() if limit_s < np.inf},
        policy=policy,
        onloading=onloading,
        routes=tuple(_routes(problem, allocation)),
        fill=fill,
        overrun=overrun,
        predicted=predicted,
        certificate=certificate,
    )


def _bundles(problem: Problem) -> Iterator[BundleLoad]:
    for c, b in np.argwhere(problem.bundle_load_cb > 0):
        tasks = tuple(problem.tasks[t] for t in np.flatnonzero(problem.bundle_bt[b]))
        qps = float(problem.bundle_load_cb[c, b])
        yield BundleLoad(client=problem.clients[c], tasks=tasks, qps=qps)


def _routes(problem: Problem, allocation: Allocation) -> list[Route]:
    clients, tasks, models = problem.clients, problem.tasks, problem.models
    keyed: list[tuple[tuple[int, int, int], Route]] = []

    def add(
        c: int, t: int, order: int, tier: TierName, node: str, m: int, share: float,
        via: str | None = None,
    ) -> None:  # fmt: skip
        route = Route(
            client=clients[c], task=tasks[t], tier=tier, node=node, model=models[m],
            share=min(share, 1.0), via=via,
        )  # fmt: skip
        keyed.append(((c, t, order), route))

    for c, t, m in zip(*np.nonzero(allocation.local_ctm), strict=True):
        add(c, t, 0, "client", clients[c], m, float(allocation.local_ctm[c, t, m]))
    edge_a = [problem.edges[e] for e in problem.edge_of_a]
    several_c = several_edges_c(problem)
    for a, t, m in zip(*np.nonzero(allocation.edge_atm), strict=True):
        c = problem.client_of_a[a]
        add(c, t, 1, "edge", edge_a[a], m, float(allocation.edge_atm[a, t, m]))
    for a, t in zip(*np.nonzero(allocation.cloud_at), strict=True):
        c, m = problem.client_of_a[a], int(problem.cloud_model_t[t])
        via = edge_a[a] if several_c[c] else None
        add(c, t, 2, "cloud", problem.cloud, m, float(allocation.cloud_at[a, t]), via)
    keyed.sort(key=lambda item: item[0])
    return [route for _, route in keyed]


def allocation_of(problem: Problem, plan: Plan) -> Allocation:
    """The arrays of `plan`. Raises `PlanError` for a name the problem does not know, a route to
    or by way of an edge the client does not reach, or a cloud model that is not served there."""
    found = Allocation.empty(problem)
    c_of, e_of = _index(problem.clients), _index(problem.edges)
    t_of, m_of = _index(problem.tasks), _index(problem.models)
    reach_c: list[dict[str, int]] = [{} for _ in problem.clients]
    for a, (c, e) in enumerate(zip(problem.client_of_a, problem.edge_of_a, strict=True)):
        reach_c[c][problem.edges[e]] = a
    for node, names in plan.onloading.items():
        ms = [_find(m_of, name, f"onloading.{node}", "model") for name in names]
        if node in c_of:
            found.onloaded_cm[c_of[node], ms] = True
        elif node in e_of:
            found.onloaded_em[e_of[node], ms] = True
        elif node != problem.cloud:
            _find({**c_of, **e_of, problem.cloud: 0}, node, "onloading", "node")
    for position, route in enumerate(plan.routes):
        where = f"routes.{position}"
        c = _find(c_of, route.client, f"{where}.client", "client")
        t = _find(t_of, route.task, f"{where}.task", "task")
        m = _find(m_of, route.model, f"{where}.model", "model")
        a = _attachment(reach_c[c], route, where, problem.cloud)
        if route.tier == "client":
            found.local_ctm[c, t, m] += route.share
        elif route.tier == "edge":
            found.edge_atm[a, t, m] += route.share
        elif m == problem.cloud_model_t[t]:
            found.cloud_at[a, t] += route.share
        else:
            raise PlanError(f"{where}.model: the cloud does not serve {route.task!r} with it")
    return found


def _attachment(reach: dict[str, int], route: Route, where: str, cloud: str) -> int:
    """The attachment a route leaves its client by (any, for a route that stays there); `reach` is
    edge -> attachment of the client."""
    ends = {"client": [route.client], "edge": list(reach), "cloud": [cloud]}[route.tier]
    if route.node not in ends:
        raise PlanError(
            f"{where}.node: {route.tier} path of {route.client!r} ends at "
            f"{' or '.join(map(repr, ends))}, not {route.node!r}"
        )
    if route.tier == "cloud" and (route.via is not None or len(reach) > 1):
        if route.via not in reach:
            raise PlanError(
                f"{where}.via: cloud path of {route.client!r} passes "
                f"{' or '.join(map(repr, reach))}, not {route.via!r}"
            )
        return reach[route.via]
    return reach[route.node] if route.tier == "edge" else next(iter(reach.values()))


def _index(names: Sequence[str]) -> dict[str, int]:
    return {name: position for position, name in enumerate(names)}


def _find(index: dict[str, int], name: str, where: str, kind: str) -> int:
    if name in index:
        return index[name]
    near = difflib.get_close_matches(name, index, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise PlanError(f"{where}: the problem has no {kind} {name!r}{hint}")
