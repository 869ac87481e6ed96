"""The README's commands, run as they stand, in order, on one real cluster."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import httpx
import pytest
from conftest import ROOT, processes_of

from planner.plan import Plan
from planner.problem import Problem
from profiling.profile import Profiles
from serving.report.report import Report
from serving.traffic.measurement import Measurements

pytestmark = pytest.mark.cluster


def commands() -> list[str]:
    section = (ROOT / "README.md").read_text().split("## Stage by stage")[1]
    block = re.search(r"```sh\n(.*?)```", section, re.S)
    assert block is not None
    return [line.split("#")[0].strip() for line in block.group(1).splitlines() if line.strip()]


@pytest.fixture(scope="module")
def walked(testbed):
    """Every command but the last (`down`) has run; output by verb."""
    lines = commands()
    assert lines[0] == "testbed up"
    assert lines[-1] == "testbed down"
    done = {}
    for line in lines[:-1]:
        words = shlex.split(line)
        assert words[0] == "testbed"
        done[words[1]] = testbed.run(*words[1:])
        assert done[words[1]].returncode == 0, f"{line}\n{done[words[1]].stderr}"
    return testbed, done


def test_every_stage_left_its_file(walked) -> None:
    out = walked[0].folder / "out"
    profiles = Profiles.load(out / "profiles.json")
    assert {profile.node for profile in profiles.profiles} == {
        "client-0", "client-1", "client-2", "edge-0", "cloud",
    }  # fmt: skip
    plan = Plan.load(out / "plan.json")
    assert plan.certificate.objective <= plan.certificate.upper_bound + 1e-9
    assert plan.problem_digest == Problem.load(out / "problem.json").digest
    assert (out / "report" / "report.html").read_text().startswith("<!doctype html")


def test_every_query_was_answered_or_refused_and_scored(walked) -> None:
    rows = Measurements.load(walked[0].folder / "out" / "measurements.parquet")
    report = Report.load(walked[0].folder / "out" / "report" / "report.json")
    assert len(rows) > 200
    assert report.measured.errors == 0
    assert report.measured.answered + report.measured.shed == len(rows)
    assert report.measured.accuracy_of_answered > 0.4
    assert set(rows.model[rows.answered]) <= {
        model
        for models in Plan.load(walked[0].folder / "out" / "plan.json").onloading.values()
        for model in models
    }


def test_status_names_every_node_its_plan_and_its_models(walked) -> None:
    status = walked[0].run("status", "--json")
    nodes = json.loads(status.stdout)["nodes"]
    assert len(nodes) == 5
    assert len({node["plan_version"] for node in nodes}) == 1
    assert any(node["models"] for node in nodes)
    assert [bool(node["url"]) for node in nodes] == [True, True, True, False, False]


def test_a_door_answers_plain_http_and_says_what_it_expects(walked) -> None:
    nodes = json.loads(walked[0].run("status", "--json").stdout)["nodes"]
    url = nodes[0]["url"]
    assert httpx.get(f"{url}/v2/health/ready").json() == {"ready": True}
    refused = httpx.post(
        f"{url}/v2/models/depth/infer", content=b"nonsense", headers={"content-type": "image/png"}
    )
    assert refused.status_code == 422
    assert "PNG" in refused.json()["error"]


def test_a_second_up_and_a_bad_topology_are_refused_in_one_line(walked) -> None:
    second = walked[0].run("up")
    assert second.returncode == 1
    assert "is already up" in second.stderr
    bad = walked[0].folder / "bad.yaml"
    bad.write_text((ROOT / "cluster/specs/demo.yaml").read_text().replace("memory", "memroy", 1))
    refused = walked[0].run("up", str(bad))
    assert refused.returncode == 2
    assert "nodes.0.memroy: unknown key; did you mean memory?" in refused.stderr
    assert "Traceback" not in second.stderr + refused.stderr


def test_a_plan_that_breaks_a_budget_is_found_out(walked) -> None:
    folder = walked[0].folder
    plan = json.loads((folder / "out/plan.json").read_text())
    everything = sorted({model for models in plan["onloading"].values() for model in models})
    plan["onloading"]["client-2"] = everything
    (folder / "greedy.json").write_text(json.dumps(plan))
    found = walked[0].run("evaluate", "greedy.json", "--json")
    assert found.returncode == 3
    assert any("F4" in violation for violation in json.loads(found.stdout)["violations"])


def test_down_leaves_nothing_running(walked) -> None:
    bench = walked[0]
    assert bench.run(*shlex.split(commands()[-1])[1:]).returncode == 0
    assert processes_of(bench) == []
    assert json.loads(bench.run("status", "--json").stdout) == {"up": False}
    assert "no cluster was up" in bench.run("down").stdout
    late = bench.run("drive")
    assert late.returncode == 1
    assert "testbed up" in late.stderr


def test_the_two_commands_of_the_readme_are_targets_that_run_what_they_say() -> None:
    for target, words in {"demo": "testbed demo", "test": "pytest"}.items():
        shown = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert words in shown.stdout
