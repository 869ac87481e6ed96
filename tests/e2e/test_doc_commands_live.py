"""The commands of docs/ that need a cluster, on that of the README's walk: slow, since minutes."""

from __future__ import annotations

import re
import shlex

import pytest

from support.doc_commands import handling
from support.paths import ROOT
from support.testbed_process import Testbed

MAY_MISS = {"testbed profile --verify": 3}
"""ends so where a median has drifted meanwhile"""


@pytest.mark.cluster
@pytest.mark.slow
def test_what_needs_a_cluster_runs_on_one(walked: Testbed) -> None:
    page = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(import numpy.*?)```", page, re.DOTALL)
    assert code
    (walked.folder / "mine.py").write_text(code[1])
    for text in handling().cluster:
        _, *arguments = shlex.split(text)
        done = walked.run(*arguments, timeout_s=400)
        assert done.returncode in (0, MAY_MISS.get(text, 0)), f"{text}\n{done.stderr}"
        assert "Traceback" not in done.stderr, text
