"""What traffic that was driven leaves in a run, whichever verb drove it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.cli.run_work import RunWork
from serving.report.examples import pick_examples
from serving.runs.manifest import FileKind
from serving.traffic.images import LabelledImages

if TYPE_CHECKING:
    from serving.traffic.session import Run

__all__ = ["DRIVEN_FILES", "DROPPED_FILES", "keep_driven"]

DRIVEN_FILES = (FileKind.MEASUREMENTS, FileKind.GALLERY, FileKind.RECORDING)
DROPPED_FILES = (FileKind.TRAFFIC, FileKind.DRIVEN_PLAN)
"""of a run, that are no more once traffic was driven anew"""


def keep_driven(work: RunWork, driven: Run, labelled: LabelledImages) -> None:
    """Write what was measured, and pictures of some answers."""
    work.save(FileKind.MEASUREMENTS, driven.measurements.save)
    pictures = pick_examples(driven.schedule, driven.records, labelled)
    work.save(FileKind.GALLERY, pictures.save, also=(FileKind.MEASUREMENTS,))
