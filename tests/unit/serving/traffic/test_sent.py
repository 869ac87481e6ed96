"""Statistics of what was sent, on counts that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.demand import Demand, Phase
from cluster.specs import SPECS
from cluster.topology import Topology
from serving.traffic.schedule import Schedule, build_schedule
from serving.traffic.sent import describe_sent, windows_by_client


def schedule(counts_by_phase: list[list[int]], clients: int = 1) -> Schedule:
    """So many queries in each second, one second after the other, dealt to the clients in turn."""
    starts_s = np.cumsum([0, *map(len, counts_by_phase)])
    times_s, phases = [], []
    for position, counts in enumerate(counts_by_phase):
        for second, count in enumerate(counts):
            times_s += [starts_s[position] + second + (n + 0.5) / count for n in range(count)]
            phases += [position] * count
    size = len(times_s)
    return Schedule(
        clients=tuple(f"c{n}" for n in range(clients)),
        tasks=("depth",),
        duration_s=float(starts_s[-1]),
        phase_starts_s=tuple(map(float, starts_s[:-1])),
        scheduled_s_q=np.array(times_s),
        client_q=np.arange(size, dtype=np.int32) % clients,
        task_q=np.zeros(size, dtype=np.int32),
        image_q=np.zeros(size, dtype=np.int32),
        phase_q=np.array(phases, dtype=np.int32),
    )


def test_dispersion_is_variance_by_mean_and_correlation_is_with_the_next_second() -> None:
    total = describe_sent(schedule([[1, 3, 5, 3]])).total
    # Mean 3, squares 4 + 0 + 4 + 0 over 3 degrees of freedom; products -2·0 + 0·2 + 2·0.
    assert total.dispersion_1s == pytest.approx(8 / 3 / 3)
    assert total.autocorrelation_1s == pytest.approx(0.0)
    assert (total.queries, total.rate_qps) == (12, 3.0)
    slow = describe_sent(schedule([[1, 1, 1, 9, 9, 9]])).total
    assert slow.autocorrelation_1s == pytest.approx((16 + 16 - 16 + 16 + 16) / 96)


def test_a_step_from_one_phase_to_the_next_is_no_burst() -> None:
    total = describe_sent(schedule([[2, 2, 2], [9, 9, 9]])).total
    assert total.dispersion_1s == 0.0
    assert total.autocorrelation_1s is None
    both = describe_sent(schedule([[1, 3], [9, 11]])).total
    assert both.dispersion_1s == pytest.approx((2 + 2) / 2 / 6)


def test_windows_are_those_of_the_edge_a_client_reaches() -> None:
    sent = describe_sent(schedule([[2, 2, 6, 6]], clients=2), {"c0": 1.0, "c1": 0.5})
    # In two windows of a second each c0 has 2 queries, and then 6.
    assert sent.by_client["c0"].dispersion_window == pytest.approx(8 / 4)
    assert sent.by_client["c0"].window_s == sent.total.window_s == 1.0
    assert sent.by_client["c1"].window_s == 0.5
    topology = Topology.load(SPECS / "two-edges.yaml")
    nodes = [
        node.model_copy(update={"window_s": 0.9}) if node.name == "edge-0" else node
        for node in topology.nodes
    ]
    longer = Topology(name="t", nodes=tuple(nodes), links=topology.links)
    # Of two edges the one with the longer window counts.
    assert windows_by_client(longer) == {"client-0": 0.9, "client-1": 0.4}


def test_what_is_too_short_or_silent_is_left_out() -> None:
    short = describe_sent(schedule([[3]])).total
    assert short.dispersion_1s is None
    silent = build_schedule([Phase(duration_s=10, rates_qps={"c": {"depth": 0.0}})], 1, 1)
    assert describe_sent(silent).total.dispersion_1s is None


def test_poisson_traffic_is_told_from_bursts() -> None:
    rates = {"c": {"depth": 20.0}}
    mmpp = {
        "kind": "mmpp",
        "states": [{"factor": 0.2, "dwell_s": 4}, {"factor": 5, "dwell_s": 1}],
    }
    found = []
    for arrivals in ({"kind": "poisson"}, mmpp):
        phase = Phase.model_validate(
            {"duration_s": 2_000, "rates_qps": rates, "arrivals": arrivals}
        )
        found.append(describe_sent(build_schedule([phase], 1, 10)).total)
    poisson, bursts = found
    # Of 2,000 seconds both deviate by about .03 for Poisson.
    assert poisson.dispersion_1s == pytest.approx(1.0, abs=0.12)
    assert poisson.autocorrelation_1s == pytest.approx(0.0, abs=0.09)
    assert bursts.dispersion_1s is not None
    assert bursts.dispersion_1s > 20
    assert bursts.autocorrelation_1s is not None
    assert bursts.autocorrelation_1s > 0.3


@pytest.mark.parametrize(("seed", "dispersion"), [(12, 85), (13, 105), (14, 108)])
def test_the_bursty_demand_is_as_uneven_as_it_says_at_the_demos_mean_load(
    seed: int, dispersion: float
) -> None:
    bursty, demo = (Demand.load(SPECS / f"{name}-demand.yaml") for name in ("bursty", "demo"))
    assert bursty.phases[0].rates_qps == demo.phases[0].rates_qps
    total = describe_sent(build_schedule(bursty.phases, seed, 240)).total
    assert total.rate_qps == pytest.approx(demo.phases[0].total_qps, rel=0.05)
    assert total.dispersion_1s == pytest.approx(dispersion, abs=1)
    assert 55 <= dispersion <= 139
