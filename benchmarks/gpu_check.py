"""Everything that only a GPU can answer, in at most eight minutes and one file: `make gpu-check`.

    python benchmarks/gpu_check.py --device cuda:0 --out out/gpu-check.json
    python benchmarks/gpu_check.py --device cpu --small --out /tmp/dry-run.json

Needs neither Ray nor network: the `gpu` tests; three models of the zoo and two backbones of timm
with random weights, profiled at batches of 1 to 64 with the power that they draw; each model of the
zoo in bfloat16 against float32 on the test split; and windows at the planned load through a node's
executor. A part that fails is told in the file (`fault`), and the others go on; the exit code is 1
then. With --device cpu all of it runs on the host, to try the script itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gpu_parts
from cluster.boards import read_boards
from cluster.document import write_atomically
from cluster.gpus import read_gpus
from cluster.machine import torch_device
from cluster.provenance import collect_provenance
from gpu_engines import load_in
from gpu_parts import Meter
from models.benchmarks.registry import open_benchmark
from models.benchmarks.splits.rendered import RenderedSplit, rendered_split
from models.zoo.cards import ModelCard
from models.zoo.registry import find_model
from profiling.energy_meter import find_meter
from profiling.profile import ModelProfile
from serving.doctor.torch_build import cuda_of_torch

__all__ = ["FULL", "PARTS", "SMALL", "Sizes", "check", "main"]

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 480.0
PARTS = ("tests", "profiles", "precision", "windows")
TESTS = ("tests/models", "tests/unit")


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    models: tuple[str, ...]
    backbones: tuple[str, ...]
    pixels: int
    max_batch: int
    images: int
    """of the test split, for accuracies"""
    budget_s: float
    """for the latencies of one model"""
    window_s: float
    windows_s: float
    """for which a model is driven at its planned load"""
    tests_s: float
    """after which the tests are given up"""


FULL = Sizes(
    models=("rooms-small-all", "rooms-middle-all", "rooms-large-all"),
    backbones=("resnet50", "vit_small_patch16_224"),
    pixels=224,
    max_batch=64,
    images=200,
    budget_s=8.0,
    window_s=0.1,
    windows_s=8.0,
    tests_s=180.0,
)
SMALL = Sizes(
    models=("rooms-small-depth",),
    backbones=("lcnet_050",),
    pixels=64,
    max_batch=8,
    images=8,
    budget_s=0.3,
    window_s=0.4,
    windows_s=1.6,
    tests_s=120.0,
)


def check(
    device: str, sizes: Sizes, parts: Sequence[str], tests: Sequence[str] = TESTS,
    say: Callable[[str], None] = print, limit_s: float = LIMIT_S,
) -> dict[str, Any]:  # fmt: skip
    """Run these parts on `device` (`cpu` or `cuda:k`); what was found, as the file has it.

    What would begin after `limit_s` is left out, and told as such.
    """
    import pynvml

    begun_s = time.monotonic()
    torch_version, torch_cuda, torch_sees = cuda_of_torch()
    found: dict[str, Any] = {
        "device": device,
        "boards": [asdict(board) for board in read_boards(pynvml, os.environ).boards],
        "torch": {"version": torch_version, "cuda": torch_cuda, "devices": torch_sees},
        "sizes": asdict(sizes),
        "provenance": collect_provenance(
            "make gpu-check", packages=("torch", "timm", "numpy")
        ).model_dump(mode="json"),
    }
    cards = [find_model(name) for name in sizes.models]
    profiles: dict[str, ModelProfile] = {}
    meter = _meter(device)

    def guarded(what: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        started_s = time.monotonic()
        if started_s - begun_s > limit_s:
            say(f"left out: {what}")
            return {"what": what, "fault": f"left out: {limit_s:.0f} s were over"}
        try:
            data = measure()
        except Exception as error:  # noqa: BLE001 - whatever it was, the others go on
            traceback.print_exc()
            data = {"fault": f"{type(error).__name__}: {error}"}
        spent_s = time.monotonic() - started_s
        say(f"{spent_s:6.1f} s  {what}{': ' + data['fault'] if 'fault' in data else ''}")
        return {"what": what, "spent_s": spent_s, **data}

    def profile(card: ModelCard, images: np.ndarray) -> dict[str, Any]:
        data, profiles[card.name] = gpu_parts.profile_model(
            card, images, device, sizes.max_batch, sizes.budget_s, meter
        )
        return data

    if "tests" in parts:
        left_s = max(1.0, min(sizes.tests_s, limit_s))
        found["tests"] = guarded("gpu tests", lambda: gpu_parts.run_gpu_tests(tests, left_s, ROOT))
    split = _split(cards[0], sizes.images) if set(parts) - {"tests"} else None
    if split is None:
        return _ended(found, begun_s)
    images = np.asarray(split.image_nhw3)
    if {"profiles", "windows"} & set(parts):  # windows are planned by profiles
        found["profiles"] = [
            guarded(f"profile of {card.name}", partial(profile, card, images)) for card in cards
        ]
    if "profiles" in parts:
        found["profiles"] += [
            guarded(
                f"profile of {backbone}",
                partial(
                    gpu_parts.profile_backbone, backbone, sizes.pixels, device, sizes.max_batch,
                    sizes.budget_s, meter,
                ),
            )
            for backbone in sizes.backbones
        ]  # fmt: skip
    if "precision" in parts:
        formats = ("bfloat16",) if device == "cpu" else ("bfloat16", "float16")
        found["precision"] = [
            guarded(
                f"number formats of {card.name}",
                partial(
                    gpu_parts.compare_precisions, card, split, device, formats, sizes.max_batch
                ),
            )
            for card in cards
        ]
    if "windows" in parts:
        found["windows"] = [
            guarded(f"windows of {card.name}", partial(_windows, card, profiles, images, device,
                                                       sizes))
            for card in cards
        ]  # fmt: skip
    return _ended(found, begun_s)


def _windows(
    card: ModelCard, profiles: dict[str, ModelProfile], images: np.ndarray, device: str,
    sizes: Sizes,
) -> dict[str, Any]:  # fmt: skip
    if card.name not in profiles:
        return {"fault": "it has no profile to plan with"}
    return gpu_parts.keep_windows(
        profiles[card.name],
        lambda _: load_in(card, device, sizes.max_batch)[0],
        card.tasks,
        images,
        window_s=sizes.window_s,
        max_batch=sizes.max_batch,
        seconds=sizes.windows_s,
    )


def _split(card: ModelCard, images: int) -> RenderedSplit:
    taken = card.preprocessing
    split = open_benchmark(card.benchmark, "test", (taken.height, taken.width), count=images)
    return rendered_split(split, workers=len(os.sched_getaffinity(0)))


def _meter(device: str) -> Meter:
    """What counts joules of the device."""
    if device == "cpu":
        return Meter.of(*find_meter())
    import pynvml

    uuid = read_gpus(pynvml, os.environ)[int(device.removeprefix("cuda:"))].uuid
    pynvml.nvmlInit()
    return Meter.of(*find_meter(nvml=pynvml, gpu=pynvml.nvmlDeviceGetHandleByUUID(uuid)))


def _ended(found: dict[str, Any], begun_s: float) -> dict[str, Any]:
    found["spent_s"] = time.monotonic() - begun_s
    found["faults"] = _faults(found)
    return found


def _faults(found: dict[str, Any]) -> list[str]:
    """A line for each part that failed."""
    entries = [found["tests"]] if "tests" in found else []
    for part in PARTS[1:]:
        entries += found.get(part, [])
    return [f"{each['what']}: {each['fault']}" for each in entries if "fault" in each]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, and write the file. Returns the exit code: 0, 1 for a part that failed, 2 where there
    is no such device."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--device", default="cuda:0", help="cuda:k, cuda:UUID, or cpu to try it")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "gpu-check.json")
    parser.add_argument("--small", action="store_true", help="few models and pictures")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them, with commas")
    parser.add_argument("--tests", default=",".join(TESTS), help="where the gpu tests are")
    given = parser.parse_args(arguments)
    parts = given.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"no part {unknown[0]!r}; parts: {', '.join(PARTS)}")
    try:
        device = torch_device(given.device)
        sees = cuda_of_torch()[2]
        if device != "cpu" and int(device.removeprefix("cuda:")) >= sees:
            raise ValueError(
                f"torch sees {sees} CUDA devices here: nothing was checked; `testbed devices` says "
                "why, --device cpu tries the script"
            )
    except ValueError as error:
        print(f"gpu-check: {given.device}: {error}", file=sys.stderr)
        return 2
    found = check(device, SMALL if given.small else FULL, parts, given.tests.split(","))
    write_atomically(given.out, json.dumps(found, indent=1) + "\n")
    print(f"wrote {given.out} after {found['spent_s']:.0f} s; failed: {len(found['faults'])}")
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
