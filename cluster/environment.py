"""What a cluster's processes and drivers find in their environment: a list of what may pass.

Ray hands its processes the environment of the shell that started it, and a driver reads Ray's own
variables from the shell that it runs in. A proxy, an address or a token that somebody set for
another purpose then stops `deploy`, or a `PYTHONPATH` puts another package before the testbed's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["MARK", "driver_environment", "has_mark", "node_environment"]

MARK = "TESTBED_CLUSTER"
"""in the environment of every process of a cluster, and of no other: what `down` may end"""

NAMES = frozenset({
    "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "SSL_CERT_DIR",
    "SSL_CERT_FILE", "TEMP", "TMP", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV",
})  # fmt: skip
PREFIXES = (
    "COVERAGE_", "CUDA_", "GRB_", "J3O_", "LC_", "MKL_", "NVIDIA_", "OPENBLAS_", "TESTBED_", "XDG_",
)  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")


def node_environment(
    shell: Mapping[str, str], settings: Mapping[str, str], root: str
) -> dict[str, str]:
    """The environment of a cluster's processes: what may pass of `shell`, then `settings`.

    `root` is the folder of the testbed's packages, which comes before all others there.
    """
    passed = {
        name: value for name, value in shell.items() if name in NAMES or name.startswith(PREFIXES)
    }
    return {**passed, **settings, "PYTHONPATH": root}


def has_mark(pid: int, mark: str) -> bool:
    """Whether a process was started with the mark of that cluster, as far as this user may see.

    Its environment is searched as it lies in memory: one that gives itself a title, as Ray's
    agents do, writes over the beginning, where a parser stops.
    """
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended, or is another user's
        return False


def driver_environment(
    shell: Mapping[str, str], settings: Mapping[str, str], hosts: Sequence[str] = ()
) -> dict[str, str]:
    """The environment of a process that connects to a cluster.

    All that `shell` has, but of Ray's variables only `settings`, and with loopback and the
    cluster's `hosts` exempt from whatever proxies it names, which gRPC would otherwise ask for the
    way to 127.0.0.1.
    """
    found = {name: value for name, value in shell.items() if not name.startswith("RAY_")}
    found.update(settings)
    if any(found.get(name) or found.get(name.upper()) for name in PROXIES):
        for name in ("no_proxy", "NO_PROXY"):
            exempt = [host for host in found.get(name, "").split(",") if host.strip()]
            found[name] = ",".join(dict.fromkeys([*exempt, *LOOPBACK, *hosts]))
    return found
