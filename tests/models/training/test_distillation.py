"""Learning from a trained model: the distances, and training with them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from models.benchmarks.rooms import Rooms
from models.benchmarks.splits.rendered import rendered_split
from models.runtime.preprocessing import normalise
from models.training import distillation
from models.training.distillation import Teacher, TeacherError, teaching_loss
from models.training.specs import SPECS, TrainingSpec
from models.training.train import MEAN, STD, optimise, train_model
from models.zoo.registry import find_model

SHAPES = {"segmentation": (2, 12, 4, 4), "depth": (2, 1, 4, 4), "normals": (2, 3, 4, 4),
          "edges": (2, 1, 4, 4), "real": (2, 16)}  # fmt: skip


@pytest.mark.parametrize("task", SHAPES)
def test_following_the_gradient_leads_to_the_teachers_map(task: str) -> None:
    torch.manual_seed(1)
    teacher = torch.randn(SHAPES[task])
    student = torch.randn(SHAPES[task]).requires_grad_()
    at_first = teaching_loss({task: student}, {task: teacher}, {}).item()
    optimizer = torch.optim.Adam([student], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        teaching_loss({task: student}, {task: teacher}, {}).backward()
        optimizer.step()
    reached = teaching_loss({task: student}, {task: teacher}, {}).item()
    itself = teaching_loss({task: teacher}, {task: teacher}, {}).item()
    assert itself <= reached + 1e-3
    assert reached - itself < 0.1 * (at_first - itself)


def test_only_pictures_that_carry_the_task_are_taught() -> None:
    student = torch.zeros(3, 16, requires_grad=True)
    teacher = torch.randn(3, 16)
    teaching_loss({"real": student}, {"real": teacher}, {"real": torch.tensor([1])}).backward()
    assert student.grad is not None
    assert student.grad[1].abs().sum() > 0
    assert student.grad[[0, 2]].abs().sum() == 0
    none = teaching_loss(
        {"real": student}, {"real": teacher}, {"real": torch.tensor([], dtype=torch.int64)}
    )
    assert none.item() == 0


@pytest.mark.slow  # trains four networks
def test_a_student_comes_nearer_to_its_teacher_and_its_card_names_it(
    tiny_spec: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = dataclasses.replace(tiny_spec, steps=12)
    split = rendered_split(Rooms("train", spec.size, spec.train_images))
    master = optimise(dataclasses.replace(spec, seed=3, steps=40), split, None, lambda _: None)
    card = train_model(spec, out_dir=tmp_path / "zoo")
    monkeypatch.setattr(distillation, "find_model", lambda name: card)
    monkeypatch.setattr(distillation, "load_network", lambda card: master)
    taught = dataclasses.replace(spec, teacher="master")
    picture = normalise(torch.from_numpy(split.image_nhw3[:8].copy()), MEAN, STD)
    truth = Teacher(taught, "cpu").maps(picture)
    assert set(truth) == set(spec.tasks)

    def apart(one: TrainingSpec) -> float:
        network = optimise(one, split, None, lambda _: None)
        with torch.no_grad():
            maps = dict(zip(one.tasks, network(picture), strict=True))
        return teaching_loss(maps, truth, {}).item()

    assert apart(taught) < apart(spec)
    assert train_model(taught, out_dir=tmp_path / "taught").teacher == "master"
    assert card.teacher is None


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        ("nobody", "learns from nobody, which is not in the zoo: train it first"),
        ("rooms-small-depth", "takes 32 x 32 pixels, its teacher rooms-small-depth 96 x 96"),
    ],
)
def test_who_cannot_teach_is_refused_before_anything_is_rendered(
    tiny_spec: TrainingSpec, tmp_path: Path, teacher: str, words: str
) -> None:
    spec = dataclasses.replace(tiny_spec, teacher=teacher)
    with pytest.raises(TeacherError, match=words):
        train_model(spec, out_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_teacher_of_other_tasks_is_refused() -> None:
    card = find_model("rooms-small-depth")
    spec = dataclasses.replace(SPECS["rooms-small-segmentation"], teacher=card.name, name="student")
    with pytest.raises(TeacherError, match="no task that it could teach student"):
        Teacher(spec, "cpu")


def test_teachers_are_trained_before_their_students() -> None:
    order = list(SPECS)
    for spec in SPECS.values():
        if spec.teacher:
            assert order.index(spec.teacher) < order.index(spec.name)
            assert find_model(spec.name).teacher == spec.teacher
