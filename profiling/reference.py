"""The networks of published devices, timed on this host by the engines that serve."""

from __future__ import annotations

import numpy as np
import timm
import torch
from torch import Tensor, nn

from models.runtime.accelerator import CudaAccelerator
from models.runtime.cpu_engine import CpuEngine, Engine, Serving, make_trace
from models.runtime.graph_engine import GraphEngine
from models.zoo.cards import Preprocessing
from profiling.measure import timer_of
from profiling.published import NetworkLatency
from profiling.sampling import SamplingRule, sample_sizes

__all__ = ["class_of", "host_latency_s"]

TASK = "real"
"""a task whose answers are shares of classes, as those of the networks are"""


def class_of(network: nn.Module) -> str:
    """ "depthwise" for a network with depthwise convolutions, which computes little for what it
    moves; "attention" for one with attention; "convolution" for the others that convolve."""
    modules = list(network.modules())
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    if any(type(module).__name__.endswith("Attention") for module in modules):
        return "attention"
    if any(layer.groups == layer.in_channels > 1 for layer in convolutions):
        return "depthwise"
    return "convolution"


class _Classifier(nn.Module):
    """A timm network as `Serving` takes one: a tuple of maps, one a task."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = timm.create_model(name, pretrained=False)

    def forward(self, image_b3hw: Tensor) -> tuple[Tensor]:
        return (self.network(image_b3hw),)


def host_latency_s(
    row: NetworkLatency, device: str, threads: int, *, rule: SamplingRule | None = None
) -> float:
    """Median seconds that `device` of this host takes for the batch of `row`, with random weights:
    what they are changes no time."""
    torch.manual_seed(0)
    taken = Preprocessing(height=row.height, width=row.width, mean=(0.5,) * 3, std=(0.5,) * 3)
    serving = Serving(_Classifier(row.network), (TASK,), taken)
    engine: Engine
    if device == "cpu":
        engine = CpuEngine(make_trace(serving), threads, [row.batch])
    else:
        engine = GraphEngine(serving, CudaAccelerator(device, None), row.batch)
    images = np.zeros((row.batch, row.height, row.width, 3), np.uint8)
    try:
        timed = timer_of(engine.run, images)
        (measured,) = sample_sizes(timed, (row.batch,), rule or SamplingRule(budget_s=1.0)).latency
        return measured.p50_s
    finally:
        engine.close()
