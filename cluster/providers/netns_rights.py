"""Whether this process may make network namespaces, and what to do if it may not."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from cluster.extras import install_command
from cluster.providers.state import ClusterError

__all__ = ["RightsError", "check_rights", "missing_rights"]

NEEDED = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
"""capabilities, and their bits (capability.h)"""


class RightsError(ClusterError):
    """The provider cannot do its work here, whatever the topology."""


def missing_rights(status: str) -> tuple[str, ...]:
    """The capabilities that a process lacks, by its /proc/PID/status."""
    line = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    held = int(line.split()[1], 16)
    return tuple(name for name, bit in NEEDED.items() if not held >> bit & 1)


def check_rights() -> None:
    """Raise `RightsError`, in one line, unless namespaces can be made."""
    if not sys.platform.startswith("linux"):
        raise RightsError("provider netns needs Linux; use provider local")
    if find_spec("pyroute2") is None:
        raise RightsError(f"provider netns needs pyroute2; {install_command('netns')}")
    missing = missing_rights(Path("/proc/self/status").read_text())
    if missing:
        raise RightsError(
            f"provider netns makes network namespaces and needs {' and '.join(missing)}; run it as "
            "root, or in a user namespace: unshare --user --map-root-user --net --mount bash, "
            "there `ip link set lo up`"
        )
