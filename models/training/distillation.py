"""What a student learns from a trained model's raw maps, beside the labels.

A label names one class where a good model knows which others come close, and it has holes and
noise where a good model has a guess. Axes: `b` images, `k` classes, `h` rows, `w` columns.
Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, for classes; the other
kinds take the distance that their loss has, with the teacher's map in the label's place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div

from cluster.errors import InputError
from models.tasks import Kind, find_task
from models.training.losses import carried
from models.training.specs import TrainingSpec
from models.zoo.assembly import load_network
from models.zoo.registry import find_model

__all__ = ["Teacher", "TeacherError", "teaching_loss"]

TEMPERATURE = 2.0


class TeacherError(InputError):
    """There is no such teacher, or it cannot teach this student; the message says why."""


class Teacher:
    """The trained model that a spec names, on `device`; it learns nothing itself."""

    def __init__(self, spec: TrainingSpec, device: str) -> None:
        """Raises `TeacherError`, and `CheckpointError` if its file is missing or changed."""
        try:
            card = find_model(spec.teacher)
        except KeyError:
            raise TeacherError(
                f"{spec.name} learns from {spec.teacher}, which is not in the zoo: train it first"
            ) from None
        size = (card.preprocessing.height, card.preprocessing.width)
        if size != spec.size:
            raise TeacherError(
                f"{spec.name} takes {spec.size[0]} x {spec.size[1]} pixels, its teacher "
                f"{card.name} {size[0]} x {size[1]}"
            )
        self.tasks = tuple(task for task in card.tasks if task in spec.tasks and _taught(task))
        if not self.tasks:
            raise TeacherError(f"{card.name} has no task that it could teach {spec.name}")
        self._all_tasks = card.tasks
        network = load_network(card).to(device).to(memory_format=torch.channels_last)
        self._network = network.eval().requires_grad_(False)

    def maps(self, picture_b3hw: Tensor) -> dict[str, Tensor]:
        """Raw maps by task, of pictures that are normalised as the student's."""
        with torch.no_grad():
            maps = dict(zip(self._all_tasks, self._network(picture_b3hw), strict=True))
        return {task: maps[task].float() for task in self.tasks}


def teaching_loss(
    outputs: Mapping[str, Tensor], taught: Mapping[str, Tensor], rows: Mapping[str, Tensor]
) -> Tensor:
    """Mean over the taught tasks of the distance between raw maps; 0 for the same maps up to what
    no teacher can take away, the entropy of its own answers for `CHANCES`. `rows` as in
    `models.training.losses.total_loss`."""
    parts = [
        _DISTANCES[find_task(task).kind](output, map_)
        for task, output, map_ in carried(outputs, taught, rows)
    ]
    if not parts:
        return 0.0 * torch.stack([output.sum() for output in outputs.values()]).sum()
    return torch.stack(parts).mean()


def _classes(student_bk: Tensor, teacher_bk: Tensor) -> Tensor:
    """T^2 KL(teacher || student) of the softened shares, mean over pictures or pixels."""
    student = (student_bk / TEMPERATURE).log_softmax(dim=1)
    teacher = (teacher_bk / TEMPERATURE).log_softmax(dim=1)
    apart = kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
    return TEMPERATURE**2 * apart.mean()


def _metres(student_b1hw: Tensor, teacher_b1hw: Tensor) -> Tensor:
    return 6.0 * (student_b1hw - teacher_b1hw).abs().mean()


def _vectors(student_b3hw: Tensor, teacher_b3hw: Tensor) -> Tensor:
    both = (student_b3hw * teacher_b3hw).sum(dim=1)
    lengths = student_b3hw.norm(dim=1) * teacher_b3hw.norm(dim=1)
    squared: Tensor = 2 - 2 * both / lengths.clamp_min(1e-8)
    return 2.0 * squared.clamp_min(1e-4).sqrt().mean()


def _chances(student_b1hw: Tensor, teacher_b1hw: Tensor) -> Tensor:
    return 8.0 * binary_cross_entropy_with_logits(student_b1hw, teacher_b1hw.sigmoid())


_DISTANCES: dict[Kind, Callable[[Tensor, Tensor], Tensor]] = {
    Kind.CLASSES: _classes,
    Kind.CATEGORY: _classes,
    Kind.METRES: _metres,
    Kind.VECTORS: _vectors,
    Kind.CHANCES: _chances,
}


def _taught(task: str) -> bool:
    """Boxes are not: nearly all of a raw map of boxes is what no box made."""
    return find_task(task).kind in _DISTANCES
