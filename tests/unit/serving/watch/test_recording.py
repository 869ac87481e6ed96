"""`watch.jsonl.gz`: written whole, read back, torn, of another version, or something else."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.document import DocumentError
from cluster.errors import InputError
from serving.cli.replayed_run import find_recording
from serving.traffic.measurement import Measurements
from serving.watch.facts import facts_of
from serving.watch.history import WatchHistory
from serving.watch.recorded import Recorded
from serving.watch.recording import RecordingWriter, read_recording
from serving.watch.sample import SystemSample
from serving.watch.source import Replay
from support.demo_setting import demo_setting
from support.paths import ROOT
from support.synthetic_run import synthetic
from support.watch_cases import SetClock


class FullDisk(RecordingWriter):
    def sample(self, sample: SystemSample) -> None:
        raise OSError(28, "No space left on device")


def changed(source: Path, target: Path, line: int, **keys: object) -> Path:
    lines = gzip.decompress(source.read_bytes()).splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **keys}).encode()
    target.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    return target


def test_a_recording_is_read_as_it_was_written(recorded: Recorded) -> None:
    assert len(recorded.samples) == 61
    assert [entry.plan.version for entry in recorded.plans] == [1, 2]
    assert recorded.command == "testbed live --drive"
    assert recorded.torn == ""


def test_a_minute_takes_little_room(recording_file: Path) -> None:
    assert recording_file.stat().st_size < 60_000


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_of_a_torn_recording_all_before_the_tear_is_read(
    recording_file: Path, tmp_path: Path, kept: float
) -> None:
    raw = recording_file.read_bytes()
    torn = tmp_path / "watch.jsonl.gz"
    torn.write_bytes(raw[: int(len(raw) * kept)])
    found = read_recording(torn)
    assert 1 <= len(found.samples) < 61
    assert found.torn.startswith(f"the recording is torn after {found.end_s:.0f} s: ")
    assert "\n" not in found.torn


def test_a_writer_that_was_never_closed_leaves_what_it_wrote(tmp_path: Path) -> None:
    path, clock = tmp_path / "watch.jsonl.gz", SetClock()
    facts = facts_of(demo_setting())
    writer = RecordingWriter(path, facts, "testbed drive")
    history = WatchHistory(facts, clock, writer)
    for _ in range(3):
        clock.now_s += 1.0
        history.looked({})
    found = read_recording(path)
    writer.close()
    assert [sample.at_s for sample in found.samples] == [1.0, 2.0, 3.0]
    assert "killed" in found.torn


def test_a_newer_version_is_refused_in_one_sentence(recording_file: Path, tmp_path: Path) -> None:
    newer = changed(recording_file, tmp_path / "watch.jsonl.gz", 0, schema_version=2)
    with pytest.raises(DocumentError, match="version 2, of a newer testbed; this one reads up to"):
        read_recording(newer)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"not packed at all", "not a recording"),
        (gzip.compress(b'{"kind":"sample","at_s":0,"nodes":{}}\n'), "does not begin with a header"),
        (gzip.compress(b"[1]\n"), ":1: not a JSON object"),
        (gzip.compress(b"\xff\xfe\n"), ":1: not a JSON object"),
    ],
    ids=["empty", "not packed", "no header", "a list", "no text"],  # packed bytes have a date
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "watch.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=words):
        read_recording(path)


def test_a_wrong_line_is_named(recording_file: Path, tmp_path: Path) -> None:
    wrong = changed(recording_file, tmp_path / "watch.jsonl.gz", 5, at_s="soon")
    with pytest.raises(DocumentError, match=r":6: at_s"):
        read_recording(wrong)
    strange = changed(recording_file, tmp_path / "watch.jsonl.gz", 5, kind="poem")
    with pytest.raises(DocumentError, match="unknown kind, 'poem'"):
        read_recording(strange)


def test_a_full_disk_costs_the_recording_and_nothing_else(tmp_path: Path) -> None:
    clock, facts = SetClock(), facts_of(demo_setting())
    writer = FullDisk(tmp_path / "watch.jsonl.gz", facts, "testbed drive")
    history = WatchHistory(facts, clock, writer)
    clock.now_s = 1.0
    history.looked({})
    assert history.writer is None
    assert history.version == 1
    writer.close()


def test_with_measurements_beside_it_accuracy_is_that_of_labels(tmp_path: Path) -> None:
    run = synthetic(full=False)
    run.measurements.save(tmp_path / "measurements.parquet")
    facts, clock = facts_of(demo_setting()), SetClock()
    writer = RecordingWriter(tmp_path / "watch.jsonl.gz", facts, "testbed drive")
    history = WatchHistory(facts, clock, writer)
    clock.now_s = 2.0
    history.traffic_begins()
    for _ in range(40):
        clock.now_s += 1.0
        history.looked({})
    writer.close()
    found, name = find_recording(str(tmp_path))
    assert name == tmp_path.name
    frame = Replay(found).frame(32.0)
    rows = Measurements.load(tmp_path / "measurements.parquet")
    inside = (rows.scheduled_s > 15.0) & (rows.scheduled_s <= 30.0) & (rows.done_s <= 30.0)
    scores = rows.score[inside] * rows.answered[inside]
    assert frame.accuracy[0].source == "labels"
    assert frame.accuracy[0].value == pytest.approx(float(scores.mean()))
    assert frame.latency_source == "callers"
    assert frame.course.accuracy_source == "labels"


def test_a_name_of_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no run, folder or file is named 'nothing'"):
        find_recording("nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty has no watch.jsonl.gz"):
        find_recording("empty")


def test_the_recorded_demo_that_ships_opens_and_is_small() -> None:
    folder = ROOT / "docs" / "replays" / "demo"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3_000_000
    found, _ = find_recording(str(folder))
    assert found.torn == ""
    shown = Replay(found)
    for at_s in range(0, int(found.end_s), 5):
        shown.frame(float(at_s))
    last = shown.frame()
    assert last.accuracy[0].source == "labels"
    assert last.decisions
    assert any("cut link" in event.words for event in last.events)
    rates = [rate for rate in last.course.asked_qps if rate is not None]
    assert max(rates) < 150  # no burst that was none


def test_a_replay_needs_neither_ray_nor_torch(recording_file: Path) -> None:
    code = (
        "import sys\n"
        "from serving.cli.main import run\n"
        f"code = run(['top', '--replay', {str(recording_file)!r}, '--once'])\n"
        "import serving.watch.server\n"
        "print(code, [m for m in ('ray', 'torch', 'timm') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "0 []"
