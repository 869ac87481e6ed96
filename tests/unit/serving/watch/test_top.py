"""A frame in a terminal: whole, in eighty columns, by the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from serving.cli.main import run
from serving.watch.source import Replay
from serving.watch.terminal import terminal_frame


def drawn(replay: Replay, at_s: float) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(terminal_frame(replay.frame(at_s), "a run"))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize("at_s", [0.0, 19.0, 43.0, 60.0])
def test_a_frame_fits_in_eighty_columns_and_a_screen(replay: Replay, at_s: float) -> None:
    lines = drawn(replay, at_s).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40


def test_it_says_what_the_page_says(replay: Replay) -> None:
    text = drawn(replay, 43.0)
    assert "plan version 2 of certified" in text
    assert "silent" in text
    assert "estimated" in text
    assert "kill_node edge-0" in text
    assert "gains +0.058" in text


def test_the_verb_shows_one_frame(recording_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "--replay", str(recording_file), "--once", "--at", "43"]) == 0
    assert "silent" in capsys.readouterr().out
    assert run(["top", "--replay", str(recording_file), "--json", "--at", "43"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["at_s"] == 43.0
    assert told["plan"]["version"] == 2
