"""What a device of a node fails with. No torch, so that whoever serves can tell them apart.

DeviceMemoryError   a model has no room; the device goes on
DeviceLostError     the device is gone, or nothing of this process will run on it again
`-- NoDeviceError   this machine has no such device (also an `InputError`: a name may be wrong)
"""

from __future__ import annotations

from cluster.errors import InputError

__all__ = ["DeviceLostError", "DeviceMemoryError", "NoDeviceError", "as_lost"]

HARMLESS = frozenset({1, 2, 9, 600, 701, *range(900, 909)})
"""CUDA's errors after which a process goes on: a wrong value or launch, no memory, not ready, and
those of a capture that broke (`cudaErrorInvalidValue` and so on)"""


class DeviceMemoryError(RuntimeError):
    """A model does not fit in what its process may use of the device."""


class DeviceLostError(RuntimeError):
    """The device is gone, or the process has lost it for good; a new process may find it again."""


class NoDeviceError(DeviceLostError, InputError):
    """This machine does not have the device."""


def as_lost(error: Exception, device: str) -> DeviceLostError | None:
    """What to raise in place of `error`, if it says that this process has lost `device`.

    Of an illegal address, a failed launch, an uncorrectable ECC error or a GPU that fell off its
    bus CUDA says: "the process must be terminated and relaunched".
    """
    words = str(error)
    # torch has a class of its own for these from 2.8 on only, and a code on later ones.
    if not words.startswith("CUDA error") or getattr(error, "error_code", None) in HARMLESS:
        return None
    first, *_ = words.splitlines()  # advice on how to debug kernels follows
    return DeviceLostError(f"{device} is lost: {first}")
