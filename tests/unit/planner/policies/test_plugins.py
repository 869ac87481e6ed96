"""Policies of users are found by name, or refused in one line; none harms another."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.policies import (
    POLICIES,
    Options,
    PolicyError,
    UnknownPolicyError,
    find_policy,
    list_policies,
    plugins,
    solve,
)
from support.paths import ROOT
from support.planner_cases import one_client

MODULE = '''
"""A rival."""
WEIGHT = 0.5


def first(problem, options):
    """The first model at every client."""
    return {client: problem.models[:1] for client in problem.clients}


class Second:
    def plan(self, problem, options):
        return {}


second = Second()
'''
SOLVE = """
import sys
from planner.instances import sample_problem
from planner.policies import solve
problem = sample_problem("random", edges=1, clients_per_edge=2, models=6, tasks=2)
print(solve(problem, sys.argv[1]).plan.onloading)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path; what is imported and found meanwhile is forgotten again."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    forget()
    yield tmp_path
    forget()
    for name in set(sys.modules) - before:
        del sys.modules[name]


def forget() -> None:
    plugins._offered.cache_clear()
    plugins.warn_of_taken_names.cache_clear()


def install(folder: Path, package: str, **entries: str) -> None:
    """As pip leaves a package that offers `entries`, name -> place."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name.replace('_', '-')} = {place}" for name, place in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[j3o_testbed.policies]", *lines]))


def test_a_function_is_found_by_its_place(folder: Path) -> None:
    (folder / "rival_a.py").write_text(MODULE)
    found = find_policy("rival_a:first")
    assert (found.name, found.description) == ("rival_a:first", "The first model at every client.")
    solution = solve(one_client(), "rival_a:first")
    assert solution.plan.policy == solution.policy == "rival_a:first"
    assert solution.plan.onloading["c0"] == ("small-a",)
    assert find_policy("rival_a:second.plan").description == "rival_a:Second.plan"


def test_a_package_offers_policies_by_name(folder: Path) -> None:
    (folder / "rival_b.py").write_text(MODULE)
    install(folder, "rivals", first_model="rival_b:first")
    assert find_policy("first-model").description == "The first model at every client."
    assert solve(one_client(), "first-model").plan.policy == "first-model"
    listed = list_policies()
    assert [policy.name for policy in listed] == [*POLICIES, "first-model"]
    assert listed[-1].description == "plug-in rival_b:first"
    assert listed[-1].run(one_client(), Options(overrun=None)).policy == "first-model"
    with pytest.raises(UnknownPolicyError, match=r"did you mean 'first-model'.*first-model, or"):
        find_policy("first-modell")


def test_one_that_fails_to_import_is_refused_alone_and_by_name(folder: Path) -> None:
    (folder / "broken_c.py").write_text("import no_such_package_at_all\n")
    (folder / "leaving_c.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "rival_c.py").write_text(MODULE)
    install(folder, "rivals", bad="broken_c:f", gone="leaving_c:f", good="rival_c:first")
    install(folder, "others", odd="no function", moved="rival_d:first")
    names = [policy.name for policy in list_policies()]
    assert names == [*POLICIES, "bad", "gone", "good", "moved", "odd"]
    for name, told in {
        "bad": "of rivals: importing 'broken_c' failed: ModuleNotFoundError: No module named "
        "'no_such_package_at_all'",
        "gone": "of rivals: importing 'leaving_c' failed: SystemExit: 3",
        "odd": "of others: 'no function' is not of the form package.module:function",
        "moved": "of others: there is no module 'rival_d', neither in this folder nor where Python "
        "looks",
    }.items():
        with pytest.raises(PolicyError) as refused:
            find_policy(name)
        assert str(refused.value) == f"policy {name!r} {told}"
    assert find_policy("good").name == "good"
    assert find_policy("baj3o") is POLICIES["baj3o"]


def test_a_name_of_ours_stays_ours_and_that_is_said_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "rival_e.py").write_text(MODULE)
    install(folder, "rivals", baj3o="rival_e:first")
    with caplog.at_level(logging.WARNING):
        assert find_policy("baj3o") is POLICIES["baj3o"]
        assert [policy.name for policy in list_policies()] == list(POLICIES)
    assert [record.getMessage() for record in caplog.records] == [
        "policy 'baj3o' is the testbed's own; that of rivals is left out, take 'rival_e:first' or "
        "rename it"
    ]


def test_a_name_that_two_packages_offer_is_refused(folder: Path) -> None:
    (folder / "rival_f.py").write_text(MODULE)
    install(folder, "rivals", best="rival_f:first")
    install(folder, "others", best="rival_f:second.plan", alone="rival_f:first")
    with pytest.raises(PolicyError) as refused:
        find_policy("best")
    assert str(refused.value).startswith("policy 'best': others and rivals offer one of that name")
    assert "'rival_f:first'" in str(refused.value)
    assert "'rival_f:second.plan'" in str(refused.value)
    assert find_policy("alone").name == "alone"


def test_what_is_not_there_or_no_function_is_told(folder: Path) -> None:
    (folder / "rival_g.py").write_text(MODULE)
    place = folder / "rival_g.py"
    for name, told in {
        "rival_g:frist": f"{place} has no 'frist'; did you mean 'first'?",
        "rival_g:WEIGHT": f"'WEIGHT' of {place} is a float, not a function",
        "rival_g.sub:f": "there is no module 'rival_g.sub', neither in this folder nor where "
        "Python looks",
        "no_such_g.sub:f": "there is no module 'no_such_g', neither in this folder nor where "
        "Python looks",
    }.items():
        with pytest.raises(PolicyError) as refused:
            find_policy(name)
        assert str(refused.value) == f"policy {name!r}: {told}"


def test_what_has_another_form_is_an_unknown_name() -> None:
    for name in ("rival:", ":first", "rival:first:second", "a b:c", "../rival:first"):
        with pytest.raises(UnknownPolicyError, match=r"or package\.module:function"):
            find_policy(name)


def isolated(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    """`solve` by that name in a process that, like the command `testbed`, does not have the current
    folder on its path."""
    return subprocess.run(
        [sys.executable, "-P", "-c", SOLVE, name], cwd=folder, text=True, capture_output=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_modules_of_the_current_folder_are_found_after_all_others(tmp_path: Path) -> None:
    """A file of the user's with the name of one of our packages, or of numpy, hides nothing."""
    (tmp_path / "mine.py").write_text(
        f"import helper_of_mine, numpy, profiling\n{MODULE.replace('[:1]', '[:0]')}"
    )
    (tmp_path / "helper_of_mine.py").write_text("")
    for name in ("profiling", "models", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n")
    done = isolated(tmp_path, "mine:first")
    assert done.returncode == 0, done.stderr
    assert "{'client-0': (), 'client-1': (), " in done.stdout
    done = isolated(tmp_path, "models:first")
    assert done.stderr.splitlines()[-1].endswith(
        f"policy 'models:first': {ROOT / 'models' / '__init__.py'} has no 'first'"
    )


def test_a_folder_that_is_gone_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(PolicyError, match="there is no module 'no_such_h'"):
        find_policy("no_such_h:first")
    assert solve(one_client(), "all-cloud").objective > 0
