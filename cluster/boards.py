"""What NVML says of every GPU of this machine, for people who look: `testbed devices`.

Each figure is asked for by itself: a board that does not tell one tells the others. What nodes may
use of them, in CUDA's order, says `cluster.gpus`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cluster.gpus import HIDDEN, GpuDevice, read_gpus

__all__ = ["Board", "BoardProcess", "Boards", "MigInstance", "read_boards"]

V = TypeVar("V")


@dataclass(frozen=True)
class BoardProcess:
    """A process that computes on a board; bytes are None where NVML does not tell them."""

    pid: int
    used_bytes: int | None


@dataclass(frozen=True)
class MigInstance:
    """A part of a board that is split."""

    uuid: str
    total_bytes: int | None
    free_bytes: int | None


@dataclass(frozen=True)
class Board:
    """One board under NVML's number, which is not CUDA's where some are hidden. None: not told."""

    index: int
    name: str | None = None
    uuid: str | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    sm_mhz: int | None = None
    most_sm_mhz: int | None = None
    memory_mhz: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    celsius: int | None = None
    utilization: float | None = None
    """share of the last moment in which it computed"""
    instances: tuple[MigInstance, ...] = ()
    processes: tuple[BoardProcess, ...] = ()
    cuda: tuple[int, ...] = ()
    """its numbers (those of its instances) in CUDA's order, in this process; none if hidden"""
    faults: Mapping[str, str] = field(default_factory=dict)
    """what it does not tell -> why"""


@dataclass(frozen=True)
class Boards:
    """What there is, or why nothing is known of it."""

    boards: tuple[Board, ...] = ()
    driver: str | None = None
    cuda_driver: str | None = None
    """the newest CUDA that the driver knows"""
    visible: str | None = None
    """CUDA_VISIBLE_DEVICES, where it is set"""
    fault: str = ""
    """in one line, with what to do; empty if boards could be asked for"""

    def notes(self, least_free_bytes: int = 0) -> tuple[str, ...]:
        """A line for each thing that a user should know before nodes are put on the boards. A board
        with less than `least_free_bytes` is told."""
        lines = [self.fault] if self.fault else []
        for board in self.boards:
            name = f"board {board.index}"
            refused = [what for what, why in board.faults.items() if why == NO_PERMISSION]
            silent = [what for what, why in board.faults.items() if why == NOT_SUPPORTED]
            if refused:
                lines.append(
                    f"{name}: this user may not read {', '.join(refused)}; root may, or who has "
                    "/dev/nvidia* and the container's driver capability `utility`"
                )
            if silent:
                lines.append(f"{name}: NOT_SUPPORTED, it does not tell {', '.join(silent)}")
            lines += [
                f"{name}: {what}: {why}" for what, why in board.faults.items()
                if why not in (NO_PERMISSION, NOT_SUPPORTED)
            ]  # fmt: skip
            if not board.cuda and self.visible is not None:
                lines.append(
                    f"{name}: hidden by {HIDDEN}={self.visible}; nodes cannot use it unless that "
                    "names it"
                )
            if board.free_bytes is not None and board.free_bytes < least_free_bytes:
                lines.append(
                    f"{name}: too little memory, {board.free_bytes / 2**20:.0f} MiB are free and "
                    f"{least_free_bytes / 2**20:.0f} MiB are wanted; {_holders(board)}"
                )
        return tuple(lines)


NO_PERMISSION, NOT_SUPPORTED = "no permission", "not supported"
NO_DRIVER = "no NVIDIA driver here: nodes compute on the CPU"


def read_boards(nvml: Any, environment: Mapping[str, str]) -> Boards:
    """What `nvml`, the module `pynvml`, says now to a process with `environment`."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Boards(fault=_no_start(nvml, error))
    try:
        driver = _text(_told(nvml, {}, "driver", nvml.nvmlSystemGetDriverVersion))
        newest = _told(nvml, {}, "CUDA", nvml.nvmlSystemGetCudaDriverVersion)
        try:
            count = int(nvml.nvmlDeviceGetCount())
        except nvml.NVMLError as error:
            return Boards(driver=driver, fault=f"NVML does not count the boards: {error}")
        numbers = _cuda_numbers(read_gpus(nvml, environment))
        boards = tuple(_board(nvml, index, numbers) for index in range(count))
    finally:
        nvml.nvmlShutdown()
    return Boards(
        boards,
        driver,
        None if newest is None else f"{newest // 1000}.{newest % 1000 // 10}",
        environment.get(HIDDEN),
        "" if boards else f"the NVIDIA driver {driver or ''} runs, and has no board",
    )


def _no_start(nvml: Any, error: Any) -> str:
    code = getattr(error, "value", None)
    if code == nvml.NVML_ERROR_NO_PERMISSION:
        return (
            f"NVML may not be used by this user ({error}): add the user to the group of "
            "/dev/nvidia*, or start the container with --gpus all"
        )
    if code in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
        return f"{NO_DRIVER} ({error})"
    return f"NVML does not start: {error}; `nvidia-smi` may say more"


def _cuda_numbers(devices: tuple[GpuDevice, ...]) -> dict[str, int]:
    return {device.uuid: number for number, device in enumerate(devices) if device.uuid}


def _board(nvml: Any, index: int, numbers: Mapping[str, int]) -> Board:
    faults: dict[str, str] = {}
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        return Board(index, faults={"anything": _why(nvml, error)})

    def told(what: str, ask: Callable[..., V], *more: Any) -> V | None:
        return _told(nvml, faults, what, ask, handle, *more)

    uuid = _text(told("UUID", nvml.nvmlDeviceGetUUID))
    memory: Any = told("memory", nvml.nvmlDeviceGetMemoryInfo)
    power_mw = told("power", nvml.nvmlDeviceGetPowerUsage)
    limit_mw = told("power limit", nvml.nvmlDeviceGetEnforcedPowerLimit)
    busy: Any = told("utilization", nvml.nvmlDeviceGetUtilizationRates)
    processes: Any = told("processes", nvml.nvmlDeviceGetComputeRunningProcesses)
    instances = _instances(nvml, handle)
    names = [each.uuid for each in instances] or [uuid or ""]
    return Board(
        index=index,
        name=_text(told("name", nvml.nvmlDeviceGetName)),
        uuid=uuid,
        total_bytes=None if memory is None else int(memory.total),
        free_bytes=None if memory is None else int(memory.free),
        sm_mhz=told("clock", nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
        most_sm_mhz=told("highest clock", nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
        memory_mhz=told("memory clock", nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
        power_w=None if power_mw is None else power_mw / 1e3,
        power_limit_w=None if limit_mw is None else limit_mw / 1e3,
        celsius=told("temperature", nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
        utilization=None if busy is None else busy.gpu / 100,
        instances=instances,
        processes=tuple(
            BoardProcess(int(each.pid), None if each.usedGpuMemory is None
                         else int(each.usedGpuMemory))
            for each in processes or ()
        ),
        cuda=tuple(numbers[name] for name in names if name in numbers),
        faults=faults,
    )  # fmt: skip


def _instances(nvml: Any, handle: Any) -> tuple[MigInstance, ...]:
    found = []
    try:
        mode, _ = nvml.nvmlDeviceGetMigMode(handle)
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # a board that cannot be split
        return ()
    for place in range(most if mode == nvml.NVML_DEVICE_MIG_ENABLE else 0):
        try:
            own = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except nvml.NVMLError:  # a place without an instance
            continue
        memory: Any = _told(nvml, {}, "memory", nvml.nvmlDeviceGetMemoryInfo, own)
        found.append(
            MigInstance(
                _text(_told(nvml, {}, "UUID", nvml.nvmlDeviceGetUUID, own)) or "",
                None if memory is None else int(memory.total),
                None if memory is None else int(memory.free),
            )
        )
    return tuple(found)


def _told(
    nvml: Any, faults: dict[str, str], what: str, ask: Callable[..., V], *arguments: Any
) -> V | None:
    """What `ask` answers; None, with why in `faults`, where it does not."""
    try:
        return ask(*arguments)
    except nvml.NVMLError as error:
        faults[what] = _why(nvml, error)
        return None


def _why(nvml: Any, error: Any) -> str:
    code = getattr(error, "value", None)
    if code == nvml.NVML_ERROR_NO_PERMISSION:
        return NO_PERMISSION
    if code in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
        return NOT_SUPPORTED
    return str(error)


def _holders(board: Board) -> str:
    shown = [
        f"{each.pid} ({each.used_bytes / 2**20:.0f} MiB)" if each.used_bytes else str(each.pid)
        for each in board.processes
    ]
    return f"processes there: {', '.join(shown)}" if shown else "no process is told to be there"


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
