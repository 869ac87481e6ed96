"""The six classification tasks of `domains`, one a domain of DomainNet."""

from __future__ import annotations

from models.tasks.metrics import same_class
from models.tasks.paint import paint_category
from models.tasks.task import Kind, Task

__all__ = ["DOMAINS_CLASSES", "DOMAINS_TASKS"]

DOMAINS_CLASSES = (
    "bicycle", "bird", "boat", "car", "chair", "clock", "cup", "fish",
    "flower", "glasses", "house", "key", "mushroom", "star", "tree", "umbrella",
)  # fmt: skip

DOMAINS_TASKS = tuple(
    Task(
        domain, "domains", Kind.CATEGORY, "probability of each class",
        "1 if the most probable class is the true one, else 0",
        same_class, paint_category(DOMAINS_CLASSES), DOMAINS_CLASSES,
    )
    for domain in ("real", "painting", "clipart", "sketch", "quickdraw", "infograph")
)  # fmt: skip
