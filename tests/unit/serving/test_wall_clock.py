"""The time of day, which jumps: who reads it, and that nothing rests on it."""

from __future__ import annotations

import asyncio
import re

import pytest

from serving.wall_clock import WallClock
from support.node_fakes import ONLY_EDGE, hierarchy, image, models, put_in_force
from support.paths import ROOT

READERS = {
    "cluster/provenance.py": "when a file was made: for people",
    "cluster/providers/local.py": "when a cluster came up: for people",
    "cluster/providers/attach.py": "the same",
    "cluster/providers/netns.py": "the same",
    "cluster/providers/ssh.py": "the same",
    "serving/cli/cluster_verbs.py": "how long ago a live loop ended: for people",
    "serving/cli/exits.py": "the name of a file with an error: for people",
    "serving/cli/profile_verb.py": "when profiling began: for people",
    "serving/deploy/profile_bench.py": "when a model was measured: for people",
    "serving/runs/run_folder.py": "when runs and files were made: which run is the newest",
    "serving/tracing/node_tracing.py": "the dates of spans: for people",
    "serving/wall_clock.py": "of nodes: the times of log lines, and the statistics of a door",
}
"""files of the packages that ask for the time of day, and what for"""


ASKS = re.compile(
    r"\btime\.(time|time_ns|localtime|gmtime)\b"
    r"|\bdatetime\.(now|utcnow)\b"
    r"|\bdate\.today\b"
    r"|^from time import .*\b(time|time_ns)\b",
    re.MULTILINE,
)


def test_nothing_but_labels_for_people_rests_on_the_time_of_day() -> None:
    """Deadlines, leases, health, budgets and logs count on clocks that only rise, or on none."""
    rooms = ("cluster", "models/runtime", "planner", "serving")
    asking = {
        str(path.relative_to(ROOT))
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        if ASKS.search(path.read_text())
    }
    assert asking == READERS.keys()


def test_a_clock_that_is_set_by_hand_is_ahead_by_so_much() -> None:
    clock = WallClock(lambda: 1_000.0)
    clock.ahead_s = -3_600.0
    assert clock() == 1_000.0 - 3_600.0


@pytest.mark.parametrize("by_s", [86_400.0, -86_400.0])
def test_queries_with_deadlines_are_answered_as_before_when_a_nodes_clock_jumps(
    by_s: float,
) -> None:
    async def scenario() -> list[str]:
        async with hierarchy(models()) as (client, servers):
            await put_in_force(servers, routes=ONLY_EDGE)
            ways = []
            for jumping in ("client", "edge"):
                out = asyncio.ensure_future(client.answer("depth", image(1), deadline_s=None))
                servers[jumping].set_clock(by_s)
                deadline_s = client._clock() + 5.0
                ways.append((await out).target.node)
                later = await client.answer("depth", image(1), deadline_s=deadline_s)
                ways.append(later.target.node)
            return ways

    assert asyncio.run(asyncio.wait_for(scenario(), 20)) == ["edge"] * 4
