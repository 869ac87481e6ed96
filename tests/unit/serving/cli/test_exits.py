"""How commands end: the exit code, one line, and the traceback where there is one to keep."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from cluster.document import DocumentError
from cluster.errors import InputError, UnknownNameError
from cluster.extras import MissingExtraError
from cluster.machine import CapacityError
from cluster.providers.state import ClusterError
from planner.policies import UnknownPolicyError
from serving.cli import plan_verbs
from serving.cli.console import VerbOutput, results_apart
from serving.cli.exits import exit_code_of
from serving.cli.main import run
from serving.errors import BudgetError, NotServedError, OutputError, ServingError
from support.paths import ROOT

SAMPLE = ["problem", "sample", "--family", "random", "--edges", "1", "--clients-per-edge", "2"]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def raising(error: BaseException) -> Callable[..., None]:
    def command(*_: Any, **__: Any) -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("--phase 7: there are two"), 2, "--phase 7: there are two"),
        (UnknownNameError("no task 'dept'"), 2, "no task 'dept'"),
        (UnknownPolicyError("no policy 'x'"), 2, "no policy 'x'"),
        (DocumentError("a.yaml: nodes: missing"), 2, "a.yaml: nodes: missing"),
        (CapacityError("too small"), 2, "too small"),
        (MissingExtraError("it needs gurobipy"), 2, "it needs gurobipy"),
        (
            BudgetError(["F4 at client-0"]),
            3,
            "the plan breaks F4 at client-0; nothing was deployed",
        ),
        (ClusterError("no cluster is up"), 1, "no cluster is up"),
        (NotServedError("no model serves it"), 1, "no model serves it"),
        (OutputError("it is in /tmp/x"), 1, "it is in /tmp/x"),
        (
            OSError(28, "No space left on device", "out/x"),
            1,
            "out/x: No space left on device; make room, and run the command again",
        ),
        (InputError("\x1b[2Jcleared"), 2, r"\x1b[2Jcleared"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_is_known_to_go_wrong_is_one_line(
    error: BaseException, code: int, line: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(raising(error)) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"testbed: {line}\n")
    assert not state.exists()


def test_with_json_a_program_reads_what_went_wrong_as_an_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code_of(raising(InputError("no.json: is not there")), as_json=True) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "no.json: is not there", "exit_code": 2}
    assert err == "testbed: no.json: is not there\n"


def test_stdout_never_has_two_objects(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        VerbOutput(as_json=True).result({"queries": 3})
        raise ServingError("one of them failed")

    assert exit_code_of(command, as_json=True) == 1
    assert json.loads(capsys.readouterr().out) == {"queries": 3}
    assert exit_code_of(raising(ServingError("none began")), as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "none began"


def test_what_libraries_print_does_not_stand_beside_a_result(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with results_apart():
        out = VerbOutput(as_json=True)
        sys.stdout.write("many worker processes have been started\n")
        out.result({"found": 1})
    sys.stdout.write("after it\n")
    said = capsys.readouterr()
    assert said.out == '{"found": 1}\nafter it\n'
    assert said.err == "many worker processes have been started\n"


def test_the_command_line_tells_faults_as_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "no.json", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["error"].startswith("no.json: No such file")
    assert told["exit_code"] == 2


@pytest.mark.parametrize("error", [ValueError("7 is odd"), KeyError("client-0"), RuntimeError()])
def test_a_fault_of_the_program_is_no_bad_input_and_its_traceback_is_kept(
    error: Exception, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(raising(error)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"testbed: {type(error).__name__}: {error}; this should not happen, please"
    )
    (kept,) = (state / "logs").iterdir()
    assert line.endswith(f"the traceback is in {kept}")
    assert "in command\n    raise error" in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [stat.S_IMODE(p.stat().st_mode) for p in (state, state / "logs")] == [0o700, 0o700]


def test_without_a_state_folder_the_traceback_is_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "file" / "state"))
    assert exit_code_of(raising(KeyError("x"))) == 1
    (kept,) = tmp_path.glob("error-*.txt")
    assert str(kept) in capsys.readouterr().err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_where_no_file_can_be_written_the_traceback_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("serving.cli.exits.tempfile.mkstemp", raising(OSError(28, "full")))
    assert exit_code_of(raising(KeyError("x"))) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "the traceback is in the lines above" in err.splitlines()[-1]


def test_a_verb_whose_inside_fails_does_not_blame_the_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SAMPLE, "-o", "problem.json"]) == 0
    capsys.readouterr()

    def solve(*_: Any) -> None:
        raise KeyError("client-0")

    monkeypatch.setattr(plan_verbs, "solve", solve)
    assert run(["plan", "--problem", "problem.json"]) == 1
    assert "the traceback is in" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_mistake_that_shows_after_a_change_began_is_no_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = VerbOutput()

    def command(changes: bool) -> None:
        with out.busy("loading models", changes=changes):
            raise UnknownNameError("no model 'x'")

    assert exit_code_of(lambda: command(False)) == 2
    assert exit_code_of(lambda: command(True)) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "testbed: no model 'x'; see what is in force with `testbed status`"


def test_a_fault_on_a_node_is_no_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """Ray raises what a node raised as an error of its own and of the class of the cause."""
    told = type("RayTaskError", (InputError,), {"__module__": "ray.exceptions"})
    error = told("remote traceback\nof many lines")
    vars(error)["cause"] = InputError("no model\n'x'")
    assert exit_code_of(raising(error)) == 1
    assert capsys.readouterr().err.startswith("testbed: Ray: no model 'x'; the traceback is in ")


def test_a_verb_that_says_how_it_ended_is_believed() -> None:
    assert exit_code_of(raising(typer.Exit(3))) == 3
    assert exit_code_of(raising(SystemExit(4))) == 4
    assert exit_code_of(raising(SystemExit("words"))) == 1
    assert exit_code_of(raising(SystemExit(None))) == 0
    assert exit_code_of(lambda: None) == 0


@pytest.mark.measures_process
def test_signals_are_as_they_were_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    assert exit_code_of(lambda: os.kill(os.getpid(), signal.SIGTERM)) == 143
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As under `nohup`, which ignores the hang-up for what it starts."""
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert exit_code_of(lambda: os.kill(os.getpid(), signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, former)


@pytest.mark.measures_process
def test_a_verb_that_ends_at_ctrl_c_ends_at_sigterm_too_and_says_143() -> None:
    left = []

    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            left.append("in order")

    assert exit_code_of(command) == 143
    assert left == ["in order"]


@pytest.mark.measures_process
def test_sigterm_ends_a_command_whose_shell_ignores_ctrl_c_for_it() -> None:
    """As a script's shell does for what it starts with `&`."""

    def command() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert exit_code_of(command) == 143
    finally:
        signal.signal(signal.SIGINT, former)


@pytest.mark.measures_process
def test_sigterm_in_an_event_loop_lets_its_tasks_clean_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = []

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.02, os.kill, os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(5)
        finally:
            left.append("in order")

    assert exit_code_of(lambda: asyncio.run(work())) == 143
    assert left == ["in order"]
    assert capsys.readouterr().err == "testbed: ended by SIGTERM\n"


WAITING = (
    "import signal, sys, time; from serving.cli.exits import exit_code_of\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored, if a shell's background
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # ignored, if by nohup
    "sys.exit(exit_code_of(lambda: (print('ready', flush=True), time.sleep(60))))"
)


def start(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, stderr=subprocess.PIPE, text=True, **more
    )


@pytest.mark.measures_process
@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "testbed: interrupted\n"),
        (signal.SIGTERM, 143, "testbed: ended by SIGTERM\n"),
        (signal.SIGHUP, 129, "testbed: ended by SIGHUP\n"),
    ],
)
def test_a_signal_ends_the_process_in_one_line(number: int, code: int, line: str) -> None:
    process = start("-c", WAITING, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, line)


@pytest.mark.parametrize("arguments", [("plan", "--list"), ("plan", "--list", "--json")])
def test_a_reader_that_leaves_ends_the_command_without_a_word(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        process = start("-m", "testbed", *arguments, stdout=nobody)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 141
    assert not {"Traceback", "BrokenPipeError", "testbed:"} & set(err.split())


@pytest.mark.parametrize("arguments", [("plan", "--list"), ("status", "--json")])
def test_output_that_cannot_be_written_is_one_line(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("-m", "testbed", *arguments, stdout=full)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.splitlines()[-1] == (
        "testbed: the output: No space left on device; make room, and run the command again"
    )
    assert "Exception ignored" not in err


def test_a_peer_that_leaves_is_no_reader_that_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(raising(BrokenPipeError(32, "Broken pipe"))) == 1
    assert "BrokenPipeError: [Errno 32] Broken pipe; the traceback is in" in capsys.readouterr().err


def test_the_command_without_a_verb_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["problem"]):
        assert run(arguments) == 2
        out, err = capsys.readouterr()
        assert "Usage: testbed" in out + err


SIGNAL_AT_THE_END = """
import atexit, os, signal, sys
from serving.cli import main
run = main.run
def then_signalled(arguments, **options):
    code = run(arguments, **options)
    atexit.register(os.kill, os.getpid(), signal.{name})
    return code
main.run = then_signalled
sys.argv = ["testbed", "zoo", "list", "--json"]
main.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_after_the_command_is_done_does_not_make_it_undone(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL_AT_THE_END.format(name=name)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert json.loads(done.stdout)
