"""How queries arrive in a phase of a demand: at random, in bursts, by the hour, or as recorded.

A process says when; how many a second on average, and of which tasks, says the phase's
`rates_qps`. Each kind is drawn in a file of its own in `serving/traffic/arrivals/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from cluster.document import FrozenModel
from cluster.recorded_trace import RecordedTrace, read_trace

__all__ = [
    "Arrivals", "ClosedLoop", "DiurnalArrivals", "FlashCrowd", "GammaArrivals", "MmppArrivals",
    "MmppState", "PoissonArrivals", "ReplayArrivals",
]  # fmt: skip

Factor = Annotated[float, Field(ge=0)]


class PoissonArrivals(FrozenModel):
    """Independent arrivals at a constant rate: the gaps are exponential."""

    kind: Literal["poisson"] = "poisson"


class GammaArrivals(FrozenModel):
    """Gaps of a gamma distribution: with `cv` above 1 arrivals come in clusters.

    Over windows that are much longer than a cluster, variance ÷ mean of a count tends to cv².
    """

    kind: Literal["gamma"]
    cv: float | None = Field(default=None, gt=0, description="deviation ÷ mean of the gaps")
    shape: float | None = Field(default=None, gt=0, description="1 / cv²")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.cv is None) == (self.shape is None):
            raise ValueError("say either `cv` or `shape` (which is 1 / cv²)")
        return self

    @property
    def gap_shape(self) -> float:
        """The shape parameter of the gaps, however it was stated."""
        if self.shape is not None:
            return self.shape
        assert self.cv is not None  # one of both
        return 1.0 / self.cv**2


class MmppState(FrozenModel):
    """One state of a modulated process."""

    factor: float = Field(ge=0, description="of the mean rate, relative to the other states")
    dwell_s: float = Field(ge=0.001, description="mean time in it; exponential")


class MmppArrivals(FrozenModel):
    """Poisson arrivals whose rate jumps between states (Markov-modulated Poisson process).

    The factors are divided by their mean over time, so that the mean rate stays that of the phase.
    From one state the process goes to any other with the same probability.
    """

    kind: Literal["mmpp"]
    states: tuple[MmppState, ...] = Field(min_length=2)
    correlation: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="of the rates of two clients at a time: 0 each bursts alone, 1 all together",
    )
    hold_mean: bool = Field(
        default=False,
        description="scale what was drawn, so that its mean over the phase is that of `rates_qps`",
    )

    @model_validator(mode="after")
    def _some_state_has_arrivals(self) -> Self:
        if not any(state.factor > 0 for state in self.states):
            raise ValueError("every state has factor 0, so nothing would ever arrive")
        return self

    @property
    def mean_factor(self) -> float:
        """Mean of the factors over time."""
        spent_s = sum(state.dwell_s for state in self.states)
        return sum(state.factor * state.dwell_s for state in self.states) / spent_s


class DiurnalArrivals(FrozenModel):
    """Poisson arrivals whose rate follows the time of day: a sine, or factors by parts of a day."""

    kind: Literal["diurnal"]
    period_s: float | None = Field(
        default=None, ge=0.01, description="length of a day; the phase's, if left out"
    )
    swing: float | None = Field(
        default=None, ge=0, le=1, description="the rate is 1 + swing · cos of the time since a peak"
    )
    peak_s: float = Field(default=0.0, ge=0, description="time of a peak; only with `swing`")
    factors: tuple[Factor, ...] | None = Field(
        default=None, min_length=2, description="of equal parts of a day, divided by their mean"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.swing is None) == (self.factors is None):
            raise ValueError("say either `swing` or `factors`")
        if self.factors is not None and not any(self.factors):
            raise ValueError("every factor is 0, so nothing would ever arrive")
        if self.factors is not None and self.peak_s:
            raise ValueError("`peak_s` belongs to `swing`; shift the `factors` instead")
        return self


class FlashCrowd(FrozenModel):
    """Poisson arrivals at the phase's rate, and once a crowd: rise, hold, fall.

    `rates_qps` is the rate outside the crowd, so the mean of the phase is above it.
    """

    kind: Literal["flash_crowd"]
    at_s: float = Field(ge=0, description="when it begins, in seconds from the phase's start")
    rise_s: float = Field(default=0.0, ge=0, description="until it is full; linear")
    hold_s: float = Field(gt=0, description="how long it stays full")
    fall_s: float | None = Field(default=None, ge=0, description="as `rise_s`, if left out")
    factor: float = Field(gt=0, description="of the rate while it is full")


class ClosedLoop(FrozenModel):
    """Callers who wait for their answer, think, and ask again: slow answers mean fewer queries.

    `rates_qps` gives the mix of their tasks, and the rate that a plan is made for.
    """

    kind: Literal["closed_loop"]
    callers: int = Field(ge=1, le=10_000)
    think_s: float = Field(gt=0, description="mean time from an answer to the next query")


class ReplayArrivals(FrozenModel):
    """Arrivals as they were recorded: a CSV of times, or of counts a period.

    Which columns hold what is known for the traces of Azure and Twitter; `times` or `counts` name
    another. One trace for several clients is split over them, by their rates.
    """

    kind: Literal["replay"]
    file: str = Field(min_length=1, description="CSV, relative to the demand file")
    times: str | None = Field(default=None, description="column of times: seconds, or ISO 8601")
    counts: str | None = Field(default=None, description="column of counts a period")
    period_s: float | None = Field(default=None, gt=0, description="length of a period of `counts`")
    scale: Literal["thin", "time"] = Field(
        default="thin",
        description="how the mean rate is reached: arrivals left out or doubled, or time squeezed",
    )
    speed: float | None = Field(
        default=None, gt=0, description="recorded seconds a second, before arrivals are thinned"
    )
    start_s: Annotated[float, Field(ge=0)] | Literal["random"] = Field(
        default=0.0, description="where in the trace to begin; `random` is drawn by the seed"
    )
    repeat: bool = Field(default=False, description="begin again where the trace ends")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.times is not None and self.counts is not None:
            raise ValueError("say either `times` or `counts`")
        if self.period_s is not None and self.counts is None:
            raise ValueError("`period_s` belongs to `counts`")
        if self.speed is not None and self.scale == "time":
            raise ValueError("leave out `speed`: with `scale: time` it follows from the rate")
        return self

    @cached_property
    def trace(self) -> RecordedTrace:
        """The file's content, read once. Raises `DocumentError` with file and line."""
        return read_trace(
            Path(self.file), times=self.times, counts=self.counts, period_s=self.period_s
        )

    def relative_to(self, folder: Path) -> ReplayArrivals:
        """The same with its file sought in `folder`."""
        return ReplayArrivals(**{**self.model_dump(), "file": str(folder / self.file)})


KINDS = ("poisson", "gamma", "mmpp", "diurnal", "flash_crowd", "closed_loop", "replay")


def _kind(value: Any) -> str | None:
    """Which process a mapping of a file, or a process, is."""
    found = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    return found if isinstance(found, str) else None


Arrivals = Annotated[
    Annotated[PoissonArrivals, Tag("poisson")]
    | Annotated[GammaArrivals, Tag("gamma")]
    | Annotated[MmppArrivals, Tag("mmpp")]
    | Annotated[DiurnalArrivals, Tag("diurnal")]
    | Annotated[FlashCrowd, Tag("flash_crowd")]
    | Annotated[ClosedLoop, Tag("closed_loop")]
    | Annotated[ReplayArrivals, Tag("replay")],
    Discriminator(
        _kind,
        custom_error_type="unknown_kind",
        custom_error_message=f"expected `kind`, one of {', '.join(KINDS)}",
    ),
]
