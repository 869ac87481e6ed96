"""The testbed from Python: plan, simulate, measure and ask, in scripts and notebooks.

    from testbed import Client, solve

`docs/api.md` has every name with an example. A name's module is imported when the name is first
used, so `import testbed` is quick, and nothing here brings torch or Ray. A file or folder of the
user's own that hides a package of the testbed is refused by then, in an `ImportError` of one line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from testbed.shadowing import refuse_shadowed_packages

__all__ = [
    "Allocation",
    "AsyncClient",
    "BadRequestError",
    "BatchLatency",
    "Batching",
    "Certificate",
    "Client",
    "ClientError",
    "DeadlineError",
    "Demand",
    "DocumentError",
    "Evaluation",
    "Explanation",
    "Link",
    "Measurements",
    "MissingExtraError",
    "ModelCard",
    "ModelProfile",
    "Node",
    "NotServedHereError",
    "Options",
    "Phase",
    "Plan",
    "PlanError",
    "Policy",
    "PolicyError",
    "Prediction",
    "Problem",
    "ProblemError",
    "Profiles",
    "RefusedHereError",
    "Report",
    "Route",
    "RunSummary",
    "Setting",
    "Solution",
    "Tier",
    "Topology",
    "UnauthorisedError",
    "UnknownPolicyError",
    "UnreachableError",
    "Violation",
    "evaluate",
    "explain",
    "find_model",
    "list_models",
    "list_policies",
    "make_environment",
    "sample_problem",
    "simulate",
    "solve",
    "summarise_run",
    "write_report",
]

# What type checkers and editors read; `_HOMES` says the same to Python, and a test compares them.
if TYPE_CHECKING:
    from cluster.demand import Demand, Phase
    from cluster.document import DocumentError
    from cluster.extras import MissingExtraError
    from cluster.topology import Batching, Link, Node, Tier, Topology
    from models.zoo.cards import ModelCard
    from models.zoo.registry import find_model, list_models
    from planner.allocation import Allocation
    from planner.certificate import Certificate
    from planner.evaluate import Evaluation, Violation, evaluate
    from planner.explanation.explain import Explanation, explain
    from planner.instances.sample import sample_problem
    from planner.options import Options
    from planner.plan import Plan, PlanError, Route
    from planner.policies import Policy, PolicyError, UnknownPolicyError, list_policies, solve
    from planner.problem import Problem
    from planner.problem_file import ProblemError
    from planner.solution import Solution
    from profiling.profile import BatchLatency, ModelProfile, Profiles
    from serving.client.client import AsyncClient, Client
    from serving.client.wire import (
        BadRequestError,
        ClientError,
        DeadlineError,
        NotServedHereError,
        Prediction,
        RefusedHereError,
        UnauthorisedError,
        UnreachableError,
    )
    from serving.report.report import Report
    from serving.report.write import write_report
    from serving.setting.setting import Setting
    from serving.simulation.environment import make_environment
    from serving.simulation.simulate import simulate
    from serving.traffic.measurement import Measurements
    from serving.traffic.summary import RunSummary, summarise_run
else:
    _NAMES = {
        "cluster.demand": ("Demand", "Phase"),
        "cluster.document": ("DocumentError",),
        "cluster.extras": ("MissingExtraError",),
        "cluster.topology": ("Batching", "Link", "Node", "Tier", "Topology"),
        "models.zoo.cards": ("ModelCard",),
        "models.zoo.registry": ("find_model", "list_models"),
        "planner.allocation": ("Allocation",),
        "planner.certificate": ("Certificate",),
        "planner.evaluate": ("Evaluation", "Violation", "evaluate"),
        "planner.explanation.explain": ("Explanation", "explain"),
        "planner.instances.sample": ("sample_problem",),
        "planner.options": ("Options",),
        "planner.plan": ("Plan", "PlanError", "Route"),
        "planner.policies": (
            "Policy",
            "PolicyError",
            "UnknownPolicyError",
            "list_policies",
            "solve",
        ),
        "planner.problem": ("Problem",),
        "planner.problem_file": ("ProblemError",),
        "planner.solution": ("Solution",),
        "profiling.profile": ("BatchLatency", "ModelProfile", "Profiles"),
        "serving.client.client": ("AsyncClient", "Client"),
        "serving.client.wire": (
            "BadRequestError",
            "ClientError",
            "DeadlineError",
            "NotServedHereError",
            "Prediction",
            "RefusedHereError",
            "UnauthorisedError",
            "UnreachableError",
        ),
        "serving.report.report": ("Report",),
        "serving.report.write": ("write_report",),
        "serving.setting.setting": ("Setting",),
        "serving.simulation.environment": ("make_environment",),
        "serving.simulation.simulate": ("simulate",),
        "serving.traffic.measurement": ("Measurements",),
        "serving.traffic.summary": ("RunSummary", "summarise_run"),
    }
    _HOMES = {name: module for module, names in _NAMES.items() for name in names}

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module 'testbed' has no name {name!r}")
        refuse_shadowed_packages()
        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found

    def __dir__():
        return [*globals(), *_HOMES]
