"""Planning in a process of its own, so that a solver that hangs or dies cannot end the loop.

One worker process takes one task after another. It is started anew, by `spawn`, so that neither
the threads of Ray nor a device of torch come along; it waits with its kernels compiled. A task that
is not done by its deadline is given up: the worker is killed and another one started.

The worker gives way to everything else on its machine (`give_way`). A plan may come a second later;
a query may not. On two cores that carried five nodes, a worker with the nodes' own priority took a
core for most of the time, and a loop that changed nothing cost a tenth of the answers in time.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from serving.errors import PlanningError

__all__ = ["PlanningProcess", "give_way", "warm_kernels"]

START_LIMIT_S = 90.0
"""of computing, for imports, and for kernels that are compiled for the first time on a machine"""
PATIENCE = 6.0
"""seconds waited in all / seconds that may be computed, after which a worker counts as hung"""
LOOK_S = 0.25
"""between two looks at how long it has computed"""
END_LIMIT_S = 5.0
LOW_PRIORITY = 19
"""as `nice`, the lowest"""
AUTOGROUP = Path("/proc/self/autogroup")
_log = logging.getLogger(__name__)


def warm_kernels() -> None:
    """Compile what `certified` runs on; imported here, since only the worker needs it."""
    from planner.decomposition.first_calls import compile_kernels

    compile_kernels()


class PlanningProcess:
    """Calls `task` in the worker; callable like it, or with `begin` and `outcome`, without waiting.
    Use from one thread at a time.

    A task may compute for `limit_s` seconds, and take `PATIENCE` times as long on a busy machine.
    `task` and `warm` must be functions of a module, since the worker imports them by name.
    """

    def __init__(
        self,
        task: Callable[..., Any],
        limit_s: float,
        warm: Callable[[], None] = warm_kernels,
    ) -> None:
        self._task = task
        self._limit_s = limit_s
        self._warm = warm
        self._worker: BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        self._ready = False
        self._arguments: tuple[object, ...] | None = None
        """of a task that is begun, and not sent yet: the worker still starts"""
        self._in_flight = False
        """whether a task was sent whose outcome was not received"""
        self._begun_s = self._computed_before_s = 0.0
        self.start()

    def start(self) -> None:
        """Start the worker if none runs; does not wait for it."""
        if self._worker is not None:
            return
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._worker = context.Process(
            target=_work, args=(theirs, self._task, self._warm), name="planning", daemon=True
        )
        self._worker.start()
        theirs.close()  # else the end of the worker would not show
        self._ready = False

    @property
    def pid(self) -> int | None:
        """The worker's process id; None where none runs."""
        return self._worker.pid if self._worker else None

    def __call__(self, *arguments: object) -> Any:
        """`task(*arguments)`. Raises `PlanningError` when the worker fails, dies or is too slow;
        the next call finds a new one."""
        self.begin(*arguments)
        while (answer := self._answer(LOOK_S)) is None:
            pass
        return answer[0]

    def begin(self, *arguments: object) -> None:
        """Start `task(*arguments)`, after what was begun before, whose outcome is dropped."""
        self.start()
        self._arguments = arguments
        self._begun_s, self._computed_before_s = time.monotonic(), 0.0
        if self._ready:
            with suppress(EOFError):  # it has died, which shows when the task is sent
                self._computed_before_s = self._computed_s()

    def outcome(self) -> Any:
        """What the task returned; None while it runs. Raises `PlanningError` as a call does."""
        answer = self._answer(0.0)
        return None if answer is None else answer[0]

    def close(self) -> None:
        """End the worker."""
        self._end()

    def _answer(self, wait_s: float) -> tuple[Any] | None:
        """What the task returned, in a tuple; None if it has not within `wait_s`."""
        try:
            if self._arguments is not None and not self._sent(wait_s):
                return None
            received = self._received(wait_s, self._limit_s, "found no plan")
        except (EOFError, OSError):
            code = self._end()
            self.start()
            raise PlanningError(f"the planning process died (exit code {code})") from None
        if received is None:
            return None
        done, outcome = received
        if not done:
            raise PlanningError(f"planning failed: {outcome}")
        return (outcome,)

    def _sent(self, wait_s: float) -> bool:
        """Send the task to the worker once that is ready, and say whether it was."""
        if not self._ready:
            if self._received(wait_s, START_LIMIT_S, "did not start") is None:
                return False
            self._ready = True
        if self._in_flight and self._received(wait_s, self._limit_s, "found no plan") is None:
            return False
        assert self._connection is not None
        self._connection.send(self._arguments)
        self._arguments, self._in_flight = None, True
        self._begun_s, self._computed_before_s = time.monotonic(), self._computed_s()
        return True

    def _received(self, wait_s: float, limit_s: float, what: str) -> tuple[bool, Any] | None:
        """What the worker sends; None if nothing within `wait_s`. Raises `PlanningError` once it
        has computed for `limit_s`."""
        assert self._connection is not None
        if self._connection.poll(wait_s):
            answer: tuple[bool, Any] = self._connection.recv()
            self._in_flight = False
            return answer
        spent_s = self._computed_s() - self._computed_before_s
        waited_s = time.monotonic() - self._begun_s
        if spent_s <= limit_s and waited_s <= PATIENCE * limit_s:
            return None
        self._end()
        self.start()
        raise PlanningError(
            f"the planning process {what} in {waited_s:.0f} s, of which it computed for "
            f"{spent_s:.0f} s; it was killed and started anew"
        )

    def _computed_s(self) -> float:
        """CPU seconds of the worker so far. Raises `EOFError` if it has died."""
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error as error:
            raise EOFError from error
        return float(times.user + times.system)

    def _end(self) -> int | None:
        """Kill the worker; its exit code."""
        if self._worker is None:
            return None
        self._worker.kill()
        self._worker.join(END_LIMIT_S)
        code = self._worker.exitcode
        if self._connection is not None:
            self._connection.close()
        self._worker = self._connection = self._arguments = None
        self._in_flight = False
        return code


def give_way() -> None:
    """Let every other process of the machine go first; what they leave is this one's.

    Linux lets an idle process run only where no other wants to, and interrupts it at once for one
    that does. But it shares a core between sessions first (its "autogroup"), and the nodes are
    sessions of their own. So the worker becomes a session too, with the lowest weight. Elsewhere,
    and where a sandbox forbids it, `nice` alone must do.
    """
    with suppress(OSError):
        os.setsid()
    with suppress(OSError):
        os.nice(LOW_PRIORITY)
    with suppress(OSError):
        AUTOGROUP.write_text(str(LOW_PRIORITY))
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _work(
    connection: Connection[Any, Any], task: Callable[..., Any], warm: Callable[[], None]
) -> None:
    """The worker's whole life: warm up, then answer until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the loop, which ends the worker
    give_way()
    warm()
    connection.send((True, None))
    while True:
        try:
            arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = (True, task(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever it was, the loop must hear of it
            _log.exception("planning failed")
            answer = (False, f"{type(error).__name__}: {error}")
        try:
            connection.send(answer)
        except OSError:
            return
