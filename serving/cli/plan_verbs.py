"""Verbs of the planner: plan, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cluster.errors import InputError
from cluster.extras import import_extra
from cluster.specs import SPECS
from planner.evaluate import Evaluation
from planner.evaluate import evaluate as evaluate_plan
from planner.explanation.explain import explain
from planner.options import DEFAULT_OVERRUN
from planner.plan import Plan
from planner.policies import DEFAULT, Options, find_policy, list_policies, solve
from planner.problem import Problem
from planner.solution import Solution
from planner.solvers import SolverName
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.inputs import (
    DemandFile,
    Json,
    ProfilesFile,
    Routes,
    TopologyFile,
    load_setting,
    naming_plan,
    pick_phase,
    state_problem,
)
from serving.cli.options import GAP, OVERRUN, PHASE, SEED, SHARE, THREADS, TIME_LIMIT_S, number
from serving.cli.output import check_output, save_result
from serving.replan.first_plan import with_homes_for_queues
from serving.routing.routes import RoutingMode

__all__ = ["VERBS"]

SHOWN_NODES = 24
SHOWN_REASONS = 12


def plan(
    policy: Annotated[str, typer.Option(help="see --list; or package.module:function")] = DEFAULT,
    profiles: ProfilesFile = Path("out/profiles.json"),
    demand: DemandFile = SPECS / "demo-demand.yaml",
    topology: TopologyFile = None,
    problem: Annotated[
        Path | None, typer.Option(help="plan this problem.json instead of measured files")
    ] = None,
    phase: Annotated[int, number(PHASE, help="phase of the demand, from 0")] = 0,
    fill: Annotated[
        float, number(SHARE, help="share of compute to plan for (of windows with --overrun 0)")
    ] = 0.6,
    time_limit: Annotated[float, number(TIME_LIMIT_S, help="time for planning")] = 60.0,
    gap: Annotated[float, number(GAP, help="gap at which a solver may stop")] = 1e-4,
    overrun: Annotated[
        float | None,
        number(
            OVERRUN,
            help="share of windows that may overrun under random arrivals (F11); 0: plan windows "
            "for the mean load and --fill (F9)",
            show_default=f"{DEFAULT_OVERRUN:g} for policies that plan windows",
        ),
    ] = None,
    threads: Annotated[int, number(THREADS, help="processes or threads of the solver")] = 1,
    seed: Annotated[int, number(SEED, help="of policies and solvers that draw")] = 0,
    solver: Annotated[
        SolverName,
        typer.Option(
            help="of policies that solve integer programs; auto: Gurobi where it is installed and "
            "licensed for the size, else HiGHS"
        ),
    ] = "auto",
    routing: Routes = RoutingMode.SHARES,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("out/plan.json"),
    list_: Annotated[bool, typer.Option("--list", help="list the policies and stop")] = False,
    as_json: Json = False,
) -> None:
    """Decide what each node holds and where queries go; writes the plan and its problem."""
    out = VerbOutput(as_json)
    if list_:
        for entry in list_policies():
            out.say(f"[bold]{entry.name}[/]  {entry.description}")
        out.result({entry.name: entry.description for entry in list_policies()})
        return
    options = Options(
        fill=fill, time_limit_s=time_limit, gap=gap, seed=seed, threads=threads, solver=solver,
        overrun="default" if overrun is None else overrun or None,
    )  # fmt: skip
    check_output(output)
    beside = output.with_name("problem.json")
    if output.resolve() == (problem or beside).resolve():
        raise InputError(f"--output: {output} is the file of the problem; name another")
    find_policy(policy)
    if solver == "gurobi":
        import_extra("gurobipy", "gurobi", "--solver gurobi")
    by_queues = routing is RoutingMode.PENALTY
    if problem is not None and by_queues:
        raise InputError(
            f"--routing {routing}: what routers make of models follows from --profiles and "
            "--demand; leave out --problem"
        )
    setting = None
    if problem is not None:
        stated = Problem.load(problem)
    else:
        check_output(beside)
        setting = load_setting(topology, profiles)
        stated = state_problem(setting, demand, phase)
    with out.busy(f"planning with {policy}"):
        solution = solve(stated, policy, options)
        if setting is not None and by_queues:
            chosen = pick_phase(demand, phase)
            solution = with_homes_for_queues(setting, chosen, solution, options)
    if problem is None:
        save_result(stated.save, beside)
    save_result(solution.plan.save, output)
    _show_solution(out, solution)
    _note_other_solver(out, solver, solution)
    if by_queues:
        out.say(
            "these figures are of the plan's shares; what routers make of its models by their "
            "queues, says `testbed simulate --routing penalty`"
        )
    reasons = explain(stated, solution).lines
    for line in reasons[:SHOWN_REASONS]:
        out.say(f"· {line}")
    if len(reasons) > SHOWN_REASONS:
        out.say(f"· and {len(reasons) - SHOWN_REASONS} smaller reasons")
    out.wrote(output)
    certificate = solution.certificate
    out.result(
        {
            "policy": policy,
            "status": str(certificate.status),
            "objective": certificate.objective,
            "upper_bound": certificate.upper_bound,
            "gap": certificate.gap,
            "iterations": certificate.iterations,
            "runtime_s": certificate.runtime_s,
        }
    )


def evaluate(
    plan: Annotated[Path, typer.Argument(help="plan.json")] = Path("out/plan.json"),
    problem: Annotated[Path, typer.Option(help="problem.json")] = Path("out/problem.json"),
    fill: Annotated[float, number(SHARE, help="share of windows and compute allowed")] = 1.0,
    as_json: Json = False,
) -> None:
    """Check a plan against every constraint, independently of any solver. Exit 3 if one fails."""
    out = VerbOutput(as_json)
    checked = Plan.load(plan)
    stated = Problem.load(problem)
    with naming_plan(plan, f"{problem}, or --problem names its own"):
        found = evaluate_plan(stated, checked, fill=fill)
    _show_evaluation(out, found)
    violations = found.violations()
    for violation in violations:
        out.say(f"[red]violated[/] {violation}")
    out.result(
        {
            **found.summary().model_dump(mode="json"),
            "violations": [str(violation) for violation in violations],
        }
    )
    if violations:
        raise typer.Exit(ExitCode.NOT_MET)


def _note_other_solver(out: VerbOutput, wanted: SolverName, solution: Solution) -> None:
    """Say so where another solver than the one that was asked for did the work, or a part of it."""
    ran = solution.certificate.solver
    if wanted == "gurobi" and ran != "Gurobi":
        out.say(
            f"[yellow]note[/]: --solver gurobi: {ran} ran. Gurobi takes integer programs of the "
            "policies exact and certified, as far as its licence covers their size"
        )


def _show_solution(out: VerbOutput, solution: Solution) -> None:
    certificate = solution.certificate
    out.say(
        f"[bold]{solution.policy}[/]: accuracy {certificate.objective:.4f}, at most "
        f"{certificate.upper_bound:.4f} is possible (gap {certificate.gap:.2%}, "
        f"{certificate.bound_method}); {certificate.status} after {certificate.iterations} "
        f"iterations, {certificate.runtime_s:.2f} s, {certificate.solver}"
    )
    table = Table("node", "holds")
    onloading = solution.plan.onloading
    for node, models in list(onloading.items())[:SHOWN_NODES]:
        table.add_row(node, ", ".join(models) or "nothing")
    if len(onloading) > SHOWN_NODES:
        table.add_row("...", f"{len(onloading) - SHOWN_NODES} more nodes in the file")
    out.table(table)
    _show_evaluation(out, solution.evaluation)


def _show_evaluation(out: VerbOutput, found: Evaluation) -> None:
    summary = found.summary()
    shares = ", ".join(f"{tier} {share:.1%}" for tier, share in summary.share_by_tier.items())
    out.say(f"accuracy {summary.objective:.4f}; served by {shares}; shed {summary.shed_share:.1%}")
    tight = ", ".join(f"{label} {use:.0%}" for label, use in summary.tightest_by_constraint.items())
    out.say(f"tightest use of each budget: {tight}")


VERBS = (plan, evaluate)
