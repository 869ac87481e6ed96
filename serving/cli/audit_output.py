"""What `testbed drive --audit` does: load the models, compare, and say what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from serving.cli.console import VerbOutput
from serving.traffic.audit import AuditRow, audit_answers

if TYPE_CHECKING:
    from serving.traffic.images import LabelledImages
    from serving.traffic.session import Run

__all__ = ["tell_audit"]


def tell_audit(
    out: VerbOutput, run: Run, labelled: LabelledImages, count: int, seed: int
) -> list[AuditRow]:
    """Compare answers with the models' own, and say what differs."""
    from models.runtime.model_runtime import ModelRuntime
    from models.zoo.registry import find_model

    runtimes: dict[str, ModelRuntime] = {}

    def offline(model: str, picture: NDArray[np.uint8]) -> Mapping[str, NDArray[Any]]:
        if model not in runtimes:
            runtimes[model] = ModelRuntime.load(find_model(model), max_batch=1)
        return {task: found[0] for task, found in runtimes[model].run(picture[None]).items()}

    with out.progress("auditing") as advance:
        rows = audit_answers(
            run.schedule, run.records, labelled.images, offline, count, seed=seed,
            on_progress=advance,
        )  # fmt: skip
    for runtime in runtimes.values():
        runtime.close()
    compared, differing = (sum(getattr(row, n) for row in rows) for n in ("compared", "differing"))
    out.say(
        f"audit: {compared} answers of {len(rows)} models and tasks compared with offline ones, "
        f"{differing} differ"
    )
    for row in rows:
        if row.differing:
            out.say(
                f"{row.task} by {row.model}: {row.differing} of {row.compared} differ, in up to "
                f"{row.worst:.1%} of their numbers"
            )
    return rows
