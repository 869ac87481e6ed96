"""What this machine has, and whether a topology fits on it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

from cluster.topology import Topology

__all__ = ["CapacityError", "Machine", "check_capacity", "read_machine"]


class CapacityError(RuntimeError):
    """A topology asks for more than the machine has."""


@dataclass(frozen=True)
class Machine:
    """Cores, host memory and CUDA devices (memory in bytes, by index)."""

    cores: int
    memory_bytes: int
    cuda_memory_bytes: tuple[int, ...] = ()


def read_machine() -> Machine:
    """Read the machine this process runs on; CUDA devices come from NVML where there is one."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().available,
        cuda_memory_bytes=_cuda_memory(),
    )


def _cuda_memory() -> tuple[int, ...]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver: a machine without a GPU
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return tuple(int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) for handle in handles)
    finally:
        pynvml.nvmlShutdown()


def check_capacity(topology: Topology, machine: Machine) -> None:
    """Raise `CapacityError`, naming device, demand and supply, unless the topology fits.

    Compute budgets of the nodes that share a device add up: to the number of cores on the host,
    to one on a GPU. Memory budgets add up to what the device has.
    """
    for device in sorted({node.device for node in topology.nodes}):
        nodes = [node for node in topology.nodes if node.device == device]
        compute = sum(node.compute for node in nodes)
        memory = sum(int(node.memory) for node in nodes)
        if device == "cpu":
            cores, available = machine.cores, machine.memory_bytes
        else:
            index = int(device.split(":")[1])
            if index >= len(machine.cuda_memory_bytes):
                raise CapacityError(
                    f"nodes {', '.join(n.name for n in nodes)} ask for {device}, but this machine "
                    f"has {len(machine.cuda_memory_bytes)} CUDA devices; set device: cpu"
                )
            cores, available = 1, machine.cuda_memory_bytes[index]
        if compute > cores + 1e-9:
            raise CapacityError(
                f"the compute budgets on {device} add up to {compute:g} busy seconds per second, "
                f"this machine has {cores}; lower `compute` of {', '.join(n.name for n in nodes)}"
            )
        if memory > available:
            raise CapacityError(
                f"the memory budgets on {device} add up to {memory / 2**20:.0f} MiB, this machine "
                f"has {available / 2**20:.0f} MiB free; lower `memory` of "
                f"{', '.join(n.name for n in nodes)}"
            )
