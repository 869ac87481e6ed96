"""The accelerator engine on a stand-in for CUDA: buckets, staging, precision, memory.

What only a GPU can tell is in test_model_cuda.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from models.runtime.accelerator import Outputs
from models.runtime.cpu_engine import CpuEngine, Serving, make_trace
from models.runtime.cuda_choices import (
    RESERVE_BYTES,
    bucket_of,
    bucket_sizes,
    memory_fraction,
    precisions,
)
from models.runtime.device_errors import (
    DeviceLostError,
    DeviceMemoryError,
    NoDeviceError,
    as_lost,
)
from models.runtime.graph_engine import GraphEngine, hold_low_precision
from models.runtime.model_runtime import check_device
from models.zoo.cards import Preprocessing

INPUT = Preprocessing(height=8, width=12, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
TASKS = ("depth", "normals")
PICTURES = np.random.default_rng(0).integers(0, 256, (8, 8, 12, 3)).astype(np.uint8)


class Little(nn.Module):
    """Two maps of a picture; `gain` blows the activations up, and the last layer back down."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.heads = nn.ModuleList([nn.Conv2d(8, 1, 1), nn.Conv2d(8, 3, 1)])
        self.gain = gain

    def forward(self, picture: torch.Tensor) -> Outputs:
        wide = self.norm(self.first(picture)) * self.gain
        return tuple(head(wide) / self.gain for head in self.heads)


class StandIn:
    """Plays a captured pass as CUDA does: over the same input into the same outputs."""

    def __init__(self, formats: tuple[str, ...] = ("float32",)) -> None:
        self.device = torch.device("cpu")
        self.precisions = formats
        self.captured: list[int] = []
        self.played: list[int] = []
        self.inside = 0
        self.released = 0

    @contextmanager
    def loading(self) -> Iterator[None]:
        yield

    @contextmanager
    def working(self) -> Iterator[None]:
        yield

    @contextmanager
    def stream(self) -> Iterator[None]:
        self.inside += 1
        yield
        self.inside -= 1

    def staging(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype)

    def capture(self, forward: Callable[[], Outputs]) -> Callable[[], Outputs]:
        outputs = tuple(output.clone() for output in forward())
        size = len(outputs[0])
        self.captured.append(size)

        def replay() -> Outputs:
            assert self.inside, "a pass was played outside the engine's stream"
            self.played.append(size)
            for kept, fresh in zip(outputs, forward(), strict=True):
                kept.copy_(fresh)
            return outputs

        return replay

    def wait(self) -> None:
        self.released += 1

    def reserved_bytes(self) -> int:
        return 0


def engine(max_batch: int = 6, device: StandIn | None = None, gain: float = 1.0) -> GraphEngine:
    return GraphEngine(Serving(Little(gain), TASKS, INPUT), device or StandIn(), max_batch)


def test_buckets_are_powers_of_two_and_the_largest_batch() -> None:
    assert bucket_sizes(32) == (1, 2, 4, 8, 16, 32)
    assert bucket_sizes(24) == (1, 2, 4, 8, 16, 24)
    assert bucket_sizes(1) == (1,)
    sizes = bucket_sizes(24)
    assert [bucket_of(b, sizes) for b in (1, 2, 3, 5, 9, 17, 24)] == [1, 2, 4, 8, 16, 24, 24]
    for batch in range(1, 25):
        assert bucket_of(batch, sizes) < 2 * batch
    for wrong in (0, 25):
        with pytest.raises(ValueError, match="batch of 1 to 24"):
            bucket_of(wrong, sizes)
    with pytest.raises(ValueError, match="at least one picture"):
        bucket_sizes(0)


def test_old_devices_compute_in_float32_and_new_ones_may_fall_back() -> None:
    assert precisions((6, 1)) == ("float32",)
    assert precisions((7, 5)) == ("float16", "float32")
    assert precisions((9, 0)) == ("float16", "bfloat16", "float32")


def test_a_process_may_reserve_its_budget_and_the_allocators_rounding() -> None:
    total = 16 * 2**30
    assert memory_fraction(total // 4, total) == pytest.approx(0.25 + RESERVE_BYTES / total)
    assert memory_fraction(total, total) == 1.0
    with pytest.raises(ValueError, match="lower `memory`"):
        memory_fraction(total + 1, total)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 6])
def test_a_padded_batch_gets_the_answers_of_the_cpu(batch: int) -> None:
    wanted = CpuEngine(make_trace(Serving(Little(), TASKS, INPUT)), 1, [1]).run(PICTURES[:batch])
    device = StandIn()
    found = engine(6, device).run(PICTURES[:batch])
    assert device.played[-1] == bucket_of(batch, (1, 2, 4, 6))
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        assert np.abs(mine.astype(float) - theirs.astype(float)).max() <= 1


def test_every_bucket_is_captured_largest_first_and_run_before_serving() -> None:
    device = StandIn()
    engine(6, device)
    assert device.captured == [6, 4, 2, 1]
    assert sorted(device.played) == [1, 2, 4, 6]


def test_answers_outlive_the_next_batch_and_pictures_do_not_mix() -> None:
    made = engine()
    first = made.run(PICTURES[:3])
    kept = [answer.copy() for answer in first]
    made.run(PICTURES[3:8])
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))
    again = made.run(PICTURES[:3])  # the rest of the bucket now holds other pictures
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_copy_moves_a_batch_and_its_answers_and_computes_nothing() -> None:
    device = StandIn()
    made = engine(6, device)
    wanted = made.run(PICTURES[:3])
    played = list(device.played)
    made.copy(PICTURES[3:6])
    assert device.played == played
    assert all(np.array_equal(a, b) for a, b in zip(made.run(PICTURES[:3]), wanted, strict=True))
    assert made.warm_up_s > 0


def test_the_precision_is_the_first_that_stays_finite() -> None:
    formats = ("float16", "bfloat16", "float32")
    assert engine(2, StandIn(formats)).precision == "float16"
    # 1e6 is beyond float16's largest number and well within bfloat16's.
    assert engine(2, StandIn(formats), gain=1e6).precision == "bfloat16"
    assert engine(2, StandIn(("float16", "float32")), gain=1e6).precision == "float32"


def test_low_precision_is_held_where_autocast_would_convert() -> None:
    network = hold_low_precision(Little(), torch.bfloat16)
    assert isinstance(network, Little)
    assert network.first.weight.dtype == network.heads[0].bias.dtype == torch.bfloat16
    assert network.norm.running_mean is not None
    assert network.norm.weight.dtype == network.norm.running_mean.dtype == torch.float32


def test_low_precision_answers_nearly_as_float32_does() -> None:
    exact = engine(4).run(PICTURES[:4])
    rough = engine(4, StandIn(("float16",))).run(PICTURES[:4])
    assert np.allclose(rough[0].astype(float), exact[0].astype(float), rtol=0.02)
    assert np.abs(rough[1].astype(int) - exact[1].astype(int)).max() <= 4


def test_resident_bytes_are_what_the_device_holds_beyond_the_weights() -> None:
    class Counting(StandIn):
        held = 1_000

        def reserved_bytes(self) -> int:
            return self.held

        def capture(self, forward: Callable[[], Outputs]) -> Callable[[], Outputs]:
            self.held += 50_000
            return super().capture(forward)

    made = engine(2, Counting())
    assert made.weights_bytes + made.resident_bytes == 2 * 50_000
    made.close()


def test_a_model_without_room_is_refused_before_it_serves() -> None:
    class Full(StandIn):
        def capture(self, forward: Callable[[], Outputs]) -> Callable[[], Outputs]:
            raise DeviceMemoryError("no room in a budget of 8 MiB on cuda:0")

    with pytest.raises(DeviceMemoryError, match="8 MiB"):
        engine(2, Full())


def test_an_error_after_which_nothing_runs_on_a_device_says_that_it_is_lost() -> None:
    class CudaError(RuntimeError):
        def __init__(self, words: str, code: int | None) -> None:
            super().__init__(words)
            self.error_code = code

    words = "CUDA error: unspecified launch failure\nCompile with `TORCH_USE_CUDA_DSA` to debug"
    assert str(as_lost(CudaError(words, 719), "cuda:0")) == (
        "cuda:0 is lost: CUDA error: unspecified launch failure"
    )
    assert as_lost(RuntimeError(words), "cuda:0") is not None  # of a torch that has no codes
    assert as_lost(CudaError("CUDA error: invalid argument", 1), "cuda:0") is None
    assert as_lost(torch.OutOfMemoryError("CUDA out of memory"), "cuda:0") is None
    assert as_lost(RuntimeError("shapes do not match"), "cuda:0") is None


def test_what_a_batch_meets_on_a_lost_device_reaches_whoever_ran_it() -> None:
    class Lost(StandIn):
        away = False

        @contextmanager
        def working(self) -> Iterator[None]:
            if self.away:
                raise DeviceLostError("cuda:0 is lost: CUDA error: no device")
            yield

    device = Lost()
    made = engine(2, device)
    made.run(PICTURES[:1])
    device.away = True
    with pytest.raises(DeviceLostError, match="cuda:0 is lost"):
        made.run(PICTURES[:1])


def test_a_device_that_this_machine_lacks_may_be_lost_or_misnamed() -> None:
    with pytest.raises(NoDeviceError, match="this machine has") as refused:
        check_device("cuda:99")
    assert isinstance(refused.value, DeviceLostError)  # to a node whose device it was
    assert isinstance(refused.value, ValueError)  # to whoever wrote its name
