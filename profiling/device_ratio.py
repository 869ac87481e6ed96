"""How many times as long as the host a device takes: stated, or from published times.

Published times are of other networks than ours. So the networks that were published are timed on
the host, too. Of a class of networks the ratio device / host is the geometric mean over them, at
each published batch size, and our models of the class are taken to have that ratio. Its error is
how far the ratio of the others misses a network that is left out, in the median.

For example, a board takes 30 ms and 60 ms for two networks that take 6 ms and 10 ms here. The
ratios are 5 and 6, that of the class is 5.5. Each alone misses the other by about a fifth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from profiling.published import NetworkLatency, PublishedDevice

__all__ = ["DeviceRatio", "published_ratio", "stated_ratio"]


@dataclass(frozen=True)
class DeviceRatio:
    """Time of a device / time of the host, by batch size."""

    by_batch: Mapping[int, float]
    source: str
    error: float | None
    """relative, where it is known"""

    def at(self, batch: int) -> float:
        """The ratio of a batch size: linear between those that are known, the nearest beyond."""
        sizes = sorted(self.by_batch)
        return float(np.interp(batch, sizes, [self.by_batch[size] for size in sizes]))


def stated_ratio(times: float) -> DeviceRatio:
    """A device that takes `times` as long for every batch."""
    return DeviceRatio({1: times}, f"{times:g} times the host's median", None)


def published_ratio(
    device: PublishedDevice, network_class: str, host_s: Mapping[NetworkLatency, float]
) -> DeviceRatio:
    """The ratio of a class of networks. `host_s` is what the host takes for published rows of the
    class; of each batch size there is every row, or none."""
    by_batch: dict[int, float] = {}
    misses: list[float] = []
    for batch in device.batches(network_class):
        log_n = np.array(
            [
                np.log(row.latency_s / host_s[row])
                for row in device.classes[network_class]
                if row.batch == batch and row in host_s
            ]
        )
        if not len(log_n):
            continue
        by_batch[batch] = float(np.exp(log_n.mean()))
        others_n = (log_n.sum() - log_n) / (len(log_n) - 1)
        misses += np.abs(np.exp(others_n - log_n) - 1).tolist()
    return DeviceRatio(
        by_batch,
        f"published times of {network_class} networks on {device.name} / the same networks here",
        float(np.median(misses)),
    )
