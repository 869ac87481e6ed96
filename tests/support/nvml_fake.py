"""A stand-in for the module `pynvml`: boards that tell what a test says, and refuse the rest."""

# The fake has the names of the module that it stands for.
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace

__all__ = ["FakeBoard", "FakeNvml", "NVMLError"]


class NVMLError(Exception):
    """As pynvml's: `value` is NVML's code."""

    def __init__(self, words: str, value: int = 999) -> None:
        super().__init__(words)
        self.value = value


class FakeBoard:
    """`free` None answers NOT_SUPPORTED, `refuses` NO_PERMISSION, `lacks` NOT_SUPPORTED."""

    def __init__(
        self,
        uuid: str,
        free: int | None,
        mig: Sequence[int] = (),
        *,
        there: bool = True,
        lacks: Collection[str] = (),
        refuses: Collection[str] = (),
        processes: Sequence[tuple[int, int | None]] = (),
    ) -> None:
        self.uuid, self.free, self.mig, self.there = uuid, free, mig, there
        self.lacks, self.refuses, self.processes = lacks, refuses, processes

    def check(self, what: str) -> None:
        if what in self.lacks:
            raise NVMLError("Not Supported", 3)
        if what in self.refuses:
            raise NVMLError("Insufficient Permissions", 4)


class FakeNvml:
    """The part of pynvml that is used. `start` is the code that it does not start with."""

    NVMLError = NVMLError
    NVML_DEVICE_MIG_ENABLE = 1
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NO_PERMISSION = 3, 4
    NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_LIBRARY_NOT_FOUND = 9, 12
    NVML_ERROR_FUNCTION_NOT_FOUND = 13

    def __init__(self, *boards: FakeBoard, driver: bool = True, start: int = 9) -> None:
        self.boards, self.driver, self.start, self.open = boards, driver, start, 0

    def nvmlInit(self) -> None:
        if not self.driver:
            words = {9: "Driver Not Loaded", 4: "Insufficient Permissions"}
            raise NVMLError(words.get(self.start, "Unknown Error"), self.start)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "570.86.10"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 12080

    def nvmlDeviceGetCount(self) -> int:
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeBoard:
        if not self.boards[index].there:
            raise NVMLError("GPU is lost", 15)
        return self.boards[index]

    def nvmlDeviceGetUUID(self, board: FakeBoard) -> bytes:
        board.check("UUID")
        return board.uuid.encode()

    def nvmlDeviceGetName(self, board: FakeBoard) -> str:
        board.check("name")
        return "NVIDIA Fake"

    def nvmlDeviceGetMemoryInfo(self, board: FakeBoard) -> SimpleNamespace:
        board.check("memory")
        if board.free is None:
            raise NVMLError("Not Supported", 3)
        return SimpleNamespace(total=2 * board.free, free=board.free)

    def nvmlDeviceGetMigMode(self, board: FakeBoard) -> tuple[int, int]:
        if not board.mig:
            raise NVMLError("Not Supported", 3)
        return 1, 1

    def nvmlDeviceGetMaxMigDeviceCount(self, board: FakeBoard) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, board: FakeBoard, index: int) -> FakeBoard:
        if index >= len(board.mig):
            raise NVMLError("Not Found", 6)
        return FakeBoard(f"MIG-{board.uuid}-{index}", board.mig[index])

    def nvmlDeviceGetClockInfo(self, board: FakeBoard, kind: int) -> int:
        board.check("clock")
        return 1_200 if kind == self.NVML_CLOCK_SM else 2_600

    def nvmlDeviceGetMaxClockInfo(self, board: FakeBoard, kind: int) -> int:
        board.check("clock")
        return 1_980

    def nvmlDeviceGetPowerUsage(self, board: FakeBoard) -> int:
        board.check("power")
        return 71_500

    def nvmlDeviceGetEnforcedPowerLimit(self, board: FakeBoard) -> int:
        board.check("power limit")
        return 700_000

    def nvmlDeviceGetTemperature(self, board: FakeBoard, sensor: int) -> int:
        board.check("temperature")
        return 31

    def nvmlDeviceGetUtilizationRates(self, board: FakeBoard) -> SimpleNamespace:
        board.check("utilization")
        return SimpleNamespace(gpu=40, memory=10)

    def nvmlDeviceGetComputeRunningProcesses(self, board: FakeBoard) -> list[SimpleNamespace]:
        board.check("processes")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in board.processes]
