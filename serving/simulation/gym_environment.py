"""The simulated system as a `gymnasium` environment: shares or plans are the actions.

A step is `period_s` of simulated time under one action. Everything between a query and its answer
is what the simulator has, which is what runs live; a change of plan goes through the same stages as
on a cluster and takes its time. Needs the extra `gym`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.extras import import_extra
from cluster.timeline import TimelineEvent
from models.runtime.device_errors import DeviceLostError
from planner.plan import Plan, Route
from serving.blocking import run_on
from serving.node.config import NodeConfig
from serving.node.snapshot import NodeSnapshot
from serving.rollout.refuges import refuges_of
from serving.routing.routes import Target
from serving.setting.setting import Setting
from serving.simulation.simulate import IMAGES, drive_simulated, system_of
from serving.simulation.virtual_time import VirtualTimeLoop
from serving.system import Answer, Outcome, Query
from serving.traffic.schedule import build_schedule

__all__ = ["ServingEnvironment", "Way"]

gymnasium = import_extra("gymnasium", "gym", "an environment of the simulator")

Observation = dict[str, NDArray[np.float32]]
HEADROOM = 4.0
"""times the largest rate of the demand: a load that is seen as 1"""
MAX_WAITING = NodeConfig.max_waiting


class Way(NamedTuple):
    """A way that queries of one task of one client can take."""

    client: str
    task: str
    target: Target


@dataclass
class _Scores:
    """What came back since it was last asked."""

    queries: int = 0
    answered: int = 0
    score: float = 0.0
    """accuracies of the cards, of answers within their bound"""


class ServingEnvironment(gymnasium.Env):  # type: ignore[misc, name-defined]
    """Traffic of `phases` into the simulated system of `setting`.

    With one plan, an action is a weight in [0, 1] for each of `ways`: every model that the plan
    holds in reach of a client that asks its task. The weights of a client's task are its shares,
    scaled down where they add up to more than 1; what they leave is shed. With several plans, an
    action is the index of the one to follow, which moves models.

    An observation has, each in [0, 1]: `load` (one for each of `streams`, queries/s in the last
    step; 1 is four times the largest rate of the demand), `waiting` (by node, of the queries that
    may be queued), `busy` (by node, of the last step), `sending` (by link, of the last step). The
    reward is the accuracy of the cards summed over the answers of the step that were in time, by
    query that came. An episode ends (`truncated`) with the traffic; `info` has `time_s`, `queries`,
    `answered`, and whether the action was followed (`followed`), which a lost device can prevent.

    Raises `InputError` as `simulate` does, and where there is no plan or no query.
    """

    def __init__(
        self,
        setting: Setting,
        plans: Plan | Sequence[Plan],
        phases: Sequence[Phase],
        *,
        period_s: float = 2.0,
        timeline: Sequence[TimelineEvent] = (),
        spill_over: bool = True,
    ) -> None:
        self.plans = (plans,) if isinstance(plans, Plan) else tuple(plans)
        if not self.plans:
            raise InputError("an environment needs a plan to start with")
        if not period_s > 0:
            raise InputError(f"expected a `period_s` above 0, got {period_s:g}")
        self._setting = setting
        self._phases = tuple(phases)
        self._period_s = period_s
        self._timeline = tuple(timeline)
        self._spill_over = spill_over
        self.streams = _streams(self._phases)
        """(client, task) of each load"""
        if not self.streams:
            raise InputError("an environment needs a phase in which something is asked")
        self._most_qps = HEADROOM * max(
            qps for phase in phases for rates in phase.asked_qps.values() for qps in rates.values()
        )
        self.ways = _ways(setting, self.plans[0], self.streams)
        self._stream_w = np.array([self.streams.index((w.client, w.task)) for w in self.ways], int)
        self.nodes = tuple(node.name for node in setting.topology.nodes)
        self.links = tuple((link.source, link.target) for link in setting.topology.links)
        sizes = {
            "load": len(self.streams), "waiting": len(self.nodes), "busy": len(self.nodes),
            "sending": len(self.links),
        }  # fmt: skip
        spaces = gymnasium.spaces
        self.observation_space = spaces.Dict(
            {name: spaces.Box(0.0, 1.0, (size,), np.float32) for name, size in sizes.items()}
        )
        self.action_space = (
            spaces.Box(0.0, 1.0, (len(self.ways),), np.float32)
            if len(self.plans) == 1
            else spaces.Discrete(len(self.plans))
        )
        self.metadata: dict[str, Any] = {"render_modes": []}
        self._run: _Run | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin anew, with other traffic; the same `seed` gives the same traffic."""
        super().reset(seed=seed)
        self.close()
        drawn = seed if seed is not None else int(self.np_random.integers(2**31))
        self._run = _Run(
            self._setting, self.plans[0], self._phases, drawn, self._timeline, self._spill_over
        )
        return self._observe(self._run), {"time_s": 0.0}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """`period_s` of simulated time under `action`; see the class. Raises `InputError` before
        `reset`."""
        run = self._run
        if run is None:
            raise InputError("the environment has not begun; call `reset` first")
        followed = run.advance(self._plan_of(action), self._period_s, self._setting.model_bytes)
        scores = run.scores
        info = {
            "time_s": run.loop.time(), "queries": scores.queries, "answered": scores.answered,
            "followed": followed,
        }  # fmt: skip
        reward = scores.score / max(1, scores.queries)
        return self._observe(run), reward, False, run.ended, info

    def close(self) -> None:
        """End what runs."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def shares_of(self, plan: Plan) -> NDArray[np.float32]:
        """The action that follows the shares of `plan`, as far as they take one of `ways`."""
        shares = {(r.client, r.task, r.node, r.model, r.via or ""): r.share for r in plan.routes}
        keys = ((w.client, w.task, w.target.node, w.target.model, w.target.via) for w in self.ways)
        return np.clip([shares.get(key, 0.0) for key in keys], 0.0, 1.0).astype(np.float32)

    def _plan_of(self, action: Any) -> Plan:
        if len(self.plans) > 1:
            return self.plans[int(action)]
        weight_w = np.clip(np.asarray(action, float), 0.0, 1.0)
        total_s = np.bincount(self._stream_w, weight_w, len(self.streams))
        share_w = weight_w / np.maximum(total_s, 1.0)[self._stream_w]
        routes = tuple(
            _route(way, float(share))
            for way, share in zip(self.ways, share_w, strict=True)
            if share > 0
        )
        return self.plans[0].model_copy(update={"routes": routes})

    def _observe(self, run: _Run) -> Observation:
        """What the last step showed; a node that is down shows nothing."""
        before, now = run.before, run.now

        def arrived(seen: Mapping[str, NodeSnapshot], client: str, task: str) -> int:
            return seen[client].arrived.get(task, 0) if client in seen else 0

        def sent_s(seen: Mapping[str, NodeSnapshot], source: str, target: str) -> float:
            return seen[source].links[target].busy_s if source in seen else 0.0

        def busy_s(seen: Mapping[str, NodeSnapshot], node: str) -> float:
            return seen[node].busy_s if node in seen else 0.0

        load_s = [arrived(now, *each) - arrived(before, *each) for each in self.streams]
        waiting_n = [sum(now[n].waiting.values()) if n in now else 0 for n in self.nodes]
        busy_n = [busy_s(now, n) - busy_s(before, n) for n in self.nodes]
        sent_l = [sent_s(now, *link) - sent_s(before, *link) for link in self.links]
        parts = {
            "load": np.array(load_s) / self._period_s / self._most_qps,
            "waiting": np.array(waiting_n) / MAX_WAITING,
            "busy": np.array(busy_n) / self._period_s,
            "sending": np.array(sent_l) / self._period_s,
        }
        # Of a node that was started anew, counters begin again.
        return {name: np.clip(part, 0.0, 1.0).astype(np.float32) for name, part in parts.items()}


class _Run:
    """One episode: a loop of its own, on which traffic goes on while it is stepped."""

    def __init__(
        self,
        setting: Setting,
        plan: Plan,
        phases: Sequence[Phase],
        seed: int,
        timeline: Sequence[TimelineEvent],
        spill_over: bool,
    ) -> None:
        for phase in phases:
            setting.problem(phase)
        schedule = build_schedule(phases, seed, IMAGES, timeline=timeline)
        self.loop = VirtualTimeLoop()
        self.system = system_of(setting, plan, spill_over=spill_over)
        self.scores = _Scores()
        self._duration_s = schedule.duration_s
        self._accuracy = setting.accuracy
        self._steps_s = 0.0
        self.before = self.now = run_on(self.loop, self._look())
        """counters at the begin and the end of the last step"""
        self._traffic = self.loop.create_task(
            drive_simulated(self.system, schedule, timeline, door=_Door(self))
        )

    @property
    def ended(self) -> bool:
        """Whether all queries have come."""
        return self._steps_s >= self._duration_s - 1e-9

    def advance(
        self, plan: Plan, period_s: float, model_bytes: Mapping[tuple[str, str], int]
    ) -> bool:
        """Follow `plan` for `period_s`; whether it could be followed."""
        self._steps_s += period_s
        self.scores = _Scores()
        followed = run_on(self.loop, self._follow(plan, model_bytes))
        if self._traffic.done():
            self._traffic.result()  # what went wrong there is raised here
        return followed

    async def _look(self) -> dict[str, NodeSnapshot]:
        return self.system.snapshots()

    async def _follow(self, plan: Plan, model_bytes: Mapping[tuple[str, str], int]) -> bool:
        followed = True
        down = {node.name for node in self.system.topology.nodes} - self.system.snapshots().keys()
        self.before = self.now
        try:
            await self.system.follow(plan, model_bytes, down)
        except DeviceLostError:
            followed = False
        await asyncio.sleep(max(0.0, self._steps_s - self.loop.time()))
        self.now = self.system.snapshots()
        return followed

    def note(self, task: str, answer: Answer, spent_s: float) -> None:
        """Take in what became of a query."""
        self.scores.queries += 1
        if answer.outcome is Outcome.ANSWERED:
            self.scores.answered += 1
            if spent_s <= answer.bound_s:
                self.scores.score += self._accuracy[answer.model].get(task, 0.0)

    def close(self) -> None:
        """End the traffic and the loop."""

        async def end() -> None:
            others = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
            for task in others:
                task.cancel()
            for task in others:
                with suppress(asyncio.CancelledError):
                    await task

        run_on(self.loop, end())
        self.loop.close()


class _Door:
    """`SharingSystem` that tells its run what became of each query."""

    def __init__(self, run: _Run) -> None:
        self._run = run

    async def send(self, query: Query) -> Answer:
        """See `System.send`."""
        return (await self.send_all(query, (query.task,)))[query.task]

    async def send_all(self, query: Query, tasks: tuple[str, ...]) -> dict[str, Answer]:
        """See `SharingSystem.send_all`."""
        begun_s = self._run.loop.time()
        answers = await self._run.system.send_all(query, tasks)
        spent_s = self._run.loop.time() - begun_s
        for task, answer in answers.items():
            self._run.note(task, answer, spent_s)
        return answers


def _streams(phases: Sequence[Phase]) -> tuple[tuple[str, str], ...]:
    found = {
        (client, task): None
        for phase in phases
        for client, rates in phase.asked_qps.items()
        for task, qps in rates.items()
        if qps > 0
    }
    return tuple(found)


def _ways(setting: Setting, plan: Plan, streams: Sequence[tuple[str, str]]) -> tuple[Way, ...]:
    refuges = refuges_of(setting.topology, plan, setting.accuracy)
    return tuple(
        Way(client, task, target)
        for client, task in streams
        for target in refuges[client].get(task, ())
    )


def _route(way: Way, share: float) -> Route:
    client, task, (tier, node, model, via) = way
    return Route.model_validate(
        {
            "client": client, "task": task, "tier": tier, "node": node, "model": model,
            "share": share, "via": via or None,
        }
    )  # fmt: skip
