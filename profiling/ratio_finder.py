"""The ratio of every device that the nodes on one piece of hardware emulate, found once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cluster.errors import InputError
from cluster.topology import Node
from models.zoo.cards import ModelCard
from profiling.device_ratio import DeviceRatio, published_ratio, stated_ratio
from profiling.published import NetworkLatency, PublishedDevice, find_device

__all__ = ["RatioFinder"]


class RatioFinder:
    """Of `nodes`, which share the hardware, how many times as long as it their devices take.

    `class_of` says what kind of network a model is, `host_latency_s` what the hardware takes for a
    batch of a published network. Both take their time, so they are asked only where a published
    device is emulated, and once.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        class_of: Callable[[ModelCard], str],
        host_latency_s: Callable[[NetworkLatency], float],
    ) -> None:
        self._max_batch = max(node.max_batch for node in nodes)
        self._class_of = class_of
        self._host_latency_s = host_latency_s
        self._classes: dict[str, str] = {}
        self._found: dict[tuple[str, str], DeviceRatio] = {}

    def find(self, node: Node, card: ModelCard) -> DeviceRatio:
        """The ratio for a model on the device that `node` emulates. Raises `InputError` where the
        device is the faster one, or has no published times of networks such as this."""
        assert node.emulated is not None
        named = node.emulated.emulate
        if not isinstance(named, str):
            return stated_ratio(named.slower_than_here)
        device = find_device(named)
        if card.name not in self._classes:
            self._classes[card.name] = self._class_of(card)
        network_class = self._classes[card.name]
        if network_class not in device.classes:
            raise InputError(
                f"{node.name} cannot emulate {named}: {card.name} is of class {network_class}, "
                f"and the published times are of {', '.join(device.classes)}"
            )
        key = (named, network_class)
        if key not in self._found:
            self._found[key] = self._measure(device, network_class, node)
        return self._found[key]

    def _measure(self, device: PublishedDevice, network_class: str, node: Node) -> DeviceRatio:
        smallest, *larger = device.batches(network_class)
        host_s: dict[NetworkLatency, float] = {}
        for batch in (smallest, *(size for size in larger if size <= self._max_batch)):
            rows = [row for row in device.classes[network_class] if row.batch == batch]
            host_s |= {row: self._host_latency_s(row) for row in rows}
            times = published_ratio(device, network_class, host_s).at(batch)
            if times < 1:  # before larger batches are timed, which takes long
                raise InputError(
                    f"{node.name} cannot emulate {device.name}: for {network_class} networks in "
                    f"batches of {batch} it takes {times:.2g} of this host's time; name a slower "
                    "device, or run it on a faster host"
                )
        return published_ratio(device, network_class, host_s)
