"""What a picture takes on its way to a pass: decoding, fitting, stacking, copying to the device.

Each is the median of a few runs of the code that serves, on one core that does nothing else.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.runtime.fitting import fit
from models.runtime.image_bodies import decode_image
from models.zoo.cards import Preprocessing
from profiling.measured import HostParts

__all__ = ["measure_parts"]

RUNS = 7
TIMES = 2
"""each way larger than the model's input is the picture that is fitted"""


def measure_parts(
    taken: Preprocessing,
    images: NDArray[np.uint8],
    stack: Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.uint8]],
    copy: Callable[[NDArray[np.uint8]], object],
    clock: Callable[[], float] = time.perf_counter,
) -> HostParts:
    """Seconds of each part for a model that takes pictures as `taken` says. `images` (b, h, w, 3)
    are a batch; `stack` makes the array of a batch, `copy` copies it to the device and its answers
    back."""
    body = io.BytesIO()
    Image.fromarray(images[0]).save(body, "PNG")
    png = body.getvalue()
    larger = np.kron(images[:1], np.ones((1, TIMES, TIMES, 1), np.uint8))

    def median_s(part: Callable[[], object]) -> float:
        part()
        spent_s = []
        for _ in range(RUNS):
            started_s = clock()
            part()
            spent_s.append(clock() - started_s)
        return float(np.median(spent_s))

    batch = list(images)
    return HostParts(
        decode_s=median_s(lambda: decode_image(png, taken)),
        fit_s=median_s(lambda: fit(larger, taken)),
        stack_s=median_s(lambda: stack(batch)) / len(batch),
        copy_s=median_s(lambda: copy(images)) / len(batch),
    )
