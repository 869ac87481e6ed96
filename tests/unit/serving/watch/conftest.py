"""One made-up minute for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.watch.recorded import Recorded
from serving.watch.source import Replay
from support.watch_cases import made_up_recording


@pytest.fixture(scope="session")
def recording_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "watch.jsonl.gz"
    made_up_recording(path)
    return path


@pytest.fixture(scope="session")
def recorded(recording_file: Path) -> Recorded:
    from serving.watch.recording import read_recording

    return read_recording(recording_file)


@pytest.fixture(scope="session")
def replay(recorded: Recorded) -> Replay:
    return Replay(recorded)
