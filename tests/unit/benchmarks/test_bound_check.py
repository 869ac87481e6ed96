"""No policy's plan scores above the clairvoyant's bound (F21), on any of the seeded traces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from bound_check import FACTORS, Trace, exceeds, plans_of, regrets_on, traces
from planner.plan import Plan
from planner.policies import POLICIES
from serving.report.regret import Regret, regret_of
from serving.simulation.simulate import simulate
from support.demo_setting import demo_setting

SETTING = demo_setting()
SHORT = traces(SETTING, [1], trace_s=3.0)
WHOLE = traces(SETTING, range(4))


@pytest.fixture(scope="module")
def plans() -> Mapping[str, Plan]:
    return plans_of(SETTING, SHORT[0].phase)


def above(found: Mapping[str, Regret]) -> list[str]:
    return [
        f"{policy}: {regret.accuracy:.4f} above {regret.clairvoyant_bound:.4f}"
        for policy, regret in found.items()
        if exceeds(regret)
    ]


def test_there_are_twenty_traces_of_five_kinds_and_no_two_are_alike() -> None:
    assert len(WHOLE) == 20
    assert len({(trace.name, trace.seed) for trace in WHOLE}) == 20
    of_a_kind = [trace for trace in WHOLE if trace.name == "bursts"]
    rates = {trace.phase.rates_qps["client-0"]["depth"] for trace in of_a_kind}
    assert len({(trace.routing, trace.phase.rates_qps["client-0"]["depth"])
                for trace in of_a_kind}) == 4  # fmt: skip
    assert max(rates) / min(rates) == FACTORS[1] / FACTORS[0]


@pytest.mark.parametrize(
    "trace",
    [
        # `make test-slow` has the kinds between
        pytest.param(trace, id=trace.name, marks=[pytest.mark.slow] if 0 < place < last else [])
        for last in [len(SHORT) - 1]
        for place, trace in enumerate(SHORT)
    ],
)
def test_no_policy_is_above_the_bound(trace: Trace, plans: Mapping[str, Plan]) -> None:
    found = dict(regrets_on(SETTING, trace, plans))
    assert found.keys() == POLICIES.keys()
    assert len(found) == 20
    assert above(found) == []
    # A bound that lies far above all of them would hold too, and say nothing.
    assert max(regret.reached for regret in found.values()) > 0.75


@pytest.mark.slow  # minutes; `make bench-live` runs the same, as row L1.bound
@pytest.mark.parametrize("factor", FACTORS)
def test_no_policy_is_above_the_bound_on_twenty_traces(factor: float) -> None:
    calm_qps = WHOLE[0].phase.rates_qps
    chosen = [
        trace
        for trace in WHOLE
        if trace.phase.rates_qps["client-0"]["depth"] == factor * calm_qps["client-0"]["depth"]
    ]
    assert len(chosen) == 10
    planned = plans_of(SETTING, chosen[0].phase)
    for trace in chosen:
        assert above(dict(regrets_on(SETTING, trace, planned))) == []


def test_a_run_on_devices_that_are_faster_than_the_bound_believes_is_found_out(
    plans: Mapping[str, Plan],
) -> None:
    slow = tuple(
        profile.model_copy(
            update={
                "marginal_s": 50 * profile.marginal_s,
                "latency": tuple(
                    each.model_copy(update={"p50_s": 50 * each.p50_s}) for each in profile.latency
                ),
            }
        )
        for profile in SETTING.profiles.profiles
    )
    believed = replace(SETTING, profiles=SETTING.profiles.model_copy(update={"profiles": slow}))
    trace = SHORT[0]
    rows = simulate(SETTING, plans["certified"], [trace.phase], seed=1, routing=trace.routing)
    true, wrong = regret_of(rows, SETTING), regret_of(rows, believed)
    assert true is not None
    assert wrong is not None
    assert not exceeds(true)
    assert exceeds(wrong)
