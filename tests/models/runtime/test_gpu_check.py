"""`make gpu-check` on the CPU: every part of the script runs, only the device is untried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gpu_check import SMALL, check, main
from gpu_parts import planned_qps, run_gpu_tests
from profiling.profile import BatchLatency, ModelProfile

PARTS = ("profiles", "precision", "windows")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a dry run writes, with a backbone that is none."""
    folder = tmp_path_factory.mktemp("gpu-check")
    sizes = replace(SMALL, backbones=("lcnet_050", "no-such-net"), images=4, windows_s=1.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        data = check("cpu", sizes, PARTS)
    json.dumps(data)  # it is plain
    return data


def test_models_and_backbones_are_profiled_in_batches(found: dict[str, Any]) -> None:
    model, backbone, _ = found["profiles"]
    for entry in (model, backbone):
        assert "fault" not in entry
        batches = [each["batch"] for each in entry["latency"]]
        assert batches[0] == 1
        assert all(each["p50_s"] > 0 for each in entry["latency"])
        assert entry["marginal_s"] >= 0  # 0 on a machine that has other work
        assert entry["weights_bytes"] > entry["parameters"]
        assert entry["precision"] == "float32"
        assert isinstance(entry["power"], str) or entry["power"][0]["busy_w"] > 0
    assert backbone["pixels"] == 64


def test_number_formats_are_compared_with_float32(found: dict[str, Any]) -> None:
    (entry,) = found["precision"]
    assert entry["ran_in"] == {"float32": "float32", "bfloat16": "bfloat16"}
    off = entry["difference"]["bfloat16"]
    assert off["mean"] == pytest.approx(
        entry["scores"]["bfloat16"]["depth"] - entry["scores"]["float32"]["depth"]
    )
    assert abs(off["mean"]) < 0.05


def test_windows_are_driven_at_the_load_that_they_are_planned_for(found: dict[str, Any]) -> None:
    (entry,) = found["windows"]
    assert entry["answered"] + entry["refused"] == entry["queries"] > 0
    assert entry["planned_busy_share"] == pytest.approx(0.6, abs=0.1)
    assert 0.0 <= entry["within_bound_share"] <= 1.0
    assert entry["busy_share"] > 0


def test_a_part_that_fails_is_told_and_stops_no_other(found: dict[str, Any]) -> None:
    assert len(found["faults"]) == 1
    assert found["faults"][0].startswith("profile of no-such-net: ")


def test_what_would_begin_too_late_is_left_out() -> None:
    data = check("cpu", SMALL, ("tests",), limit_s=-1.0)
    assert data["faults"] == ["gpu tests: left out: -1 s were over"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device to check")
def test_without_a_device_nothing_is_checked_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--device", "cuda:0", "--out", str(tmp_path / "x.json")]) == 2
    assert "torch sees 0 CUDA devices here: nothing was checked" in capsys.readouterr().err
    assert main(["--device", "cuda:GPU-1", "--out", str(tmp_path / "x.json")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_gpu_tests_are_counted_and_a_failure_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "test_some_gpu.py"
    file.write_text(
        "import pytest\n"
        "@pytest.mark.gpu\ndef test_one(): pass\n"
        "@pytest.mark.gpu\ndef test_two(): pytest.skip('no device')\n"
        "def test_other(): raise AssertionError\n"
    )
    assert run_gpu_tests([str(file)], 60.0, tmp_path) == {
        "tests": 2, "failures": 0, "errors": 0, "skipped": 1,
    }  # fmt: skip
    file.write_text("import pytest\n@pytest.mark.gpu\ndef test_one(): assert 1 == 2\n")
    failed = run_gpu_tests([str(file)], 60.0, tmp_path)
    assert failed["failures"] == 1
    assert "assert 1 == 2" in failed["fault"]
    assert "took more than 0 s" in run_gpu_tests([str(file)], 0.01, tmp_path)["fault"]


def profile(setup_s: float, marginal_s: float) -> ModelProfile:
    one_s = setup_s + marginal_s
    latency = (BatchLatency(batch=1, p50_s=one_s, p95_s=one_s, runs=9),)
    return ModelProfile(
        model="m", node="n", measured_on="n", latency=latency, setup_s=setup_s,
        marginal_s=marginal_s, residual=0.0, weights_bytes=1, workspace_bytes=1, load_s=0.0,
    )  # fmt: skip


def test_the_planned_load_fills_its_share_of_a_window_in_as_many_batches_as_it_needs() -> None:
    assert planned_qps(profile(0.01, 0.005), 0.1, 64) == pytest.approx(100.0)  # 10 in a batch
    # Batches of 4: 60 ms hold two of them, 2 x 10 ms + 8 x 5 ms.
    assert planned_qps(profile(0.01, 0.005), 0.1, 4) == pytest.approx(80.0)
    assert planned_qps(profile(1e-5, 1e-6), 0.1, 64) == 1_000.0
    assert planned_qps(profile(0.07, 0.005), 0.1, 64) == 0.0
    assert planned_qps(profile(0.009, 0.0), 0.1, 4) == pytest.approx(240.0)  # six full batches
