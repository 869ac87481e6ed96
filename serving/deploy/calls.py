"""A call on a node whose process may be replaced meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cluster.providers.state import ClusterError

__all__ = ["call_until_answered"]

R = TypeVar("R")


async def call_until_answered(
    call: Callable[[], Awaitable[R]],
    what: str,
    lost: type[Exception],
    *,
    timeout_s: float,
    again_s: float = 0.5,
    clock: Callable[[], float] = time.monotonic,
) -> R:
    """What `call` gives. It is made again, `again_s` later, whenever it ends in `lost`: its node's
    process went away with it.

    Raises `ClusterError`, which says `what` gave no answer, after `timeout_s`, and what else the
    call raises.
    """
    ends_s = clock() + timeout_s
    reason = ""
    while (left_s := ends_s - clock()) > 0:
        try:
            async with asyncio.timeout(left_s):
                return await call()
        except TimeoutError:
            break
        except lost as error:
            reason = f"; its process was lost: {' '.join(str(error).split())[:200]}"
            await asyncio.sleep(again_s)
    raise ClusterError(f"{what} within {timeout_s:g} s{reason}")
