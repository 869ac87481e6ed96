"""The one place that relies on what Ray does but does not document.

Tried on the versions in `TRIED_ON`; `tests/contract/test_ray_private.py` fails when another version
no longer does what is relied on here. Ray is imported only by what needs it.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ENVIRONMENT", "HEAD_RESOURCE", "SERVE_CONTROLLER", "SET_BY_IMPORT", "SEVERAL_HOSTS", "STARTED",
    "START_COMMAND", "TRIED_ON", "WORKER_HOOK", "forget_token", "node_table",
]  # fmt: skip

TRIED_ON = ("2.60",)

ENVIRONMENT = {
    # Serve's control calls go straight to the replica by gRPC, not through Ray's object store.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    # Documented as the switch for clusters on Windows and macOS. Set to 0 it also tells Ray on
    # Linux that this is a single host: Ray keeps 127.0.0.1 as it is and listens on loopback only.
    # Without it Ray replaces 127.0.0.1 by the host's address and listens on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Older versions hide GPUs from actors that reserve none of them, as nodes do.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Ray gives its workers, nodes among them, way to everything else on the machine (nice 15).
    "RAY_worker_niceness": "0",
}
"""Variables that every driver and every process of the cluster is given."""

SEVERAL_HOSTS = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
"""In place of the same above, for processes of a cluster on several addresses: with 0 no Ray node
joins a head."""

SET_BY_IMPORT = frozenset({"RAY_CLIENT_MODE"})
"""Variables that Ray sets in its own process when it is imported."""

WORKER_HOOK = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"
"""Variable that names a function, `module.function`, which a worker calls before its first task. As
`worker_process_setup_hook` of a runtime environment only a whole job can ask for it."""

STARTED = b"Ray runtime started"
"""What `ray start` prints when the cluster takes drivers."""

HEAD_RESOURCE = "node:__internal_head__"
"""What the Ray node of a cluster's head offers beside its own, and no other does."""

START_COMMAND = (
    "from importlib.metadata import entry_points;"
    "(ray,) = entry_points(group='console_scripts', name='ray');"
    "ray.load()()"
)
"""The console script `ray` for `python -c`: the file `ray` may not lie beside the interpreter."""

SERVE_CONTROLLER = ("SERVE_CONTROLLER_ACTOR", "serve")
"""The actor that runs where Ray Serve does, and its namespace."""


def node_table(address: str) -> list[dict[str, Any]]:
    """What `ray.nodes()` says of the cluster whose head is at `address`, without joining it."""
    from ray._raylet import GcsClientOptions, GlobalStateAccessor  # type: ignore[attr-defined]

    accessor = GlobalStateAccessor(
        GcsClientOptions.create(
            address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
        )
    )
    if not accessor.connect():
        raise ConnectionError(f"no head of a Ray cluster answers at {address}")
    table: list[dict[str, Any]] = accessor.get_node_table()
    return table


def forget_token() -> None:
    """Have Ray read its token anew: it keeps the one of the first cluster that a process joined."""
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

    AuthenticationTokenLoader.instance().reset_cache()
