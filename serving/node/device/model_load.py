"""Loading a model on a thread, for so long and no longer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from serving.errors import ModelLoadError
from serving.logs.logger import NodeLogger

__all__ = ["LOAD_BOUND_S", "load_in_time"]

LOAD_BOUND_S = 600.0
"""for so long a model may load"""


class _Closable(Protocol):
    def close(self) -> None: ...


M = TypeVar("M", bound=_Closable)


async def load_in_time(load: Callable[[str], M], model: str, log: NodeLogger) -> M:
    """What `load` makes of `model`. Raises what it raises, and `ModelLoadError` if it takes over
    `LOAD_BOUND_S`; what it makes after that, or after its caller was cancelled, is closed."""
    work = asyncio.ensure_future(asyncio.to_thread(load, model))

    def drop_late(work: asyncio.Future[M]) -> None:
        if not work.cancelled() and work.exception() is None:
            log.warning("model %s was loaded after it was given up, and is dropped", model)
            _closing = asyncio.get_running_loop().run_in_executor(None, work.result().close)

    try:
        done, _ = await asyncio.wait({work}, timeout=LOAD_BOUND_S)
    finally:
        if not work.done():  # its thread goes on
            work.add_done_callback(drop_late)
    try:
        if not done:
            raise ModelLoadError(f"model {model} was not loaded within {LOAD_BOUND_S:g} s")
        return work.result()
    except Exception as error:
        # A node whose device is lost tries again every few seconds.
        log.limited(
            logging.ERROR, (model, type(error)), "model %s failed to load", model, exc_info=True
        )
        raise
