"""What links carry and devices take, as measured while serving, relative to what is planned with.

At each look, a link has sent so many bytes while it was busy, and a device has run so many batches:
divided by what the topology and the profiles say, that is a ratio. Of the latest ratios the median
counts, since single looks may hold a stall, with an interval of two standard errors by their median
deviation. Plans go by it where it is *clearly* another: where the interval has nothing in common
with what is used now, give or take `TOLERANCE`.

Example: a link of 400 KB/s that shows 98, 104, 99, 101 and 100 KB/s is used with a ratio of .25. At
370 KB/s it would be left: such a difference may as well be the host's.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

import numpy as np
from pydantic import Field

from cluster.document import FrozenModel
from serving.node.snapshot import NodeSnapshot
from serving.normal_errors import median_error
from serving.setting.setting import Setting

__all__ = ["TOLERANCE", "Calibration", "MeasuredRatio", "measured_rtt_s", "round_trip_of"]

LOOKS = 7
"""the latest ones that count: half of them must agree before a change is believed"""
FEWEST_LOOKS = 3
LEAST_BUSY_S = 0.05
"""of a look in which a link or device must be busy, for its ratio to count"""
TOLERANCE = 1.25
LEAST_ERROR = 0.02
"""of a ratio, relative: what clocks and rounding add"""
RTT_FLOOR_S = 0.01
"""put on top of round trips that are compared: a few milliseconds are the nodes' own"""
LEAST_RATIO, LARGEST_RATIO = 1e-3, 1e3
"""that a look may show: beyond them nothing more follows for a plan, and 0 would make a device's
batches free"""


class MeasuredRatio(FrozenModel):
    """Measured / stated of one link's bandwidth or round trip, or of one device's batch times."""

    recent: tuple[float, ...] = ()
    used: float = Field(default=1.0, gt=0, description="that plans are made with")

    @property
    def value(self) -> float:
        """The median; 1 while nothing is known."""
        return float(np.median(self.recent)) if self.recent else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Where the ratio lies, by two standard errors."""
        value = self.value
        error = median_error(self.recent, len(self.recent)) if self.recent else 0.0
        error = max(error, LEAST_ERROR * value)
        return value - 2.0 * error, value + 2.0 * error

    def after(self, ratio: float) -> MeasuredRatio:
        """With one more look. One whose ratio is no number says nothing."""
        if isnan(ratio):
            return self
        ratio = min(max(ratio, LEAST_RATIO), LARGEST_RATIO)
        grown = MeasuredRatio(recent=(*self.recent, ratio)[-LOOKS:], used=self.used)
        low, high = grown.interval
        clear = low > self.used * TOLERANCE or high < self.used / TOLERANCE
        if len(grown.recent) < FEWEST_LOOKS or not clear:
            return grown
        as_stated = 1.0 / TOLERANCE < grown.value < TOLERANCE
        return grown.model_copy(update={"used": 1.0 if as_stated else round(grown.value, 3)})


def round_trip_of(link: str) -> str:
    """What the round trip of a link is called among ratios."""
    return f"the round trip of {link}"


def measured_rtt_s(ratio: float, stated_rtt_s: float) -> float:
    """The round trip that a ratio of `Calibration.round_trips` stands for."""
    return max(0.0, ratio * (stated_rtt_s + RTT_FLOOR_S) - RTT_FLOOR_S)


Total = tuple[float, float]
"""what was done, and in how many seconds, since the node started"""


class Calibration(FrozenModel):
    """The ratios of all links and devices; `after` gives the next state.

    Round trips are compared with `RTT_FLOOR_S` on top, also of those that are stated to be 0.
    """

    links: dict[str, MeasuredRatio] = Field(
        default_factory=dict, description="'source to target' -> measured / stated bandwidth"
    )
    round_trips: dict[str, MeasuredRatio] = Field(
        default_factory=dict, description="'source to target' -> measured / stated, see above"
    )
    devices: dict[str, MeasuredRatio] = Field(
        default_factory=dict, description="node -> measured / profiled seconds of its batches"
    )
    link_totals: dict[str, Total] = Field(default_factory=dict)
    """bytes and busy seconds at the latest look"""
    device_totals: dict[str, Total] = Field(default_factory=dict)
    """seconds that all batches should have taken by their profiles, and seconds that they took"""

    @property
    def used(self) -> dict[str, float]:
        """Ratios that plans go by, of links, round trips and devices, where they are not 1."""
        trips = {round_trip_of(link): ratio for link, ratio in self.round_trips.items()}
        every = {**self.links, **trips, **self.devices}
        return {name: ratio.used for name, ratio in sorted(every.items()) if ratio.used != 1.0}

    def after(self, shown: Mapping[str, NodeSnapshot], setting: Setting) -> Calibration:
        """With one more look at those nodes that answered; `setting` has what is stated."""
        links, link_totals = dict(self.links), dict(self.link_totals)
        trips = dict(self.round_trips)
        devices, device_totals = dict(self.devices), dict(self.device_totals)
        for link in setting.topology.links:
            use = shown[link.source].links.get(link.target) if link.source in shown else None
            if use is not None:
                name, total = link.name, (float(use[0]), use[1])
                sent, busy_s = _since(link_totals.get(name), total)
                link_totals[name] = total
                if busy_s >= LEAST_BUSY_S:
                    ratio = sent / busy_s / link.bytes_per_s
                    links[name] = links.get(name, MeasuredRatio()).after(ratio)
                if sent > 0:
                    ratio = (use.rtt_s + RTT_FLOOR_S) / (link.rtt_s + RTT_FLOOR_S)
                    trips[name] = trips.get(name, MeasuredRatio()).after(ratio)
        for node, seen in shown.items():
            took_s = sum(total.spent_s for total in seen.batch_totals.values())
            total = _stated_s(node, seen, setting), took_s
            stated_s, spent_s = _since(device_totals.get(node), total)
            device_totals[node] = total
            if stated_s > 0 and spent_s >= LEAST_BUSY_S:
                devices[node] = devices.get(node, MeasuredRatio()).after(spent_s / stated_s)
        return Calibration(
            links=links,
            round_trips=trips,
            devices=devices,
            link_totals=link_totals,
            device_totals=device_totals,
        )


def _since(before: Total | None, now: Total) -> Total:
    """What is new; all of it after a node was started anew, nothing at the first look."""
    if before is None:
        return 0.0, 0.0
    if now[0] < before[0] or now[1] < before[1]:
        return now
    return now[0] - before[0], now[1] - before[1]


def _stated_s(node: str, seen: NodeSnapshot, setting: Setting) -> float:
    """Seconds that the node's batches should have taken so far."""
    stated_s = 0.0
    for model, total in seen.batch_totals.items():
        profile = setting.profiles.find(node, model)
        if profile is None:
            return 0.0  # of unknown models it is not known what they should take
        stated_s += profile.setup_s * total.batches + profile.marginal_s * total.queries
    return stated_s
