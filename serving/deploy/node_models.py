"""The models of one node: how it loads them, and what pictures it takes.

torch takes 470 MB of a process, so a node imports it with its first model, and a client before it
opens its doors, where pictures are decoded to a size. A null node never does.
"""

from __future__ import annotations

import sys
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from cluster.machine import torch_device
from cluster.topology import Tier
from models.runtime.image_bodies import decode_image
from models.runtime.picture_header import PictureHeader
from models.zoo.cards import ModelCard, Preprocessing
from models.zoo.inputs import input_of
from models.zoo.registry import find_model, list_models
from serving.node.config import NodeConfig
from serving.node.device.null_runtime import NullRuntime
from serving.node.device.process_tuning import set_aside_imports
from serving.node.device.served import Runtime

__all__ = ["NodeModels", "precision_check"]

if TYPE_CHECKING:
    from models.runtime.graph_engine import PrecisionCheck

RUNTIME = "models.runtime.model_runtime"
"""the module that imports torch"""


def precision_check(card: ModelCard, device: str) -> PrecisionCheck | None:
    """Whether half precision is good enough for a model there; None on a CPU, which has none."""
    if device == "cpu":
        return None
    from models.scoring.half_precision import half_precision_check

    return half_precision_check(card, device)


class NodeModels:
    """What the node of `config` runs. Raises `InputError` where the zoo is none."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._zoo: tuple[ModelCard, ...] = list_models()
        self.held_bytes: dict[str, int] = {}
        """of every model that was ever loaded"""
        # Asked for every forwarded query.
        self.image_shape = cache(self._image_shape)
        self.tasks_of = cache(self._tasks_of)

    def prepare(self) -> None:
        """Import now what the first picture at a client's door would have to wait for."""
        node = self._config.node
        if node.tier is Tier.CLIENT and not node.is_null:
            import_module(RUNTIME)

    def load(self, model: str) -> Runtime:
        """The model on the node's device, warm. Raises what loading raises."""
        node = self._config.node
        runtime: Runtime
        if node.is_null:
            held = self._config.emulated[model].weights_bytes
            runtime = NullRuntime(self.tasks_of(model), held)
        else:
            is_first = RUNTIME not in sys.modules
            from models.runtime.model_runtime import ModelRuntime

            if is_first:
                set_aside_imports()
            card, device = find_model(model), torch_device(node.host_device)
            runtime = ModelRuntime.load(
                card,
                device,
                threads=node.threads,
                max_batch=node.max_batch,
                memory_bytes=int(node.memory),
                check=precision_check(card, device),
            )
        self.held_bytes[model] = runtime.weights_bytes
        return runtime

    @cached_property
    def taken(self) -> Preprocessing:
        """What pictures of the node's own callers become."""
        found = input_of(self._zoo, self._config.tasks)
        # A null client picks pixels, for which no torch is needed, in place of averaging them.
        picking = {"interpolation": "nearest"}
        return found.model_copy(update=picking) if self._config.node.is_null else found

    def decode(self, body: bytes, header: PictureHeader) -> np.ndarray:
        """The picture of a request. Raises `ImageError`."""
        return decode_image(body, self.taken, header)

    def _image_shape(self, model: str) -> tuple[int, int, int]:
        served = [task for task in self.tasks_of(model) if task in self._config.tasks]
        taken = input_of(self._zoo, served)
        return (taken.height, taken.width, 3)

    def _tasks_of(self, model: str) -> tuple[str, ...]:
        return find_model(model).tasks
