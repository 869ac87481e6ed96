"""How good a plan provably is (F10), and what it is predicted to do: the typed outcome."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from cluster.document import FrozenModel
from planner.client_accuracy import Objective

__all__ = ["Certificate", "EvaluationSummary", "Status", "relative_gap", "status_of"]


class Status(StrEnum):
    """How a policy's run ended."""

    OPTIMAL = "optimal"
    """Proven within the gap that was asked for."""
    FEASIBLE = "feasible"
    """A valid plan of a heuristic; its gap says how far from the optimum it may be."""
    TIME_LIMIT = "time_limit"
    """Stopped by the clock; the plan is valid and the gap is true."""


class Certificate(FrozenModel):
    """objective <= optimum <= upper_bound, both as mean accuracy per sent query (F1), less what
    loads (F16) or joules (F18) cost where the plan pays for them; or both as what else the plan
    maximised (F19)."""

    objective: float
    upper_bound: float
    gap: float = Field(ge=0, description="(upper_bound - objective) / upper_bound")
    status: Status
    runtime_s: float = Field(ge=0)
    bound_method: str
    solver: str
    iterations: int = Field(ge=0)
    maximised: Objective = "mean"
    curve_error: float | None = Field(
        default=None,
        ge=0,
        description="how far lines above and below the measured times of batches are apart at the "
        "sizes of the plan, relative to the work (F15); left out where batches take nu + c b",
    )


class EvaluationSummary(FrozenModel):
    """What `evaluate` predicts for a plan: accuracy over all sent queries, shed counting 0."""

    objective: float
    accuracy_by_task: dict[str, float]
    share_by_tier: dict[str, float]
    shed_share: float
    utilization_by_node: dict[str, float] = Field(description="busy seconds per second")
    tightest_by_constraint: dict[str, float] = Field(
        description="label F2..F9 -> largest use / budget over the nodes"
    )
    fill: float
    feasible: bool
    moving_cost: float = Field(
        default=0.0, ge=0, description="what its loads cost over the horizon (F16)"
    )
    watts_by_node: dict[str, float] = Field(
        default_factory=dict, description="beyond idling, where joules were given (F18)"
    )
    energy_cost: float = Field(default=0.0, ge=0, description="its joules at their price (F18)")
    accuracy_by_client: dict[str, float] = Field(
        default_factory=dict, description="of the clients that some plan can answer"
    )
    least_accuracy: float | None = Field(default=None, description="of these clients (F19)")
    proportional_accuracy: float | None = Field(
        default=None, description="geometric mean over these clients (F19)"
    )


def status_of(gap: float, asked: float, *, late: bool) -> Status:
    """How a run ended that came to `gap` where `asked` was enough; `late` if a clock stopped it."""
    if gap <= asked * (1 + 1e-9):
        return Status.OPTIMAL
    return Status.TIME_LIMIT if late else Status.FEASIBLE


def relative_gap(objective: float, upper_bound: float) -> float:
    """(bound - objective) / bound, 0 where nothing can be gained."""
    return max(0.0, (upper_bound - objective) / upper_bound) if upper_bound > 0 else 0.0
