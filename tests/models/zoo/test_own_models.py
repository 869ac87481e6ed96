"""Models of one's own: the page's example from file to plan, and files that make no model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from cluster.demand import Demand
from cluster.provenance import collect_provenance
from cluster.topology import Topology
from models.curation.register import register_model
from models.curation.verify import verify_model
from models.runtime.cpu_engine import Serving
from models.runtime.model_runtime import ModelRuntime
from models.runtime.preprocessing import normalise
from models.zoo.cards import ModelCard
from models.zoo.own_model import OwnModelError, read_own_model
from models.zoo.registry import find_model, list_models
from profiling.measure import measure_model, profile_of
from profiling.profile import ModelProfile, Profiles
from profiling.sampling import SamplingRule
from serving.cli.console import ExitCode
from serving.cli.main import app
from support.paths import ROOT

PAGE = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"<!-- example: own model -->\n```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.search(r"<!-- example: own model's commands -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
assert EXAMPLE
assert COMMANDS
SOURCE = EXAMPLE.group(1)


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Twelve test pictures instead of the split's hundreds, and no zoo but the package's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("J3O_ZOO", "")  # and put back what a verb sets
    monkeypatch.setattr(
        "models.benchmarks.rooms.Rooms.splits", {"train": 12, "val": 12, "test": 12}
    )


@pytest.mark.usefixtures("few_images")
def test_the_pages_example_ends_in_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_depth.py").write_text(SOURCE)
    assert COMMANDS
    lines = [line.split("#")[0].split() for line in COMMANDS.group(1).splitlines()]
    register, export, verify, *cluster = lines
    run = CliRunner()
    registered = run.invoke(app, [*register[1:], "--json"])
    assert registered.exit_code == 0, registered.output
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv(*os.path.expandvars(export[1]).split("="))
    card = find_model("my-depth")
    assert card.accuracy("depth") > 0.1
    assert card in list_models("rooms")
    verified = run.invoke(app, [*verify[1:], "--json"])
    assert verified.exit_code == 0, verified.output
    # The page profiles on a cluster; here the same measuring runs without one.
    assert [line[:2] for line in cluster] == [
        ["testbed", "up"], ["testbed", "profile"], ["testbed", "plan"]
    ]  # fmt: skip
    cards = [find_model(name) for name in cluster[1][3::2]]
    topology = _little(tmp_path)
    profiles = tuple(_profile(topology, cards))
    provenance = collect_provenance("test")
    Profiles(topology="little", profiles=profiles, provenance=provenance).save(
        tmp_path / "profiles.json"
    )
    planned = run.invoke(
        app,
        ["plan", "--topology", "topology.yaml", "--demand", "demand.yaml",
         "--profiles", "profiles.json", "--output", "plan.json", "--policy", "all-local"],
    )  # fmt: skip
    assert planned.exit_code == 0, planned.output
    held = json.loads((tmp_path / "plan.json").read_text())["onloading"]
    assert "my-depth" in {model for models in held.values() for model in models}


def _little(folder: Path) -> Topology:
    (folder / "topology.yaml").write_text(
        "name: little\n"
        "nodes:\n"
        # A client that has room for the little network of the page and for no other.
        "  - {name: client-0, tier: client, memory: 500KiB, window_s: 1, "
        "compute: 1, max_batch: 1}\n"
        "  - {name: edge-0, tier: edge, memory: 64MiB, compute: 1, window_s: 1, max_batch: 2}\n"
        "  - {name: cloud, tier: cloud, memory: 600MiB, compute: 1, window_s: 1, max_batch: 2}\n"
        "links:\n"
        "  - {source: client-0, target: edge-0, bandwidth: 600KB}\n"
        "  - {source: edge-0, target: cloud, bandwidth: 60KB}\n"
    )
    (folder / "demand.yaml").write_text(
        "name: depth only\nphases:\n  - duration_s: 5\n    rates_qps: {client-0: {depth: 3.0}}\n"
    )
    Demand.load(folder / "demand.yaml")
    return Topology.load(folder / "topology.yaml")


def _profile(topology: Topology, cards: Sequence[ModelCard]) -> list[ModelProfile]:
    images = np.zeros((4, 96, 96, 3), np.uint8)
    found = []
    for card in cards:
        runtime = ModelRuntime.load(card, max_batch=32)
        measured = measure_model(
            runtime, images, model=card.name, device="cpu", max_batches=[1, 2], load_s=0.1,
            rule=SamplingRule(budget_s=0.0),
        )  # fmt: skip
        runtime.close()
        found += [
            profile_of(measured, node=n.name, measured_on="client-0", max_batch=n.max_batch)
            for n in topology.nodes
        ]
    return found


@pytest.mark.usefixtures("few_images")
def test_verify_finds_what_is_not_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my_depth.py"
    file.write_text(SOURCE)
    zoo = tmp_path / "zoo"
    card = register_model(file, zoo)
    monkeypatch.setenv("J3O_ZOO", str(zoo))
    assert verify_model(card).faults == ()
    metric = card.metrics["depth"]
    better = metric.model_copy(update={"value": metric.value + 0.01})
    boasting = card.model_copy(update={"metrics": {"depth": better}, "parameters": 7})
    assert [fault.split(": ")[1].split()[0] for fault in verify_model(boasting).faults] == [
        "the", "depth",
    ]  # fmt: skip
    assert verify_model(boasting, tolerance=0.1, files_only=True).metrics == {}
    run = CliRunner()
    builder = zoo / "builders" / "my-depth.py"
    builder.write_text(SOURCE + "\n# changed\n")
    changed = run.invoke(app, ["zoo", "verify", "my-depth", "--files-only", "--json"])
    assert changed.exit_code == ExitCode.NOT_MET
    assert "my-depth.py: digest" in json.loads(changed.stdout)["my-depth"]["faults"][0]
    builder.write_text(SOURCE)
    path = zoo / "checkpoints" / "my-depth.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    changed = run.invoke(app, ["zoo", "verify", "my-depth", "--files-only", "--json"])
    assert changed.exit_code == ExitCode.NOT_MET
    assert "digest" in json.loads(changed.stdout)["my-depth"]["faults"][0]


@pytest.mark.usefixtures("few_images")
def test_weights_of_a_file_are_those_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, weights = tmp_path / "my_depth.py", tmp_path / "trained.safetensors"
    file.write_text(SOURCE)
    save_file({"log_metres": torch.zeros(96, 1)}, weights)
    card = register_model(file, tmp_path / "zoo", weights=weights)
    monkeypatch.setenv("J3O_ZOO", str(tmp_path / "zoo"))
    answer = ModelRuntime.load(card, max_batch=1).run(np.zeros((1, 96, 96, 3), np.uint8))["depth"]
    assert np.all(answer == 1.0)  # exp of zero
    save_file({"other": torch.zeros(2)}, weights)
    with pytest.raises(OwnModelError, match=r"trained.safetensors: not the weights of build"):
        register_model(file, tmp_path / "zoo", weights=weights)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("def build", "def make", r"expected a function build\(\)"),
        ("return ByRow()", "return 3", r"must return a torch.nn.Module, it returned int"),
        ("return ByRow()", "return ByCol()", r"build\(\): NameError: name 'ByCol'"),
        ('"licence": "Apache-2.0",', "", "CARD: licence: missing"),
        ('"tasks"', '"task"', r"CARD: task: unknown key; did you mean tasks\?"),
        ('["depth"]', '["colour"]', r"CARD: tasks: rooms has no 'colour'; it has segmentation"),
        ('"rooms"', '"halls"', r"CARD: benchmark: there is no 'halls'"),
        ('"my-depth"', '"rooms-small-all"', r"another zoo holds 'rooms-small-all'"),
        ("import torch\n", "import torch\nraise OSError('no disk')\n", "OSError: no disk"),
        ("(self.log_metres + 0 * picture[:, :1],)", "picture", "a tuple with one tensor for each"),
        ("+ 0 * picture[:, :1],)", "+ picture.nothing,)", r"forward\(\) on two .* AttributeError"),
        (
            "+ 0 * picture[:, :1],)", "+ 0 * picture,)",
            r"depth: expected a tensor of shape \(2, 1, 96, 96\), got \(2, 3, 96, 96\)",
        ),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("few_images")
def test_a_file_that_makes_no_model_says_why(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    assert old in SOURCE
    file = tmp_path / "my_depth.py"
    file.write_text(SOURCE.replace(old, new, 1))
    with pytest.raises(OwnModelError, match=reason) as caught:
        register_model(file, tmp_path / "zoo")
    assert "my_depth.py" in str(caught.value)
    assert not (tmp_path / "zoo" / "cards").exists()


def test_a_zoo_that_is_not_there_or_repeats_a_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OwnModelError, match="No such file"):
        read_own_model(tmp_path / "absent.py")
    monkeypatch.setenv("J3O_ZOO", str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"J3O_ZOO: no folder .*absent"):
        list_models()
    path = tmp_path / "cards" / "rooms-small-all.yaml"
    path.parent.mkdir()
    path.write_text("name: x")
    monkeypatch.setenv("J3O_ZOO", str(tmp_path))
    with pytest.raises(ValueError, match="holds a model of this name already"):
        find_model("rooms-small-all")


def test_normalising_in_the_network_is_normalising_in_training() -> None:
    image = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    card = find_model("rooms-small-depth")
    serving = Serving(torch.nn.Identity(), ("depth",), card.preprocessing)
    wanted = normalise(image, card.preprocessing.mean, card.preprocessing.std)
    assert torch.equal(serving.maps(image), wanted)  # type: ignore[arg-type]
