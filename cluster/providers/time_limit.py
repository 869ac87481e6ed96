"""A limit of time for calls that know none, such as Ray's to a head that no longer answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from cluster.providers.state import ClusterError

__all__ = ["calls_abandoned", "within"]

T = TypeVar("T")
_abandoned = threading.Event()


def within(limit_s: float, call: Callable[[], T], late: str) -> T:
    """What `call` returns, or raises, in a thread of its own; Ctrl-C ends the wait.

    Raises `ClusterError` with the words `late` once `limit_s` has passed. The thread then goes on,
    since nothing can end it: a process with such calls must not wait for them when it ends
    (`calls_abandoned`).
    """
    outcome: dict[str, Any] = {}
    done = threading.Event()

    def run() -> None:
        try:
            outcome["value"] = call()
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            outcome["error"] = error
        finally:
            done.set()

    try:
        threading.Thread(target=run, name="time-limit", daemon=True).start()
        ended = done.wait(limit_s)
    except BaseException:
        _abandoned.set()
        raise
    if not ended:
        _abandoned.set()
        raise ClusterError(late)
    if "error" in outcome:
        raise outcome["error"]
    value: T = outcome["value"]
    return value


def calls_abandoned() -> bool:
    """Whether a call of this process was left behind."""
    return _abandoned.is_set()
