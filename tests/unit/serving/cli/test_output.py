"""Results go where they were asked to go, which is looked at first, or are kept elsewhere."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import InputError
from planner.problem import Problem
from serving.cli.main import run
from serving.cli.output import check_folder, check_output, save_result
from serving.errors import OutputError

SAMPLE = ["problem", "sample", "--family", "random", "--edges", "1", "--clients-per-edge", "2"]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "work")


def a_folder(work: Path) -> Path:
    (work / "out").mkdir()
    return work / "out"


def below_a_file(work: Path) -> Path:
    (work / "file").write_text("")
    return work / "file" / "out" / "plan.json"


def below_a_dangling_link(work: Path) -> Path:
    (work / "link").symlink_to(work / "nowhere")
    return work / "link" / "plan.json"


def a_pipe(work: Path) -> Path:
    os.mkfifo(work / "pipe")
    return work / "pipe"


PLACES: list[tuple[Callable[[Path], Path], str]] = [
    (a_folder, "it is a folder; name a file in it"),
    (below_a_file, "file is no folder"),
    (below_a_dangling_link, "link is no folder"),
    (a_pipe, "it is no regular file"),
    (lambda work: Path("/dev/full"), "it is no regular file"),
    (lambda work: Path("/proc/no-such-folder/plan.json"), "cannot be written"),
    (lambda work: work / ("x" * 300) / "plan.json", "cannot be written"),
    (lambda work: work / ("x" * 300), "File name too long"),
    (lambda work: Path(), "it is a folder"),
]


@pytest.mark.parametrize(("make", "words"), PLACES)
def test_a_place_that_takes_no_file_is_refused_before_the_work(
    tmp_path: Path, make: Callable[[Path], Path], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make(tmp_path / "work")
    before = sorted(tmp_path.rglob("*"))
    assert run([*SAMPLE, "-o", str(place)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"testbed: --output: {place}")
    assert words in line
    assert sorted(tmp_path.rglob("*")) == before
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        (["plan"], "-o"), (["profile"], "-o"), (["drive"], "-o"), (["report"], "-o"),
        (["problem", "sample"], "-o"), (["experiment", "windows"], "-o"), (["demo"], "--out"),
        (["scale"], "--out"),
        (["live"], "--log"), (["train", "rooms-small-depth"], "--zoo"),
        (["zoo", "register", "mine.py"], "--zoo"),
    ],
)  # fmt: skip
def test_every_verb_that_writes_looks_first(
    tmp_path: Path, verb: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work" / "file").write_text("")
    assert run([*verb, option, "file/below"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "file/below cannot be written: file is no folder" in line
    assert line.startswith(f"testbed: {option if len(option) > 2 else '--output'}: ")
    assert sorted((tmp_path / "work").iterdir()) == [tmp_path / "work" / "file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").chmod(0o500)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            check_output(tmp_path / "work" / "new" / "plan.json")
    finally:
        (tmp_path / "work").chmod(0o700)


def test_a_file_that_is_protected_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "work" / "plan.json"
    kept.write_text("mine")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root passes the real one
    with pytest.raises(InputError, match=r"plan\.json cannot be written: the file is there"):
        check_output(kept)


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output(tmp_path / "work" / "a" / "b" / "plan.json")
    check_folder(tmp_path / "work" / "a" / "b")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_plan_does_not_overwrite_its_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SAMPLE, "-o", "problem.json"]) == 0
    before = Path("problem.json").read_bytes()
    assert run(["plan", "--problem", "problem.json", "-o", "./problem.json"]) == 2
    assert "is the file of the problem" in capsys.readouterr().err
    assert Path("problem.json").read_bytes() == before


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is found to be full when the result comes, and not before."""
    real: Callable[..., tuple[int, str]] = tempfile.mkstemp
    folder = tmp_path / "work" / "full"

    def mkstemp(*arguments: Any, dir: Any = None, **more: Any) -> tuple[int, str]:
        if dir is not None and Path(dir) == folder.relative_to(Path.cwd()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(dir))
        return real(*arguments, dir=dir, **more)

    monkeypatch.setattr("cluster.document.tempfile.mkstemp", mkstemp)
    return folder


def test_a_disk_that_fills_up_does_not_cost_the_result(
    tmp_path: Path, full_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SAMPLE, "-o", "full/problem.json"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "testbed: full/problem.json cannot be written: No space left on device; the result is in "
    )
    (kept,) = (tmp_path / "temporary").rglob("problem.json")
    assert str(kept) in line
    assert len(Problem.load(kept).clients) == 2
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path) -> None:
    def save(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError) as told:
        save_result(save, tmp_path / "plan.json")
    assert str(told.value) == (
        f"{tmp_path / 'plan.json'} cannot be written: No space left on device; nor can "
        f"{tmp_path / 'temporary'} (No space left on device): make room, and run the command again"
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 KiB."""
    folder = tmp_path / "work" / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a disk of a few KiB can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_real_disk_that_is_full_is_seen_before_or_after(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = [*SAMPLE[:-1], "200"]  # some 300 KiB of problem
    assert run([*larger, "-o", "small/problem.json"]) == 1
    assert "No space left on device; the result is in" in capsys.readouterr().err
    (kept,) = (tmp_path / "temporary").rglob("problem.json")
    assert len(Problem.load(kept).clients) == 200
    assert list(small_disk.iterdir()) == []
    (small_disk / "filler").write_bytes(bytes(60 * 1024))
    assert run([*SAMPLE, "-o", "small/problem.json"]) == 2
    assert "--output: small/problem.json cannot be written: No space" in capsys.readouterr().err


def test_a_name_that_looks_like_markup_is_printed_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SAMPLE, "-o", "[bold]x[/y].json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problem"] == "[bold]x[/y].json"
    assert run(["plan", "--problem", "[bold]x[/y].json", "-o", "[/].json"]) == 0
    assert "wrote [/].json" in capsys.readouterr().out
