"""Traffic beside a drill: a query to each client in turn, and what became of each.

As a script it is a load generator of its own, `python drill_traffic.py URLS PICTURE`: it prints its
counts as JSON when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from serving.system import Answer, Outcome, Query
from serving.traffic.live_system import HttpSystem

__all__ = ["TASKS", "Traffic"]

TASKS = ("depth", "segmentation")
EVERY_S = 0.1


class Traffic:
    """Sends until `finish`, on a thread of its own; `outcomes` counts by client and outcome.

    An outcome is `answered`, `refused`, `unreachable` (no connection, or one that was lost) or
    what else came, in words.
    """

    def __init__(self, urls: Mapping[str, str], picture: bytes) -> None:
        self.sent = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._urls, self._picture = urls, picture
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Send no more, and wait for what is out."""
        self._stopped.set()
        self._thread.join()

    async def _run(self) -> None:
        async with HttpSystem(self._urls, timeout_s=100.0) as system, asyncio.TaskGroup() as out:
            for client, task in itertools.cycle(itertools.product(self._urls, TASKS)):
                if self._stopped.is_set():
                    return
                self.sent += 1
                out.create_task(self._ask(system, client, task))
                await asyncio.sleep(EVERY_S)

    async def _ask(self, system: HttpSystem, client: str, task: str) -> None:
        answer = await system.send(Query(client, task, self._picture))
        self.outcomes[client, _word(answer)] += 1


def _word(answer: Answer) -> str:
    if answer.outcome is Outcome.ANSWERED:
        return "answered"
    if answer.outcome is Outcome.SHED:
        return "refused"
    return answer.reason if answer.reason.startswith("HTTP ") else "unreachable"


def main() -> None:
    """The load generator."""
    traffic = Traffic(json.loads(sys.argv[1]), Path(sys.argv[2]).read_bytes())
    print("begun", flush=True)
    sys.stdin.read()
    traffic.finish()
    print(json.dumps({"sent": traffic.sent, "kept": traffic.outcomes.total()}), flush=True)


if __name__ == "__main__":
    main()
