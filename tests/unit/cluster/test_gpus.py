"""CUDA devices by NVML: one that cannot be read stops only who asks for it."""

from __future__ import annotations

import sys

import pytest

from cluster.gpus import number_of, read_gpus
from cluster.machine import CapacityError, Machine, check_capacity, torch_device
from cluster.specs import SPECS
from cluster.topology import Topology
from support.nvml_fake import FakeBoard, FakeNvml

A, B, C = FakeBoard("GPU-aaa", 100), FakeBoard("GPU-bbb", 200), FakeBoard("GPU-abc", 300)


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
    split = FakeNvml(FakeBoard("s", 900, mig=(10, 20)), A)
    assert seen(split) == [("MIG-s-0", 10), ("MIG-s-1", 20), ("GPU-aaa", 100)]
    assert seen(split, "MIG-s-1") == [("MIG-s-1", 20)]
    assert seen(split, "0") == [("MIG-s-0", 10)]


def test_a_board_that_does_not_say_its_memory_stops_only_who_asks_for_it() -> None:
    nvml = FakeNvml(
        FakeBoard("GPU-x", None), FakeBoard("GPU-bbb", 200_000), FakeBoard("GPU-y", 1, there=False)
    )
    machine = Machine(2, 2**34, read_gpus(nvml, {}))
    topology = Topology.load(SPECS / "demo.yaml")
    check_capacity(topology.nodes, machine)

    def on(device: str) -> Topology:
        data = topology.model_dump(mode="json")
        data["nodes"][4]["device"] = device
        data["nodes"][4]["memory"] = 100_000
        return Topology.parse(data)

    check_capacity(on("cuda:1").nodes, machine)
    with pytest.raises(CapacityError, match="board 0 does not say its memory: Not Supported"):
        check_capacity(on("cuda:0").nodes, machine)
    with pytest.raises(CapacityError, match="board 2: GPU is lost"):
        check_capacity(on("cuda:2").nodes, machine)
    with pytest.raises(CapacityError, match="this machine has 3 CUDA devices"):
        check_capacity(on("cuda:3").nodes, machine)


SPLIT = FakeNvml(FakeBoard("GPU-aaa", 200_000), FakeBoard("GPU-abc", 300_000))


@pytest.mark.parametrize(
    ("device", "number"),
    [
        ("cuda:1", 1), ("cuda:2", None), ("cuda:GPU-abc", 1), ("cuda:GPU-aa", 0),
        ("cuda:GPU-a", None), ("cuda:GPU-x", None), ("cpu", None),
    ],
)  # fmt: skip
def test_a_device_is_found_by_its_number_or_by_the_beginning_of_its_uuid(
    device: str, number: int | None
) -> None:
    assert number_of(device, read_gpus(SPLIT, {})) == number


def test_nodes_on_one_board_share_its_memory_however_they_name_it() -> None:
    machine = Machine(2, 2**34, read_gpus(SPLIT, {}))

    def sharing(first: str, second: str, memory: int) -> Topology:
        data = Topology.load(SPECS / "demo.yaml").model_dump(mode="json")
        for node, device in zip(data["nodes"][3:], (first, second), strict=True):
            node.update(device=device, memory=memory)
        return Topology.parse(data)

    check_capacity(sharing("cuda:1", "cuda:GPU-abc", 150_000).nodes, machine)
    with pytest.raises(CapacityError) as caught:
        check_capacity(sharing("cuda:1", "cuda:GPU-abc", 160_000).nodes, machine)
    assert "on cuda:1 add up to" in str(caught.value)
    assert "lower `memory` of edge-0, cloud" in str(caught.value)
    check_capacity(sharing("cuda:GPU-aaa", "cuda:GPU-abc", 160_000).nodes, machine)
    with pytest.raises(CapacityError, match="there are: cuda:GPU-aaa, cuda:GPU-abc"):
        check_capacity(sharing("cuda:GPU-x", "cpu", 160_000).nodes, machine)


def test_torch_is_told_the_number_of_a_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", SPLIT)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert torch_device("cuda:GPU-abc") == "cuda:0"
    assert torch_device("cuda:GPU-aaa") == "cuda:1"
    assert [torch_device(each) for each in ("cpu", "cuda:7")] == ["cpu", "cuda:7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(CapacityError, match="no one device that this process sees is cuda:GPU-abc"):
        torch_device("cuda:GPU-abc")
