"""Joules from RAPL's files and a fake NVML, watts on a fake clock, and why there are none."""

# The fake has the names of the module that it stands for.
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from profiling import energy_meter
from profiling.energy_meter import RaplMeter, find_meter, idle_power_w, measure_energy

RANGE_UJ = 1_000_000


def packages(root: Path, *energy_uj: int) -> Path:
    for number, energy in enumerate(energy_uj):
        for name, value in (("", energy), (":0", 7)):  # a part of the package, too
            folder = root / f"sys/class/powercap/intel-rapl:{number}{name}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "energy_uj").write_text(f"{value}\n")
            (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return root


def test_packages_add_up_and_parts_are_not_counted_twice(tmp_path: Path) -> None:
    meter = RaplMeter(packages(tmp_path, 100, 200))
    packages(tmp_path, 500_100, 300_200)
    assert meter.read_j() == pytest.approx(0.8)


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path) -> None:
    meter = RaplMeter(packages(tmp_path, 900_000))
    packages(tmp_path, 100_000)
    assert meter.read_j() == pytest.approx(0.2)
    packages(tmp_path, 400_000)
    assert meter.read_j() == pytest.approx(0.5)


class Clock:
    """Time that passes only when somebody works, at `watts`, and writes what RAPL counts."""

    def __init__(self, root: Path) -> None:
        self.now_s, self.spent_j, self._root = 0.0, 0.0, root

    def __call__(self) -> float:
        return self.now_s

    def work(self, seconds: float, watts: float) -> None:
        self.now_s += seconds
        self.spent_j += watts * seconds
        packages(self._root, int(self.spent_j * 1e6))


def test_watts_are_measured_idle_and_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_meter, "LEAST_S", 0.01)
    clock = Clock(packages(tmp_path, 0))
    meter, why_not = find_meter(tmp_path)
    assert meter is not None
    assert why_not == ""
    idle_w = idle_power_w(meter, clock=clock, pause=lambda seconds: clock.work(seconds, 20.0))
    assert idle_w == pytest.approx(20.0)
    calls: list[int] = []

    def batch() -> None:
        calls.append(1)
        clock.work(0.004, 50.0)

    found = measure_energy(meter, idle_w, batch, clock=clock)
    assert len(calls) == 3
    assert found.source == "rapl"
    assert found.busy_w == pytest.approx(50.0)
    assert found.beyond_idle_w == pytest.approx(30.0)


def test_a_host_without_counters_says_so(tmp_path: Path) -> None:
    assert find_meter(tmp_path) == (None, "RAPL: the host has no RAPL counters")


def test_counters_that_may_not_be_read_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages(tmp_path, 0)
    whole: Callable[..., str] = Path.read_text

    def read(file: Path, *arguments: Any, **more: Any) -> str:
        if file.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return whole(file, *arguments, **more)

    monkeypatch.setattr(Path, "read_text", read)
    assert find_meter(tmp_path) == (None, "RAPL may be read by root only")


class NVMLError(Exception):
    """As pynvml's."""


class FakeNvml:
    """Counts 3 J a call, or says that it does not count."""

    NVMLError = NVMLError

    def __init__(self, counts: bool) -> None:
        self.counts, self.millijoules = counts, 0

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: str) -> int:
        if not self.counts:
            raise NVMLError("Not Supported")
        self.millijoules += 3000
        return self.millijoules


def test_a_gpu_is_counted_by_nvml() -> None:
    meter, _ = find_meter(nvml=FakeNvml(True), gpu="board")
    assert meter is not None
    first_j = meter.read_j()
    assert meter.source == "nvml"
    assert meter.read_j() - first_j == pytest.approx(3.0)
    assert find_meter(nvml=FakeNvml(False), gpu="board") == (None, "NVML: Not Supported")
