"""The peers: which environment each needs, how its server is started, how it is fed.

Every peer serves the same frozen file at the same batch cap on one torch thread, fed the fastest
`encoding` that it documents, and is set up as the page `documentation` of its own authors advises.
`batch_timeout_s` was chosen once and not searched; docs/benchmarks.md says how each is set up.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
from tritonclient.grpc import service_pb2

from http_door import HttpDoor
from load import Door, GrpcDoor

__all__ = ["HERE", "PEERS", "Peer", "peers_home"]

HERE = Path(__file__).resolve().parent
RAW = {"content-type": "application/octet-stream"}
INFER = "/inference.GRPCInferenceService/ModelInfer"


def peers_home() -> Path:
    """Where the peers' environments lie: $J3O_PEERS, or the user's cache."""
    named = os.environ.get("J3O_PEERS")
    return Path(named) if named else Path.home() / ".cache" / "j3o-testbed" / "peers"


@dataclass(frozen=True)
class Peer:
    """A server to compare with."""

    name: str
    row: str
    """of the benchmark: our one hop divided by this server"""
    title: str
    distribution: str
    script: str
    encoding: str
    batch_timeout_s: float
    make_door: Callable[[int, Iterable[np.ndarray]], Door]
    """port, images (h, w, 3) -> door"""
    documentation: str
    """the page of its own documentation that says how to serve fast, which was followed"""
    settings: Mapping[str, str] = field(default_factory=dict)
    """environment variables that the page advises"""
    own_environment: bool = True
    """whether it needs another environment than the benchmark's"""
    embeds_python: bool = False
    """whether its server loads libpython, which not every Python build has"""

    @property
    def home(self) -> Path:
        """Its virtual environment."""
        return peers_home() / self.name

    @property
    def python(self) -> Path:
        """The interpreter that runs its server."""
        return self.home / "bin" / "python" if self.own_environment else Path(sys.executable)

    @property
    def error_file(self) -> Path:
        """Where a failed installation left its reason."""
        return peers_home() / f"{self.name}.error"

    @property
    def requirements(self) -> Path:
        """Every version of its own environment."""
        return HERE / "requirements" / f"{self.name}.txt"

    def version(self) -> str:
        """The version of its distribution that is measured."""
        if not self.own_environment:
            return metadata.version(self.distribution)
        pins = dict(line.split("==") for line in self.requirements.read_text().split())
        return pins[self.distribution]

    def missing(self) -> str | None:
        """Why it cannot be measured, or None."""
        if self.error_file.exists():
            return self.error_file.read_text().strip()
        if not self.python.exists():
            return "not installed; run `make bench-peers`"
        return None


def _raw_http(path: str) -> Callable[[int, Iterable[np.ndarray]], Door]:
    def make(port: int, images: Iterable[np.ndarray]) -> Door:
        bodies = [image.tobytes() for image in images]
        return HttpDoor(f"http://127.0.0.1:{port}{path}", bodies, RAW)

    return make


def _bytes_element(port: int, images: Iterable[np.ndarray]) -> Door:
    """gRPC with the image as one BYTES element."""
    bodies = []
    for image in images:
        message = service_pb2.ModelInferRequest(model_name="frozen")
        message.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
        message.raw_input_contents.append(struct.pack("<I", image.nbytes) + image.tobytes())
        bodies.append(message.SerializeToString())
    return GrpcDoor(f"127.0.0.1:{port}", INFER, bodies)


def _tensor(port: int, images: Iterable[np.ndarray]) -> Door:
    """gRPC with the image as a raw UINT8 tensor."""
    bodies = []
    for image in images:
        message = service_pb2.ModelInferRequest(model_name="frozen")
        message.inputs.add(name="image", datatype="UINT8", shape=[1, *image.shape])
        message.raw_input_contents.append(image.tobytes())
        bodies.append(message.SerializeToString())
    return GrpcDoor(f"127.0.0.1:{port}", INFER, bodies)


PEERS = (
    Peer(
        "ray_serve_optimised", "S4.optimised", "Ray Serve, optimised", "ray",
        "ray_serve_server.py", "HTTP, raw bytes", 0.01, _raw_http("/"),
        "https://docs.ray.io/en/master/kuberay/user-guides/serve-high-throughput.html",
        # The second moves requests past Serve's Python proxy; HAProxy comes with `ray[serve]`.
        {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
        own_environment=False,
    ),
    Peer(
        "ray_serve_defaults", "S4.defaults", "Ray Serve, defaults", "ray",
        "ray_serve_server.py", "HTTP, raw bytes", 0.01, _raw_http("/"),
        "https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html",
        own_environment=False,
    ),
    Peer(
        "litserve", "S5.litserve", "LitServe", "litserve", "litserve_server.py",
        "HTTP, raw bytes", 0.01, _raw_http("/predict"),
        "https://lightning.ai/docs/litserve/features/batching",
    ),
    Peer(
        "mlserver", "S5.mlserver", "MLServer", "mlserver", "mlserver_server.py",
        "gRPC, one BYTES element", 0.01, _bytes_element,
        "https://docs.seldon.ai/mlserver/user-guide/adaptive-batching",
    ),
    Peer(
        "pytriton", "S5.pytriton", "pytriton", "nvidia-pytriton", "pytriton_server.py",
        "gRPC, raw tensor", 0.0, _tensor,
        "https://triton-inference-server.github.io/pytriton/latest/binding_configuration",
        embeds_python=True,
    ),
)  # fmt: skip
