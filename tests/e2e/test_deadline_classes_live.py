"""Deadline classes (F20) on a real cluster: planned, deployed, driven, and refused if unknown."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
import yaml

from planner.plan import Plan
from serving.system import Outcome
from serving.traffic.measurement import Measurements
from support.demo_setting import demo_demand
from support.testbed_process import Testbed

pytestmark = pytest.mark.cluster

LIGHT = demo_demand().phases[0].scaled(0.5).model_dump(mode="json", exclude_none=True)
DEMAND = {
    "name": "classes",
    "phases": [LIGHT],
    "classes": {"depth": {"fast": {"share": 0.5, "deadline_s": 0.1}}},
}
"""a link alone takes a picture 0.1 s, so the class can only be answered at home"""


@pytest.mark.slow  # `make drills` runs it: it deploys twice
def test_a_class_is_answered_where_its_deadline_is_kept(walked: Testbed) -> None:
    demand, plan = "classes.yaml", "out/classes/plan.json"
    (walked.folder / demand).write_text(yaml.safe_dump(DEMAND))
    rows_file = "out/classes/measurements.parquet"

    def run(*arguments: str) -> str:
        done = walked.run(*arguments)
        assert done.returncode == 0, f"{arguments}\n{done.stderr}"
        return done.stdout

    try:
        run("plan", "--demand", demand, "--output", plan)
        run("deploy", plan, "--demand", demand)
        said = run(
            "drive", "--demand", demand, "--plan", plan, "--duration", "5", "--images", "24",
            "--output", rows_file,
        )  # fmt: skip
        assert "answered within their deadline: depth@fast" in " ".join(said.split())
        url = next(node["url"] for node in walked.nodes().values() if node["url"])
        refused = httpx.post(f"{url}/v2/models/depth@slow/infer", content=b"{}")
        assert (refused.status_code, refused.json()["error"]) == (
            404, "depth has no class 'slow'; its classes: fast",
        )  # fmt: skip
    finally:
        run("deploy")  # what the README's commands left in force
    assert Plan.load(walked.folder / plan).deadlines_s == {"depth@fast": 0.1}
    rows = Measurements.load(walked.folder / rows_file)
    assert int(np.sum(rows.outcome == Outcome.ERROR)) == 0
    fast = rows.select(rows.task == "depth@fast")
    assert fast.answered.sum() > 10
    assert set(fast.tier[fast.answered]) == {"client"}
    # The node's own time: what generator, door and a busy host add before is not its to keep.
    spent_s = (fast.queue_s + fast.batch_wait_s + fast.compute_s)[fast.answered]
    assert np.mean(spent_s <= 0.1) > 0.8
    assert fast.score[fast.answered].mean() > 0.2
