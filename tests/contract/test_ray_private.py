"""What `cluster.providers.ray_private` relies on, asked of the installed Ray in fresh processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.providers import ray_private
from cluster.providers.state import ClusterState, state_path
from serving.traffic.local_faults import find_process
from support.paths import ROOT
from support.testbed_process import Testbed


def told_by(code: str, *, prepared: bool = True) -> str:
    """What `code` prints in a process of its own, with or without `ray_private.ENVIRONMENT`."""
    rest = {key: value for key, value in os.environ.items() if key not in ray_private.ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**rest, **(ray_private.ENVIRONMENT if prepared else {})},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_the_console_script_ray_is_found_without_its_file() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ray_private.START_COMMAND, "start", "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "PATH": ""},
    )  # fmt: skip
    for option in ("--head", "--node-ip-address", "--include-log-monitor", "--temp-dir"):
        assert option in done.stdout


@pytest.mark.parametrize(("prepared", "address"), [(True, "127.0.0.1"), (False, "another")])
def test_loopback_stays_loopback_only_where_the_environment_says_so(
    prepared: bool, address: str
) -> None:
    code = (
        "from ray._private import services\n"
        "services.node_ip_address_from_perspective = lambda *_: 'another'\n"
        "print(services.resolve_ip_for_localhost('127.0.0.1'))"
    )
    assert told_by(code, prepared=prepared) == address


@pytest.mark.parametrize("prepared", [True, False])
def test_serves_calls_go_by_grpc_only_where_the_environment_says_so(prepared: bool) -> None:
    code = (
        "from ray.serve._private.constants import RAY_SERVE_USE_GRPC_BY_DEFAULT as by_grpc\n"
        "print(by_grpc)"
    )
    assert told_by(code, prepared=prepared) == str(prepared)


@pytest.mark.parametrize(("prepared", "seen"), [(True, "'1'"), (False, "''")])
def test_actors_without_gpus_see_them_only_where_the_environment_says_so(
    prepared: bool, seen: str
) -> None:
    code = (
        "import os, ray\n"
        "from types import SimpleNamespace\n"
        "os.environ.setdefault('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '1')  # as older versions\n"
        "os.environ['CUDA_VISIBLE_DEVICES'] = '1'\n"
        "reserved = SimpleNamespace(get_accelerator_ids=lambda: {'GPU': []})\n"
        "ray.get_runtime_context = lambda: reserved\n"
        "from ray._private.utils import set_visible_accelerator_ids\n"
        "set_visible_accelerator_ids()\n"
        "print(repr(os.environ['CUDA_VISIBLE_DEVICES']))"
    )
    assert told_by(code, prepared=prepared) == seen


def test_a_worker_reads_the_hook_that_it_calls_from_this_variable() -> None:
    code = (
        "from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR as hook\n"
        "print(hook)"
    )
    assert told_by(code) == ray_private.WORKER_HOOK


def test_ray_start_says_the_words_that_are_waited_for() -> None:
    code = "import inspect; from ray.scripts import scripts; print(inspect.getsource(scripts))"
    assert ray_private.STARTED.decode() in told_by(code)


def test_it_was_tried_on_the_locked_version() -> None:
    (locked,) = re.findall(r"^ray==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert locked in ray_private.TRIED_ON, f"try ray {locked}, then add it to TRIED_ON"


def test_ray_sets_only_the_variables_that_are_expected_when_it_is_imported() -> None:
    """Others would be taken for the shell's, and every second connection be refused."""
    code = (
        "import os; before = set(os.environ)\n"
        "import ray\n"
        "from ray import serve\n"
        "print(*(n for n in set(os.environ) - before if n.startswith('RAY_')))"
    )
    assert set(told_by(code).split()) == ray_private.SET_BY_IMPORT


def test_the_token_of_another_cluster_is_read_only_when_the_first_is_forgotten(
    tmp_path: Path,
) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name * 48)
    code = (
        "import os\n"
        f"os.environ |= {{'RAY_AUTH_MODE': 'token', 'RAY_AUTH_TOKEN_PATH': '{tmp_path}/a'}}\n"
        "from ray._raylet import AuthenticationTokenLoader\n"
        "from cluster.providers import ray_private\n"
        "def tell(): print(AuthenticationTokenLoader.instance().get_raw_token()[:1], end=' ')\n"
        "tell()\n"
        f"os.environ['RAY_AUTH_TOKEN_PATH'] = '{tmp_path}/b'\n"
        "tell(); ray_private.forget_token(); tell()"
    )
    assert told_by(code) == "a a b"


@pytest.mark.cluster
def test_the_nodes_of_a_cluster_are_seen_without_joining_it(walked: Testbed) -> None:
    code = (
        "from cluster.providers import ray_driver, ray_nodes, state\n"
        "from cluster.specs import SPECS\n"
        "from cluster.topology import Topology\n"
        "ray_driver.prepare_ray()\n"
        "seen = ray_nodes.see_nodes(state.find_cluster().address)\n"
        "places = ray_nodes.place_nodes(Topology.load(SPECS / 'demo.yaml'), seen)\n"
        "print([place.host for place in places.values()], bool(seen[0].labels))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "TESTBED_STATE_DIR": walked.state, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.strip() == f"{['127.0.0.1'] * 5} True"


@pytest.mark.cluster
def test_no_node_holds_the_packages_for_tables_that_ray_imports(walked: Testbed) -> None:
    state = ClusterState.load(Path(walked.state) / state_path().name)
    for node in state.topology.nodes:
        mapped = Path(f"/proc/{find_process(state, node.name)}/maps").read_text()
        assert "/ray/_raylet" in mapped
        assert "/pandas/" not in mapped
        assert "/pyarrow/" not in mapped
