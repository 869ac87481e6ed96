"""A topology's cluster as a file for `ray up`: machines that are there, or ones of a cloud.

Each machine offers the resource `testbed-NODE` of the nodes that it is to carry. On machines that
are there (Ray's provider `local`) all workers run the same command, which knows by its address
which one it is; in a cloud each node is a type of machine of its own, with one machine.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.manifests.by_node import HEAD
from cluster.manifests.process_settings import HEAD_PORT, OBJECT_STORE_BYTES, process_settings
from cluster.providers.ray_driver import TOKEN_PATH
from cluster.providers.ray_names import resource_of
from cluster.topology import Topology

__all__ = ["REMOTE_FOLDER", "REMOTE_TOKEN", "TOKEN_FILE", "Launch", "in_cloud", "on_machines"]

REMOTE_FOLDER = "~/.testbed"
TOKEN_FILE = "ray-token"
REMOTE_TOKEN = f"{REMOTE_FOLDER}/{TOKEN_FILE}"


@dataclass(frozen=True)
class Launch:
    """What is asked of all machines."""

    user: str
    files: str
    """the folder, with Ray's token in it, that becomes `REMOTE_FOLDER`: where `ray up` is called"""
    key: str | None = None
    """file of the private SSH key"""
    image: str | None = None
    """in whose container Ray runs; None: on the machine itself"""
    setup: Sequence[str] = ()
    """commands that install the testbed where it is not"""


def on_machines(
    topology: Topology, launch: Launch, head: str, places: Mapping[str, str]
) -> dict[str, Any]:
    """The file for machines that are there: `head` is the address of the one with Ray's head,
    `places` gives that of each node's. A machine may carry several nodes, the head's too."""
    addresses = dict.fromkeys(places[node.name] for node in topology.nodes)
    carried = {
        address: [node.name for node in topology.nodes if places[node.name] == address]
        for address in addresses
    }
    workers = [address for address in addresses if address != head]
    choice = "".join(
        f"*' {address} '*) offers={shlex.quote(_offer(carried[address]))};; " for address in workers
    )
    choose = (
        f"""case " $(hostname -I) " in {choice}"""
        """*) echo "none of this machine's addresses is one of worker_ips" >&2; exit 1;; esac; """
    )
    resources = _offer(carried.get(head, []))
    return {
        **_common(topology, launch),
        "provider": {"type": "local", "head_ip": head, "worker_ips": workers},
        "head_start_ray_commands": _head_commands(f"--resources={shlex.quote(resources)}"),
        "worker_start_ray_commands": _worker_commands('--resources="$offers"', before=choose),
    }


def in_cloud(
    topology: Topology, launch: Launch, region: str, instances: Mapping[str, str]
) -> dict[str, Any]:
    """The file for AWS: `instances` gives the type of machine of the head and of each node."""
    types: dict[str, Any] = {
        HEAD: {
            "resources": {},
            "min_workers": 0,
            "max_workers": 0,
            "node_config": {"InstanceType": instances[HEAD]},
        }
    }
    for node in topology.nodes:
        types[resource_of(node.name)] = {
            "resources": {resource_of(node.name): 1},
            "min_workers": 1,
            "max_workers": 1,
            "node_config": {"InstanceType": instances[node.name]},
        }
    return {
        **_common(topology, launch),
        "max_workers": len(topology.nodes),
        "provider": {"type": "aws", "region": region, "cache_stopped_nodes": False},
        "available_node_types": types,
        "head_node_type": HEAD,
        # Ray's autoscaler speaks to AWS from the head.
        "head_setup_commands": ["python -m pip install --quiet 'boto3>=1.4.8'"],
        "worker_setup_commands": [],
        # Ray tells each machine by RAY_OVERRIDE_RESOURCES what its type offers.
        "head_start_ray_commands": _head_commands(),
        "worker_start_ray_commands": _worker_commands(),
    }


def _common(topology: Topology, launch: Launch) -> dict[str, Any]:
    auth = {"ssh_user": launch.user}
    if launch.key is not None:
        auth["ssh_private_key"] = launch.key
    docker = {"image": launch.image, "container_name": "testbed", "pull_before_run": True}
    return {
        "cluster_name": topology.name,
        "auth": auth,
        "docker": docker if launch.image is not None else {},
        "file_mounts": {REMOTE_FOLDER: launch.files},
        "setup_commands": list(launch.setup),
    }


def _offer(nodes: Sequence[str]) -> str:
    return json.dumps({resource_of(node): 1 for node in nodes})


def _head_commands(more: str = "") -> list[str]:
    return [
        "ray stop",
        f"{_exports()}ulimit -n 65536; ray start --head --port={HEAD_PORT} "
        f"--autoscaling-config=~/ray_bootstrap_config.yaml {_options()} {more}".rstrip(),
    ]


def _worker_commands(more: str = "", before: str = "") -> list[str]:
    return [
        "ray stop",
        # Nodes take no CPUs of Ray's; with none to offer, nothing else of Ray's comes here.
        f"{before}{_exports()}ulimit -n 65536; ray start --address=$RAY_HEAD_IP:{HEAD_PORT} "
        f"--num-cpus=0 {_options()} {more}".rstrip(),
    ]


def _options() -> str:
    return f"--disable-usage-stats --object-store-memory={OBJECT_STORE_BYTES}"


def _exports() -> str:
    """Every command has a shell of its own."""
    settings = " ".join(
        f"{name}={shlex.quote(value)}" for name, value in process_settings().items()
    )
    home = REMOTE_TOKEN.replace("~", "$HOME")
    return f"export {settings} {TOKEN_PATH}={home}; "
