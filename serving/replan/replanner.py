"""One look of the live loop after the other: what is seen goes in, what is to be done comes out.

No node, clock or process is touched here, so that the loop that runs beside the cluster
(`serving.replan.loop`) and the one in simulated time (`serving.simulation.live_run`) are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from cluster.demand import Phase
from cluster.lasting_bursts import COUNTED_WINDOWS
from cluster.topology import Topology
from planner.plan import Plan
from serving.errors import PlanningError
from serving.node.snapshot import NodeSnapshot
from serving.replan.calibrated_setting import calibrated
from serving.replan.change_policy import REACTIVE, ChangePolicy, Seen
from serving.replan.decision import Decision
from serving.replan.decision_input import DecisionInput, DecisionOptions, Ground, ground_of
from serving.replan.estimate.calibration import Calibration
from serving.replan.estimate.load_estimate import EstimatorState, LoadEstimate, LoadEstimator
from serving.replan.estimate.load_history import LoadHistory
from serving.replan.loop_state import LoopState
from serving.replan.need import Considered, is_settled, load_has_moved
from serving.routing.routes import RoutingMode
from serving.setting.setting import Setting

__all__ = ["DecisionQuestion", "Look", "Made", "Replanner", "must_answer", "serving_nodes"]

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0
"""between tries to plan that fail one after another; each pause is twice the one before"""
WANTED = "it was asked for by hand"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class DecisionQuestion:
    """What is to be decided, and from what."""

    ground: Ground
    given: DecisionInput
    why: str
    asked_s: float
    """by the clock"""


@dataclass(frozen=True, eq=False)
class Made:
    """A decision and what it was made from."""

    question: DecisionQuestion
    took_s: float
    decision: Decision | None = None
    fault: str = ""
    """why planning failed"""
    overtaken: bool = False
    """whether the load, the nodes or the plan in force are not what was decided about: another
    decision follows, and this one changes nothing"""


@dataclass(frozen=True, eq=False)
class Look:
    """What one look at the nodes led to."""

    at_s: float
    plan: Plan
    """in force when the nodes were looked at"""
    estimate: LoadEstimate | None = None
    """that is planned for; None while too little is known"""
    absent: tuple[str, ...] = ()
    calibration: Calibration = field(default_factory=Calibration)
    """what links carry and devices take, as measured by then"""
    question: DecisionQuestion | None = None
    """None where there is nothing to decide"""
    made: Made | None = None
    """what was decided"""

    @property
    def change_to(self) -> Plan | None:
        """The plan to put in force, if one is."""
        return self.steps[-1] if self.steps else None

    @property
    def steps(self) -> tuple[Plan, ...]:
        """What to put in force, one after the other: `change_to` is the last, if there is one."""
        if self.made is None or self.made.decision is None or self.made.overtaken:
            return ()
        decided = self.made.decision
        return tuple(plan for plan in (decided.meanwhile, decided.plan) if plan is not None)

    @property
    def phase(self) -> Phase:
        """The load that it is planned for. Only where something was decided."""
        assert self.estimate is not None
        return self.estimate.phase()


def serving_nodes(snapshots: Mapping[str, NodeSnapshot]) -> frozenset[str]:
    """The nodes that answer and have a device that does: on others no model can be loaded."""
    return frozenset(name for name, seen in snapshots.items() if seen.device.answers)


def must_answer(silent: Collection[str], look: Look, topology: Topology) -> list[str]:
    """The silent nodes without which the plan of `look` cannot be put in force: those that it was
    planned with, and clients, which may go on asking for what the change takes away."""
    clients = {node.name for node in topology.clients}
    return sorted(name for name in silent if name in clients or name not in look.absent)


class Replanner:
    """The loop's memory: the plan in force, the load, the nodes, and what was decided last."""

    def __init__(
        self,
        setting: Setting,
        state: LoopState,
        options: DecisionOptions,
        policy: ChangePolicy = REACTIVE,
        *,
        spill_over: bool = False,
        routing: RoutingMode = RoutingMode.SHARES,
        look_s: float = 1.0,
    ) -> None:
        """`look_s` is the usual time between looks; a `state` without a look believes its plan."""
        self._setting = setting
        self._options = options
        self._policy = policy
        self._spill_over = spill_over
        self._routing = routing
        estimate = state.estimator
        if not estimate.clients:
            window_s = COUNTED_WINDOWS * min(edge.window_s for edge in setting.topology.edges)
            estimate = EstimatorState.before_looking(
                state.plan.dispersion, window_s, look_s, state.plan.burst_correlation
            )
        self._estimator = LoadEstimator(setting.tasks, estimate)
        self._history: LoadHistory | None = None
        """None before the first look"""
        self._asked_s: float | None = None
        self._open: DecisionQuestion | None = None
        """about models, that is not answered yet"""
        self._state = state
        self._pause_s = 0.0
        self._quiet_until_s = 0.0

    @property
    def state(self) -> LoopState:
        """All that another loop needs to go on, which does not know what this one asked for."""
        update: dict[str, object] = {"estimator": self._estimator.state}
        if self._open is not None:
            update["considered"] = None
        if self._history is not None:
            update["history"] = self._history
        return self._state.model_copy(update=update)

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return self._state.plan

    def setting_of(self, given: DecisionInput) -> Setting:
        """What a decision was made for: as measured then, where that was clearly not as stated."""
        return calibrated(self._setting, given.ratios)

    def look(
        self,
        asked: Collection[str],
        snapshots: Mapping[str, NodeSnapshot],
        now_s: float,
        at_s: float,
        *,
        paused: bool = False,
        wanted: bool = False,
    ) -> Look:
        """Take in what those of the `asked` nodes that answered show, and ask if it is time: not
        while `paused`, and whatever the load is where a decision is `wanted`.

        `now_s` is the clock's, `at_s` is counted from the start of the loop. The caller has the
        question answered and tells the answer by `decided`; what follows from that it carries out,
        and says so by `adopted`. While a question about models is open, new shares alone are asked
        about, where the load is a new one.
        """
        clients = {node.name for node in self._setting.topology.clients}
        seen = self._estimator.update(
            {name: shown for name, shown in snapshots.items() if name in clients}
        )
        if self._history is None:
            self._history = self._policy.history.goes_on_from(self._state.history, now_s)
        self._history = self._history.after(self._estimator.latest, seen, now_s)
        estimate = self._policy.foresee(Seen(seen, self._history, at_s))
        nodes = self._state.nodes.after(asked, serving_nodes(snapshots), now_s)
        calibration = self._state.calibration.after(snapshots, self._setting)
        self._state = self._state.model_copy(update={"nodes": nodes, "calibration": calibration})
        absent = nodes.absent(now_s)
        look = Look(at_s, self.plan, estimate, absent, calibration)
        if estimate is None or paused:
            return look
        if wanted and self._open is None:
            question = self._ask(look, WANTED, now_s, shares_only=False)
            return replace(look, question=question)
        if now_s < self._quiet_until_s:
            return look
        why = self._policy.why(
            estimate, absent, calibration.used, self._state.considered, now_s, self._asked_s
        )
        if not why:
            return look
        known = self._state.considered is not None
        shares_only = known and (load_has_moved(why) or not is_settled(estimate))
        if self._open is not None and not shares_only:
            return look
        return replace(look, question=self._ask(look, why, now_s, shares_only=shares_only))

    def decided(
        self, question: DecisionQuestion, outcome: Decision | PlanningError, now_s: float
    ) -> Look:
        """What follows from the answer to a question, which has come by now."""
        given = question.given
        if not given.shares_only:
            self._open = None
        look = Look(
            given.at_s, self.plan, given.estimate, given.absent, self._state.calibration, question
        )
        took_s = now_s - question.asked_s
        if isinstance(outcome, PlanningError):
            self._pause_s = min(2.0 * self._pause_s or FIRST_PAUSE_S, LONGEST_PAUSE_S)
            self._quiet_until_s = question.asked_s + self._pause_s
            self._state = self._state.model_copy(update={"considered": None})
            _log.error(
                "%s; the plan in force stays, the next try is in %g s", outcome, self._pause_s
            )
            return replace(look, made=Made(question, took_s, fault=str(outcome)))
        self._pause_s = 0.0
        latest = self._state.considered
        overtaken = self.plan.version != given.present.version or (
            latest is not None and latest.estimate.changes != given.estimate.changes
        )
        return replace(look, made=Made(question, took_s, outcome, overtaken=overtaken))

    def adopted(self, plan: Plan, version: int) -> None:
        """`plan` is in force as `version`."""
        self._state = self._state.model_copy(
            update={"plan": plan.model_copy(update={"version": version})}
        )

    def broken_off(self) -> None:
        """The plan of the last look could not be put in force: it is decided again."""
        self._state = self._state.model_copy(update={"considered": None})

    def _ask(self, look: Look, why: str, now_s: float, *, shares_only: bool) -> DecisionQuestion:
        """The question of `look`: for a load that is new, about new shares alone."""
        assert look.estimate is not None
        self._asked_s = now_s
        number = self._state.decisions + 1
        given = DecisionInput(
            number=number,
            at_s=look.at_s,
            estimate=look.estimate,
            absent=look.absent,
            shares_only=shares_only,
            ratios=self._state.calibration.used,
            present=self.plan,
            options=self._options,
        )
        ground = ground_of(
            self.setting_of(given),
            look.phase,
            spill_over=self._spill_over,
            routing=self._routing,
            ratios=given.ratios,
        )
        considered = Considered(
            estimate=look.estimate,
            absent=look.absent,
            shares_only=shares_only,
            ratios=given.ratios,
        )
        self._state = self._state.model_copy(update={"decisions": number, "considered": considered})
        question = DecisionQuestion(ground, given, why, now_s)
        if not shares_only:
            self._open = question
        return question
