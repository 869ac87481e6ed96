"""What torch was built for, and what it sees of it."""

from __future__ import annotations

__all__ = ["cuda_of_torch"]


def cuda_of_torch() -> tuple[str, str | None, int]:
    """Torch's version, the CUDA that it was built for (None: for the CPU alone), and how many CUDA
    devices it sees in this process. Takes a second or two: torch is imported."""
    import torch

    sees = int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
    return str(torch.__version__), torch.version.cuda, sees
