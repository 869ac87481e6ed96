"""What the GPU check measures: tests, latencies and power, number formats, windows.

Each part returns plain data for the file, and takes about as long as it is given.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gpu_engines import BackboneRuntime, load_in
from models.benchmarks.splits.rendered import RenderedSplit
from models.runtime.model_runtime import ModelRuntime
from models.scoring.score import per_image_scores
from models.zoo.cards import ModelCard
from profiling.energy_meter import EnergyMeter, idle_power_w, measure_energy
from profiling.measure import Profiled, measure_model, profile_of
from profiling.profile import ModelProfile
from profiling.sampling import SamplingRule
from serving.errors import RefusedError
from serving.node.device.batching import WindowBatcher
from serving.node.device.executor import Executor

__all__ = [
    "Meter", "compare_precisions", "keep_windows", "planned_qps", "profile_backbone",
    "profile_model", "run_gpu_tests",
]  # fmt: skip

REFERENCE = "float32"
FILL = 0.6
"""of a window, that the planned load takes in the mean: the default of `testbed plan`"""
MOST_QPS = 1_000.0
"""that one event loop hands to an executor without being what is measured"""
TIMED_WATTS = (1, 8, 64)
"""batches at which power is measured"""


@dataclass(frozen=True)
class Meter:
    """What counts joules, and the watts of the idle device; or why nothing does."""

    meter: EnergyMeter | None
    idle_w: float
    why_not: str

    @classmethod
    def of(cls, meter: EnergyMeter | None, why_not: str) -> Meter:
        """With the idle power measured now."""
        return cls(meter, 0.0 if meter is None else idle_power_w(meter), why_not)


def run_gpu_tests(paths: Sequence[str], limit_s: float, root: Path) -> dict[str, Any]:
    """Run the tests marked `gpu` below `paths` and count what came of them; `fault` is their output
    where one failed or the time was over."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *paths, "-m", "gpu", "-q", "-p",
                   "no:cacheprovider", f"--junit-xml={report}"]  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=root, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return {"fault": f"the gpu tests took more than {limit_s:.0f} s"}
        if not report.exists():
            return {"fault": (done.stdout + done.stderr)[-2_000:]}
        suite = ElementTree.parse(report).getroot().find("testsuite")
        counts = {} if suite is None else {
            key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")
        }  # fmt: skip
    if done.returncode not in (0, 5):  # 5: there was none to run
        return {**counts, "fault": done.stdout[-4_000:]}
    return counts


def profile_model(
    card: ModelCard, images: np.ndarray, device: str, max_batch: int, budget_s: float, meter: Meter
) -> tuple[dict[str, Any], ModelProfile]:
    """Latency by batch size, nu and c, memory and watts of a model of the zoo as nodes run it; and
    the profile that a plan would go by."""
    begun_s = time.perf_counter()
    runtime, precision = load_in(card, device, max_batch)
    load_s = time.perf_counter() - begun_s
    try:
        data, profile = _profile(
            runtime, card.name, images, device, max_batch, budget_s, meter, load_s
        )
    finally:
        runtime.close()
    return {**data, "precision": precision, "parameters": card.parameters}, profile


def profile_backbone(
    backbone: str, pixels: int, device: str, max_batch: int, budget_s: float, meter: Meter
) -> dict[str, Any]:
    """The same of a backbone of timm with random weights."""
    begun_s = time.perf_counter()
    runtime = BackboneRuntime(backbone, pixels, device, max_batch)
    load_s = time.perf_counter() - begun_s
    images = np.random.default_rng(0).integers(
        0, 256, (min(max_batch, 16), pixels, pixels, 3), dtype=np.uint8
    )
    try:
        data, _ = _profile(runtime, backbone, images, device, max_batch, budget_s, meter, load_s)
    finally:
        runtime.close()
    return {
        **data, "precision": runtime.precision, "parameters": runtime.parameters, "pixels": pixels,
    }  # fmt: skip


def _profile(
    runtime: Profiled, model: str, images: np.ndarray, device: str, max_batch: int,
    budget_s: float, meter: Meter, load_s: float,
) -> tuple[dict[str, Any], ModelProfile]:  # fmt: skip
    measured = measure_model(
        runtime, images, model=model, device=device, max_batches=(max_batch,), load_s=load_s,
        rule=SamplingRule(budget_s=budget_s),
    )  # fmt: skip
    profile = profile_of(measured, node="gpu-check", measured_on="gpu-check", max_batch=max_batch)
    return {
        "model": model,
        "load_s": load_s,
        "weights_bytes": measured.weights_bytes,
        "workspace_bytes": measured.workspace_bytes[max_batch],
        "setup_s": profile.setup_s,
        "marginal_s": profile.marginal_s,
        "residual": profile.residual,
        "latency": [
            {"batch": entry.batch, "p50_s": entry.p50_s} for entry in profile.latency
        ],
        "images_per_s": max(entry.batch / entry.p50_s for entry in profile.latency),
        "power": _power(runtime, images, max_batch, meter),
    }, profile  # fmt: skip


def _power(
    runtime: Profiled, images: np.ndarray, max_batch: int, meter: Meter
) -> list[dict[str, Any]] | str:
    """Watts and joules an image by batch size, or why they are not known."""
    if meter.meter is None:
        return meter.why_not
    found = []
    for batch in sorted({min(size, max_batch) for size in TIMED_WATTS}):
        inputs = images[np.arange(batch) % len(images)]
        runs = 0

        def work(inputs: np.ndarray = inputs) -> None:
            nonlocal runs
            runtime.run(inputs)
            runs += 1

        begun_s = time.perf_counter()
        use = measure_energy(meter.meter, meter.idle_w, work)
        spent_s = time.perf_counter() - begun_s
        found.append(
            {
                "batch": batch, "source": use.source, "idle_w": use.idle_w, "busy_w": use.busy_w,
                "joules_per_image": max(0.0, use.busy_w - use.idle_w) * spent_s / (runs * batch),
            }
        )  # fmt: skip
    return found


def compare_precisions(
    card: ModelCard, split: RenderedSplit, device: str, precisions: Sequence[str], max_batch: int
) -> dict[str, Any]:
    """Scores of a model on a test split in each number format, and how far each lies from float32,
    by task and in the mean."""
    scores: dict[str, dict[str, float]] = {}
    ran: dict[str, str] = {}
    for precision in dict.fromkeys((REFERENCE, *precisions)):
        runtime, ran[precision] = load_in(card, device, max_batch, precision)
        try:
            found = per_image_scores(runtime, split)
        finally:
            runtime.close()
        scores[precision] = {task: float(values.mean()) for task, values in found.items()}
    reference = scores[REFERENCE]
    return {
        "model": card.name,
        "images": len(split),
        "scores": scores,
        "ran_in": ran,
        "difference": {
            precision: {
                **{task: own[task] - reference[task] for task in reference},
                "mean": float(np.mean([own[task] - reference[task] for task in reference])),
            }
            for precision, own in scores.items() if precision != REFERENCE
        },
    }  # fmt: skip


def planned_qps(profile: ModelProfile, window_s: float, max_batch: int) -> float:
    """Queries/s whose mean work takes `FILL` of a window, nu once for each batch that they make."""
    room_s = FILL * window_s
    batches, queries = 0, 0.0
    while True:
        batches += 1
        left_s = room_s - batches * profile.setup_s
        marginal_s = max(profile.marginal_s, 1e-9)  # 0 where noise hid what a query adds
        fits = min(left_s / marginal_s, batches * max_batch)
        if fits <= queries or batches > 10_000:
            break
        queries = fits
        if fits < batches * max_batch:
            break
    return min(max(queries, 0.0) / window_s, MOST_QPS)


def keep_windows(
    profile: ModelProfile,
    load: Callable[[str], ModelRuntime],
    tasks: tuple[str, ...],
    images: np.ndarray,
    *,
    window_s: float,
    max_batch: int,
    seconds: float,
    seed: int = 1,
) -> dict[str, Any]:
    """Poisson arrivals at the planned load through the executor of a node with gated windows (F9):
    what share was answered, and within 2 T_b."""
    qps = planned_qps(profile, window_s, max_batch)
    if qps <= 0:
        return {"model": profile.model, "window_s": window_s, "planned_qps": 0.0,
                "fault": "a batch of one takes longer than the window has room for"}  # fmt: skip
    gaps_s = np.random.default_rng(seed).exponential(1 / qps, int(qps * seconds * 2) + 10)
    times_s = np.cumsum(gaps_s)
    times_s = times_s[times_s < seconds]
    return asyncio.run(
        _drive(profile, load, tasks, images, window_s, max_batch, times_s.tolist(), qps)
    )


async def _drive(
    profile: ModelProfile, load: Callable[[str], ModelRuntime], tasks: tuple[str, ...],
    images: np.ndarray, window_s: float, max_batch: int, times_s: list[float], qps: float,
) -> dict[str, Any]:  # fmt: skip
    executor = Executor(WindowBatcher(window_s, max_batch), load, shared_passes=False)
    spent_s: list[float] = []
    refused = 0

    async def ask(number: int) -> None:
        nonlocal refused
        arrived_s = time.monotonic()
        try:
            await executor.submit_all(profile.model, tasks, images[number % len(images)])
        except RefusedError:
            refused += 1
        else:
            spent_s.append(time.monotonic() - arrived_s)

    try:
        await executor.load(profile.model)
        for entry in profile.latency:
            executor.learn(profile.model, entry.batch, entry.p50_s)
        begun_s, busy_s = time.monotonic(), executor.busy_s
        asked = []
        for number, at_s in enumerate(times_s):
            await asyncio.sleep(max(0.0, begun_s + at_s - time.monotonic()))
            asked.append(asyncio.ensure_future(ask(number)))
        await asyncio.gather(*asked)
        wall_s = time.monotonic() - begun_s
        busy_share = (executor.busy_s - busy_s) / wall_s
    finally:
        executor.close()
    in_time = sum(each <= 2 * window_s for each in spent_s)
    return {
        "model": profile.model, "window_s": window_s, "planned_qps": qps,
        "at_most_qps": qps >= MOST_QPS, "queries": len(times_s), "answered": len(spent_s),
        "refused": refused, "within_bound_share": in_time / len(times_s) if times_s else 1.0,
        "p50_s": float(np.median(spent_s)) if spent_s else None,
        "p99_s": float(np.quantile(spent_s, 0.99)) if spent_s else None,
        "busy_share": busy_share,
        "planned_busy_share": _planned_share(profile, qps, window_s, max_batch),
    }  # fmt: skip


def _planned_share(profile: ModelProfile, qps: float, window_s: float, max_batch: int) -> float:
    queries = qps * window_s
    batches = max(1.0, np.ceil(queries / max_batch))
    return float((batches * profile.setup_s + queries * profile.marginal_s) / window_s)
