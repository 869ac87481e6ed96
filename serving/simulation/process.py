"""The process of a simulated node, as far as signals go: it runs, or it stands still (SIGSTOP)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Process"]


class Process:
    """Runs until `stop`, and again from `go_on`. Who is to be told of either calls `watch`."""

    def __init__(self) -> None:
        self._runs = asyncio.Event()
        self._runs.set()
        self.stands = False
        """whether it stands still"""
        self._watchers: list[Callable[[], None]] = []

    def stop(self) -> None:
        """Stand still; nothing if it does so already."""
        if not self.stands:
            self._runs.clear()
            self.stands = True
            self._tell()

    def go_on(self) -> None:
        """Run again; nothing if it runs already."""
        if self.stands:
            self._runs.set()
            self.stands = False
            self._tell()

    async def running(self) -> None:
        """Wait while it stands still."""
        await self._runs.wait()

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` each time it stops or goes on, in the order of these calls."""
        self._watchers.append(on_change)

    def _tell(self) -> None:
        for on_change in self._watchers:
            on_change()
