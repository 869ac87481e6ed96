"""Signals that come in the middle of what must not be left half done."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["finish_first"]

_log = logging.getLogger(__name__)


@contextmanager
def finish_first(what: str) -> Iterator[None]:
    """SIGINT and SIGTERM wait until the block ends, and then do what they did before.

    A second one ends the block at once, as `KeyboardInterrupt`. In any thread but the main one,
    where Python allows no handlers, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt
        _log.warning("%s: %s is finished first", signal.Signals(number).name, what)

    former = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if len(came) == 1:
            signal.raise_signal(came[0])
