"""A node without sockets and threads: its routes, its ways, its counters.

`NodeServer` is one with a real device and real links, `SimulatedNode` one on a virtual clock. A
plan reaches either in four calls, so that models are there before routes turn to them and go only
after the last query that was sent to them: `load`, `route`, `drained`, `retire`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, NamedTuple

from cluster.bundle_names import bundle_name
from profiling.profile import digest_of
from serving.errors import NotServedError, RefusalReason, RefusedError, raise_first
from serving.logs.logger import NodeLogger
from serving.named_tuples import made
from serving.node.answer_tally import AnswerTally
from serving.node.config import NodeConfig
from serving.node.device.device import Device
from serving.node.device.device_switch import DeviceSwitch
from serving.node.device.served import Image, Served
from serving.node.dispatch import Dispatcher
from serving.node.links.link_condition import LinkCondition
from serving.node.links.link_probe import LinkProbe, ProbeLimits, probe
from serving.node.links.messages import AskOutcome, AskReply
from serving.node.links.uplink import Uplink
from serving.node.observer import NodeObserver
from serving.node.snapshot import LinkUse, NodeSnapshot
from serving.routing.early_refusal import EarlyRefusals, StandingRefusal
from serving.routing.router import Router
from serving.routing.routes import Ask, RouteTable, Target
from serving.tracing.active import active_span
from serving.wall_clock import WallClock

__all__ = ["Forwarded", "NodeCore", "Routed"]

_log = logging.getLogger(__name__)


class Forwarded(NamedTuple):
    """An answer and the time it spent on links, both ways, in seconds."""

    served: Served
    link_s: float


class Routed(NamedTuple):
    """An answered query and the way it took."""

    target: Target
    forwarded: Forwarded
    plan_version: int
    bound_s: float
    spilled: RefusalReason | None = None
    """why it did not take the way that the plan gave it, where that was full"""


class NodeCore:
    """One node, with a device and links that somebody else made. To be used on one event loop.

    `tasks_of` says what a model serves; `clock` is that of the device and the links. `switch` takes
    the device away, where it was put before it; `wall_clock` is what whoever logs reads.
    """

    def __init__(
        self,
        config: NodeConfig,
        device: Device,
        uplinks: Mapping[str, Uplink],
        tasks_of: Callable[[str], Collection[str]],
        clock: Callable[[], float],
        observer: NodeObserver,
        switch: DeviceSwitch | None = None,
        wall_clock: WallClock | None = None,
    ) -> None:
        node = config.node
        self.config = config
        self._bounds_s, self._spill_over = config.bounds_s, config.spill_over
        self._emulated = digest_of(config.emulated.values())
        self._log = NodeLogger(_log, node.name)
        self._observer = observer
        self._tasks_of = tasks_of
        self._clock = clock
        self._switch = switch or DeviceSwitch()
        self._wall_clock = wall_clock or WallClock()
        self._router = Router(
            RouteTable(version=0, routes={}),
            config.shared_passes,
            lambda target, task: self._dispatcher.queue_state(target, task),
        )
        self._device = device
        self._uplinks = uplinks
        self._served: Counter[str] = Counter()
        self._dispatcher = Dispatcher(
            (str(node.tier), node.name),
            device,
            uplinks,
            self._router,
            tasks_of,
            self._served,
            shared_passes=config.shared_passes,
            bounds_s=config.bounds_s,
            clock=clock,
        )
        self._arrived: Counter[str] = Counter()
        self._together: Counter[str] = Counter()
        self._answers = AnswerTally()
        self._refused: Counter[RefusalReason] = Counter()
        self._spilled: Counter[RefusalReason] = Counter()
        self._refused_early: Counter[str] = Counter()
        self._early_refusals = EarlyRefusals(
            node.window_s, self._refusal, self._count_refused_early, clock
        )
        self._loads_s: dict[str, float] = {}
        self._plan_version = 0
        self._in_flight: Counter[int] = Counter()

    def close(self) -> None:
        """Stop everything; queries still here are refused."""
        for uplink in self._uplinks.values():
            uplink.close()
        self._device.close()

    async def load(self, models: tuple[str, ...]) -> dict[str, float]:
        """Load and warm what is not there yet; returns seconds by model."""
        times_s = {model: await self._device.load(model) for model in models}
        self._loads_s.update({model: spent for model, spent in times_s.items() if spent})
        return times_s

    def route(self, table: RouteTable) -> None:
        """Follow `table` from the next query on; an older version than the present is ignored."""
        if table.version >= self._plan_version:
            if table.version > self._plan_version:
                ways = ", ".join(f"{task}: {len(to)}" for task, to in table.routes.items())
                self._log.info("follows plan version %d; ways: %s", table.version, ways or "none")
            self._plan_version = table.version
            self._router.replace(table)
            self._early_refusals.forget()
            self._observer.on_plan(table)
            self._prepare_uplinks()

    @property
    def table(self) -> RouteTable:
        """The routes in force."""
        return self._router.table

    async def drained(self, version: int) -> None:
        """Wait until no query that was routed by a plan older than `version` is in flight."""
        while any(self._in_flight[old] for old in list(self._in_flight) if old < version):
            await asyncio.sleep(0.01)

    @property
    def failing(self) -> bool:
        """Whether the node should be started anew, for its device's sake."""
        return self._device.needs_new_process

    def change_link(self, target: str, condition: LinkCondition) -> None:
        """Let the link to `target` be as `condition` says from now on.

        Raises `KeyError` if there is no such link.
        """
        self._log.warning("the link to %s is %s now", target, condition)
        self._uplinks[target].change(condition)

    async def probe_link(self, target: str, limits: ProbeLimits) -> LinkProbe:
        """Measure the link to `target`. Raises `KeyError` if there is no such link."""
        self._log.info("measures the link to %s, with %d bytes at most", target, limits.most_bytes)
        return await probe(self._uplinks[target], limits)

    def begin_link_traces(self) -> None:
        """Let the recorded capacities of links begin now, where they have some."""
        for uplink in self._uplinks.values():
            uplink.begin_trace()

    def switch_device(self, lost: bool) -> None:
        """Take the device away, or give it back."""
        self._log.warning("the device is %s", "taken away" if lost else "given back")
        self._switch.lost = lost

    def set_clock(self, ahead_s: float) -> None:
        """Let the wall clock that this node sees be so far ahead of the host's; behind it, if
        negative."""
        self._log.warning("the wall clock is set, to %+g s of the host's", ahead_s)
        self._wall_clock.ahead_s = ahead_s

    async def retire(self, version: int, keep: frozenset[str]) -> dict[str, float]:
        """Unload every model not in `keep`, once its queries are done; returns seconds by model.
        Nothing is unloaded for a plan `version` older than the present."""
        if version < self._plan_version:
            return {}
        self._plan_version = max(self._plan_version, version)
        self._prepare_uplinks()
        gone = [model for model in self._device.models if model not in keep]
        times_s = await asyncio.gather(*(self._device.unload(model) for model in gone))
        return dict(zip(gone, times_s, strict=True))

    async def answer(self, task: str, image: Image, *, deadline_s: float | None = None) -> Routed:
        """Answer a query that arrived at this client node; see `answer_all`."""
        return (await self.answer_all((task,), image, deadline_s=deadline_s))[task]

    async def answer_all(
        self, tasks: tuple[str, ...], image: Image, *, deadline_s: float | None = None
    ) -> dict[str, Routed]:
        """Answer several tasks of one image, all of them or none.

        `deadline_s` is absolute, on the node's clock; the deadlines that the plan has of tasks and
        their classes (F13, F20) hold beside it. Raises `NotServedError`, and `RefusedError`
        (reason `DEADLINE` once an answer can no longer come in time).
        """
        for task in tasks:
            self._arrived[task] += 1
        if len(tasks) > 1:
            self._together[bundle_name(tasks)] += 1
        version = self._plan_version
        self._in_flight[version] += 1
        arrived_s = self._clock()
        table = self._router.table
        if table.deadlines_s:
            deadline_s = table.due_s(tasks, arrived_s, deadline_s)
        span = active_span()
        if span is not None:
            span.tell({"node": self.config.node.name, "plan_version": version})
        try:
            if deadline_s is not None and arrived_s >= deadline_s:
                raise RefusedError(RefusalReason.DEADLINE, "the query's deadline has passed")
            asks = self._router.pick_all(tasks)
            if span is not None:
                for ask in asks:
                    span.add("route", arrived_s, self._clock(), _values_of(ask))
            spill_since_s = arrived_s if self._spill_over else None
            outcomes = await self._dispatcher.dispatch(asks, image, deadline_s, spill_since_s)
            replies = [outcome for outcome in outcomes if isinstance(outcome, AskReply)]
            if len(replies) < len(outcomes):
                raise_first(outcomes)
        except RefusedError as refusal:
            self._count_refusal(tasks, refusal.reason, self._clock())
            raise
        except NotServedError:
            self._count_refusal(tasks, RefusalReason.NOT_SERVED, self._clock())
            raise
        finally:
            self._in_flight[version] -= 1
        spent_s = self._clock() - arrived_s
        bounds_s = self._bounds_s
        answers: dict[str, Routed] = {}
        for ask, (target, by_task, link_s, spilled, detoured) in zip(asks, replies, strict=True):
            bound_s = bounds_s.get(target.node, 0.0)
            if ask.target is not target:  # as after a detour
                bound_s = max(bound_s, bounds_s.get(ask.target.node, 0.0))
            if bound_s > 0:
                self._dispatcher.answered(target, spent_s, bound_s)
            for task, served in by_task.items():
                forwarded = made(Forwarded, (served, link_s))
                answers[task] = made(Routed, (target, forwarded, version, bound_s, spilled))
                self._answers.add(task, target, spent_s, bound_s)
                self._observer.on_answer(task, target, spent_s, link_s)
                if span is not None:
                    span.tell({f"answered_by.{task}": f"{target.model} on {target.node}"})
                if spilled is not None:
                    self._spilled[spilled] += 1
                    self._observer.on_spill(task, spilled)
                if detoured is not None:
                    self._observer.on_detour(task, detoured)
        return answers

    def refuse_early(self, task: str) -> StandingRefusal | None:
        """The refusal of a query of `task` that arrives now, whichever way it took, counted as one;
        None if it might be answered, or nobody was refused of late for want of room.

        For a door, which is spared reading a query only to refuse it.
        """
        return self._early_refusals.refuse(task)

    def refused_early(self, task: str) -> int:
        """Queries of `task` that were refused by `refuse_early`."""
        self._early_refusals.settle()
        return self._refused_early[task]

    def snapshot(self) -> NodeSnapshot:
        """Counters as they stand."""
        self._early_refusals.settle()
        return NodeSnapshot(
            node=self.config.node.name,
            taken_s=self._clock(),
            busy_s=self._device.busy_s,
            batches=self._device.batches,
            late_batches=self._device.late_batches,
            emulated=self._emulated,
            sent_bytes=sum(uplink.pacer.sent_bytes for uplink in self._uplinks.values()),
            models=self._device.models,
            plan_version=self._plan_version,
            arrived=dict(self._arrived),
            served=dict(self._served),
            refused=dict(self._refused),
            spilled=dict(self._spilled),
            loads_s=dict(self._loads_s),
            waiting=self._device.waiting,
            in_flight=self._in_flight.total(),
            device=self._device.health,
            links={
                target: LinkUse(uplink.pacer.sent_bytes, uplink.pacer.busy_s, uplink.shortest_rtt_s)
                for target, uplink in self._uplinks.items()
            },
            link_conditions={
                target: uplink.condition
                for target, uplink in self._uplinks.items()
                if not uplink.condition.is_as_stated
            },
            batch_totals=self._device.latency_model.totals,
            tasks={model: tuple(self._tasks_of(model)) for model in self._device.models},
            together=dict(self._together),
            answers=self._answers.totals(),
        )

    def _refusal(self, task: str) -> RefusedError | None:
        """What every way of `task` refuses now, the ways that it could spill over to among them."""
        refusal = None
        own = [target for target, _ in self._router.table.routes.get(task, ())]
        for target in own:
            refusal = self._dispatcher.refusal(target)
            if refusal is None:
                return None
        if refusal is not None and self.config.spill_over:
            for target in self._dispatcher.besides((task,)):
                if target not in own and self._dispatcher.refusal(target) is None:
                    return None
        return refusal

    def _prepare_uplinks(self) -> None:
        """With the first plan, when all nodes are up, every node makes its way to the next."""
        for uplink in self._uplinks.values():
            uplink.prepare()

    def _count_refusal(self, tasks: tuple[str, ...], reason: RefusalReason, now_s: float) -> None:
        self._early_refusals.note(reason, now_s)
        self._log.debug("refused %s: %s", tasks, reason)
        for task in tasks:
            self._refused[reason] += 1
            self._observer.on_refusal(task, reason)

    def _count_refused_early(self, task: str, reason: RefusalReason, times: int) -> None:
        self._arrived[task] += times
        self._refused[reason] += times
        self._refused_early[task] += times
        self._observer.on_refusal(task, reason, times)

    def serve_forwarded(
        self, asks: tuple[Ask, ...], image: Image, remaining_s: float | None
    ) -> Coroutine[Any, Any, list[AskOutcome]]:
        """An outcome for each ask of a node below, which waits for `remaining_s` at most."""
        deadline_s = None if remaining_s is None else self._clock() + remaining_s
        return self._dispatcher.dispatch(asks, image, deadline_s)


def _values_of(ask: Ask) -> dict[str, str | int | float | bool]:
    """What a span says of the way that was chosen."""
    target = ask.target
    told: dict[str, str | int | float | bool] = {
        "tasks": ",".join(ask.tasks), "tier": str(target.tier), "node": target.node,
        "model": target.model,
    }  # fmt: skip
    return {**told, "via": target.via} if target.via else told
