"""The modules that every simulated query passes, compiled: the same sources, twice as fast.

    make compiled                                # with mypyc and a C compiler, in a minute
    TESTBED_COMPILED=1 testbed simulate ...      # and whatever else runs with that variable

What was compiled lies outside the checkout, in a folder named by a digest of the sources, and so it
is never of other sources than those that are there. Without the variable nothing is compiled, and
nobody looks for it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from models.zoo.fetch import cache_folder

__all__ = ["MODULES", "VARIABLE", "compiled_folder", "use_compiled"]

VARIABLE = "TESTBED_COMPILED"
ROOT = Path(__file__).parents[1]
MODULES = (
    "serving.blocking",
    "serving.named_tuples",
    "serving.node.answer_tally",
    "serving.node.device.admission",
    "serving.node.device.admission_margin",
    "serving.node.device.batching",
    "serving.node.device.device_faults",
    "serving.node.device.device_switch",
    "serving.node.device.latency_model",
    "serving.node.dispatch",
    "serving.node.links.link_capacity",
    "serving.node.links.messages",
    "serving.node.links.pacer",
    "serving.node.links.uplink",
    "serving.node.node_core",
    "serving.node.observer",
    "serving.node.server",
    "serving.routing.early_refusal",
    "serving.routing.queue_routing",
    "serving.routing.router",
    "serving.routing.routes",
    "serving.simulation.drawn_scatter",
    "serving.simulation.loop_clock",
    "serving.simulation.process",
    "serving.simulation.shared_cores",
    "serving.simulation.simulate",
    "serving.simulation.simulated_device",
    "serving.simulation.simulated_system",
    "serving.simulation.simulated_transport",
    "serving.simulation.virtual_time",
    "serving.traffic.driver",
)


def source_of(module: str) -> Path:
    """The file of a module."""
    return ROOT / f"{module.replace('.', '/')}.py"


def compiled_folder() -> Path:
    """Where these sources lie compiled, for this Python."""
    sources = hashlib.sha256(EXTENSION_SUFFIXES[0].encode())
    for module in MODULES:
        sources.update(source_of(module).read_bytes())
    return cache_folder("compiled") / sources.hexdigest()[:16]


def use_compiled() -> None:
    """Import these modules as they were compiled, from now on in this process.

    Raises `ImportError`, with the name `VARIABLE`, where these sources were not compiled, or one
    was imported before.
    """
    folder = compiled_folder()
    if not folder.is_dir():
        others = folder.parent.is_dir() and any(folder.parent.iterdir())
        why = "others than these sources are compiled" if others else "nothing is compiled"
        raise ImportError(f"{VARIABLE} is set, but {why}; run `make compiled`", name=VARIABLE)
    early = [module for module in MODULES if module in sys.modules]
    if early:
        raise ImportError(
            f"{VARIABLE} is set, but {early[0]} was imported before it could be taken compiled",
            name=VARIABLE,
        )
    sys.path.append(str(folder))  # what all of them share is a module of no package
    sys.meta_path.insert(0, _Finder(folder))


class _Finder(MetaPathFinder):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in MODULES:
            return None
        file = self._folder / f"{name.replace('.', '/')}{EXTENSION_SUFFIXES[0]}"
        return spec_from_file_location(name, file)
