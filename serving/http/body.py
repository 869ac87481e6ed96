"""A request's body out of the parts in which it came."""

from __future__ import annotations

import asyncio

from serving.http.exchange import Body

__all__ = ["joined"]

LONG_BYTES = 2**20
"""of a body that a thread joins, which takes a millisecond or two for each MiB; from here on
`bytes.join` lets go of the interpreter's lock"""


async def joined(parts: list[bytes], start: int = 0) -> Body:
    """What stands in `parts` from `start` on. No other request waits until a long one is joined."""
    if len(parts) == 1:
        body: Body = parts[0]
    elif sum(map(len, parts)) < LONG_BYTES:
        body = b"".join(parts)
    else:
        body = await asyncio.get_running_loop().run_in_executor(None, b"".join, parts)
    return memoryview(body)[start:] if start else body
