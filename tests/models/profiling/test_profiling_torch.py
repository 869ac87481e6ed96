"""Measuring needs torch only for memory: the loop itself runs on a fake clock and a fake model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from profiling.measure import BATCH_SIZES, measure_latency, measure_model, profile_of
from profiling.memory import peak_workspace_bytes

IMAGES = np.zeros((4, 2, 2, 3), np.uint8)


class FakeDevice:
    """Takes 10 ms a batch and 2 ms a query of its own clock's time."""

    weights_bytes = 1_000

    def __init__(self) -> None:
        self.now_s = 0.0
        self.runs: list[int] = []

    def clock(self) -> float:
        return self.now_s

    def run(self, images: np.ndarray) -> torch.Tensor:
        self.runs.append(len(images))
        self.now_s += 0.010 + 0.002 * len(images)
        return torch.zeros(len(images), 1_000)


def test_sizes_take_turns_and_warm_up_is_not_counted() -> None:
    device = FakeDevice()
    found = measure_latency(
        device.run, IMAGES, (1, 4, 8), target_s=0.05, runs=(3, 10), clock=device.clock
    )
    assert device.runs[:6] == [1, 1, 4, 4, 8, 8]
    assert device.runs[6:12] == [1, 4, 8, 1, 4, 8]
    assert [entry.batch for entry in found] == [1, 4, 8]
    assert found[1].p50_s == pytest.approx(0.018)
    assert [entry.runs for entry in found] == [5, 3, 3]


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


@pytest.mark.gpu
def test_workspace_on_cuda_is_what_the_allocator_says() -> None:
    kept = torch.zeros(1_000_000, device="cuda:0")
    peak = peak_workspace_bytes(lambda: torch.zeros(2_000_000, device="cuda:0"), "cuda:0")
    assert 8_000_000 <= peak < 10_000_000
    assert kept.numel() == 1_000_000
