"""What a user's shell may do to a cluster and its drivers: no more than is listed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cluster.environment import driver_environment, node_environment
from support.paths import ROOT

SETTINGS = {"RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1"}
SHELL = {
    "PATH": "/bin", "HOME": "/home/u", "LC_ALL": "C.UTF-8", "CUDA_VISIBLE_DEVICES": "1",
    "J3O_ZOO": "/zoo", "RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN": "x",
    "RAY_RUNTIME_ENV_HOOK": "their.hook", "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://proxy:8080", "PYTHONPATH": "/home/u/exp", "PYTHONSTARTUP": "/x.py",
    "AWS_SECRET_ACCESS_KEY": "s", "OMP_NUM_THREADS": "64",
}  # fmt: skip


def test_nodes_get_what_is_listed_and_nothing_else() -> None:
    assert node_environment(SHELL, SETTINGS, "/testbed") == {
        "PATH": "/bin", "HOME": "/home/u", "LC_ALL": "C.UTF-8", "CUDA_VISIBLE_DEVICES": "1",
        "J3O_ZOO": "/zoo", "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": "/testbed",
    }  # fmt: skip


def test_a_driver_keeps_its_shell_but_for_rays_variables_and_the_way_to_loopback() -> None:
    found = driver_environment({**SHELL, "no_proxy": "intranet,127.0.0.1"}, SETTINGS)
    assert {name for name in found if name.startswith("RAY_")} == {"RAY_AUTH_MODE"}
    assert found["no_proxy"] == "intranet,127.0.0.1,localhost,::1"
    assert found["NO_PROXY"] == "127.0.0.1,localhost,::1"
    assert found["http_proxy"] == SHELL["http_proxy"]
    assert found["AWS_SECRET_ACCESS_KEY"] == "s"


def test_no_proxy_stands_between_a_driver_and_the_clusters_own_addresses() -> None:
    found = driver_environment(SHELL, SETTINGS, ("198.18.3.1", "198.18.3.2"))
    assert found["no_proxy"].endswith(",198.18.3.1,198.18.3.2")


def test_without_a_proxy_none_is_spoken_of() -> None:
    assert "no_proxy" not in driver_environment({"PATH": "/bin"}, SETTINGS)


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_ADDRESS"])
def test_a_driver_that_imported_ray_before_is_told_what_is_in_the_way(name: str) -> None:
    code = (
        "import sys, types; sys.modules['ray'] = types.ModuleType('ray')\n"
        "from cluster.providers import ray_driver\n"
        "try: ray_driver.prepare_ray()\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, name: "x"},
    )  # fmt: skip
    assert f"no {name}" in done.stdout


def test_a_driver_may_connect_again_after_ray_was_imported() -> None:
    """Ray sets a variable of its own when it is imported, which is no shell's."""
    code = (
        "import os, sys, types\n"
        "from cluster.providers import ray_driver\n"
        "ray_driver.prepare_ray()\n"
        "sys.modules['ray'] = types.ModuleType('ray'); os.environ['RAY_CLIENT_MODE'] = '0'\n"
        "ray_driver.prepare_ray(); print('again')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "again\n", done.stderr
