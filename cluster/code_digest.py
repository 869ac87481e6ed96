"""A digest of the testbed's own modules, which tells two states of it apart, installed or not."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

__all__ = ["PACKAGES", "code_digest", "code_root"]

PACKAGES = ("cluster", "models", "planner", "profiling", "serving", "testbed")


def code_root() -> Path:
    """The folder that the testbed's packages are in: a checkout, or a folder of packages."""
    return Path(__file__).resolve().parent.parent


@cache
def code_digest(packages: tuple[str, ...] = PACKAGES) -> str:
    """Over the names and contents of all modules of `packages`, in hexadecimal."""
    root, digest = code_root(), hashlib.sha256()
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
