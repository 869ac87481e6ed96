"""What a node computes on: a device of its host, or one that the host emulates.

An emulated device gives the host's answers at the time when the device would have had them. One
that is emulated on `none` gives zeros at that time: nothing computes them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from cluster.document import FrozenModel, shape_tag

__all__ = ["NOTHING", "Device", "EmulatedDevice", "HostDevice", "SlowerThanHere"]

NOTHING = "none"
"""in the place of a device of the host: nothing of it computes"""


def _check_host_device(name: str) -> str:
    if not re.fullmatch(r"cpu|cuda:(\d+|(GPU|MIG)-[0-9A-Za-z/-]+)", name, re.ASCII):
        raise ValueError(
            "expected cpu or cuda:0, cuda:1, ..., or cuda:UUID as `testbed devices` has it; "
            "{emulate: NAME} for another device"
        )
    return name


def _check_computing(name: str) -> str:
    return name if name == NOTHING else _check_host_device(name)


HostDevice = Annotated[str, AfterValidator(_check_host_device)]
Computing = Annotated[str, AfterValidator(_check_computing)]
PublishedName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]


class SlowerThanHere(FrozenModel):
    """A device that takes `slower_than_here` times as long as the host for every batch."""

    slower_than_here: float = Field(gt=1, le=1000)

    def __str__(self) -> str:
        return f"{self.slower_than_here:g} times slower than here"


class EmulatedDevice(FrozenModel):
    """A device that `on` of the host emulates; `emulate` is a factor, or the name of a file of
    `profiling/published`."""

    emulate: Annotated[
        Annotated[PublishedName, Tag(shape_tag("name"))]
        | Annotated[SlowerThanHere, Tag(shape_tag("factor"))],
        Discriminator(lambda given: shape_tag("factor" if _has_keys(given) else "name")),
    ]
    on: Computing = "cpu"

    @model_validator(mode="after")
    def _has_a_time(self) -> Self:
        if self.on == NOTHING and not isinstance(self.emulate, str):
            raise ValueError(
                "`on: none` computes nothing, so nothing can be `slower_than_here`; name a "
                "published device"
            )
        return self

    @property
    def host_share(self) -> float:
        """Seconds that the host computes in a second of the device; 0 of a published one, where
        only profiles say it."""
        return 0.0 if isinstance(self.emulate, str) else 1.0 / self.emulate.slower_than_here

    def __str__(self) -> str:
        return f"{self.emulate}, on {self.on}"


def _has_keys(given: Any) -> bool:
    return isinstance(given, dict | FrozenModel)


Device = Annotated[
    Annotated[HostDevice, Tag(shape_tag("host"))]
    | Annotated[EmulatedDevice, Tag(shape_tag("emulated"))],
    Discriminator(lambda given: shape_tag("emulated" if _has_keys(given) else "host")),
]
