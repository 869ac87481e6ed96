"""What a door makes of a request whose images end differently."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serving.errors import RefusalReason, RefusedError
from serving.ingress.door import Door
from serving.ingress.inference_protocol import InferenceRequest


def answer(*errors: Exception) -> None:
    """Ask a node that ends each image's query with one of `errors`."""
    left = list(errors)

    async def answer_all(*_: object, **__: object) -> Any:
        raise left.pop(0)

    node: Any = SimpleNamespace(
        config=SimpleNamespace(tasks=("depth",)), answer_all=answer_all, table=None, tracing=None
    )
    images = np.zeros((len(errors), 4, 4, 3), np.uint8)
    asyncio.run(Door(node, (4, 4)).answer("depth", InferenceRequest(images, batched=True)))


def test_a_fault_in_the_nodes_code_is_not_hidden_by_an_image_that_was_refused() -> None:
    """It becomes a 500 and a line of the log; as a 503 nobody would ever look for it."""
    refusal = RefusedError(RefusalReason.OVERLOADED)
    with pytest.raises(ZeroDivisionError):
        answer(refusal, ZeroDivisionError("a bug"))
    with pytest.raises(RefusedError):
        answer(refusal, RefusedError(RefusalReason.SHED))
