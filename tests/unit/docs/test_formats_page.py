"""docs/formats.md: the tasks of every benchmark, and words that the code says.

That each example is read by its class is tested in `tests/unit/serving/report/test_formats.py`.
"""

from __future__ import annotations

import json
import re

from models.tasks import TASKS, tasks_of
from serving.errors import RefusalReason
from serving.system import Outcome
from support.paths import ROOT

PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def test_the_table_has_the_tasks_of_every_benchmark_in_their_order() -> None:
    table = PAGE.split("\n### Tasks of the benchmarks\n")[1].split("\n## ")[0]
    stated = {
        benchmark: tuple(re.findall(r"`([^`]+)`", tasks))
        for benchmark, tasks in re.findall(r"^\| `([^`]+)` \| (.*) \|$", table, re.MULTILINE)
    }
    assert stated == {name: tasks_of(name) for name in {t.benchmark for t in TASKS.values()}}


def test_the_example_of_measurements_says_why_as_the_code_does() -> None:
    found = re.search(r"<!-- example: measurements rows -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    reasons = {row["outcome"]: row["reason"] for row in json.loads(found[1])}
    assert reasons[Outcome.ANSWERED] == ""
    assert RefusalReason.parse(reasons[Outcome.SHED])
