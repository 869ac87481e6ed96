"""What a link is measured to be: its bandwidth and round trip, idle or beside queries."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from cluster.link_trace import LinkTrace
from serving.errors import FrameError
from serving.node.links.link_capacity import LinkCapacity, SteadyCapacity, TracedCapacity
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_probe import LinkProbe, ProbeLimits, probe
from serving.node.links.messages import parse_echo, parse_probe
from serving.node.links.pacer import LinkPacer
from serving.node.links.uplink import Uplink
from serving.simulation.virtual_time import run_in_virtual_time
from support.node_fakes import hierarchy, models
from unit.serving.node.links.test_uplink import ASKS, FakeTransport


def link(capacity: LinkCapacity, rtt_s: float = 0.0) -> Uplink:
    clock = asyncio.get_running_loop().time
    return Uplink(LinkPacer(capacity, rtt_s, 0.4), FakeTransport(), clock=clock)


@pytest.mark.parametrize("bytes_per_s", [2e3, 1e5, 1e6, 2e7])
@pytest.mark.parametrize("rtt_s", [0.0, 0.2])
def test_a_steady_link_is_measured_as_it_is(bytes_per_s: float, rtt_s: float) -> None:
    async def scenario() -> LinkProbe:
        return await probe(link(SteadyCapacity(bytes_per_s), rtt_s), ProbeLimits())

    found = run_in_virtual_time(scenario())
    assert found.fault == ""
    assert found.bytes_per_s == pytest.approx(bytes_per_s, rel=0.02)
    assert found.rtt_s == pytest.approx(rtt_s + 64 / bytes_per_s)
    assert found.probe_bytes <= 2_600_000
    assert found.traffic_bytes == 0


def test_what_it_costs_is_bounded_in_bytes_and_in_time() -> None:
    async def scenario(limits: ProbeLimits) -> tuple[LinkProbe, float]:
        found = await probe(link(SteadyCapacity(1e6)), limits)
        return found, asyncio.get_running_loop().time()

    few, spent_s = run_in_virtual_time(scenario(ProbeLimits(most_bytes=20_000)))
    assert few.probe_bytes < 60_000
    short, spent_s = run_in_virtual_time(scenario(ProbeLimits(most_s=0.2)))
    assert spent_s < 0.5
    assert short.bytes_per_s == pytest.approx(1e6, rel=0.05)


def test_queries_beside_it_count_as_what_the_link_carries() -> None:
    async def scenario() -> LinkProbe:
        uplink = link(SteadyCapacity(1e6))
        picture = np.zeros((27_000, 1, 1), np.uint8)

        async def ask() -> None:
            while True:
                asked = asyncio.ensure_future(uplink.call(ASKS, picture))
                await asyncio.sleep(0.1)
                await asyncio.gather(asked, return_exceptions=True)

        beside = asyncio.ensure_future(ask())
        found = await probe(uplink, ProbeLimits())
        beside.cancel()
        return found

    found = run_in_virtual_time(scenario())
    assert found.bytes_per_s == pytest.approx(1e6, rel=0.05)
    assert found.traffic_bytes > 100_000


def test_a_recorded_link_is_measured_as_it_is_meanwhile() -> None:
    async def scenario() -> LinkProbe:
        rates = np.array([4e5, 6e5])
        return await probe(link(TracedCapacity(LinkTrace("t", np.arange(2.0), rates, 2.0))),
                           ProbeLimits(most_s=2.0))  # fmt: skip

    assert run_in_virtual_time(scenario()).bytes_per_s == pytest.approx(5e5, rel=0.05)


def test_a_link_that_gives_nothing_back_is_told_to_be_so() -> None:
    async def scenario() -> LinkProbe:
        uplink = link(SteadyCapacity(1e6))
        uplink.change(LinkCondition(share=1e-7))
        return await probe(uplink, ProbeLimits(most_s=1.0, silence_s=2.0))

    assert run_in_virtual_time(scenario()).fault == "it took more than 3 s"


@pytest.mark.real_time
def test_over_sockets_the_pacers_bandwidth_comes_out_and_a_cut_link_is_told() -> None:
    async def scenario() -> tuple[LinkProbe, LinkProbe, LinkProbe]:
        async with hierarchy(models(), bandwidth=500_000, rtt_s=0.02) as (client, _):
            stated = await client.probe_link("edge", ProbeLimits(most_s=1.0))
            client.change_link("edge", LinkCondition(bytes_per_s=100_000.0, rtt_s=0.05))
            changed = await client.probe_link("edge", ProbeLimits(most_s=1.0))
            assert client.snapshot().link_conditions["edge"].bytes_per_s == 100_000.0
            client.change_link("edge", LinkCondition(share=0.0))
            return stated, changed, await client.probe_link("edge", ProbeLimits())

    stated, changed, cut = asyncio.run(scenario())
    assert stated.bytes_per_s == pytest.approx(500_000, rel=0.15)
    assert 0.02 <= stated.rtt_s < 0.06
    assert changed.bytes_per_s == pytest.approx(100_000, rel=0.15)
    assert 0.05 <= changed.rtt_s < 0.1
    assert "the link to the node above is cut" in cut.fault


@pytest.mark.parametrize("fields", [[7, 1], [7, "1", b""], [7, 1, "text"], [7, True, b""]])
def test_a_probe_that_is_none_is_refused(fields: list[object]) -> None:
    with pytest.raises(FrameError):
        parse_probe(fields)


@pytest.mark.parametrize("fields", [[8, 1], [8, 1, 2], [8, None, 2.0]])
def test_a_receipt_that_is_none_is_refused(fields: list[object]) -> None:
    with pytest.raises(FrameError):
        parse_echo(fields)


def test_a_probe_that_is_given_up_gives_its_turn_back() -> None:
    async def scenario() -> float:
        uplink = link(SteadyCapacity(100.0))
        waits = asyncio.ensure_future(uplink.probe(1_000))
        await asyncio.sleep(1.0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        return uplink.backlog_s

    assert run_in_virtual_time(scenario()) == 0.0
