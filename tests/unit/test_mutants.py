"""`make mutants`: which changes it makes, which it leaves alone, and what it calls caught."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import libcst as cst
import pytest

from mutants.__main__ import Result, Worker, draw, report
from mutants.files import FILES, TESTS
from mutants.mutate import Mutant, mutants_of
from mutants.reach import Reach
from mutants.worker import CAUGHT, SURVIVED, TIMEOUT, independent_modules
from support.paths import ROOT

SOURCE = '''\
"""Words."""
import logging
from typing import TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)
LIMIT: int = 3


async def act(count: int | None, wait) -> int:
    """More words."""
    await wait()
    if count is None:
        raise ValueError("no count, says this sentence")
    _log.info("%d", count + 1)
    return count + LIMIT
'''


def changes_of(source: str) -> dict[str, list[str]]:
    """Operator -> the lines that it puts in place of others."""
    found: dict[str, list[str]] = {}
    for mutant in mutants_of("act.py", source):
        ((_, line),) = _changed(source, mutant.source())
        found.setdefault(mutant.operator, []).append(line.strip())
    return found


def _changed(before: str, after: str) -> list[tuple[str, str]]:
    lines = zip(before.splitlines(), after.splitlines(), strict=True)
    return [(old, new) for old, new in lines if old != new]


def test_the_changes_are_those_that_a_hand_might_make() -> None:
    found = changes_of(SOURCE)
    assert found["drop_statement"] == ["pass", "pass"]  # the wait, and the refusal
    assert found["negate_condition"] == ["if not (count is None):"]
    assert found["operator_keywords"] == ["if count is not None:"]
    assert found["operator_swap_op"] == ["return count - LIMIT"]
    assert found["operator_number"] == ["LIMIT: int = 4"]


def test_words_annotations_imports_and_the_log_are_left_alone() -> None:
    lines = SOURCE.splitlines()
    changed = {line for mutant in mutants_of("act.py", SOURCE) for line in mutant.lines}
    assert {lines[number - 1].strip() for number in changed} <= {
        "LIMIT: int = 3", "await wait()", "if count is None:",
        'raise ValueError("no count, says this sentence")', "return count + LIMIT",
        # `T = None` breaks the import of whoever uses it; the name in it is left alone
        'T = TypeVar("T")', "_log = logging.getLogger(__name__)",
    }  # fmt: skip
    assert not [m for m in mutants_of("act.py", SOURCE) if "int & None" in m.source()]
    assert not [m for m in mutants_of("act.py", SOURCE) if "SENTENCE" in m.source()]


def test_a_mutant_has_a_name_and_a_diff_of_one_place() -> None:
    (dropped, _) = [m for m in mutants_of("act.py", SOURCE) if m.operator == "drop_statement"]
    assert dropped.name == f"act.py#{dropped.number}"
    assert "-    await wait()\n+    pass" in dropped.diff()
    assert list(dropped.lines) == [12]


@pytest.mark.parametrize("path", [*FILES, *TESTS])
def test_the_files_and_their_tests_are_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_a_sample_follows_from_its_seed_and_is_mostly_of_changed_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mutants.__main__.FILES", ("serving/node/links/pacer.py",))
    names = [mutant.name for mutant in draw("1", 20)]
    assert len(set(names)) == 20
    assert names == [mutant.name for mutant in draw("1", 20)]
    assert names != [mutant.name for mutant in draw("2", 20)]
    calls = [m for m in draw("1", 20) if m.operator == "operator_arg_removal"]
    assert len(calls) == 2


def test_what_is_imported_before_a_trial_depends_on_no_file_that_is_mutated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    names = independent_modules()
    assert "cluster.topology" in names
    assert "serving.node.links.uplink" not in names  # mutated itself
    assert "serving.node.server" not in names  # imports it
    mutated = [path.removesuffix(".py").replace("/", ".") for path in FILES]
    code = (
        "import sys; sys.modules.update(ray=None, torch=None)\n"
        f"for name in {names!r}: __import__(name)\n"
        f"print([name for name in {mutated!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_the_tests_of_a_line_are_those_that_run_it_the_quickest_first() -> None:
    by_line = {"a.py": {1: [""], 2: ["slow", "", "quick"], 3: ["other"]}}
    reach = Reach(by_line, {"slow": 2.0, "quick": 0.1, "other": 1.0})
    assert reach.tests_of("a.py", range(2, 3)) == ["quick", "slow"]
    assert reach.tests_of("a.py", range(2, 4)) == ["quick", "other", "slow"]
    assert reach.tests_of("a.py", range(1, 2)) == ["quick", "other", "slow"]  # an import's
    assert reach.tests_of("a.py", range(9, 10)) == []


@pytest.mark.slow  # starts four processes, one of which runs out its time
def test_a_trial_is_caught_survives_or_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutants.__main__.FREE_S", 0.0)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(
        "mutants.__main__.environment",
        lambda copy: {"PYTHONPATH": f"{copy}:{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
    )
    before = "def double(n):\n    return 2 * n\n"
    (tmp_path / "doubling.py").write_text(before)
    (tmp_path / "test_doubling.py").write_text(
        "from doubling import double\ndef test_it():\n    assert double(2) == 4\n"
    )
    worker = Worker(tmp_path)
    tests = ["test_doubling.py::test_it"]
    changes = {
        before.replace("2 * n", "2 / n"): CAUGHT,  # 2 / 2 is not 4
        before.replace("2 * n", "2 + n"): SURVIVED,  # 2 + 2 is
        before.replace("    return", "    while True: pass\n    return"): TIMEOUT,
        "no python": CAUGHT,
    }
    found = {
        source: worker.attempt("doubling.py", source, tests, 1.0 if wanted == TIMEOUT else 20.0)
        for source, wanted in changes.items()
    }
    worker.close()
    assert found == changes
    assert (tmp_path / "doubling.py").read_text() == before


def test_the_report_counts_and_shows_the_survivors() -> None:
    mutants = mutants_of("act.py", SOURCE)
    caught = [Result(mutant, CAUGHT, 3, 1.0) for mutant in mutants[:3]]
    (dropped, _) = [m for m in mutants if m.operator == "drop_statement"]
    text = report([*caught, Result(dropped, SURVIVED, 2, 1.0)], "7")
    assert text.startswith("MUTANTS_SEED=7: 3 of 4 caught (75.0%), at least 85% wanted\n")
    assert f"{dropped.name} (drop_statement, 2 tests)" in text
    assert "+    pass" in text
    assert isinstance(dropped, Mutant)
    assert isinstance(dropped.module, cst.Module)
