"""Clock, governor, temperature and throttling: from files of Linux, and from a fake NVML."""

# The fake has the names of the module that it stands for.
# ruff: noqa: N802

from __future__ import annotations

from pathlib import Path

import pytest

from profiling.conditions import ConditionReader, Conditions, DeviceReading, conditions_between

CPU = "sys/devices/system/cpu"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def bare_metal(root: Path, *, throttled: int = 3, stolen: int = 10) -> Path:
    return write(
        root,
        {
            f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "2000000\n",
            f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "3000000\n",
            f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n",
            f"{CPU}/cpu1/cpufreq/scaling_governor": "performance\n",
            f"{CPU}/cpu0/thermal_throttle/core_throttle_count": f"{throttled}\n",
            "sys/class/thermal/thermal_zone0/type": "acpitz\n",
            "sys/class/thermal/thermal_zone0/temp": "99000\n",
            "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
            "sys/class/thermal/thermal_zone1/temp": "61500\n",
            "proc/stat": f"cpu  100 0 50 800 0 0 0 {stolen} 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
        },
    )


def test_a_bare_machine_says_everything(tmp_path: Path) -> None:
    before = ConditionReader(bare_metal(tmp_path)).read()
    assert before == DeviceReading(
        clock_mhz=2500.0, governor="performance", temperature_c=61.5, throttle_events=3,
        stolen_ticks=10, ticks=960,
    )  # fmt: skip
    after = ConditionReader(bare_metal(tmp_path, throttled=5, stolen=50)).read()
    found = conditions_between(before, after)
    assert found.throttled is True
    assert found.stolen_share == pytest.approx(1.0)
    assert (found.clock_mhz, found.governor, found.temperature_c) == (2500.0, "performance", 61.5)
    assert conditions_between(before, before).throttled is False


def test_a_virtual_machine_says_its_clock_only(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/cpuinfo": "cpu MHz\t\t: 2445.404\ncpu MHz\t\t: 2445.406\n"})
    found = ConditionReader(root).read()
    assert found.clock_mhz == pytest.approx(2445.405)
    assert conditions_between(found, found) == Conditions(clock_mhz=found.clock_mhz)


def test_a_machine_that_says_nothing_has_no_conditions(tmp_path: Path) -> None:
    nothing = ConditionReader(tmp_path).read()
    assert conditions_between(nothing, nothing) == Conditions()


class NVMLError(Exception):
    """As pynvml's."""


class FakeNvml:
    """One board; `reasons` None answers NOT_SUPPORTED."""

    NVMLError = NVMLError
    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, reasons: int | None) -> None:
        self.reasons = reasons

    def nvmlDeviceGetClockInfo(self, gpu: str, kind: int) -> int:
        assert (gpu, kind) == ("board", 1)
        return 1980

    def nvmlDeviceGetTemperature(self, gpu: str, kind: int) -> int:
        return 47

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: str) -> int:
        if self.reasons is None:
            raise NVMLError("Not Supported")
        return self.reasons


@pytest.mark.parametrize(
    ("reasons", "slowed"), [(0x0, False), (0x1, False), (0x20, True), (0x4, True), (None, None)]
)
def test_a_gpu_is_asked_by_nvml(tmp_path: Path, reasons: int | None, slowed: bool | None) -> None:
    found = ConditionReader(bare_metal(tmp_path), FakeNvml(reasons), "board").read()
    assert (found.clock_mhz, found.temperature_c, found.governor) == (1980.0, 47.0, None)
    assert found.slowed is slowed
    assert conditions_between(found, found).throttled is slowed
