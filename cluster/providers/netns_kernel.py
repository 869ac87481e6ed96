"""Network namespaces, interfaces and token buckets, made and removed through netlink.

Needs CAP_SYS_ADMIN (to make and mount namespaces) and CAP_NET_ADMIN. What enters a namespace is
done in a process of its own (`python -m cluster.providers.netns_kernel`, the layout on its standard
input): pyroute2 forks there, and a fork of a command would have the command's handlers of signals,
which clean up. That process has the cluster's mark, so `down` ends it as well.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetNS, netns
from pyroute2.netlink.exceptions import NetlinkError

from cluster.providers.netns_layout import CONTROL, Layout, NodeSpace, Shaping
from cluster.providers.state import ClusterError

__all__ = ["build", "mounts_below", "remove", "shape"]

GONE = (errno.ENODEV, errno.ENOENT, errno.EINVAL)
BUCKET = 0x10000
"""handle of the token bucket, the root of its interface"""


def build(layout: Layout, environment: Mapping[str, str]) -> None:
    """Make all of `layout`. Raises `ClusterError`, and leaves what it has made by then."""
    made = subprocess.run(
        [sys.executable, "-m", "cluster.providers.netns_kernel"], input=layout.model_dump_json(),
        env=dict(environment), start_new_session=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        words = made.stderr.strip().splitlines() or [f"exit status {made.returncode}"]
        raise ClusterError(words[-1])


def _build(layout: Layout) -> None:
    for space in layout.spaces:
        with _told(f"namespace {space.path}"):
            space.path.parent.mkdir(mode=0o700, exist_ok=True)
            netns.create(str(space.path))
            if space.path not in mounts_below(space.path.parent):
                raise OSError(errno.EPERM, "it cannot be mounted")
    with IPRoute() as host:
        with _told(f"bridge {layout.bridge}"):
            host.link("add", ifname=layout.bridge, kind="bridge")
            _address(host, layout.bridge, layout.head_host, layout.prefix_bits)
        bridge = _index(host, layout.bridge)
        for space in layout.spaces:
            with _told(f"interface {space.port}"):
                far = {"ifname": CONTROL, "net_ns_fd": str(space.path)}
                host.link("add", ifname=space.port, kind="veth", peer=far)
                host.link("set", index=_index(host, space.port), master=bridge, state="up")
    for space in layout.spaces:
        with _told(f"the addresses of {space.node}"):
            _settle(layout, space)


def _settle(layout: Layout, space: NodeSpace) -> None:
    """Make what lies in one namespace, and the links that begin there."""
    with NetNS(str(space.path)) as inside:
        inside.link("set", index=_index(inside, "lo"), state="up")
        _address(inside, CONTROL, space.host, layout.prefix_bits)
        for link in layout.links:
            if link.source == space:
                far = {"ifname": link.interface, "net_ns_fd": str(link.target.path)}
                inside.link("add", ifname=link.interface, kind="veth", peer=far)
                _address(inside, link.interface, link.source_host, 30)
                shape(inside, link.interface, link.shaping)
                with NetNS(str(link.target.path)) as above:
                    _address(above, link.interface, link.target_host, 30)
                    shape(above, link.interface, link.shaping)


def shape(space: Any, interface: str, shaping: Shaping) -> None:
    """Have what leaves through `interface` of a namespace (an open `NetNS`) be paced."""
    space.tc(
        "replace", "tbf", index=_index(space, interface), handle=BUCKET,
        rate=f"{round(shaping.rate_bytes_per_s * 8)}bit",
        burst=shaping.burst_bytes, limit=shaping.queue_bytes,
    )  # fmt: skip


def remove(bridge: str, ports: Collection[str], folder: Path) -> None:
    """Take away the interfaces of these names, and the namespaces that are mounted in `folder`.
    What is not there is no fault."""
    with IPRoute() as host:
        for name in (*ports, bridge):
            with _absent():
                for index in host.link_lookup(ifname=name):
                    host.link("del", index=index)
    # The folder itself is among them: it is mounted on itself, so that what is mounted in it later
    # is seen wherever it is.
    for path in reversed(mounts_below(folder)):
        netns._get_libc().umount2(os.fsencode(path), netns.MNT_DETACH)
    shutil.rmtree(folder, ignore_errors=True)


def mounts_below(folder: Path) -> list[Path]:
    """What is mounted at `folder` and below it, in the order in which it was."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(line.split()[4]) for line in lines]
    return [point for point in points if point.is_relative_to(folder)]


def _address(space: Any, interface: str, address: str, prefix_bits: int) -> None:
    index = _index(space, interface)
    space.addr("add", index=index, address=address, prefixlen=prefix_bits)
    space.link("set", index=index, state="up")


def _index(space: Any, interface: str) -> int:
    found = space.link_lookup(ifname=interface)
    if not found:
        raise OSError(errno.ENODEV, f"there is no interface {interface}")
    return int(found[0])


@contextmanager
def _absent() -> Iterator[None]:
    """What has gone meanwhile need not be removed."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in GONE:
            raise


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Raise `ClusterError` for what the kernel refuses."""
    try:
        yield
    except NetlinkError as error:
        reason = os.strerror(error.code)
        raise ClusterError(f"the kernel did not make {what}: {reason}") from None
    except OSError as error:
        raise ClusterError(f"the kernel did not make {what}: {error.strerror or error}") from None


def main() -> int:
    """Make the layout that standard input has."""
    try:
        _build(Layout.model_validate_json(sys.stdin.read()))
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
