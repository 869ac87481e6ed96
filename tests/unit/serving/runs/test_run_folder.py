"""Runs on disk: what is not as it was written is refused by the file's name."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from cluster.errors import InputError, UnknownNameError
from planner.plan import Plan
from serving.runs.find import begin_run, claim_name, find_run, known_run, list_runs, release_names
from serving.runs.manifest import FileKind
from serving.runs.run_folder import RunFolder, now
from support.demo_setting import demo_setting
from support.run_files import put_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return put_run(tmp_path, demo_setting(), "all-local")


def root(run: RunFolder) -> Path:
    return run.folder.parent


def test_files_as_they_were_written_are_read(run: RunFolder) -> None:
    again = RunFolder.open(run.folder)
    assert again == run
    assert Plan.load(again.checked(FileKind.PLAN)).policy == "all-local"
    assert again.has(FileKind.PROBLEM)
    assert not again.has(FileKind.REPORT)


def test_a_file_that_was_changed_by_hand_is_refused_by_its_name(run: RunFolder) -> None:
    plan = run.path(FileKind.PLAN)
    plan.write_text(plan.read_text().replace('"all-local"', '"baj3o"'))
    with pytest.raises(InputError, match=r"plan\.json: it was changed since `testbed test`"):
        run.checked(FileKind.PLAN)


def test_a_file_that_is_gone_is_told(run: RunFolder) -> None:
    run.path(FileKind.PROFILES).unlink()
    with pytest.raises(InputError, match=r"profiles\.json: No such file or directory, and run"):
        run.checked(FileKind.PROFILES)


def test_a_file_that_was_made_from_another_one_is_refused(run: RunFolder) -> None:
    entry = run.manifest.files[FileKind.PLAN]
    other = entry.model_copy(update={"made_from": {**entry.made_from, FileKind.PROBLEM: "0" * 64}})
    strange = run.record({FileKind.PLAN: other})
    with pytest.raises(InputError, match=r"plan\.json: it was made from another problem than"):
        strange.checked(FileKind.PLAN)


def test_two_commands_may_write_into_one_run(run: RunFolder) -> None:
    entry = run.manifest.files[FileKind.PLAN]
    run.record({FileKind.LIVE_PLAN: entry})
    both = run.record({FileKind.REPORT: entry})  # by one that read the run before
    assert both.has(FileKind.LIVE_PLAN)
    assert both.has(FileKind.REPORT)
    assert RunFolder.open(run.folder) == both


def test_the_newest_run_is_the_first(run: RunFolder, tmp_path: Path) -> None:
    later = begin_run("later", now() + timedelta(seconds=1), run.name, root(run)).record({})
    (root(run) / "half-made").mkdir()
    (root(run) / "broken").mkdir()
    (root(run) / "broken" / "manifest.json").write_text("{")
    assert [each.name for each in list_runs(root(run))] == ["later", "first"]
    assert find_run("later", root(run)) == later
    assert find_run("half-made", root(run)) is None
    assert list_runs(tmp_path / "nowhere") == ()
    with pytest.raises(InputError, match=r"broken/manifest\.json: not valid json"):
        find_run("broken", root(run))


def test_a_run_that_is_not_there_is_told_with_near_names(run: RunFolder) -> None:
    with pytest.raises(UnknownNameError, match=r"no run 'frist' \(near names: first\)"):
        known_run("frist", root(run))


@pytest.mark.parametrize("name", ["", "../first", "a/b", ".hidden", "x" * 99, "a b"])
def test_a_name_that_is_no_folders_is_refused(run: RunFolder, name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a run"):
        find_run(name, root(run))


def test_a_folder_that_was_renamed_is_told(run: RunFolder) -> None:
    shutil.copytree(run.folder, root(run) / "copy")
    with pytest.raises(InputError, match="it is that of run first; give the folder this name"):
        find_run("copy", root(run))


def test_runs_of_one_second_get_names_of_their_own(run: RunFolder) -> None:
    when = now()
    name = claim_name("demo", when, root(run))
    begin_run(name, when, None, root(run)).record({})
    assert claim_name("demo", when, root(run)) == f"{name}-2"


def test_commands_at_once_get_names_of_their_own_and_those_that_fail_leave_nothing(
    tmp_path: Path,
) -> None:
    """The folder is the claim: whoever makes it first has the name."""
    place, when = tmp_path / "out" / "runs", now()
    names = [claim_name("demo", when, place) for _ in range(3)]
    assert len(set(names)) == 3
    begin_run(names[1], when, None, place).record({})
    release_names()
    assert [path.name for path in place.iterdir()] == [names[1]]
    shutil.rmtree(tmp_path / "out")
    claim_name("demo", when, place)
    release_names()
    assert not (tmp_path / "out").exists()
