"""`testbed devices`: what nodes can compute on, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import cluster.machine
import serving.doctor.torch_build
from cluster.boards import read_boards
from cluster.gpus import read_gpus
from cluster.machine import Machine
from cluster.specs import SPECS
from serving.cli import devices_verb
from serving.cli.main import run
from support.nvml_fake import FakeBoard, FakeNvml

GIB = 2**30


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def use(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, sees: int = 0) -> None:
    """Let the machine have the boards of `nvml`, of which torch sees so many."""
    machine = Machine(4.0, 16 * GIB, read_gpus(nvml, {}))
    monkeypatch.setattr(
        devices_verb, "read_boards", lambda _, environment: read_boards(nvml, environment)
    )
    monkeypatch.setattr(devices_verb, "read_machine", lambda: machine)
    monkeypatch.setattr(cluster.machine, "read_machine", lambda: machine)
    monkeypatch.setattr(serving.doctor.torch_build, "cuda_of_torch", lambda: ("2.14", "13.0", sees))


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_machine_without_a_gpu_has_its_cores(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeNvml(driver=False), monkeypatch)
    assert run(["devices", "--json"]) == 0
    found = told(capsys)
    assert found["cpu"] == {"cores": 4.0, "memory_bytes": 16 * GIB}
    assert found["boards"] == []
    assert found["notes"] == ["no NVIDIA driver here: nodes compute on the CPU (Driver Not Loaded)"]
    assert run(["devices"]) == 0
    assert "cpu: 4 cores, 16.0 GiB free" in capsys.readouterr().out


def test_boards_are_listed_by_what_nodes_call_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boards = (FakeBoard("GPU-a", 10 * GIB, processes=[(77, None)]), FakeBoard("GPU-b", 2 * GIB))
    use(FakeNvml(*boards), monkeypatch, sees=2)
    assert run(["devices", "--json"]) == 0
    found = told(capsys)
    assert [board["cuda"] for board in found["boards"]] == [[0], [1]]
    assert found["torch"] == {"version": "2.14", "cuda": "13.0", "devices": 2}
    assert found["notes"] == []
    assert run(["devices"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("cuda:1", "NVIDIA Fake", "board 1 is GPU-b", "2.0 GiB of 4.0", "of 700 W", "77"):
        assert words in shown


def test_a_torch_that_sees_none_of_the_boards_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeNvml(FakeBoard("GPU-a", 10 * GIB)), monkeypatch, sees=0)
    assert run(["devices", "--json"]) == 0
    assert told(capsys)["notes"] == [
        "torch is built for CUDA 13.0 and sees no device; the driver knows CUDA up to 12.8"
    ]


def test_nodes_that_do_not_fit_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(FakeNvml(FakeBoard("GPU-a", GIB)), monkeypatch, sees=1)
    data = yaml.safe_load((SPECS / "demo.yaml").read_text())
    data["nodes"][4].update(device="cuda:0", memory="512MiB")
    file = folder / "topology.yaml"
    file.write_text(yaml.safe_dump(data))
    assert run(["devices", "--topology", "topology.yaml"]) == 0
    assert "fit (cuda:0: 1 nodes, 512 MiB)" in " ".join(capsys.readouterr().out.split())
    data["nodes"][3].update(device="cuda:0", memory="600MiB")
    file.write_text(yaml.safe_dump(data))
    assert run(["devices", "--topology", "topology.yaml"]) == 2
    assert "the memory budgets on cuda:0 add up to 1112 MiB" in capsys.readouterr().err
