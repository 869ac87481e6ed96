"""`domains`: sixteen kinds of thing, each drawn in the six domains of DomainNet."""

from __future__ import annotations

from models.benchmarks.domains.dataset import Domains

__all__ = ["Domains"]
