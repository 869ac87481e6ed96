"""What stays while demand and plans change: the hierarchy, the models, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from cluster.deadline_classes import with_classes
from cluster.demand import Phase
from cluster.measured_links import LinkFigures, with_links
from cluster.topology import Topology
from models.zoo.cards import ModelCard
from planner.build import build_problem
from planner.plan import Plan
from planner.problem import Problem
from profiling.emulation import check_devices
from profiling.profile import Profiles
from serving.setting.query_sizes import answer_bytes_of, query_bytes_of

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """What stays while demand and plans change: hierarchy, models, and what they cost.

    Raises `InputError` where `profiles` are of other devices than the nodes of `topology` have.
    """

    topology: Topology
    cards: tuple[ModelCard, ...]
    profiles: Profiles
    deadlines_s: Mapping[str, float] = field(default_factory=dict, hash=False)
    """of tasks, and of classes of tasks by TASK@CLASS (F13, F20); none where left out"""

    def __post_init__(self) -> None:
        check_devices(self.topology, self.profiles)

    def problem(self, phase: Phase) -> Problem:
        """The planning problem of a phase."""
        return build_problem(
            self.topology,
            self.cards,
            self.profiles,
            phase,
            query_bytes=query_bytes_of(self.cards),
            answer_bytes=answer_bytes_of(self.cards),
            deadline_s=self.deadlines_s,
        )

    def with_deadlines(self, deadlines_s: Mapping[str, float]) -> Setting:
        """The same with the deadlines and classes of a demand, or of the plan that is in force."""
        return replace(self, deadlines_s=dict(deadlines_s))

    def with_links(self, links: Mapping[str, LinkFigures]) -> Setting:
        """The same with what was measured of links, by name."""
        if not links:
            return self
        return replace(self, topology=with_links(self.topology, links))

    def as_planned(self, plan: Plan) -> Setting:
        """The same with what `plan` says that it is made for: deadlines, classes and links."""
        return self.with_deadlines(plan.deadlines_s).with_links(plan.links)

    @property
    def with_whole_links(self) -> Setting:
        """The same with every link's whole bandwidth, of which plans leave a part free."""
        links = tuple(link.model_copy(update={"budget_share": 1.0}) for link in self.topology.links)
        return replace(self, topology=self.topology.model_copy(update={"links": links}))

    @property
    def base_tasks(self) -> tuple[str, ...]:
        """Every task some model serves, in the order of the cards."""
        return tuple(query_bytes_of(self.cards))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The same, each followed by its deadline classes (F20): the tasks of a problem."""
        return with_classes(self.base_tasks, self.deadlines_s)

    @property
    def largest_query_bytes(self) -> float:
        """b_t of the largest query."""
        return max(query_bytes_of(self.cards).values())

    @cached_property
    def accuracy(self) -> dict[str, dict[str, float]]:
        """a_mt by model and task, of the tasks that the model serves and of their classes."""
        return {
            card.name: {
                name: card.accuracy(task)
                for task in card.tasks
                for name in with_classes((task,), self.deadlines_s)
            }
            for card in self.cards
        }

    @cached_property
    def model_bytes(self) -> dict[tuple[str, str], int]:
        """s_m, what a model takes on a node, by (node, model)."""
        return {
            (profile.node, profile.model): profile.resident_bytes
            for profile in self.profiles.profiles
        }

    @cached_property
    def load_s(self) -> dict[str, dict[str, float]]:
        """Seconds from the request to the warm model, by node and model."""
        found: dict[str, dict[str, float]] = {}
        for profile in self.profiles.profiles:
            found.setdefault(profile.node, {})[profile.model] = profile.load_s
        return found
