"""What only a CUDA device can tell about the accelerator engine. Not yet run on one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch

from models.benchmarks.splits.rendered import RenderedSplit
from models.runtime.accelerator import CudaAccelerator, Outputs
from models.runtime.cpu_engine import Serving
from models.runtime.graph_engine import GraphEngine
from models.runtime.model_runtime import ModelRuntime
from models.scoring.score import per_image_scores
from models.zoo.assembly import load_network
from models.zoo.cards import ModelCard
from models.zoo.registry import list_models

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CARD: ModelCard = max(list_models("rooms"), key=lambda card: (len(card.tasks), -card.parameters))


class _Eager(CudaAccelerator):
    """The same without graphs."""

    def capture(self, forward: Callable[[], Outputs]) -> Callable[[], Outputs]:
        return forward


def _pictures(split: RenderedSplit, count: int = 8) -> np.ndarray:
    return np.asarray(split.image_nhw3[:count])


def _serving() -> Serving:
    return Serving(load_network(CARD), CARD.tasks, CARD.preprocessing)


def test_scores_on_the_gpu_are_those_of_the_cpu(few_test_images: RenderedSplit) -> None:
    on_cpu = per_image_scores(ModelRuntime.load(CARD), few_test_images)
    on_gpu = ModelRuntime.load(CARD, device="cuda:0", max_batch=8)
    for task, values in per_image_scores(on_gpu, few_test_images).items():
        assert values.mean() == pytest.approx(on_cpu[task].mean(), abs=0.01)
    assert on_gpu.weights_bytes > CARD.parameters
    on_gpu.close()


@pytest.mark.parametrize("batch", [1, 3, 6, 8])
def test_a_replayed_graph_answers_as_the_same_pass_run_eagerly(
    batch: int, few_test_images: RenderedSplit
) -> None:
    replayed = GraphEngine(_serving(), CudaAccelerator("cuda:0"), 8)
    eager = GraphEngine(_serving(), _Eager("cuda:0"), 8)
    assert replayed.precision == eager.precision
    pictures = _pictures(few_test_images, batch)
    for one, other in zip(replayed.run(pictures), eager.run(pictures), strict=True):
        assert np.mean(one == other) > 0.999


def test_a_network_that_waits_for_the_device_is_run_instead_of_replayed() -> None:
    class Waiting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 1, 1)

        def forward(self, picture: torch.Tensor) -> Outputs:
            shade = float(picture.mean())  # a copy to the host, which no graph may hold
            return (self.layer(picture) + shade,)

    serving = Serving(Waiting(), ("depth",), CARD.preprocessing)
    engine = GraphEngine(serving, CudaAccelerator("cuda:0"), 2)
    dark, light = (
        engine.run(np.full((1, *serving.shape), value, np.uint8))[0] for value in (0, 255)
    )
    assert light.mean() > dark.mean()


def test_models_on_streams_of_their_own_do_not_disturb_each_other(
    few_test_images: RenderedSplit,
) -> None:
    engines = [GraphEngine(_serving(), CudaAccelerator("cuda:0"), 8) for _ in range(2)]
    pictures = [_pictures(few_test_images), _pictures(few_test_images)[::-1].copy()]
    alone = [engine.run(batch) for engine, batch in zip(engines, pictures, strict=True)]
    wrong: list[int] = []

    def drive(index: int) -> None:
        for _ in range(100):
            answers = engines[index].run(pictures[index])
            if not all(np.array_equal(a, b) for a, b in zip(answers, alone[index], strict=True)):
                wrong.append(index)

    threads = [threading.Thread(target=drive, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    # A third model comes and goes meanwhile, as in a change of plan.
    GraphEngine(_serving(), CudaAccelerator("cuda:0"), 8).close()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_closed_engine_gives_its_memory_back() -> None:
    warm = GraphEngine(_serving(), CudaAccelerator("cuda:0"), 8)
    warm.close()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved("cuda:0")
    engine = GraphEngine(_serving(), CudaAccelerator("cuda:0"), 8)
    held = torch.cuda.memory_reserved("cuda:0") - before
    assert engine.weights_bytes + engine.resident_bytes == pytest.approx(held, rel=0.2)
    engine.close()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved("cuda:0") - before <= 2**21


def test_a_process_keeps_to_its_share_of_the_device() -> None:
    # The cap holds for a whole process, so it is tried in one of its own.
    script = (
        "import sys, torch\n"
        "from models.runtime.accelerator import CudaAccelerator\n"
        "from models.runtime.device_errors import DeviceMemoryError\n"
        "device = CudaAccelerator('cuda:0', memory_bytes=256 * 2**20)\n"
        "try:\n"
        "    with device.loading():\n"
        "        torch.zeros(512 * 2**20, dtype=torch.uint8, device='cuda:0')\n"
        "except DeviceMemoryError as error:\n"
        "    sys.exit(0 if 'budget of 256 MiB' in str(error) else 3)\n"
        "sys.exit(4)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
