"""Devices with published times: `published/NAME.yaml`, each with its source and licence."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from cluster.document import Document, FrozenModel
from cluster.errors import UnknownNameError
from cluster.topology import Topology

__all__ = ["NetworkLatency", "PublishedDevice", "device_names", "find_device", "refuse_unpublished"]

FOLDER = Path(__file__).parent / "published"


class NetworkLatency(FrozenModel):
    """What a batch of a network took on the device, as published."""

    network: str = Field(description="its name in timm, which has the same network")
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    batch: int = Field(ge=1)
    latency_s: float = Field(gt=0)


class PublishedDevice(Document):
    """A device, and published times of networks on it by class (`profiling.reference.class_of`)."""

    name: str
    what: str = Field(description="the device, for people")
    precision: str
    source: str
    licence: str
    note: str
    classes: dict[str, tuple[NetworkLatency, ...]]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, rows in self.classes.items():
            for batch in {row.batch for row in rows}:
                if len([row for row in rows if row.batch == batch]) < 2:
                    raise ValueError(
                        f"classes.{name}: batch {batch} has one network; without a second one "
                        "the error of the class is not known"
                    )
        return self

    def batches(self, network_class: str) -> list[int]:
        """Batch sizes with published times, rising."""
        return sorted({row.batch for row in self.classes[network_class]})


def device_names() -> list[str]:
    """Names of the published devices, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@lru_cache
def find_device(name: str) -> PublishedDevice:
    """The published device called `name`. Raises `UnknownNameError` listing the valid names."""
    if name not in device_names():
        raise UnknownNameError(
            f"no published device {name!r}; devices: {', '.join(device_names())}"
        )
    return PublishedDevice.load(FOLDER / f"{name}.yaml")


def refuse_unpublished(topology: Topology) -> None:
    """Raise `UnknownNameError` if a node of `topology` emulates a device that nobody published."""
    for node in topology.nodes:
        if node.emulated and isinstance(node.emulated.emulate, str):
            try:
                find_device(node.emulated.emulate)
            except UnknownNameError as error:
                raise UnknownNameError(f"{node.name}: {error}") from None
