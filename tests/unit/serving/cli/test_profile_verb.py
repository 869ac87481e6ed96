"""`testbed profile`: what it says of measurements, and how --verify ends. No cluster is up."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cluster.providers import ray_driver
from cluster.specs import SPECS
from cluster.topology import Topology
from models.zoo.cards import ModelCard
from profiling.conditions import Conditions
from profiling.interference import BusyRatio, Interference, neighbours_busy
from profiling.measured import EnergyUse, HostParts, MeasuredModel
from profiling.profile import Profiles
from profiling.verify import Drift, find_drift, pick_sample
from serving.cli import profile_verb
from serving.cli.console import ExitCode
from serving.cli.main import run
from serving.cli.profile_output import notes_on, shares_in_words
from serving.runs.manifest import FileKind
from serving.traffic.run_use import HostTimes
from support.demo_setting import demo_setting
from support.measured_models import measured_batch, measured_model, measured_profiles
from support.run_files import newest_run, put_run, run_file

TOPOLOGY = Topology.load(SPECS / "demo.yaml")
MODULE = "serving.deploy.profile_nodes"
MODELS = ("rooms-small-depth", "rooms-small-edges", "rooms-small-normals")
NEIGHBOUR = BusyRatio(
    model=MODELS[0], batch=1, beside="node", neighbour=MODELS[1], ratio=1.5, low=1.4, high=1.6
)


def profiles_of(*measured: MeasuredModel) -> Profiles:
    table = Interference(
        measured_on="edge-0", rows=(NEIGHBOUR,), neighbours_busy=neighbours_busy(TOPOLOGY.nodes)
    )
    return measured_profiles(TOPOLOGY, *measured).model_copy(update={"interference": (table,)})


WHOLE = profiles_of(*(measured_model(model) for model in MODELS))


class FakeCluster:
    """Stands for the module that measures on a cluster: gives what it was told, and remembers what
    it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ratio: float = 1.0) -> None:
        self.asked: dict[str, Any] = {}
        self._ratio = ratio
        module = ModuleType(MODULE)
        for measures in (self.profile_cluster, self.verify_on_cluster):
            monkeypatch.setattr(module, measures.__name__, measures, raising=False)
        monkeypatch.setitem(sys.modules, MODULE, module)
        monkeypatch.setattr(ray_driver, "connect", lambda: SimpleNamespace(topology=TOPOLOGY))
        monkeypatch.setattr(ray_driver, "disconnect", lambda: None)

    def profile_cluster(
        self, topology: Topology, cards: Sequence[ModelCard], **asked: Any
    ) -> Profiles:
        self.asked = asked
        return profiles_of(*(measured_model(card.name) for card in cards))

    def verify_on_cluster(
        self, topology: Topology, cards: Sequence[ModelCard], profiles: Profiles, **asked: Any
    ) -> tuple[Drift, ...]:
        self.asked = asked
        return tuple(
            drift
            for sample in pick_sample(profiles)
            for drift in find_drift(
                sample,
                [
                    measured_batch(entry.batch, self._ratio * entry.p50_s)
                    for entry in sample.then.latency
                    if entry.batch in sample.sizes
                ],
            )
        )


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))


def test_measurements_are_written_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cluster = FakeCluster(monkeypatch)
    words = [word for model in MODELS for word in ("--model", model)]
    assert run(["profile", *words, "--seconds", "2", "--width", "0.05", "--fresh"]) == ExitCode.OK
    asked = cluster.asked
    assert (asked["rule"].budget_s, asked["rule"].width, asked["fresh"]) == (2.0, 0.05, True)
    assert asked["kept"] == tmp_path / "state" / "measurements"
    said = " ".join(capsys.readouterr().out.split())
    for wanted in (
        "rooms-small-depth", "5 batch sizes up to 16", "another node, busy", "1.50", "1.40 to 1.60",
        "3 of 3 models are as measured before", "3 models in", "wrote out/runs/demo-",
    ):  # fmt: skip
        assert wanted in said, wanted
    assert Profiles.load(run_file(tmp_path, "profiles.json")).measured[0].model == MODELS[0]


@pytest.mark.parametrize(("busy_s", "told"), [(0.6, True), (0.1, False)])
def test_a_machine_that_is_busy_is_said_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    busy_s: float,
    told: bool,
) -> None:
    FakeCluster(monkeypatch)
    looks = iter([HostTimes(5.0, 0.0, 10.0), HostTimes(5.0 + busy_s, 0.0, 11.0)])
    monkeypatch.setattr(profile_verb, "read_host_times", lambda: next(looks))
    monkeypatch.setattr(profile_verb, "LOOK_S", 0.0)
    assert run(["profile", "--model", MODELS[0], "--json"]) == ExitCode.OK
    said = capsys.readouterr()
    assert json.loads(said.out)["busy_before"] == pytest.approx(busy_s)
    assert ("60% busy with other work" in said.err) is told


def test_profiles_that_a_plan_stands_on_are_not_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    FakeCluster(monkeypatch)
    first = put_run(tmp_path, demo_setting(), "all-local")
    assert run(["profile", "--model", MODELS[0]]) == ExitCode.OK
    said = " ".join(capsys.readouterr().out.split())
    assert "since the plan file of run first was made from its profiles file" in said
    begun = newest_run(tmp_path)
    assert begun.name != "first"
    assert begun.manifest.files.keys() == {FileKind.TOPOLOGY, FileKind.PROFILES}
    assert Profiles.load(first.checked(FileKind.PROFILES)) == demo_setting().profiles
    assert run(["profile", "--model", MODELS[0], "--run", "first"]) == ExitCode.BAD_INPUT
    assert run(["profile", "--model", MODELS[0]]) == ExitCode.OK
    assert newest_run(tmp_path).name == begun.name


def test_programs_get_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeCluster(monkeypatch)
    assert run(["profile", "--model", MODELS[0], "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["models"], found["measured"], found["kept"], found["unsettled"]) == (1, 1, 1, 0)


@pytest.mark.parametrize(
    ("ratio", "code", "said"),
    [
        (1.02, ExitCode.OK, "still holds: none of 6 medians drifted, by more than 10%"),
        (
            1.4,
            ExitCode.NOT_MET,
            "6 of 6 medians drifted, by more than 10% and more than chance;",
        ),
    ],
)
def test_verify_ends_by_what_drifted(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ratio: float,
    code: ExitCode,
    said: str,
) -> None:
    FakeCluster(monkeypatch, ratio)
    WHOLE.save("p.json")
    before = Path("p.json").read_bytes()
    assert run(["profile", "--verify", "-o", "p.json"]) == code
    assert said in " ".join(capsys.readouterr().out.split())
    assert Path("p.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"topology": "another"}, "p.json: they are of the topology 'another', and 'demo' is up"),
        ({"measured": ()}, "p.json: it holds no measurements to compare with"),
        ({"profiles": WHOLE.profiles[:-1]}, "p.json: the profiles are partial: cloud has none of"),
    ],
)
def test_what_cannot_be_verified_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    said: str,
) -> None:
    FakeCluster(monkeypatch)
    WHOLE.model_copy(update=change).save("p.json")
    assert run(["profile", "--verify", "-o", "p.json"]) == ExitCode.BAD_INPUT
    assert said in capsys.readouterr().err


def test_plan_refuses_partial_and_stale_profiles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    WHOLE.model_copy(update={"profiles": WHOLE.profiles[:-1]}).save("partial.json")
    assert run(["plan", "--profiles", "partial.json"]) == ExitCode.BAD_INPUT
    assert "partial.json: the profiles are partial: cloud has none" in capsys.readouterr().err
    origin = WHOLE.measured[0].origin
    assert origin is not None
    other = origin.model_copy(update={"model_digest": "0" * 16})
    stale = WHOLE.measured[0].model_copy(update={"origin": other})
    WHOLE.model_copy(update={"measured": (stale, *WHOLE.measured[1:])}).save("stale.json")
    assert run(["plan", "--profiles", "stale.json"]) == ExitCode.BAD_INPUT
    assert "stale.json: the profile of rooms-small-depth is stale" in capsys.readouterr().err


def test_notes_say_what_tables_do_not() -> None:
    bare = measured_model(MODELS[0])
    unsure = measured_batch(1, 0.007).model_copy(update={"settled": False})
    stairs = [0.010, 0.010, 0.010, 0.020, 0.040]
    odd = bare.model_copy(
        update={
            "model": MODELS[1],
            "latency": (unsure, *bare.latency[1:]),
            "left_out": (3, 6),
            "rss_bytes": 50_000_000,
            "energy": EnergyUse(source="nvml", idle_w=70.0, busy_w=200.0),
            "conditions": Conditions(clock_mhz=2400, throttled=True, stolen_share=0.2),
        }
    )
    bent = measured_model(MODELS[2]).model_copy(
        update={
            "latency": tuple(
                measured_batch(entry.batch, p50_s)
                for entry, p50_s in zip(bare.latency, stairs, strict=True)
            )
        }
    )
    said = " | ".join(notes_on(profiles_of(bare, odd, bent), bare.taken_at))
    for wanted in (
        f"latency is no line, beyond noise: {MODELS[2]} by",
        f"medians less sure than was asked: {MODELS[1]} at 1;",
        f"batch sizes left out for time: {MODELS[1]} 3, 6;",
        f"{MODELS[1]} 48 MiB",
        "energy by nvml: 70.0 W idle, busy devices draw 130.0 to 130.0 W more",
        "clock 2400 to 2400 MHz, no governor, no thermometer",
        f"heat or power slowed the device while it ran {MODELS[1]}",
        "the host gave up to 20% of the cores' time",
    ):
        assert wanted in said, wanted
    assert "as measured before" not in said
    without = measured_model(MODELS[0]).model_copy(update={"energy_note": "RAPL: none"})
    assert "energy: not measured (RAPL: none)" in notes_on(profiles_of(without), "")


def test_what_neighbours_leave_of_budgets_is_said_once() -> None:
    (line,) = shares_in_words(TOPOLOGY, WHOLE)
    assert f"edge-0 {WHOLE.compute_share('edge-0'):.2f}" in line
    assert shares_in_words(TOPOLOGY, WHOLE.model_copy(update={"interference": ()})) == []


def test_parts_are_shown_in_microseconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeCluster(monkeypatch)
    parts = HostParts(decode_s=0.0004, fit_s=0.0007, stack_s=1e-5, copy_s=0.0, hand_over_s=0.0002)
    measured = measured_model(MODELS[0]).model_copy(update={"parts": parts})
    monkeypatch.setattr(
        sys.modules[MODULE], "profile_cluster", lambda *_, **__: profiles_of(measured)
    )
    assert run(["profile", "--model", MODELS[0]]) == ExitCode.OK
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = {" ".join(row[:-1]): row[-1] for row in rows if len(row) > 2}
    assert shown["decoding a PNG"] == "400"
    assert shown["through the executor and back"] == "200"
    assert shown["into one array (in the pass)"] == "10"
