"""What several verbs read: their common options, and the files and pictures behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cluster.demand import Demand, Phase
from cluster.providers.state import find_cluster
from cluster.specs import SPECS
from cluster.topology import Topology
from models.benchmarks.registry import open_benchmark
from models.tasks import find_task
from models.zoo.inputs import input_of
from models.zoo.registry import list_models
from planner.problem import Problem, ProblemError
from profiling.profile import Profiles
from serving.cli.console import VerbOutput
from serving.setting.setting import Setting
from serving.traffic.images import LabelledImages, load_images

__all__ = [
    "DemandFile", "ImageCount", "Json", "PlanFile", "ProfilesFile", "Seed", "TopologyFile",
    "load_labelled", "load_setting", "pick_phase", "state_problem",
]  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="print one JSON object on stdout")]
PlanFile = Annotated[Path, typer.Option(help="plan.json")]
Seed = Annotated[int, typer.Option(help="seed of the traffic")]
ImageCount = Annotated[int, typer.Option(help="labelled images of the test split to draw from")]
ProfilesFile = Annotated[Path, typer.Option(help="profiles.json")]
DemandFile = Annotated[Path, typer.Option(help="demand YAML")]
TopologyFile = Annotated[
    Path | None, typer.Option(help="topology YAML; default: that of the running cluster")
]


def state_problem(setting: Setting, demand: Path, phase: int) -> Problem:
    """What is to be planned for a phase of a demand file. Raises `ValueError` with the file's name
    where the setting lacks a client or a task of it."""
    chosen = pick_phase(demand, phase)
    try:
        return setting.problem(chosen)
    except ProblemError as error:
        raise ValueError(f"{demand}: {error}; --demand names another file") from None


def pick_phase(demand: Path, phase: int) -> Phase:
    """A phase of a demand file. Raises `ValueError` if it has none of that number."""
    phases = Demand.load(demand).phases
    if not 0 <= phase < len(phases):
        raise ValueError(f"--phase {phase}: {demand} has phases 0 to {len(phases) - 1}")
    return phases[phase]


def load_setting(topology: Path | None, profiles: Path) -> Setting:
    """Topology (of the running cluster, or the demo's, unless a file is named), zoo, profiles."""
    if topology is not None:
        found = Topology.load(topology)
    else:
        state = find_cluster()
        found = state.topology if state else Topology.load(SPECS / "demo.yaml")
    measured = Profiles.load(profiles)
    names = {entry.model for entry in measured.profiles}
    return Setting(found, tuple(card for card in list_models() if card.name in names), measured)


def load_labelled(out: VerbOutput, phases: Sequence[Phase], count: int) -> LabelledImages:
    """The first `count` labelled images of the test splits that the demand's tasks belong to."""
    tasks = {task for phase in phases for rates in phase.rates_qps.values() for task in rates}
    splits = []
    for name in sorted({find_task(task).benchmark for task in tasks}):
        taken = input_of(list_models(name), tasks)
        splits.append(open_benchmark(name, "test", (taken.height, taken.width)))
    with out.progress("rendering images") as advance:
        return load_images(splits, count, advance)
