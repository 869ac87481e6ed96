"""What stands in a user's folder and shell does not reach the nodes, nor stop a verb."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.paths import ROOT
from support.testbed_process import Testbed

pytestmark = pytest.mark.cluster


def run_in(
    folder: Path, walked: Testbed, *arguments: str, **shell: str
) -> subprocess.CompletedProcess[str]:
    """The installed command, as a user calls it, in `folder` and with `shell` set."""
    command = Path(sys.executable).with_name("testbed")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [command, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**environment, "TESTBED_STATE_DIR": walked.state, "COLUMNS": "160", **shell},
    )  # fmt: skip


def test_files_of_the_users_own_are_not_taken_for_the_testbeds(
    walked: Testbed, tmp_path: Path
) -> None:
    for name in ("models.py", "cluster.py", "planner.py"):
        (tmp_path / name).write_text('raise RuntimeError("this is mine")\n')
    (tmp_path / "profiling").mkdir()
    (tmp_path / "profiling/__init__.py").write_text('raise RuntimeError("this is mine")\n')
    done = run_in(
        tmp_path, walked, "profile", "--model", "rooms-small-depth", "-o", "p.json", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p.json").exists()


@pytest.mark.parametrize(
    "shell",
    [
        {
            "http_proxy": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "RAY_AUTH_TOKEN": "x",
            "RAY_ADDRESS": "127.0.0.1:9",
            "RAY_NAMESPACE": "other",
            "RAY_RUNTIME_ENV_HOOK": "no_such_module.hook",
        },
        {"grpc_proxy": "http://127.0.0.1:9", "no_proxy": "intranet"},
    ],
    ids=["proxies and Ray's own", "a proxy for gRPC only"],
)
def test_what_a_shell_has_set_for_others_stops_no_verb(
    walked: Testbed, tmp_path: Path, shell: dict[str, str]
) -> None:
    done = run_in(tmp_path, walked, "status", "--json", **shell)
    assert done.returncode == 0, done.stderr
    nodes = json.loads(done.stdout)["nodes"]
    assert len(nodes) == 5
    assert all(node["plan_version"] > 0 for node in nodes)


def secrets_of(walked: Testbed) -> dict[str, str]:
    state = json.loads((Path(walked.state) / "cluster.json").read_text())
    return {
        "of the links": state["link_token"],
        "of Ray": (Path(walked.state) / "ray-token").read_text().strip(),
    }


def test_secrets_differ_and_stand_only_in_files_of_this_user(walked: Testbed) -> None:
    secrets = secrets_of(walked)
    assert len(set(secrets.values())) == 2
    state = json.loads((Path(walked.state) / "cluster.json").read_text())
    places = [walked.folder, Path(walked.state), Path(state["temp_dir"])]
    found = set()
    for place in places:
        for path in place.rglob("*"):
            if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > 64 * 2**20:
                continue
            content = path.read_bytes()
            for name, secret in secrets.items():
                if secret.encode() in content:
                    found.add(name)
                    private = not path.stat().st_mode & 0o077
                    inside = any(not parent.stat().st_mode & 0o077 for parent in path.parents)
                    assert private or inside, f"{path} holds the secret {name}"
    assert found == set(secrets)
    for folder in (Path(walked.state), Path(state["temp_dir"])):
        assert folder.stat().st_mode & 0o077 == 0, folder


def test_no_secret_stands_on_a_command_line(walked: Testbed) -> None:
    shown = "\n".join(walked.processes())
    assert shown
    for secret in secrets_of(walked).values():
        assert secret not in shown


def test_the_nodes_run_this_checkout_whatever_stands_where_they_were_started(
    walked: Testbed,
) -> None:
    environment = walked.replica("edge-0").environ()
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
    assert "RAY_ADDRESS" not in environment or environment["RAY_ADDRESS"].startswith("127.0.0.1:")


def test_nodes_do_not_give_way_to_everything_else_on_the_machine(walked: Testbed) -> None:
    """Ray starts its workers with nice 15. In bursts on two cores, nodes then waited for the load
    generator and for the planning of the live loop."""
    nodes = [walked.replica(name) for name in ("client-0", "edge-0", "cloud")]
    assert {node.nice() for node in nodes} == {psutil.Process().nice()}
