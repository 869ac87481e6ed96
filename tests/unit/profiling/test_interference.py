"""What neighbours cost: ratios of medians, and how they enter the compute budget."""

from __future__ import annotations

import pytest

from cluster.devices import EmulatedDevice, SlowerThanHere
from cluster.specs import SPECS
from cluster.topology import Topology
from profiling.batch_latency import PAUSE_S
from profiling.device_ratio import stated_ratio
from profiling.emulation import emulate
from profiling.interference import (
    RUNS,
    BusyRatio,
    Interference,
    NeighbourTimes,
    neighbours_busy,
    time_beside,
)
from profiling.profile import CalibrationNote, Profiles
from support.measured_models import measured_model, measured_profiles

TOPOLOGY = Topology.load(SPECS / "demo.yaml")
MODEL = "rooms-small-depth"


def row(ratio: float, beside: str = "node") -> BusyRatio:
    return BusyRatio.model_validate(
        {"model": MODEL, "batch": 1, "beside": beside, "neighbour": MODEL, "ratio": ratio,
         "low": ratio, "high": ratio}
    )  # fmt: skip


def with_neighbours(*rows: BusyRatio) -> Profiles:
    busy = neighbours_busy(TOPOLOGY.nodes)
    table = Interference(measured_on="edge-0", rows=rows, neighbours_busy=busy)
    return measured_profiles(TOPOLOGY, measured_model(MODEL)).model_copy(
        update={"interference": (table,)}
    )


def test_a_batch_is_timed_after_its_own_and_after_its_neighbours() -> None:
    done: list[str] = []

    def timed() -> float:
        done.append("own")
        return 0.012 if done[-2] == "neighbour" else 0.010

    times = time_beside(timed, lambda: done.append("neighbour"), lambda s: done.append(f"{s:g}"))
    assert done[:5] == [f"{PAUSE_S:g}", "own", "own", "neighbour", "own"]
    assert len(times.alone_s) == len(times.beside_s) == RUNS
    found = times.ratio(MODEL, 1, "model", "other")
    assert found.ratio == pytest.approx(1.2)
    assert found.low == pytest.approx(1.2)
    assert found.high == pytest.approx(1.2)


def test_a_ratio_of_too_few_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="at least six runs"):
        NeighbourTimes(alone_s=(1.0,) * 5, beside_s=(1.0,) * 9).ratio(MODEL, 1, "node", MODEL)


def test_neighbours_are_busy_as_their_budgets_let_them_be() -> None:
    busy = neighbours_busy(TOPOLOGY.nodes)
    total = sum(node.compute for node in TOPOLOGY.nodes)
    assert busy["edge-0"] == pytest.approx(total - TOPOLOGY.node("edge-0").compute)
    assert all(0 <= share <= 1 for share in busy.values())
    assert neighbours_busy(TOPOLOGY.nodes[:1]) == {TOPOLOGY.nodes[0].name: 0.0}
    slow = EmulatedDevice(emulate=SlowerThanHere(slower_than_here=4))
    emulating = TOPOLOGY.node("cloud").model_copy(update={"device": slow})
    pair = neighbours_busy([TOPOLOGY.node("edge-0"), emulating])
    assert pair["edge-0"] == pytest.approx(emulating.compute / 4)


def test_a_budget_shrinks_by_what_busy_neighbours_cost_on_average() -> None:
    """The example of the module's docstring."""
    table = Interference(measured_on="n", rows=(row(1.3),), neighbours_busy={"n": 0.5})
    assert table.slowdown("n") == pytest.approx(1.15)
    assert table.slowdown("of another host") == 1.0
    profiles = with_neighbours(row(1.2), row(1.4), row(9.0, "model"))
    share = neighbours_busy(TOPOLOGY.nodes)["edge-0"]
    assert profiles.compute_share("edge-0") == pytest.approx(1 / (1 + 0.3 * share))


def test_neighbours_that_cost_nothing_give_nothing() -> None:
    assert with_neighbours(row(0.9)).compute_share("edge-0") == 1.0
    assert with_neighbours().compute_share("edge-0") == 1.0
    assert measured_profiles(TOPOLOGY, measured_model(MODEL)).compute_share("edge-0") == 1.0


def test_what_is_in_the_times_already_is_not_counted_twice() -> None:
    profiles = with_neighbours(row(1.5))
    note = CalibrationNote(ratio=1.2, batches=50)
    edge = TOPOLOGY.node("edge-0")
    slow = edge.model_copy(
        update={"device": EmulatedDevice(emulate=SlowerThanHere(slower_than_here=3))}
    )
    for changed in (
        [each.model_copy(update={"calibration": note}) for each in profiles.profiles],
        [emulate(each, slow, stated_ratio(3.0)) for each in profiles.profiles],
    ):
        after = profiles.model_copy(update={"profiles": tuple(changed)})
        assert after.compute_share("edge-0") == 1.0
    assert profiles.compute_share("edge-0") < 1.0
