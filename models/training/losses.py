"""One training loss a task, on raw head outputs; scaled so that a sum of them is balanced.

Axes: `b` images, `g` groups of them, `k` classes, `h` rows, `w` columns, `n` pixels of an image.
Labels are in the encoding of `models.tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from models.networks.box_head import boxes_loss
from models.tasks import Kind, find_task, tasks_of
from models.tasks.on_disk import DOMAIN_FOLDERS, UNLABELLED

__all__ = ["LOSSES", "carried", "total_loss"]

CORNER_WEIGHT = 10.0
SMOOTHING = 0.05
Loss = Callable[[Tensor, Tensor], Tensor]


def total_loss(
    outputs: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    *,
    rows: Mapping[str, Tensor] | None = None,
    emphasis: Mapping[str, float] | None = None,
    dice_by_picture: bool = False,
) -> Tensor:
    """Mean over the network's tasks of their losses, each times its weight (default 1).

    `rows[task]` are the images of the batch that carry a label of the task, where not all do;
    a task that no image of the batch carries is left out.
    """
    weight = emphasis or {}
    losses = LOSSES | DICE_BY_PICTURE if dice_by_picture else LOSSES
    parts = [
        weight.get(task, 1.0) * losses[task](output, label)
        for task, output, label in carried(outputs, labels, rows or {})
    ]
    return torch.stack(parts).mean()


def carried(
    outputs: Mapping[str, Tensor], truths: Mapping[str, Tensor], rows: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Task, output and truth of the pictures that carry it, for each task of `truths` that any
    picture of the batch carries; `rows` as in `total_loss`."""
    for task, truth in truths.items():
        if task not in rows:
            yield task, outputs[task], truth
        elif len(rows[task]):
            yield task, outputs[task][rows[task]], truth[rows[task]]


def segmentation_loss(score_bkhw: Tensor, label_bhw: Tensor, *, by_picture: bool = False) -> Tensor:
    """Cross entropy plus soft Dice over the classes shown (the metric is per class).

    Dice is taken of the batch as a whole, or `by_picture` of each picture over the classes that
    it shows, as the metric is: a small thing then counts as much as a large one.
    """
    log_share_bkn = score_bkhw.log_softmax(dim=1).flatten(2)
    label_bn = label_bhw.long().flatten(1)
    true_log_bn = log_share_bkn.gather(1, label_bn[:, None])[:, 0]
    zero_bk = torch.zeros(log_share_bkn.shape[:2], device=label_bn.device)
    size_gk = zero_bk.scatter_add(1, label_bn, torch.ones_like(true_log_bn))
    common_gk = zero_bk.scatter_add(1, label_bn, true_log_bn.exp())
    said_gk = log_share_bkn.exp().sum(dim=2)
    if not by_picture:
        size_gk, common_gk, said_gk = (
            sums.sum(dim=0, keepdim=True) for sums in (size_gk, common_gk, said_gk)
        )
    shown_gk = size_gk > 0
    missed_gk = 1 - 2 * common_gk / (said_gk + size_gk + 1)
    dice = ((missed_gk * shown_gk).sum(dim=1) / shown_gk.sum(dim=1)).mean()
    return dice - true_log_bn.mean()


def depth_loss(log_b1hw: Tensor, label_bhw: Tensor) -> Tensor:
    """Mean absolute error of log depth: a ratio error, as the metric's."""
    return 6.0 * (log_b1hw[:, 0] - label_bhw.float().log()).abs().mean()


def normals_loss(vector_b3hw: Tensor, label_bhw3: Tensor) -> Tensor:
    """Mean chord between the unit vectors."""
    truth = label_bhw3.permute(0, 3, 1, 2).float() / 127
    length = (vector_b3hw * vector_b3hw).sum(dim=1).clamp_min(1e-8).sqrt()
    cosine = (vector_b3hw * truth).sum(dim=1) / length
    return 2.0 * (2 - 2 * cosine).clamp_min(1e-4).sqrt().mean()


def keypoints_loss(logit_b1hw: Tensor, label_bhw: Tensor) -> Tensor:
    """Binary cross entropy against the heat map, corners weighted up: they are few."""
    heat = label_bhw.float() / 255
    weight = 1 + CORNER_WEIGHT * heat
    return 8.0 * binary_cross_entropy_with_logits(logit_b1hw[:, 0], heat, weight)


def edges_loss(logit_b1hw: Tensor, label_bhw: Tensor) -> Tensor:
    """Binary cross entropy plus soft Dice of the edge class."""
    truth = (label_bhw >= 128).float()
    logit = logit_b1hw[:, 0]
    chance = logit.sigmoid()
    dice = 1 - 2 * (chance * truth).sum() / (chance.sum() + truth.sum() + 1)
    return 2.0 * binary_cross_entropy_with_logits(logit, truth) + dice


def category_loss(score_bk: Tensor, label_bk: Tensor) -> Tensor:
    """Cross entropy against the true class, a little of it spread over the others."""
    return cross_entropy(score_bk, label_bk.float(), label_smoothing=SMOOTHING)


def on_labelled(kind: Kind, loss: Loss) -> Loss:
    """`loss` over the pixels that carry a label, handed to it as one row of one image."""

    def chosen(output_bkhw: Tensor, label: Tensor) -> Tensor:
        kept_bhw = label_mask(kind, label)
        if not kept_bhw.any():
            return 0.0 * output_bkhw.sum()
        picked = output_bkhw.movedim(1, -1)[kept_bhw].T[None, :, None]
        return loss(picked, label[kept_bhw][None, None])

    return chosen


def label_mask(kind: Kind, label: Tensor) -> Tensor:
    """(b, h, w) bool: `models.tasks.on_disk.is_labelled` of a batch."""
    if kind is Kind.CLASSES:
        return label != UNLABELLED
    return label > 0 if kind is Kind.METRES else (label != 0).any(dim=-1)


LOSSES: dict[str, Loss] = {
    "segmentation": segmentation_loss,
    "depth": depth_loss,
    "normals": normals_loss,
    "keypoints": keypoints_loss,
    "edges": edges_loss,
}
LOSSES |= dict.fromkeys(tasks_of("domains"), category_loss)
LOSSES |= {
    "streets-segmentation": segmentation_loss,
    "streets-depth": on_labelled(Kind.METRES, depth_loss),
    "streets-boxes": partial(boxes_loss, task=find_task("streets-boxes")),
}
LOSSES |= {
    **{task: category_loss for name in DOMAIN_FOLDERS for task in tasks_of(name)},
    "taskonomy-segmentation": on_labelled(Kind.CLASSES, segmentation_loss),
    "taskonomy-depth": on_labelled(Kind.METRES, depth_loss),
    "taskonomy-normals": on_labelled(Kind.VECTORS, normals_loss),
    "taskonomy-keypoints": keypoints_loss,
    "taskonomy-edges": edges_loss,
    "cityscapes3d-segmentation": on_labelled(Kind.CLASSES, segmentation_loss),
    "cityscapes3d-depth": on_labelled(Kind.METRES, depth_loss),
    "cityscapes3d-boxes": partial(boxes_loss, task=find_task("cityscapes3d-boxes")),
}
DICE_BY_PICTURE: dict[str, Loss] = {
    task: partial(segmentation_loss, by_picture=True)
    for task, loss in LOSSES.items()
    if loss is segmentation_loss
}
"""of the tasks that have a choice: where labels have holes, pictures are not told apart"""
