"""The live loop: watch the load, decide, and move to another plan when that surely gains.

Every period the nodes show their counters. Mostly that is all. When the load has moved beyond what
was known of it, or nodes came or went, `serving.replan.decision` compares the plan in force with
others, in processes of its own; one that surely gains goes out as the next version. The looks go on
while models are thought about.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from cluster.demand import Phase
from cluster.providers.state import ClusterError
from cluster.topology import Topology
from planner.plan import Plan
from serving.errors import PlanChangeConflictError, PlanningError
from serving.node.snapshot import NodeSnapshot
from serving.replan.change_policy import REACTIVE, ChangePolicy
from serving.replan.decision import Decision
from serving.replan.decision_input import DecisionInput
from serving.replan.decision_log import ChangeLine, DecisionLine, DecisionLog
from serving.replan.loop_state import LoopState
from serving.replan.options import ReplanOptions
from serving.replan.planning import Planners
from serving.replan.replanner import (
    DecisionQuestion,
    Look,
    Made,
    Replanner,
    must_answer,
    serving_nodes,
)
from serving.rollout.execute import RolloutReport
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting

__all__ = ["LookReport", "ReplanLoop", "ReplannedFleet"]

FETCH_S = 0.1
"""between two looks whether a decision is made"""
OVERTAKEN = "overtaken: meanwhile the load or the plan in force was another"
_log = logging.getLogger(__name__)


class ReplannedFleet(Protocol):
    """What the loop asks of the running nodes (`serving.deploy.fleet.Fleet`)."""

    topology: Topology

    def snapshots_within(self, limit_s: float) -> dict[str, NodeSnapshot]:
        """Counters of the nodes that answer within `limit_s`."""
        ...

    def apply(
        self,
        plan: Plan,
        setting: Setting,
        phase: Phase,
        *,
        expected_version: int | None = None,
        routing: RoutingMode = RoutingMode.SHARES,
        without: Collection[str] = (),
    ) -> RolloutReport:
        """Put `plan` in force, unless another version than `expected_version` is in force now;
        clients choose among its ways by `routing`. Nodes of `without` have no part in it."""
        ...


@dataclass(frozen=True, eq=False)
class LookReport:
    """What a look led to, in the end."""

    look: Look
    plan: Plan
    """in force now"""
    change: RolloutReport | None = None


class ReplanLoop:
    """Runs beside traffic until cancelled.

    `state` has the plan in force, with its version. `policy` says when and how plans change; its
    decisions are made in processes of the loop's own, unless `planners` are given to make them.
    `log` and `state_path` may be left out.
    """

    def __init__(
        self,
        fleet: ReplannedFleet,
        state: LoopState,
        setting: Setting,
        options: ReplanOptions,
        *,
        clock: Callable[[], float],
        policy: ChangePolicy = REACTIVE,
        planners: Planners | None = None,
        log: DecisionLog | None = None,
        state_path: Path | None = None,
        spill_over: bool = True,
        routing: RoutingMode = RoutingMode.SHARES,
        on_look: Callable[[LookReport], None] = lambda _: None,
    ) -> None:
        self._fleet = fleet
        self._options = options
        self._clock = clock
        self._log = log
        self._state_path = state_path
        self._on_look = on_look
        self._routing = routing
        self._close_planners = planners is None
        self._planners = planners or Planners.in_processes(policy.decide, options.planning_limit_s)
        self._replanner = Replanner(
            setting,
            state,
            options.decision,
            policy,
            spill_over=spill_over,
            routing=routing,
            look_s=options.period_s,
        )
        self._open: DecisionQuestion | None = None
        """about models, that is being decided"""
        self._silent: frozenset[str] = frozenset()
        """nodes that gave no answer at the latest look"""
        self._asked = [node.name for node in fleet.topology.nodes]
        self._paused = False
        self._wanted = False
        """whether a decision was asked for by hand"""
        self._failures = 0
        self._broken_off = False
        self._answered_s = clock()
        self._saved_s = clock()

    @property
    def paused(self) -> bool:
        """Whether nothing is decided or changed."""
        return self._paused

    def pause(self) -> None:
        """Decide and change nothing until `resume`; looks go on. A change that has begun is
        completed. This and the two below may be called from any thread."""
        self._paused = True

    def resume(self) -> None:
        """Go on deciding."""
        self._paused = False

    def plan_now(self) -> None:
        """Decide at the next look, whether the load has moved or not."""
        self._wanted = True

    async def run(self) -> None:
        """Look every period. A change that has begun is completed before cancellation ends it.

        A look that fails is logged, and the plan in force stays. Raises what the last of
        `max_failures` looks raised that failed one after another, and `ClusterError` when no node
        has answered for `silence_limit_s`.
        """
        started_s = self._answered_s = self._clock()
        try:
            while True:
                began_s = self._clock()
                await self._whole(partial(self._look, began_s - started_s))
                while (left_s := self._options.period_s - (self._clock() - began_s)) > 0:
                    await asyncio.sleep(left_s if self._open is None else min(left_s, FETCH_S))
                    if self._open is not None:
                        await self._whole(self._fetch)
                await asyncio.sleep(0)
        finally:
            self.close()

    async def _whole(self, step: Callable[[], object]) -> None:
        """Take a step on a thread; a cancellation waits for its end."""
        taken = asyncio.ensure_future(asyncio.to_thread(self._guarded, step))
        try:
            await asyncio.shield(taken)
        except asyncio.CancelledError:
            await taken
            raise

    def close(self) -> None:
        """End the planning processes and save the state."""
        if self._close_planners:
            self._planners.close()
        self._save()

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception:
            # Whatever it was, the nodes go on with the plan in force, and so does the loop.
            self._failures += 1
            silent_s = self._clock() - self._answered_s
            if self._failures >= self._options.max_failures:
                _log.exception("the live loop ends: %d looks in a row failed", self._failures)
                raise
            if silent_s > self._options.silence_limit_s:
                _log.exception("the live loop ends: no node has answered for %.0f s", silent_s)
                raise
            _log.exception("a look at the load failed; the plan in force stays")

    def _look(self, at_s: float) -> None:
        snapshots = self._fleet.snapshots_within(self._options.answer_limit_s)
        if not snapshots:
            raise ClusterError(
                f"none of the {len(self._asked)} nodes answered within "
                f"{self._options.answer_limit_s:g} s"
            )
        self._answered_s = now_s = self._clock()
        self._refuse_strange_version(snapshots)
        self._silent = frozenset(self._asked) - serving_nodes(snapshots)
        wanted = self._wanted and not self._paused
        look = self._replanner.look(
            self._asked, snapshots, now_s, at_s, paused=self._paused, wanted=wanted
        )
        if wanted and look.question is not None:
            self._wanted = False
        if look.question is None or not self._answered(look.question):
            if now_s - self._saved_s >= self._options.save_s:
                self._save()
            self._on_look(LookReport(look, self._replanner.plan))
        self._failures = 0

    def _answered(self, question: DecisionQuestion) -> bool:
        """Have a question answered and follow the answer; False where it is not there yet."""
        ground, given = question.ground, question.given
        if not given.shares_only:
            self._planners.models.begin(ground, given)
            self._open = question
            return self._fetch()
        try:
            outcome: Decision | PlanningError = self._planners.shares(ground, given)
        except PlanningError as error:
            outcome = error
        self._follow(self._replanner.decided(question, outcome, self._clock()))
        return True

    def _fetch(self) -> bool:
        """Follow the answer to the open question, if it is there; later, while paused."""
        if self._open is None or self._paused:
            return False
        try:
            outcome: Decision | PlanningError | None = self._planners.models.outcome()
        except PlanningError as error:
            outcome = error
        if outcome is None:
            return False
        question, self._open = self._open, None
        self._follow(self._replanner.decided(question, outcome, self._clock()))
        return True

    def _follow(self, look: Look) -> None:
        """Note what was decided, and put it in force."""
        assert look.made is not None
        self._note(look, look.made)
        change = self._change(look, look.made)
        self._save()
        self._on_look(LookReport(look, self._replanner.plan, change))

    def _refuse_strange_version(self, snapshots: Mapping[str, NodeSnapshot]) -> None:
        """Raise if another plan was put in force than the loop knows: its figures would be those
        of a plan that nobody follows."""
        seen = max(snapshot.plan_version for snapshot in snapshots.values())
        known = self._replanner.plan.version
        if self._broken_off:  # and undone, which takes a version too
            self._broken_off = False
            self._replanner.adopted(self._replanner.plan, max(seen, known))
        elif seen > known:
            raise ClusterError(
                f"plan version {seen} is in force, and the loop put {known} there: somebody else "
                "changes plans"
            )

    def _change(self, look: Look, made: Made) -> RolloutReport | None:
        """Put the plan of a decision in force, if it is another one.

        Nodes that are silent now are left out or waited for (`must_answer`); routers find ways
        around them meanwhile, and when they are back it is decided anew.
        """
        plan, given, number = look.change_to, made.question.given, made.question.given.number
        if made.overtaken:
            self._append(lambda log: log.change(ChangeLine(number=number, fault=OVERTAKEN)))
        if plan is None or self._options.dry_run:
            return None
        if waited_for := must_answer(self._silent, look, self._fleet.topology):
            fault = f"not put in force: no answer of {', '.join(waited_for)}"
            _log.warning("the plan of decision %d is %s", number, fault)
            self._append(lambda log: log.change(ChangeLine(number=number, fault=fault)))
            return None
        try:
            for step in look.steps[:-1]:
                self._put_in_force(step, look, given)
            change = self._put_in_force(plan, look, given)
        except Exception as error:
            # After a conflict nothing was touched, and what is in force now is another's plan.
            self._broken_off = not isinstance(error, PlanChangeConflictError)
            self._replanner.broken_off()
            words = f"{type(error).__name__}: {error}"
            self._append(lambda log: log.change(ChangeLine(number=number, fault=words)))
            raise
        line = ChangeLine(
            number=number,
            version=change.version,
            total_s=change.total_s,
            reaction_s=change.reaction_s,
        )
        self._append(lambda log: log.change(line))
        return change

    def _put_in_force(self, plan: Plan, look: Look, given: DecisionInput) -> RolloutReport:
        change = self._fleet.apply(
            plan,
            self._replanner.setting_of(given),
            look.phase,
            expected_version=self._replanner.plan.version,
            routing=self._routing,
            without=self._silent,
        )
        self._replanner.adopted(plan, change.version)
        return change

    def _note(self, look: Look, made: Made) -> None:
        """Say what was decided, to people and to the decision log."""
        assert look.estimate is not None
        question, decision = made.question, made.decision
        _log.info(
            "load %.1f queries/s (%s): %s",
            look.estimate.total_qps, question.why,
            made.fault if decision is None
            else f"the plan in force reaches {decision.present:.3f}, another one "
            f"{decision.proposed:.3f}: "
            + (OVERTAKEN if made.overtaken
               else f"it changes: {decision.reason}" if decision.changes
               else f"it stays: {decision.reason}"),
        )  # fmt: skip
        line = DecisionLine(
            digest=question.ground.problem.digest,
            why=question.why,
            given=question.given,
            decision=decision,
            fault=made.fault,
            took_s=made.took_s,
            dry_run=self._options.dry_run,
        )
        self._append(lambda log: log.decision(question.ground, line))

    def _append(self, write: Callable[[DecisionLog], None]) -> None:
        """A log that cannot be written must not cost the loop, which serves without it."""
        if self._log is None:
            return
        try:
            write(self._log)
        except OSError as error:
            _log.error("a line of the decision log is lost: %s", error)

    def _save(self) -> None:
        self._saved_s = self._clock()
        if self._state_path is None:
            return
        try:
            self._replanner.state.save(self._state_path, mode=0o600)
        except OSError as error:
            _log.error("the state of the live loop is not saved: %s", error)
