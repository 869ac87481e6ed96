"""A small schedule with answers to it, for all tests of traffic."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.demand import Phase
from cluster.provenance import Provenance
from serving.system import Answer, Outcome, Timing
from serving.traffic.driver import Record
from serving.traffic.measurement import Measurements, build_measurements
from serving.traffic.schedule import Schedule, build_schedule

PROVENANCE = Provenance(
    created_at="2026-01-01T00:00:00+00:00",
    command="testbed drive",
    commit="abc",
    host="here",
    processor="some",
    cores=2,
    versions={"python": "3.11"},
    seed=1,
)


@pytest.fixture
def schedule() -> Schedule:
    rates = {"c1": {"depth": 4.0, "edges": 2.0}, "c2": {"depth": 2.0}}
    return build_schedule([Phase(duration_s=10.0, rates_qps=rates)] * 2, 5, 10)


@pytest.fixture
def records(schedule: Schedule) -> list[Record]:
    """Every fifth query shed, query 7 an error, the others answered with score 0.8."""
    made = []
    for index, due_s in enumerate(schedule.scheduled_s_q.tolist()):
        timing = Timing(queue_s=0.02, batch_wait_s=0.01, compute_s=0.03, link_s=0.04)
        answer = Answer(
            Outcome.ANSWERED,
            tier="edge" if index % 2 else "client",
            node="e1" if index % 2 else "c1",
            model="rooms-small-all",
            plan_version=3,
            batch_size=4,
            bound_s=0.15,
            timing=timing,
            prediction=np.zeros((4, 4)),
        )
        if index % 5 == 0:
            answer = Answer(Outcome.SHED, reason="over budget")
        elif index == 7:
            answer = Answer(Outcome.ERROR, reason="ConnectionError: reset")
        score = 0.8 if answer.outcome is Outcome.ANSWERED else 0.0
        latency_s = 0.1 if index % 2 else 0.2
        made.append(Record(index, due_s, due_s + 0.001, due_s + latency_s, answer, score))
    return made


@pytest.fixture
def measurements(schedule: Schedule, records: list[Record]) -> Measurements:
    return build_measurements(
        schedule,
        records,
        policy="baj3o",
        plan_version=3,
        provenance=PROVENANCE,
    )
