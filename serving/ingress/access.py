"""Where the doors of a client node listen, and who may enter."""

from __future__ import annotations

import hmac
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.addresses import is_loopback
from cluster.errors import InputError
from serving.http.limits import Limits

__all__ = ["DoorConfig", "read_door"]

SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class DoorConfig:
    """Where a client node's doors listen, and the token that callers must bring, if any.

    Raises `InputError` for an address that others can reach without a token.
    """

    host: str = "127.0.0.1"
    token: str | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)
    access_log: bool = False
    """whether each request is written to the access log"""
    private: bool = False
    """whether only this machine reaches `host`, which is not loopback all the same"""

    def at(self, own_host: str, *, private: bool) -> DoorConfig:
        """The same doors at a node whose own address is `own_host`, unless they were to listen
        somewhere else than on loopback. `private`: only this machine reaches that address. Raises
        `InputError` as the class does."""
        if not is_loopback(self.host) or is_loopback(own_host):
            return self
        return replace(self, host=own_host, private=private)

    def __post_init__(self) -> None:
        if self.token is None:
            if not (self.private or is_loopback(self.host)):
                raise InputError(
                    f"listening on {self.host} lets others in and needs a token: name a file that "
                    "holds one (--token-file), or listen on 127.0.0.1"
                )
        elif len(self.token) < SHORTEST_TOKEN or not self.token.isascii():
            raise InputError(f"the token needs at least {SHORTEST_TOKEN} ASCII characters")

    def admits(self, authorization: bytes | None) -> bool:
        """Whether an `Authorization` header (`Bearer TOKEN`) opens the door."""
        if self.token is None:
            return True
        scheme, _, token = (authorization or b"").strip().partition(b" ")
        known = hmac.compare_digest(token.strip(), self.token.encode())
        return known and scheme.lower() == b"bearer"  # a scheme's case means nothing


def _try_address(host: str) -> None:
    """Raise `InputError` unless a server of this machine can listen on `host`."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with socket.socket(found[0][0], socket.SOCK_STREAM) as tried:
            tried.bind(found[0][4])
    except OSError as error:
        raise InputError(
            f"--listen {host}: no server can listen there: {error.strerror or error}; name an "
            "address of this machine, or 0.0.0.0 for all of them"
        ) from None


def read_door(
    host: str | None, token_file: Path | None, access_log: bool = False
) -> DoorConfig | None:
    """The doors of a command's options; None if it has none. Raises `InputError`."""
    if host is None and token_file is None and not access_log:
        return None
    if host is not None:
        _try_address(host)
    if token_file is None:
        return DoorConfig(host or DoorConfig.host, access_log=access_log)
    try:
        token = token_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(
            f"--token-file: the token file cannot be read: {token_file}: {reason}"
        ) from None
    try:
        return DoorConfig(host or DoorConfig.host, token, access_log=access_log)
    except InputError as error:
        raise InputError(f"--token-file: {token_file}: {error}") from None
