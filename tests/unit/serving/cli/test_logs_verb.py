"""`testbed logs`: lines of files and of nodes elsewhere, by time, for people and programs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from cluster.specs import SPECS
from cluster.topology import Topology
from serving.cli.main import main
from serving.logs.line import LogLine, encode_line
from serving.logs.read import Read, ReadPage

T0_S = 1_700_000_000.0


def line(after_s: float, node: str, text: str, level: str = "INFO", trace: str = "") -> LogLine:
    return LogLine(T0_S + after_s, level, node, "serving.x", text, trace)


EDGE = [line(1, "edge-0", "edge, first"), line(3, "edge-0", "edge, [bold]broken[/]", "ERROR")]
CLOUD = [line(2, "cloud", "cloud, once", "WARNING")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log folder of a user whose edge and cloud have logged."""
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path))
    logs = tmp_path / "logs"
    logs.mkdir()
    for name, lines in (("edge-0", EDGE), ("cloud", CLOUD)):
        (logs / f"{name}.log").write_text("".join(f"{encode_line(one)}\n" for one in lines))
    return logs


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `testbed logs ...`; gives its exit code, stdout and stderr."""

    def runs(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["testbed", "logs", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return runs


def texts(stdout: str) -> list[str]:
    return [str(found["text"]) for found in json.loads(stdout)["lines"]]


def test_lines_of_several_nodes_come_in_the_order_of_their_times(folder: Path, run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    rows = out.splitlines()
    at = (
        datetime.fromtimestamp(T0_S + 1)
        .astimezone()
        .replace(tzinfo=None)
        .isoformat(" ", "milliseconds")
    )
    assert rows[0] == f"{at} INFO    edge-0  edge, first  (serving.x)"
    assert [row.split()[3] for row in rows] == ["edge-0", "cloud", "edge-0"]
    assert "edge, [bold]broken[/]" in rows[2]  # what was logged is no markup


def test_a_node_a_level_and_a_number_of_lines_can_be_asked_for(folder: Path, run: Run) -> None:
    every = ["edge, first", "cloud, once", "edge, [bold]broken[/]"]
    assert texts(run("--json")[1]) == every
    assert texts(run("edge-0", "--json")[1]) == [every[0], every[2]]
    assert texts(run("--level", "warning", "--json")[1]) == every[1:]
    assert texts(run("edge-0", "--level", "error", "--json")[1]) == [every[2]]
    assert texts(run("-n", "2", "--json")[1]) == every[1:]
    assert texts(run("-n", "0", "--json")[1]) == every


def test_an_unknown_node_is_bad_input_that_names_the_known_ones(folder: Path, run: Run) -> None:
    code, _, err = run("edge-9")
    assert code == 2
    assert err == "testbed: there is no node 'edge-9'; nodes: cloud, driver, edge-0\n"


def test_without_any_log_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path))
    assert run()[:2] == (0, "nothing was logged\n")
    assert list(tmp_path.iterdir()) == []  # looking leaves nothing behind


def test_tracebacks_stand_below_their_line_and_nothing_steers_the_terminal(
    folder: Path, run: Run
) -> None:
    failed = line(4, "cloud", "a\nb\x1b[2J", "ERROR", "Traceback\n  File\x1b[1m\nRuntimeError: x")
    with (folder / "cloud.log").open("a") as file:
        file.write(encode_line(failed) + "\n")
    _, out, _ = run("-n", "1")
    assert "\x1b" not in out
    assert out.splitlines()[0].endswith("cloud  a\\nb\\x1b[2J  (serving.x)")
    assert out.splitlines()[1:] == [
        "    Traceback",
        "      File\\x1b[1m",
        "    RuntimeError: x",
    ]


def test_following_goes_on_with_what_comes_until_it_is_interrupted(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = [line(5, "edge-0", "later"), line(6, "cloud", "last", "ERROR")]

    def sleep(_: float) -> None:
        if not later:
            raise KeyboardInterrupt
        one = later.pop(0)
        with (folder / f"{one.node}.log").open("a") as file:
            file.write(encode_line(one) + "\n")

    monkeypatch.setattr("serving.cli.logs_verb.time.sleep", sleep)
    code, out, _ = run("--follow", "--json", "-n", "1")
    assert code == 0
    said = [json.loads(row)["text"] for row in out.splitlines()]
    assert said == ["edge, [bold]broken[/]", "later", "last"]


def test_nodes_without_a_file_on_this_host_are_asked_and_silent_ones_named(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology = Topology.load(SPECS / "demo.yaml")
    asked: list[set[str]] = []

    class FakeFleet:
        @classmethod
        def attach(cls, topology: Topology) -> FakeFleet:
            return cls()

        def log_lines(self, read: Mapping[str, Read]) -> dict[str, ReadPage]:
            asked.append(set(read))
            told = line(2.5, "client-0", "from afar")
            return {"client-0": ReadPage([told], {}), "client-1": ReadPage([], {})}

    module = ModuleType("serving.deploy.fleet")
    vars(module)["Fleet"] = FakeFleet
    monkeypatch.setitem(sys.modules, "serving.deploy.fleet", module)
    monkeypatch.setattr("cluster.providers.ray_driver.connect", lambda: None)
    state = SimpleNamespace(alive=True, topology=topology)
    monkeypatch.setattr("serving.cli.logs_verb.find_cluster", lambda: state)
    code, out, err = run("--json")
    assert code == 0
    assert texts(out) == ["edge, first", "cloud, once", "from afar", "edge, [bold]broken[/]"]
    assert asked == [{"client-0", "client-1", "client-2"}]
    assert "note: node client-2 gave no answer" in err
    state.alive = False
    assert len(texts(run("--json")[1])) == 3
    assert len(asked) == 1


def test_what_a_command_logs_is_kept_under_its_own_name(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def speaks(_: Sequence[str]) -> None:
        logging.getLogger("serving.deploy.fleet").info("plan version 7 is in force")

    monkeypatch.setattr("serving.cli.main._invoke", speaks)
    run()
    monkeypatch.undo()
    monkeypatch.setenv("TESTBED_STATE_DIR", str(folder.parent))
    written = (folder / "driver.log").read_text()
    assert json.loads(written)["node"] == "driver"
    assert json.loads(written)["text"] == "plan version 7 is in force"


def test_what_ray_itself_said_is_shown(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("edge-0", "--ray")[0] == 1, "no cluster is up"
    code, _, said = run("--ray")
    assert (code, "name it" in said) == (2, True)
    (tmp_path / "head.log").write_text("one\ntwo \x1b[2J\nthree\n")
    state = SimpleNamespace(
        topology=Topology.load(SPECS / "demo.yaml"), temp_dir=str(tmp_path),
        provider=SimpleNamespace(kind="local"),
    )  # fmt: skip
    monkeypatch.setattr("serving.cli.logs_verb.find_cluster", lambda: state)
    code, shown, _ = run("edge-0", "--ray", "--lines", "2")
    assert code == 0
    assert shown.splitlines()[1:] == ["two \\x1b[2J", "three"]
    assert "one" not in shown
    code, shown, _ = run("edge-0", "--ray", "--json")
    assert json.loads(shown)["files"][str(tmp_path / "head.log")][0] == "one"
    assert run("nosuch", "--ray")[0] == 2
