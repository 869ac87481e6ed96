"""One device of a host, as it is profiled: loads models through the executor and measures them.

It runs in a process of its own on the node (`serving.deploy.profile_nodes`); here is neither Ray
nor a clock of the cluster.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cluster.gpus import read_gpus
from cluster.machine import torch_device
from cluster.provenance import collect_provenance
from cluster.topology import Node
from models.zoo.cards import ModelCard
from models.zoo.fetch import local_checkpoint
from profiling.batch_latency import PAUSE_S, MeasuredBatch
from profiling.conditions import ConditionReader, conditions_between
from profiling.energy_meter import find_meter, idle_power_w, measure_energy
from profiling.interference import RUNS, BusyRatio, time_beside
from profiling.measure import measure_model
from profiling.measured import EnergyUse, Hardware, HostParts, MeasuredModel, Origin
from profiling.published import NetworkLatency
from profiling.resident import ResidentMemory
from profiling.sampling import SamplingRule, sample_sizes
from serving.deploy.executor_bench import ExecutorBench
from serving.deploy.node_models import precision_check
from serving.node.device.jobs import stacked
from serving.node.device.process_tuning import freeze_heap, take_short_turns

if TYPE_CHECKING:
    from models.runtime.model_runtime import ModelRuntime

__all__ = ["ProfileBench", "hardware_of"]

VERSIONS = ("j3o-testbed", "torch", "torchvision", "timm", "numpy", "pillow")
"""of what computes"""
HAND_OVERS = 9


class ProfileBench:
    """Measures the models of `cards` on the device of `node`, in batches up to `max_batch`."""

    def __init__(self, node: Node, cards: Sequence[ModelCard], max_batch: int) -> None:
        self._node = node
        self._cards = {card.name: card for card in cards}
        self._max_batch = max_batch
        self._runtimes: dict[str, ModelRuntime] = {}
        take_short_turns()
        self._bench = ExecutorBench(self._load, max_batch)
        self._nvml, self._gpu = gpu_of(node.host_device)
        self._conditions = ConditionReader(nvml=self._nvml, gpu=self._gpu)
        self._memory = ResidentMemory()

    def rehearse(self) -> None:
        """Load and drop the smallest model: what the first load of a process takes beside any
        model's own is none's. Then set aside what Python's collector need not look at, as nodes
        do."""
        smallest = min(self._cards.values(), key=lambda card: card.parameters)
        self._load_in_bench(smallest.name)
        self._drop(smallest.name)
        freeze_heap()

    def measure(self, model: str, origin: Origin, rule: SamplingRule) -> MeasuredModel:
        """Load, measure and drop one model. Raises what loading raises."""
        begun_s, before = time.perf_counter(), self._conditions.read()
        self._forget_files(self._cards[model])
        held_bytes = self._held_bytes()
        load_s = self._load_in_bench(model)
        runtime, images = self._runtimes[model], self._pictures(model)
        try:
            found = measure_model(
                runtime,
                images,
                model=model,
                device=self._node.host_device,
                max_batches=origin.max_batches,
                load_s=load_s,
                rule=rule,
                timed=partial(self._bench.timed, model),
            )
            largest = images[np.arange(max(origin.max_batches)) % len(images)]
            energy, energy_note = self._energy(runtime, largest)
            return found.model_copy(
                update={
                    "measured_on": self._node.name,
                    "origin": origin,
                    "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
                    "warm_up_s": runtime.warm_up_s,
                    "rss_bytes": self._grown_bytes(runtime, largest, held_bytes),
                    "parts": self._parts(model, runtime),
                    "energy": energy,
                    "energy_note": energy_note,
                    "conditions": conditions_between(before, self._conditions.read()),
                    "spent_s": time.perf_counter() - begun_s,
                }
            )
        finally:
            self._drop(model)

    def again(
        self, model: str, sizes: Sequence[int], rule: SamplingRule
    ) -> tuple[MeasuredBatch, ...]:
        """The latency of some batch sizes alone, of a model that is dropped afterwards."""
        self._load_in_bench(model)
        try:
            return sample_sizes(partial(self._bench.timed, model), sizes, rule).latency
        finally:
            self._drop(model)

    def hold(self, models: Sequence[str]) -> None:
        """Load these models and keep them, for what follows here."""
        for model in models:
            self._load_in_bench(model)

    def beside_model(self, model: str, batch: int, neighbour: str, size: int) -> BusyRatio:
        """A batch straight after one of `neighbour` with `size` pictures ÷ after one of its own;
        both are held."""
        times = time_beside(
            partial(self._bench.timed, model, batch),
            partial(self._bench.timed, neighbour, size),
            time.sleep,
        )
        return times.ratio(model, batch, "model", neighbour)

    def after_pauses(self, model: str, batch: int) -> tuple[float, ...]:
        """Seconds of some batches of a model that is held, each after a pause."""
        spent_s = []
        for _ in range(RUNS):
            time.sleep(PAUSE_S)
            spent_s.append(self._bench.timed(model, batch))
        return tuple(spent_s)

    def stay_busy(self, model: str, size: int, seconds: float) -> int:
        """Run batches of a model that is held, one after another, until `seconds` have passed or
        this process is ended; returns how many."""
        end_s, batches = time.monotonic() + seconds, 0
        while time.monotonic() < end_s:
            self._bench.timed(model, size)
            batches += 1
        return batches

    def close(self) -> None:
        """Free what is held, and end the threads."""
        self._bench.close()

    def class_of(self, card: ModelCard) -> str:
        """Which networks with published times this one is like."""
        from models.zoo.assembly import load_network
        from profiling.reference import class_of

        return class_of(load_network(card))

    def host_latency_s(self, row: NetworkLatency) -> float:
        """What this host takes for a batch of a network with published times."""
        from profiling.reference import host_latency_s

        device = torch_device(self._node.host_device)
        return host_latency_s(row, device, self._node.threads)

    def _load(self, model: str) -> ModelRuntime:
        from models.runtime.model_runtime import ModelRuntime

        card, device = self._cards[model], torch_device(self._node.host_device)
        runtime = ModelRuntime.load(
            card,
            device,
            threads=self._node.threads,
            max_batch=self._max_batch,
            check=precision_check(card, device),
        )
        self._runtimes[model] = runtime
        return runtime

    def _forget_files(self, card: ModelCard) -> None:
        """Have the model load as on a node: its trace is made by now, its files are on the disk."""
        from models.runtime.kept_traces import find_trace, kept_path

        forget_file(local_checkpoint(card))
        if self._gpu is None and card.builder is None:
            find_trace(card)
            forget_file(kept_path(card))

    def _load_in_bench(self, model: str) -> float:
        card = self._cards[model]
        return self._bench.load(model, card.tasks, list(self._pictures(model)))

    def _drop(self, model: str) -> None:
        self._runtimes.pop(model, None)
        self._bench.unload(model)

    def _pictures(self, model: str) -> NDArray[np.uint8]:
        """(b, h, w, 3) of noise: the same arithmetic is done whatever a picture shows."""
        size = self._cards[model].preprocessing
        noise = np.random.default_rng(0)
        shape = (self._max_batch, size.height, size.width, 3)
        return noise.integers(0, 256, shape, np.uint8)

    def _parts(self, model: str, runtime: ModelRuntime) -> HostParts:
        from profiling.host_parts import measure_parts

        images = self._pictures(model)
        parts = measure_parts(self._cards[model].preprocessing, images, stacked, runtime.copy)
        hand_overs_s = []
        for _ in range(HAND_OVERS):
            self._bench.timed(model, 1)
            hand_overs_s.append(self._bench.last_hand_over_s)
        return parts.model_copy(update={"hand_over_s": float(np.median(hand_overs_s))})

    def _held_bytes(self) -> int | None:
        """What the process holds, without what earlier models have left behind."""
        from models.runtime.allocator import give_back_freed_memory

        gc.collect()
        give_back_freed_memory()
        return self._memory.now_bytes()

    def _grown_bytes(
        self, runtime: ModelRuntime, largest: NDArray[np.uint8], before_bytes: int | None
    ) -> int | None:
        """By how much the process has grown since before the model, at its peak in a batch."""
        from models.runtime.allocator import give_back_freed_memory

        if self._gpu is not None or before_bytes is None:
            return None
        give_back_freed_memory()
        if not self._memory.forget_peak():
            return None
        runtime.run(largest)
        peak_bytes = self._memory.peak_bytes()
        return None if peak_bytes is None else max(0, peak_bytes - before_bytes)

    @cached_property
    def _meter(self) -> tuple[Any, float, str]:
        meter, why_not = find_meter(nvml=self._nvml, gpu=self._gpu)
        return meter, 0.0 if meter is None else idle_power_w(meter), why_not

    def _energy(
        self, runtime: ModelRuntime, largest: NDArray[np.uint8]
    ) -> tuple[EnergyUse | None, str]:
        meter, idle_w, why_not = self._meter
        if meter is None:
            return None, why_not
        return measure_energy(meter, idle_w, lambda: runtime.run(largest)), ""


def hardware_of(node: Node) -> tuple[Hardware, dict[str, str]]:
    """What computes for `node` on this host, and the versions of what it runs."""
    about = collect_provenance("testbed profile", packages=VERSIONS)
    versions, accelerator = dict(about.versions), "cpu"
    nvml, gpu = gpu_of(node.host_device)
    if gpu is not None:
        accelerator = _text(nvml.nvmlDeviceGetName(gpu))
        versions["driver"] = _text(nvml.nvmlSystemGetDriverVersion())
    hardware = Hardware(
        processor=about.processor,
        cores=about.cores,
        accelerator=accelerator,
        threads=node.threads,
    )
    return hardware, versions


def gpu_of(device: str) -> tuple[Any, Any]:
    """NVML and its handle of a GPU, `cuda:k` or `cuda:UUID`; None of both for a CPU."""
    if device == "cpu":
        return None, None
    import pynvml

    number = int(torch_device(device).removeprefix("cuda:"))
    uuid = read_gpus(pynvml, os.environ)[number].uuid
    pynvml.nvmlInit()
    return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)


def forget_file(path: Path) -> None:
    """Have the system drop a file from memory, where it lets us, so that it is read from the
    disk."""
    if not hasattr(os, "posix_fadvise") or not path.is_file():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
