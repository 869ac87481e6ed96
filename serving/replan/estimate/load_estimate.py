"""The load that the routers see: queries per second by client and task, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import exp

from pydantic import Field

from cluster.bundle_names import tasks_of_bundle
from cluster.demand import BundleLoad, Phase
from cluster.document import FrozenModel
from serving.node.snapshot import NodeSnapshot
from serving.replan.estimate.arrival_counts import ArrivalCounts, NewQueries
from serving.replan.estimate.client_load import MEMORY_S, ClientLoad
from serving.replan.estimate.common_bursts import CommonBursts
from serving.replan.estimate.dispersion import Dispersion

__all__ = ["FIRST_S", "EstimatorState", "LoadEstimate", "LoadEstimator"]

FEWEST_QUERIES = 20
"""seen in the long memory, below which there is no load to plan for"""
FIRST_S = 3.0
"""of looks before the first estimate: how little it knows then is in its errors"""


class LoadEstimate(FrozenModel):
    """Load by client and task with its standard errors, as far as it is known at one look."""

    rates_qps: dict[str, dict[str, float]] = Field(description="client -> task -> queries/s")
    bundles_qps: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="client -> tasks that are asked of one image, joined by + -> images/s, a part "
        "of `rates_qps`; clients that ask each task of an image of its own are left out (F14)",
    )
    mix_errors_qps: dict[str, dict[str, float]] = Field(
        description="standard error of each rate for a given volume of its client"
    )
    volume_errors_qps: dict[str, float] = Field(
        description="client -> standard error of its volume, dispersion included"
    )
    dispersion: dict[str, float] = Field(
        description="client -> variance / mean of its queries between two looks"
    )
    burst_correlation: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="of the rates of two clients: do all burst at once?",
    )
    short_qps: dict[str, float] = Field(
        description="client -> volume of this moment, over a second or two"
    )
    former_qps: dict[str, float] = Field(
        description="client -> volume before its latest changes, where larger and not long ago"
    )
    look_s: float = Field(ge=0, description="seconds between two looks")
    seen_s: float = Field(ge=0, description="seconds behind the least known client's rates")
    changes: int = Field(ge=0, description="changes of the mean that were found so far")
    stay_s: float = Field(
        gt=0, description="seconds for which the load may be expected to stay: the least of clients"
    )
    forecast: str = Field(
        default="seen",
        description="what the rates are by: seen, or a forecast for the period that has begun by "
        "season or smoothing",
    )
    forecast_errors: dict[str, float] = Field(
        default_factory=dict,
        description="seen and each forecast -> sum of its absolute errors over the latest season, "
        "queries; empty where none was tried",
    )

    @property
    def volume_qps(self) -> dict[str, float]:
        """Queries per second by client."""
        return {client: sum(rates.values()) for client, rates in self.rates_qps.items()}

    @property
    def total_qps(self) -> float:
        """Queries per second of all clients."""
        return sum(self.volume_qps.values())

    @property
    def in_burst(self) -> bool:
        """Whether more comes at this moment than chance brings with the mean rate, at any client:
        by four standard deviations of a Poisson count."""
        look_s = max(self.look_s, 1e-9)
        return any(
            self.short_qps.get(client, 0.0) > rate + 4.0 * (rate / look_s) ** 0.5
            for client, rate in self.volume_qps.items()
        )

    def dispersion_over(self, window_s: float) -> dict[str, float]:
        """Variance / mean of each client's queries in `window_s`, for windows up to a look (F17).

        Bursts that last longer than a look make up a share of the variance that falls with the
        square of the window: over half a look's time there is half the excess over Poisson.
        """
        share = min(1.0, window_s / self.look_s) if self.look_s > 0 else 1.0
        return {client: 1.0 + (value - 1.0) * share for client, value in self.dispersion.items()}

    def phase(self) -> Phase:
        """The mean load, as a phase of a demand."""
        alone = {client: dict(rates) for client, rates in self.rates_qps.items()}
        bundles = [
            BundleLoad(client=client, tasks=tasks_of_bundle(name), qps=qps)
            for client, asked in self.bundles_qps.items()
            for name, qps in asked.items()
        ]
        for bundle in bundles:
            rates = alone[bundle.client]
            rates |= {task: max(0.0, rates[task] - bundle.qps) for task in bundle.tasks}
        return Phase(duration_s=max(self.seen_s, 1e-3), rates_qps=alone, bundles=tuple(bundles))

    def error_qps(self, client: str, task: str) -> float:
        """Standard error of one rate."""
        rate, volume = self.rates_qps[client][task], self.volume_qps[client]
        common = self.volume_errors_qps[client] * rate / volume if volume > 0 else 0.0
        return float((common**2 + self.mix_errors_qps[client][task] ** 2) ** 0.5)


class EstimatorState(FrozenModel):
    """All that a `LoadEstimator` knows, to go on from."""

    clients: dict[str, ClientLoad] = Field(default_factory=dict)
    common: CommonBursts = CommonBursts()

    @classmethod
    def before_looking(
        cls,
        dispersion: Mapping[str, float],
        window_s: float,
        look_s: float,
        burst_correlation: float | None = None,
    ) -> EstimatorState:
        """What the plan in force says of bursts: client -> dispersion in windows of `window_s`, of
        which looks come every `look_s`, and how far clients burst at once. Bursts are taken to
        last longer than a look."""
        grown = max(1.0, look_s / window_s)
        return cls(
            clients={
                client: ClientLoad(dispersion=Dispersion.stated(1.0 + (value - 1.0) * grown))
                for client, value in dispersion.items()
                if value > 1.0
            },
            common=CommonBursts(stated=burst_correlation),
        )


class LoadEstimator:
    """Keeps the state of every client's estimate, look by look."""

    def __init__(self, tasks: Collection[str], state: EstimatorState | None = None) -> None:
        self._counts = ArrivalCounts(tasks)
        self._state = state or EstimatorState()
        self._latest: Mapping[str, NewQueries] = {}

    @property
    def latest(self) -> Mapping[str, NewQueries]:
        """What the latest look found new, by client."""
        return self._latest

    @property
    def state(self) -> EstimatorState:
        """What is known now."""
        return self._state

    def update(self, clients: Mapping[str, NodeSnapshot]) -> LoadEstimate | None:
        """Take in the clients' counters; None until they show enough queries for long enough.

        A client that gives no answer may be left out: what was known of it stays.
        """
        known = dict(self._state.clients)
        self._latest = self._counts.update(clients)
        common = self._common_after(self._latest)
        for name, new in self._latest.items():
            known[name] = known.get(name, ClientLoad()).after(new)
        self._state = EstimatorState(clients=known, common=common)
        return self._state_estimate()

    def _common_after(self, latest: Mapping[str, NewQueries]) -> CommonBursts:
        """With what the clients sent beyond their means since they were looked at before."""
        known = self._state.clients
        found = [known[name].excess(new) for name, new in latest.items() if name in known]
        clients = [each for each in found if each is not None]
        if len(clients) < 2:
            return self._state.common
        kept = exp(-max(new.spent_s for new in latest.values()) / MEMORY_S)
        return self._state.common.after(clients, kept)

    def _state_estimate(self) -> LoadEstimate | None:
        known = {name: load for name, load in self._state.clients.items() if load.seconds > 0}
        queries = sum(load.count for load in known.values())
        if queries < FEWEST_QUERIES or min(load.seen_s for load in known.values()) < FIRST_S:
            return None
        return LoadEstimate(
            rates_qps={name: load.rates_qps for name, load in known.items()},
            bundles_qps={
                name: bundles
                for name, load in known.items()
                if (bundles := load.together.bundles_qps(load.rates_qps))
            },
            mix_errors_qps={name: load.mix_errors_qps for name, load in known.items()},
            volume_errors_qps={name: load.volume_error_qps for name, load in known.items()},
            dispersion={name: load.dispersion.of_a_look for name, load in known.items()},
            burst_correlation=self._state.common.correlation,
            short_qps={name: load.short_qps for name, load in known.items()},
            former_qps={
                name: load.former_qps
                for name, load in known.items()
                if load.former_qps > load.volume_qps
            },
            look_s=max(load.look_s for load in known.values()),
            seen_s=min(min(load.seconds, load.mix_seconds) for load in known.values()),
            changes=sum(load.changes for load in known.values()),
            stay_s=min(load.stay.expected_s for load in known.values()),
        )
