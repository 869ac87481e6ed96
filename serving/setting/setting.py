"""What stays while demand and plans change: the hierarchy, the models, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from cluster.demand import Phase
from cluster.topology import Topology
from models.zoo.cards import ModelCard
from planner.build import build_problem
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
        )

    @property
    def with_whole_links(self) -> Setting:
        """The same with every link's whole bandwidth, of which plans leave a part free."""
        links = tuple(link.model_copy(update={"budget_share": 1.0}) for link in self.topology.links)
        return replace(self, topology=self.topology.model_copy(update={"links": links}))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task some model serves, in the order of the cards."""
        return tuple(query_bytes_of(self.cards))

    @property
    def largest_query_bytes(self) -> float:
        """b_t of the largest query."""
        return max(query_bytes_of(self.cards).values())

    @cached_property
    def accuracy(self) -> dict[str, dict[str, float]]:
        """a_mt by model and task, of the tasks that the model serves."""
        return {card.name: {t: card.accuracy(t) for t in card.tasks} for card in self.cards}

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
