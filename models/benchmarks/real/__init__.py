"""Public data sets read from the folders their owners publish, for users who have them."""

from __future__ import annotations

from models.benchmarks.real.cityscapes3d import Cityscapes3D
from models.benchmarks.real.domain_folders import DomainNet, OfficeHome, Pacs
from models.benchmarks.real.stored import DataError, StoredBenchmark
from models.benchmarks.real.taskonomy import Taskonomy

__all__ = [
    "Cityscapes3D",
    "DataError",
    "DomainNet",
    "OfficeHome",
    "Pacs",
    "StoredBenchmark",
    "Taskonomy",
]
