"""Whether the files that a verb reads belong together, and to what is in force on the cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.demand import Phase
from cluster.errors import InputError
from cluster.measured_links import LinkFigures, MeasuredLinks
from cluster.providers.state import ClusterError, find_cluster
from cluster.topology import Topology
from planner.plan import Plan
from planner.policies.recompute import Recomputed, recompute
from planner.problem import Problem
from profiling.profile import digest_of
from serving.cli.console import VerbOutput
from serving.cli.inputs import (
    load_setting,
    naming_demand,
    naming_file,
    naming_plan,
    pick_phase,
    planned_phase,
)
from serving.cli.run_work import RunWork
from serving.runs.find import list_runs
from serving.runs.manifest import FileKind
from serving.setting.setting import Setting
from serving.traffic.measurement import Measurements

if TYPE_CHECKING:
    from serving.deploy.assignment_record import PlanInForce
    from serving.deploy.fleet import Fleet

__all__ = [
    "current_plan", "judged_plan", "measured_links", "phase_of_plan", "plan_in_force",
    "planned_problem", "refuse_not_in_force", "refuse_other_plan", "refuse_other_problem",
    "runs_of_plan", "serving_setting",
]  # fmt: skip


def serving_setting(work: RunWork, profiles: Path | None) -> Setting:
    """What the running cluster serves with: its topology, and `profiles` or those of the run.

    Raises `InputError` where the run is of another topology than the cluster.
    """
    state = find_cluster()
    if state is None:
        topology = work.read_topology(None)
        return load_setting(topology, work.read(FileKind.PROFILES, profiles, "--profiles"))
    path = work.read(FileKind.PROFILES, profiles, "--profiles")
    if profiles is None and work.run is not None and work.has(FileKind.TOPOLOGY):
        own = work.run.checked(FileKind.TOPOLOGY)
        if Topology.load(own) != state.topology:
            raise InputError(
                f"{own}: run {work.run.name} is of another topology than the cluster that is up, "
                f"{state.topology.name!r}; name another run with --run, or start this topology "
                "with `testbed up`"
            )
    work.note_topology(state.topology)
    return load_setting(state.topology, path)


def phase_of_plan(
    work: RunWork, plan: Plan, file: Path, demand: Path | None, phase: int
) -> tuple[Phase, str]:
    """The load that a plan was made for, and words that name it: a phase of `demand`, if that is
    named; what the plan states; or of a plan of an older version a phase of the run's demand."""
    if demand is None and plan.load_qps:
        return planned_phase(plan, file, None), f"what {file} states"
    path = work.read_demand(demand)
    return pick_phase(path, phase), f"phase {phase} of {path}"


def refuse_other_problem(
    plan: Plan, file: Path, problem: Problem, setting: Setting, demand: Path | None
) -> None:
    """Raise `InputError` for a plan, of `file`, that was not made for `problem`: for the phase of
    `demand`, if it is named, with the profiles and the topology of `setting`.

    A plan that says neither profiles nor load, as of an older version or of the live loop, is held
    to what is named alone.
    """
    if plan.problem_digest == problem.digest:
        return
    known = plan.profiles_digest
    if known is not None and known != digest_of(setting.profiles.profiles):
        raise InputError(
            f"{file}: this plan was made from other profiles than these; `testbed plan` makes one "
            "from them, or name its own with --profiles"
        )
    if demand is None:
        if known is None:
            return
        raise InputError(
            f"{file}: this plan was made for another topology or other models than these; `testbed "
            "plan` makes one for them, or name its run with --run"
        )
    own = setting.problem(planned_phase(plan, file, None)) if plan.load_qps else None
    if own is not None and own.digest != plan.problem_digest:
        why = "profiles, topology or models were others"
    else:
        load = sum(sum(rates.values()) for rates in plan.load_qps.values())
        load += sum(bundle.qps * len(bundle.tasks) for bundle in plan.bundles)
        why = f"it is for {load:.1f} queries/s, this demand has {problem.total_load_qps:.1f}"
    raise InputError(
        f"{demand}: {file} was not made for it ({why}); `testbed plan --demand {demand}` makes a "
        "plan, or leave --demand out"
    )


def measured_links(work: RunWork, links: str, hierarchy: Topology) -> dict[str, LinkFigures]:
    """What was measured of the links of `hierarchy`, of the run if `links` is `measured`, or of the
    file that it names. Raises `InputError` for another topology's, or one that lacks a link."""
    given = None if links == "measured" else Path(links)
    path = work.read(FileKind.LINKS, given, "--links")
    found = MeasuredLinks.load(path)
    with naming_file(path):
        return found.found(hierarchy)


def current_plan(out: VerbOutput, plan: Plan, file: Path, problem: Problem) -> Recomputed:
    """The plan with predictions that were worked out now; says so where its file claims others."""
    with naming_plan(file, "this problem"):
        found = recompute(plan, problem)
    if found.false_claim:
        out.say(f"[yellow]note[/]: {file}: {found.false_claim}; what follows is shown")
    return found


def planned_problem(
    setting: Setting, plan: Plan, file: Path, load: Phase, demand: Path | None
) -> Problem:
    """The problem that the plan of `file` was made for, which is that of a phase of `demand`, if it
    is named. Raises `InputError` where plan, profiles and demand do not belong together."""
    own = setting.as_planned(plan)
    with naming_demand(demand) if demand is not None else naming_plan(file, "these profiles"):
        problem = own.problem(load)
    refuse_other_problem(plan, file, problem, own, demand)
    return problem


def judged_plan(
    work: RunWork, given: Path | None, setting: Setting, demand: Path | None, phase: int = 0
) -> tuple[Plan, Path, Phase]:
    """The plan by which something is judged, its file, and the load that it was made for.

    Raises `InputError` where plan, profiles and the named demand do not belong together.
    """
    file = work.read(FileKind.PLAN, given, "--plan")
    plan = Plan.load(file)
    chosen = planned_phase(plan, file, demand, phase)
    planned_problem(setting, plan, file, chosen, demand)
    return plan, file, chosen


def refuse_other_plan(rows: Measurements, measured: Path, plan: Plan, file: Path) -> None:
    """Raise `InputError` for measurements that were made under another plan than that of `file`.
    Those of an older version say only by which policy it was."""
    digest, policy = rows.run.plan_digest, rows.run.policy
    if digest == plan.digest or (digest is None and policy == plan.policy):
        return
    other = f"another plan of {policy}" if policy == plan.policy else f"a plan of {policy}"
    raise InputError(
        f"{measured}: it was measured under {other}, not under {file}; name that plan with --plan, "
        "or drive this one: `testbed deploy`, then `testbed drive`"
    )


def plan_in_force(fleet: Fleet) -> PlanInForce:
    """The plan that the nodes follow. Raises `ClusterError` if none was deployed, or none is known
    to be in force."""
    found = fleet.in_force()
    if found is None:
        raise ClusterError(
            "no plan is in force, or another one is being put there now; run `testbed deploy` first"
        )
    return found


def runs_of_plan(digest: str) -> tuple[str, ...]:
    """Names of the runs whose plan, or whose live loop's last plan, is the one of this digest."""
    return tuple(_files_of_plan(digest))


def _files_of_plan(digest: str) -> dict[str, Path]:
    """Name of a run -> the file in it that is the plan of this digest, of those that have one."""
    found: dict[str, Path] = {}
    for run in list_runs():
        for kind in (FileKind.PLAN, FileKind.LIVE_PLAN):
            try:
                own = run.has(kind) and Plan.load(run.checked(kind)).digest == digest
            except InputError:  # a file that is not as it was written is no plan of this run
                own = False
            if own:
                found.setdefault(run.name, run.path(kind))
    return found


def refuse_not_in_force(
    work: RunWork, plan: Plan, file: Path, given: Path | None, in_force: PlanInForce
) -> None:
    """Raise `InputError` if another plan than that of `file` is in force."""
    if in_force.plan.digest == plan.digest:
        return
    now = in_force.plan.policy
    other = f"another one of {now}" if now == plan.policy else now
    named = ""
    if files := _files_of_plan(in_force.plan.digest):
        run, path = next(iter(files.items()))
        other += f" of run {run}"
        named = f", and `--plan {os.path.relpath(path)}` takes the one that is in force"
    which = f"of run {work.run.name}" if given is None and work.run else f"of {file}"
    then = f"testbed deploy{work.words}" if given is None else f"testbed deploy {file}"
    raise InputError(
        f"plan {plan.policy} {which} is not in force, {other} is, as version "
        f"{in_force.plan.version}; `{then}` puts it there{named}"
    )
