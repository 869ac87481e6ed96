"""The record of the running cluster, without a cluster."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from cluster.providers import local
from cluster.providers.state import ClusterError, ClusterState, find_cluster, state_path
from cluster.specs import SPECS
from cluster.topology import Topology


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path))


def record(pid: int, started: float) -> ClusterState:
    state = ClusterState(
        topology=Topology.load(SPECS / "demo.yaml"),
        address="127.0.0.1:1",
        head_pid=pid,
        head_started=started,
        temp_dir="/tmp/testbed-no-such-folder",
        started_at="now",
        token="t",
    )
    state.save(state_path())
    return state


def test_a_second_cluster_is_refused_while_the_first_lives() -> None:
    record(os.getpid(), psutil.Process().create_time())
    with pytest.raises(ClusterError, match=r"'demo' is already up at 127\.0\.0\.1:1"):
        local.up(Topology.load(SPECS / "demo.yaml"))


def test_a_reused_pid_is_not_taken_for_the_head() -> None:
    state = record(os.getpid(), psutil.Process().create_time() - 3_600)
    assert not state.alive
    with pytest.raises(ClusterError, match="is gone"):
        local.connect()
    assert local.down()
    assert find_cluster() is None
    assert not local.down()


def test_no_cluster_and_a_damaged_record_are_told_apart() -> None:
    with pytest.raises(ClusterError, match="no cluster is up"):
        local.connect()
    state_path().write_text("{}")
    with pytest.raises(ClusterError, match=r"cluster\.json: topology: Field required"):
        local.connect()


def test_a_busy_port_is_named_before_anything_starts() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {port} cannot be used"):
            local.up(Topology.load(SPECS / "demo.yaml"), port=port)
    assert find_cluster() is None


def test_a_stale_ray_address_is_named_and_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    said: list[str] = []
    local._warn_of_stale_addresses(said.append)
    assert any("RAY_ADDRESS names a Ray at 127.0.0.1:9" in line for line in said)
