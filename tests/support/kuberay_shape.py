"""The part of KubeRay's objects, and of Kubernetes' own, that the testbed's manifests use: names of
fields and their types, written down by hand from the API's reference. Other fields are refused."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ConfigMap", "RayCluster", "RayService", "Secret"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Metadata(_Part):
    name: str = Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=47)
    namespace: str = "default"
    labels: dict[str, str]


class _SecretKey(_Part):
    name: str
    key: str


class _ValueFrom(_Part):
    secretKeyRef: _SecretKey  # noqa: N815


class _Variable(_Part):
    name: str
    value: str | None = None
    valueFrom: _ValueFrom | None = None  # noqa: N815


class _HttpGet(_Part):
    path: str
    port: int


class _Probe(_Part):
    httpGet: _HttpGet  # noqa: N815
    initialDelaySeconds: int  # noqa: N815
    periodSeconds: int = Field(ge=1)  # noqa: N815
    timeoutSeconds: int = Field(ge=1)  # noqa: N815
    failureThreshold: int = Field(ge=1)  # noqa: N815


class _Resources(_Part):
    requests: dict[str, int | str]
    limits: dict[str, int | str]


class _Drop(_Part):
    drop: list[str]


class _ContainerSecurity(_Part):
    allowPrivilegeEscalation: bool  # noqa: N815
    capabilities: _Drop


class _Mount(_Part):
    name: str
    mountPath: str  # noqa: N815
    readOnly: bool = False  # noqa: N815


class _Port(_Part):
    name: str
    containerPort: int  # noqa: N815


class _Container(_Part):
    name: str
    image: str
    env: list[_Variable]
    resources: _Resources
    readinessProbe: _Probe  # noqa: N815
    livenessProbe: _Probe  # noqa: N815
    securityContext: _ContainerSecurity  # noqa: N815
    volumeMounts: list[_Mount]  # noqa: N815
    ports: list[_Port] = []


class _Seccomp(_Part):
    type: Literal["RuntimeDefault"]


class _PodSecurity(_Part):
    runAsNonRoot: bool  # noqa: N815
    runAsUser: int  # noqa: N815
    fsGroup: int  # noqa: N815
    seccompProfile: _Seccomp  # noqa: N815


class _OfConfigMap(_Part):
    name: str


class _OfSecret(_Part):
    secretName: str  # noqa: N815


class _Volume(_Part):
    name: str
    configMap: _OfConfigMap | None = None  # noqa: N815
    secret: _OfSecret | None = None
    emptyDir: dict[str, Any] | None = None  # noqa: N815


class _Expression(_Part):
    key: str
    operator: Literal["In"]
    values: list[str]


class _Term(_Part):
    matchExpressions: list[_Expression]  # noqa: N815


class _Terms(_Part):
    nodeSelectorTerms: list[_Term]  # noqa: N815


class _NodeAffinity(_Part):
    requiredDuringSchedulingIgnoredDuringExecution: _Terms  # noqa: N815


class _Affinity(_Part):
    nodeAffinity: _NodeAffinity  # noqa: N815


class _PodSpec(_Part):
    securityContext: _PodSecurity  # noqa: N815
    containers: list[_Container]
    volumes: list[_Volume]
    affinity: _Affinity | None = None


class _Labels(_Part):
    labels: dict[str, str]


class _Template(_Part):
    metadata: _Labels
    spec: _PodSpec


class _Auth(_Part):
    mode: Literal["token"]
    secretName: str  # noqa: N815


class _Head(_Part):
    serviceType: Literal["ClusterIP"]  # noqa: N815
    rayStartParams: dict[str, str]  # noqa: N815
    template: _Template


class _Workers(_Part):
    groupName: str  # noqa: N815
    replicas: int
    minReplicas: int  # noqa: N815
    maxReplicas: int  # noqa: N815
    rayStartParams: dict[str, str]  # noqa: N815
    template: _Template


class _ClusterSpec(_Part):
    rayVersion: str  # noqa: N815
    authOptions: _Auth  # noqa: N815
    headGroupSpec: _Head  # noqa: N815
    workerGroupSpecs: list[_Workers]  # noqa: N815


class RayCluster(_Part):
    """ray.io/v1."""

    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayCluster"]
    metadata: _Metadata
    spec: _ClusterSpec


class _Upgrade(_Part):
    type: Literal["None", "NewCluster"]


class _ServiceSpec(_Part):
    upgradeStrategy: _Upgrade  # noqa: N815
    excludeHeadPodFromServeSvc: bool  # noqa: N815
    serveConfigV2: str  # noqa: N815
    rayClusterConfig: _ClusterSpec  # noqa: N815


class RayService(_Part):
    """ray.io/v1."""

    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayService"]
    metadata: _Metadata
    spec: _ServiceSpec


class ConfigMap(_Part):
    """v1."""

    apiVersion: Literal["v1"]  # noqa: N815
    kind: Literal["ConfigMap"]
    metadata: _Metadata
    data: dict[str, str]


class Secret(_Part):
    """v1."""

    apiVersion: Literal["v1"]  # noqa: N815
    kind: Literal["Secret"]
    metadata: _Metadata
    type: Literal["Opaque"]
    stringData: dict[str, str]  # noqa: N815
