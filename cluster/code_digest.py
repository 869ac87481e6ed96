"""A digest of the testbed's own modules, which tells two states of it apart, installed or not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

__all__ = ["PACKAGES", "code_digest", "code_root", "files_digest"]

PACKAGES = ("cluster", "models", "planner", "profiling", "serving", "testbed")


def code_root() -> Path:
    """The folder that the testbed's packages are in: a checkout, or a folder of packages."""
    return Path(__file__).resolve().parent.parent


@cache
def code_digest(packages: tuple[str, ...] = PACKAGES) -> str:
    """Over the names and contents of all modules of `packages`, in hexadecimal."""
    root = code_root()
    modules = (p for package in packages for p in sorted((root / package).rglob("*.py")))
    return files_digest(root, modules)


def files_digest(root: Path, files: Iterable[Path]) -> str:
    """Over the names below `root` and the contents of `files`, in their order."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
