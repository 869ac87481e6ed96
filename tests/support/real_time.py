"""Tests in real time on a machine that others use, too: when a failure says nothing.

A drill over loopback asserts that something happened within so many milliseconds. Where the whole
process stood still for as long, because other jobs had the cores, its failure says nothing of the
code. So a test marked `real_time` that fails after such a stall runs again, `TRIES` times in all;
one that fails on a quiet machine fails at once. What ran again is listed at the end of the run.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import pytest

__all__ = ["MARK", "StallWatch", "call_in_real_time"]

MARK = "real_time"
TRIES = 4
STALL_S = 0.01
BEAT_S = 0.002


class StallWatch:
    """How long this process stood still, at most, while the context was open: `longest_s`."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        before_s = time.monotonic()
        while not self._ended.wait(BEAT_S):
            now_s = time.monotonic()
            self.longest_s = max(self.longest_s, now_s - before_s - BEAT_S)
            before_s = now_s


def call_in_real_time(
    item: pytest.Function, new_watch: Callable[[], StallWatch] = StallWatch
) -> None:
    """Call the test of `item`, again after a failure with a stall; raises what the last one did."""
    wanted = inspect.signature(item.obj).parameters
    arguments = {name: value for name, value in item.funcargs.items() if name in wanted}
    for left in reversed(range(TRIES)):
        watch = new_watch()
        try:
            with watch:
                item.obj(**arguments)
        except (Exception, pytest.fail.Exception) as error:
            if not left or watch.longest_s < STALL_S:
                raise
            said = f"stood still for {1e3 * watch.longest_s:.0f} ms: {error!s:.80}"
            item.user_properties.append((MARK, said.splitlines()[0]))
        else:
            return
