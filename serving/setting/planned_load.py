"""The load that a plan says it was made for."""

from __future__ import annotations

from cluster.demand import Phase
from planner.plan import Plan

__all__ = ["load_of"]


def load_of(plan: Plan) -> Phase | None:
    """The load that a plan says it was made for, if it says one."""
    if not plan.load_qps:
        return None
    return Phase(
        duration_s=1.0,
        rates_qps=plan.load_qps,
        bundles=plan.bundles,
        dispersion=plan.dispersion,
        burst_correlation=plan.burst_correlation,
    )
