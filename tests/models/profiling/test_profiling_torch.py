"""Measuring on torch: a fake model and a model of the zoo, memory, networks of others."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from cluster.topology import Tier
from models.zoo.registry import find_model
from profiling.cache import origin_of
from profiling.host_parts import measure_parts
from profiling.measure import BATCH_SIZES, measure_model, profile_of, sizes_up_to, timer_of
from profiling.memory import peak_workspace_bytes
from profiling.published import NetworkLatency, device_names, find_device
from profiling.reference import class_of, host_latency_s
from profiling.sampling import SamplingRule
from serving.deploy.profile_bench import ProfileBench, hardware_of
from serving.node.device.jobs import stacked
from support.node_fakes import node

IMAGES = np.zeros((4, 2, 2, 3), np.uint8)


QUICK = SamplingRule(budget_s=0.0)
"""two sizes, six runs each"""


class FakeModel:
    """Answers with a thousand numbers a picture."""

    weights_bytes = 1_000

    def run(self, images: np.ndarray) -> torch.Tensor:
        return torch.zeros(len(images), 1_000)


def test_a_profile_is_cut_to_the_node() -> None:
    measured = measure_model(
        FakeModel(), IMAGES, model="m", device="cpu", max_batches=[2, 16], load_s=0.5, rule=QUICK
    )
    small = profile_of(measured, node="client", measured_on="edge", max_batch=2)
    large = profile_of(measured, node="edge", measured_on="edge", max_batch=16)
    assert measured.sizes == (1, 2)
    assert measured.left_out == (3, 4, 6, 8, 12, 16)
    assert [entry.batch for entry in small.latency] == [1, 2]
    assert type(small.latency[0]).__name__ == "BatchLatency"
    assert small.measured_on == "edge"
    assert small.weights_bytes == 1_000
    assert 2 * 4_000 <= small.workspace_bytes < 2 * 4_000 + 4_096
    assert 16 * 4_000 <= large.workspace_bytes < 16 * 4_000 + 4_096


def test_sizes_reach_to_the_largest_batch_of_a_node_and_no_further() -> None:
    assert sizes_up_to(16) == (1, 2, 3, 4, 6, 8, 12, 16)
    assert sizes_up_to(2) == sizes_up_to(8) == (1, 2, 3, 4, 6, 8)
    assert sizes_up_to(20) == (*sizes_up_to(16), 20)
    assert sizes_up_to(64) == sizes_up_to(1024) == BATCH_SIZES


def test_a_timer_runs_a_batch_of_that_size() -> None:
    sizes: list[int] = []
    ticks = iter([1.0, 1.5])
    timed = timer_of(lambda images: sizes.append(len(images)), IMAGES, lambda: next(ticks))
    assert timed(7) == 0.5
    assert sizes == [7]


def test_the_parts_of_a_picture_are_timed_by_the_code_that_serves() -> None:
    taken = find_model("rooms-small-depth").preprocessing
    images = np.zeros((3, taken.height, taken.width, 3), np.uint8)
    copied: list[int] = []
    found = measure_parts(taken, images, stacked, lambda batch: copied.append(len(batch)))
    assert set(copied) == {3}
    assert 0 < found.stack_s < found.decode_s < 0.1
    assert 0 < found.fit_s < 0.1
    assert found.hand_over_s is None


def test_a_model_of_the_zoo_is_measured_through_the_executor() -> None:
    client, card = node("client", Tier.CLIENT), find_model("rooms-small-depth")
    hardware, versions = hardware_of(client)
    origin = origin_of(card, hardware, versions, sizes_up_to(8), (2, 8), QUICK)
    bench = ProfileBench(client, (card,), 8)
    try:
        found = bench.measure(card.name, origin, QUICK)
        again = bench.again(card.name, (1, 2), QUICK)
        bench.hold((card.name,))
        beside = bench.beside_model(card.name, 1, card.name, 2)
        assert bench.stay_busy(card.name, 1, 0.05) >= 1
        assert len(bench.after_pauses(card.name, 2)) >= 6
    finally:
        bench.close()
    assert (found.measured_on, found.origin, found.sizes) == ("client", origin, (1, 2))
    assert found.warm_up_s is not None
    assert 0 < found.warm_up_s < found.load_s
    assert found.parts is not None
    assert found.parts.hand_over_s is not None
    assert found.parts.copy_s < 1e-4  # a CPU copies nothing
    assert found.rss_bytes is None or found.rss_bytes > 0.5 * found.weights_bytes
    assert found.energy is not None or found.energy_note
    assert found.conditions is not None
    assert [entry.batch for entry in again] == [1, 2]
    assert 0.2 < beside.ratio < 5.0
    profile = profile_of(found, node="edge", measured_on="client", max_batch=8)
    assert profile.setup_s + profile.marginal_s > 0
    assert profile.fit is not None


def test_workspace_is_the_peak_not_the_sum() -> None:
    def two_after_another() -> None:
        for _ in range(2):
            block = torch.zeros(1_000_000)
            del block

    peak = peak_workspace_bytes(two_after_another, "cpu")
    assert 4_000_000 <= peak < 4_100_000


@pytest.mark.parametrize(
    ("network", "found"),
    [
        ("lcnet_050", "depthwise"),
        ("resnet18", "convolution"),
        ("vit_tiny_patch16_224", "attention"),
    ],
)
def test_a_network_is_told_by_its_layers(network: str, found: str) -> None:
    assert class_of(timm.create_model(network, pretrained=False)) == found


def test_networks_of_published_devices_are_there_to_be_timed() -> None:
    small = {"convolution": "resnet18", "depthwise": "mnasnet_050"}
    for network_class, network in small.items():
        assert class_of(timm.create_model(network, pretrained=False)) == network_class
    for name in device_names():
        for network_class, rows in find_device(name).classes.items():
            assert network_class in small
            assert all(timm.is_model(row.network) for row in rows)


def test_a_published_network_is_timed_as_models_are_served() -> None:
    row = NetworkLatency(network="lcnet_050", height=32, width=32, batch=2, latency_s=1.0)
    assert 1e-4 < host_latency_s(row, "cpu", 1, rule=QUICK) < 10.0


@pytest.mark.gpu
def test_workspace_on_cuda_is_what_the_allocator_says() -> None:
    kept = torch.zeros(1_000_000, device="cuda:0")
    peak = peak_workspace_bytes(lambda: torch.zeros(2_000_000, device="cuda:0"), "cuda:0")
    assert 8_000_000 <= peak < 10_000_000
    assert kept.numel() == 1_000_000
