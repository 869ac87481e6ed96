"""Manifests for KubeRay: as KubeRay's own schemas want them, and true to the topology."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.errors import InputError
from cluster.manifests.kuberay import (
    SECRET_KEYS,
    Pods,
    check_names,
    config_map,
    ray_cluster,
    ray_service,
    secret,
)
from cluster.providers.ray_driver import ray_settings
from cluster.providers.ray_names import resource_of
from cluster.providers.ray_private import SEVERAL_HOSTS
from cluster.specs import SPECS
from cluster.topology import Topology
from support.kuberay_shape import ConfigMap, RayCluster, RayService, Secret
from support.paths import ROOT

CRDS = ROOT.parent / "shared" / "data" / "kuberay_crds"
DEMO = Topology.load(SPECS / "demo.yaml")
PODS = Pods(
    "registry/testbed:0.2",
    "2.60.0",
    "lab",
    {"edge-0": ("zone=a", "zone=b", "disk=ssd"), "head": ()},
)
TOKENS = dict.fromkeys(SECRET_KEYS, "0123456789abcdef")


def closed(schema: Any) -> Any:
    """An OpenAPI schema as JSON Schema that refuses the fields it does not name: Kubernetes drops
    those, and a manifest that has them does not do what it says."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: closed(part) for key, part in schema.items() if not key.startswith("x-kubernetes")}
    if "properties" in kept and "x-kubernetes-preserve-unknown-fields" not in schema:
        kept.setdefault("additionalProperties", False)
    return kept


def worker_groups(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {group["groupName"]: group for group in cluster["spec"]["workerGroupSpecs"]}


def container_of(group: dict[str, Any]) -> dict[str, Any]:
    (found,) = group["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.skipif(not CRDS.is_dir(), reason="KubeRay's definitions are not beside the project")
@pytest.mark.parametrize(
    ("file", "make"),
    [("ray.io_rayclusters.yaml", ray_cluster), ("ray.io_rayservices.yaml", ray_service)],
    ids=["RayCluster", "RayService"],
)
def test_kuberays_own_schema_takes_the_manifest(file: str, make: Any) -> None:
    definition = yaml.safe_load((CRDS / file).read_text())
    (schema,) = (
        version["schema"]["openAPIV3Schema"]
        for version in definition["spec"]["versions"]
        if version["name"] == "v1"
    )
    schema = closed(schema)
    schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own
    manifest = yaml.safe_load(yaml.safe_dump(make(DEMO, PODS)))
    jsonschema.Draft7Validator(schema).validate(manifest)
    manifest["spec"]["workerGroupSpec"] = []
    with pytest.raises(jsonschema.ValidationError, match="workerGroupSpec"):
        jsonschema.Draft7Validator(schema).validate(manifest)


def test_all_manifests_have_the_fields_and_types_that_are_written_down_here() -> None:
    RayCluster.model_validate(ray_cluster(DEMO, PODS))
    RayService.model_validate(ray_service(DEMO, PODS))
    ConfigMap.model_validate(config_map(DEMO, PODS, {"plan.json": "{}"}))
    Secret.model_validate(secret(DEMO, PODS, TOKENS))


def test_each_node_is_a_worker_group_of_one_pod_with_its_resource_and_no_other() -> None:
    groups = worker_groups(ray_cluster(DEMO, PODS))
    assert list(groups) == [node.name for node in DEMO.nodes]
    for name, group in groups.items():
        assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (1, 1, 1)
        # KubeRay puts the value into a shell's line as it is.
        (word,) = shlex.split(f"--resources={group['rayStartParams']['resources']}")
        assert json.loads(word.partition("=")[2]) == {resource_of(name): 1}


def test_pods_ask_for_what_their_node_has_and_are_never_throttled() -> None:
    more = Topology.parse(
        yaml.safe_load((SPECS / "demo.yaml").read_text().replace(
            "memory: 120MiB, compute: 0.3", "memory: 8GiB, device: cuda:0, threads: 4, compute: 0.3"
        ))
    )  # fmt: skip
    groups = worker_groups(ray_cluster(more, PODS))
    edge = container_of(groups["edge-0"])["resources"]
    assert edge["requests"] == {"cpu": "1", "memory": str((1536 + 60) * 2**20)}
    assert edge["limits"] == {"memory": edge["requests"]["memory"]}
    cloud = container_of(groups["cloud"])["resources"]
    assert cloud["requests"] == {"cpu": "4", "memory": str(1536 * 2**20)}, (
        "its models are elsewhere"
    )
    assert cloud["limits"]["nvidia.com/gpu"] == 1


def test_processes_find_what_clusters_on_several_hosts_need_and_the_token_as_a_secret() -> None:
    cluster = ray_cluster(DEMO, PODS)
    parts = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for part in parts:
        env = {entry["name"]: entry for entry in container_of(part)["env"]}
        token = env.pop("RAY_AUTH_TOKEN")
        assert token["valueFrom"]["secretKeyRef"] == {"name": "demo", "key": "auth_token"}
        values = {name: entry["value"] for name, entry in env.items()}
        wanted = {**ray_settings(), **SEVERAL_HOSTS}
        del wanted["RAY_AUTH_TOKEN_PATH"]
        assert values == {**wanted, "TESTBED_STATE_DIR": "/var/lib/testbed/state"}
    assert cluster["spec"]["authOptions"] == {"mode": "token", "secretName": "demo"}
    assert secret(DEMO, PODS, TOKENS)["metadata"]["name"] == "demo"
    assert "0123456789abcdef" not in json.dumps(cluster)


def test_nodes_go_where_the_labels_say_and_others_anywhere() -> None:
    groups = worker_groups(ray_cluster(DEMO, PODS))
    affinity = groups["edge-0"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "zone", "operator": "In", "values": ["a", "b"]},
        {"key": "disk", "operator": "In", "values": ["ssd"]},
    ]
    assert "affinity" not in groups["cloud"]["template"]["spec"]
    with pytest.raises(InputError, match=r"expected WHO=KEY=VALUE, got 'zone'"):
        ray_cluster(DEMO, Pods("i", "2.60.0", affinity={"edge-0": ("zone",)}))


def test_the_topology_in_the_cluster_attaches_to_it_and_brings_its_traces(tmp_path: Path) -> None:
    (tmp_path / "lte.csv").write_text("t_s,capacity_mbit_s\n0,8\n1,4\n")
    stated = yaml.safe_load((SPECS / "demo.yaml").read_text())
    stated["links"][0]["trace"] = {"file": "lte.csv", "scale": 0.5}
    (tmp_path / "topology.yaml").write_text(yaml.safe_dump(stated))
    topology = Topology.load(tmp_path / "topology.yaml")
    data = config_map(topology, PODS, {})["data"]
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for name, text in data.items():
        (mounted / name).write_text(text)
    read = yaml.safe_load(data["topology.yaml"])
    assert read["provider"] == {
        "kind": "attach",
        "address": "demo-head-svc:6379",
        "token_file": "/etc/testbed/secret/auth_token",
    }
    del read["provider"]
    (mounted / "topology.yaml").write_text(yaml.safe_dump(read))
    again = Topology.load(mounted / "topology.yaml")
    assert again.nodes == topology.nodes
    assert [link.bytes_per_s for link in again.links] == [
        link.bytes_per_s for link in topology.links
    ]


def test_a_config_map_takes_a_mebibyte() -> None:
    with pytest.raises(InputError, match=r"plan.json: 1.1 MiB in all, and a ConfigMap takes 1 MiB"):
        config_map(DEMO, PODS, {"plan.json": "x" * 1_150_000})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: demo", "name: 5demo", "'5demo' cannot be that of a cluster on Kubernetes"),
        ("name: demo", f"name: {'d' * 48}", "at most 47 characters"),
        ("edge-0", "edge-", "'edge-' cannot be that of a worker group"),
        ("cloud", "head", "'head' cannot be that of a worker group"),
        ("memory: 120MiB", "memory: 120MiB, device: cuda:1", "sees as cuda:0, not cuda:1"),
    ],
    ids=["digit", "long", "hyphen", "head", "second board"],
)
def test_what_kubernetes_does_not_take_is_refused(old: str, new: str, says: str) -> None:
    text = (SPECS / "demo.yaml").read_text().replace(old, new)
    text = text.replace("tier: head", "tier: cloud")
    with pytest.raises(InputError, match=says):
        check_names(Topology.parse(yaml.safe_load(text)))
