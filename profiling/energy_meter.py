"""Counters of joules: of a GPU by NVML, of the host's processors by RAPL where they may be read.

RAPL counts whole packages, so of a host that does other work as well it says too much. Its counters
begin anew at a number that the system states; a meter is to be read more often than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from profiling.measured import EnergyUse

__all__ = ["EnergyMeter", "NvmlMeter", "RaplMeter", "find_meter", "idle_power_w", "measure_energy"]

ROOT = Path("/")
PACKAGES = "sys/class/powercap/intel-rapl:*"
LEAST_S = 0.5
"""counters move in steps of milliseconds to a tenth of a second"""


class EnergyMeter(Protocol):
    """Counts what a device draws."""

    source: str

    def read_j(self) -> float:
        """Joules since some moment before."""
        ...


class RaplMeter:
    """All packages of the host. Raises `OSError` where they cannot be read."""

    source = "rapl"

    def __init__(self, root: Path = ROOT) -> None:
        # A second colon is a part of a package, which the package has in it.
        self._folders = sorted(
            folder for folder in root.glob(PACKAGES) if folder.name.count(":") == 1
        )
        if not self._folders:
            raise FileNotFoundError("the host has no RAPL counters")
        self._range_uj = [
            int((folder / "max_energy_range_uj").read_text()) for folder in self._folders
        ]
        self._last_uj = self._read_uj()
        self._total_uj = 0

    def read_j(self) -> float:
        """See `EnergyMeter.read_j`."""
        now_uj = self._read_uj()
        for now, last, around in zip(now_uj, self._last_uj, self._range_uj, strict=True):
            self._total_uj += now - last if now >= last else now + around - last
        self._last_uj = now_uj
        return self._total_uj / 1e6

    def _read_uj(self) -> list[int]:
        return [int((folder / "energy_uj").read_text()) for folder in self._folders]


class NvmlMeter:
    """One GPU; `gpu` is its handle. Raises NVML's error where it does not count."""

    source = "nvml"

    def __init__(self, nvml: Any, gpu: Any) -> None:
        self._nvml = nvml
        self._gpu = gpu
        self.read_j()

    def read_j(self) -> float:
        """See `EnergyMeter.read_j`."""
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu)) / 1e3


def find_meter(
    root: Path = ROOT, nvml: Any = None, gpu: Any = None
) -> tuple[EnergyMeter | None, str]:
    """The meter of a GPU, or of the host where `gpu` is None; and why there is none."""
    if gpu is not None:
        try:
            return NvmlMeter(nvml, gpu), ""
        except nvml.NVMLError as error:
            return None, f"NVML: {error}"
    try:
        return RaplMeter(root), ""
    except PermissionError:
        return None, "RAPL may be read by root only"
    except (OSError, ValueError) as error:
        return None, f"RAPL: {error}"


def idle_power_w(
    meter: EnergyMeter,
    *,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[float], None] = time.sleep,
) -> float:
    """Watts while nothing is asked of the device."""
    return _power_w(meter, lambda: pause(LEAST_S), clock)


def measure_energy(
    meter: EnergyMeter,
    idle_w: float,
    run: Callable[[], object],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> EnergyUse:
    """Watts while `run` is called again and again, for `LEAST_S` at least."""
    return EnergyUse(source=meter.source, idle_w=idle_w, busy_w=_power_w(meter, run, clock))


def _power_w(meter: EnergyMeter, work: Callable[[], object], clock: Callable[[], float]) -> float:
    begun_s, begun_j = clock(), meter.read_j()
    while True:
        work()
        spent_s = clock() - begun_s
        if spent_s >= LEAST_S:
            return max(0.0, meter.read_j() - begun_j) / spent_s
