"""Simulated links follow recorded capacities, as those of running nodes do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.link import LinkTraceFile
from planner.solution import Solution
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from support.demo_setting import demo_demand


def recorded(setting: Setting, folder: Path, rows: str, scale: float = 1.0) -> Setting:
    """`setting`, whose clients' links have that capacity instead of their own bandwidth."""
    file = folder / "link.csv"
    file.write_text("\n".join(["t_s,capacity_mbit_s", *rows.split()]))
    trace = LinkTraceFile(file=str(file), scale=scale)
    links = tuple(
        link.model_copy(update={"trace": trace, "bandwidth": None})
        if link.target == "edge-0"
        else link
        for link in setting.topology.links
    )
    return replace(setting, topology=setting.topology.model_copy(update={"links": links}))


def test_a_trace_of_one_capacity_is_a_bandwidth(
    setting: Setting, solution: Solution, tmp_path: Path
) -> None:
    traced = recorded(setting, tmp_path, "0,2.8 1,2.8 2,2.8")  # 350 KB/s
    links = tuple(
        link.carrying(350_000.0) if link.target == "edge-0" else link
        for link in setting.topology.links
    )
    steady = replace(setting, topology=setting.topology.model_copy(update={"links": links}))
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 10.0})
    one, other = (simulate(each, solution.plan, [phase], seed=3) for each in (traced, steady))
    assert (one.outcome == other.outcome).mean() > 0.99
    np.testing.assert_allclose(np.nansum(one.latency_s), np.nansum(other.latency_s), rtol=1e-3)


def test_queries_find_no_way_up_while_a_link_carries_nothing(
    setting: Setting, solution: Solution, tmp_path: Path
) -> None:
    """A second of twice the capacity, then a second of none."""
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 20.0})
    calm = simulate(recorded(setting, tmp_path, "0,3 1,3"), solution.plan, [phase], seed=3)
    torn = simulate(recorded(setting, tmp_path, "0,6 1,0"), solution.plan, [phase], seed=3)
    up = (torn.node == "edge-0") & (torn.outcome == "answered")
    assert up.sum() < ((calm.node == "edge-0") & (calm.outcome == "answered")).sum()
    in_second = torn.scheduled_s[up] % 2.0
    assert (in_second < 1.0).sum() > 2 * (in_second >= 1.0).sum()
    assert np.isfinite(torn.latency_s[up]).all()


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_plans_are_made_for_the_mean_of_a_trace(
    setting: Setting, tmp_path: Path, scale: float
) -> None:
    phase = demo_demand().phases[0]
    problem = recorded(setting, tmp_path, "0,6 1,0 2,3", scale).problem(phase)
    share = setting.topology.uplinks("client-0")[0].budget_share
    np.testing.assert_allclose(problem.client_uplink_c, share * scale * 375_000.0)
    np.testing.assert_allclose(problem.bandwidth_a, scale * 375_000.0)
