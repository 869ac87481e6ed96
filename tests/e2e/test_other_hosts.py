"""Clusters over several hosts, here namespaces: one that the user runs, and machines by ssh."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.providers import ray_private
from leftovers import Traces, left, was_told
from support.lab import NEEDS_LAB, Lab, lab_of
from support.testbed_process import ROOT, Testbed

pytestmark = [pytest.mark.cluster, pytest.mark.slow, *NEEDS_LAB]

TOKEN = "5ecre7" * 6
PORT = 6390
MODELS = ("rooms-small-all", "rooms-large-all")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    folder = tmp_path / "lab"
    folder.mkdir()
    with lab_of(folder) as made:
        yield made


@pytest.fixture
def users_ray(lab: Lab) -> Iterator[Path]:
    """A head with the resources of edge and cloud, and a Ray node that is labelled; the topology
    that finds them."""
    token = lab.folder / "token"
    token.write_text(TOKEN)
    environment = {
        **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token),
        "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    head, other = lab.addresses
    ray = (sys.executable, "-c", ray_private.START_COMMAND, "start")
    common = ("--num-cpus=1", "--disable-usage-stats", "--include-log-monitor=false")
    own = Path(tempfile.mkdtemp(prefix="users-ray-"))  # in a longer path sockets have no room
    resources = json.dumps({"testbed-edge-0": 1, "testbed-cloud": 1})
    lab.within(
        0, *ray, *common, "--head", f"--node-ip-address={head}", f"--port={PORT}",
        "--include-dashboard=false", f"--resources={resources}", f"--temp-dir={own}/0",
        env=environment, cwd=lab.folder,
    )  # fmt: skip
    lab.within(
        1, *ray, *common, f"--address={head}:{PORT}", f"--node-ip-address={other}",
        "--labels=place=lab", f"--temp-dir={own}/1", env=environment, cwd=lab.folder,
    )  # fmt: skip
    match = {f"client-{index}": {"place": "lab"} for index in range(3)}
    block = {"kind": "attach", "address": f"{head}:{PORT}", "token_file": str(token)}
    try:
        yield lab.topology({**block, "match": match})
    finally:
        for process in psutil.process_iter():
            if was_told(process.pid, f"RAY_AUTH_TOKEN_PATH={token}"):
                process.kill()
        shutil.rmtree(own)


def named_actors(lab: Lab) -> list[str]:
    """What runs in the user's cluster."""
    code = (
        "import ray; ray.init(address='auto', log_to_driver=False, logging_level='ERROR');"
        "print(*[each['name'] for each in ray.util.list_named_actors(all_namespaces=True)])"
    )
    environment = {
        **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": f"{lab.folder}/token",
        "RAY_ADDRESS": f"{lab.addresses[0]}:{PORT}",
    }  # fmt: skip
    done = lab.within(0, sys.executable, "-c", code, env=environment, cwd=lab.folder)
    return done.stdout.split()


def served(bench: Testbed) -> None:
    """Plan, deploy, and have queries answered over the links between hosts."""
    for command in (
        ("profile", *(word for model in MODELS for word in ("--model", model))),
        ("plan",), ("deploy",), ("drive", "--duration", "4"),
    ):  # fmt: skip
        done = bench.run(*command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    said = bench.run("drive", "--duration", "4", "--json")
    told = json.loads(said.stdout)
    assert told["errors"] == 0
    assert told["answered"] > 0
    nodes = bench.nodes()
    assert sum(nodes[name]["answered"] for name in ("edge-0", "cloud")) > 0
    asked = bench.run("ask", "room", "depth")
    assert asked.returncode == 0, asked.stderr


def test_nodes_are_found_on_a_users_cluster_which_is_left_as_it_was(
    lab: Lab, users_ray: Path, tmp_path: Path
) -> None:
    bench = Testbed(tmp_path)
    up = bench.run("up", str(users_ray))
    assert up.returncode == 0, up.stderr
    hosts = {name: node["host"] for name, node in bench.nodes().items()}
    head, other = lab.addresses
    assert hosts == {
        "client-0": other, "client-1": other, "client-2": other, "edge-0": head, "cloud": head,
    }  # fmt: skip
    where = bench.run("exec", "client-1", "--", "hostname", "-I")
    assert where.stdout.split() == [other]
    down = bench.run("down")
    assert down.returncode == 0, down.stderr
    assert named_actors(lab) == []
    assert bench.processes() == []
    again = bench.run("up", str(users_ray), "--token-file", "/dev/null")
    assert again.returncode == 2
    assert "token file /dev/null is empty" in again.stderr


def test_a_plan_is_served_on_a_users_cluster(lab: Lab, users_ray: Path, tmp_path: Path) -> None:
    bench = Testbed(tmp_path)
    before = Traces.look(bench.state)
    up = bench.run("up", str(users_ray))
    assert up.returncode == 0, up.stderr
    try:
        served(bench)
    finally:
        down = bench.run("down")
    assert down.returncode == 0, down.stderr
    assert named_actors(lab) == []
    kinds = ("processes", "folders")  # Ray's own of the user stay
    assert [each for each in left(bench.state, before) if each.startswith(kinds)] == []


@pytest.fixture
def by_ssh(lab: Lab) -> Path:
    """A topology on the two machines."""
    lab.serve_ssh()
    clients, above = ["client-0", "client-1", "client-2"], ["edge-0", "cloud"]
    machines = {
        f"lab-{index}": {"host": host, "python": sys.executable, "cpus": 1, "nodes": nodes}
        for index, (host, nodes) in enumerate(zip(lab.addresses, (clients, above), strict=True))
    }
    return lab.topology(
        {
            "kind": "ssh", "head_host": lab.here, "ssh_config": str(lab.ssh_config),
            "machines": machines,
        }
    )  # fmt: skip


def test_a_plan_is_served_on_machines_by_ssh(by_ssh: Path, tmp_path: Path) -> None:
    bench = Testbed(tmp_path)
    before = Traces.look(bench.state)
    up = bench.run("up", str(by_ssh))
    assert up.returncode == 0, up.stderr
    try:
        served(bench)
        assert bench.run("exec", "edge-0", "--", "sh", "-c", "exit 7").returncode == 7
    finally:
        down = bench.run("down")
    assert down.returncode == 0, down.stderr
    assert left(bench.state, before) == []


@pytest.mark.parametrize("after_s", [4.0, 6.0, 8.0, 10.0, 12.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_nothing_is_left_of_an_up_that_was_ended(
    after_s: float, number: signal.Signals, by_ssh: Path, tmp_path: Path
) -> None:
    bench = Testbed(tmp_path)
    before = Traces.look(bench.state)
    begun = subprocess.Popen(
        [sys.executable, "-m", "testbed", "up", str(by_ssh)],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TESTBED_STATE_DIR": bench.state},
    )  # fmt: skip
    time.sleep(after_s)
    begun.send_signal(number)
    begun.wait(60)
    assert bench.run("down").returncode == 0
    assert left(bench.state, before) == []
    marked = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "/tmp/testbed-ssh-" in " ".join(process.info["cmdline"] or ())
    ]
    assert marked == []
