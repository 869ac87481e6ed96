"""Measuring: the loop on a fake clock and a fake model, memory and networks of others on torch."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from profiling.measure import BATCH_SIZES, measure_latency, measure_model, profile_of
from profiling.memory import peak_workspace_bytes
from profiling.published import NetworkLatency, device_names, find_device
from profiling.reference import class_of, host_latency_s

IMAGES = np.zeros((4, 2, 2, 3), np.uint8)


class FakeDevice:
    """Takes 10 ms a batch and 2 ms a query of its own clock's time, and 5 ms more after a pause."""

    weights_bytes = 1_000

    def __init__(self) -> None:
        self.now_s = 0.0
        self.runs: list[int] = []
        self.paused = False

    def clock(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.now_s += seconds
        self.paused = True

    def run(self, images: np.ndarray) -> torch.Tensor:
        self.runs.append(len(images))
        self.now_s += 0.010 + 0.002 * len(images) + 0.005 * self.paused
        self.paused = False
        return torch.zeros(len(images), 1_000)


def test_sizes_take_turns_and_warm_up_is_not_counted() -> None:
    device = FakeDevice()
    found = measure_latency(
        device.run, IMAGES, (1, 4, 8), target_s=0.06, runs=(3, 10), clock=device.clock,
        pause=device.pause,
    )  # fmt: skip
    warm_up, first, second = device.runs[:6], device.runs[6:12], device.runs[12:18]
    assert warm_up == first == second == [1, 1, 4, 4, 8, 8]
    assert [entry.batch for entry in found] == [1, 4, 8]
    assert found[1].p50_s == pytest.approx(0.023)  # after a pause
    assert found[1].straight_p50_s == pytest.approx(0.018)
    assert [entry.runs for entry in found] == [4, 3, 3]


def test_a_profile_is_cut_to_the_node() -> None:
    device = FakeDevice()
    measured = measure_model(
        device, IMAGES, model="m", device="cpu", max_batches=[2, 16], load_s=0.5, target_s=0.0
    )
    small = profile_of(measured, node="client", measured_on="edge", max_batch=2)
    large = profile_of(measured, node="edge", measured_on="edge", max_batch=16)
    assert [entry.batch for entry in measured.latency] == list(BATCH_SIZES)
    assert small.measured_on == "edge"
    assert small.weights_bytes == 1_000
    assert 2 * 4_000 <= small.workspace_bytes < 2 * 4_000 + 4_096
    assert 16 * 4_000 <= large.workspace_bytes < 16 * 4_000 + 4_096


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
    assert 1e-4 < host_latency_s(row, "cpu", 1, target_s=0.01) < 10.0


@pytest.mark.gpu
def test_workspace_on_cuda_is_what_the_allocator_says() -> None:
    kept = torch.zeros(1_000_000, device="cuda:0")
    peak = peak_workspace_bytes(lambda: torch.zeros(2_000_000, device="cuda:0"), "cuda:0")
    assert 8_000_000 <= peak < 10_000_000
    assert kept.numel() == 1_000_000
