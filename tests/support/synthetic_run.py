"""A made-up run of the demo topology: every input of the report without a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluster.demand import Phase
from cluster.provenance import Provenance
from cluster.topology import Topology
from planner.certificate import Certificate, EvaluationSummary, Status
from planner.plan import Plan, Route, TierName
from profiling.profile import BatchLatency, ModelProfile, Profiles
from serving.report.compare import PolicyRow, policy_row
from serving.report.live import LiveComparison, compare_live
from serving.report.plan_changes import PlanChange
from serving.report.report import Report, build_report
from serving.system import Answer, Outcome, Timing
from serving.traffic.driver import Record
from serving.traffic.images import LabelledImages
from serving.traffic.measurement import Measurements, build_measurements
from serving.traffic.schedule import Schedule, build_schedule
from serving.traffic.summary import summarise
from support.paths import ROOT

TASKS = ("segmentation", "depth", "normals", "keypoints", "edges")
ACCURACY = {"small": 0.58, "middle": 0.69, "large": 0.78}
BOUNDS_S = {"client": 0.35, "edge": 0.84, "cloud": 0.95}

PROVENANCE = Provenance(
    created_at="2026-01-01T00:00:00+00:00",
    command="testbed demo",
    commit="0123456789ab",
    host="synthetic",
    processor="none",
    cores=2,
    versions={"python": "3.11.0", "ray": "2.60.0", "torch": "2.14.1"},
    seed=7,
)
CERTIFICATE = Certificate(
    objective=0.668,
    upper_bound=0.6752,
    gap=0.0107,
    status=Status.FEASIBLE,
    runtime_s=0.41,
    bound_method="LP relaxation",
    solver="highs",
    iterations=6,
)


@dataclass(frozen=True)
class Synthetic:
    topology: Topology
    plan: Plan
    phase: Phase
    profiles: Profiles
    schedule: Schedule
    records: list[Record]
    measurements: Measurements
    report: Report


def topology() -> Topology:
    return Topology.load(ROOT / "cluster" / "specs" / "demo.yaml")


def demand() -> list[Phase]:
    quiet = {"segmentation": 2.4, "depth": 1.6, "normals": 0.8, "keypoints": 0.5, "edges": 1.2}
    rates = {f"client-{c}": {t: q * (1 + 0.4 * c) for t, q in quiet.items()} for c in range(3)}
    flipped = {c: dict(zip(TASKS, reversed(r.values()), strict=True)) for c, r in rates.items()}
    return [
        Phase(duration_s=45.0, rates_qps=rates),
        Phase(duration_s=45.0, rates_qps=flipped),
    ]


def profiles(of: Topology) -> Profiles:
    sizes = {"small": 5 << 20, "middle": 22 << 20, "large": 61 << 20}
    kinds = {f"rooms-{size}-all": size for size in sizes}
    kinds |= {f"rooms-small-{task}": "small" for task in TASKS}
    return Profiles(
        topology=of.name,
        provenance=PROVENANCE,
        profiles=tuple(
            ModelProfile(
                model=model,
                node=node.name,
                measured_on=node.name,
                latency=(BatchLatency(batch=1, p50_s=0.01, p95_s=0.02, runs=9),),
                setup_s=0.004,
                marginal_s=0.006,
                residual=0.03,
                weights_bytes=sizes[size],
                workspace_bytes=sizes[size] // 4,
                load_s=0.2,
            )
            for node in of.nodes
            for model, size in kinds.items()
        ),
    )


def plan() -> Plan:
    routes = []
    for client in ("client-0", "client-1", "client-2"):
        local = "rooms-small-all" if client != "client-2" else "rooms-small-segmentation"
        for task in TASKS:
            shares: dict[tuple[TierName, str, str], float] = {}
            here = client != "client-2" or task == "segmentation"
            if here:
                shares["client", client, local] = 0.3
            shares["edge", "edge-0", "rooms-middle-all"] = 0.45 if here else 0.72
            if task in ("segmentation", "normals"):
                shares["cloud", "cloud", "rooms-large-all"] = 0.22
            routes += [
                Route(client=client, task=task, tier=tier, node=node, model=model, share=share)
                for (tier, node, model), share in shares.items()
            ]
    return Plan(
        problem_digest="d" * 16,
        policy="baj3o",
        onloading={
            "client-0": ("rooms-small-all",),
            "client-1": ("rooms-small-all", "rooms-small-depth"),
            "client-2": ("rooms-small-segmentation",),
            "edge-0": ("rooms-middle-all", "rooms-small-keypoints"),
            "cloud": ("rooms-large-all",),
        },
        routes=tuple(routes),
        predicted=summary(),
        certificate=CERTIFICATE,
    )


def summary(objective: float = 0.668) -> EvaluationSummary:
    return EvaluationSummary(
        objective=objective,
        accuracy_by_task=dict(zip(TASKS, (0.62, 0.71, 0.66, 0.59, 0.74), strict=True)),
        share_by_tier={"client": 0.22, "edge": 0.55, "cloud": 0.12},
        shed_share=0.11,
        utilization_by_node={
            "client-0": 0.05, "client-1": 0.07, "client-2": 0.03, "edge-0": 0.28, "cloud": 0.19,
        },
        tightest_by_constraint={"F4": 0.93, "F9": 0.98},
        fill=0.6,
        feasible=True,
    )  # fmt: skip


def records_of(schedule: Schedule, seed: int, loss: float = 0.0) -> list[Record]:
    """Answers by tier with gamma latencies; `loss` lowers the scores of the second phase."""
    rng = np.random.default_rng(seed)
    made = []
    for index, due_s in enumerate(schedule.scheduled_s_q.tolist()):
        tier = str(rng.choice(["client", "edge", "cloud", "shed"], p=[0.22, 0.55, 0.12, 0.11]))
        sent_s = due_s + rng.exponential(0.0008)
        if tier == "shed":
            answer, score, latency_s = Answer(Outcome.SHED, reason="not routed"), 0.0, 0.002
        else:
            scale = {"client": 0.02, "edge": 0.11, "cloud": 0.14}[tier]
            work_s = rng.gamma(4.0, scale / 2, 4) * [0.2, 0.45, 0.1, 0.25]
            latency_s = float(work_s.sum()) * 1.1
            size = {"client": "small", "edge": "middle", "cloud": "large"}[tier]
            node = {"client": schedule.clients[schedule.client_q[index]], "edge": "edge-0"}
            late = loss * (schedule.phase_q[index] == 1)
            score = float(np.clip(rng.normal(ACCURACY[size] + 0.1 - late, 0.12), 0, 1))
            answer = Answer(
                Outcome.ANSWERED,
                tier=tier,
                node=node.get(tier, "cloud"),
                model=f"rooms-{size}-all",
                plan_version=1,
                batch_size=int(rng.integers(1, 9)),
                bound_s=BOUNDS_S[tier],
                prediction=np.zeros((4, 4), np.uint8),
                timing=Timing(
                    link_s=float(work_s[0]),
                    queue_s=float(work_s[1]),
                    batch_wait_s=float(work_s[2]),
                    compute_s=float(work_s[3]),
                ),
            )
        made.append(Record(index, due_s, sent_s, due_s + latency_s, answer, score))
    return made


def measure(schedule: Schedule, records: list[Record], policy: str = "baj3o") -> Measurements:
    return build_measurements(
        schedule,
        records,
        policy=policy,
        plan_version=1,
        provenance=PROVENANCE,
    )


def busy_s() -> dict[str, float]:
    return {"client-0": 5.2, "client-1": 6.1, "client-2": 3.5, "edge-0": 27.0, "cloud": 16.0}


def policies(schedule: Schedule) -> list[PolicyRow]:
    rows = []
    losses = {"baj3o": 0.0, "all-edge": 0.12, "all-cloud": 0.3, "all-local": 0.22, "random": 0.4}
    for k, (policy, loss) in enumerate(losses.items()):
        records = records_of(schedule.head(45.0), 20 + k)
        scaled = [
            Record(r.place, r.scheduled_s, r.sent_s, r.done_s, r.answer, r.score * (1 - loss))
            for r in records
        ]
        measured = summarise(measure(schedule.head(45.0), scaled, policy), 45.0, busy_s())
        certificate = CERTIFICATE.model_copy(update={"gap": loss + 0.01})
        rows.append(policy_row(policy, summary(0.668 * (1 - loss)), measured, certificate))
    return rows


def live(schedule: Schedule) -> LiveComparison:
    return compare_live(
        measure(schedule, records_of(schedule, 3, loss=0.02)),
        measure(schedule, records_of(schedule, 4, loss=0.2), "frozen"),
        [
            PlanChange(at_s=52.4, version=2, predicted_accuracy=0.66, note="mix of tasks changed"),
            PlanChange(at_s=63.1, version=3, predicted_accuracy=0.67),
        ],
        live_busy_s=busy_s(),
        frozen_busy_s=busy_s(),
    )


def images(count: int, size: int = 12) -> LabelledImages:
    rng = np.random.default_rng(0)
    pictures = tuple(rng.integers(0, 255, (size, size, 3), dtype=np.uint8) for _ in range(count))
    labels: tuple[dict[str, Any], ...] = tuple(
        {task: np.full((size, size), k, np.uint8) for task in TASKS} for k in range(count)
    )
    return LabelledImages(pictures, tuple(b"png" for _ in pictures), labels)


def synthetic(*, full: bool = True) -> Synthetic:
    """The whole set; without `full` neither policies nor the live loop."""
    demo, phases = topology(), demand()
    schedule = build_schedule(phases, 11, 24)
    records = records_of(schedule, 2)
    measurements = measure(schedule, records)
    measured = summarise(measurements, schedule.duration_s, busy_s(), measurements.run.sent)
    report = build_report(
        summary(),
        measured,
        CERTIFICATE,
        PROVENANCE,
        bounds_s=BOUNDS_S,
        policies=policies(schedule) if full else None,
        live=live(schedule) if full else None,
    )
    return Synthetic(
        demo, plan(), phases[0], profiles(demo), schedule, records, measurements, report
    )
