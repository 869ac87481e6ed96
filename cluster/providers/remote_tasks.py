"""Small tasks on the Ray nodes of a cluster, which may lack the testbed, and what it has there.

Ray sends a function that stands in a module by its name, and one that stands in another function
with all that it consists of. So each task here is made by a function.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve

from cluster.providers import ray_private
from cluster.providers.ray_names import ASSIGNMENTS, NAMESPACE, application_of
from cluster.providers.software import VERSIONS
from cluster.providers.state import ClusterError
from cluster.topology import Topology

__all__ = [
    "CommandDone", "ask", "end_but", "found_running", "read_software", "remove_there", "run_there",
]  # fmt: skip


@dataclass(frozen=True)
class CommandDone:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str
    error: str = ""
    """why it could not be run"""


def _serve_runs() -> bool:
    """Whether Ray Serve runs in the connected cluster."""
    name, namespace = ray_private.SERVE_CONTROLLER
    try:
        ray.get_actor(name, namespace=namespace)
    except ValueError:
        return False
    return True


def ask(calls: Sequence[Any], limit_s: float | None) -> list[Any]:
    """What the tasks give. Raises `ClusterError` for one that fails or has not ended in time."""
    try:
        return list(ray.get(list(calls), timeout=limit_s))
    except ray.exceptions.GetTimeoutError:
        raise ClusterError(
            f"a Ray node ran no task in {limit_s:.0f} s; `ray status` says what it has"
        ) from None
    except ray.exceptions.RayError as error:
        raise ClusterError(" ".join(str(error).split())[-300:]) from None


def found_running() -> tuple[str, ...]:
    """What the testbed may start later and runs already: applications of Serve, and the actors of
    Serve and of the store of assignments, by their names."""
    found = []
    with suppress(ValueError):
        ray.get_actor(ASSIGNMENTS, namespace=NAMESPACE)
        found.append(ASSIGNMENTS)
    if _serve_runs():
        found += [ray_private.SERVE_CONTROLLER[0], *serve.status().applications]
    return tuple(found)


def end_but(before: Collection[str], topology: Topology) -> None:
    """End the nodes' applications, the store of assignments and Serve, but for those that ran
    `before` (`found_running`)."""
    if _serve_runs():
        if ray_private.SERVE_CONTROLLER[0] in before:
            ours = {application_of(node.name) for node in topology.nodes} - set(before)
            for name in ours & set(serve.status().applications):
                serve.delete(name)
        else:
            serve.shutdown()
    if ASSIGNMENTS not in before:
        with suppress(ValueError):
            ray.kill(ray.get_actor(ASSIGNMENTS, namespace=NAMESPACE))


def read_software(options: Mapping[str, Any]) -> Any:
    """The call of a task with Ray's `options` that gives the fields of a `Software`."""
    names = VERSIONS

    def read() -> dict[str, Any]:
        import platform as its_platform
        from importlib import metadata as its_metadata

        versions = {}
        for name in names:
            try:
                versions[name] = its_metadata.version(name)
            except its_metadata.PackageNotFoundError:
                continue
        code, fault = "", ""
        try:
            from cluster.code_digest import code_digest as its_digest

            code = its_digest()
        except ImportError as error:
            fault = str(error)
        python = its_platform.python_version()
        return {"python": python, "versions": versions, "code": code, "fault": fault}

    return _call(read, options)


def run_there(options: Mapping[str, Any], command: Sequence[str]) -> Any:
    """The call of a task with Ray's `options` that gives how `command` ended there."""

    def run() -> CommandDone:
        import subprocess

        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return CommandDone(127, "", "", error.strerror or str(error))
        return CommandDone(done.returncode, done.stdout, done.stderr)

    return _call(run, options)


def remove_there(options: Mapping[str, Any], folder: str) -> Any:
    """The call of a task with Ray's `options` that removes this user's `folder` there."""

    def remove() -> None:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)

    return _call(remove, options)


def _call(task: Any, options: Mapping[str, Any]) -> Any:
    return ray.remote(task).options(num_cpus=0, max_retries=0, **options).remote()
