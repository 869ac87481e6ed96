"""Model libraries and device catalogues: published figures, each file with source and licence."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from cluster.document import Document, FrozenModel
from planner.problem import FloatArray

__all__ = [
    "DeviceCatalogue",
    "DeviceClass",
    "LibraryModel",
    "LinkClass",
    "ModelLibrary",
    "load_devices",
    "load_library",
]

FOLDER = Path(__file__).parent / "libraries"
LOWEST, HIGHEST = 0.55, 0.95


class LibraryModel(FrozenModel):
    """One network: parameters, multiply-adds of one query, and its published metric by task."""

    name: str
    parameters_m: float = Field(gt=0, description="millions")
    gmacs: float = Field(gt=0, description="billions of multiply-adds per query")
    metric: dict[str, float]


class ModelLibrary(Document):
    """A family's models. `better` says for each task whether a larger metric is better (`up`)."""

    name: str
    source: str
    licence: str
    stand_ins: str = Field(description="what is not a published figure of these networks")
    tasks: tuple[str, ...]
    better: dict[str, str]
    query_bytes: float = Field(gt=0)
    answer_bytes: float = Field(gt=0)
    models: tuple[LibraryModel, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for position, model in enumerate(self.models):
            unknown = set(model.metric) - set(self.tasks)
            if unknown or not model.metric:
                raise ValueError(f"models.{position}.metric: unknown or no task {sorted(unknown)}")
        return self

    def accuracy_mt(self) -> FloatArray:
        """Metrics stretched task by task to [0.55, 0.95] (0: not served), so that tasks with
        different units weigh alike. The second best and second worst set the ends: an outlier
        neither squeezes nor stretches the rest."""
        accuracy_mt = np.zeros((len(self.models), len(self.tasks)))
        for t, task in enumerate(self.tasks):
            m = [i for i, model in enumerate(self.models) if task in model.metric]
            sign = 1.0 if self.better[task] == "up" else -1.0
            value = sign * np.array([self.models[i].metric[task] for i in m])
            ordered = np.sort(value)
            low, high = (ordered[1], ordered[-2]) if len(m) > 3 else (ordered[0], ordered[-1])
            place = np.clip((value - low) / max(high - low, 1e-12), 0.0, 1.0)
            accuracy_mt[m, t] = LOWEST + (HIGHEST - LOWEST) * place
        return accuracy_mt


class DeviceClass(FrozenModel):
    """How fast a device runs: latency(b) = setup_s sqrt(GMACs / 4.089) + s_per_gmac GMACs b."""

    name: str
    tier: str
    setup_s: float = Field(ge=0, description="per batch, for a ResNet-50 (4.089 GMACs)")
    s_per_gmac: float = Field(gt=0)
    bytes_per_parameter: float = Field(gt=0)
    source: str


class LinkClass(FrozenModel):
    """Quantiles of a measured uplink, Mbit/s."""

    name: str
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    source: str

    def draw_bytes_per_s(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Uplinks drawn between the 5 % and 95 % quantiles, linear in between."""
        place = rng.uniform(0.05, 0.95, count)
        quantiles = [self.p5, self.p25, self.p50, self.p75, self.p95]
        return np.interp(place, [0.05, 0.25, 0.5, 0.75, 0.95], quantiles) * 1e6 / 8


class DeviceCatalogue(Document):
    """Device classes and links."""

    setup_rule: str
    devices: tuple[DeviceClass, ...]
    links: tuple[LinkClass, ...]

    def tier(self, tier: str) -> tuple[DeviceClass, ...]:
        """Device classes of a tier."""
        return tuple(device for device in self.devices if device.tier == tier)

    def link(self, name: str) -> LinkClass:
        """The link called `name`. Raises `KeyError` listing the valid names."""
        for link in self.links:
            if link.name == name:
                return link
        raise KeyError(f"no link {name!r}; links: {', '.join(item.name for item in self.links)}")


@lru_cache
def load_library(name: str) -> ModelLibrary:
    """The library file of a family. Raises `DocumentError` when there is none."""
    return ModelLibrary.load(FOLDER / f"{name}.yaml")


@lru_cache
def load_devices() -> DeviceCatalogue:
    """The device classes and links that instances are drawn from."""
    return DeviceCatalogue.load(FOLDER / "devices.yaml")
