"""The one place that uses internals of torch, because no public function does the same.

Tried on the versions in `TRIED_ON`; `tests/models/runtime/test_torch_private.py` fails when another
version no longer does what is relied on here.
"""

from __future__ import annotations

import torch

__all__ = ["TRIED_ON", "forget_traced_classes"]

TRIED_ON = ("2.14",)


def forget_traced_classes() -> None:
    """Empty the registries in which torch keeps the classes of all modules traced so far.

    `torch.jit.trace` makes a class for each module, and the class keeps the module's weights for
    the life of the process. Traces that are in use must have been saved and loaded again after
    this call; torch's own tests clear the registries in the same way.
    """
    torch._C._jit_clear_class_registry()
    torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
    torch.jit._state._clear_class_state()
