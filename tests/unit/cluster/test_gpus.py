"""CUDA devices by NVML: one that cannot be read stops only who asks for it."""

# The fake has the names of the module that it stands for.
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from cluster.gpus import read_gpus
from cluster.machine import CapacityError, Machine, check_capacity
from cluster.specs import SPECS
from cluster.topology import Topology


class NVMLError(Exception):
    """As pynvml's."""


class Board:
    def __init__(
        self, uuid: str, free: int | None, mig: Sequence[int] = (), *, there: bool = True
    ) -> None:
        self.uuid, self.free, self.mig, self.there = uuid, free, mig, there


class FakeNvml:
    """The part of pynvml that is used; memory None answers NOT_SUPPORTED."""

    NVMLError = NVMLError
    NVML_DEVICE_MIG_ENABLE = 1

    def __init__(self, *boards: Board, driver: bool = True) -> None:
        self.boards, self.driver, self.open = boards, driver, 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Board:
        if not self.boards[index].there:
            raise NVMLError("GPU is lost")
        return self.boards[index]

    def nvmlDeviceGetUUID(self, board: Board) -> bytes:
        return board.uuid.encode()

    def nvmlDeviceGetMemoryInfo(self, board: Board) -> SimpleNamespace:
        if board.free is None:
            raise NVMLError("Not Supported")
        return SimpleNamespace(total=2 * board.free, free=board.free)

    def nvmlDeviceGetMigMode(self, board: Board) -> tuple[int, int]:
        if not board.mig:
            raise NVMLError("Not Supported")
        return 1, 1

    def nvmlDeviceGetMaxMigDeviceCount(self, board: Board) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, board: Board, index: int) -> Board:
        if index >= len(board.mig):
            raise NVMLError("Not Found")
        return Board(f"MIG-{board.uuid}-{index}", board.mig[index])


A, B, C = Board("GPU-aaa", 100), Board("GPU-bbb", 200), Board("GPU-abc", 300)


def seen(nvml: FakeNvml, visible: str | None = None) -> list[tuple[str, int]]:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    found = [(device.uuid, device.free_bytes) for device in read_gpus(nvml, environment)]
    assert nvml.open == 0
    return found


def test_free_memory_is_what_counts_and_not_all_there_is() -> None:
    assert seen(FakeNvml(A, B)) == [("GPU-aaa", 100), ("GPU-bbb", 200)]


def test_without_a_driver_there_are_none() -> None:
    assert seen(FakeNvml(driver=False)) == []


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        ("1", ["GPU-bbb"]),
        ("1,0", ["GPU-bbb", "GPU-aaa"]),
        ("", []),
        ("-1", []),
        ("0,7,1", ["GPU-aaa"]),
        ("GPU-b", ["GPU-bbb"]),
        ("GPU-a", []),
        (" 2 , GPU-aaa", ["GPU-abc", "GPU-aaa"]),
    ],
)
def test_devices_are_numbered_as_cuda_numbers_them(visible: str, uuids: list[str]) -> None:
    assert [uuid for uuid, _ in seen(FakeNvml(A, B, C), visible)] == uuids


def test_a_split_board_is_its_instances() -> None:
    split = FakeNvml(Board("s", 900, mig=(10, 20)), A)
    assert seen(split) == [("MIG-s-0", 10), ("MIG-s-1", 20), ("GPU-aaa", 100)]
    assert seen(split, "MIG-s-1") == [("MIG-s-1", 20)]
    assert seen(split, "0") == [("MIG-s-0", 10)]


def test_a_board_that_does_not_say_its_memory_stops_only_who_asks_for_it() -> None:
    nvml = FakeNvml(Board("GPU-x", None), Board("GPU-bbb", 200_000), Board("GPU-y", 1, there=False))
    machine = Machine(2, 2**34, read_gpus(nvml, {}))
    topology = Topology.load(SPECS / "demo.yaml")
    check_capacity(topology, machine)

    def on(device: str) -> Topology:
        data = topology.model_dump(mode="json")
        data["nodes"][4]["device"] = device
        data["nodes"][4]["memory"] = 100_000
        return Topology.parse(data)

    check_capacity(on("cuda:1"), machine)
    with pytest.raises(CapacityError, match="board 0 does not say its memory: Not Supported"):
        check_capacity(on("cuda:0"), machine)
    with pytest.raises(CapacityError, match="board 2: GPU is lost"):
        check_capacity(on("cuda:2"), machine)
    with pytest.raises(CapacityError, match="this machine has 3 CUDA devices"):
        check_capacity(on("cuda:3"), machine)
