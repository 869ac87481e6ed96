"""What a node's process does so that queries do not wait for Python or for each other.

Three things, the first two measured to matter at three times a node's peak:

- Python's collector of cycles. torch, Ray and the models leave half a million objects that live as
  long as the process. A full collection goes through all of them, again and again: it took two
  fifths of the event loop's time, and every query waited for it. `freeze_heap` sets them aside.
- The scheduler. Where the event loop and the device's thread share a core, each query that arrives
  would take the core from the pass that runs, for a tenth of a millisecond of work and a cold cache
  after it. That slowed passes by a third and doubled what a refusal costs. The loop's thread runs
  under SCHED_BATCH: it waits for the device's time slice to end, a few milliseconds, and then
  handles all that has come meanwhile. Where another core is free it runs there at once.
- The interpreter's lock. A thread that decodes a picture keeps it for 5 ms before another one may
  have it; the loop, which has little to do and much that waits for it, would be as late.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

__all__ = [
    "freeze_heap", "schedule_as_batch", "schedule_as_usual", "set_aside_imports",
    "take_short_turns",
]  # fmt: skip

TURN_S = 0.001
"""after which a thread hands over the interpreter's lock to one that waits for it"""

YOUNG_OBJECTS = 50_000
"""made since the last collection, from which on the next is due; Python's default is 700. A full
queue holds some ten thousand, and each collection goes through them: 9 ms of a core"""


def freeze_heap() -> None:
    """Take what is there now out of all later collections.

    To be called once, when the process has started and before models are loaded: what is set aside
    is freed when nothing refers to it, but cycles of it are not found any more, and models come and
    go.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


def set_aside_imports() -> None:
    """The same for what was imported since, in a process that serves: without a collection, which
    would hold up every query for a third of a second."""
    gc.freeze()


def take_short_turns() -> None:
    """Let no thread keep the interpreter's lock for long while another waits for it."""
    sys.setswitchinterval(TURN_S)


def schedule_as_batch() -> None:
    """Let the calling thread, and those it starts, not interrupt others; the event loop's."""
    _schedule("SCHED_BATCH")


def schedule_as_usual() -> None:
    """Let the calling thread interrupt those scheduled as batch; the device's."""
    _schedule("SCHED_OTHER")


def _schedule(policy: str) -> None:
    """Linux only; elsewhere, and where a sandbox forbids it, threads stay as they are."""
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, getattr(os, policy), os.sched_param(0))
