"""One link of the hierarchy: what it carries, as declared or as recorded, and its round trip."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, model_validator

from cluster.document import FrozenModel
from cluster.link_trace import LinkTrace, read_link_trace

__all__ = ["Link", "LinkTraceFile", "Name", "link_name"]


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name, re.ASCII):
        raise ValueError(
            "expected a name of lower-case letters, digits and hyphens, at most 63 of them"
        )
    return name


Name = Annotated[str, AfterValidator(_check_name)]
"""of a node"""


class LinkTraceFile(FrozenModel):
    """A link's capacity over time as it was recorded (`cluster.link_trace`), from its beginning
    once more where it ends."""

    file: str = Field(min_length=1, description="CSV or mahimahi's format, beside the topology")
    name: str | None = Field(default=None, description="of one in a CSV with a column `trace`")
    scale: float = Field(default=1.0, gt=0, le=1e6, description="times the recorded capacity")
    seed: int | None = Field(
        default=None, ge=0, description="draws where in the trace to begin; at its start without"
    )

    @cached_property
    def recorded(self) -> LinkTrace:
        """The file's content, read once. Raises `DocumentError` with file and line."""
        found = read_link_trace(Path(self.file), self.name)
        return found if self.scale == 1.0 else found.scaled(self.scale)

    @cached_property
    def shift_s(self) -> float:
        """Where in the trace it begins: uniform over its length, by the seed."""
        if self.seed is None:
            return 0.0
        return float(np.random.default_rng(self.seed).random()) * self.recorded.length_s

    def relative_to(self, folder: Path) -> LinkTraceFile:
        """The same with its file sought in `folder`."""
        return self.model_copy(update={"file": str(folder / self.file)})


def _file_alone(given: Any) -> Any:
    return {"file": given} if isinstance(given, str) else given


class Link(FrozenModel):
    """A directed uplink; answers return over it too, but only the way up is budgeted (F7).

    `budget_share` keeps the mean load below the bandwidth: queries arrive in bursts, and the
    queue of a link that is full in the mean grows without bound. Of a link with a `trace` the
    `bandwidth` is the most that it carries at any time, if it is stated.
    """

    source: Name
    target: Name
    bandwidth: ByteSize | None = Field(
        default=None, gt=0, description="bytes per second, e.g. 2.5MB"
    )
    budget_share: float = Field(default=0.7, gt=0, le=1, description="kappa / bandwidth")
    rtt_s: float = Field(default=0.0, ge=0, le=60, description="the least that a round trip takes")
    jitter_s: float | None = Field(
        default=None, ge=0, le=60, description="the most that one takes beyond it, at random"
    )
    trace: Annotated[LinkTraceFile, BeforeValidator(_file_alone)] | None = Field(
        default=None, description="recorded capacity over time: a file, or a mapping with `file`"
    )

    @model_validator(mode="before")
    @classmethod
    def _loses_nothing(cls, given: Any) -> Any:
        if isinstance(given, dict) and "loss" in given:
            raise ValueError(
                "`loss` cannot be had: nodes speak TCP over links that lose nothing, and what TCP "
                "makes of losses depends on the kernel; state that, as a lower `bandwidth` or a "
                "`trace`, and `jitter_s`"
            )
        return given

    @model_validator(mode="after")
    def _carries(self) -> Self:
        if self.bandwidth is None and self.trace is None:
            raise ValueError("expected `bandwidth`, such as 2.5MB, or a `trace`")
        return self

    @property
    def name(self) -> str:
        """How it is named where a text must do."""
        return link_name(self.source, self.target)

    @property
    def slowest_rtt_s(self) -> float:
        """The longest that a round trip takes: what may be promised (F13)."""
        return self.rtt_s + (self.jitter_s or 0.0)

    @cached_property
    def recorded(self) -> LinkTrace | None:
        """Its capacity over time, if that was recorded. Raises `DocumentError`."""
        if self.trace is None:
            return None
        found = self.trace.recorded
        return found if self.bandwidth is None else found.capped(float(self.bandwidth))

    @property
    def bytes_per_s(self) -> float:
        """What it carries: the bandwidth, or of a recorded capacity the mean (B of F7 and F17)."""
        recorded = self.recorded
        if recorded is not None:
            return recorded.mean_bytes_per_s
        assert self.bandwidth is not None  # one of both
        return float(self.bandwidth)

    @property
    def most_bytes_per_s(self) -> float:
        """The most that it carries at any time: the bandwidth, or the peak of what was recorded."""
        recorded = self.recorded
        return self.bytes_per_s if recorded is None else float(recorded.bytes_per_s_k.max())

    @property
    def budget_bytes_per_s(self) -> float:
        """kappa: what a plan may use in the mean."""
        return self.budget_share * self.bytes_per_s

    def carrying(self, bytes_per_s: float) -> Link:
        """The same with a bandwidth that stays as it is."""
        size = ByteSize(max(1, int(bytes_per_s)))
        return self.model_copy(update={"bandwidth": size, "trace": None})


def link_name(source: str, target: str) -> str:
    """How a link is named where a text must do."""
    return f"{source} to {target}"
