"""Which provider brings a topology's cluster up: the topology's `provider:` block.

A provider that joins these has a class here, another of `cluster.providers.records` for what it
writes down, and a module of its name in `cluster/providers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, TypeAdapter

from cluster.document import FrozenModel

__all__ = ["PROVIDERS", "LocalChoice", "NetnsChoice", "ProviderChoice", "choice_of", "kind_in"]


class LocalChoice(FrozenModel):
    """Every node on this host, on loopback; links are held by the nodes themselves."""

    kind: Literal["local"] = "local"


class NetnsChoice(FrozenModel):
    """Every node on this host, each in a network namespace of its own, with real links."""

    kind: Literal["netns"] = "netns"


PROVIDERS = ("local", "netns")
"""the kinds that there are"""


def kind_in(given: Any) -> Any:
    """The `kind` of a block, in a file or of a class here; None if it has none."""
    return given.get("kind") if isinstance(given, Mapping) else getattr(given, "kind", None)


AnyChoice = LocalChoice | NetnsChoice
ProviderChoice = Annotated[
    Annotated[LocalChoice, Tag("local")] | Annotated[NetnsChoice, Tag("netns")],
    Discriminator(
        kind_in,
        custom_error_type="unknown_kind",
        custom_error_message=f"expected `kind`, one of {', '.join(PROVIDERS)}",
    ),
]


def choice_of(block: AnyChoice | None, kind: str | None = None) -> AnyChoice:
    """The provider that a topology's `block` names, unless another `kind` was asked for: that one,
    with nothing settled but its kind. Raises `ValueError` for a kind that there is not."""
    if block is not None and kind in (None, block.kind):
        return block
    adapter: TypeAdapter[AnyChoice] = TypeAdapter(ProviderChoice)
    return adapter.validate_python({"kind": kind or "local"})
