"""Every command that a page shows: its verb and options exist, and it runs where it can.

What is not run is named in tests/support/doc_commands.yaml, with the reason.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from cluster.providers.ray_driver import prepare_ray
from planner.policies import solve
from serving.cli.main import run
from serving.cli.run_verbs import PROMETHEUS
from serving.ingress import openapi
from serving.simulation.simulate import simulate
from support.demo_setting import demo_demand, demo_setting
from support.doc_commands import DocCommand, documented, handling, parse_command
from support.paths import ROOT
from support.run_files import as_measured, put_run

PROGRAMS = {command.words[0] for command in documented()}
OWN = [command for command in documented() if command.words[0] == "testbed"]


@pytest.mark.parametrize("command", OWN, ids=lambda command: f"{command.page}: {command.text}")
def test_its_verb_and_options_exist(command: DocCommand) -> None:
    parse_command([word for word in command.words[1:] if word != "..."])


@pytest.mark.parametrize("wrong", ["nosuch", "plan --polcy x", "drive --duration soon", "zoo sho"])
def test_a_verb_or_option_that_there_is_not_is_found(wrong: str) -> None:
    with pytest.raises(Exception, match=r"No such|[Ee]xpected|unknown"):
        parse_command(wrong.split())


def test_every_command_is_run_or_a_reason_says_why_not() -> None:
    known = handling()
    handled = {*known.run, *known.cluster, *known.parsed}
    shown = {command.text for command in OWN}
    elsewhere = {command.text for command in OWN if command.page in known.walked}
    assert shown - handled - elsewhere == set()
    assert {text for text in handled if text not in shown} == set(), "no page shows them"
    twice = [text for text in known.parsed if text in known.run or text in known.cluster]
    assert twice == []
    for page, tests in known.walked.items():
        assert (ROOT / page).is_file()
        assert all((ROOT / test).is_file() for test in tests)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a measured run of the demo, and the policy of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.syspath_prepend(str(tmp_path))
    setting = demo_setting()
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 4.0})
    plan = solve(setting.problem(demo_demand().phases[0]), "baj3o").plan
    rows = simulate(setting, plan, [phase], seed=1)
    put_run(tmp_path, setting, plan, as_measured(rows))
    page = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(import numpy.*?)```", page, re.DOTALL)
    assert code
    (tmp_path / "mine.py").write_text(code[1])
    return tmp_path


def test_what_needs_no_cluster_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_ray()  # which a command imports, and it stays in this process
    monkeypatch.setitem(sys.modules, "mine", ModuleType("mine"))  # so that none is left afterwards
    monkeypatch.delitem(sys.modules, "mine")
    for text in handling().run:
        _, *arguments = text.split()
        code = run(arguments)
        said = capsys.readouterr()
        allowed = {0, 4} if "--strict" in arguments else {0}
        assert code in allowed, f"{text}\n{said.err}"
        assert said.out, text


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = [command.words for command in documented() if command.words[0] == "make"]
    assert shown
    assert {word for words in shown for word in words[1:] if "=" not in word} <= targets


def curl(words: tuple[str, ...]) -> None:
    """Asks a door for something that it answers."""
    (url,) = (word for word in words if word.startswith("http://"))
    path = re.sub(r"\?.*", "", url.removeprefix("http://127.0.0.1:PORT"))
    paths = Path(openapi.__file__).read_text()
    pattern = re.sub(r"/models/(?!stats)[^/]+", "/models/{model}", path)
    assert f'"{pattern}"' in paths, url


def export(words: tuple[str, ...]) -> None:
    """Sets a variable that the code reads."""
    (variable,) = (word.split("=")[0] for word in words[1:])
    files = [file for room in ("models", "serving") for file in (ROOT / room).rglob("*.py")]
    read = "".join(file.read_text(encoding="utf-8") for file in files)
    assert f'"{variable}"' in read, variable


def prometheus(words: tuple[str, ...]) -> None:
    """Reads the file that `testbed deploy` writes."""
    assert words[1] == f"--config.file={PROMETHEUS / 'prometheus.yml'}"


def locust(words: tuple[str, ...]) -> None:
    """Takes a file that there is."""
    assert importlib.util.find_spec("locust")
    assert (ROOT / words[words.index("-f") + 1]).is_file()


def python(words: tuple[str, ...]) -> None:
    """Calls a module that there is, on files that there are."""
    assert importlib.util.find_spec(words[words.index("-m") + 1].split(".")[0])
    folder = next(word.removeprefix("-I") for word in words if word.startswith("-I"))
    assert (ROOT / folder / words[-1]).is_file()


def pip(words: tuple[str, ...]) -> None:
    """Installs an extra of this project."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (extra,) = re.findall(r"j3o-testbed\[(\w+)\]", words[-1])
    assert f"\n{extra} = [" in project


def docker(words: tuple[str, ...]) -> None:
    """Builds a stage of the Dockerfile, pushes what was built, or runs the compose file."""
    if words[1] in ("build", "compose"):
        assert (ROOT / words[words.index("-f") + 1]).is_file()
    if "--target" in words:
        stage = words[words.index("--target") + 1]
        assert f" AS {stage}\n" in (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    if "exec" in words:  # a service, then a command in it
        service, program, *arguments = words[words.index("exec") + 1 :]
        services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
        assert service in services
        assert program == "testbed"
        parse_command(arguments)


def kubectl(words: tuple[str, ...]) -> None:
    """Applies files that `testbed manifests kuberay` writes, or looks at pods by their labels."""
    files = {Path(word).name for at, word in enumerate(words) if words[at - 1] == "-f"}
    assert files <= {"secret.yaml", "config.yaml", "raycluster.yaml", "rayservice.yaml"}
    labels = " ".join(words)
    for label in re.findall(r"([\w.-]+/[\w-]+)=", labels):
        assert label in ("ray.io/node-type", "ray.io/cluster", "j3o-testbed/node")


def openssl(words: tuple[str, ...]) -> None:
    """Draws the token that the compose file reads."""
    assert "docker/ray-token" in words


def ray(words: tuple[str, ...]) -> None:
    """Takes the file of `testbed manifests ray-up`, or starts with options that Ray has."""
    if words[1] == "start":
        from ray.scripts.scripts import start

        known = {option for each in start.params for option in each.opts}
        assert {word.partition("=")[0] for word in words[2:]} <= known
        return
    assert words[1] in ("up", "attach")
    assert Path(words[2]).name == "cluster.yaml"


CHECKS: dict[str, Callable[[tuple[str, ...]], None]] = {
    "curl": curl, "export": export, "prometheus": prometheus, "locust": locust, "python": python,
    "pip": pip, "docker": docker, "kubectl": kubectl, "openssl": openssl, "ray": ray,
}  # fmt: skip


def test_commands_of_other_programs_fit_this_project() -> None:
    assert {"make", "testbed", *CHECKS} == PROGRAMS, "a program that no test knows, or none shows"
    for command in documented():
        if command.words[0] in CHECKS:
            CHECKS[command.words[0]](command.words)
