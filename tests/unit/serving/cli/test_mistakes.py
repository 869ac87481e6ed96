"""What a new user gets wrong: each mistake ends in one line that says what, where, and what to do.

All run in one process, without a cluster.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from cluster.specs import SPECS
from planner.policies import Options, solve
from serving.cli.main import run
from support.demo_setting import demo_demand, demo_setting
from support.run_files import put_run


class Mistake(NamedTuple):
    """A command line, how it ends, and what its line has to say."""

    command: str
    code: int
    where: str
    what: str
    then: str


MISTAKES = [
    # files that are missing, of another kind, or damaged
    Mistake("plan --profiles no.json", 2, "no.json", "No such file", "`testbed profile`"),
    Mistake("profile --verify -o no.json", 2, "no.json", "No such file", "`testbed profile`"),
    Mistake("plan --problem no.json", 2, "no.json", "No such file", "`testbed problem sample`"),
    Mistake("evaluate no.json", 2, "no.json", "No such file", "`testbed plan`"),
    Mistake("deploy no.json", 2, "no.json", "No such file", "`testbed plan`"),
    Mistake("drive --plan no.json", 2, "no.json", "No such file", "`testbed plan`"),
    Mistake("live --plan no.json", 2, "no.json", "No such file", "`testbed plan`"),
    Mistake("report --measurements no.parquet", 2, "no.parquet", "No such", "`testbed drive`"),
    Mistake("up no.yaml", 2, "no.yaml", "No such file", "docs/formats.md"),
    Mistake("plan --demand no.yaml", 2, "no.yaml", "No such file", "docs/formats.md"),
    Mistake("evaluate folder", 2, "folder", "Is a directory", "`testbed plan`"),
    Mistake("report --measurements plan.json", 2, "plan.json", "not a parquet file", "drive"),
    Mistake("plan --problem plan.json", 2, "plan.json", "unknown keys",
            "another kind of file, it lacks clients"),
    Mistake("evaluate plan.json --problem other.yaml", 2, "other.yaml", "unknown keys",
            "another kind of file"),
    Mistake("plan --topology nobodys.yaml", 2, "'jetson-nana'", "no published device", "devices: "),
    Mistake("up demand.yaml", 2, "demand.yaml", "phases: unknown key", "lacks nodes, links"),
    Mistake("up typo.yaml", 2, "typo.yaml: nodes.0.memroy", "unknown key", "mean memory?"),
    Mistake("plan --demand broken.yaml", 2, "broken.yaml", "not valid yaml", "line 2"),
    # files that do not belong together
    Mistake("plan --topology other.yaml", 2, "profiles.json", "'demo', not on 'two-edges'",
            "--profiles"),
    Mistake("plan --demand stranger.yaml", 2, "stranger.yaml", "client-9", "--demand"),
    Mistake("plan --demand task.yaml", 2, "task.yaml", "did you mean 'depth'?", "--demand"),
    Mistake("evaluate plan.json --problem small.json", 2, "plan.json", "the problem has no model",
            "--problem"),
    Mistake("deploy foreign.json", 2, "foreign.json", "client-x", "`testbed plan`"),
    Mistake("deploy greedy.json", 3, "greedy.json", "F4", "`testbed plan`"),
    # names
    Mistake("plan --policy baj30", 2, "'baj30'", "no policy", "did you mean 'baj3o'?"),
    Mistake("compare --policy best", 2, "'best'", "no policy", "valid: certified"),
    Mistake("live --policy best", 2, "'best'", "no policy", "valid: certified"),
    Mistake("zoo show rooms-smal-all", 2, "'rooms-smal-all'", "no model", "rooms-small-all"),
    Mistake("zoo list --benchmark romms", 2, "--benchmark romms", "no model of it", "rooms"),
    Mistake("profile --benchmark romms", 2, "--benchmark romms", "no model of it", "rooms"),
    Mistake("profile --model rooms-smal-all", 2, "'rooms-smal-all'", "no model", "near names"),
    Mistake("train rooms-smal-all", 2, "'rooms-smal-all'", "no model", "near names"),
    Mistake("experiment windos", 2, "'windos'", "no experiment", "windows"),
    Mistake("problem sample --family taskonom", 2, "family", "unknown 'taskonom'",
            "did you mean 'taskonomy'?"),
    Mistake("logs client-9", 2, "'client-9'", "no node", "nodes: driver"),
    Mistake("frobnicate", 2, "'frobnicate'", "No such command", "`testbed --help`"),
    Mistake("plan --polcy baj3o", 2, "--polcy", "No such option", "`testbed plan --help`"),
    Mistake("zoo show", 2, "'model'", "Missing argument", "`testbed zoo show --help`"),
    Mistake("plan --demand demand.yaml --fill", 2, "--fill", "requires an argument",
            "`testbed --help`"),
    Mistake("plan --solver cplex", 2, "--solver", "'highs'", "`testbed plan --help`"),
    Mistake("logs --level loud", 2, "--level", "'loud'", "`testbed logs --help`"),
    # numbers
    Mistake("plan --phase 7", 2, "--phase 7", "demand.yaml has phases", "0 to 1"),
    Mistake("plan --problem problem.json --routing penalty", 2, "--routing penalty",
            "what routers make", "leave out --problem"),
    Mistake("plan --fill 60", 2, "--fill", "'60'", "over 0 to 1"),
    Mistake("drive --phase 7", 2, "--phase 7", "has phases", "0 to 1"),
    Mistake("problem sample --edges 9000 --clients-per-edge 9000", 2, "--edges 9000", "more than",
            "give fewer"),
    # no cluster
    Mistake("profile", 1, "cluster", "no cluster is up", "`testbed up"),
    Mistake("deploy plan.json", 1, "cluster", "no cluster is up", "`testbed up"),
    Mistake("drive --plan plan.json", 1, "cluster", "no cluster is up", "`testbed up"),
    Mistake("compare", 1, "cluster", "no cluster is up", "`testbed up"),
    Mistake("live --plan plan.json", 1, "cluster", "no cluster is up", "`testbed up"),
    # who may enter
    Mistake("deploy plan.json --listen 0.0.0.0", 2, "0.0.0.0", "needs a token", "--token-file"),
    Mistake("deploy plan.json --token-file no.txt", 2, "--token-file", "no.txt", "No such file"),
    Mistake("deploy plan.json --token-file short.txt", 2, "short.txt", "at least 16",
            "--token-file"),
    Mistake("train --pairs", 2, "--pairs", "one benchmark", "--benchmark"),
]  # fmt: skip


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
    (folder / "folder").mkdir()
    (folder / "short.txt").write_text("secret")
    put_run(folder, setting, plan)
    return folder


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.command)
def test_a_mistake_is_told_in_one_line(
    mistake: Mistake,
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    shutil.copytree(files, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    if mistake.command == "evaluate plan.json --problem small.json":
        assert (
            run(["problem", "sample", "--family", "random", "--edges", "1", "-o", "small.json"])
            == 0
        )
        capsys.readouterr()
    before = sorted(tmp_path.rglob("*"))
    arguments = mistake.command.split()
    named = {"--demand", "--problem"} & {*arguments}
    if not named and arguments[0] in ("plan", "drive", "compare"):
        arguments += ["--demand", "demand.yaml"]
    assert run(arguments) == mistake.code
    told = capsys.readouterr().err.splitlines()
    lines = [line for line in told if line.startswith("testbed: ")]
    assert len(lines) == 1, told
    file = mistake.where.split(":")[0]  # of which there is a line for each fault
    assert all(line.startswith(f"{file}: ") for line in told[told.index(lines[0]) + 1 :])
    for words in (mistake.where, mistake.what, mistake.then):
        assert words in " ".join(told)
    assert "traceback" not in " ".join(told).lower()
    assert sorted(tmp_path.rglob("*")) == before
