"""CUDA devices of this machine as a process numbers them, with the memory that is free, by NVML.

One board that cannot be read must not stop a topology that does not use it, so each fault is kept
with its device: what cannot be said of a device is said when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["HIDDEN", "GpuDevice", "number_of", "read_gpus"]

HIDDEN = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class GpuDevice:
    """A device under the number that CUDA gives it in this process."""

    uuid: str
    free_bytes: int
    fault: str = ""
    """why its memory is not known; empty if it is"""


def read_gpus(nvml: Any, environment: Mapping[str, str]) -> tuple[GpuDevice, ...]:
    """The devices that a process with `environment` sees, in CUDA's order.

    `nvml` is the module `pynvml`. Without a driver there are none. A board that is split (MIG) is
    its instances, of which CUDA shows a process one unless it names others.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver: a machine without a GPU
        return ()
    try:
        boards = [_board(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as error:
        return (GpuDevice("", 0, f"NVML: {error}"),)
    finally:
        nvml.nvmlShutdown()
    everything = [device for board in boards for device in board]
    wanted = environment.get(HIDDEN)
    if wanted is None:
        return tuple(everything)
    by_board = [board[0] for board in boards if board]
    chosen: list[GpuDevice] = []
    for name in (part.strip() for part in wanted.split(",")):
        found = _find(name, by_board, everything)
        if found is None:  # as CUDA does: what follows an unknown name is hidden
            break
        chosen.append(found)
    return tuple(chosen)


def number_of(device: str, gpus: Sequence[GpuDevice]) -> int | None:
    """The number in CUDA's order of a device that is named `cuda:k` or `cuda:UUID`, of which the
    beginning does, as for CUDA; None where this process sees no such one, or several."""
    name = device.removeprefix("cuda:")
    if name.isdigit():
        return int(name) if int(name) < len(gpus) else None
    named = [number for number, gpu in enumerate(gpus) if gpu.uuid.startswith(name)]
    return named[0] if len(named) == 1 else None


def _find(name: str, by_board: list[GpuDevice], everything: list[GpuDevice]) -> GpuDevice | None:
    if name.isdigit():
        return by_board[int(name)] if int(name) < len(by_board) else None
    named = [device for device in everything if name and device.uuid.startswith(name)]
    return named[0] if len(named) == 1 else None


def _board(nvml: Any, index: int) -> list[GpuDevice]:
    """A board, or the instances that it is split into."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        return [GpuDevice("", 0, f"board {index}: {error}")]
    instances = _instances(nvml, handle)
    return [_device(nvml, each, index) for each in (instances or [handle])]


def _instances(nvml: Any, handle: Any) -> list[Any]:
    try:
        mode, _ = nvml.nvmlDeviceGetMigMode(handle)
        if mode != nvml.NVML_DEVICE_MIG_ENABLE:
            return []
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # a board that cannot be split
        return []
    found = []
    for index in range(most):
        try:
            found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
        except nvml.NVMLError:  # a place without an instance
            continue
    return found


def _device(nvml: Any, handle: Any, index: int) -> GpuDevice:
    try:
        uuid = _text(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError:
        uuid = ""
    try:
        return GpuDevice(uuid, int(nvml.nvmlDeviceGetMemoryInfo(handle).free))
    except nvml.NVMLError as error:
        return GpuDevice(uuid, 0, f"board {index} does not say its memory: {error}")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
