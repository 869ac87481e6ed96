"""A runtime without torch: answers say which image and model they came from."""

from __future__ import annotations

import threading
import time

import numpy as np

TASKS = ("depth", "edges")
SHAPE = (4, 4, 3)


class FakeRuntime:
    """Answers are the image's first value plus the model's number; takes `batch_s` a batch."""

    def __init__(self, number: int = 0, batch_s: float = 0.0, fails: bool = False) -> None:
        self.number = number
        self.batch_s = batch_s
        self.fails = fails
        self.batches: list[int] = []
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()

    def run(self, images):
        self.gate.wait(5)
        time.sleep(self.batch_s)
        if self.fails:
            raise RuntimeError("out of memory")
        self.batches.append(len(images))
        value = images[:, :1, :1, 0].astype(np.float32) + self.number
        return dict.fromkeys(TASKS, value)

    def close(self) -> None:
        self.closed = True


def image(value: int) -> np.ndarray:
    return np.full(SHAPE, value, dtype=np.uint8)
