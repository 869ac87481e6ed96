"""What a node needs of its device: the real one (`Executor`) or a simulated one."""

from __future__ import annotations

from math import inf
from typing import Protocol

from serving.errors import RefusedError
from serving.node.device.device_watch import DeviceHealth
from serving.node.device.served import Image, Served

__all__ = ["Device"]


class Device(Protocol):
    """Models, their queues, and what runs them."""

    busy_s: float
    """device seconds spent on batches so far"""
    batches: int
    """batches that were answered so far"""

    @property
    def late_batches(self) -> int:
        """Batches that came later than from the device that is emulated; 0 where none is."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that are loaded and not about to go."""
        ...

    @property
    def health(self) -> DeviceHealth:
        """Whether the device answers."""
        ...

    @property
    def waiting(self) -> dict[str, int]:
        """Queries queued, by loaded model."""
        ...

    async def load(self, model: str) -> float:
        """Load and warm `model` unless it is there; returns the seconds it took."""
        ...

    async def unload(self, model: str) -> float:
        """Take no more queries of `model`, let those here finish, then free it; returns the
        seconds it took."""
        ...

    def refusal(self, model: str, deadline_s: float = inf) -> RefusedError | None:
        """What a query that arrived now would be refused with; None if it would be queued."""
        ...

    async def submit_all(
        self, model: str, tasks: tuple[str, ...], image: Image, deadline_s: float | None = None
    ) -> dict[str, Served]:
        """Queue one image for `tasks` of `model`, which share a pass, and wait for the answers.

        Raises `RefusedError`. `deadline_s` is on the node's clock.
        """
        ...

    def close(self) -> None:
        """Stop; queries still queued are refused."""
        ...
