"""The record of the running cluster, without a cluster."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from psutil import _pslinux

from cluster.environment import MARK
from cluster.providers import lifecycle, local, ray_driver
from cluster.providers.ray_processes import make_folder, processes_of
from cluster.providers.state import (
    ClusterError,
    ClusterState,
    find_cluster,
    state_path,
)
from cluster.specs import SPECS
from cluster.topology import Topology

MARK_OF_THE_TEST = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path))


def record(pid: int) -> ClusterState:
    state = ClusterState(
        topology=Topology.load(SPECS / "demo.yaml"),
        address="127.0.0.1:1",
        head_pid=pid,
        temp_dir="/tmp/testbed-no-such-folder",
        started_at="now",
        link_token="t",
        mark=MARK_OF_THE_TEST,
    )
    state.record()
    return state


def test_a_second_cluster_is_refused_while_the_first_lives() -> None:
    head = sleeping(**{MARK: MARK_OF_THE_TEST})
    try:
        assert record(head.pid).alive
        with pytest.raises(ClusterError, match=r"'demo' is already up at 127\.0\.0\.1:1"):
            lifecycle.up(Topology.load(SPECS / "demo.yaml"))
    finally:
        head.kill()
        head.wait(10)


@pytest.mark.parametrize("of", ["us", "init", "another cluster"])
def test_a_reused_pid_is_not_taken_for_the_head(of: str) -> None:
    """What has it now, and all that this has started, is left alone."""
    other = sleeping(**{MARK: "another"})
    try:
        state = record({"us": os.getpid(), "init": 1, "another cluster": other.pid}[of])
        assert not state.alive
        assert processes_of(state) == []
        with pytest.raises(ClusterError, match="is gone"):
            ray_driver.connect()
        assert lifecycle.down()
        assert find_cluster() is None
        assert not lifecycle.down()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait(10)


def test_a_cluster_is_alive_though_the_clock_of_its_host_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """psutil tells when a process began by the time of the host's start, which moves then."""
    head = sleeping(**{MARK: MARK_OF_THE_TEST})
    former = _pslinux.boot_time
    try:
        state = record(head.pid)
        monkeypatch.setattr(_pslinux, "boot_time", lambda: former() + 3_600.0)
        assert state.alive
    finally:
        head.kill()
        head.wait(10)


def test_no_cluster_and_a_damaged_record_are_told_apart() -> None:
    with pytest.raises(ClusterError, match="no cluster is up"):
        ray_driver.connect()
    state_path().write_text("{}")
    with pytest.raises(ClusterError, match=r"cluster\.json: topology: missing"):
        ray_driver.connect()


def test_a_busy_port_is_named_before_anything_starts() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {port} cannot be used"):
            lifecycle.up(Topology.load(SPECS / "demo.yaml"), port=port)
    assert find_cluster() is None


def test_a_stale_ray_address_is_named_and_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    said: list[str] = []
    lifecycle._warn_of_stale_addresses(said.append)
    assert any("RAY_ADDRESS names a Ray at 127.0.0.1:9" in line for line in said)


def test_the_record_and_its_folder_are_for_this_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "new"))
    record(1)
    assert state_path().stat().st_mode & 0o777 == 0o600
    assert state_path().parent.stat().st_mode & 0o777 == 0o700


def sleeping(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    code = "import time; time.sleep(60)"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env={**os.environ, **environment}
    )


WRITES_OVER_ITS_ENVIRONMENT = """
import ctypes, time
environ = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
ctypes.memset(environ[0], 0, 2)
print("done", flush=True)
time.sleep(60)
"""


def test_down_ends_what_has_written_over_the_beginning_of_its_environment() -> None:
    """As Ray's agents do, which outlive a Ray node that was killed for a minute."""
    record(1)
    ours = subprocess.Popen(
        [sys.executable, "-c", WRITES_OVER_ITS_ENVIRONMENT],
        env={"FIRST": "1", **os.environ, MARK: MARK_OF_THE_TEST}, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert ours.stdout is not None
        assert ours.stdout.readline() == b"done\n"
        assert MARK not in psutil.Process(ours.pid).environ()
        assert lifecycle.down()
        assert not psutil.pid_exists(ours.pid)
    finally:
        ours.kill()
        ours.communicate()


def test_down_ends_what_has_the_clusters_mark_and_no_bystander() -> None:
    """A `tail -f` of the cluster's log names its folder, too."""
    state = record(1)
    ours = sleeping(**{MARK: MARK_OF_THE_TEST})
    bystander = sleeping(f"{state.temp_dir}/head.log")
    another = sleeping(**{MARK: "another"})
    try:
        assert lifecycle.down()
        ours.wait(10)
        assert not psutil.pid_exists(ours.pid)
        assert bystander.poll() is None
        assert another.poll() is None
    finally:
        for process in (ours, bystander, another):
            process.kill()
            process.wait(10)


def test_what_up_writes_is_for_this_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself does not run here; what stands in for it says at once that it has started."""
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(local, "check_capacity", lambda *_: None)
    heads: list[subprocess.Popen[bytes]] = []

    def start_ray(_: object, state: ClusterState) -> subprocess.Popen[bytes]:
        heads.append(sleeping(**{MARK: state.mark}))
        return heads[0]

    monkeypatch.setattr(local, "start_ray", start_ray)
    monkeypatch.setattr(local, "wait_until_ready", lambda *_: None)
    state = lifecycle.up(Topology.load(SPECS / "demo.yaml"))
    try:
        written = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
        assert {path.name for path in written} == {"cluster.json", "ray-token"}
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in written)
        assert Path(state.temp_dir).stat().st_mode & 0o777 == 0o700
        token = (tmp_path / "state/ray-token").read_text()
        assert len({token, state.link_token, state.mark}) == 3
    finally:
        lifecycle.down()
        heads[0].wait(timeout=10)


def test_a_state_folder_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "file" / "state"))
    made: list[ClusterState] = []
    monkeypatch.setattr(local, "make_folder", lambda state, _: made.append(state))
    with pytest.raises(ClusterError) as told:
        lifecycle.up(Topology.load(SPECS / "demo.yaml"))
    assert str(told.value) == (
        f"the state folder {tmp_path}/file/state cannot be written: {tmp_path}/file is no folder; "
        "let TESTBED_STATE_DIR name one that can"
    )
    assert made == []


def test_a_disk_that_is_full_when_the_cluster_is_recorded_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(_: ClusterState) -> None:
        raise OSError(28, "No space left on device")

    made: list[ClusterState] = []
    monkeypatch.setattr(local, "make_folder", lambda state, _: made.append(state))
    monkeypatch.setattr(ClusterState, "record", no_room)
    with pytest.raises(OSError, match="No space left"):
        lifecycle.up(Topology.load(SPECS / "demo.yaml"))
    assert made == []
    assert list(tmp_path.iterdir()) == []


def test_what_fails_once_ray_was_started_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[subprocess.Popen[bytes]] = []

    def start_ray(_: object, state: ClusterState) -> subprocess.Popen[bytes]:
        heads.append(sleeping(**{MARK: state.mark}))
        raise KeyboardInterrupt  # before anybody knows the process

    monkeypatch.setattr(local, "start_ray", start_ray)
    folders: list[Path] = []

    def make_folder_too(state: ClusterState, token: str) -> None:
        make_folder(state, token)
        folders.append(Path(state.temp_dir))

    monkeypatch.setattr(local, "make_folder", make_folder_too)
    with pytest.raises(KeyboardInterrupt):
        lifecycle.up(Topology.load(SPECS / "demo.yaml"))
    heads[0].wait(timeout=10)
    assert len(folders) == 1
    assert not folders[0].exists()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_up_left_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was recorded before anything was made, and by then has no head."""
    left = ClusterState(
        topology=Topology.load(SPECS / "demo.yaml"), address="127.0.0.1:1",
        temp_dir=str(tmp_path / "made"), started_at="now", link_token="t", mark=MARK_OF_THE_TEST,
    )  # fmt: skip
    left.record()
    (tmp_path / "made").mkdir()
    orphan = sleeping(**{MARK: MARK_OF_THE_TEST})
    said: list[str] = []

    def fail(*_: object) -> None:
        raise ClusterError("as the next one")

    monkeypatch.setattr(local, "start_ray", fail)
    with pytest.raises(ClusterError, match="as the next one"):
        lifecycle.up(Topology.load(SPECS / "demo.yaml"), say=said.append)
    assert "removing what a cluster that died (it did not come up to its end) left behind" in said
    orphan.wait(timeout=10)  # sleeps for 60 s if it is left alone
    assert list(tmp_path.iterdir()) == []


def test_two_cannot_change_the_cluster_at_once() -> None:
    with lifecycle._changing(), pytest.raises(ClusterError, match="under way"):
        lifecycle.up(Topology.load(SPECS / "demo.yaml"))
    record(1)
    with lifecycle._changing(), pytest.raises(ClusterError, match="under way"):
        lifecycle.down()
    assert lifecycle.down()


def test_folders_that_are_made_for_the_state_are_for_their_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTBED_STATE_DIR", str(tmp_path / "a" / "b"))
    former = os.umask(0)
    try:
        record(os.getpid())
    finally:
        os.umask(former)
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(state_path().stat().st_mode) == 0o600


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    record(os.getpid())
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_the_handler_of_sigterm_outlives_rays() -> None:
    """`ray.init` sets one of its own, which ends a process with code 15 instead of 143."""
    before = signal.getsignal(signal.SIGTERM)
    with ray_driver._own_signals():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))
    assert signal.getsignal(signal.SIGTERM) is before
