"""Training of one model of the zoo: render, optimise, store half-precision weights, score, card.

The same spec on the same machine with one thread gives the same bits, also when interrupted and
resumed: batches, flips and learning rate depend only on (seed, step).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from cluster.errors import InputError
from models.benchmarks.registry import open_benchmark
from models.benchmarks.splits.rendered import RenderedSplit, cache_folder, rendered_split
from models.networks.architectures import HUB
from models.networks.multi_task import MultiTaskNetwork, build_network, count_parameters
from models.networks.pretrained import load_pretrained
from models.runtime.model_runtime import ModelRuntime, check_device
from models.runtime.preprocessing import normalise
from models.scoring.score import score_model
from models.training.distillation import Teacher, teaching_loss
from models.training.losses import total_loss
from models.training.specs import TrainingSpec
from models.training.training_batches import draw_batch
from models.training.training_state import restore_state, save_state
from models.zoo.cards import ModelCard, Preprocessing
from models.zoo.checkpoint import save_checkpoint
from models.zoo.registry import ZOO_FOLDER, card_path

__all__ = ["TrainingProgress", "learning_rate", "optimise", "train_model"]

MEAN = (0.5, 0.5, 0.5)
STD = (0.5, 0.5, 0.5)
WARM_UP_SHARE = 0.06
PRETRAINED_RATE = 0.4  # share of the learning rate for a backbone that starts from ImageNet
CLIP_NORM = 5.0
SAVE_EVERY_STEPS = 100


@dataclass(frozen=True)
class TrainingProgress:
    """How far a stage ("render", "train" or "score") has come; `loss` only while training."""

    stage: str
    done: int
    total: int
    loss: float | None = None


Progress = Callable[[TrainingProgress], None]


def train_model(
    spec: TrainingSpec,
    *,
    out_dir: Path = ZOO_FOLDER,
    on_progress: Progress | None = None,
    resume: bool = True,
    threads: int = 1,
    workers: int = 1,
    state_dir: Path | None = None,
    data: Path | None = None,
    device: str = "cpu",
) -> ModelCard:
    """Train `spec` and write `out_dir`/checkpoints/<name>.safetensors and cards/<name>.yaml.

    With `resume`, an interrupted run of the same spec goes on from its last saved step in
    `state_dir` (default: beside the rendered data). `data` is the folder of a benchmark that is
    read from disk. Raises `PretrainedError` without the weights that the spec starts from,
    `TeacherError` without the model that it learns from, and what `open_benchmark` raises.
    """
    check_device(device)
    torch.set_num_threads(threads)
    report = on_progress or _silent
    # Before minutes of rendering: a machine without the initial weights or the teacher is told.
    load_pretrained(build_network(spec.architecture, spec.tasks).backbone, spec.architecture)
    if spec.teacher:
        Teacher(spec, "cpu")
    train_split = _rendered(spec, "train", spec.train_images, workers, report, data)
    test_split = _rendered(spec, "test", spec.test_images, workers, report, data)
    spec = replace(spec, tasks=_labelled_tasks(spec, train_split, test_split))
    state_path = (state_dir or cache_folder("training")) / f"{spec.name}.safetensors"
    network = optimise(spec, train_split, state_path if resume else None, report, device).cpu()
    file_name = f"{spec.name}.safetensors"
    checkpoint = out_dir / "checkpoints" / file_name
    digest = save_checkpoint(network.state_dict(), checkpoint)
    card = ModelCard(
        name=spec.name,
        benchmark=spec.benchmark,
        tasks=spec.tasks,
        backbone=spec.architecture.backbone,
        size_class=spec.size_class,
        preprocessing=Preprocessing(height=spec.size[0], width=spec.size[1], mean=MEAN, std=STD),
        parameters=count_parameters(network),
        metrics={},
        test_images=spec.test_images,
        checkpoint=file_name,
        checkpoint_sha256=digest,
        steps=spec.steps,
        seed=spec.seed,
        pretrained=_origin(spec),
        teacher=spec.teacher or None,
        train_command=f"testbed train {spec.name}",
        licence="Apache-2.0",
    )
    runtime = ModelRuntime.load(card, threads=threads, checkpoint=checkpoint)
    scored = partial(_stage, report, "score")
    card = card.model_copy(update={"metrics": score_model(runtime, test_split, scored)})
    runtime.close()
    card.save(card_path(spec.name, out_dir))
    state_path.unlink(missing_ok=True)
    return card


def optimise(
    spec: TrainingSpec,
    split: RenderedSplit,
    state_path: Path | None,
    report: Progress,
    device: str = "cpu",
) -> MultiTaskNetwork:
    """The trained network of `spec` on `split`; state is kept in `state_path` unless None."""
    torch.manual_seed(spec.seed)
    network = build_network(spec.architecture, spec.tasks)
    load_pretrained(network.backbone, spec.architecture)
    network = network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = _optimizer(spec, network)
    teacher = Teacher(spec, device) if spec.teacher else None
    done = restore_state(state_path, spec, network, optimizer) if state_path else 0
    for step in range(done, spec.steps):
        loss = _step(spec, split, network, optimizer, step, teacher)
        if state_path is not None and (step + 1) % SAVE_EVERY_STEPS == 0:
            save_state(state_path, spec, step + 1, network, optimizer)
        report(TrainingProgress("train", step + 1, spec.steps, loss))
    return network.eval()


def learning_rate(spec: TrainingSpec, step: int) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the spec's rate."""
    warm_up = max(1, round(WARM_UP_SHARE * spec.steps))
    if step < warm_up:
        return spec.learning_rate * (step + 1) / warm_up
    along = (step - warm_up) / max(1, spec.steps - warm_up)
    return spec.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along)))


def _step(
    spec: TrainingSpec,
    split: RenderedSplit,
    network: MultiTaskNetwork,
    optimizer: Optimizer,
    step: int,
    teacher: Teacher | None,
) -> float:
    batch = draw_batch(split, spec.tasks, spec.seed, step, spec.batch)
    rate = learning_rate(spec, step)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_share"]
    device = next(network.parameters()).device
    with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
        picture = normalise(batch.image.to(device), MEAN, STD)
        maps = network(picture)
        taught = teacher.maps(picture) if teacher else {}
    outputs = {task: output.float() for task, output in zip(spec.tasks, maps, strict=True)}
    labels = {task: label.to(device) for task, label in batch.labels.items()}
    loss = total_loss(
        outputs, labels, rows=batch.rows, emphasis=spec.emphasis,
        dice_by_picture=spec.dice_by_picture,
    )  # fmt: skip
    if taught:
        loss = loss + teaching_loss(outputs, taught, batch.rows)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
    optimizer.step()
    return float(loss.detach())


def _optimizer(spec: TrainingSpec, network: MultiTaskNetwork) -> Optimizer:
    """AdamW; biases and norms are not decayed, a pretrained backbone learns more slowly."""
    groups = []
    for is_backbone in (False, True):
        slow = is_backbone and spec.architecture.pretrained is not None
        for is_matrix in (False, True):
            chosen = [
                parameter
                for name, parameter in network.named_parameters()
                if name.startswith("backbone.") == is_backbone and (parameter.ndim > 1) == is_matrix
            ]
            groups.append(
                {
                    "params": chosen,
                    "weight_decay": spec.weight_decay if is_matrix else 0.0,
                    "rate_share": PRETRAINED_RATE if slow else 1.0,
                }
            )
    return AdamW(groups, lr=spec.learning_rate)


def _rendered(
    spec: TrainingSpec,
    split: str,
    count: int,
    workers: int,
    report: Progress,
    data: Path | None,
) -> RenderedSplit:
    benchmark = open_benchmark(spec.benchmark, split, spec.size, count, data)
    return rendered_split(benchmark, workers=workers, on_progress=partial(_stage, report, "render"))


def _labelled_tasks(
    spec: TrainingSpec, train: RenderedSplit, test: RenderedSplit
) -> tuple[str, ...]:
    """The spec's tasks that have labels: a data set on disk may lack some."""
    there = tuple(task for task in spec.tasks if len(train.rows[task]) and len(test.rows[task]))
    if not there:
        raise InputError(f"{spec.name}: no picture has a label of {', '.join(spec.tasks)}")
    return there


def _origin(spec: TrainingSpec) -> str:
    source = spec.architecture.pretrained
    if source is None:
        return "none"
    if source.startswith(HUB):
        return f"weights of timm/{source.removeprefix(HUB)} from the model hub"
    return f"ImageNet-1k weights of {source} (Apache-2.0)"


def _stage(report: Progress, stage: str, done: int, total: int) -> None:
    report(TrainingProgress(stage, done, total))


def _silent(progress: TrainingProgress) -> None:
    """Progress nobody asked for."""
