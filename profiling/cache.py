"""Measurements that are kept, so that what was measured once is not measured again.

Each is a file of its own, named by what decides its figures (`Origin.key`): hardware, threads,
model, versions, sizes and rule. It is written as soon as the model is measured, so a run that was
interrupted goes on where it stopped. The folder may be deleted at any time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from cluster.document import FrozenModel, write_atomically
from models.zoo.cards import ModelCard
from profiling.measured import Hardware, MeasuredModel, Origin
from profiling.sampling import SamplingRule

__all__ = ["MeasurementCache", "origin_of"]

METHOD = "3"
"""of measuring; another one finds other figures"""
T = TypeVar("T", bound=FrozenModel)


def origin_of(
    card: ModelCard,
    hardware: Hardware,
    versions: dict[str, str],
    sizes: tuple[int, ...],
    max_batches: tuple[int, ...],
    rule: SamplingRule,
) -> Origin:
    """What decides a measurement of `card`."""
    return Origin(
        hardware=hardware,
        model_digest=card.digest,
        versions=versions,
        sizes=sizes,
        max_batches=tuple(sorted(set(max_batches))),
        asked=f"method {METHOD}, width {rule.width:g}, {rule.budget_s:g} s, {rule.most_runs} runs",
    )


class MeasurementCache:
    """Files in `folder`, or none at all where it is None. What cannot be read is not there. A
    `fresh` one only writes."""

    def __init__(self, folder: Path | None, *, fresh: bool = False) -> None:
        self._folder = folder
        self._fresh = fresh

    def find(self, origin: Origin) -> MeasuredModel | None:
        """What was measured of that origin. A measurement in which the device was slowed down by
        heat or power does not count."""
        found = self.read(origin.key, MeasuredModel)
        if found is None or found.origin != origin:
            return None
        return None if found.conditions and found.conditions.throttled else found

    def keep(self, measured: MeasuredModel) -> None:
        """Write it; it needs an origin. A folder that cannot be written keeps nothing."""
        assert measured.origin is not None
        self.write(measured.origin.key, measured)

    def read(self, key: str, kind: type[T]) -> T | None:
        """The value of that key; None where there is none of this kind."""
        if self._folder is None or self._fresh:
            return None
        try:
            return kind.model_validate_json((self._folder / f"{key}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, key: str, value: FrozenModel) -> None:
        """Keep `value` under `key`."""
        if self._folder is None:
            return
        try:
            write_atomically(self._folder / f"{key}.json", value.model_dump_json(indent=1))
        except OSError:  # a cache is no result
            return
