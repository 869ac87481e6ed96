"""Verbs of the planner: plan, evaluate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cluster.demand import Demand
from cluster.errors import InputError
from cluster.extras import import_extra
from planner.client_accuracy import Objective
from planner.evaluate import Evaluation
from planner.evaluate import evaluate as evaluate_plan
from planner.explanation.budget_words import fullest_budgets
from planner.explanation.explain import explain
from planner.options import DEFAULT_OVERRUN
from planner.plan import Plan
from planner.policies import DEFAULT, Options, find_policy, list_policies, solve
from planner.problem import Problem
from planner.solution import Solution
from planner.solvers import SolverName
from profiling.profile import digest_of
from serving.cli.belonging import current_plan, measured_links
from serving.cli.console import ExitCode, VerbOutput
from serving.cli.energy_options import BusyWatts, JoulePrice, MaxWatts, energy_goal, watts_told
from serving.cli.gap_note import note_bursts, note_gap
from serving.cli.inputs import (
    DemandFile,
    Json,
    NewRun,
    PlanFile,
    ProfilesFile,
    Routes,
    RunName,
    TopologyFile,
    load_setting,
    naming_plan,
    only_plan,
    pick_phase,
    state_problem,
)
from serving.cli.options import GAP, OVERRUN, PHASE, SEED, SHARE, THREADS, TIME_LIMIT_S, number
from serving.cli.output import LooseOutput, check_output
from serving.cli.run_work import RunWork
from serving.replan.first_plan import with_homes_for_queues
from serving.routing.routes import RoutingMode
from serving.runs.manifest import FileKind

__all__ = ["VERBS"]

SHOWN_NODES = 24
SHOWN_REASONS = 12
NAMES: dict[Objective, str] = {
    "mean": "accuracy",
    "least": "least accuracy of a client",
    "proportional": "geometric mean of clients' accuracy",
}


def plan(
    policy: Annotated[str, typer.Option(help="see --list; or package.module:function")] = DEFAULT,
    profiles: ProfilesFile = None,
    demand: DemandFile = None,
    topology: TopologyFile = None,
    links: Annotated[
        str | None,
        typer.Option(
            help="plan with links as they were measured: `measured` (the run's links.json), or a "
            "file of `testbed net check`"
        ),
    ] = None,
    problem: Annotated[
        Path | None,
        typer.Option(help="plan this problem.json, or the run's drawn one, not measured files"),
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
    objective: Annotated[
        Objective,
        typer.Option(
            help="what to maximise: the mean accuracy (F1), the least accuracy of a client, or the "
            "geometric mean of all clients' (F19; --policy exact)"
        ),
    ] = "mean",
    busy_watts: BusyWatts = None,
    max_watts: MaxWatts = None,
    joule_price: JoulePrice = None,
    routing: Routes = RoutingMode.SHARES,
    run: NewRun = None,
    output: LooseOutput = None,
    list_: Annotated[bool, typer.Option("--list", help="list the policies and stop")] = False,
    as_json: Json = False,
) -> None:
    """Decide what each node holds and where queries go; writes the plan and its problem."""
    out = VerbOutput(as_json)
    if list_:
        for entry in list_policies():
            out.say(f"[bold]{entry.name:<17}[/] {entry.description}")
        out.result({entry.name: entry.description for entry in list_policies()})
        return
    options = Options(
        fill=fill, time_limit_s=time_limit, gap=gap, seed=seed, threads=threads, solver=solver,
        overrun="default" if overrun is None else overrun or None, objective=objective,
    )  # fmt: skip
    if output is not None:
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
    if objective != "mean" and by_queues:
        raise InputError(
            f"--routing {routing}: routers follow their queues for the mean accuracy, not for "
            f"--objective {objective}; leave one of them out"
        )
    if busy_watts and by_queues:
        raise InputError(
            f"--routing {routing}: what routers draw that follow their queues is in no plan; leave "
            "out --busy-watts"
        )
    work = RunWork(out, run, begins=True)
    setting = measured = None
    drawn = profiles is None and work.has(FileKind.PROBLEM) and not work.has(FileKind.PROFILES)
    if problem is not None or drawn:
        problem = work.read(FileKind.PROBLEM, problem, "--problem")
        stated = Problem.load(problem)
        if links is not None:
            raise InputError("--links: a problem states its links; leave it out with --problem")
        if demand is not None:
            raise InputError(
                f"--demand: a problem states its load; leave out {demand}, or plan measured files"
            )
    else:
        hierarchy = work.read_topology(topology)
        setting = load_setting(hierarchy, work.read(FileKind.PROFILES, profiles, "--profiles"))
        if links is not None:
            measured = measured_links(work, links, hierarchy)
            setting = setting.with_links(measured)
        demand = work.read_demand(demand)
        setting = setting.with_deadlines(Demand.load(demand).deadlines_s)
        stated = state_problem(setting, demand, phase)
    outputs = (FileKind.PLAN, FileKind.PROBLEM) if problem is None else (FileKind.PLAN,)
    output = work.writes(outputs, output)
    if by_queues and stated.asks_together:
        raise InputError(
            f"--routing {routing}: requests for several tasks keep to their shares; leave it "
            "out for a demand with bundles"
        )
    energy = energy_goal(stated, busy_watts, max_watts, joule_price)
    if energy is not None and objective != "mean":
        raise InputError("--busy-watts: watts go with the mean accuracy; leave out --objective")
    options = replace(options, energy=energy)
    with out.busy(f"planning with {policy}"):
        solution = solve(stated, policy, options)
        if setting is not None and demand is not None and by_queues:
            chosen = pick_phase(demand, phase)
            solution = with_homes_for_queues(setting, chosen, solution, options)
    mean = None
    if objective != "mean":
        with out.busy("planning for the mean accuracy, to compare"):
            mean = solve(stated, policy, replace(options, objective="mean")).evaluation
    made = solution.plan
    if setting is not None:
        known = digest_of(setting.profiles.profiles)
        update: dict[str, Any] = {"profiles_digest": known}
        if measured is not None:
            update["links"] = measured
        made = made.model_copy(update=update)
        work.save(FileKind.PROBLEM, stated.save)
    work.save(FileKind.PLAN, made.save, also=outputs[1:])
    done = work.finish()
    _show_solution(out, solution)
    _note_other_solver(out, solver, solution)
    note_bursts(out, solution)
    note_gap(out, gap, time_limit, solution)
    if by_queues:
        out.say(
            "these figures are of the plan's shares; what routers make of its models by their "
            "queues, says `testbed simulate --routing penalty`"
        )
    if mean is not None:
        _show_cost_of_fairness(out, solution, mean)
    # Reasons are told in the mean accuracy, as if joules were free and every task asked alone.
    told = mean is None and energy is None and not stated.asks_together
    reasons = explain(stated, solution).lines if told else ()
    for line in reasons[:SHOWN_REASONS]:
        out.say(f"· {line}")
    if len(reasons) > SHOWN_REASONS:
        out.say(f"· and {len(reasons) - SHOWN_REASONS} smaller reasons")
    out.wrote(output)
    certificate = solution.certificate
    compared: dict[str, Any] = {}
    if certificate.curve_error is not None:
        compared["curve_error"] = certificate.curve_error
    if energy is not None:
        compared["watts_by_node"] = solution.evaluation.watts_by_node
        compared["energy_cost"] = solution.evaluation.energy_cost
    if mean is not None:
        compared["plan_for_mean"] = _accuracies(mean)
        compared["fairness_cost"] = _fairness_cost(solution, mean)
    out.result(
        {
            "policy": policy,
            "plan": str(output),
            "run": None if done is None else done.name,
            "status": str(certificate.status),
            "objective": certificate.objective,
            "upper_bound": certificate.upper_bound,
            "gap": certificate.gap,
            "iterations": certificate.iterations,
            "runtime_s": certificate.runtime_s,
            "maximised": certificate.maximised,
            **_accuracies(solution.evaluation),
            **compared,
        }
    )


def evaluate(
    plan: Annotated[Path | None, typer.Argument(help="as --plan", show_default=False)] = None,
    named: PlanFile = None,
    problem: Annotated[Path | None, typer.Option(help="problem.json; default: the run's")] = None,
    run: RunName = None,
    fill: Annotated[float, number(SHARE, help="share of windows and compute allowed")] = 1.0,
    as_json: Json = False,
) -> None:
    """Check a plan against every constraint, independently of any solver. Exit 3 if one fails."""
    out = VerbOutput(as_json)
    plan = only_plan(plan, named)
    work = RunWork(out, run, of_file=plan)
    plan = work.read(FileKind.PLAN, plan, "--plan")
    checked = Plan.load(plan)
    problem = work.read(FileKind.PROBLEM, problem, "--problem")
    stated = Problem.load(problem)
    with naming_plan(plan, f"{problem}, or --problem names its own"):
        found = evaluate_plan(stated, checked, fill=fill)
    if checked.problem_digest != stated.digest:
        raise InputError(
            f"{plan}: this plan was made for another problem than {problem}; name its own with "
            "--problem, or make a plan for this one with `testbed plan --problem`"
        )
    current_plan(out, checked, plan, stated)  # which says so where the file claims something else
    _show_evaluation(out, found, checked.fill)
    violations = found.violations()
    for violation in violations:
        out.say(f"[red]violated[/] {violation}")
    if not violations:
        out.say("every constraint holds")
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
    name = NAMES[certificate.maximised]
    if solution.evaluation.energy_cost:
        name += " less what its joules cost"
    out.say(
        f"[bold]{solution.policy}[/]: {name} "
        f"{certificate.objective:.4f}, at most "
        f"{certificate.upper_bound:.4f} is possible (gap {certificate.gap:.2%}, "
        f"{certificate.bound_method}); {certificate.status} after {certificate.iterations} "
        f"iterations, {certificate.runtime_s:.2f} s, {certificate.solver}"
    )
    if certificate.curve_error is not None:
        out.say(
            "batches take what was measured for their size; at the sizes of this plan, lines above "
            f"and below lie {certificate.curve_error:.2%} of the work apart"
        )
    table = Table("node", "holds")
    onloading = solution.plan.onloading
    for node, models in list(onloading.items())[:SHOWN_NODES]:
        table.add_row(node, ", ".join(models) or "nothing")
    if len(onloading) > SHOWN_NODES:
        table.add_row("...", f"{len(onloading) - SHOWN_NODES} more nodes in the file")
    out.table(table)
    _show_evaluation(out, solution.evaluation)


def _show_cost_of_fairness(out: VerbOutput, solution: Solution, mean: Evaluation) -> None:
    """What the plan gives up of the mean, beside that for the mean by the same policy."""
    objective = solution.certificate.maximised
    out.say(
        f"a plan for the mean has accuracy {mean.objective:.4f}, and {NAMES[objective]} "
        f"{mean.value(objective):.4f}: fairness costs {_fairness_cost(solution, mean):.4f} of the "
        "mean"
    )


def _fairness_cost(solution: Solution, mean: Evaluation) -> float:
    return mean.objective - solution.evaluation.objective


def _accuracies(found: Evaluation) -> dict[str, float]:
    return {
        "mean_accuracy": found.objective,
        "least_accuracy": found.least_accuracy,
        "proportional_accuracy": found.proportional_accuracy,
    }


def _show_evaluation(out: VerbOutput, found: Evaluation, made_with: float | None = None) -> None:
    """`made_with` is the fill that the plan was made with, where it is judged by another one."""
    summary = found.summary()
    shares = ", ".join(f"{tier} {share:.1%}" for tier, share in summary.share_by_tier.items())
    out.say(f"accuracy {summary.objective:.4f}; served by {shares}; shed {summary.shed_share:.1%}")
    counted = summary.accuracy_by_client
    if len(counted) > 1:
        worst = min(counted, key=lambda client: counted[client])
        out.say(
            f"worst off is {worst} with accuracy {counted[worst]:.4f}; geometric mean of the "
            f"{len(counted)} clients {found.proportional_accuracy:.4f}"
        )
    if found.watts_by_node:
        out.say(watts_told(found))
    share = "all" if found.fill == 1 else f"{found.fill:.0%}"
    counts = f"--fill {found.fill:g}: {share} of compute and mean windows counts"
    if made_with not in (None, found.fill):
        counts += f"; planned with {made_with:g}"
    out.say(f"fullest budgets ({counts}): {fullest_budgets(found)}")


VERBS = (plan, evaluate)
