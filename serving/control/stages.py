"""The stages between files, shared by the command line, the demo and the live loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.demand import Phase
from cluster.provenance import collect_provenance
from cluster.topology import Topology
from models.zoo.cards import ModelCard
from planner.build import build_problem
from planner.plan import Plan
from planner.problem import Problem
from profiling.profile import Profiles
from serving.control.sizes import answer_bytes_of, query_bytes_of
from serving.report.compare import PolicyRow
from serving.report.gallery import Gallery
from serving.report.html import Page, write_page
from serving.report.live import LiveComparison
from serving.report.report import Report, build_report
from serving.report.scene import Scene
from serving.traffic.measurement import Measurements
from serving.traffic.summary import Measured, summarise

__all__ = ["Setting", "measure_run", "model_bytes_of", "write_report"]


@dataclass(frozen=True)
class Setting:
    """What stays while demand and plans change: hierarchy, models, and what they cost."""

    topology: Topology
    cards: tuple[ModelCard, ...]
    profiles: Profiles

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
    def tasks(self) -> tuple[str, ...]:
        """Every task some model serves, in the order of the cards."""
        return tuple(query_bytes_of(self.cards))

    @property
    def largest_query_bytes(self) -> float:
        """b_t of the largest query."""
        return max(query_bytes_of(self.cards).values())


def model_bytes_of(profiles: Profiles) -> dict[tuple[str, str], int]:
    """s_m by (node, model)."""
    return {(profile.node, profile.model): profile.resident_bytes for profile in profiles.profiles}


def measure_run(rows: Measurements) -> Measured:
    """The summary of a whole run."""
    return summarise(rows, rows.run.duration_s, rows.run.busy_s)


def write_report(
    folder: Path,
    plan: Plan,
    measurements: Measurements,
    measured: Measured,
    *,
    command: str,
    topology: str,
    scene: Scene | None = None,
    gallery: Gallery | None = None,
    policies: Sequence[PolicyRow] | None = None,
    live: LiveComparison | None = None,
) -> Report:
    """Write `report.json` and `report.html` into `folder`. Raises `ValueError` for a plan that
    carries no prediction or certificate (one that was written by hand)."""
    if plan.predicted is None or plan.certificate is None:
        raise ValueError("the plan carries no prediction; make it with `testbed plan`")
    report = build_report(
        plan.predicted,
        measured,
        plan.certificate,
        collect_provenance(
            command,
            seed=measurements.run.provenance.seed,
            packages=("torch", "torchvision", "timm", "ray", "highspy", "gurobipy"),
        ),
        bounds_s=measurements.run.bounds_s,
        policies=policies,
        live=live,
    )
    report.save(folder / "report.json")
    write_page(Page(report, measurements, topology, scene, gallery), folder / "report.html")
    return report
