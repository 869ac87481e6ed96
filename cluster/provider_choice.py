"""Which provider brings a topology's cluster up: the topology's `provider:` block.

A provider that joins these has a class here, another of `cluster.providers.records` for what it
writes down, and a module of its name in `cluster/providers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, Field, StringConstraints, Tag, TypeAdapter

from cluster.document import FrozenModel
from cluster.errors import InputError, UnknownNameError

__all__ = [
    "PROVIDERS", "AnyChoice", "AttachChoice", "LocalChoice", "NetnsChoice",
    "ProviderChoice", "SshChoice", "SshHost", "choice_of", "kind_in", "own_choice",
]  # fmt: skip

HostAndPort = Annotated[
    str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:\[\]]+):\d{1,5}$")
]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]*$")]
"""an address or a name, which is never taken for an option of `ssh`"""


class LocalChoice(FrozenModel):
    """Every node on this host, on loopback; links are held by the nodes themselves."""

    kind: Literal["local"] = "local"


class NetnsChoice(FrozenModel):
    """Every node on this host, each in a network namespace of its own, with real links."""

    kind: Literal["netns"] = "netns"


class AttachChoice(FrozenModel):
    """A Ray cluster that the user runs; nothing of it is started or stopped."""

    kind: Literal["attach"] = "attach"
    address: HostAndPort
    """HOST:PORT of its head"""
    token_file: Path | None = None
    """with the token that its servers ask for; None where they ask for none"""
    match: dict[str, dict[str, str]] = Field(default_factory=dict)
    """node -> labels of the Ray node that it is placed on; all others by the resource
    `testbed-NODE`"""


class SshHost(FrozenModel):
    """A machine that is reached by ssh."""

    host: Host
    """under which ssh reaches it, and the cluster too unless `address` is given"""
    address: Host | None = None
    """under which the other machines reach it"""
    user: Host | None = None
    """None for whoever ssh takes"""
    port: int | None = Field(default=None, ge=1, le=65535)
    """of its ssh server; None for whichever ssh takes"""
    key: Path | None = None
    """private key file; None for those that ssh takes"""
    python: str = "python3"
    """an interpreter there that has the testbed's packages, such as `~/venv/bin/python`"""
    cpus: int | None = Field(default=None, ge=0)
    """that Ray may count on; None for all there are"""
    nodes: tuple[str, ...] = Field(min_length=1)
    """of the topology, that are placed there"""


class SshChoice(FrozenModel):
    """Machines that are reached by ssh: a Ray node is started on each, its head here."""

    kind: Literal["ssh"] = "ssh"
    head_host: Host
    """this machine's own address, under which the others reach it"""
    ssh_config: Path | None = None
    """a file of ssh's options (`ssh -F`); None for the user's own"""
    machines: dict[str, SshHost] = Field(min_length=1)
    """by a name of the user's"""


C = TypeVar("C")
PROVIDERS = ("local", "netns", "attach", "ssh")
"""the kinds that there are"""


def kind_in(given: Any) -> Any:
    """The `kind` of a block, in a file or of a class here; None if it has none."""
    return given.get("kind") if isinstance(given, Mapping) else getattr(given, "kind", None)


AnyChoice = LocalChoice | NetnsChoice | AttachChoice | SshChoice
ProviderChoice = Annotated[
    Annotated[LocalChoice, Tag("local")]
    | Annotated[NetnsChoice, Tag("netns")]
    | Annotated[AttachChoice, Tag("attach")]
    | Annotated[SshChoice, Tag("ssh")],
    Discriminator(
        kind_in,
        custom_error_type="unknown_kind",
        custom_error_message=f"expected `kind`, one of {', '.join(PROVIDERS)}",
    ),
]


def own_choice(choice: AnyChoice, kind: type[C]) -> C:
    """`choice`, if it is a provider's own. Raises `InputError`."""
    if not isinstance(choice, kind):
        raise InputError(f"a provider was asked to do what {choice.kind} does")
    return choice


def choice_of(
    block: AnyChoice | None,
    kind: str | None = None,
    address: str | None = None,
    token_file: Path | None = None,
) -> AnyChoice:
    """The provider that a topology's `block` names, unless another `kind` was asked for: that one,
    with nothing settled but its kind. `address` and `token_file` go before those of the block.

    Raises `InputError` for a kind that there is not, and for what it needs or does not take.
    """
    named = {"address": address, "token_file": token_file}
    settled = {key: value for key, value in named.items() if value is not None}
    kind = kind or (block.kind if block else None) or ("attach" if settled else "local")
    if kind not in PROVIDERS:
        raise UnknownNameError(f"no provider {kind!r}; providers: {', '.join(PROVIDERS)}")
    if settled and kind != "attach":
        words = " and ".join(f"--{key.replace('_', '-')}" for key in settled)
        raise InputError(
            f"{words}: for a Ray cluster that you run, `--provider attach`, not {kind}"
        )
    given = block.model_dump() if block is not None and block.kind == kind else {"kind": kind}
    if kind == "attach" and "address" not in {**given, **settled}:
        raise InputError(
            "provider attach needs the HOST:PORT of your Ray cluster's head: --address, or "
            "`provider: {kind: attach, address: HOST:PORT}` in the topology"
        )
    if kind == "ssh" and "machines" not in given:
        raise InputError(
            "provider ssh needs the topology to say which machines there are; "
            "docs/cluster.md has an example of its `provider:` block"
        )
    adapter: TypeAdapter[AnyChoice] = TypeAdapter(ProviderChoice)
    try:
        return adapter.validate_python({**given, **settled})
    except ValueError as error:
        [fault, *_] = error.errors() if hasattr(error, "errors") else [{"msg": str(error)}]
        raise InputError(f"provider {kind}: {fault['msg']}") from None
