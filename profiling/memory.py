"""What a batch allocates beyond a model's weights, at its peak."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["peak_workspace_bytes"]


def peak_workspace_bytes(run: Callable[[], object], device: str) -> int:
    """Peak bytes that `run` holds on `device` at once beyond what was allocated before it.

    On CUDA the caching allocator keeps the figure; on a CPU it is the highest running sum of the
    allocations and frees that the profiler records, which no allocator's caching hides.
    """
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return max(0, torch.cuda.max_memory_allocated(device) - before)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        run()
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak
