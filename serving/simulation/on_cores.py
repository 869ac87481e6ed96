"""Simulations beside each other, each in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from typing import TypeVar

__all__ = ["map_on_cores"]

A = TypeVar("A")
R = TypeVar("R")


def map_on_cores(
    run: Callable[[A], R], arguments: Sequence[A], workers: int | None = None
) -> list[R]:
    """`run` of each of `arguments`, in their order, whatever the number of `workers`.

    Each worker is a process, one a core unless said otherwise; with one, all run here. A script
    that asks for more has to guard its own start (`if __name__ == "__main__":`), since each worker
    imports it.
    """
    workers = min(len(arguments), workers or len(os.sched_getaffinity(0)))
    if workers <= 1:
        return [run(argument) for argument in arguments]
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_leave_interrupts)
    try:
        return list(pool.map(run, arguments))
    except BaseException:
        for worker in set(active_children()) - others:
            worker.kill()  # else what they have begun would be waited for
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C goes to all processes of a terminal; the one that asked sees to these."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
