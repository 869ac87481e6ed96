"""docs/api.md: its examples run, one after another, in the folder that the page describes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cluster.specs import SPECS
from support.demo_setting import demo_setting
from support.open_door import picture, serve_node
from support.paths import ROOT

PAGE = ROOT / "docs" / "api.md"
URL = "http://127.0.0.1:8000"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(SPECS / "demo.yaml", tmp_path / "topology.yaml")
    shutil.copy(SPECS / "demo-demand.yaml", tmp_path / "demand.yaml")
    demo_setting().profiles.save(tmp_path / "out" / "profiles.json")
    (tmp_path / "room.png").write_bytes(picture())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_run_and_check_what_they_show(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    shared: dict[str, Any] = {}
    with serve_node() as served:
        for number, example in enumerate(examples):
            code = example.replace(URL, served.url)
            exec(compile(code, f"docs/api.md, example {number}", "exec"), shared)
    told = capsys.readouterr().out
    for words in (
        "(4, 4) by m on client",
        "demand.yaml: phases: unknown key",
        "no policy 'baj30'; did you mean 'baj3o'?",
        "family: unknown 'taskonomi'",
        "its plan breaks F4 at client-0: ",
        "onloading.client-0: the problem has no model 'rooms-small-all'",
    ):
        assert words in told
    assert (folder / "out" / "report" / "report.html").read_text().startswith("<!doctype html")


def test_the_message_about_shadowing_is_the_pages() -> None:
    (shown,) = re.findall(r"```text\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.S)
    assert shown == (
        "ImportError: testbed: /home/u/exp/models shadows the testbed's own package 'models'; "
        "rename it or run from another folder"
    )
