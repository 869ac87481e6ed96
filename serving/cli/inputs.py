"""What several verbs read: their common options, and the files and pictures behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cluster.deadline_classes import base_task, class_labels, has_class
from cluster.demand import Demand, Phase
from cluster.errors import InputError, UnknownNameError
from cluster.timeline import TimelineEvent, check_timeline
from cluster.topology import Topology
from models.benchmarks.registry import open_benchmark
from models.tasks import find_task
from models.zoo.cards import ModelCard
from models.zoo.inputs import input_of
from models.zoo.registry import ZOO_VARIABLE, list_models
from planner.plan import Plan, PlanError
from planner.problem import Problem, ProblemError
from profiling.freshness import refuse_foreign, refuse_partial, refuse_stale
from profiling.profile import Profiles
from profiling.published import refuse_unpublished
from serving.cli.console import VerbOutput
from serving.cli.options import IMAGES, PORT, SEED, number
from serving.errors import BudgetError
from serving.routing.routes import RoutingMode
from serving.setting.planned_load import load_of
from serving.setting.setting import Setting
from serving.traffic.images import LabelledImages, load_images

__all__ = [
    "DemandFile", "ImageCount", "Json", "MeasurementsFile", "NewRun", "PlanFile", "PlannedDemand",
    "ProfilesFile", "ReadOnly", "Routes", "RunName", "Seed", "Spill", "TopologyFile",
    "WatchPort", "check_class_names", "check_events", "check_hardware", "load_labelled",
    "load_setting", "models_of", "naming_demand", "naming_file", "naming_plan",
    "only_plan", "pick_phase", "pick_traffic", "planned_phase", "state_problem",
]  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="print one JSON object on stdout")]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="plan.json; default: the run's")]
RunName = Annotated[
    str | None, typer.Option("--run", help="of `testbed runs`; default: the newest one")
]
NewRun = Annotated[
    str | None,
    typer.Option("--run", help="of `testbed runs`, or of a new one; default: the newest one"),
]
Seed = Annotated[int, number(SEED, help="seed of the traffic")]
Spill = Annotated[
    bool, typer.Option("--spill/--no-spill", help="a query whose way is full takes another one")
]
Routes = Annotated[
    RoutingMode,
    typer.Option("--routing", help="choose ways by the plan's shares, or by what is queued"),
]
ImageCount = Annotated[int, number(IMAGES, help="labelled images of the test split to draw from")]
WatchPort = Annotated[
    int | None, number(PORT, help="of the page, on this machine alone; default: a free one")
]
ReadOnly = Annotated[
    bool, typer.Option("--read-only", help="nothing can be done from the page: for a beamer")
]
ProfilesFile = Annotated[Path | None, typer.Option(help="profiles.json; default: the run's")]
DemandFile = Annotated[
    Path | None, typer.Option(help="demand YAML; default: the run's, or the demo's")
]
PlannedDemand = Annotated[
    Path | None,
    typer.Option(
        "--demand", help="demand YAML the plan was made for; default: what plan.json states"
    ),
]
MeasurementsFile = Annotated[
    Path | None, typer.Option(help="measurements.parquet; default: the run's")
]
TopologyFile = Annotated[
    Path | None,
    typer.Option(
        help="topology YAML; default: the run's, that of the running cluster, or the demo's"
    ),
]


def state_problem(setting: Setting, demand: Path, phase: int) -> Problem:
    """What is to be planned for a phase of a demand file. Raises `InputError` with the file's name
    where the setting lacks a client or a task of it."""
    chosen = pick_phase(demand, phase)
    if chosen.total_qps <= 0:
        raise InputError(f"{demand}: phase {phase} asks nothing; --phase names another one")
    with naming_demand(demand):
        return setting.problem(chosen)


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Name the file `path` in what is said of its content. Raises `InputError` for one in it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@contextmanager
def naming_demand(demand: Path) -> Iterator[None]:
    """Name the file `demand` in what is said of a demand that fits no problem.

    Raises `InputError` for a `ProblemError` in it.
    """
    try:
        yield
    except ProblemError as error:
        raise InputError(f"{demand}: {error}; --demand names another file") from None


@contextmanager
def naming_plan(plan: Path, other: str) -> Iterator[None]:
    """Name the file `plan` in what is said of a plan that does not fit `other`.

    Raises `InputError` for a `PlanError` or `ProblemError` in it, and a `BudgetError` for a
    `BudgetError`.
    """
    try:
        yield
    except (PlanError, ProblemError) as error:
        raise InputError(f"{plan}: {error}; `testbed plan` makes one for {other}") from None
    except BudgetError as error:
        raise BudgetError(
            error.violations, f"{plan} (`testbed plan` makes one that fits {other})"
        ) from None


def pick_traffic(
    out: VerbOutput, demand: Path, phase: int | None, duration_s: float | None
) -> tuple[tuple[Phase, ...], tuple[TimelineEvent, ...]]:
    """The phases of a demand file that are to be driven, and the events of their time.

    Raises `InputError` if it has no such phase.
    """
    whole = Demand.load(demand)
    phases, timeline = whole.part(phase, duration_s)
    left_out = len(whole.timeline) - len(timeline)
    if left_out:
        out.say(f"{left_out} of the timeline's events lie outside of what is driven")
    return phases, timeline


def check_events(demand: Path, topology: Topology) -> None:
    """Raise `InputError` for an event of the demand file that names nobody of `topology`.

    Events are numbered as in the file, also where not all of its phases are driven.
    """
    timeline = Demand.load(demand).timeline
    with naming_file(demand):
        check_timeline(timeline, topology)


def check_class_names(demand: Path, phases: Sequence[Phase], plan: Plan) -> None:
    """Raise `InputError` for a deadline class (F20) that `phases` ask and `plan` does not know."""
    for name in (name for phase in phases for name in phase.tasks if has_class(name)):
        if name not in plan.deadlines_s:
            known = class_labels(base_task(name), plan.deadlines_s)
            raise InputError(
                f"{demand}: the plan has no class {name}, of {base_task(name)} it has "
                f"{', '.join(known) or 'none'}; `testbed plan` makes one for this demand"
            )


def only_plan(argument: Path | None, option: Path | None) -> Path | None:
    """The plan's file, which may be named as an argument or with --plan. Raises `InputError` for
    both."""
    if argument is not None and option is not None:
        raise InputError(f"{argument} and --plan {option}: name one plan")
    return argument or option


def pick_phase(demand: Path, phase: int) -> Phase:
    """A phase of a demand file. Raises `InputError` if it has none of that number."""
    phases = Demand.load(demand).phases
    if not 0 <= phase < len(phases):
        raise InputError(f"--phase {phase}: {demand} has phases 0 to {len(phases) - 1}")
    return phases[phase]


def planned_phase(plan: Plan, file: Path, demand: Path | None, phase: int = 0) -> Phase:
    """The load that a plan was made for: a phase of `demand`, or without it what the plan, read
    from `file`, says itself. Raises `InputError` for a plan of an older version without one."""
    if demand is not None:
        return pick_phase(demand, phase)
    load = load_of(plan)
    if load is None:
        raise InputError(f"{file}: does not say for what load it was made; name it with --demand")
    return load


def load_setting(found: Topology, profiles: Path) -> Setting:
    """The topology `found` with zoo and profiles.

    Raises `InputError` for profiles of another topology, of models that are not in the zoo or have
    changed since, or that are partial, and for a device to emulate that nobody published.
    """
    refuse_unpublished(found)
    measured = Profiles.load(profiles)
    if measured.topology != found.name:
        raise InputError(
            f"{profiles}: measured on the topology {measured.topology!r}, not on {found.name!r}; "
            "run `testbed profile` there, or name other files with --profiles and --topology"
        )
    names = {entry.model for entry in measured.profiles}
    cards = tuple(card for card in list_models() if card.name in names)
    if unknown := sorted(names - {card.name for card in cards}):
        raise InputError(
            f"{profiles}: the zoo has no model {unknown[0]}, of which it has a profile; "
            f"{ZOO_VARIABLE} names zoos of your own, and `testbed profile` measures again"
        )
    if not cards:
        raise InputError(f"{profiles}: has no profiles; `testbed profile` measures them")
    with naming_file(profiles):
        refuse_partial(found, measured)
        refuse_stale(cards, measured)
    return Setting(found, cards, measured)


def check_hardware(setting: Setting, profiles: Path) -> None:
    """Raise `InputError` for profiles, of the file `profiles`, that were measured on other hardware
    than this machine's."""
    from serving.deploy.profile_bench import hardware_of

    if not setting.profiles.measured:  # which does not say
        return
    devices = {node.host_device: node for node in setting.topology.nodes if not node.is_null}
    with naming_file(profiles):
        refuse_foreign(setting.profiles, [hardware_of(node)[0] for node in devices.values()])


def models_of(benchmark: str) -> tuple[ModelCard, ...]:
    """The zoo's models of a benchmark. Raises `UnknownNameError` if there is none."""
    found = list_models(benchmark)
    if not found:
        known = ", ".join(sorted({card.benchmark for card in list_models()}))
        raise UnknownNameError(
            f"--benchmark {benchmark}: the zoo has no model of it, only of {known}"
        )
    return found


def load_labelled(out: VerbOutput, phases: Sequence[Phase], count: int) -> LabelledImages:
    """The first `count` labelled images of the test splits that the demand's tasks belong to."""
    tasks = {base_task(task) for phase in phases for task in phase.tasks}
    splits = []
    for name in sorted({find_task(task).benchmark for task in tasks}):
        taken = input_of(list_models(name), tasks)
        splits.append(open_benchmark(name, "test", (taken.height, taken.width)))
    with out.progress("reading images") as advance:
        return load_images(splits, count, advance)
