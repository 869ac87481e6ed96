"""Options that every policy takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from cluster.errors import InputError
from planner.client_accuracy import Objective
from planner.energy import EnergyGoal
from planner.moving import Moving
from planner.plan import Plan
from planner.solution import Solution
from planner.solvers.choose import SolverName
from planner.solvers.program import SolverLimits

__all__ = ["DEFAULT_OVERRUN", "EdgeForm", "Options", "Overrun"]

EdgeForm = Literal["batched", "unbatched"]
"""Constraint of edge compute: `batched` is F9, `unbatched` is F6."""
Overrun = float | Literal["default"] | None
DEFAULT_OVERRUN = 0.05
"""delta of F11 for policies that plan windows."""


@dataclass(frozen=True)
class Options:
    """How to solve. Raises `ValueError` for a value outside its range."""

    fill: float = 0.6
    """Share of every compute budget and window that a plan may use (F5, F6, F8, F9)."""
    time_limit_s: float = 60.0
    gap: float = 1e-4
    """Relative gap at which a policy that proves its plans may stop."""
    seed: int = 0
    solver: SolverName = "auto"
    edge_form: EdgeForm | None = None
    """None: the policy's own (`unbatched` for j3o, `batched` for all others)."""
    warm_start: Plan | Solution | None = None
    """A previous plan to start from; a `Solution` also brings its prices."""
    iterations: int = 10
    """Most iterations of an alternation from one starting point."""
    threads: int = 1
    overrun: Overrun = "default"
    """delta of F11: largest share of windows whose work may exceed the window under Poisson
    arrivals. `default` is 0.05 for policies that plan windows and nothing for those that plan
    edges without batches (F6). None: windows are planned for the mean load, F9 times `fill`."""
    objective: Objective = "mean"
    """What the plan maximises: the mean accuracy (F1), the `least` of any client, or
    `proportional`, the geometric mean of all clients' (F19)."""
    moving: Moving | None = None
    """What loading models costs (F16): the plan maximises H F1 less the cost of its loads."""
    energy: EnergyGoal | None = None
    """What passes and bytes cost in joules, and a price on them or a budget in watts (F18)."""
    tight_bound: bool = True
    """Whether `certified` searches every edge once more for its bound under F11, or takes that of
    the linear relaxation, which takes less time and lies further from the plan."""
    spillover: bool = False
    """Whether queries that find their link full are answered by their client's own models: links
    are planned fuller under bursts (F17), and free memory of clients holds refuges."""

    @property
    def overflow(self) -> float | None:
        """delta of F17: the share of the time in which a link may be full; None plans links for
        the mean load."""
        return DEFAULT_OVERRUN if self.overrun == "default" else self.overrun

    def __post_init__(self) -> None:
        if not 0 < self.fill <= 1:
            raise ValueError(f"fill must lie in (0, 1], got {self.fill}")
        if self.time_limit_s <= 0:
            raise ValueError(f"time_limit_s must be greater than 0, got {self.time_limit_s}")
        if not 0 <= self.gap < 1:
            raise ValueError(f"gap must lie in [0, 1), got {self.gap}")
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}")
        given = self.overrun if isinstance(self.overrun, float | int) else DEFAULT_OVERRUN
        if not 0 < given <= 0.5:
            raise ValueError(f"overrun must lie in (0, 0.5], got {self.overrun}")
        if self.moving is not None and self.objective != "mean":
            raise ValueError(
                f"moving costs (F16) are counted in the mean accuracy; the objective "
                f"{self.objective!r} (F19) cannot pay them"
            )
        if self.energy is not None:
            self._check_energy()
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")

    def _check_energy(self) -> None:
        for label, asked in (
            (f"the objective {self.objective!r} (F19)", self.objective != "mean"),
            ("moving costs (F16)", self.moving is not None),
            ("spillover (F17), whose answers no plan counts", self.spillover),
        ):
            if asked:
                raise ValueError(f"energy (F18) goes with the mean accuracy, not with {label}")

    def resolved(self, form: EdgeForm) -> Options:
        """With `overrun` as a number or None, for a policy whose own edge constraint is `form`.
        Raises `ValueError` for an overrun that is asked for at edges that do not batch."""
        if isinstance(self.overrun, float) and self.edge_form == "unbatched":
            raise ValueError(
                "overrun is about windows; it cannot be asked for with unbatched edges"
            )
        if self.overrun != "default":
            return self
        batched = (self.edge_form or form) == "batched"
        return replace(self, overrun=DEFAULT_OVERRUN if batched else None)

    def for_bundles(self) -> Options:
        """As it is for a problem whose images are asked several tasks (F14): windows and links are
        planned for the mean load. Raises `InputError` for what needs another account of passes."""
        for label, asked in (
            ("an overrun (F11, F17)", isinstance(self.overrun, float | int)),
            ("moving costs (F16)", self.moving is not None),
            ("spillover (F17)", self.spillover),
            ("energy (F18)", self.energy is not None),
            (f"the objective {self.objective!r} (F19)", self.objective != "mean"),
        ):
            if asked:
                raise InputError(
                    "where images are asked several tasks (F14), plans are for the mean load and "
                    f"the mean accuracy; leave out {label}"
                )
        return replace(self, overrun=None)

    def limits(self, time_limit_s: float | None = None) -> SolverLimits:
        """The limits of one solver call; `time_limit_s` when less time is left."""
        seconds = self.time_limit_s if time_limit_s is None else time_limit_s
        return SolverLimits(self.gap, seconds, self.threads, self.seed)
