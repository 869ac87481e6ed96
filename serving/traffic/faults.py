"""The events of a timeline that break or mend something, fired at their times beside the traffic.

Who does it is behind `FaultInjector`: signals to processes on this host, or a simulated system.
Loads are scaled in the schedule (`serving.traffic.schedule`), so nobody fires those.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from cluster.errors import InputError
from cluster.timeline import Controller, TimelineEvent

__all__ = ["EVERY_FAULT", "FaultInjector", "fire", "fire_timeline", "refuse_unsupported"]

IN_SCHEDULE = "scale_load"
EVERY_FAULT = frozenset(
    {"cut_link", "silence_link", "restore_link", "slow_link"}
    | {"kill_node", "stop_node", "resume_node", "slow_node"}
    | {"lose_device", "restore_device", "jump_clock", "kill_controller"}
)
"""the events that an injector may bring about, by name"""
_log = logging.getLogger(__name__)


class FaultInjector(Protocol):
    """Breaks and mends nodes and links. Factors are at least 1; 1 is as fast as ever."""

    @property
    def supported(self) -> frozenset[str]:
        """Names of the events that this one can bring about."""
        ...

    async def cut_link(self, source: str, target: str) -> None:
        """From now on nothing crosses the link, in either direction."""
        ...

    async def silence_link(self, source: str, target: str) -> None:
        """What is sent over the link from now on vanishes, and neither end hears of it: its
        connections stay open."""
        ...

    async def restore_link(self, source: str, target: str) -> None:
        """The link is as the topology has it."""
        ...

    async def slow_link(self, source: str, target: str, factor: float) -> None:
        """The link carries `factor` times fewer bytes a second than the topology says."""
        ...

    async def kill_node(self, node: str) -> None:
        """The node's process ends at once."""
        ...

    async def stop_node(self, node: str) -> None:
        """The node stands still: it holds its connections and answers nothing."""
        ...

    async def resume_node(self, node: str) -> None:
        """The node goes on where it stood still."""
        ...

    async def slow_node(self, node: str, factor: float) -> None:
        """The node takes `factor` times as long for whatever it computes."""
        ...

    async def lose_device(self, node: str) -> None:
        """The node's device is gone: batches and loads of models fail as on a lost GPU."""
        ...

    async def restore_device(self, node: str) -> None:
        """The device is there again."""
        ...

    async def jump_clock(self, node: str, by_s: float) -> None:
        """The wall clock that the node sees is set forward by so much, or back if negative."""
        ...

    async def kill_controller(self, controller: Controller) -> None:
        """Its process ends at once."""
        ...


def refuse_unsupported(
    timeline: Sequence[TimelineEvent], supported: Collection[str], who: str
) -> None:
    """Raises `InputError` for an event that `who` cannot bring about, before anything happens."""
    for position, event in enumerate(timeline):
        if event.name != IN_SCHEDULE and event.name not in supported:
            able = ", ".join([*sorted(supported), IN_SCHEDULE])
            raise InputError(
                f"timeline.{position}: {who} cannot bring about {event.name}; it can: {able}"
            )


async def fire(event: TimelineEvent, injector: FaultInjector) -> None:
    """Bring `event` about. An event of the schedule needs nothing."""
    match event.name:
        case "cut_link" if event.cut_link:
            await injector.cut_link(*event.cut_link)
        case "silence_link" if event.silence_link:
            await injector.silence_link(*event.silence_link)
        case "restore_link" if event.restore_link:
            await injector.restore_link(*event.restore_link)
        case "slow_link" if event.slow_link:
            await injector.slow_link(*event.slow_link.link, event.slow_link.factor)
        case "kill_node" if event.kill_node:
            await injector.kill_node(event.kill_node)
        case "stop_node" if event.stop_node:
            await injector.stop_node(event.stop_node)
        case "resume_node" if event.resume_node:
            await injector.resume_node(event.resume_node)
        case "slow_node" if event.slow_node:
            await injector.slow_node(event.slow_node.node, event.slow_node.factor)
        case "lose_device" if event.lose_device:
            await injector.lose_device(event.lose_device)
        case "restore_device" if event.restore_device:
            await injector.restore_device(event.restore_device)
        case "jump_clock" if event.jump_clock:
            await injector.jump_clock(event.jump_clock.node, event.jump_clock.by_s)
        case "kill_controller" if event.kill_controller:
            await injector.kill_controller(event.kill_controller)


async def fire_timeline(
    timeline: Sequence[TimelineEvent],
    injector: FaultInjector,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_event: Callable[[TimelineEvent, float], None] | None = None,
) -> None:
    """Fire each event at its time, in seconds from this call; run it beside the traffic.

    `on_event(event, at_s)` says when each was fired. What an injector raises ends the timeline.
    """
    start_s = clock()
    for event in timeline:
        if event.name == IN_SCHEDULE:
            continue
        while (wait_s := event.at_s - (clock() - start_s)) > 0:
            await sleep(wait_s)
        await fire(event, injector)
        fired_s = clock() - start_s
        _log.warning("brought about as the timeline says: %s (at %.3f s)", event, fired_s)
        if on_event is not None:
            on_event(event, fired_s)
