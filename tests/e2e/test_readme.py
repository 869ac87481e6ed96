"""What the README's commands left behind, and how the running testbed answers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.benchmarks.rooms import Rooms
from planner.plan import Plan
from planner.problem import Problem
from profiling.profile import Profiles
from serving.report.compare import Comparison
from serving.report.report import Report
from serving.runs.find import list_runs
from serving.runs.manifest import FileKind
from serving.traffic.images import load_images
from serving.traffic.measurement import Measurements
from support.paths import ROOT
from support.run_files import newest_run
from support.testbed_process import Testbed, commands_of, readme_blocks


@pytest.fixture(scope="module")
def nodes(walked: Testbed) -> list[dict[str, Any]]:
    """What `testbed status` says of each node, in the topology's order."""
    return list(walked.nodes().values())


@pytest.mark.cluster
class TestWalk:
    """After every command of the README but `down`."""

    def test_every_stage_left_its_file(self, walked: Testbed) -> None:
        run = newest_run(walked.folder)
        assert [each.name for each in list_runs(walked.folder / "out/runs")] == [run.name]
        profiles = Profiles.load(run.checked(FileKind.PROFILES))
        assert {profile.node for profile in profiles.profiles} == {
            "client-0", "client-1", "client-2", "edge-0", "cloud",
        }  # fmt: skip
        plan = Plan.load(run.checked(FileKind.PLAN))
        assert plan.certificate is not None
        assert plan.certificate.objective <= plan.certificate.upper_bound + 1e-9
        assert plan.problem_digest == Problem.load(run.checked(FileKind.PROBLEM)).digest
        page = run.checked(FileKind.REPORT).with_name("report.html")
        assert page.read_text().startswith("<!doctype html")
        compared = Comparison.load(run.checked(FileKind.COMPARISON))
        assert {row.policy for row in compared.policies} == {"certified", "baj3o"}
        assert run.has(FileKind.DECISIONS)
        with Image.open(walked.folder / "out/answers/depth.png") as answer:
            assert answer.width > 3 * answer.height  # the picture, the answer and the true one
        assert "score" in walked.done["ask"].stdout
        assert run.has(FileKind.GALLERY)

    def test_the_plan_of_the_run_is_in_force_again_after_the_comparison(
        self, walked: Testbed
    ) -> None:
        said = walked.done["compare"].stdout
        assert "the plan of certified is in force again" in " ".join(said.split())
        told = walked.done["status"].stdout
        assert f"of run {newest_run(walked.folder).name}, as version" in " ".join(told.split())

    def test_every_query_was_answered_or_refused_and_scored(self, walked: Testbed) -> None:
        rows = Measurements.load(walked.file("measurements.parquet"))
        report = Report.load(walked.file("report/report.json"))
        assert len(rows) > 200
        assert report.measured.errors == 0
        assert report.measured.answered + report.measured.shed == len(rows)
        assert report.measured.accuracy_of_answered is not None
        assert report.measured.accuracy_of_answered > 0.4

    def test_status_names_every_node_its_plan_and_its_models(
        self, nodes: list[dict[str, Any]]
    ) -> None:
        assert len(nodes) == 5
        assert len({node["plan_version"] for node in nodes}) == 1
        assert any(node["models"] for node in nodes)
        assert [bool(node["url"]) for node in nodes] == [True, True, True, False, False]

    def test_a_door_answers_plain_http_and_says_what_it_expects(
        self, nodes: list[dict[str, Any]]
    ) -> None:
        url = nodes[0]["url"]
        assert httpx.get(f"{url}/v2/health/ready").json() == {"ready": True}
        refused = httpx.post(
            f"{url}/v2/models/depth/infer",
            content=b"nonsense",
            headers={"content-type": "image/png"},
        )
        assert refused.status_code == 422
        assert "PNG" in refused.json()["error"]

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
    def test_the_readmes_curl_gets_a_depth_map(
        self, walked: Testbed, nodes: list[dict[str, Any]]
    ) -> None:
        url = nodes[0]["url"]
        (command,) = commands_of(readme_blocks()[3])
        body = load_images([Rooms("test")], 1).bodies[0]
        (walked.folder / "room.png").write_bytes(body)
        asked = [word.replace("http://127.0.0.1:PORT", url) for word in command]
        shown = subprocess.run(asked, cwd=walked.folder, capture_output=True, text=True, check=True)
        assert "200 OK" in shown.stdout
        depth_m = np.frombuffer((walked.folder / "depth.f16").read_bytes(), np.float16)
        assert depth_m.shape == (96 * 96,)
        assert 0.3 < float(np.median(depth_m)) < 10

    def test_a_second_up_and_a_bad_topology_are_refused_in_one_line(self, walked: Testbed) -> None:
        second = walked.run("up")
        assert second.returncode == 1
        assert "is already up" in second.stderr
        bad = walked.folder / "bad.yaml"
        text = (ROOT / "cluster/specs/demo.yaml").read_text()
        bad.write_text(text.replace("memory:", "memroy:", 1))
        refused = walked.run("up", str(bad))
        assert refused.returncode == 2
        assert "nodes.0.memroy: unknown key; did you mean memory?" in refused.stderr
        assert "Traceback" not in second.stderr + refused.stderr

    def test_a_plan_that_breaks_a_budget_is_found_out(self, walked: Testbed) -> None:
        plan = json.loads(walked.file("plan.json").read_text())
        models = Problem.load(walked.file("problem.json")).models
        plan["onloading"]["client-2"] = list(models)
        (walked.folder / "greedy.json").write_text(json.dumps(plan))
        found = walked.run("evaluate", "greedy.json", "--json")
        assert found.returncode == 3
        assert any("F4" in violation for violation in json.loads(found.stdout)["violations"])
        refused = walked.run("deploy", "greedy.json")
        assert refused.returncode == 3
        assert "F4" in refused.stderr


def test_without_a_cluster_verbs_say_how_to_get_one(tmp_path: Path) -> None:
    bench = Testbed(tmp_path)
    assert json.loads(bench.run("status", "--json").stdout) == {"up": False}
    assert "no cluster was up" in bench.run("down").stdout
    early = bench.run("profile")
    assert early.returncode == 1
    assert "testbed up" in early.stderr


def test_the_two_commands_of_the_readme_run_what_they_say() -> None:
    assert commands_of(readme_blocks()[0]) == [["make", "demo"], ["make", "test"]]
    for target, words in {"demo": "testbed demo", "test": "pytest"}.items():
        shown = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert words in shown.stdout
