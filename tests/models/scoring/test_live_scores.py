"""The benchmark's live path: pictures asked over HTTP, here and at the edge, score as offline."""

from __future__ import annotations

import numpy as np

from live_scores import live_scores
from models.benchmarks.splits.rendered import RenderedSplit
from models.runtime.model_runtime import ModelRuntime
from models.scoring.score import per_image_scores
from models.zoo.registry import find_model


def test_live_metrics_are_the_offline_metrics(few_test_images: RenderedSplit) -> None:
    card = find_model("rooms-small-geometry")
    served = live_scores(card, few_test_images, 6)
    runtime = ModelRuntime.load(card)
    offline = per_image_scores(runtime, few_test_images, range(6))
    runtime.close()
    assert list(served) == list(card.tasks)
    for task, values in served.items():
        assert len(values) == 6
        assert np.abs(values - offline[task]).max() < 0.002
