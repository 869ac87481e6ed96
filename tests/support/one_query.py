"""One query of one task, as most tests of an executor ask it."""

from __future__ import annotations

from serving.node.device.executor import Executor
from serving.node.device.served import Image, Served

__all__ = ["submit"]


async def submit(
    executor: Executor, model: str, task: str, image: Image, deadline_s: float | None = None
) -> Served:
    """Queue one query and wait for its answer."""
    return (await executor.submit_all(model, (task,), image, deadline_s))[task]
