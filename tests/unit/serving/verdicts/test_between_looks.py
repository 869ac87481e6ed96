"""What nodes did between two looks, beside what profiles and plan predict."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from serving.node.device.latency_model import BatchTotals
from serving.node.snapshot import NodeSnapshot
from serving.simulation.simulate import simulate_beside
from serving.simulation.simulated_system import SimulatedSystem
from serving.traffic.run_use import HostUse
from serving.verdicts.between_looks import judge_looks
from serving.verdicts.causes import Cause
from serving.verdicts.judge import PlannedFor
from serving.verdicts.verdict import Quantity, failed

Looks = tuple[Mapping[str, NodeSnapshot], Mapping[str, NodeSnapshot]]


@pytest.fixture(scope="module")
def looks(planned: PlannedFor) -> Looks:
    """After 5 and after 35 of 40 simulated seconds."""
    seen: list[Mapping[str, NodeSnapshot]] = []

    async def look(system: SimulatedSystem) -> None:
        await asyncio.sleep(5.0)
        seen.append(system.snapshots())
        await asyncio.sleep(30.0)
        seen.append(system.snapshots())

    simulate_beside(planned.setting, planned.plan, [planned.phase], look, seed=3)
    return seen[0], seen[1]


def test_a_system_as_predicted_fails_in_nothing(planned: PlannedFor, looks: Looks) -> None:
    verdicts = judge_looks(*looks, planned)
    assert {verdict.quantity for verdict in verdicts} == {
        Quantity.BATCH_LATENCY, Quantity.UTILIZATION, Quantity.LINK_BYTES, Quantity.SHED_SHARE,
    }  # fmt: skip
    assert failed(verdicts) == []


def test_batches_that_take_longer_than_their_profile_are_found(
    planned: PlannedFor, looks: Looks
) -> None:
    before, after = looks
    slow = dict(after)
    for name, seen in after.items():
        if name == "edge-0":
            totals = {
                model: BatchTotals(total.batches, total.queries, 2.0 * total.spent_s)
                for model, total in seen.batch_totals.items()
            }
            slow[name] = replace(seen, batch_totals=totals, busy_s=2.0 * seen.busy_s)
    found = failed(judge_looks(before, slow, planned))
    assert {verdict.quantity for verdict in found} >= {Quantity.BATCH_LATENCY}
    assert all(verdict.where.endswith("edge-0") for verdict in found)
    assert all(verdict.cause.startswith(Cause.STALE_PROFILE) for verdict in found)
    busy = HostUse(busy_share=0.99, stolen_share=0.0)
    crowded = failed(judge_looks(before, slow, planned, busy))
    assert all(verdict.cause.startswith(Cause.INTERFERENCE) for verdict in crowded)


def test_twice_the_load_is_found(planned: PlannedFor, looks: Looks) -> None:
    half = planned.phase.scaled(0.5)
    found = failed(judge_looks(*looks, replace(planned, phase=half)))
    links = [verdict for verdict in found if verdict.quantity is Quantity.LINK_BYTES]
    assert links
    assert all(verdict.cause.startswith(Cause.LOAD_DRIFT) for verdict in links)


def test_nodes_that_were_not_there_or_started_anew_are_left_out(
    planned: PlannedFor, looks: Looks
) -> None:
    before, after = looks
    assert judge_looks({}, after, planned) == ()
    anew = {**after, "edge-0": replace(after["edge-0"], busy_s=0.0, batches=0)}
    assert not any("edge-0" in verdict.where for verdict in judge_looks(before, anew, planned)
                   if verdict.quantity is not Quantity.LINK_BYTES)  # fmt: skip
