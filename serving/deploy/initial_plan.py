"""The plan that nodes are told before any of them runs, where no driver puts one in force."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cluster.errors import InputError
from planner.plan import Plan
from serving.deploy.assignment_record import PlanInForce
from serving.deploy.assignment_store import AssignmentStore
from serving.deploy.lease import CHANGE_TTL_S, PLAN_CHANGE, hold_lease, owner_of
from serving.errors import LeaseHeldError
from serving.rollout.assignment import Assignment
from serving.rollout.budget_check import refuse_broken_budgets
from serving.rollout.refuges import refuges_of
from serving.rollout.stages import route_tables
from serving.rollout.ways_in_time import ways_in_time
from serving.routing.routes import RoutingMode
from serving.setting.planned_load import load_of
from serving.setting.setting import Setting

if TYPE_CHECKING:
    from serving.deploy.assignments import AssignmentsClient

__all__ = ["first_assignments", "put_first_plan"]

_log = logging.getLogger(__name__)


def put_first_plan(
    store: AssignmentsClient | AssignmentStore, setting: Setting, plan: Plan
) -> bool:
    """Tell the nodes their shares of `plan`, unless they were told any before or another process is
    about to. Raises `BudgetError` for a plan that breaks a budget."""
    if store.record().version:
        return False
    assignments = first_assignments(setting, plan)
    owner = owner_of("the plan of a Serve config")
    try:
        with hold_lease(store, PLAN_CHANGE, owner, CHANGE_TTL_S):
            if store.begin_change(owner).version:
                return False
            in_force = PlanInForce(plan=plan, routing=RoutingMode.SHARES)
            store.assign(owner, assignments, None, in_force)
    except LeaseHeldError:
        return False
    _log.info("the nodes are told a plan of %s, the first", plan.policy)
    return True


def first_assignments(setting: Setting, plan: Plan) -> dict[str, Assignment]:
    """What `Fleet.apply` leaves each node with, on nodes that held nothing.

    Raises `BudgetError` for a plan that breaks a budget, and `InputError` for one that does not say
    for what load it was made.
    """
    load = load_of(plan)
    if load is None:
        raise InputError(
            "the plan does not say for what load it was made; `testbed plan` makes one"
        )
    version, topology = 1, setting.topology
    problem = setting.problem(load)
    refuse_broken_budgets(problem, plan)
    clients = tuple(client.name for client in topology.clients)
    refuges = refuges_of(topology, plan, setting.accuracy, ways_in_time(problem))
    tables = route_tables(plan, version, clients, refuges)
    return {
        node.name: Assignment(
            version, tuple(sorted(plan.onloading.get(node.name, ()))), tables.get(node.name)
        )
        for node in topology.nodes
    }
