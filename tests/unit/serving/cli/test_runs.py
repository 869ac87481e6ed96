"""Files that belong together: what verbs read and write of a run, without a cluster."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.provenance import collect_provenance
from cluster.specs import SPECS
from planner.plan import Plan
from planner.policies import solve
from serving.cli import inputs
from serving.cli.main import run
from serving.report.examples import Example, Gallery
from serving.report.report import Report
from serving.runs.find import list_runs
from serving.runs.manifest import FileKind
from serving.runs.run_folder import RunFolder
from serving.setting.setting import Setting
from serving.simulation.simulate import simulate
from serving.traffic.measurement import Measurements
from support.demo_setting import demo_demand, demo_setting
from support.run_files import newest_run, put_run


@cache
def setting() -> Setting:
    return demo_setting()


@cache
def plan_of(policy: str) -> Plan:
    return solve(setting().problem(demo_demand().phases[0]), policy).plan


@cache
def rows_of(policy: str) -> Measurements:
    """What a short run under the plan of a policy measured."""
    phase = demo_demand().phases[0].model_copy(update={"duration_s": 4.0})
    rows = simulate(setting(), plan_of(policy), [phase], seed=1)
    provenance = collect_provenance("testbed drive", seed=1)
    return replace(rows, run=rows.run.model_copy(update={"provenance": provenance}))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    # The zoo is read once for all of these tests.
    monkeypatch.setattr(inputs, "list_models", lambda *_: setting().cards)
    return tmp_path


@pytest.fixture
def planned(folder: Path) -> RunFolder:
    return put_run(folder, setting(), plan_of("all-local"))


@pytest.fixture
def measured(folder: Path) -> RunFolder:
    return put_run(folder, setting(), plan_of("all-local"), rows_of("all-local"))


def names() -> list[str]:
    return [each.name for each in list_runs()]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    return " ".join((out + err).split())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one line with which a command is refused."""
    capsys.readouterr()
    assert run(list(arguments)) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("testbed:")]
    return line


class TestWhereFilesGo:
    def test_a_plan_and_its_problem_say_what_they_were_made_from(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = put_run(folder, setting())
        assert run(["plan", "--policy", "all-local", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["run"] == "first"
        now = newest_run(folder)
        assert now.name == "first"
        plan = now.manifest.files[FileKind.PLAN]
        assert plan.command == "testbed plan --policy all-local --json"
        assert plan.made_from[FileKind.PROFILES] == first.digest(FileKind.PROFILES)
        assert plan.made_from[FileKind.PROBLEM] == now.digest(FileKind.PROBLEM)
        assert now.checked(FileKind.DEMAND).read_text() == (
            SPECS / "demo-demand.yaml"
        ).read_text()  # fmt: skip
        assert Plan.load(now.checked(FileKind.PLAN)).profiles_digest is not None

    def test_without_a_run_a_verb_says_what_to_do(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "there is no run with profiles; `testbed profile` makes them" in refused(
            capsys, "plan"
        )
        setting().profiles.save(folder / "out" / "profiles.json")
        assert "out/profiles.json, of an older version, can be named with --profiles" in refused(
            capsys, "plan"
        )
        assert run(["plan", "--profiles", "out/profiles.json", "--policy", "all-local"]) == 0
        (begun,) = list_runs()
        assert begun.name.startswith("demo-")
        assert begun.checked(FileKind.PROFILES).read_bytes() == Path(
            "out/profiles.json"
        ).read_bytes()  # fmt: skip

    def test_loose_files_still_come_and_go(self, planned: RunFolder) -> None:
        assert run(["plan", "--policy", "all-edge", "-o", "mine/plan.json"]) == 0
        assert run(["evaluate", "mine/plan.json", "--problem", "mine/problem.json"]) == 0
        assert newest_run(Path.cwd()) == planned

    def test_a_loose_file_does_not_go_into_a_run(
        self, planned: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place = str(planned.path(FileKind.PLAN))
        line = refused(capsys, "plan", "--policy", "all-edge", "-o", place)
        assert "is in the folder of run first" in line
        assert planned.checked(FileKind.PLAN).exists()

    def test_where_a_run_lacks_a_file_the_newest_that_has_one_is_named(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["plan", "--policy", "all-edge"]) == 0
        line = refused(capsys, "report")
        assert "has no measurements; `--run first` has; `testbed drive` makes them" in line

    def test_a_new_name_begins_a_run_with_what_was_read(self, planned: RunFolder) -> None:
        assert run(["plan", "--policy", "all-edge", "--run", "edges"]) == 0
        begun = newest_run(Path.cwd())
        assert (begun.name, begun.manifest.from_run) == ("edges", "first")
        assert begun.digest(FileKind.PROFILES) == planned.digest(FileKind.PROFILES)
        assert Plan.load(begun.checked(FileKind.PLAN)).policy == "all-edge"
        assert Plan.load(planned.checked(FileKind.PLAN)).policy == "all-local"
        assert run(["evaluate", "--run", "first"]) == 0

    def test_a_name_of_no_run_is_told_with_near_ones(
        self, planned: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = refused(capsys, "evaluate", "--run", "frist")
        assert "no run 'frist' (near names: first)" in line

    def test_a_demand_with_a_trace_is_found_from_its_copy_until_the_trace_changes(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        put_run(folder, setting())
        Path("trace.csv").write_text("second,requests\n" + "".join(f"{s},9\n" for s in range(60)))
        rates = demo_demand().phases[0].model_dump()["rates_qps"]
        replay = {"kind": "replay", "file": "trace.csv"}
        phases = [{"duration_s": 5, "rates_qps": rates, "arrivals": replay}]
        Path("demand.yaml").write_text(yaml.safe_dump({"name": "traced", "phases": phases}))
        assert run(["plan", "--policy", "all-local", "--demand", "demand.yaml"]) == 0
        assert run(["simulate", "--duration", "2"]) == 0
        capsys.readouterr()
        Path("trace.csv").write_text(Path("trace.csv").read_text().replace(",9", ",8"))
        line = refused(capsys, "simulate", "--duration", "2")
        assert "trace.csv: it was changed since" in line
        assert "demand.yaml, which names it" in line


class TestNothingIsOverwrittenThatSomethingWasMadeFrom:
    def test_a_plan_of_which_measurements_are_stays_and_another_run_begins(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["plan", "--policy", "all-edge"]) == 0
        told = said(capsys)
        assert "since the measurements file of run first was made from its plan file" in told
        assert "takes along demand, profiles, topology" in told
        begun = newest_run(Path.cwd())
        assert begun.manifest.from_run == "first"
        assert not begun.has(FileKind.MEASUREMENTS)
        assert Plan.load(measured.checked(FileKind.PLAN)).policy == "all-local"

    def test_it_is_refused_where_that_run_is_named(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = refused(capsys, "plan", "--policy", "all-edge", "--run", "first")
        assert "the measurements file of run first was made from its plan file; leave --run" in line
        assert names() == ["first"]

    def test_a_problem_that_is_drawn_begins_a_run_and_is_planned_there(
        self, planned: RunFolder
    ) -> None:
        draw = ["problem", "sample", "--family", "random", "--edges", "1"]
        assert run([*draw, "--clients-per-edge", "2"]) == 0
        begun = newest_run(Path.cwd())
        assert begun.name.startswith("random-mixed-")
        assert begun.manifest.files.keys() == {FileKind.PROBLEM}
        assert run(["plan", "--policy", "all-edge"]) == 0
        assert newest_run(Path.cwd()).name == begun.name
        assert planned.checked(FileKind.PROBLEM).exists()

    def test_a_plan_without_successors_is_replaced_in_its_run(self, planned: RunFolder) -> None:
        assert run(["plan", "--policy", "all-edge"]) == 0
        assert names() == ["first"]
        assert Plan.load(newest_run(Path.cwd()).checked(FileKind.PLAN)).policy == "all-edge"


class TestWhatDoesNotBelongIsRefused:
    def test_a_plan_that_was_changed_by_hand(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        change_objective(measured.path(FileKind.PLAN))
        line = refused(capsys, "report")
        assert "out/runs/first/plan.json: it was changed since" in line

    def test_profiles_of_another_run_under_a_plan(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["plan", "--policy", "all-local", "--run", "again"]) == 0
        slow = setting().profiles.slowed({"edge-0": 2.0})
        slow.save("slow.json")
        plan = str(newest_run(Path.cwd()).path(FileKind.PLAN))
        for verb in ("report", "simulate --measured"):
            line = refused(
                capsys, *verb.split(), "--run", "first", "--plan", plan, "--profiles", "slow.json"
            )
            assert "was made from other profiles than these" in line

    def test_a_plan_for_another_topology(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = (SPECS / "demo.yaml").read_text()
        other = yaml.safe_load(text)
        for link in other["links"]:
            link["budget_share"] = 0.1
        Path("other.yaml").write_text(yaml.safe_dump(other))
        make = ["plan", "--policy", "all-local", "--topology", "other.yaml"]
        assert run([*make, "-o", "mine/plan.json"]) == 0
        line = refused(
            capsys, "simulate", "--measured", "--plan", "mine/plan.json", "-o", "x.parquet"
        )
        assert "made for another topology or other models than these" in line

    def test_measurements_under_another_plan(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows_of("all-edge").save("edge.parquet")
        for verb, option in (("report", "--measurements"), ("simulate", "--against")):
            line = refused(capsys, verb, option, "edge.parquet")
            assert "edge.parquet: it was measured under a plan of all-edge, not under" in line

    def test_measurements_of_an_older_version_are_known_by_their_policy(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for policy in ("all-edge", "all-local"):
            rows = rows_of(policy)
            older = rows.run.model_copy(update={"plan_digest": None, "profiles_digest": None})
            replace(rows, run=older).save(f"{policy}.parquet")
        line = refused(capsys, "report", "--measurements", "all-edge.parquet")
        assert "measured under a plan of all-edge" in line
        assert run(["report", "--measurements", "all-local.parquet", "-o", "page"]) == 0

    def test_measurements_of_another_run_that_were_copied_over_these(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows_of("all-edge").save(measured.path(FileKind.MEASUREMENTS))
        line = refused(capsys, "report")
        assert "measurements.parquet: it was changed since" in line

    def test_a_demand_that_the_plan_was_not_made_for(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data: dict[str, Any] = yaml.safe_load((SPECS / "demo-demand.yaml").read_text())
        for rates in data["phases"][0]["rates_qps"].values():
            rates.update({task: 3 * rate for task, rate in rates.items()})
        Path("more.yaml").write_text(yaml.safe_dump(data))
        line = refused(capsys, "report", "--demand", "more.yaml")
        assert "more.yaml: " in line
        assert "plan.json was not made for it (it is for 60.0 queries/s, this demand has" in line

    def test_a_demand_that_cannot_be_read_is_named_as_it_was_given(
        self, planned: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("broken.yaml").write_text("name: x\nphases: []\n")
        line = refused(capsys, "plan", "--demand", "broken.yaml")
        assert line.startswith("testbed: broken.yaml: phases: ")

    def test_a_plan_of_another_problem(
        self, planned: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = setting().problem(demo_demand().phases[1])
        other.save("other.json")
        line = refused(capsys, "evaluate", "--problem", "other.json")
        assert "plan.json: this plan was made for another problem than other.json" in line

    @pytest.mark.parametrize("own", [True, False])
    def test_pictures_of_another_run(self, measured: RunFolder, own: bool) -> None:
        rows = rows_of("all-local")
        rows.save("loose/measurements.parquet")
        at = int(rows.answered.argmax())
        answer = Example(
            task=str(rows.task[at]), client=str(rows.client[at]), tier="client",
            node=str(rows.node[at]), model=str(rows.model[at]),
            latency_s=float(rows.latency_s[at]) + (0.0 if own else 1e-6),
            score=float(rows.score[at]), score_rank=0.5,
            image="data:image/png;base64,PICTURE", label="", prediction="",
        )  # fmt: skip
        Gallery(examples=(answer,)).save("loose/gallery.json")
        files = ["--measurements", "loose/measurements.parquet", "-o", "page"]
        assert run(["report", *files]) == 0
        assert ("PICTURE" in Path("page/report.html").read_text()) is own


class TestTheReport:
    def test_it_belongs_to_its_run_with_its_page(self, measured: RunFolder) -> None:
        assert run(["report"]) == 0
        now = newest_run(Path.cwd())
        entry = now.manifest.files[FileKind.REPORT]
        assert entry.made_from.keys() == {
            FileKind.TOPOLOGY, FileKind.PROFILES, FileKind.PLAN, FileKind.MEASUREMENTS
        }  # fmt: skip
        assert entry.parts.keys() == {"report/report.html"}
        assert Report.load(now.checked(FileKind.REPORT)).predicted.accuracy > 0

    def test_a_promise_that_was_written_by_hand_is_not_shown(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copy(measured.path(FileKind.PLAN), "mine.json")
        true = change_objective(Path("mine.json"))
        assert run(["report", "--plan", "mine.json", "-o", "page"]) == 0
        assert "mine.json: it says an accuracy of 0.9900" in said(capsys)
        report = Report.load("page/report.json")
        assert report.predicted.accuracy == pytest.approx(true)
        assert report.certificate.objective == pytest.approx(true)

    def test_a_page_is_written_whole_or_not_at_all(
        self,
        measured: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert run(["report", "-o", "page"]) == 0
        before = {path: path.read_bytes() for path in Path("page").iterdir()}
        writing = os.fdopen

        def fdopen(descriptor: int, mode: str) -> Any:
            stream = writing(descriptor, mode)
            calls.append(stream)
            if len(calls) == 2:  # report.json has been written, the page has no room
                stream.close()
                raise OSError(28, "No space left on device")
            return stream

        calls: list[Any] = []
        monkeypatch.setattr(os, "fdopen", fdopen)
        line = refused(capsys, "report", "-o", "page", code=1)
        assert "page cannot be written: No space left on device; the result is in" in line
        assert {path: path.read_bytes() for path in Path("page").iterdir()} == before


class TestWhereNothingCanBeWritten:
    def test_it_is_refused_before_the_work(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        setting().profiles.save(folder / "profiles.json")
        (folder / "out").write_text("")
        line = refused(capsys, "plan", "--profiles", "profiles.json")
        assert "cannot be written: out is no folder; run this in another folder" in line

    def test_a_manifest_for_which_there_is_no_room_is_one_line(
        self,
        planned: RunFolder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def full(*_: Any, **__: Any) -> RunFolder:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(RunFolder, "record", full)
            line = refused(capsys, "plan", "--policy", "all-edge", code=1)
        assert "the manifest of run first cannot be written: No space left on device" in line
        assert "plan.json: it was changed since" in refused(capsys, "evaluate")
        assert run(["plan", "--policy", "all-edge"]) == 0
        assert run(["evaluate"]) == 0


class TestRunsVerb:
    def test_runs_are_listed_with_what_was_promised_and_measured(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["runs", "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)["runs"]
        assert (row["run"], row["topology"], row["policy"]) == ("first", "demo", "all-local")
        promised = plan_of("all-local").predicted
        assert promised is not None
        assert row["promised"] == pytest.approx(promised.objective)
        assert 0 < row["measured"] < 1
        assert run(["runs"]) == 0
        assert f"{row['promised']:.3f}" in said(capsys)

    def test_a_file_that_was_changed_has_no_figure(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        change_objective(measured.path(FileKind.PLAN))
        assert run(["runs", "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)["runs"]
        assert row["promised"] == row["policy"] == "changed"
        assert 0 < row["measured"] < 1

    def test_two_runs_are_set_side_by_side(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["plan", "--policy", "all-edge", "--run", "edges"]) == 0
        capsys.readouterr()
        assert run(["runs", "--compare", "first", "edges", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["files"]["profiles"] == "the same"
        assert told["files"]["plan"] == "another"
        assert told["files"]["measurements"] == "only in first"
        assert [row["policy"] for row in told["runs"]] == ["all-local", "all-edge"]

    def test_a_report_is_opened_by_the_name_of_its_run(
        self, measured: RunFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = refused(capsys, "runs", "--open", "first")
        assert "run first has no report" in line
        assert "`testbed report --run first` writes one" in line
        assert run(["report"]) == 0
        capsys.readouterr()
        assert run(["runs", "--open", "first"]) == 0
        assert capsys.readouterr().out.strip().endswith("first/report/report.html")

    def test_no_run_is_said(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["runs"]) == 0
        assert "there is no run in out/runs; `testbed profile` begins one" in said(capsys)


def change_objective(path: Path) -> float:
    """Write .99 over the promise of a plan; the true one."""
    data = json.loads(path.read_text())
    true = float(data["predicted"]["objective"])
    data["predicted"]["objective"] = data["certificate"]["objective"] = 0.99
    data["certificate"]["upper_bound"] = 0.995
    path.write_text(json.dumps(data))
    return true
