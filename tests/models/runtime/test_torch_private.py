"""What `models.runtime.torch_private` relies on, asked of the installed torch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from models.runtime import torch_private
from support.paths import ROOT

# TorchScript is deprecated; `models.runtime.cpu_engine` says why it is used.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")


class Inner(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


class Pair:
    def __init__(self, first: int) -> None:
        self.first = first


def class_of_a_trace() -> str:
    """Name of the class that torch makes for a trace: another one while the first is kept."""
    traced = torch.jit.trace(Outer(), torch.zeros(1))
    return str(traced._c._type().qualified_name())


def test_after_forgetting_a_trace_has_its_first_class_name_again() -> None:
    torch_private.forget_traced_classes()
    first, second = class_of_a_trace(), class_of_a_trace()
    torch_private.forget_traced_classes()
    assert first != second
    assert class_of_a_trace() == first


def test_scripted_classes_and_module_types_are_forgotten_too() -> None:
    torch.jit.script(Outer())
    torch.jit.script(Pair)
    store, state = torch.jit._recursive, torch.jit._state
    assert store.concrete_type_store.type_store
    assert state._get_script_class(Pair) is not None
    torch_private.forget_traced_classes()
    assert not store.concrete_type_store.type_store
    assert state._get_script_class(Pair) is None


def test_a_trace_that_was_loaded_again_still_runs(tmp_path: Path) -> None:
    path = tmp_path / "trace.pt"
    torch.jit.save(torch.jit.trace(Outer(), torch.zeros(1)), path)
    torch_private.forget_traced_classes()
    loaded = torch.jit.load(path)
    class_of_a_trace()
    assert loaded(torch.tensor([1.0])).tolist() == [2.0]


def test_it_was_tried_on_the_locked_version() -> None:
    (locked,) = re.findall(r"^torch==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert locked in torch_private.TRIED_ON, f"try torch {locked}, then add it to TRIED_ON"
