"""What a device tells whoever counts: each event once, on the node's event loop, in seconds.

A device calls its observer between two turns of the loop, so a method must return at once and must
not raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from serving.node.device.device_watch import DeviceHealth

__all__ = ["SILENT_DEVICE", "DeviceObserver", "SilentDeviceObserver"]


class DeviceObserver(Protocol):
    """The events of one device."""

    def on_batch(
        self,
        model: str,
        size: int,
        release: str,
        queue_s: Sequence[float],
        batch_wait_s: float,
        compute_s: float,
    ) -> None:
        """A batch of `size` images came back from the device.

        `release` says why it closed (`batching.Release`), `queue_s` how long each of its queries
        waited for that, `batch_wait_s` how long the closed batch waited for the device.
        """
        ...

    def on_load(self, model: str, spent_s: float) -> None:
        """A model was loaded and warmed."""
        ...

    def on_unload(self, model: str, spent_s: float) -> None:
        """A model's last queries were answered and it was freed."""
        ...

    def on_device(self, health: DeviceHealth) -> None:
        """The device was found to be otherwise than before."""
        ...


class SilentDeviceObserver:
    """Looks away."""

    def on_batch(
        self,
        model: str,
        size: int,
        release: str,
        queue_s: Sequence[float],
        batch_wait_s: float,
        compute_s: float,
    ) -> None:
        """Nothing."""

    def on_load(self, model: str, spent_s: float) -> None:
        """Nothing."""

    def on_unload(self, model: str, spent_s: float) -> None:
        """Nothing."""

    def on_device(self, health: DeviceHealth) -> None:
        """Nothing."""


SILENT_DEVICE: DeviceObserver = SilentDeviceObserver()
"""of a device that nobody watches"""
