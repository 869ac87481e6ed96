"""The files that are mutated, and copies of the tree to do it in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from support.paths import ROOT

__all__ = ["FILES", "TESTS", "copy_tree"]

FILES = (
    "planner/evaluate.py",
    "planner/bursts/headroom.py",
    "planner/latency_bound.py",
    "serving/http/limits.py",
    "serving/http/parser.py",
    "serving/node/device/admission.py",
    "serving/node/device/admission_margin.py",
    "serving/node/device/batching.py",
    "serving/node/device/latency_model.py",
    "serving/node/dispatch.py",
    "serving/node/links/framing.py",
    "serving/node/links/messages.py",
    "serving/node/links/pacer.py",
    "serving/node/links/uplink.py",
    "serving/rollout/budget_check.py",
    "serving/rollout/execute.py",
    "serving/rollout/interim_routes.py",
    "serving/rollout/stages.py",
    "serving/routing/early_refusal.py",
    "serving/routing/router.py",
    "serving/routing/routes.py",
    "serving/traffic/schedule.py",
    "serving/traffic/scoring.py",
)
"""Rules that a wrong sign or a missing line would break without an error. What imports Ray is not
among them: the fast tests do not reach it."""

TESTS = (
    "tests/unit/serving/node",
    "tests/unit/serving/rollout",
    "tests/unit/planner/test_batches.py",
    "tests/unit/planner/bursts/test_bursts.py",
    "tests/unit/planner/test_constraints.py",
    "tests/unit/planner/test_deadlines.py",
    "tests/unit/planner/test_fits.py",
    "tests/unit/planner/bursts/test_headroom.py",
    "tests/unit/planner/test_latency_bound.py",
    "tests/unit/serving/routing",
    "tests/unit/serving/simulation/test_spill_and_faults.py",
    "tests/unit/serving/traffic",
    "tests/unit/serving/http",
    "tests/unit/docs/test_protocol_page.py",
)
"""where the tests of these files are; of each mutant only those run that reach its line"""


def copy_tree(into: Path) -> Path:
    """A copy of the tracked files, and of new ones that git does not ignore; gives `into`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, into / name
        if not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return into
