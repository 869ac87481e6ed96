"""`testbed demo`, the command of `make demo`, with short phases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner.plan import Plan
from serving.report.report import Report
from support.testbed_process import Testbed

pytestmark = pytest.mark.cluster


def test_the_demo_runs_from_up_to_report_and_cleans_up(tmp_path: Path) -> None:
    testbed = Testbed(tmp_path)
    done = testbed.run("demo", "--duration", "7", "--out", "demo", "--json", timeout_s=420)
    assert done.returncode == 0, done.stderr
    report = Report.load(testbed.folder / "demo" / "report.json")
    assert json.loads(done.stdout)["measured"]["queries"] == report.measured.queries
    assert report.measured.errors == 0
    assert report.measured.answered + report.measured.shed == report.measured.queries
    assert report.policies is not None
    assert report.live is not None
    assert {row.policy for row in report.policies} == {
        "baj3o", "all-local", "all-edge", "all-cloud", "random",
    }  # fmt: skip
    assert all(row.errors == 0 for row in report.policies)
    assert report.live.live.errors == report.live.frozen.errors == 0
    for policy in report.policies:
        assert policy.predicted_objective <= report.certificate.upper_bound + 1e-6
    plan = Plan.load(testbed.folder / "demo" / "plan.json")
    assert plan.certificate == report.certificate
    assert (testbed.folder / "demo" / "report.html").stat().st_size > 50_000
    assert testbed.processes() == []
