"""Takes a device away from its node and gives it back, as a GPU that falls off its bus.

The device itself stays. What stands between it and the executor raises what a lost device raises,
so that all which follows is the node's own handling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from models.runtime.device_errors import DeviceLostError
from serving.node.device.served import Image, Runtime

__all__ = ["LOST", "DeviceSwitch"]

LOST = "CUDA error: no CUDA-capable device is detected (the device was taken away by a timeline)"


class DeviceSwitch:
    """`lost` may be set at any time, and is read before each load of a model and each batch."""

    def __init__(self) -> None:
        self.lost = False

    def guard(self, load: Callable[[str], Runtime]) -> Callable[[str], Runtime]:
        """`load`, which raises `DeviceLostError` while the device is lost, as do the batches of
        what it loaded."""

        def guarded(model: str) -> Runtime:
            self.check()
            return _Guarded(load(model), self)

        return guarded

    def check(self) -> None:
        """Raise `DeviceLostError` while the device is lost."""
        if self.lost:
            raise DeviceLostError(LOST)


class _Guarded:
    """A runtime on a device that can be taken away."""

    def __init__(self, runtime: Runtime, switch: DeviceSwitch) -> None:
        self._runtime = runtime
        self._switch = switch
        self.weights_bytes = runtime.weights_bytes

    def run(self, images: Image) -> Mapping[str, NDArray[np.generic]]:
        """See `Runtime.run`. A batch that runs while the device goes is lost, too."""
        self._switch.check()
        answers = self._runtime.run(images)
        self._switch.check()
        return answers

    def close(self) -> None:
        """See `Runtime.close`."""
        self._runtime.close()
