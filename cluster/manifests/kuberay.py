"""A topology's cluster on Kubernetes: what the KubeRay operator makes its Ray cluster of.

One worker group a node, of one pod that offers `testbed-NODE`. The files of the topology, of
profiles and of a plan are in a ConfigMap, Ray's token and those of links and doors in a Secret;
both are mounted in all pods. Nothing here speaks to a Kubernetes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from cluster.errors import InputError
from cluster.manifests.by_node import HEAD
from cluster.manifests.process_settings import HEAD_PORT, OBJECT_STORE_BYTES, process_settings
from cluster.manifests.topology_files import topology_files
from cluster.providers.ray_names import resource_of
from cluster.topology import Node, Topology

__all__ = [
    "CONFIG_FOLDER", "HEALTH_PATH", "SECRET_FOLDER", "SECRET_KEYS", "Pods", "check_names",
    "config_map", "ray_cluster", "ray_service", "secret",
]  # fmt: skip

CONFIG_FOLDER = "/etc/testbed/config"
SECRET_FOLDER = "/etc/testbed/secret"
STATE_MOUNT = "/var/lib/testbed"
RAY_TOKEN, LINK_TOKEN, DOOR_TOKEN = "auth_token", "link_token", "door_token"
SECRET_KEYS = (RAY_TOKEN, LINK_TOKEN, DOOR_TOKEN)
"""`auth_token` is where KubeRay, too, looks for Ray's"""
USER = 1000
"""that pods run as: of the project's Dockerfile, and of Ray's own images"""
AGENT_PORT = 52365
HEALTH_PATH = "/api/healthz"
"""of Ray's agent, from 2.53 on; it asks for no token"""
BESIDE_MODELS_BYTES = 1536 * 2**20
"""a pod's memory beyond its node's budget: a process with torch (950 MB), Ray's own, its store"""
HEAD_CPUS, HEAD_MEMORY = "2", "4Gi"
"""for Ray's head and Serve's controller, and for the commands of the testbed that run there"""
LONGEST_NAME = 47
"""of a RayService, after which KubeRay names a RayCluster with six characters more"""
MOST_CONFIG_BYTES = 2**20
"""that Kubernetes takes in a ConfigMap"""
BUILDER = "serving.deploy.serve_config:build"


@dataclass(frozen=True)
class Pods:
    """What is asked of all pods."""

    image: str
    ray_version: str
    namespace: str | None = None
    affinity: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """the head or a node -> KEY=VALUE, labels of the Kubernetes nodes that it may run on"""

    def metadata(self, name: str) -> dict[str, Any]:
        """Of an object of that name."""
        labels = {"app.kubernetes.io/part-of": "j3o-testbed"}
        space = {} if self.namespace is None else {"namespace": self.namespace}
        return {"name": name, **space, "labels": labels}


def check_names(topology: Topology) -> None:
    """Raise `InputError` where Kubernetes does not take a name of the topology, or a pod has no
    such device as a node names."""
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", topology.name) or (
        len(topology.name) > LONGEST_NAME
    ):
        raise InputError(
            f"name: {topology.name!r} cannot be that of a cluster on Kubernetes: it begins with a "
            f"letter, does not end in a hyphen and has at most {LONGEST_NAME} characters"
        )
    for position, node in enumerate(topology.nodes):
        if node.name.endswith("-") or node.name == HEAD:
            raise InputError(
                f"nodes.{position}.name: {node.name!r} cannot be that of a worker group: it must "
                f"not end in a hyphen, nor be {HEAD}"
            )
        if node.on_gpu and node.host_device != "cuda:0":
            raise InputError(
                f"nodes.{position}.device: a pod has one board, which it sees as cuda:0, not "
                f"{node.host_device}"
            )


def secret(topology: Topology, pods: Pods, tokens: Mapping[str, str]) -> dict[str, Any]:
    """The Secret with the tokens of `SECRET_KEYS`."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": pods.metadata(topology.name),
        "type": "Opaque",
        "stringData": dict(tokens),
    }


def config_map(topology: Topology, pods: Pods, more: Mapping[str, str]) -> dict[str, Any]:
    """The ConfigMap with topology.yaml, the link traces that it names, and `more` files.

    That topology's provider attaches to the cluster that the manifests describe. Raises
    `InputError` for more than Kubernetes takes.
    """
    address, token_file = f"{topology.name}-head-svc:{HEAD_PORT}", f"{SECRET_FOLDER}/{RAY_TOKEN}"
    data = {**topology_files(topology, address, token_file), **more}
    size = sum(len(text.encode()) for text in data.values())
    if size > MOST_CONFIG_BYTES:
        raise InputError(
            f"{', '.join(data)}: {size / 2**20:.1f} MiB in all, and a ConfigMap takes 1 MiB; "
            "profiles of fewer models and shorter traces make it smaller"
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": pods.metadata(topology.name),
        "data": data,
    }


def ray_cluster(topology: Topology, pods: Pods) -> dict[str, Any]:
    """The RayCluster."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": pods.metadata(topology.name),
        "spec": _cluster_spec(topology, pods),
    }


def ray_service(topology: Topology, pods: Pods) -> dict[str, Any]:
    """The RayService: the same cluster, and the nodes as Serve applications on it, which `build` of
    `serving.deploy.serve_config` makes of the files of the ConfigMap."""
    config = {
        # Queries go to the nodes' own doors.
        "proxy_location": "Disabled",
        "logging_config": {"log_level": "WARNING"},
        "applications": [
            {
                "name": resource_of(node.name),
                "route_prefix": None,
                "import_path": BUILDER,
                "args": {"node": node.name, "files": CONFIG_FOLDER, "secrets": SECRET_FOLDER},
            }
            for node in topology.nodes
        ],
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": pods.metadata(topology.name),
        "spec": {
            # A second cluster beside this one would have nodes of the same names without a plan.
            "upgradeStrategy": {"type": "None"},
            "excludeHeadPodFromServeSvc": True,
            "serveConfigV2": yaml.safe_dump(config, sort_keys=False),
            "rayClusterConfig": _cluster_spec(topology, pods),
        },
    }


def _cluster_spec(topology: Topology, pods: Pods) -> dict[str, Any]:
    head = _container("ray-head", pods, topology.name, HEAD_CPUS, HEAD_MEMORY)
    head["ports"] = [
        {"name": "gcs-server", "containerPort": HEAD_PORT},
        {"name": "dashboard", "containerPort": 8265},
    ]
    return {
        "rayVersion": pods.ray_version,
        "authOptions": {"mode": "token", "secretName": topology.name},
        "headGroupSpec": {
            "serviceType": "ClusterIP",
            "rayStartParams": _start_parameters({}),
            "template": _pod(topology.name, pods, HEAD, head),
        },
        "workerGroupSpecs": [_worker_group(node, topology.name, pods) for node in topology.nodes],
    }


def _worker_group(node: Node, name: str, pods: Pods) -> dict[str, Any]:
    memory = BESIDE_MODELS_BYTES + (0 if node.on_gpu or node.is_null else int(node.memory))
    worker = _container("ray-worker", pods, name, str(node.threads), str(memory))
    if node.on_gpu:
        worker["resources"]["limits"]["nvidia.com/gpu"] = 1
    offered = json.dumps({resource_of(node.name): 1})
    return {
        "groupName": node.name,
        "replicas": 1,
        "minReplicas": 1,
        "maxReplicas": 1,
        # KubeRay writes values into a shell's command line as they are, so quotes are part of one.
        # Nodes take no CPUs of Ray's; with none to offer, nothing else of Ray's comes here.
        "rayStartParams": _start_parameters(
            {"num-cpus": "0", "resources": '"' + offered.replace('"', '\\"') + '"'}
        ),
        "template": _pod(name, pods, node.name, worker),
    }


def _start_parameters(more: Mapping[str, str]) -> dict[str, str]:
    return {
        "disable-usage-stats": "true",
        "object-store-memory": str(OBJECT_STORE_BYTES),
        **more,
    }


def _container(
    kind: str, pods: Pods, secret_name: str, cpus: str, memory: str
) -> dict[str, Any]:  # fmt: skip
    settings = {**process_settings(), "TESTBED_STATE_DIR": f"{STATE_MOUNT}/state"}
    token = {"secretKeyRef": {"name": secret_name, "key": RAY_TOKEN}}
    return {
        "name": kind,
        "image": pods.image,
        "env": [
            *({"name": name, "value": value} for name, value in sorted(settings.items())),
            {"name": "RAY_AUTH_TOKEN", "valueFrom": token},
        ],
        # No limit of CPU: what is throttled answers late, and is no slower device.
        "resources": {
            "requests": {"cpu": cpus, "memory": memory},
            "limits": {"memory": memory},
        },
        "readinessProbe": _probe(first_s=5, times=12),
        "livenessProbe": _probe(first_s=30, times=24),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": "secret", "mountPath": SECRET_FOLDER, "readOnly": True},
            {"name": "state", "mountPath": STATE_MOUNT},
        ],
    }


def _probe(first_s: int, times: int) -> dict[str, Any]:
    """Whether the Ray node is well, asked every five seconds; it is not once it says so `times`."""
    return {
        "httpGet": {"path": HEALTH_PATH, "port": AGENT_PORT},
        "initialDelaySeconds": first_s,
        "periodSeconds": 5,
        "timeoutSeconds": 5,
        "failureThreshold": times,
    }


def _pod(name: str, pods: Pods, who: str, container: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "config", "configMap": {"name": name}},
            {"name": "secret", "secret": {"secretName": name}},
            {"name": "state", "emptyDir": {}},
        ],
    }
    if wanted := pods.affinity.get(who):
        spec["affinity"] = {"nodeAffinity": _affinity(wanted)}
    return {"metadata": {"labels": {"j3o-testbed/node": who}}, "spec": spec}


def _affinity(wanted: Sequence[str]) -> dict[str, Any]:
    """Only where each key has one of its values."""
    values: dict[str, list[str]] = {}
    for text in wanted:
        key, parted, value = text.partition("=")
        if not (parted and key):
            raise InputError(f"--affinity: expected WHO=KEY=VALUE, got {text[:60]!r} after WHO=")
        values.setdefault(key, []).append(value)
    expressions = [
        {"key": key, "operator": "In", "values": one_of} for key, one_of in values.items()
    ]
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": terms}
