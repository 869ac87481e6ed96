"""A device that is lost: the decision what follows, without threads or clocks."""

from __future__ import annotations

__all__ = ["AWAY_S", "DeviceLoss"]

AWAY_S = 60.0
"""a process that came up without its device looks for it that long, with every load of a model;
then a new process is to look"""


class DeviceLoss:
    """Whether a device is lost, from what became of the batches and loads on it.

    A process that has worked with a device which is then lost cannot use it again: CUDA says so of
    its context. So a new process is needed. One that never had the device may still find it, and
    serves meanwhile what needs no device: it passes queries on.
    """

    def __init__(self) -> None:
        self._worked = False
        self._since_s: float | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the last that was tried met a lost device."""
        return self._since_s is not None

    def works(self) -> None:
        """Take in that a load or a batch came back well."""
        self._worked = True
        self._since_s = None

    def met(self, now_s: float) -> None:
        """Take in that a load or a batch found the device lost."""
        if self._since_s is None:
            self._since_s = now_s

    def needs_new_process(self, now_s: float) -> bool:
        """Whether this process should end, so that another one looks for the device."""
        if self._since_s is None:
            return False
        return self._worked or now_s - self._since_s >= AWAY_S
