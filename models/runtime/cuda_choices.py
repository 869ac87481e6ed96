"""What a CUDA engine decides before it touches the device: batch sizes, precision, memory cap.

Pure functions, no torch, so that they are tested on machines without a GPU.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["bucket_of", "bucket_sizes", "memory_fraction", "precisions"]

RESERVE_BYTES = 64 * 2**20
"""what the caching allocator may round up to: it reserves blocks of 2 and 20 MiB"""


def bucket_sizes(max_batch: int) -> tuple[int, ...]:
    """Batch sizes that get a graph of their own: powers of two below `max_batch`, and itself.

    A batch runs in the smallest bucket that holds it, so less than half a pass is padding. Raises
    `ValueError` below 1.
    """
    if max_batch < 1:
        raise ValueError(f"a batch has at least one picture, got max_batch {max_batch}")
    powers = [1 << k for k in range(max_batch.bit_length()) if 1 << k < max_batch]
    return (*powers, max_batch)


def bucket_of(batch: int, sizes: Sequence[int]) -> int:
    """The smallest of the ascending `sizes` that holds `batch`. Raises `ValueError` if none."""
    if not 1 <= batch <= sizes[-1]:
        raise ValueError(f"expected a batch of 1 to {sizes[-1]}, got {batch}")
    return sizes[bisect_left(sizes, batch)]


def precisions(capability: tuple[int, int]) -> tuple[str, ...]:
    """Number formats to try on a device of this compute capability, best first.

    float16 before bfloat16: both run at the same rate, and its ten bits of mantissa keep the
    answers nearer to those the cards were measured with; bfloat16 is for networks whose
    activations leave float16's range. Devices before 7.0 (no tensor cores) compute half precision
    no faster, or far slower, than float32.
    """
    if capability >= (8, 0):
        return ("float16", "bfloat16", "float32")
    if capability >= (7, 0):
        return ("float16", "float32")
    return ("float32",)


def memory_fraction(budget_bytes: int, total_bytes: int) -> float:
    """Share of a device that a process may reserve for a node's memory budget mu_n (F4).

    The budget counts tensors, the cap counts the blocks they are cut from: `RESERVE_BYTES` lies
    between them. Raises `ValueError` for a budget above what the device has.
    """
    if budget_bytes > total_bytes:
        raise ValueError(
            f"a budget of {budget_bytes / 2**20:.0f} MiB is more than the device's "
            f"{total_bytes / 2**20:.0f} MiB; lower `memory` of the node"
        )
    return min(1.0, (budget_bytes + RESERVE_BYTES) / total_bytes)
