"""Demand: how many queries per second each client asks of each task (lambda_it), by phase, and
within which time answers are wanted (D_t)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from cluster.arrivals import (
    Arrivals,
    ClosedLoop,
    FlashCrowd,
    MmppArrivals,
    PoissonArrivals,
    ReplayArrivals,
)
from cluster.bundle_names import bundle_name
from cluster.deadline_classes import (
    Classes,
    Deadlines,
    check_classes,
    check_names,
    deadlines_of,
    has_class,
    split_rates,
)
from cluster.document import Document, DocumentError, FrozenModel
from cluster.errors import InputError
from cluster.lasting_bursts import planned_dispersion
from cluster.timeline import TimelineEvent, check_order, nearest

__all__ = ["EVERY_CLIENT", "BundleLoad", "Demand", "Phase", "RatesQps"]

RateQps = Annotated[float, Field(ge=0, le=1e6)]
RatesQps = dict[str, dict[str, RateQps]]
EVERY_CLIENT = "*"
"""names all clients that no other entry names"""


class BundleLoad(FrozenModel):
    """Images of one client of which several tasks are asked in one request (F14)."""

    client: str
    tasks: tuple[str, ...] = Field(min_length=2)
    qps: RateQps = Field(description="images/s, beside what `rates_qps` asks alone")

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        twice = [task for position, task in enumerate(tasks) if task in tasks[:position]]
        if twice:
            raise ValueError(f"{twice[0]!r} is asked twice of one image")
        return tasks

    @property
    def name(self) -> str:
        """See `bundle_name`."""
        return bundle_name(self.tasks)


class Phase(FrozenModel):
    """A stretch of time over which the mean rates hold, or move from one mix to another."""

    duration_s: float = Field(gt=0)
    rates_qps: RatesQps = Field(
        description="client -> task, or class of one as TASK@CLASS -> queries/s, each of an image "
        "of its own"
    )
    bundles: tuple[BundleLoad, ...] = Field(
        default=(), description="images of which several tasks are asked in one request (F14)"
    )
    drift_to_qps: RatesQps | None = Field(
        default=None, description="rates at the end; from `rates_qps` to them in a straight line"
    )
    arrivals: dict[str, Arrivals] = Field(
        default_factory=dict, description="one process for all clients, or by client; poisson"
    )
    dispersion: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="client -> variance / mean of its queries in 2 T_b (F17); what its "
        "arrivals have, if left out",
    )
    burst_correlation: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of the rates of two clients (F17): 0 if each bursts alone, 1 if all burst at "
        "once; that of its arrivals, if left out",
    )

    @field_validator("arrivals", mode="before")
    @classmethod
    def _one_for_all(cls, value: Any) -> Any:
        """`{kind: gamma, ...}` without a client's name is meant for every client."""
        if not isinstance(value, Mapping):
            return value
        if isinstance(value.get("kind"), str):
            return {EVERY_CLIENT: value}
        if any(isinstance(each, str | int | float | list) for each in value.values()):
            raise ValueError("expected `kind: ...`, or for each client a mapping with its kind")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        for client in self.arrivals:
            if client != EVERY_CLIENT and client not in self.rates_qps:
                raise ValueError(
                    f"arrivals.{client}: `rates_qps` has no client of that name; clients: "
                    f"{', '.join(self.rates_qps)}"
                )
        for client, rates in (self.drift_to_qps or {}).items():
            unknown = sorted(rates.keys() - self.rates_qps.get(client, {}).keys())
            if unknown or client not in self.rates_qps:
                raise ValueError(
                    f"drift_to_qps.{'.'.join([client, *unknown[:1]])}: `rates_qps` lacks it; state "
                    "it there with the rate at the start, 0 if it is not asked then"
                )
        for client, process in self.arrivals.items():
            if isinstance(process, FlashCrowd) and process.at_s >= self.duration_s:
                raise ValueError(
                    f"arrivals.{client}: the crowd comes at {process.at_s:g} s, after the phase's "
                    f"end at {self.duration_s:g} s"
                )
        self._check_bundles()
        return self

    def _check_bundles(self) -> None:
        stated: dict[tuple[str, str], int] = {}
        for position, bundle in enumerate(self.bundles):
            where = f"bundles.{position}"
            if bundle.client not in self.rates_qps:
                raise ValueError(
                    f"{where}.client: `rates_qps` has no client {bundle.client!r}"
                    f"{nearest(bundle.client, self.rates_qps)}; state it there, with {{}} if it "
                    "asks nothing else"
                )
            if isinstance(self.arrivals_of(bundle.client), ClosedLoop):
                raise ValueError(
                    f"{where}: callers who wait (closed_loop) ask one task at a time; give "
                    f"{bundle.client!r} other arrivals"
                )
            first = stated.setdefault((bundle.client, bundle.name), position)
            if first != position:
                raise ValueError(
                    f"{where}: bundles.{first} has the same tasks of {bundle.client!r}; state one "
                    "rate for both"
                )

    @property
    def asked_qps(self) -> RatesQps:
        """client -> task -> queries/s at the start of the phase, those of bundles among them."""
        asked = {client: dict(rates) for client, rates in self.rates_qps.items()}
        for bundle in self.bundles:
            for task in bundle.tasks:
                of_client = asked[bundle.client]
                of_client[task] = of_client.get(task, 0.0) + bundle.qps
        return asked

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks, and classes of them, that some client asks, in the order of the file."""
        asked = (task for rates in self.asked_qps.values() for task in rates)
        return tuple(dict.fromkeys(asked))

    @property
    def total_qps(self) -> float:
        """Queries per second over all clients and tasks, at the start of the phase."""
        return sum(sum(rates.values()) for rates in self.asked_qps.values())

    @property
    def asks(self) -> bool:
        """Whether any query comes, at the start of the phase or at its end."""
        drift = (self.drift_to_qps or {}).values()
        return self.total_qps > 0 or any(rate > 0 for rates in drift for rate in rates.values())

    def arrivals_of(self, client: str) -> Arrivals:
        """The process of a client."""
        for name in (client, EVERY_CLIENT):
            if name in self.arrivals:
                return self.arrivals[name]
        return PoissonArrivals()

    def dispersion_of(self, client: str, window_s: float) -> float:
        """The dispersion of a client's queries that plans leave room for (F17) where edges have
        windows of `window_s`: what the phase states, or what its process asks for."""
        if client in self.dispersion:
            return self.dispersion[client]
        process, rate_qps = self.arrivals_of(client), self._qps_of(client)
        if isinstance(process, ReplayArrivals) and client not in self.arrivals:
            # Clients share the trace: each is dealt its part of what arrives for all of them.
            total_qps = sum(self._qps_of(name) for name in self.rates_qps.keys() - self.arrivals)
            part = rate_qps / total_qps if total_qps > 0 else 0.0
            return 1.0 + part * (planned_dispersion(process, total_qps, window_s) - 1.0)
        return planned_dispersion(process, rate_qps, window_s)

    @property
    def common_bursts(self) -> float:
        """rho, the correlation of the rates of two clients (F17): what the phase states, or the
        largest of its processes. A trace for all clients bursts for all of them at once."""
        if self.burst_correlation is not None:
            return self.burst_correlation
        if isinstance(self.arrivals.get(EVERY_CLIENT), ReplayArrivals):
            return 1.0
        modulated = (each for each in self.arrivals.values() if isinstance(each, MmppArrivals))
        return max((process.correlation for process in modulated), default=0.0)

    def _qps_of(self, client: str) -> float:
        """Requests per second, at the start of the phase."""
        together_qps = sum(bundle.qps for bundle in self.bundles if bundle.client == client)
        return sum(self.rates_qps.get(client, {}).values()) + together_qps

    def scaled(self, factor: float) -> Phase:
        """The same with every rate, and every number of waiting callers, times `factor`."""
        arrivals: dict[str, Arrivals] = {
            client: process.model_copy(update={"callers": max(1, round(process.callers * factor))})
            if isinstance(process, ClosedLoop)
            else process
            for client, process in self.arrivals.items()
        }
        update: dict[str, Any] = {
            "rates_qps": _scaled(self.rates_qps, factor),
            "bundles": tuple(
                bundle.model_copy(update={"qps": bundle.qps * factor}) for bundle in self.bundles
            ),
            "arrivals": arrivals,
        }
        if self.drift_to_qps is not None:
            update["drift_to_qps"] = _scaled(self.drift_to_qps, factor)
        return self.model_copy(update=update)

    def end_qps(self, client: str, task: str) -> float:
        """The rate at the end of the phase."""
        start_qps = self.rates_qps[client][task]
        if self.drift_to_qps is None:
            return start_qps
        return self.drift_to_qps.get(client, {}).get(task, 0.0)


class Demand(Document):
    """A sequence of phases; a plan is made for one phase."""

    made_by: ClassVar[str] = "docs/formats.md says what stands in it; cluster/specs has some"

    name: str
    phases: tuple[Phase, ...] = Field(min_length=1)
    timeline: tuple[TimelineEvent, ...] = Field(
        default=(), description="what happens meanwhile, in seconds from the first phase's start"
    )
    deadlines_s: Deadlines = Field(
        default_factory=dict,
        description="task, or class of one as TASK@CLASS -> D_t, seconds within which its queries "
        "are worth an answer (F13, F20)",
    )
    classes: Classes = Field(
        default_factory=dict,
        description="task -> class -> `share` of the task's queries and their `deadline_s` (F20): "
        "a short way to write `rates_qps` of TASK@CLASS and their deadlines, which is written out "
        "when the demand is made",
    )

    @model_validator(mode="after")
    def _write_out_classes(self) -> Self:
        check_names(self.deadlines_s, "deadlines_s")
        check_classes(self.classes, (task for p in self.phases for task in p.tasks))
        found = deadlines_of(self.classes)
        check_names(found, "classes")
        for name in sorted(found.keys() & self.deadlines_s.keys()):
            raise ValueError(f"deadlines_s.{name}: `classes` states it too; leave one of them out")
        phases = tuple(
            _by_class(phase, self.classes, f"phases.{position}")
            for position, phase in enumerate(self.phases)
        )
        deadlines_s = {**self.deadlines_s, **found}
        for position, phase in enumerate(phases):
            for name in phase.tasks:
                if has_class(name) and name not in deadlines_s:
                    raise ValueError(
                        f"phases.{position}.rates_qps: {name} is a class without a deadline; state "
                        "it in `deadlines_s`"
                    )
        for field, value in (("phases", phases), ("deadlines_s", deadlines_s), ("classes", {})):
            object.__setattr__(self, field, value)  # the one moment at which it may change
        return self

    @model_validator(mode="after")
    def _check_load(self) -> Self:
        if not any(phase.asks for phase in self.phases):
            raise ValueError("phases: nothing is asked; state a rate over 0 of some task")
        return self

    @model_validator(mode="after")
    def _check_timeline(self) -> Self:
        check_order(self.timeline, sum(phase.duration_s for phase in self.phases))
        clients = sorted({client for phase in self.phases for client in phase.rates_qps})
        for position, event in enumerate(self.timeline):
            load = event.scale_load
            if load is not None and load.client not in clients:
                raise ValueError(
                    f"timeline.{position}.scale_load: `rates_qps` has no client "
                    f"{load.client!r}{nearest(load.client, clients)}"
                )
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read `path` and the traces that it names. Raises `DocumentError` for a fault of any."""
        demand = super().load(path)
        folder = Path(path).parent
        phases = tuple(
            _with_traces(phase, folder, f"{path}: phases.{position}")
            for position, phase in enumerate(demand.phases)
        )
        return demand.model_copy(update={"phases": phases})

    def part(
        self, phase: int | None = None, duration_s: float | None = None
    ) -> tuple[tuple[Phase, ...], tuple[TimelineEvent, ...]]:
        """One phase (all, if None), each of `duration_s` seconds (its own, if None), and the events
        of these times; a run that leaves out a phase leaves out its events.

        Raises `InputError` if there is no such phase, or no duration.
        """
        if phase is not None and not 0 <= phase < len(self.phases):
            raise InputError(
                f"--phase {phase}: the demand {self.name!r} has phases 0 to {len(self.phases) - 1}"
            )
        if duration_s is not None and duration_s <= 0:
            raise InputError(f"--duration must be positive, got {duration_s}")
        phases: list[Phase] = []
        events: list[TimelineEvent] = []
        start_s = begin_s = 0.0
        for position, whole in enumerate(self.phases):
            if phase is None or position == phase:
                length_s = whole.duration_s if duration_s is None else duration_s
                shown_s = min(whole.duration_s, length_s)
                phases.append(whole.model_copy(update={"duration_s": length_s}))
                events += [
                    event.model_copy(update={"at_s": event.at_s - start_s + begin_s})
                    for event in self.timeline
                    if start_s <= event.at_s < start_s + shown_s
                ]
                begin_s += length_s
            start_s += whole.duration_s
        return tuple(phases), tuple(events)


def _by_class(phase: Phase, classes: Classes, where: str) -> Phase:
    """`phase` with each class as a task of its own. Raises `ValueError` where it is one already."""
    if not classes:
        return phase
    update: dict[str, Any] = {}
    for field in ("rates_qps", "drift_to_qps"):
        stated: RatesQps | None = getattr(phase, field)
        if stated is None:
            continue
        try:
            update[field] = split_rates(stated, classes)
        except ValueError as error:
            raise ValueError(f"{where}.{field}.{error}") from None
    return phase.model_copy(update=update)


def _scaled(rates_qps: RatesQps, factor: float) -> RatesQps:
    return {
        client: {task: rate_qps * factor for task, rate_qps in rates.items()}
        for client, rates in rates_qps.items()
    }


def _with_traces(phase: Phase, folder: Path, where: str) -> Phase:
    arrivals: dict[str, Arrivals] = {}
    for client, process in phase.arrivals.items():
        if isinstance(process, ReplayArrivals):
            process = process.relative_to(folder)
            try:
                _ = process.trace
            except DocumentError as error:
                raise DocumentError(f"{where}.arrivals: {error}") from None
        arrivals[client] = process
    return phase.model_copy(update={"arrivals": arrivals}) if arrivals else phase
