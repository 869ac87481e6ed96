"""`testbed demo`, the command of `make demo`, with short phases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner.plan import Plan
from profiling.profile import Profiles
from serving.report.report import Report
from serving.runs.manifest import FileKind
from support.run_files import newest_run
from support.testbed_process import Testbed

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    "profiled_before",
    [
        True,
        # `make drills` runs it: it measures what `testbed profile` of the README has measured.
        pytest.param(False, marks=pytest.mark.slow),
    ],
)
def test_the_demo_runs_from_up_to_report_and_cleans_up(
    walked: Testbed, tmp_path: Path, profiled_before: bool
) -> None:
    testbed = Testbed(tmp_path)
    measured = walked.file("profiles.json")
    options = ["--profiles", str(measured)] if profiled_before else []
    done = testbed.run(
        "demo", "--duration", "2", "--out", "demo", "--json", *options, timeout_s=420
    )
    assert done.returncode == 0, done.stderr
    report = Report.load(testbed.folder / "demo" / "report.json")
    assert json.loads(done.stdout)["measured"]["queries"] == report.measured.queries
    assert report.measured.errors == 0
    assert report.measured.answered + report.measured.shed == report.measured.queries
    assert report.policies is not None
    assert report.live is not None
    assert {row.policy for row in report.policies} == {
        "certified", "baj3o", "all-local", "all-edge", "all-cloud", "random",
    }  # fmt: skip
    assert all(row.errors == 0 for row in report.policies)
    assert report.live.live.errors == report.live.frozen.errors == 0
    for policy in report.policies:
        assert policy.predicted_objective <= report.certificate.upper_bound + 1e-6
    profiles = Profiles.load(testbed.folder / "demo" / "profiles.json")
    assert (profiles == Profiles.load(measured)) is profiled_before
    plan = Plan.load(testbed.folder / "demo" / "plan.json")
    assert plan.certificate == report.certificate
    assert (testbed.folder / "demo" / "report.html").stat().st_size > 50_000
    kept = newest_run(testbed.folder)
    assert {kind for kind in FileKind if kept.has(kind) and kept.checked(kind).exists()} >= {
        FileKind.TOPOLOGY, FileKind.PROFILES, FileKind.DEMAND, FileKind.PROBLEM, FileKind.PLAN,
        FileKind.MEASUREMENTS, FileKind.GALLERY, FileKind.REPORT,
    }  # fmt: skip
    assert testbed.run("evaluate").returncode == 0
    assert testbed.processes() == []
