"""Whom an address lets in, and who answers at one."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

import psutil

__all__ = ["answers_at", "is_loopback", "is_wildcard", "own_address_towards", "own_addresses"]

ANSWER_LIMIT_S = 2.0


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for every address of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def answers_at(address: str) -> bool:
    """Whether a server takes connections at HOST:PORT."""
    host, _, port = address.rpartition(":")
    with suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_LIMIT_S).close()
        return True
    return False


def own_addresses() -> frozenset[str]:
    """All addresses of this machine, loopback too."""
    families = {socket.AF_INET, socket.AF_INET6}
    return frozenset(
        each.address.partition("%")[0]  # without the interface of a link-local one
        for interface in psutil.net_if_addrs().values()
        for each in interface
        if each.family in families
    )


def own_address_towards(host: str) -> str:
    """The address of this machine from which `host` is reached; nothing is sent. Raises `OSError`
    where there is no way to it."""
    family, kind, _, _, end = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(end)
        return str(probe.getsockname()[0])
