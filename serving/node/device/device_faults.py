"""What batches and loads fail with: the decision what follows, without threads or clocks.

Batches that fail one after another mean a broken device. One that says that the device is lost is
enough by itself.
"""

from __future__ import annotations

from models.runtime.device_errors import DeviceLostError
from serving.node.device.device_watch import DeviceHealth

__all__ = ["AWAY_S", "FAILING", "DeviceFaults"]

FAILING = 8
"""batches that failed one after another, from which on the device is taken to be broken"""
AWAY_S = 60.0
"""a process that came up without its device looks for it that long, with every load of a model;
then a new process is to look"""


class DeviceFaults:
    """What became of the batches and loads on a device.

    A process that has worked with a device which is then lost cannot use it again: CUDA says so of
    its context. So a new process is needed. One that never had the device may still find it, and
    serves meanwhile what needs no device: it passes queries on.
    """

    def __init__(self) -> None:
        self._batches = 0
        self._worked = False
        self._lost_s: float | None = None

    @property
    def failing(self) -> bool:
        """Whether batch after batch fails."""
        return self._batches >= FAILING

    @property
    def lost(self) -> bool:
        """Whether the device was found lost, and nothing has worked on it since."""
        return self._lost_s is not None

    def batch_answered(self) -> int:
        """Take in that a batch came back well; how many had failed just before it."""
        failed, self._batches = self._batches, 0
        self.loaded()
        return failed

    def loaded(self) -> None:
        """Take in that a model was loaded, and run warm."""
        self._worked = True
        self._lost_s = None

    def batch_failed(self, error: Exception, now_s: float) -> None:
        """Take in what a batch ended with."""
        self._batches += 1
        self.load_failed(error, now_s)

    def load_failed(self, error: Exception, now_s: float) -> None:
        """Take in what the loading of a model ended with."""
        if isinstance(error, DeviceLostError) and self._lost_s is None:
            self._lost_s = now_s

    def need_new_process(self, health: DeviceHealth, now_s: float) -> bool:
        """Whether a process whose device is in that state should end for another one."""
        if health is not DeviceHealth.LOST or self._lost_s is None:
            return health is not DeviceHealth.WELL
        return self._worked or now_s - self._lost_s >= AWAY_S
