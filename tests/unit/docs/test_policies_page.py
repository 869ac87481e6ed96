"""docs/policies.md: the policy that it shows is short, runs everywhere as the page says, and can be
shipped."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.policies.plugins import GROUP
from serving.cli.main import run
from support.demo_setting import demo_setting
from support.paths import ROOT
from support.run_files import put_run, run_file

PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
RIVAL, *EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)
NAME = "mine:popular_first"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the page's `mine.py` lies; on no path of Python's."""
    (tmp_path / "mine.py").write_text(RIVAL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield tmp_path
    sys.modules.pop("mine", None)


def test_the_rival_has_fifteen_lines_at_most() -> None:
    assert len(RIVAL.splitlines()) <= 15


def test_the_examples_run_and_print_what_they_show(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(folder)  # as a script beside `mine.py` has it
    shared: dict[str, object] = {"__name__": "notebook"}
    exec(compile(RIVAL, "docs/policies.md, mine.py", "exec"), shared)
    for number, example in enumerate(EXAMPLES):
        exec(compile(example, f"docs/policies.md, example {number}", "exec"), shared)
    told = capsys.readouterr().out
    (shown,) = re.findall(r"```text\n(.*)\n```", PAGE)
    assert shown in told.splitlines()
    rival, best = (float(value) for value in re.findall(r"^(?:baj3o: )?(0\.\d{3})", told, re.M))
    assert 0.7 * best < rival < best


def test_the_command_takes_it_from_the_current_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(folder, demo_setting())
    assert run(["plan", "--policy", NAME]) == 0
    assert f"{NAME}: accuracy 0." in capsys.readouterr().out
    assert run(["evaluate"]) == 0
    assert run(["plan", "--policy", "mine:popular"]) == 2
    told = capsys.readouterr().err
    assert told == (
        f"testbed: policy 'mine:popular': {folder / 'mine.py'} has no 'popular'; did you mean "
        "'popular_first'?\n"
    )


def test_a_plan_over_budget_ends_with_exit_code_2_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_run(folder, demo_setting())
    with (folder / "mine.py").open("a") as stream:
        stream.write("\n\ndef all(problem, options):\n")
        stream.write("    return {node: problem.models for node in problem.clients}\n")
    assert run(["plan", "--policy", "mine:all"]) == 2
    told = capsys.readouterr().err
    assert re.fullmatch(
        r"testbed: policy 'mine:all': its plan breaks F4 at client-\d: .* bytes > .* \(memory\)"
        r".*\n",
        told,
    )
    assert not run_file(folder, "plan.json").exists()


def test_the_lines_for_pyproject_name_our_group() -> None:
    (lines,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    (entries,) = tomllib.loads(lines)["project"]["entry-points"].items()
    assert entries == (GROUP, {"popular-first": "my_package.planning:popular_first"})
