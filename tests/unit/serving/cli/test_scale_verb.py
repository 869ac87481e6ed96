"""`testbed scale`: rising numbers of nodes, as far as memory goes, told and written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cluster.machine import Machine
from cluster.providers.state import ClusterError
from serving.cli import scale_verb
from serving.cli.main import run
from serving.scale.result import ScaleResult, ScaleRow
from support.scale_rows import row_of

GIB = 2**30
Measured = list[tuple[int, str, int]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Measured:
    """What is asked to be measured, on a machine with 4 GiB."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    asked: Measured = []

    def measure(nodes: int, provider: str, changes: int, command: str) -> ScaleRow:
        asked.append((nodes, provider, changes))
        sys.stdout.write("(raylet) WARNING: many processes\n")  # as Ray does
        return row_of(nodes)

    monkeypatch.setattr(scale_verb, "measure_scale", measure)
    monkeypatch.setattr(scale_verb, "read_machine", lambda: Machine(2.0, 4 * GIB))
    return asked


def test_it_writes_what_every_cluster_took_and_the_lines_through_them(
    measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scale", "--nodes", "8,4", "--changes", "3", "--out", "scale.json", "--json"]) == 0
    assert measured == [(4, "local", 3), (8, "local", 3)]
    written = ScaleResult.load("scale.json")
    assert written.rows == (row_of(4), row_of(8))
    assert written.stopped is None
    assert written.provenance.command.startswith("testbed scale --nodes 8,4")
    assert "ray" in written.provenance.versions
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert "(raylet) WARNING" in said.err
    assert [row["nodes"] for row in told["rows"]] == [4, 8]
    assert {slope["figure"] for slope in told["slopes"]} >= {"launch_s", "cluster_bytes"}


def test_it_ends_with_the_largest_cluster_that_memory_bears_and_says_why(
    measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scale", "--nodes", "4,8,16", "--out", "scale.json"]) == 0
    assert [nodes for nodes, _, _ in measured] == [4, 8]
    told = capsys.readouterr().out
    assert "stopped: 16 nodes would take about 4.7 GiB (250 MiB each, as 8 took" in told
    assert "250 MiB" in told
    written = ScaleResult.load("scale.json")
    assert written.stopped is not None
    assert "4.0 GiB are free" in written.stopped


def test_where_not_even_the_smallest_fits_nothing_is_begun(
    measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scale", "--nodes", "100"]) == 1
    assert measured == []
    assert "nothing was measured: 100 nodes would take about 30.0 GiB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nodes", "2"], "--nodes: expected whole numbers from 3 to 1000, got '2', with commas"),
        (["--nodes", "4;8"], "--nodes: expected whole numbers from 3 to 1000, got '4;8'"),
        (["--nodes", ""], "--nodes: expected whole numbers from 3 to 1000, got ''"),
        (["--changes", "0"], "--changes: expected a whole number from 1 to 1000"),
        (["--provider", "ssh"], "--provider ssh: null nodes are measured on this machine, by loc"),
        (["--out", "no/such"], "--out"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    arguments: list[str], says: str, measured: Measured, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "no").touch()
    assert run(["scale", *arguments]) == 2
    assert measured == []
    complaint = capsys.readouterr().err
    assert says in complaint
    assert complaint.count("\n") == 1


def test_a_cluster_that_fails_ends_it_with_its_own_words(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> ScaleRow:
        raise ClusterError("the nodes did not start in 180 s")

    monkeypatch.setattr(scale_verb, "measure_scale", fail)
    assert run(["scale", "--nodes", "4"]) == 1
    assert "the nodes did not start in 180 s" in capsys.readouterr().err
