"""What is wrong in a file or a command line ends in one line that says what, where, and what to do.

The cases are data: `bad_inputs/*.yaml`, in the form that `support.bad_inputs` describes. All run in
one process, without a cluster.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cluster.providers import lifecycle
from cluster.specs import SPECS
from planner.policies import Options, solve
from serving.cli.main import run
from support.bad_inputs import BadInput, read_bad_inputs
from support.demo_setting import demo_demand, demo_setting
from support.run_files import put_run

CASES = list(read_bad_inputs(Path(__file__).with_name("bad_inputs")))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a demo that was planned, and spoilt copies of them."""
    folder = tmp_path_factory.mktemp("files")
    setting = demo_setting()
    setting.profiles.save(folder / "profiles.json")
    problem = setting.problem(demo_demand().phases[0])
    problem.save(folder / "problem.json")
    plan = solve(problem, "all-local", Options()).plan
    plan.save(folder / "plan.json")
    data = plan.model_dump(mode="json", exclude_none=True)
    foreign = json.dumps(data).replace("client-0", "client-x")
    (folder / "foreign.json").write_text(foreign)
    data["onloading"]["client-2"] = list(problem.models)
    (folder / "greedy.json").write_text(json.dumps(data))
    demand = (SPECS / "demo-demand.yaml").read_text()
    (folder / "demand.yaml").write_text(demand)
    (folder / "stranger.yaml").write_text(demand.replace("client-2", "client-9"))
    (folder / "task.yaml").write_text(demand.replace("depth", "dept"))
    (folder / "broken.yaml").write_text("name: x\nphases: [1, 2\n")
    shutil.copy(SPECS / "two-edges.yaml", folder / "other.yaml")
    text = (SPECS / "demo.yaml").read_text()
    (folder / "typo.yaml").write_text(text.replace("memory:", "memroy:", 1))
    devices = (SPECS / "emulated.yaml").read_text()
    nobodys = devices.replace("{slower_than_here: 8}", "jetson-nana", 1)
    (folder / "nobodys.yaml").write_text(nobodys)
    for name, rows in (
        ("backwards", "0,1 2,1 1,1"),
        ("gap", "0,1 1,1 2,1 9,1"),
        ("idle", "0,0 1,0"),
    ):
        lines = ["t_s,capacity_mbit_s", *rows.split()]
        (folder / f"{name}.csv").write_text("\n".join(lines))
    (folder / "folder").mkdir()
    (folder / "short.txt").write_text("secret")
    (folder / "token.txt").write_text("a token of 16 signs or more")
    shutil.copy(SPECS / "demo.yaml", folder / "topology.yaml")
    small = ["problem", "sample", "--family", "random", "--edges", "1"]
    assert run([*small, "-o", str(folder / "small.json")]) == 0
    put_run(folder, setting, plan)
    return folder


def test_there_are_cases_for_every_verb_and_file() -> None:
    assert len(CASES) >= 200
    assert len({case.name() for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=BadInput.name)
def test_what_is_wrong_is_told_in_one_line(
    case: BadInput,
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it would have started a cluster")

    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(lifecycle, "up", refuse)
    shutil.copytree(files, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    case.spoil(tmp_path / "work")
    before = contents(tmp_path)
    assert run(case.arguments()) == case.code
    told = capsys.readouterr().err.splitlines()
    lines = [line for line in told if line.startswith("testbed: ")]
    assert len(lines) == 1, told
    line = lines[0].removeprefix("testbed: ")
    file = line.split(":")[0]  # of which there is a line for each fault
    assert all(more.startswith(f"{file}: ") for more in told[told.index(lines[0]) + 1 :]), told
    if case.spoils:
        assert line.startswith(f"{case.spoilt}: ")
    assert case.says
    for words in case.says:
        assert words in " ".join(told)
    assert "traceback" not in " ".join(told).lower()
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file of a folder, and what stands in it."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
