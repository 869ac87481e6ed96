"""The state that a device was in while it was measured: clock, governor, temperature, throttling.

Read from files of Linux (`root` is `/`, or a folder with such files) and, for a GPU, from NVML.
What a machine does not say is left out: virtual machines have neither governors nor sensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from cluster.document import FrozenModel

__all__ = ["ConditionReader", "Conditions", "DeviceReading", "conditions_between"]

ROOT = Path("/")
CPUS = "sys/devices/system/cpu"
HOT = ("cpu", "pkg", "soc", "core")
"""in the names of sensors that are a processor's"""
STEAL = 7
"""its place among the times of the line `cpu` in /proc/stat"""
SLOWED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80
"""NVML's reasons of a slower clock: power cap, slowdown by hardware, heat (twice), power brake"""


class Conditions(FrozenModel):
    """Of one measurement. What the machine does not say is absent."""

    clock_mhz: float | None = Field(default=None, gt=0, description="mean of begin and end")
    governor: str | None = None
    temperature_c: float | None = Field(default=None, description="the higher of begin and end")
    throttled: bool | None = Field(
        default=None, description="whether heat or power slowed the device meanwhile"
    )
    stolen_share: float | None = Field(
        default=None, ge=0, le=1, description="of the cores' time, given to other virtual machines"
    )


@dataclass(frozen=True)
class DeviceReading:
    """The state at one moment."""

    clock_mhz: float | None = None
    governor: str | None = None
    temperature_c: float | None = None
    throttle_events: int | None = None
    """since the machine started"""
    slowed: bool | None = None
    """whether it is slowed down now"""
    stolen_ticks: int = 0
    ticks: int = 0


def conditions_between(before: DeviceReading, after: DeviceReading) -> Conditions:
    """Of what was measured between two readings."""
    clocks = [each.clock_mhz for each in (before, after) if each.clock_mhz]
    heat = [each.temperature_c for each in (before, after) if each.temperature_c is not None]
    signs = [each.slowed for each in (before, after) if each.slowed is not None]
    if before.throttle_events is not None and after.throttle_events is not None:
        signs.append(after.throttle_events > before.throttle_events)
    passed = after.ticks - before.ticks
    stolen = (after.stolen_ticks - before.stolen_ticks) / passed if passed > 0 else None
    return Conditions(
        clock_mhz=float(np.mean(clocks)) if clocks else None,
        governor=after.governor,
        temperature_c=max(heat, default=None),
        throttled=any(signs) if signs else None,
        stolen_share=None if stolen is None else min(1.0, max(0.0, stolen)),
    )


class ConditionReader:
    """Reads the state of a host's processors, or of a GPU of it: `gpu` is NVML's handle."""

    def __init__(self, root: Path = ROOT, nvml: Any = None, gpu: Any = None) -> None:
        self._root = root
        self._nvml = nvml
        self._gpu = gpu

    def read(self) -> DeviceReading:
        """The state now."""
        stolen, ticks = self._steal()
        if self._gpu is None:
            return DeviceReading(
                clock_mhz=self._clock_mhz(),
                governor=self._governor(),
                temperature_c=self._temperature_c(),
                throttle_events=self._throttle_events(),
                stolen_ticks=stolen,
                ticks=ticks,
            )
        nvml = self._nvml
        reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        clock = self._ask("nvmlDeviceGetClockInfo", getattr(nvml, "NVML_CLOCK_SM", 1))
        heat = self._ask("nvmlDeviceGetTemperature", getattr(nvml, "NVML_TEMPERATURE_GPU", 0))
        return DeviceReading(
            clock_mhz=float(clock) if clock else None,
            temperature_c=None if heat is None else float(heat),
            slowed=None if reasons is None else bool(int(reasons) & SLOWED),
            stolen_ticks=stolen,
            ticks=ticks,
        )

    def _ask(self, name: str, *arguments: int) -> Any:
        """What NVML says of the GPU; None where it does not say that."""
        try:
            return getattr(self._nvml, name)(self._gpu, *arguments)
        except (AttributeError, self._nvml.NVMLError):
            return None

    def _clock_mhz(self) -> float | None:
        khz = _numbers(self._root.glob(f"{CPUS}/cpu[0-9]*/cpufreq/scaling_cur_freq"))
        if khz:
            return float(np.mean(khz)) / 1e3
        lines = _text(self._root / "proc/cpuinfo").splitlines()
        mhz = [line.split(":")[1].strip() for line in lines if line.startswith("cpu MHz")]
        found = [float(each) for each in mhz if _is_number(each) and float(each) > 0]
        return float(np.mean(found)) if found else None

    def _governor(self) -> str | None:
        files = self._root.glob(f"{CPUS}/cpu[0-9]*/cpufreq/scaling_governor")
        return ", ".join(sorted({text for file in files if (text := _text(file))})) or None

    def _temperature_c(self) -> float | None:
        found = []
        for zone in self._root.glob("sys/class/thermal/thermal_zone*"):
            if any(word in _text(zone / "type").lower() for word in HOT):
                found += _numbers([zone / "temp"])
        return max(found) / 1e3 if found else None

    def _throttle_events(self) -> int | None:
        files = self._root.glob(f"{CPUS}/cpu[0-9]*/thermal_throttle/*_throttle_count")
        counts = _numbers(files)
        return int(sum(counts)) if counts else None

    def _steal(self) -> tuple[int, int]:
        """Ticks taken, and ticks of every kind; guests' are among users' and not counted twice."""
        words = _text(self._root / "proc/stat").split("\n")[0].split()[1 : STEAL + 2]
        ticks = [int(word) for word in words if word.isdigit()]
        return (ticks[STEAL], sum(ticks)) if len(ticks) > STEAL else (0, 0)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


def _numbers(files: Iterable[Path]) -> list[float]:
    return [float(text) for file in files if _is_number(text := _text(file))]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).removeprefix("-").isdigit()
