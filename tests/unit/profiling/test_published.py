"""Published devices: what each file holds, and how much slower than the host they are."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cluster.document import DocumentError
from cluster.errors import UnknownNameError
from cluster.specs import SPECS
from cluster.topology import Topology
from profiling.device_ratio import DeviceRatio, published_ratio
from profiling.published import (
    NetworkLatency,
    PublishedDevice,
    device_names,
    find_device,
    refuse_unpublished,
)

TEXT = {"what": "a board", "precision": "FP16", "source": "here", "licence": "MIT", "note": "none"}


def row(network: str, batch: int, latency_s: float) -> NetworkLatency:
    return NetworkLatency(network=network, height=8, width=8, batch=batch, latency_s=latency_s)


def board(*rows: NetworkLatency) -> PublishedDevice:
    return PublishedDevice.parse({**TEXT, "name": "b", "classes": {"convolution": rows}})


@pytest.mark.parametrize("name", device_names())
def test_every_device_says_where_its_times_come_from(name: str) -> None:
    device = find_device(name)
    assert device.name == name
    assert device.licence in ("MIT", "BSD-3-Clause", "Apache-2.0")
    assert device.source
    for rows in device.classes.values():
        keys = [(each.network, each.height, each.width, each.batch) for each in rows]
        assert len(set(keys)) == len(keys) >= 2
        assert all(1e-4 < each.latency_s < 1 for each in rows)
        assert min(each.batch for each in rows) == 1


def test_a_class_has_the_geometric_mean_ratio_of_its_networks_and_says_its_error() -> None:
    one, two = row("one", 1, 0.030), row("two", 1, 0.060)
    ratio = published_ratio(board(one, two), "convolution", {one: 0.006, two: 0.010})
    assert ratio.at(1) == pytest.approx((5 * 6) ** 0.5)
    # Five misses six by a sixth, six misses five by a fifth.
    assert ratio.error == pytest.approx((1 / 6 + 1 / 5) / 2)
    assert ratio.source == "published times of convolution networks on b / the same networks here"


def test_a_ratio_is_linear_between_published_batches_and_stays_beyond_them() -> None:
    ratio = DeviceRatio({1: 8.0, 5: 4.0}, "", None)
    assert [ratio.at(batch) for batch in (1, 2, 5, 64)] == [8.0, 7.0, 4.0, 4.0]


def test_batches_that_the_host_was_not_timed_at_do_not_count() -> None:
    rows = [row(name, batch, 0.03) for batch in (1, 8) for name in ("one", "two")]
    ratio = published_ratio(board(*rows), "convolution", dict.fromkeys(rows[:2], 0.01))
    assert ratio.by_batch == {1: pytest.approx(3.0)}
    assert ratio.error == pytest.approx(0.0)


def test_a_class_of_one_network_is_refused_since_its_error_is_unknown() -> None:
    with pytest.raises(DocumentError, match=r"classes\.convolution: batch 8 has one network"):
        board(row("one", 1, 0.03), row("two", 1, 0.03), row("one", 8, 0.03))


def test_a_topology_with_a_device_that_nobody_published_is_refused() -> None:
    data: dict[str, Any] = yaml.safe_load((SPECS / "demo.yaml").read_text())
    data["nodes"][0]["device"] = {"emulate": "jetson-nano"}
    refuse_unpublished(Topology.parse(data))
    data["nodes"][0]["device"] = {"emulate": "jetson-nana"}
    with pytest.raises(UnknownNameError) as refused:
        refuse_unpublished(Topology.parse(data))
    assert str(refused.value).startswith("client-0: no published device 'jetson-nana'; devices: a")
