"""What this machine has, and whether nodes fit on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from cluster.container import cpu_limit, memory_limit_bytes
from cluster.errors import InputError
from cluster.gpus import GpuDevice, number_of, read_gpus
from cluster.topology import Node

__all__ = ["CapacityError", "Machine", "check_capacity", "read_machine", "torch_device"]


class CapacityError(InputError, RuntimeError):
    """Nodes ask for more than the machine has."""


@dataclass(frozen=True)
class Machine:
    """What this process may use: cores, host memory in bytes, CUDA devices in CUDA's order."""

    cores: float
    memory_bytes: int
    gpus: tuple[GpuDevice, ...] = ()


def read_machine() -> Machine:
    """What the machine has, its container allows, and CUDA_VISIBLE_DEVICES shows."""
    import pynvml

    cores = len(os.sched_getaffinity(0))
    available = psutil.virtual_memory().available
    allowed, room = cpu_limit(), memory_limit_bytes()
    return Machine(
        cores=cores if allowed is None else min(float(cores), allowed),
        memory_bytes=available if room is None else min(available, room),
        gpus=read_gpus(pynvml, os.environ),
    )


def check_capacity(nodes: Sequence[Node], machine: Machine) -> None:
    """Raise `CapacityError`, naming device, demand and supply, unless these nodes fit.

    Compute budgets of the nodes that share a device add up: to the number of cores on the host,
    to one on a GPU. Of a budget on an emulated device the part counts for which the host computes.
    Memory budgets add up to what the device has. No node computes on more threads than there are
    cores. Null nodes take nothing of any device.
    """
    nodes = [node for node in nodes if not node.is_null]
    for node in nodes:
        if node.threads > max(1.0, machine.cores):
            raise CapacityError(
                f"{node.name} asks for {node.threads} threads, this machine has {machine.cores:g} "
                f"cores; lower `threads` of {node.name}"
            )
    by_device: dict[str, list[Node]] = {}
    for node in nodes:  # one board may be named by its number and by its UUID
        number = number_of(node.host_device, machine.gpus)
        device = node.host_device if number is None else f"cuda:{number}"
        by_device.setdefault(device, []).append(node)
    for device, sharing in sorted(by_device.items()):
        compute = sum(node.compute * node.host_share for node in sharing)
        memory = sum(int(node.memory) for node in sharing)
        if device == "cpu":
            cores, available = machine.cores, machine.memory_bytes
        else:
            gpu = _gpu(machine, device, ", ".join(node.name for node in sharing))
            cores, available = 1, gpu.free_bytes
        if compute > cores + 1e-9:
            raise CapacityError(
                f"the compute budgets on {device} add up to {compute:g} busy seconds per second, "
                f"this machine has {cores:g}; lower `compute` of "
                f"{', '.join(node.name for node in sharing)}"
            )
        if memory > available:
            raise CapacityError(
                f"the memory budgets on {device} add up to {memory / 2**20:.0f} MiB, this machine "
                f"has {available / 2**20:.0f} MiB free; lower `memory` of "
                f"{', '.join(n.name for n in sharing)}"
            )


def torch_device(device: str) -> str:
    """What torch calls a node's device in this process: `cpu`, or `cuda:k` for a UUID too.

    Raises `CapacityError` where no device has that UUID, or CUDA_VISIBLE_DEVICES hides it.
    """
    if device == "cpu" or device.removeprefix("cuda:").isdigit():
        return device
    import pynvml

    number = number_of(device, read_gpus(pynvml, os.environ))
    if number is None:
        raise CapacityError(f"no one device that this process sees is {device}; `testbed devices`")
    return f"cuda:{number}"


def _gpu(machine: Machine, device: str, asking: str) -> GpuDevice:
    index = number_of(device, machine.gpus)
    if index is None and not device.removeprefix("cuda:").isdigit():
        there = ", ".join(f"cuda:{gpu.uuid}" for gpu in machine.gpus if gpu.uuid) or "none"
        raise CapacityError(
            f"nodes {asking} ask for {device}, and no one device here has that UUID (as far as "
            f"CUDA_VISIBLE_DEVICES shows them); there are: {there}"
        )
    if index is None:
        raise CapacityError(
            f"nodes {asking} ask for {device}, but this machine has {len(machine.gpus)} CUDA "
            "devices (as far as CUDA_VISIBLE_DEVICES shows them); set device: cpu"
        )
    gpu = machine.gpus[index]
    if gpu.fault:
        raise CapacityError(f"nodes {asking} ask for {device}: {gpu.fault}")
    return gpu
