"""Two machines as far as a network can tell: namespaces of this host, each with a server of ssh."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.specs import SPECS
from support.namespaces import NEEDS_NETNS

__all__ = ["NEEDS_LAB", "Lab", "lab_of"]

NETWORK = f"10.77.{os.getpid() % 250}"
"""of this process, so that two may have a lab at the same time"""
SSHD = Path("/usr/sbin/sshd")
NEEDS_LAB = [
    NEEDS_NETNS,
    pytest.mark.skipif(
        not SSHD.exists() and "TESTBED_CI" not in os.environ,
        reason="openssh-server is not installed: `make system`",
    ),
    pytest.mark.xdist_group("namespaces"),
]


@dataclass
class Lab:
    """`addresses` are those of the machines, `here` is this host's towards them."""

    folder: Path
    addresses: tuple[str, ...] = (f"{NETWORK}.1", f"{NETWORK}.2")
    here: str = f"{NETWORK}.254"
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh.conf"

    def within(self, index: int, *command: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on a machine."""
        return subprocess.run(
            ["ip", "netns", "exec", _name(index), *command],
            capture_output=True, text=True, check=True, **more,
        )  # fmt: skip

    def serve_ssh(self) -> None:
        """Start the servers; `ssh_config` says how they are reached."""
        for name in ("host", "user"):
            key = str(self.folder / name)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        public = " ".join((self.folder / "host.pub").read_text().split()[:2])
        known = "".join(f"{address} {public}\n" for address in self.addresses)
        (self.folder / "known").write_text(known)
        (self.folder / "sshd.conf").write_text(
            f"HostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/user.pub\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n"
        )
        self.ssh_config.write_text(
            f"UserKnownHostsFile {self.folder}/known\nIdentityFile {self.folder}/user\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        for index, address in enumerate(self.addresses):
            listen = f"ListenAddress={address}"
            self.servers.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", _name(index), str(SSHD), "-D", "-e",
                     "-f", str(self.folder / "sshd.conf"), "-o", listen],
                    stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip
        for index, address in enumerate(self.addresses):
            limit_s = time.monotonic() + 10
            while not self.within(index, "ss", "-tlnH", "src", f"{address}:22").stdout:
                assert time.monotonic() < limit_s, f"no server of ssh on {address}"
                time.sleep(0.05)

    def topology(self, provider: Mapping[str, Any], name: str = "topology.yaml") -> Path:
        """The demo's, with this block."""
        content = yaml.safe_load((SPECS / "demo.yaml").read_text())
        path = self.folder / name
        path.write_text(yaml.safe_dump({**content, "provider": dict(provider)}))
        return path


@contextmanager
def lab_of(folder: Path) -> Iterator[Lab]:
    """The machines, which go with all that runs there."""
    lab = Lab(folder)
    bridge = f"lab{os.getpid()}"[:15]
    _ip("link", "add", bridge, "type", "bridge")
    try:
        _ip("address", "add", f"{lab.here}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for index, address in enumerate(lab.addresses):
            name, near = _name(index), f"{bridge[:13]}-{index}"
            _ip("netns", "add", name)
            _ip("link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", near, "master", bridge, "up")
            for words in (
                ("address", "add", f"{address}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", name, *words)
        yield lab
    finally:
        for server in lab.servers:
            server.kill()
            server.wait(10)
        for index in range(len(lab.addresses)):  # a namespace lives on with what runs in it
            _ip("link", "delete", f"{bridge[:13]}-{index}", check=False)
            _ip("netns", "delete", _name(index), check=False)
        _ip("link", "delete", bridge, check=False)


def _name(index: int) -> str:
    return f"lab{os.getpid()}-{index}"


def _ip(*words: str, check: bool = True) -> None:
    command: Sequence[str] = ["ip", *words]
    subprocess.run(command, check=check, capture_output=True)
